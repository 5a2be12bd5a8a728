"""What is owed, who may be contacted, what must come first, and the record itself: each check can fail."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.recheck.check import rule_ids
from tests.recheck.small import Small, utc

NEW_YORK = "America/New_York"
LONDON = "Europe/London"
SHANGHAI = "Asia/Shanghai"
NOON = "2026-11-12 12:00:00"


# --- promise P1 ----------------------------------------------------------------------------------------------------


def test_a_debt_is_past_due_from_the_day_after_where_the_debtor_lives(small: Small) -> None:
    one = small.person("AU", "Australia/Sydney", due_on=date(2026, 11, 11))
    on_the_day = small.attempt(one, "sms", "2026-11-11 12:59:59")
    small.attempt(one, "sms", "2026-11-11 13:00:00")  # midnight in Sydney
    assert small.rules() == {on_the_day: {"P1.past-due"}}


def test_a_payment_counts_from_the_instant_it_is_received(small: Small) -> None:
    one = small.person("GB", LONDON)
    part = small.person("GB", LONDON)
    small.payment(part, "2026-11-12 10:00:00", 9_999)
    paid = small.payment(one, "2026-11-12 12:00:01")
    small.attempt(one, "sms", NOON)
    after = small.attempt(one, "sms", "2026-11-12 12:00:02")
    small.attempt(one, "sms", "2026-11-12 12:00:02", purpose="service")
    small.payment(one, "2026-11-13 12:00:00", kind="reversal", reverses=paid)
    small.attempt(one, "sms", "2026-11-13 12:00:01")
    small.attempt(part, "sms", "2026-11-12 12:00:02")
    assert small.rules() == {after: {"P1.past-due"}}


def test_a_later_instalment_takes_no_money_from_a_past_one(small: Small) -> None:
    one = small.person("GB", LONDON)
    small.insert("dues", {"account_key": one.account, "ref": "2", "due_on": date(2026, 12, 1), "amount": 5_000})
    small.payment(one, "2026-11-12 10:00:00", 12_000)
    cured = small.attempt(one, "sms", NOON)
    small.attempt(one, "sms", "2026-12-02 12:00:00")
    assert small.rules() == {cured: {"P1.past-due"}}


def test_a_waiver_and_a_tolerance_clear_what_they_say(small: Small) -> None:
    one = small.person("GB", LONDON)
    small.insert(
        "dues", {"account_key": one.account, "ref": "f", "component": "fee", "due_on": date(2025, 1, 1), "amount": 500}
    )
    small.payment(one, "2026-11-12 10:00:00")
    small.attempt(one, "sms", NOON)
    small.payment(one, "2026-11-12 13:00:00", 500, kind="waiver", component="fee")
    waived = small.attempt(one, "sms", "2026-11-12 14:00:00")
    other = small.person("GB", LONDON, creditor="lenient")
    small.sql("UPDATE creditors SET tolerance = '{\"USD\": 100}' WHERE code = 'lenient'")
    small.payment(other, "2026-11-12 10:00:00", 9_899)
    small.attempt(other, "sms", NOON)
    small.payment(other, "2026-11-12 13:00:00", 1)
    tolerated = small.attempt(other, "sms", "2026-11-12 14:00:00")
    assert small.rules() == {key: {"P1.past-due"} for key in (waived, tolerated)}


def test_every_debt_of_a_message_must_be_past_due(small: Small) -> None:
    one = small.person("GB", LONDON)
    other = small.second_debt(one, due_on=date(2026, 11, 12))
    broken = small.attempt(one, "sms", NOON, accounts=(one.account, other.account))
    small.attempt(one, "sms", "2026-11-13 12:00:00", accounts=(one.account, other.account))
    assert small.rules() == {broken: {"P1.past-due"}}


def test_nothing_after_the_end_of_a_case(small: Small) -> None:
    one, recalled = small.person("GB", LONDON), small.person("GB", LONDON)
    ended = utc("2026-11-12 12:00:00")
    small.sql(
        "UPDATE cases SET status = 'closed', closed_at = %s, close_reason = 'cure' WHERE key = %s", ended, one.case
    )
    small.sql("UPDATE accounts SET closing = 'recalled', closing_at = %s WHERE key = %s", ended, recalled.account)
    broken = set()
    for person in (one, recalled):
        small.attempt(person, "sms", "2026-11-12 12:00:00")
        broken.add(small.attempt(person, "sms", "2026-11-12 12:00:01"))
    assert small.rules() == {key: {"P1.closed"} for key in broken}


# scope, more columns, channel held, channel free
HOLDS = [
    ("account", {}, "sms", None),
    ("debtor", {}, "letter", None),
    ("channel", {"channel": "sms"}, "sms", "email"),
    ("number", {"contact_point_key": "P1-phone"}, "sms", "email"),
    ("part", {"part_amount": 10_000}, "sms", None),
]


@pytest.mark.parametrize(("scope", "more", "held", "free"), HOLDS)
def test_a_hold_stands_from_its_beginning_to_its_end(
    small: Small, scope: str, more: dict[str, object], held: str, free: str | None
) -> None:
    one = small.person("GB", LONDON)
    of = {"debtor_key": one.debtor} if scope == "debtor" else {"account_key": one.account}
    when = {"from_at": "2026-11-12 12:00:00+00", "until_at": "2026-11-14 12:00:00+00"}
    small.insert("holds", {"reason": "paused", "scope": scope, **of, **when, **more})
    small.attempt(one, held, "2026-11-12 11:59:59")
    broken = small.attempt(one, held, "2026-11-14 11:59:59")
    small.attempt(one, held, "2026-11-13 12:00:00", purpose="required_notice")
    small.attempt(one, held, "2026-11-14 12:00:00")
    if free is not None:
        small.attempt(one, free, "2026-11-13 12:00:00")
    assert small.rules() == {broken: {"P1.hold"}}


def test_what_follows_from_a_call_does_not_forbid_it(small: Small) -> None:
    one = small.person("GB", LONDON)
    promise = {"reason": "promise", "scope": "account", "account_key": one.account}
    small.worked(one, "call", NOON, reached="right_party", outcome="promise")
    small.insert("holds", {**promise, "from_at": f"{NOON}+00"})
    broken = small.worked(one, "call", "2026-11-12 12:00:01")
    assert small.rules() == {broken: {"P1.hold"}}


@pytest.mark.parametrize("grace", [0, 2])
def test_nothing_is_collected_while_an_arrangement_is_performed(small: Small, grace: int) -> None:
    one = small.person("GB", LONDON)
    plan = {"kind": "promise", "status": "broken", "currency": "USD", "covered_amount": 10_000, "grace_days": grace}
    when = {"agreed_at": "2026-11-10 12:00:00+00", "starts_at": "2026-11-10 12:00:00+00"}
    small.insert("arrangements", {"key": "R1", "account_key": one.account, **plan, **when})
    small.insert("arrangement_lines", {"arrangement_key": "R1", "no": 1, "due_on": "2026-11-12", "amount": 10_000})
    small.attempt(one, "sms", "2026-11-10 11:59:59")
    broken = small.attempt(one, "sms", f"2026-11-{12 + grace} 17:00:00")
    small.attempt(one, "sms", f"2026-11-{12 + grace} 17:00:01", purpose="service")
    small.attempt(one, "sms", f"2026-11-{13 + grace} 09:00:00")
    assert small.rules() == {broken: {"P1.arrangement"}}


def test_a_released_hold_and_a_hold_on_a_part_leave_the_rest_free(small: Small) -> None:
    one, other = small.person("GB", LONDON), small.person("GB", LONDON)
    began = {"scope": "account", "reason": "paused", "from_at": "2026-11-12 12:00:00+00"}
    small.insert("holds", {**began, "account_key": one.account, "released_at": "2026-11-13 12:00:00+00"})
    small.insert("holds", {**began, "account_key": other.account, "scope": "part", "part_amount": 9_999})
    broken = small.attempt(one, "sms", "2026-11-13 11:59:59")
    small.attempt(one, "sms", "2026-11-13 12:00:00")
    small.attempt(other, "sms", "2026-11-13 12:00:00")
    assert small.rules() == {broken: {"P1.hold"}}


def test_payments_must_be_known_up_to_date(small: Small) -> None:
    one, other = small.person("GB", LONDON), small.person("GB", LONDON, creditor="shop")
    small.sql("UPDATE creditors SET payment_feed_max_age_hours = 24 WHERE code = 'bank'")
    feed = {"kind": "payments", "source": "x", "digest": "x", "rows": 0, "imported_at": f"{NOON}+00"}
    small.insert("feeds", {**feed, "as_of": f"{NOON}+00"})
    small.attempt(one, "sms", "2026-11-13 12:00:00")
    stale = small.attempt(one, "sms", "2026-11-13 12:00:01")
    small.attempt(other, "sms", "2026-11-13 12:00:01")
    assert small.rules() == {stale: {"core.fail-closed"}}


# --- who, where, with what ------------------------------------------------------------------------------------------

ABROAD = [
    ("cn.third-party-ban", "CN", SHANGHAI),
    ("uk.no-third-party", "GB", LONDON),
    ("in.third-party", "IN", "Asia/Kolkata"),
    ("ph.contacts", "PH", "Asia/Manila"),
    ("id.conduct", "ID", "Asia/Jakarta"),
    ("hk.conduct", "HK", "Asia/Hong_Kong"),
]


@pytest.mark.parametrize(("rule", "region", "zone"), ABROAD)
def test_others_are_not_asked_to_pay(small: Small, rule: str, region: str, zone: str) -> None:
    at = "2026-11-12 10:00:00"
    one = small.person(region, zone)
    friend = small.party("FR", one.account, "contact_person")
    broken = small.attempt(one, "sms", at, party=friend)
    small.attempt(one, "sms", at, party=small.party("GU", one.account, "guarantor"))
    small.attempt(one, "sms", at)
    assert small.rules() == {broken: {rule}}


def test_others_are_not_told_in_the_united_states(small: Small) -> None:
    placed, own = small.person("US-PA", NEW_YORK, third_party=True), small.person("US-PA", NEW_YORK)
    capital = small.person("US-DC", NEW_YORK)
    at = "2026-11-12 15:00:00"
    broken = small.attempt(placed, "call", at, party=small.party("F1", placed.account, "contact_person"))
    small.attempt(own, "call", at, party=small.party("F2", own.account, "contact_person"))
    in_dc = small.attempt(capital, "call", at, party=small.party("F3", capital.account, "contact_person"))
    assert small.rules() == {broken: {"us.fed.third-party"}, in_dc: {"us.dc.no-employer-family"}}


def test_a_person_is_asked_once_where_the_debtor_is(small: Small) -> None:
    one = small.person("US-PA", NEW_YORK, third_party=True)
    first, second = (small.party(key, one.account, "contact_person") for key in ("F1", "F2"))
    small.attempt(one, "call", "2026-10-02 15:00:00", party=first, purpose="locate", status="undelivered")
    small.attempt(one, "call", "2026-10-03 15:00:00", party=first, purpose="locate", status="answered")
    again = small.attempt(one, "call", "2026-11-12 15:00:00", party=first, purpose="locate")
    small.attempt(one, "call", "2026-11-12 15:00:00", party=second, purpose="locate")
    assert small.rules() == {again: {"us.fed.location-once"}}


def test_a_contact_person_is_asked_only_for_somebody_lost(small: Small) -> None:
    near, far = small.person("CN", SHANGHAI), small.person("CN", SHANGHAI)
    at = "2026-11-12 08:00:00"
    for person, last in ((near, "answered"), (far, "undelivered")):
        for day, status in ((9, "undelivered"), (10, "undelivered"), (11, last)):
            small.attempt(person, "voice", datetime(2026, 11, day, 8, tzinfo=UTC), status=status)
    friends = [small.party(f"F{person.party}", person.account, "contact_person") for person in (near, far)]
    broken = small.attempt(near, "call", at, party=friends[0], purpose="locate")
    small.attempt(far, "call", at, party=friends[1], purpose="locate")
    assert small.rules() == {broken: {"cn.contact-lost-only"}}


def test_no_visit_in_the_capital(small: Small) -> None:
    there, elsewhere = small.person("US-DC", NEW_YORK), small.person("US-VA", NEW_YORK)
    broken = small.worked(there, "visit", "2026-11-12 15:00:00")
    small.worked(elsewhere, "visit", "2026-11-12 15:00:00")
    assert small.rules() == {broken: {"us.dc.no-visit"}}


def test_new_york_city_wants_a_written_yes(small: Small) -> None:
    at, home = "2026-11-12 15:00:00", {"locality": "New York"}
    no, oral, imported, written = (small.person("US-NY", NEW_YORK, party=home) for _ in range(4))
    said = {"consent": "channel"}
    small.event("consent_given", "person", "2026-10-01 00:00:00", oral, channel="sms", detail=said)
    small.event(
        "consent_given", "person", "2026-10-01 00:00:00", written, channel="sms", detail={**said, "written": True}
    )
    small.sql("UPDATE contact_points SET consent = 'given' WHERE party_key = %s", imported.party)
    broken = {small.attempt(person, "sms", at) for person in (no, oral, imported)}
    small.attempt(written, "sms", at)
    broken.add(small.attempt(written, "email", at))
    small.attempt(no, "call", at)
    small.attempt(no, "email", "2026-08-31 15:00:00")
    assert small.rules() == {key: {"us.nyc.e-optin"} for key in broken}


def test_the_capital_allows_one_message_a_week_without_consent(small: Small) -> None:
    one, agreed = small.person("US-DC", NEW_YORK), small.person("US-DC", NEW_YORK)
    small.sql("UPDATE contact_points SET consent = 'given' WHERE party_key = %s", agreed.party)
    broken = None
    for person in (one, agreed):
        small.attempt(person, "email", "2026-11-10 15:00:00")
        second = small.attempt(person, "sms", "2026-11-16 15:00:00")
        broken = broken or second
        small.attempt(person, "sms", "2026-11-23 15:00:00")
    assert small.rules() == {broken: {"us.dc.e-consent"}}


def test_the_validation_notice_comes_first(small: Small) -> None:
    at = "2026-11-12 15:00:00"
    none, returned, sent = (small.person("US-PA", NEW_YORK, third_party=True, noticed=False) for _ in range(3))
    own = small.person("US-PA", NEW_YORK)
    small.attempt(returned, "letter", "2026-11-02 15:00:00", purpose="required_notice", status="undelivered")
    small.attempt(sent, "letter", "2026-11-02 15:00:00", purpose="required_notice", status="sent")
    broken = {small.attempt(person, "email", at) for person in (none, returned)}
    for person in (sent, own):
        small.attempt(person, "email", at)
    assert small.rules() == {key: {"us.fed.validation-notice"} for key in broken}


def test_a_case_knows_its_collector(small: Small) -> None:
    """A notice of the agency before counts for that agency, and calls of another one are not added."""
    one = small.person("US-PA", NEW_YORK, third_party=True)
    for number in range(7):
        small.attempt(one, "call", utc("2026-11-12 15:00:00") + timedelta(minutes=number), status="undelivered")
    small.insert(
        "cases",
        {
            "key": "other", "account_key": one.account, "episode": 2, "debtor_key": one.debtor, "creditor": "bank",
            "collector": "second", "strategy_digest": "d", "strategy": "s", "opened_at": "2026-11-12 00:00:00+00",
            "status": "closed", "closed_at": "2027-01-01 00:00:00+00", "close_reason": "cure",
        },
    )  # fmt: skip
    moved = one.__class__(one.party, one.debtor, one.account, "other", "bank")
    unnoticed = small.attempt(moved, "call", "2026-11-12 17:00:00")
    assert small.rules() == {unnoticed: {"us.fed.validation-notice"}}


# --- the record -----------------------------------------------------------------------------------------------------


def test_what_reached_nobody_is_no_contact(small: Small) -> None:
    one = small.person("GB", LONDON)
    for status in ("refused", "deferred", "retryable", "unsent"):
        key = small.attempt(one, "sms", "2026-11-12 03:00:00", status=status)
        small.sql("DELETE FROM sandbox_requests WHERE attempt_key = %s", key)
    assert small.rules() == {}


def test_every_attempt_has_its_decision(small: Small) -> None:
    one = small.person("GB", LONDON)
    for status in ("sent", "refused"):
        key = small.attempt(one, "sms", NOON, status=status)
        small.sql("DELETE FROM sandbox_requests WHERE attempt_key = %s", key)
        small.sql("DELETE FROM decisions WHERE attempt_key = %s", key)
    small.worked(one, "call", NOON)
    assert [(found.rule, found.why) for found in small.found()] == [("P3.decision", "no decision on record")] * 2


def test_the_last_decision_allowed_it(small: Small) -> None:
    one = small.person("GB", LONDON)
    at = utc(NOON)
    taken_up = small.attempt(one, "sms", at)
    small.sql(
        "UPDATE decisions SET verdict = 'defer', decided_at = %s WHERE attempt_key = %s", at - timedelta(1), taken_up
    )
    small.decision(taken_up, at, number=2)
    denied = small.attempt(one, "sms", at)
    small.decision(denied, at, "block", number=2)
    assert small.rules() == {denied: {"P4.verdict"}}


def test_a_decision_is_ten_seconds_old_at_most(small: Small) -> None:
    one = small.person("GB", LONDON)
    at = utc(NOON)
    fresh, stale, slow, afterwards = (small.attempt(one, "sms", at) for _ in range(4))
    for key, seconds in ((fresh, 10.0), (stale, 10.001), (afterwards, -0.001)):
        decided = at - timedelta(seconds=seconds)
        small.sql("UPDATE decisions SET decided_at = %s WHERE attempt_key = %s", decided, key)
    late = at + timedelta(seconds=11)
    small.sql("UPDATE sandbox_requests SET received_at = %s WHERE attempt_key = %s", late, slow)
    assert small.rules() == {key: {"P4.fresh"} for key in (stale, slow, afterwards)}


def test_every_attempt_stands_in_the_record(small: Small) -> None:
    one, other = small.person("GB", LONDON), small.person("GB", LONDON)
    _without_triggers(small)
    sent, worked = small.attempt(one, "sms", NOON), small.worked(other, "call", NOON)
    for key in (sent, worked):
        small.sql("DELETE FROM case_events WHERE body LIKE %s", f"%{key}%")
    small.sql("UPDATE cases SET chain_seq = 0, chain_hash = ''")
    assert small.rules() == {sent: {"P3.event"}, worked: {"P3.event"}}


def _without_triggers(small: Small) -> None:
    small.sql("ALTER TABLE case_events DISABLE TRIGGER USER")


FORGERIES = [
    "UPDATE case_events SET body = replace(body, '{', '{ ') WHERE seq = 2",
    "UPDATE case_events SET at = at + interval '1 microsecond' WHERE seq = 2",
    "UPDATE case_events SET kind = 'dispatchinG' WHERE seq = 2",
    "DELETE FROM case_events WHERE seq = 1",
    "DELETE FROM case_events WHERE seq = 3",
    "UPDATE cases SET chain_hash = 'x'",
]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_chain_that_was_touched_breaks(small: Small, forgery: str) -> None:
    one = small.person("GB", LONDON)
    for number in range(3):
        small.attempt(one, "letter", utc(NOON) + timedelta(days=number))
    assert small.rules() == {}
    _without_triggers(small)
    small.sql(forgery)
    assert "P9.chain" in small.rules()[one.case]


def test_the_carrier_heard_of_each_attempt_once(small: Small) -> None:
    one = small.person("GB", LONDON)
    twice, refused = small.attempt(one, "sms", NOON), small.attempt(one, "sms", NOON, status="refused")
    for key in (twice, "nobody's"):
        small.insert("sandbox_requests", {"attempt_key": key, "received_at": f"{NOON}+00"})
    assert small.rules() == {twice: {"P2.one-request"}, refused: {"P3.request"}, "nobody's": {"P3.request"}}


def test_no_word_about_a_person_leaves_the_database(small: Small) -> None:
    one = small.person("GB", LONDON, phone="+447700900001", party={"name": "Somebody"})
    small.event("wrong_party", "number", "2026-11-01 12:00:00", one, contact_point_key=f"{one.party}-phone")
    small.attempt(one, "sms", "2026-11-12 03:00:00")
    command = [sys.executable, "-m", "tests.recheck", small.url, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ran.returncode == 1, ran.stderr
    assert {found["rule"] for found in json.loads(ran.stdout)} == {"core.wrong-party", "uk.reasonable-time"}
    assert "7700900001" not in ran.stdout
    assert "Somebody" not in ran.stdout
    assert ran.stderr == ""


def test_every_rule_is_shown_to_fail_by_a_test() -> None:
    """No check without a record that breaks it: each id stands in a test of this folder."""
    texts = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [rule for rule in rule_ids() if f'"{rule}"' not in texts] == []


def test_nothing_of_the_programme_is_imported() -> None:
    for path in Path(__file__).parent.glob("*.py"):
        if not path.name.startswith(("test_", "conftest")):
            lines = path.read_text(encoding="utf-8").splitlines()
            ours = [line for line in lines if line.startswith(("import ", "from ")) and "tests.recheck" not in line]
            packages = {line.split()[1].partition(".")[0] for line in ours}
            assert packages.isdisjoint({"domain", "db", "activities", "workflows", "runtime", "cli", "sqlalchemy"})
