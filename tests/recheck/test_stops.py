"""Each stop fails on the record after it, and leaves alone what came before, what it does not mean, and what is allowed."""

import pytest

from tests.recheck.small import Person, Small

NEW_YORK = "America/New_York"
LONDON = "Europe/London"
BEFORE, HEARD, AFTER = "2026-11-10 15:00:00", "2026-11-10 16:00:00", "2026-11-12 15:00:00"


def _american(small: Small) -> Person:
    return small.person("US-PA", NEW_YORK, third_party=True)


# kind, scope, more columns, rule, channel that breaks it, channel and purpose that pass after it
KINDS = [
    ("cease_communication", "account", {"detail": {"form": "letter"}}, "us.fed.cease", "letter", "required_notice"),
    ("attorney_represented", "account", {}, "us.fed.attorney", "email", "reply"),
    ("bankruptcy_filed", "debtor", {}, "us.fed.bankruptcy-stay", "letter", "reply"),
    ("bankruptcy_discharged", "account", {}, "us.fed.discharge", "letter", "reply"),
    ("dispute", "account", {"detail": {"form": "portal"}}, "us.fed.dispute-hold", "sms", "required_notice"),
    ("original_creditor_request", "account", {}, "us.fed.original-creditor-hold", "sms", "required_notice"),
    ("identity_theft", "account", {}, "identity_theft", "sms", "required_notice"),
    (
        "breathing_space_start",
        "debtor",
        {"detail": {"kind": "standard"}},
        "uk.breathing-space",
        "sms",
        "required_notice",
    ),
]


@pytest.mark.parametrize(("kind", "scope", "more", "rule", "channel", "passes"), KINDS)
def test_a_stop_on_a_debt(
    small: Small, kind: str, scope: str, more: dict[str, object], rule: str, channel: str, passes: str
) -> None:
    one, other = _american(small), _american(small)
    small.attempt(one, channel, BEFORE)
    small.event(kind, scope, HEARD, one, **more)
    small.attempt(one, "letter", HEARD.replace("16:00:00", "16:01:00"), purpose=passes)
    broken = small.attempt(one, channel, AFTER)
    small.attempt(other, channel, AFTER)
    assert small.rules() == {broken: {rule}}


def test_a_stop_ends_when_something_ends_it(small: Small) -> None:
    one, other = _american(small), _american(small)
    for person in (one, other):
        small.event("dispute", "account", HEARD, person, detail={"form": "letter"})
    small.event("verification_sent", "account", "2026-11-11 15:00:00", one)
    small.attempt(one, "email", AFTER)
    broken = small.attempt(other, "email", AFTER)
    small.sql("UPDATE state_events SET ended_at = '2026-11-13 00:00:00+00' WHERE debtor_key = %s", other.debtor)
    small.attempt(other, "email", "2026-11-13 15:00:00")
    assert small.rules() == {broken: {"us.fed.dispute-hold"}}


def test_only_what_is_written_is_a_cease(small: Small) -> None:
    one, other = _american(small), _american(small)
    small.event("cease_communication", "account", HEARD, one, detail={"form": "oral"})
    small.event("dispute", "account", HEARD, other, detail={"form": "oral"})
    small.attempt(one, "letter", AFTER)
    small.attempt(other, "letter", AFTER)
    assert small.rules() == {}


def test_stop_is_for_the_number_whosoever_it_is(small: Small) -> None:
    one = small.person("GB", LONDON, phone="+447700900001")
    sharing = small.person("GB", LONDON, phone="+447700900001", creditor="shop")
    small.attempt(one, "sms", BEFORE)
    small.event("opt_out", "number", HEARD, one, contact_point_key=f"{one.party}-phone", channel="sms")
    small.attempt(one, "sms", "2026-11-10 16:04:00", purpose="reply")
    again = small.attempt(one, "sms", "2026-11-10 16:05:00", purpose="reply")
    own, others = small.attempt(one, "sms", AFTER), small.attempt(sharing, "sms", AFTER)
    small.attempt(one, "email", AFTER)
    small.attempt(one, "voice", AFTER)
    small.event("opt_in", "number", "2026-11-13 00:00:00", one, contact_point_key=f"{one.party}-phone", channel="sms")
    small.attempt(one, "sms", "2026-11-13 15:00:00")
    assert small.rules() == {key: {"sms_stop"} for key in (again, own, others)}


