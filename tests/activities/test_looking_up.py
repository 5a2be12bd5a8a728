"""What became of a lost answer is looked up later, at a bearable pace and with an end; nothing is sent again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from activities.contact import ContactActivities
from activities.looking_up import ABANDONED, ENDS_AFTER, LookUps
from activities.providers.base import Accepted, Provider
from activities.providers.evidence import LedgerEvidence
from activities.providers.sendgrid import SendGridEmail
from activities.providers.twilio import TwilioSms, TwilioVoice
from activities.wording import Wording
from db.ledger import record_receipt
from db.look_ups import take_unresolved
from domain.case import CaseInput
from domain.codes import COUNTS_AS_CONTACT, AttemptStatus, Channel
from domain.gate import LedgerGate
from tests.activities.cases import contact, open_cases, row
from tests.fakes.client import FakeClient
from tests.fakes.server import FakeServer
from tests.providers.conftest import CREATE, ERRORS, sendgrid_settings, twilio_settings
from tests.web.test_matrix import LADDER, TEMPLATE
from tests.workflows.conftest import TEMPLATES, CountingCarrier

LISTED = (Channel.SMS, Channel.VOICE)
NOWHERE = "http://127.0.0.1:9"
"""Where callbacks are lost."""
SOON = timedelta(seconds=60)
KEY = "A000000001/1/1"


@pytest.fixture(scope="module")
def carriers() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def fake(carriers: FakeServer) -> FakeClient:
    carriers.client.reset()
    carriers.client.configure(auto=False)
    return carriers.client


class Desk:
    """Attempts over the real SDKs, and look-ups on a clock that the test moves."""

    def __init__(self, engine: Engine, fake: FakeClient) -> None:
        self.engine = engine
        self.fake = fake
        self.now = datetime.now(UTC)
        twilio, evidence = twilio_settings(fake.url, NOWHERE, timeout_seconds=2), LedgerEvidence(engine)
        self.providers: dict[Channel, Provider] = {
            Channel.SMS: TwilioSms(twilio, ERRORS, evidence),
            Channel.VOICE: TwilioVoice(twilio, ERRORS, evidence),
            Channel.EMAIL: SendGridEmail(sendgrid_settings(fake.url, NOWHERE, timeout_seconds=2), ERRORS),
        }
        self.activities = ContactActivities(
            engine, self.providers, LedgerGate(), Wording(TEMPLATES), sleep=lambda _: None
        )

    def lose(self, case: CaseInput, channel: Channel, *, processed: bool = True) -> None:
        """Make an attempt whose answer is lost."""
        self.fake.fault("drop", CREATE[channel], processed=processed)
        assert contact(self.activities, case).status is AttemptStatus.UNKNOWN
        self.run("UPDATE attempts SET engine_admitted_at = %s WHERE status = 'unknown'", self.now)

    def look(self, after: timedelta = timedelta(0), providers: dict[Channel, Provider] | None = None) -> dict[str, int]:
        """Let time pass, and look up what is due."""
        self.now += after
        return dict(LookUps(self.engine, providers or self.providers, ERRORS, now=lambda: self.now).look_some())

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(one) for one in connection.exec_driver_sql(query, values or None)]

    def run(self, statement: str, *values: object) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement, values or None)

    @property
    def attempt(self) -> tuple[Any, ...]:
        """Status, error and the carrier's name for the only attempt."""
        ((status, error, provider_id),) = self.rows("SELECT status, error_code, provider_id FROM attempts")
        return status, error, provider_id

    def asked(self, channel: Channel) -> int:
        """How often the list was asked for."""
        return self.fake.counted(CREATE[channel].replace("create", "list") + ".requests")


@pytest.fixture
def desk(engine: Engine, fake: FakeClient) -> Desk:
    return Desk(engine, fake)


def _case(engine: Engine, folder: Path, channel: Channel, rows: str | None = None) -> CaseInput:
    ladder = LADDER.format(channel=channel, template=TEMPLATE[channel])
    rows = rows or row("L1", "K1", email="pat.doe@example.org")
    return open_cases(engine, folder, rows, ladder=ladder)["L1"]


