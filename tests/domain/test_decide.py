"""The judgement of a case: no contact without debt, no burst, nobody visited for an item nobody worked."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.case import (
    CaseState,
    Close,
    Contact,
    ContactReport,
    Cursor,
    GiveUpReport,
    History,
    OpenItem,
    RecordReport,
    Reported,
    Wait,
)
from domain.codes import AttemptStatus, HoldReason, TaskKind, Verdict
from domain.decide import LAST_REASONS, advance, apply, decide
from domain.facts import Facts, Holding
from domain.messages import RefusedMessageError, parse_message
from domain.strategy_file import parse_strategy

DUE = date(2026, 3, 2)
OPENED = datetime(2026, 3, 3, 6, tzinfo=UTC)
LADDER = parse_strategy(
    """
name: ladder
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: sms, template: t, start: {since: due, days: 1}}
  - {id: two, channel: email, template: t, start: {since: due, days: 3}}
  - {id: three, channel: sms, template: t, start: {since: due, days: 7}}
  - {id: four, channel: email, template: t, start: {since: due, days: 14}}
  - {id: call, task: call, start: {since: due, days: 20}, unworked: skip}
  - {id: visit, task: visit, start: {since: due, days: 30}}
  - {id: court, task: legal, start: {since: due, days: 60}}
""",
    "test",
)


def _facts(**changes: object) -> Facts:
    return Facts.model_validate(
        {
            "as_of": OPENED,
            "currency": "USD",
            "past_due": 100,
            "balance": 100,
            "oldest_due_on": DUE,
            "dpd": 1,
            "zone": "America/Chicago",
            **changes,
        }
    )


def _state(**changes: object) -> CaseState:
    state = CaseState(
        case_key="A1/1",
        account_key="A1",
        now=OPENED,
        opened_at=OPENED,
        facts=_facts(),
        cursor=Cursor(step_done_at=OPENED),
    )
    return state.model_copy(update=changes)


times = st.datetimes(datetime(2026, 3, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
stopping = st.sampled_from(
    [
        {"past_due": 0},
        {"hold": Holding(reason=HoldReason.DISPUTE)},
        {"zone": None},
        {"closing": "recalled"},
    ]
)


@given(times, stopping)
def test_p1_no_contact_without_debt_on_hold_closed_or_without_a_zone(now: datetime, change: dict[str, object]) -> None:
    state = _state(facts=_facts(**change), now=now)
    assert not isinstance(decide(advance(state, LADDER, now), LADDER, now), Contact)


@given(st.lists(st.integers(1, 24 * 20), min_size=1, max_size=12))
def test_never_two_contacts_at_once_whatever_the_downtime(hours: list[int]) -> None:
    """However long the machine was down, one instant brings at most one contact, and none is made twice."""
    state, now, made = _state(), OPENED, []
    for gap in hours:
        now += timedelta(hours=gap)
        at_once = 0
        for _ in range(10):
            state = advance(state, LADDER, now)
            coming = decide(state, LADDER, now)
            if not isinstance(coming, Contact):
                break
            at_once += 1
            made.append(coming.step)
            report = ContactReport(
                seq=coming.seq,
                step=coming.step,
                status=AttemptStatus.SENT,
                verdict=Verdict.ALLOW,
                at=now,
                facts=_facts(),
            )
            state, _own = apply(state, LADDER, report)
        assert at_once <= 1
    assert len(made) == len(set(made))


def test_p1_an_item_nobody_worked_is_no_attempt_and_leads_to_no_visit_and_no_court() -> None:
    now = OPENED + timedelta(days=25)
    item = OpenItem(key="W1", kind=TaskKind.CALL, step="call", seq=5, expires_at=now)
    state = _state(item=item, cursor=Cursor(index=4, step_done_at=OPENED), seq=5, history=History(tries=4, days=4))
    report = GiveUpReport(item="W1", at=now, facts=_facts())
    state, _own = apply(state, LADDER, report)
    assert state.history.tries == 4
    later = now + timedelta(days=100)
    assert isinstance(decide(advance(state, LADDER, later), LADDER, later), Wait)


@given(times)
def test_deciding_twice_is_deciding_once(now: datetime) -> None:
    state = advance(_state(), LADDER, now)
    assert decide(state, LADDER, now) == decide(state, LADDER, now)
    assert advance(state, LADDER, now) == state


def test_what_was_put_off_is_taken_up_at_once_when_somebody_lets_it_go_on() -> None:
    later = OPENED + timedelta(hours=9)
    deferred = ContactReport(
        seq=1,
        step="one",
        status=AttemptStatus.DEFERRED,
        verdict=Verdict.DEFER,
        not_before=later + timedelta(hours=1),
        at=later,
        facts=_facts(),
    )
    state, _ = apply(_state(now=later), LADDER, deferred)
    assert isinstance(decide(state, LADDER, later), Wait)
    for seq, goes_on in ((2, False), (1, True)):
        told = Reported(seq=seq, step="one", status=AttemptStatus.DEFERRED, not_before=later)
        then, _ = apply(state, LADDER, RecordReport(outcomes=[told], at=later, facts=_facts()))
        assert isinstance(decide(then, LADDER, later), Contact) is goes_on


@pytest.mark.parametrize("reason", sorted(LAST_REASONS))
def test_nobody_can_order_that_a_debt_is_paid(reason: str) -> None:
    with pytest.raises(RefusedMessageError, match="only the ledger can say"):
        parse_message("close_case", {"event_id": "ops/1", "reason": reason})
    owing = CaseState.model_validate({**_state().model_dump(), "closing": reason})
    assert not isinstance(decide(owing, LADDER, OPENED), Close)  # else it would ask to close again and again
    paid = owing.model_copy(update={"facts": _facts(past_due=0)})
    assert isinstance(decide(paid, LADDER, OPENED), Close)
