"""Calls on the command line: recorded afterwards they count, and are an incident if they broke a rule; dialling says why not."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine
from temporalio.testing import ActivityEnvironment

from activities.cases import CaseActivities
from activities.judging import Judge
from activities.rule_facts import Rules
from domain.case import CaseInput, RecordRequest
from domain.messages import Received
from domain.rule_gate import RuleGate
from tests.activities.cases import open_cases, row
from tests.activities.test_rule_gate import BOOK
from tests.cli.conftest import Command
from tests.desk.house import CALLS, call_item

NIGHT = "2026-03-03T06:30:00-0600"


@pytest.fixture
def case(engine: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CaseInput:
    monkeypatch.setenv("DUNLIN_DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    return open_cases(engine, tmp_path, row("L1", "K1"), ladder=CALLS)["L1"]


async def test_a_call_made_outside_counts_and_is_an_incident_if_it_broke_a_rule(
    engine: Engine, case: CaseInput, command: Command
) -> None:
    words = (
        "call",
        "record",
        "L1",
        "--reached",
        "no_one",
        "--disposition",
        "no_answer",
        "--at",
        NIGHT,
        "--event",
        "c/1",
    )
    for _ in range(2):
        said = command(*words, "--json")
        assert (said.code, said.json) == (0, {"case": case.state.case_key, "event_id": "c/1"})
    with engine.connect() as connection:
        (told,) = connection.exec_driver_sql("SELECT case_key, name, body FROM signals WHERE status = 'waiting'").all()
    assert (told.case_key, told.name) == (case.state.case_key, "record_call_outcome")
    at = datetime.fromisoformat(told.body["at"])
    assert at == datetime(2026, 3, 3, 12, 30, tzinfo=UTC)
    received = Received(name=told.name, event_id="c/1", at=at, body=told.body)
    request = RecordRequest(state=case.state, strategy_digest=case.strategy_digest, messages=[received])
    await ActivityEnvironment().run(CaseActivities(engine, None, Judge(RuleGate(BOOK), Rules())).record_events, request)
    with engine.connect() as connection:
        attempt = connection.exec_driver_sql("SELECT origin, channel, status, outcome FROM attempts").one()
        rules = connection.exec_driver_sql("SELECT verdict, rule_ids FROM decisions").one()
        incidents = connection.exec_driver_sql("SELECT count(*) FROM case_events WHERE kind = 'incident'").scalar_one()
    assert tuple(attempt) == ("agent", "call", "failed", "no_answer")
    assert rules.verdict == "defer"
    assert "house.hours" in rules.rule_ids
    assert incidents == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--reached", "nobody"), "--reached nobody: is none of right_party, third_party, no_one"),
        (("--disposition", "NO ANSWER"), "call record: "),
        (("--disposition", "no_such_outcome"), "no_such_outcome"),
        (("--disposition", "promise"), "call record: "),
        (("--at", "2099-01-01T00:00:00+0000"), "lies in the future"),
    ],
)
@pytest.mark.usefixtures("case")
def test_a_call_that_cannot_be_is_refused_in_one_line(command: Command, words: tuple[str, ...], says: str) -> None:
    usual = {"--reached": "no_one", "--disposition": "no_answer", words[0]: words[1]}
    said = command("call", "record", "L1", *(part for pair in usual.items() for part in pair))
    assert said.code != 0
    assert says in said.err
    assert "Traceback" not in said.err


def test_dialling_says_what_is_missing(
    engine: Engine, case: CaseInput, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = call_item(engine, case)
    said = command("dial", item)
    assert said.code != 0
    assert "DUNLIN_TWILIO_ACCOUNT_SID" in said.err
    for name, value in (("ACCOUNT_SID", "AC" + "0" * 32), ("AUTH_TOKEN", "t"), ("VOICE_FROM", "+13125550002")):
        monkeypatch.setenv(f"DUNLIN_TWILIO_{name}", value)
    monkeypatch.setenv("DUNLIN_TWILIO_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DUNLIN_PUBLIC_URL", "https://dunlin.example")
    said = command("dial", item)
    assert said.code != 0
    assert "claim it first" in said.err