def test_the_confirmation_of_a_stop_has_five_minutes(small: Small) -> None:
    one, other = _american(small), _american(small)
    for person in (one, other):
        small.event("opt_out", "number", HEARD, person, contact_point_key=f"{person.party}-phone", channel="sms")
    small.attempt(one, "sms", "2026-11-10 16:05:00", purpose="reply")
    late = small.attempt(other, "sms", "2026-11-10 16:05:01", purpose="reply")
    robot = small.attempt(one, "voice", AFTER)
    small.attempt(one, "call", AFTER)
    assert small.rules() == {key: {"sms_stop"} for key in (late, robot)}


def test_a_simulated_person_who_said_stop_is_heard(small: Small) -> None:
    """Whatever the ledger made of the reply: the carrier's record says that it came."""
    one = small.person("GB", LONDON)
    asked = small.attempt(one, "sms", BEFORE)
    said = {"external_id": "r1", "kind": "reply", "body": {"attempt": asked, "code": "stop"}}
    small.insert("sandbox_events", {**said, "at": "2026-11-10 16:00:00+00", "delivered_at": "2026-11-10 16:00:00+00"})
    broken = small.attempt(one, "sms", AFTER)
    assert small.rules() == {broken: {"sms_stop"}}


def test_a_medium_that_was_refused(small: Small) -> None:
    one = _american(small)
    small.event("channel_opt_out", "channel", HEARD, one, channel="call")
    called = {small.attempt(one, "call", AFTER), small.attempt(one, "voice", AFTER)}
    small.attempt(one, "sms", AFTER)
    other = _american(small)
    small.insert(
        "consents",
        {
            "party_key": other.party,
            "channel": "email",
            "state": "withdrawn",
            "from_at": f"{HEARD}+00",
            "source": "portal",
        },
    )
    small.attempt(other, "email", BEFORE)
    mailed = small.attempt(other, "email", AFTER)
    small.attempt(other, "letter", AFTER)
    assert small.rules() == {key: {"us.fed.medium-optout"} for key in called | {mailed}}


def test_an_imported_refusal_holds(small: Small) -> None:
    one = small.person("GB", LONDON)
    small.sql("UPDATE contact_points SET consent = 'withdrawn' WHERE key = %s", f"{one.party}-email")
    feed = {"kind": "contacts", "source": "x", "digest": "x", "rows": 1, "imported_at": f"{HEARD}+00"}
    small.insert("feeds", {**feed, "as_of": f"{HEARD}+00"})
    small.attempt(one, "email", BEFORE)
    broken = small.attempt(one, "email", AFTER)
    small.attempt(one, "sms", AFTER)
    assert small.rules() == {broken: {"us.fed.medium-optout"}}


def test_a_wrong_number_is_wrong_for_everybody(small: Small) -> None:
    one = small.person("GB", LONDON, phone="+447700900001")
    sharing = small.person("GB", LONDON, phone="+447700900001", creditor="shop")
    reported = small.person("GB", LONDON)
    small.event("wrong_party", "number", HEARD, one, contact_point_key=f"{one.party}-phone")
    broken = {small.attempt(one, "call", AFTER), small.attempt(sharing, "sms", AFTER, purpose="reply")}
    small.attempt(one, "email", AFTER)
    small.worked(reported, "call", HEARD, reached="third_party", outcome="wrong_number")
    broken.add(small.attempt(reported, "sms", AFTER))
    assert small.rules() == {key: {"core.wrong-party"} for key in broken}


def test_the_dead_and_the_young_are_not_contacted(small: Small) -> None:
    dead, told, young = (small.person("GB", LONDON) for _ in range(3))
    small.sql("UPDATE parties SET deceased_on = '2026-11-11' WHERE key = %s", dead.party)
    small.sql("UPDATE parties SET born_on = '2008-11-12' WHERE key = %s", young.party)
    small.event("deceased", "person", HEARD, told)
    executor = small.party("EX", told.account, "executor")
    small.attempt(dead, "letter", BEFORE)
    small.attempt(told, "letter", AFTER, party=executor, contact_point_key=None)
    small.attempt(young, "letter", AFTER)
    broken = {small.attempt(dead, "letter", AFTER), small.attempt(told, "letter", AFTER)}
    child = small.attempt(young, "letter", "2026-11-11 15:00:00")
    assert small.rules() == {**{key: {"us.fed.deceased"} for key in broken}, child: {"cn.minor"}}


def test_somebody_without_capacity_is_not_contacted(small: Small) -> None:
    one = small.person("GB", LONDON)
    small.attempt(one, "letter", BEFORE)
    small.event("no_capacity", "person", HEARD, one)
    broken = small.attempt(one, "letter", AFTER)
    assert small.rules() == {broken: {"no_capacity"}}


