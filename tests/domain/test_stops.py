"""What is left of a ladder when something happened to the person or the debt, and that nothing bursts afterwards."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.case import Ask, CaseState, Contact, ContactReport, Cursor, Decided, GiveUp, GiveUpReport, OpenItem, Wait
from domain.codes import AttemptStatus, HoldReason, Purpose, TaskKind, Verdict
from domain.decide import advance, apply, decide
from domain.facts import Holding
from domain.state_events import BARS_THE_LADDER, ENDS_OF, MEANINGS, WORDS, StateKind, bars
from tests.domain.test_decide import LADDER, OPENED, _facts, _state


def _decide(state: CaseState, now: datetime) -> Decided:
    return decide(advance(state, LADDER, now), LADDER, now)


def test_every_kind_has_its_row_and_its_words() -> None:
    assert set(MEANINGS) == set(StateKind)
    for kind, meaning in MEANINGS.items():
        assert meaning.hold is None or meaning.hold in WORDS
        assert not meaning.bars or kind in WORDS
        assert not (meaning.hold and meaning.bars)
        assert all(kind in ENDS_OF[other] for other in meaning.ends)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (HoldReason.BANKRUPTCY, "bankruptcy: no contact until it is lifted"),
        (HoldReason.DISPUTE, "disputed: no contact until it is answered"),
        (HoldReason.PAUSED, "on hold (paused) until an event ends it"),
    ],
)
def test_a_resting_case_says_in_words_what_it_waits_for(reason: HoldReason, words: str) -> None:
    coming = _decide(_state(facts=_facts(hold=Holding(reason=reason))), OPENED + timedelta(days=40))
    assert isinstance(coming, Wait)
    assert coming.why == words


def test_a_resting_case_says_until_when() -> None:
    hold = Holding(reason=HoldReason.BREATHING_SPACE, until=OPENED + timedelta(days=60))
    coming = _decide(_state(facts=_facts(hold=hold)), OPENED)
    assert isinstance(coming, Wait)
    assert coming.why == "breathing space: no contact until 2026-05-02 06:00 UTC"


@given(st.integers(0, 24 * 300))
def test_a_cease_leaves_legal_review_and_nothing_else(hours: int) -> None:
    now = OPENED + timedelta(hours=hours)
    coming = _decide(_state(facts=_facts(stops=(StateKind.CEASE,))), now)
    assert isinstance(coming, Ask if now.date() >= (OPENED + timedelta(days=60)).date() else Wait | Ask)
    if isinstance(coming, Ask):
        assert (coming.kind, coming.step) == (TaskKind.LEGAL, "court")


def test_a_cease_lets_a_required_notice_pass() -> None:
    assert not bars(StateKind.CEASE, LADDER.steps[0].via, Purpose.REQUIRED_NOTICE)
    assert bars(StateKind.CEASE, LADDER.steps[0].via, Purpose.COLLECT)


@given(st.integers(0, 24 * 300), st.sampled_from([StateKind.DECEASED, StateKind.BANKRUPTCY_DISCHARGED]))
def test_after_a_death_or_a_discharge_the_case_waits_in_place(hours: int, kind: StateKind) -> None:
    state = _state(facts=_facts(stops=(kind,)))
    now = OPENED + timedelta(hours=hours)
    coming = _decide(state, now)
    assert isinstance(coming, Wait)
    assert coming.why == WORDS[kind]
    assert advance(state, LADDER, now) == state


@pytest.mark.parametrize("kind", [StateKind.TIME_BARRED, StateKind.MILITARY])
def test_legal_steps_are_passed_over_and_all_others_are_not(kind: StateKind) -> None:
    barred = [step.id for step in LADDER.steps if bars(kind, step.via, step.purpose)]
    assert barred == ["court"]
    after = Cursor(index=LADDER.index_of("court"), step_done_at=OPENED)
    late = OPENED + timedelta(days=90)
    assert isinstance(_decide(_state(cursor=after), late), Ask)
    assert isinstance(_decide(_state(cursor=after, facts=_facts(stops=(kind,))), late), Wait)


@pytest.mark.parametrize(
    "change",
    [{"hold": Holding(reason=HoldReason.BANKRUPTCY)}, {"stops": (StateKind.CEASE,)}, {"stops": (StateKind.DECEASED,)}],
)
def test_an_open_call_is_taken_back_and_nobody_is_blamed(change: dict[str, object]) -> None:
    now = OPENED + timedelta(days=21)
    item = OpenItem(key="W1", kind=TaskKind.CALL, step="call", seq=5, expires_at=now + timedelta(days=3))
    facts = _facts(**change)
    state = _state(item=item, cursor=Cursor(index=LADDER.index_of("call"), step_done_at=OPENED), facts=facts)
    coming = _decide(state, now)
    assert coming == GiveUp(item="W1", requeue=False, withdrawn=True)
    after, own = apply(state, LADDER, GiveUpReport(item="W1", withdrawn=True, at=now, facts=facts))
    assert (after.item, after.history.unworked, own) == (None, False, [])
    assert isinstance(_decide(after, now), Wait)
    lifted = after.model_copy(update={"facts": _facts()})
    again = _decide(lifted, now)
    assert isinstance(again, Ask)
    assert again.step == "call"


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([*BARS_THE_LADDER, HoldReason.BANKRUPTCY, HoldReason.BREATHING_SPACE]),
)
def test_an_end_resumes_without_a_burst(begins: int, lasts: int, what: StateKind | HoldReason) -> None:
    """Whatever stood however long: afterwards one instant brings at most one contact, and none is made twice."""
    resting = {"hold": Holding(reason=what)} if isinstance(what, HoldReason) else {"stops": (what,)}
    state, made = _state(), list[str]()
    for day in range(begins + lasts + 5):
        now = OPENED + timedelta(days=day)
        facts = _facts(**(resting if begins <= day < begins + lasts else {}))
        state = state.model_copy(update={"facts": facts})
        at_once = 0
        for _ in range(10):
            state = advance(state, LADDER, now)
            coming = decide(state, LADDER, now)
            if not isinstance(coming, Contact):
                break
            at_once += 1
            made.append(coming.step)
            report = ContactReport(
                seq=coming.seq, step=coming.step, status=AttemptStatus.SENT, verdict=Verdict.ALLOW, at=now, facts=facts
            )
            state, _own = apply(state, LADDER, report)
        assert at_once <= 1
    assert len(made) == len(set(made))
