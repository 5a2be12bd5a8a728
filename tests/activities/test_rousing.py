"""Nothing overtakes what a case has not heard of yet: its row says so from the commit of the event on."""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine
from temporalio.testing import ActivityEnvironment

from activities.cases import CaseActivities
from activities.judging import Judge
from domain.case import CaseInput, RecordReport, RecordRequest
from domain.gate import LedgerGate
from domain.messages import Received
from tests.activities.cases import AT, open_cases, row

LATER = AT + timedelta(hours=2)
HOUR = timedelta(hours=1)
NEVER_YET = """
name: later
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: sms, template: payment-reminder, start: {since: due, days: 60}, between: {hours: "09:00-18:00"}}
"""


async def _record(engine: Engine, case: CaseInput, event_id: str) -> RecordReport:
    body = {"event_id": event_id, "form": "portal"}
    received = Received(name="dispute", event_id=event_id, at=LATER, body=body)
    request = RecordRequest(
        state=case.state.model_copy(update={"now": LATER}), strategy_digest=case.strategy_digest, messages=[received]
    )
    report = await ActivityEnvironment().run(
        CaseActivities(engine, None, Judge(LedgerGate(), None)).record_events, request
    )
    assert isinstance(report, RecordReport)
    return report


def _due(engine: Engine, case: CaseInput) -> object:
    with engine.connect() as connection:
        query = "SELECT due_at FROM cases WHERE key = %s"
        return connection.exec_driver_sql(query, (case.state.case_key,)).scalar_one()


async def test_a_case_that_an_event_concerns_is_not_past_it_until_it_has_heard(engine: Engine, tmp_path: Path) -> None:
    cases = open_cases(engine, tmp_path, row("L1", "K1") + row("L2", "K1") + row("L3", "K2"), ladder=NEVER_YET)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE cases SET status = 'open'")
    assert all(_due(engine, case) > LATER for case in cases.values())  # type: ignore[operator]
    await _record_bankruptcy(engine, cases["L1"])
    assert _due(engine, cases["L2"]) == LATER
    assert _due(engine, cases["L3"]) > LATER  # type: ignore[operator]


async def test_an_activity_that_is_repeated_does_not_say_that_the_case_waits_when_it_has_more_to_hear(
    engine: Engine, tmp_path: Path
) -> None:
    cases = open_cases(engine, tmp_path, row("L1", "K1"), ladder=NEVER_YET)
    first = await _record(engine, cases["L1"], "portal/1")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE cases SET due_at = %s", (LATER + HOUR,))  # more was delivered
    again = await _record(engine, cases["L1"], "portal/1")
    assert again.outcomes == first.outcomes
    assert _due(engine, cases["L1"]) == LATER + HOUR


async def _record_bankruptcy(engine: Engine, case: CaseInput) -> None:
    received = Received(name="bankruptcy_filed", event_id="scrub/1", at=LATER, body={"event_id": "scrub/1"})
    request = RecordRequest(
        state=case.state.model_copy(update={"now": LATER}), strategy_digest=case.strategy_digest, messages=[received]
    )
    await ActivityEnvironment().run(CaseActivities(engine, None, Judge(LedgerGate(), None)).record_events, request)