@pytest.mark.parametrize("channel", LISTED)
def test_p2_what_the_list_knows_is_adopted_recorded_and_told_without_a_second_request(
    engine: Engine, tmp_path: Path, desk: Desk, channel: Channel
) -> None:
    desk.lose(_case(engine, tmp_path, channel), channel)
    assert desk.look(timedelta(seconds=5)) == {}  # somebody could still be sending
    assert desk.look(SOON) == {"adopted": 1}
    state = desk.fake.state()
    (sid,) = [one["sid"] for one in state["messages"] + state["calls"]]
    assert desk.attempt == ("sent", "dropped", sid)
    ((body,),) = desk.rows("SELECT body FROM case_events WHERE kind = 'receipt'")
    assert '"by":"list"' in body.replace(" ", "")
    ((name, told),) = desk.rows("SELECT name, body FROM signals")
    assert (name, told["attempt"]) == ("attempt_updated", KEY)
    assert desk.look(timedelta(days=9)) == {}
    assert desk.fake.totals()["requests"] == {KEY: 1}


def test_what_became_of_it_meanwhile_is_adopted_with_all_that_follows(
    engine: Engine, tmp_path: Path, desk: Desk
) -> None:
    desk.lose(_case(engine, tmp_path, Channel.SMS), Channel.SMS)
    (message,) = desk.fake.state()["messages"]
    desk.fake.advance(message["sid"], {"status": "undelivered", "error_code": 30005})
    assert desk.look(SOON) == {"adopted": 1}
    assert desk.attempt == ("undelivered", "twilio_30005", message["sid"])
    assert desk.rows("SELECT state FROM contact_points WHERE kind = 'phone'") == [("invalid",)]


def test_a_call_that_a_person_took_is_adopted_as_answered(engine: Engine, tmp_path: Path, desk: Desk) -> None:
    desk.lose(_case(engine, tmp_path, Channel.VOICE), Channel.VOICE)
    (call,) = desk.fake.state()["calls"]
    desk.fake.call(call["sid"], person={"outcome": "busy"})
    assert desk.look(SOON) == {"adopted": 1}
    assert desk.attempt[0] == "undelivered"


@pytest.mark.parametrize("channel", [*LISTED, Channel.EMAIL])
def test_p2_what_nobody_knows_is_asked_for_ever_more_rarely_and_then_left_unknown_and_named(
    engine: Engine, tmp_path: Path, desk: Desk, channel: Channel
) -> None:
    desk.lose(_case(engine, tmp_path, channel), channel, processed=False)
    began, looks = desk.now, []
    while desk.now - began < ENDS_AFTER + timedelta(hours=7):
        if found := desk.look(timedelta(seconds=20 if desk.now - began < timedelta(minutes=10) else 900)):
            looks.append((desk.now - began, found))
    waits = [later[0] - earlier[0] for earlier, later in pairwise(looks)]
    assert all(later >= earlier - timedelta(minutes=15) for earlier, later in pairwise(waits))
    assert waits[0] <= timedelta(minutes=2)
    assert max(waits) <= timedelta(hours=6, minutes=15)
    assert len(looks) < 30
    assert [found for _, found in looks[:-1]] == [{"no_trace": 1}] * (len(looks) - 1)
    assert looks[-1][1] == {"ended": 1}
    assert desk.attempt[0] == "unknown"
    assert AttemptStatus.UNKNOWN in COUNTS_AS_CONTACT
    assert desk.rows("SELECT reason, skill, note_ref FROM work_items") == [
        (f"unknown_outcome:{channel}", "operations", KEY)
    ]
    assert desk.rows("SELECT count(*) FROM case_events WHERE kind = 'look_ups_ended'") == [(1,)]
    asked = desk.asked(channel) if channel in LISTED else 0
    assert desk.look(timedelta(days=30)) == {}
    assert (desk.asked(channel) if channel in LISTED else 0) == asked
    # A callback that comes after all still counts.
    with engine.begin() as connection:
        assert record_receipt(connection, KEY, "delivered", desk.now, "late", None) is not None
    assert desk.attempt[0] == "delivered"


def test_a_list_that_does_not_answer_is_left_alone_for_a_turn_and_proves_nothing(
    engine: Engine, tmp_path: Path, desk: Desk
) -> None:
    rows = "".join(row(f"L{n}", f"K{n}", phone=f"+1312555{n:04d}") for n in range(1, 4))
    ladder = LADDER.format(channel="sms", template=TEMPLATE[Channel.SMS])
    cases = open_cases(engine, tmp_path, rows, ladder=ladder)
    for case in cases.values():
        desk.lose(case, Channel.SMS)
    desk.fake.fault("answer", "messages.list", status=503, times=None)
    assert sum(desk.look(SOON).values()) == 3
    assert desk.asked(Channel.SMS) == 1
    assert desk.rows("SELECT DISTINCT status FROM attempts") == [("unknown",)]
    desk.fake.ask("rules/clear")
    assert desk.look(timedelta(minutes=3)) == {"adopted": 3}


