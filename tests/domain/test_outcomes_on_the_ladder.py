"""What the catalogue says about an outcome, on the ladder: strategies come first, appointments are kept, cases close."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.case import CaseState, Close, Corrected, History, OpenItem, Outcome, RecordReport, Wait, Worked
from domain.codes import CloseReason, TaskKind
from domain.decide import advance, apply, decide
from domain.strategy import Strategy
from domain.strategy_file import parse_strategy
from tests.domain.test_decide import _facts, _state

AT = datetime(2026, 3, 10, 16, tzinfo=UTC)
CALLBACK = AT + timedelta(hours=26)


def _ladder(more: str = "") -> Strategy:
    return parse_strategy(
        f"""
name: calls
version: 1
segment: {{}}
at_end: wait
steps:
  - {{id: call, task: call, start: {{since: opened}}, between: {{hours: "00:00-24:00"}}, tries: 2, every: 3 days, min_gap: 2 days{more}}}
  - {{id: mail, channel: email, template: t, start: {{since: step, days: 9}}, between: {{hours: "00:00-24:00"}}}}
""",
        "test",
    )


def _report(*outcomes: Outcome) -> RecordReport:
    return RecordReport(outcomes=list(outcomes), at=AT, facts=_facts())


def _after(strategy: Strategy, state: CaseState, **said: Any) -> CaseState:  # noqa: ANN401 - as Worked has them
    item = OpenItem(key="W1", kind=TaskKind.CALL, step="call", seq=state.seq + 1)
    state = state.model_copy(update={"item": item, "now": AT})
    worked = {"item": "W1", "step": "call", "seq": item.seq, "channel": "call", "disposition": "x", "at": AT, **said}
    return advance(apply(state, strategy, _report(Worked.model_validate(worked)))[0], strategy, AT)


def _due(strategy: Strategy, state: CaseState) -> tuple[str | None, datetime | None]:
    coming = decide(state, strategy, AT)
    assert isinstance(coming, Wait)
    return strategy.steps[state.cursor.index].id, coming.until


def test_an_outcome_is_tried_again_after_the_step_s_own_pause_or_its_own() -> None:
    ladder = _ladder()
    assert _due(ladder, _after(ladder, _state())) == ("call", AT + timedelta(days=3))
    assert _due(ladder, _after(ladder, _state(), again_at=AT + timedelta(days=4))) == ("call", AT + timedelta(days=4))
    soon = _after(ladder, _state(), again_at=AT + timedelta(hours=1))
    assert _due(ladder, soon) == ("call", AT + timedelta(days=2)), "the least gap of the step holds"


def test_an_appointment_is_kept_whatever_gap_and_tries() -> None:
    ladder, said = _ladder(", repeat_until: [rpc]"), {"again_at": CALLBACK, "appointed": True, "right_party": True}
    state = _after(ladder, _state(), **said)
    assert _due(ladder, state) == ("call", CALLBACK)
    for _ in range(3):
        state = _after(ladder, state, **said)
        assert _due(ladder, state) == ("call", CALLBACK)
    assert _after(ladder, state).cursor.index == 1, "then no tries are left"


def test_next_spares_the_tries_that_are_left() -> None:
    ladder = _ladder()
    assert _after(ladder, _state(), leaves=True).cursor.index == 1


@pytest.mark.parametrize("said", [{"leaves": True}, {"again_at": CALLBACK, "appointed": True}])
def test_what_the_strategy_says_comes_first(said: dict[str, Any]) -> None:
    ladder = _ladder(", then: {x: {close: settled}}")
    assert decide(_after(ladder, _state(), **said), ladder, AT) == Close(reason=CloseReason.SETTLED)


def test_an_outcome_may_close_the_case() -> None:
    ladder = _ladder()
    state = _after(ladder, _state(), closing=CloseReason.UNCOLLECTABLE)
    assert decide(state, ladder, AT) == Close(reason=CloseReason.UNCOLLECTABLE)


def _corrected(**more: Any) -> Corrected:  # noqa: ANN401 - as Corrected has them
    now = Worked(item="W1", step="call", seq=1, channel="call", disposition="no_answer", at=AT + timedelta(hours=1))
    values = {"was": "x", "was_right_party": True, "still_said": False, "was_at": AT, "try_no": 1, "now": now, **more}
    return Corrected.model_validate(values)


def test_a_correction_goes_back_to_the_step_while_nothing_else_was_tried() -> None:
    ladder = _ladder(", repeat_until: [rpc]")
    state = _after(ladder, _state(), right_party=True)
    assert (state.cursor.index, state.history.rpcs) == (1, 1)
    back = apply(state, ladder, _report(_corrected()))[0]
    assert (back.history.rpcs, back.history.dispositions, back.history.done_steps) == (0, ("no_answer",), ())
    assert _due(ladder, back) == ("call", AT + timedelta(days=3)), "it counts from the call, not from the correction"
    later = History.model_validate({**state.history.model_dump(), "last_contact_at": AT + timedelta(days=1)})
    stays = apply(state.model_copy(update={"history": later}), ladder, _report(_corrected()))[0]
    assert (stays.cursor.index, stays.history.rpcs, stays.history.dispositions) == (1, 0, ("no_answer",))


def test_a_code_that_another_outcome_said_too_stays_said() -> None:
    ladder = _ladder()
    state = _after(ladder, _state(), right_party=True)
    kept = apply(state, ladder, _report(_corrected(still_said=True)))[0]
    assert kept.history.dispositions == ("no_answer", "x")
