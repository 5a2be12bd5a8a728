"""People pass the gate too: a call is asked about when it is dialled, counted once, and judged afterwards otherwise."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from temporalio.testing import ActivityEnvironment

from activities.cases import CaseActivities
from activities.dialling import Dialled, Dialling, NotNow
from activities.judging import Judge
from activities.rule_facts import Rules
from domain.case import Ask, AskReport, AskRequest, CaseInput, RecordRequest
from domain.codes import TaskKind
from domain.messages import Received
from domain.rule_gate import RuleGate
from tests.activities.cases import AT, open_cases, row
from tests.activities.test_rule_gate import BOOK

CALLS = """
name: calls
version: 1
segment: {}
at_end: wait
steps:
  - {id: call, task: call, start: {since: opened}, between: {hours: "00:00-24:00"}}
"""
EARLY = datetime(2026, 3, 3, 12, 30, tzinfo=UTC)
"""Half past six in Chicago."""


@pytest.fixture
def judge() -> Judge:
    return Judge(RuleGate(BOOK), Rules())


def _ask(engine: Engine, judge: Judge, case: CaseInput) -> AskReport:
    request = AskRequest(
        state=case.state, strategy_digest=case.strategy_digest, ask=Ask(kind=TaskKind.CALL, step="call", seq=1)
    )
    report = ActivityEnvironment().run(CaseActivities(engine, None, judge).ask, request)
    assert isinstance(report, AskReport)
    return report


def _dial(engine: Engine, judge: Judge, item: str, at: datetime = AT) -> Dialled | NotNow | None:
    return Dialling(engine, judge).admit(item, lambda: at, at, logical=True)


def _rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(one) for one in connection.exec_driver_sql(query)]


async def _tell(engine: Engine, judge: Judge, case: CaseInput, **body: object) -> None:
    message = {"event_id": "call/1", "party_reached": "no_one", "disposition": "no_answer", **body}
    received = Received(name="record_call_outcome", event_id=str(message["event_id"]), at=AT, body=message)
    request = RecordRequest(state=case.state, strategy_digest=case.strategy_digest, messages=[received])
    await ActivityEnvironment().run(CaseActivities(engine, None, judge).record_events, request)


async def test_a_call_is_admitted_when_it_is_dialled_and_its_outcome_lands_on_the_same_attempt(
    engine: Engine, judge: Judge, tmp_path: Path
) -> None:
    cases = open_cases(engine, tmp_path, row("L1", "K1") + row("L2", "K1"), ladder=CALLS)
    report = _ask(engine, judge, cases["L1"])
    _ask(engine, judge, cases["L2"])
    assert report.item is not None
    dialled = _dial(engine, judge, report.item.key)
    assert isinstance(dialled, Dialled)
    assert set(dialled.cases) == {cases["L1"].state.case_key, cases["L2"].state.case_key}
    assert _rows(engine, "SELECT key, status, provider FROM attempts") == [
        (dialled.attempt_key, "dispatching", "agent")
    ]
    await _tell(engine, judge, cases["L2"], work_item=report.item.key, duration_seconds=20)
    assert _rows(engine, "SELECT key, status, outcome, duration_seconds FROM attempts") == [
        (dialled.attempt_key, "failed", "no_answer", 20)
    ]
    assert len(_rows(engine, "SELECT 1 FROM attempt_accounts")) == 2


def test_p10_whoever_dials_again_after_a_crash_gets_the_same_attempt(
    engine: Engine, judge: Judge, tmp_path: Path
) -> None:
    cases = open_cases(engine, tmp_path, row("L1", "K1") + row("L2", "K1"), ladder=CALLS)
    item = _ask(engine, judge, cases["L1"]).item
    _ask(engine, judge, cases["L2"])
    assert item is not None
    assert _dial(engine, judge, item.key) == _dial(engine, judge, item.key)
    assert len(_rows(engine, "SELECT 1 FROM attempts")) == 1


def test_p4_a_call_too_early_is_put_off_with_its_decision_and_admitted_later_under_the_same_key(
    engine: Engine, judge: Judge, tmp_path: Path
) -> None:
    case = open_cases(engine, tmp_path, row("L1", "K1"), ladder=CALLS)["L1"]
    item = _ask(engine, judge, case).item
    assert item is not None
    refused = _dial(engine, judge, item.key, EARLY)
    assert isinstance(refused, NotNow)
    assert refused.until == EARLY.replace(hour=14, minute=0)
    assert "house.hours" in refused.rule_ids
    assert isinstance(_dial(engine, judge, item.key), Dialled)
    assert _rows(engine, "SELECT verdict FROM decisions ORDER BY number") == [("defer",), ("allow",)]


def test_p4_a_task_that_the_gate_refuses_is_not_given_to_anybody(engine: Engine, judge: Judge, tmp_path: Path) -> None:
    case = open_cases(engine, tmp_path, row("L1", "K1", phone=""), ladder=CALLS)["L1"]
    report = _ask(engine, judge, case)
    assert report.item is None
    assert "core.no-contact-point" in report.rule_ids
    again = _ask(engine, judge, case)
    assert (again.item, again.rule_ids) == (None, report.rule_ids)
    assert _rows(engine, "SELECT status FROM attempts") == [("refused",)]
    assert _rows(engine, "SELECT count(*) FROM work_items") == [(0,)]


async def test_a_call_made_unasked_is_counted_judged_and_an_incident_if_it_broke_a_rule(
    engine: Engine, judge: Judge, tmp_path: Path
) -> None:
    case = open_cases(engine, tmp_path, row("L1", "K1"), ladder=CALLS)["L1"]
    await _tell(engine, judge, case)
    assert _rows(engine, "SELECT verdict FROM decisions") == [("allow",)]
    early = case.model_copy(update={"state": case.state.model_copy(update={"now": EARLY})})
    received = Received(
        name="record_call_outcome",
        event_id="call/2",
        at=EARLY,
        body={"event_id": "call/2", "party_reached": "no_one", "disposition": "no_answer"},
    )
    request = RecordRequest(
        state=early.state.model_copy(update={"seq": 1}), strategy_digest=case.strategy_digest, messages=[received]
    )
    await ActivityEnvironment().run(CaseActivities(engine, None, judge).record_events, request)
    assert _rows(engine, "SELECT verdict FROM decisions ORDER BY id") == [("allow",), ("defer",)]
    assert _rows(engine, "SELECT count(*) FROM case_events WHERE kind = 'incident'") == [(1,)]


def test_a_repair_and_a_call_of_one_case_are_two_items(engine: Engine, judge: Judge, tmp_path: Path) -> None:
    case = open_cases(engine, tmp_path, row("L1", "K1"), ladder=CALLS)["L1"]
    repair = AskRequest(
        state=case.state,
        strategy_digest=case.strategy_digest,
        ask=Ask(kind=TaskKind.DATA_REPAIR, step=None, seq=1, reason="zone_unknown"),
    )
    ActivityEnvironment().run(CaseActivities(engine, None, judge).ask, repair)
    _ask(engine, judge, case)
    assert _rows(engine, "SELECT kind FROM work_items ORDER BY key") == [("data_repair",), ("call",)]


def test_one_call_speaks_only_of_debts_that_may_be_spoken_of_together(
    engine: Engine, judge: Judge, tmp_path: Path
) -> None:
    later = AT + timedelta(days=1)
    cases = open_cases(engine, tmp_path, row("L1", "K1") + row("L2", "K1", creditor_id="bank"), ladder=CALLS)
    item = _ask(engine, judge, cases["L1"]).item
    assert item is not None
    assert isinstance(_dial(engine, judge, item.key, later), Dialled)
    assert _rows(engine, "SELECT count(*) FROM attempt_accounts") == [(1,)]