def test_p10_an_attempt_that_was_left_in_flight_is_settled_when_its_own_case_did_not(
    engine: Engine, tmp_path: Path, desk: Desk
) -> None:
    desk.lose(_case(engine, tmp_path, Channel.SMS), Channel.SMS, processed=False)
    desk.run("UPDATE attempts SET status = 'dispatching', error_code = NULL, recorded_at = NULL")
    assert desk.look(SOON) == {}
    assert desk.attempt[0] == "dispatching"
    assert desk.look(ABANDONED) == {"named_unknown": 1}
    assert desk.attempt == ("unknown", "no_trace", None)
    assert desk.rows("SELECT count(*) FROM signals") == [(1,)]
    desk.run("UPDATE attempts SET status = 'dispatching', look_up_at = NULL")
    desk.fake.fault("answer", "messages.list", status=503)
    assert desk.look() == {"named_unknown": 1}
    assert desk.attempt[:2] == ("unknown", "http_503")


def test_what_people_dial_and_what_another_provider_sent_is_not_asked_for(
    engine: Engine, tmp_path: Path, desk: Desk
) -> None:
    desk.lose(_case(engine, tmp_path, Channel.SMS), Channel.SMS)
    desk.run("UPDATE attempts SET provider = 'former'")
    assert desk.look(timedelta(days=3)) == {}
    assert desk.look(timedelta(days=2)) == {"ended": 1}
    assert desk.asked(Channel.SMS) == 0
    desk.run("UPDATE attempts SET status = 'dispatching', provider = 'agent', channel = 'call', look_up_at = NULL")
    assert desk.look(timedelta(days=9)) == {}


def test_several_workers_share_the_look_ups(engine: Engine, tmp_path: Path, desk: Desk) -> None:
    count = 12
    rows = "".join(row(f"L{n}", f"K{n}", phone=f"+1312555{n:04d}") for n in range(count))
    ladder = LADDER.format(channel="sms", template=TEMPLATE[Channel.SMS])
    for case in open_cases(engine, tmp_path, rows, ladder=ladder).values():
        desk.lose(case, Channel.SMS)
    desk.now += SOON
    settled = {one.name: desk.now for one in desk.providers.values()}
    with engine.begin() as elsewhere:
        taken = take_unresolved(
            elsewhere, now=desk.now, settled=settled, channels=["sms"], abandoned=ABANDONED, over=desk.now, most=5
        )
        assert len(taken) == 5
        assert desk.look() == {"adopted": count - 5}
    assert desk.look() == {}
    assert desk.asked(Channel.SMS) == count - 5
    assert desk.look(timedelta(minutes=1)) == {"adopted": 5}  # whoever took them has died


def test_a_report_that_comes_while_the_list_is_read_is_not_undone(engine: Engine, tmp_path: Path, desk: Desk) -> None:
    desk.lose(_case(engine, tmp_path, Channel.SMS), Channel.SMS)
    real = desk.providers[Channel.SMS]

    class Overtaken:
        name, timeout_seconds, send = real.name, real.timeout_seconds, real.send

        def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:
            found = real.find(attempt_key, recipient, since)
            with engine.begin() as connection:
                record_receipt(connection, attempt_key, "delivered", desk.now, None, None)
            return found

    desk.look(SOON, {**desk.providers, Channel.SMS: Overtaken()})
    assert desk.attempt[0] == "delivered"


def test_what_a_carrier_calls_one_message_belongs_to_one_attempt(engine: Engine, tmp_path: Path, desk: Desk) -> None:
    rows = row("L1", "K1") + row("L2", "K2", phone="+13125550101")
    ladder = LADDER.format(channel="sms", template=TEMPLATE[Channel.SMS])
    cases = open_cases(engine, tmp_path, rows, ladder=ladder)
    carrier = CountingCarrier()
    activities = ContactActivities(
        engine, {Channel.SMS: carrier}, LedgerGate(), Wording(TEMPLATES), sleep=lambda _: None
    )
    keys = [case.state.attempt_key(contact(activities, case).seq) for case in cases.values()]
    with pytest.raises(IntegrityError):
        desk.run("UPDATE attempts SET provider_id = 'one' WHERE key = ANY(%s)", keys)
    desk.run("UPDATE attempts SET status = 'unknown', provider_id = NULL WHERE key = %s", keys[1])
    # A report about the second attempt under the first one's name says what it says, and no more.
    with engine.begin() as connection:
        assert record_receipt(connection, keys[1], "delivered", desk.now, f"C-{keys[0]}", None) is not None
    assert desk.rows("SELECT status, provider_id FROM attempts ORDER BY key") == [
        ("sent", f"C-{keys[0]}"),
        ("delivered", None),
    ]