def test_counsel_may_be_written_to(small: Small) -> None:
    one = _american(small)
    counsel = small.party("LAW", one.account, "attorney")
    small.event("attorney_represented", "account", HEARD, one)
    small.attempt(one, "letter", AFTER, party=counsel, contact_point_key=None)
    broken = small.attempt(one, "letter", AFTER)
    assert small.rules() == {broken: {"us.fed.attorney"}}


def test_a_third_party_who_refused_is_left_alone(small: Small) -> None:
    one = small.person("GB", LONDON)
    friend = small.party("FR", one.account, "contact_person")
    small.attempt(one, "call", BEFORE, party=friend, purpose="locate")
    small.event("third_party_refusal", "person", HEARD, one, party_key=friend)
    broken = small.attempt(one, "call", AFTER, party=friend, purpose="locate")
    small.attempt(one, "call", AFTER)
    assert small.rules() == {broken: {"cn.third-party-refusal"}}


def test_a_work_number_that_is_forbidden(small: Small) -> None:
    one = _american(small)
    work = small.point(one.party, "phone", "+80099999999", key="work")
    small.event("employer_prohibits", "person", HEARD, one, contact_point_key=work)
    small.attempt(one, "call", BEFORE, contact_point_key=work)
    broken = small.attempt(one, "call", AFTER, contact_point_key=work)
    small.attempt(one, "call", AFTER)
    assert small.rules() == {broken: {"us.fed.workplace"}}


def test_sixty_days_of_breathing_space(small: Small) -> None:
    standard, crisis = small.person("GB", LONDON), small.person("GB", LONDON)
    start = "2026-10-26 00:00:00"
    small.event("breathing_space_start", "debtor", start, standard, detail={"kind": "standard"})
    small.event("breathing_space_start", "debtor", start, crisis, detail={"kind": "mental_health_crisis"})
    broken = {
        small.attempt(standard, "sms", "2026-12-24 15:00:00"),
        small.attempt(crisis, "sms", "2026-12-26 15:00:00"),
    }
    small.attempt(standard, "sms", "2026-12-26 15:00:00")
    assert small.rules() == {key: {"uk.breathing-space"} for key in broken}


def test_a_plan_that_is_kept_stops_collection_on_a_card(small: Small) -> None:
    card = small.person("CN", "Asia/Shanghai", account={"product": "card"})
    loan = small.person("CN", "Asia/Shanghai")
    for person in (card, loan):
        plan = {"account_key": person.account, "kind": "instalments", "currency": "CNY", "covered_amount": 1}
        small.insert("arrangements", {**plan, "agreed_at": f"{HEARD}+00", "ended_at": "2026-11-13 00:00:00+00"})
    small.attempt(card, "sms", BEFORE.replace("15", "09"))
    broken = small.attempt(card, "sms", AFTER.replace("15:", "09:"))
    small.attempt(card, "sms", AFTER.replace("15:", "09:"), purpose="service")
    small.attempt(loan, "sms", AFTER.replace("15:", "09:"))
    small.attempt(card, "sms", "2026-11-13 09:00:00")
    assert small.rules() == {broken: {"cn.card-plan-stop"}}


def test_a_plan_told_as_an_event_stops_collection(small: Small) -> None:
    one = small.person("GB", LONDON)
    small.sql("ALTER TABLE state_events DROP CONSTRAINT IF EXISTS ck_state_events_kind")
    small.event("plan_performing", "account", HEARD, one)
    small.attempt(one, "sms", AFTER, purpose="service")
    broken = small.attempt(one, "sms", AFTER)
    assert small.rules() == {broken: {"plan_performing"}}


def test_a_conversation_that_the_person_began_counts(small: Small) -> None:
    one = _american(small)
    small.sql("ALTER TABLE state_events DROP CONSTRAINT IF EXISTS ck_state_events_kind")
    small.event("conversation", "account", HEARD, one)
    broken = small.attempt(one, "call", "2026-11-16 15:00:00")
    small.attempt(one, "call", "2026-11-17 15:00:00")
    assert small.rules() == {broken: {"us.fed.conversation-cooldown"}}


def test_an_event_nobody_knows_is_not_passed_over(small: Small) -> None:
    one, other = small.person("GB", LONDON), small.person("GB", LONDON)
    small.sql("ALTER TABLE state_events DROP CONSTRAINT IF EXISTS ck_state_events_kind")
    small.event("something_new", "person", HEARD, one)
    small.event("hardship", "person", HEARD, other)
    broken = small.attempt(one, "sms", AFTER)
    small.attempt(other, "sms", AFTER)
    assert small.rules() == {broken: {"core.unknown-event"}}
