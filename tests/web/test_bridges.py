"""Click to dial through the real SDK and the fake: the agent first, then the person, once, if the gate allows it then."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from temporalio.testing import ActivityEnvironment

from activities.cases import CaseActivities
from activities.dialling import Dialling
from activities.judging import Judge
from activities.providers.twilio import TwilioSettings, TwilioVoice
from activities.rule_facts import Rules
from db.actors import Fitness
from db.settings import set_clock
from desk.dialling import Ringing, dial
from desk.queue import Desk, QueueError, claim
from domain.case import CaseInput, RecordRequest
from domain.clock import BusinessClock
from domain.messages import Received
from domain.roles import Acting
from domain.rule_gate import RuleGate
from runtime.desk import desk_of
from tests.activities.cases import AT, open_cases, row
from tests.activities.test_rule_gate import BOOK
from tests.desk.house import ANN, BEN, CALLS, POLICY, call_item, staff
from tests.fakes.client import FakeClient
from tests.fakes.server import FakeServer
from tests.fakes.state import Config
from tests.web.house import ERROR_TABLE, House, open_house

AGENT, PERSON = "+13125550020", "+13125550100"
GATE = RuleGate(BOOK)


@dataclass
class Office:
    """A desk with a telephone on it."""

    house: House
    fake: FakeClient
    desk: Desk
    line: TwilioVoice
    case: CaseInput
    item: str

    def dial(self, who: Acting = ANN, at: datetime = AT) -> Ringing:
        return dial(self.desk, self.line, who, self.item, at)

    def after(self) -> list[dict[str, Any]]:
        """Wait until the carrier has told all, apply it, and return its calls."""
        assert self.fake.ask("flush", {"seconds": 60})["empty"]
        self.house.apply()
        calls: list[dict[str, Any]] = self.fake.ask("state")["calls"]
        return calls

    def attempt(self, columns: str) -> tuple[Any, ...]:
        (found,) = self.house.rows(f"SELECT {columns} FROM attempts")
        return found

    def say(self, **body: object) -> None:
        """Record an outcome as the case does."""
        message = {"event_id": "work/1", "work_item": self.item, "actor": "ann", **body}
        received = Received(name="record_call_outcome", event_id="work/1", at=AT, body=message)
        request = RecordRequest(state=self.case.state, strategy_digest=self.case.strategy_digest, messages=[received])
        activities = CaseActivities(self.house.engine, None, Judge(GATE, Rules()))

        async def run() -> None:
            await ActivityEnvironment().run(activities.record_events, request)

        asyncio.run(run())


@contextmanager
def standing_at(engine: Engine, at: datetime) -> Iterator[None]:
    """Let business time stand still at an instant."""
    epoch = datetime.now(UTC)
    with engine.begin() as connection:
        set_clock(connection, BusinessClock(kind="logical", origin=at, epoch=epoch, speed=1.0))
    yield


@pytest.fixture(scope="module")
def fake_server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def office(engine: Engine, tmp_path: Path, fake_server: FakeServer) -> Iterator[Office]:
    fake = FakeClient(fake_server.url)
    fake.ask("reset")
    account = Config()
    case = open_cases(engine, tmp_path, row("L1", "K1"), ladder=CALLS)["L1"]
    staff(engine, (ANN,), Fitness(phone=AGENT))
    staff(engine, (BEN,))
    item = call_item(engine, case)
    desk = desk_of(engine, policy=POLICY, gate=GATE)
    claim(desk, ANN, item, AT)
    dialling = Dialling(engine, Judge(GATE, Rules()))
    with (
        standing_at(engine, AT),
        open_house(engine, public=None, twilio_token=account.auth_token, dialling=dialling) as house,
    ):
        settings = TwilioSettings(
            account_sid=account.account_sid,
            auth_token=SecretStr(account.auth_token),
            public_url=house.public,
            base_url=fake.url,
            voice_from="+13125550002",
        )
        yield Office(house, fake, desk, TwilioVoice(settings, ERROR_TABLE), case, item)


def _said(calls: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [line for call in calls for line in call["transcript"]]


def test_the_agent_then_the_person_and_the_outcome_lands_on_the_same_attempt(office: Office) -> None:
    assert office.dial().sure
    agent, person = office.after()
    assert (agent["to"], person["to"], person["parent_call_sid"]) == (AGENT, PERSON, agent["sid"])
    assert office.attempt("status, provider, provider_id, duration_seconds, dispatch") == (
        "dispatching", "twilio-bridge", agent["sid"], 42, 1,
    )  # fmt: skip
    told = office.house.rows("SELECT body::jsonb ->> 'event' FROM case_events WHERE kind = 'call' ORDER BY seq")
    assert {"bridged", "line_ringing", "line_in-progress", "line_completed"} <= {one[0] for one in told}
    office.say(party_reached="right_party", disposition="refused")
    assert office.attempt("status, outcome, duration_seconds") == ("answered", "refused", 42)
    assert office.house.one("SELECT count(*) FROM case_events WHERE kind = 'incident'") == 0


def test_p2_nobody_is_called_twice_however_often_the_agent_is_rung(office: Office) -> None:
    office.dial()
    office.after()
    office.dial()
    calls = office.after()
    assert [one["to"] for one in calls].count(PERSON) == 1
    assert "may not be made now" in str(_said(calls))
    assert office.attempt("dispatch") == (1,)


def test_p4_the_gate_is_asked_when_the_agent_is_on_the_line(office: Office) -> None:
    office.fake.ask("config", {"auto": False})
    office.dial()
    office.house.run(
        "INSERT INTO holds (debtor_key, account_key, reason, scope, from_at, event_id, placed_by) "
        "SELECT debtor_key, key, 'dispute', 'account', '2026-01-01Z', 'h1', 'x' FROM accounts"
    )
    (agent,) = office.fake.ask("state")["calls"]
    office.fake.ask("call", {"id": agent["sid"]})
    calls = office.after()
    assert [one["to"] for one in calls] == [AGENT]
    assert office.attempt("status, admitted_at") == ("deferred", None)


def test_an_agent_who_does_not_pick_up_has_called_nobody(office: Office) -> None:
    office.fake.ask("rules", [{"on": "calls.create", "person": {"outcome": "no-answer"}}])
    office.dial()
    assert [one["to"] for one in office.after()] == [AGENT]
    assert office.house.rows("SELECT 1 FROM attempts") == []


def test_a_carriers_word_that_nobody_took_it_is_kept(office: Office) -> None:
    office.fake.ask("rules", [{"on": "calls.create", "person": {"dial": "busy"}}])
    office.dial()
    office.after()
    assert office.attempt("status, error_code") == ("dispatching", "busy")
    office.say(party_reached="no_one", disposition="no_answer")
    assert office.attempt("status, error_code") == ("failed", "busy")


def test_a_line_of_which_nothing_was_heard_is_unknown_until_the_agent_says(office: Office) -> None:
    office.dial()
    office.fake.ask("flush", {"seconds": 60})
    office.house.run("DELETE FROM inbox WHERE name = 'bridge_event' AND external_id NOT LIKE '%%/agent/%%'")
    office.house.apply()
    assert office.attempt("status, error_code") == ("unknown", "no_trace")
    office.say(party_reached="no_one", disposition="no_answer")
    assert office.attempt("status, outcome") == ("failed", "no_answer")


def test_only_whoever_has_the_item_and_a_telephone_dials(office: Office) -> None:
    with pytest.raises(QueueError, match="is not yours; claim it first"):
        office.dial(BEN)
    with pytest.raises(QueueError, match="may not be dialled before"):
        office.dial(at=AT - timedelta(hours=3))
    office.house.run("UPDATE actors SET phone = NULL WHERE code = 'ann'")
    with pytest.raises(QueueError, match="has no telephone to ring"):
        office.dial()
    assert office.fake.ask("state")["calls"] == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "drop", "processed": True}, None),
        ({"kind": "answer", "status": 429, "code": 20429}, "the carrier took nothing"),
        ({"kind": "answer", "status": 400, "code": 21211}, "would not ring your telephone"),
    ],
)
def test_what_goes_wrong_before_the_agent_picks_up_concerns_nobody_else(
    office: Office, fault: dict[str, Any], says: str | None
) -> None:
    office.fake.ask("rules", [{"on": "calls.create", "fault": fault, "times": 1}])
    if says is None:
        assert not office.dial().sure
        assert [one["to"] for one in office.after()] == [AGENT, PERSON]
        return
    with pytest.raises(QueueError, match=says):
        office.dial()
    assert office.after() == []
    assert office.house.rows("SELECT state FROM contact_points") == [("unconfirmed",)]
    assert office.house.rows("SELECT 1 FROM attempts") == []


def test_nobody_is_bridged_for_a_loan_that_is_over(office: Office) -> None:
    office.fake.ask("config", {"auto": False})
    office.dial()
    office.house.run("UPDATE work_items SET lease_no = lease_no + 1")
    (agent,) = office.fake.ask("state")["calls"]
    office.fake.ask("call", {"id": agent["sid"]})
    assert [one["to"] for one in office.after()] == [AGENT]
    assert office.house.rows("SELECT 1 FROM attempts") == []


def test_a_recording_is_named_in_the_record(office: Office) -> None:
    office.dial()
    office.after()
    form = {"CallSid": "CA1", "RecordingSid": "RE1", "RecordingStatus": "completed"}
    (key,) = office.attempt("key")
    assert office.house.twilio("/twilio/bridge-status", form, attempt=key, token=Config().auth_token).status == 204
    office.house.apply()
    bodies = office.house.rows("SELECT body::jsonb ->> 'recording' FROM case_events WHERE kind = 'call'")
    assert ("RE1",) in bodies
