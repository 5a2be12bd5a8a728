"""What must hold whatever the facts and whatever the rules, on the packs that ship and on random ones."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from activities.rulebook import read_rulebook
from domain.calendar import start_of_day
from domain.compliance import (
    Consent,
    Debtor,
    Event,
    Facts,
    Inconvenient,
    Pack,
    Past,
    RuleBook,
    Ruling,
    Validation,
    decide,
)
from tests.domain.compliance.conftest import RULES
from tests.domain.compliance.packs import pack, rule

FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
ZONES = (
    "America/New_York",
    "Pacific/Honolulu",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Asia/Shanghai",
)
ANCHORS = (
    datetime(2026, 11, 24, 17, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),  # the night New York repeats an hour
    datetime(2026, 3, 8, 7, tzinfo=UTC),  # and the one in which it skips one
    datetime(2028, 2, 29, 5, tzinfo=UTC),
    datetime(2026, 12, 31, 23, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),  # half an hour, on Lord Howe
)
PACKS = (
    "us-federal",
    "us-ma",
    "us-wa",
    "us-dc",
    "us-nyc",
    "cn-mainland",
    "uk",
    "in-rbi",
    "id-ojk",
    "ph-sec",
    "au-rg96",
    "br-sp",
    "house",
)
SECOND = timedelta(seconds=1)


@lru_cache(maxsize=1)
def shipped() -> RuleBook:
    return read_rulebook(RULES)


# --- facts ------------------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn, now: datetime) -> tuple[Past, ...]:
    entries = st.builds(
        Past,
        t=st.integers(0, 12 * 24 * 60).map(lambda minutes: now - timedelta(minutes=minutes)),
        type=st.sampled_from(
            (
                "call_out",
                "call_out",
                "ai_call_out",
                "sms_out",
                "email_out",
                "letter_out",
                "visit",
                "conversation",
                "call_in",
            )
        ),
        result=st.sampled_from((None, "voicemail", "busy", "answered", "no_answer", "unknown")),
        debts=st.sampled_from(((), ("D1",), ("D2",))),
        to=st.sampled_from((None, "P1")),
        effective=st.sampled_from((None, True, False)),
    )
    return tuple(draw(st.lists(entries, max_size=9)))


@st.composite
def situations(draw: st.DrawFn) -> Facts:
    now = draw(st.sampled_from(ANCHORS)) + timedelta(minutes=draw(st.integers(-36 * 60, 36 * 60)))
    clocks = st.builds(time, st.integers(0, 23), st.sampled_from((0, 30)))
    consents = st.builds(
        Consent,
        st.sampled_from(("time", "callback")),
        t=st.just(now - timedelta(days=1)),
        opens=clocks,
        closes=clocks,
        given_to=st.just("collector"),
        evidence=st.just("rec"),
        expires=st.sampled_from((None, now + timedelta(hours=5))),
    )
    events = st.builds(
        Event,
        st.sampled_from(("bereavement", "initial_communication", "dispute_other", "validation_sent", "disaster")),
        t=st.integers(0, 40).map(lambda days: now - timedelta(days=days)),
        debts=st.sampled_from(((), ("D1",))),
    )
    return Facts(
        now=now,
        channel=draw(st.sampled_from(("call", "call", "sms", "email", "letter", "visit", "ai_call"))),
        actor=draw(st.sampled_from(("third_party_collector", "first_party_creditor"))),
        debts=draw(st.sampled_from((("D1",), ("D1", "D2")))),
        packs=tuple(draw(st.sets(st.sampled_from(PACKS), min_size=1, max_size=3))),
        debtor=Debtor(
            tz_candidates=tuple(draw(st.sets(st.sampled_from(ZONES), min_size=1, max_size=2))),
            inconvenient=tuple(draw(st.lists(st.builds(Inconvenient, clocks, clocks), max_size=1))),
        ),
        consents=tuple(draw(st.lists(consents, max_size=1))),
        events=tuple(draw(st.lists(events, max_size=2))),
        history=draw(histories(now)),
        holidays=frozenset(draw(st.sets(st.sampled_from((date(2026, 11, 25), date(2028, 2, 29))), max_size=1))),
        validation=Validation(sent=draw(st.sampled_from((None, True)))),
        sms_consent=True,
        robo_consent=True,
        nyc_e_consent_written=True,
        rnd_checked_days_ago=1,
        collectors=2,
        recording=True,
        visit_agreed=True,
        purpose=draw(st.sampled_from((None, "collect", "service"))),
        to="P1",
        dpd=draw(st.sampled_from((5, 40))),
    )


# --- rules ------------------------------------------------------------------------------------------------

HOURS = st.builds(
    lambda first, length, last_day, holidays: (
        f"    hours: {{open: {{mon-{last_day}: '{first:02d}:30-{min(first + length, 23):02d}:30'}}, "
        f"holidays: {holidays}, consent: {{type: time}}}}"
    ),
    st.integers(0, 20),
    st.integers(1, 12),
    st.sampled_from(("fri", "sat", "sun")),
    st.sampled_from(("open", "closed")),
)
COUNTS = st.builds(
    "    count: {{of: {}, same: [{}], window: {}, limit: {}}}".format,
    st.sampled_from(("any", "calls", "e_messages", "visits")),
    st.sampled_from(("debt", "person", "debt, person")),
    st.sampled_from(
        ("{calendar_days: 7}", "{calendar_days: 1}", "{hours: 24}", "{week: strictest}", "{week: from_sunday}")
    ),
    st.integers(1, 3),
)
STATES = st.builds(
    "    state: {{events: [{}], scope: debt, lasts: {{days: {}, since: t}}}}\n    then: {}".format,
    st.sampled_from(("bereavement", "disaster", "dispute_other")),
    st.integers(1, 40),
    st.sampled_from(("defer", "defer", "block")),
)
EFFECT = st.sampled_from(
    (
        "",
        "    effective: {from: 2026-11-25}\n",
        "    effective: {to: 2026-11-25}\n",
        "    effective: {to: 2028-02-29}\n",
    )
)
BODIES = st.builds(
    lambda effect, body: effect + body, EFFECT, st.one_of(HOURS, COUNTS, STATES, st.just("    inconvenient: true"))
)


@st.composite
def books(draw: st.DrawFn) -> list[Pack]:
    bodies = draw(st.lists(BODIES, min_size=1, max_size=5))
    rules = [rule(body, rule_id=f"t.r{number}") for number, body in enumerate(bodies)]
    return [pack(*rules[::2]), *([pack(*rules[1::2], name="u")] if rules[1::2] else [])]


def judged(facts: Facts, packs: list[Pack]) -> Ruling:
    return decide(naming(facts, packs), RuleBook(packs))


def naming(facts: Facts, packs: list[Pack]) -> Facts:
    return replace(facts, packs=tuple(one.pack for one in packs))


def now_hit(ruling: Ruling) -> set[str]:
    """Return the rules that spoke against the instant itself."""
    return {hit.rule_id for hit in ruling.hits if not hit.later and hit.rule_id != "core.no-release"}


def at(facts: Facts, now: datetime) -> Facts:
    return replace(facts, now=now)


def alone(packs: list[Pack]) -> list[list[Pack]]:
    """Return a book for each rule by itself."""
    return [[one.model_copy(update={"rules": (only,)})] for one in packs for only in one.rules]


# --- promises ---------------------------------------------------------------------------------------------


@FEW
@given(facts=situations(), packs=books())
def test_an_allowed_instant_satisfies_every_rule_by_itself(facts: Facts, packs: list[Pack]) -> None:
    ruling = judged(facts, packs)
    assume(ruling.decision in {"allow", "defer"})
    moment = at(facts, ruling.defer_until or facts.now)
    assert judged(moment, packs).decision == "allow"
    for one in alone(packs):
        assert judged(moment, one).decision == "allow"


@FEW
@given(facts=situations(), packs=books(), probes=st.lists(st.floats(0, 1, exclude_max=True), max_size=12))
def test_nothing_before_the_release_would_have_been_allowed(
    facts: Facts, packs: list[Pack], probes: list[float]
) -> None:
    book, facts = RuleBook(packs), naming(facts, packs)
    ruling = decide(facts, book)
    assume(ruling.defer_until is not None)
    assert ruling.defer_until is not None
    wait = ruling.defer_until - facts.now
    assert wait > timedelta(0)
    moments = [facts.now + share * wait for share in probes]
    moments += [ruling.defer_until - SECOND * back for back in (1, 1800, 3600, 7200)]
    moments += [facts.now + number * timedelta(minutes=15) for number in range(60)]
    for moment in moments:
        if facts.now <= moment < ruling.defer_until:  # a share of almost 1 rounds up to it
            assert decide(at(facts, moment), book).decision != "allow", moment


@FEW
@given(facts=situations(), packs=books(), more=BODIES)
def test_adding_a_rule_never_allows_more(facts: Facts, packs: list[Pack], more: str) -> None:
    before, after = judged(facts, packs), judged(facts, [*packs, pack(rule(more, rule_id="v.more"), name="v")])
    hardness = {"allow": 0, "defer": 1, "review": 2, "block": 3}
    assert hardness[after.decision] >= hardness[before.decision]
    assert now_hit(before) <= now_hit(after)
    if before.defer_until is not None and after.defer_until is not None:
        assert after.defer_until >= before.defer_until


@FEW
@given(facts=situations(), packs=books(), data=st.data())
def test_no_order_changes_anything(facts: Facts, packs: list[Pack], data: st.DataObject) -> None:
    ruling = judged(facts, packs)
    turned = [one.model_copy(update={"rules": tuple(data.draw(st.permutations(one.rules)))}) for one in packs]
    shuffled = replace(
        facts,
        history=tuple(data.draw(st.permutations(facts.history))),
        events=tuple(data.draw(st.permutations(facts.events))),
    )
    other = judged(shuffled, turned[::-1])
    assert (other.decision, other.defer_until, other.rule_ids, other.hits) == (
        ruling.decision,
        ruling.defer_until,
        ruling.rule_ids,
        ruling.hits,
    )


@FEW
@given(facts=situations())
def test_the_shipped_packs_keep_the_same_promises(facts: Facts) -> None:
    ruling = decide(facts, shipped())
    for named in facts.packs or ():
        fewer = decide(replace(facts, packs=(named,)), shipped())
        assert now_hit(fewer) <= now_hit(ruling)
        if ruling.decision == "allow":
            assert fewer.decision == "allow"
    if ruling.defer_until is not None:
        assert decide(at(facts, ruling.defer_until), shipped()).decision == "allow"
        wait = ruling.defer_until - facts.now
        for moment in chain([ruling.defer_until - SECOND], (facts.now + wait * n / 20 for n in range(20))):
            assert decide(at(facts, moment), shipped()).decision != "allow"


@FEW
@given(facts=situations(), extra=st.data())
def test_one_more_contact_in_the_past_never_allows_more(facts: Facts, extra: st.DataObject) -> None:
    more = extra.draw(histories(facts.now))
    before = decide(facts, shipped())
    after = decide(replace(facts, history=(*facts.history, *more)), shipped())
    talked = any(
        past.type in {"conversation", "call_in"} or past.effective or past.result == "answered" for past in more
    )
    assume(not talked)  # a talk may end the consent to be called back, which is a change of another kind
    if before.decision != "allow":
        assert after.decision != "allow"


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_ends_at_the_midnight_of_its_zone(zone: str) -> None:
    one = [pack(rule("    count: {of: calls, window: {calendar_days: 1}, limit: 1}"))]
    for day in (date(2026, 11, 1), date(2026, 3, 8), date(2028, 2, 29), date(2026, 4, 5)):
        midnight = start_of_day(day, zone)
        facts = Facts(
            now=midnight - SECOND,
            channel="call",
            debtor=Debtor(tz_candidates=(zone,)),
            history=(Past(midnight - 2 * SECOND, "call_out"),),
        )
        assert judged(facts, one).defer_until == midnight
        assert judged(at(facts, midnight), one).decision == "allow"


def everything(facts: Facts) -> dict[str, Any]:
    """Return facts as values, to compare them."""
    return {name: getattr(facts, name) for name in facts.__slots__}


def test_a_ruling_leaves_the_facts_as_they_are() -> None:
    facts = Facts(now=ANCHORS[0], channel="call", debtor=Debtor(tz_candidates=("Asia/Kolkata",)), packs=("in-rbi",))
    before = everything(facts)
    decide(facts, shipped())
    assert everything(facts) == before
