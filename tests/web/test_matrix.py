"""Every fault on every channel, through the real SDKs to the fake and back in.

Nothing is sent twice, and nothing stays unknown that a report can settle.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from activities.contact import ContactActivities
from activities.providers.evidence import LedgerEvidence
from activities.providers.sendgrid import SendGridEmail
from activities.providers.twilio import TwilioSms, TwilioVoice
from activities.wording import Wording
from domain.case import CaseInput
from domain.codes import AttemptStatus, Channel
from domain.gate import LedgerGate
from tests.activities.cases import contact, open_cases, row
from tests.fakes.client import FakeClient
from tests.fakes.server import FakeServer
from tests.providers.conftest import ACCOUNT, CREATE, ERRORS, sendgrid_settings, twilio_settings
from tests.web.house import House, open_house
from tests.workflows.conftest import TEMPLATES

CHANNELS = (Channel.SMS, Channel.VOICE, Channel.EMAIL)
LADDER = """
name: {channel}
version: 1
segment: {{}}
at_end: wait
steps:
  - {{id: one, channel: {channel}, template: {template}, start: {{since: due, days: 1}}, between: {{hours: "09:00-18:00"}}}}
"""
TEMPLATE = {Channel.SMS: "payment-reminder", Channel.VOICE: "payment-reminder", Channel.EMAIL: "invoice-overdue"}
REACHED = {Channel.SMS: "delivered", Channel.VOICE: "answered", Channel.EMAIL: "delivered"}

FAULTS: dict[str, tuple[dict[str, Any], AttemptStatus, bool]] = {
    "lost answer": ({"kind": "drop", "processed": True}, AttemptStatus.UNKNOWN, True),
    "lost request": ({"kind": "drop"}, AttemptStatus.UNKNOWN, False),
    "torn down after": ({"kind": "reset", "processed": True}, AttemptStatus.UNKNOWN, True),
    "500, done": ({"kind": "answer", "status": 500, "processed": True}, AttemptStatus.UNKNOWN, True),
    "503, not done": ({"kind": "answer", "status": 503}, AttemptStatus.UNKNOWN, False),
    "429": ({"kind": "answer", "status": 429, "headers": {"Retry-After": "60"}}, AttemptStatus.RETRYABLE, False),
    "half an answer": ({"kind": "garble"}, AttemptStatus.UNKNOWN, True),
    "slow": ({"kind": "slow", "seconds": 2.5}, AttemptStatus.UNKNOWN, True),
    "unauthorised": ({"kind": "answer", "status": 401, "code": 20003}, AttemptStatus.RETRYABLE, False),
}
"""What goes wrong, what the attempt is then, and whether the carrier has done it all the same."""
NOTHING_TO_HALVE = ("half an answer", Channel.EMAIL)
"""SendGrid's answer has no body."""


@pytest.fixture(scope="module")
def carriers() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def fake(carriers: FakeServer) -> FakeClient:
    carriers.client.reset()
    return carriers.client


@pytest.fixture
def house(engine: Engine, carriers: FakeServer) -> Iterator[House]:
    with open_house(
        engine, public=None, twilio_token=ACCOUNT.auth_token, webhook_key=carriers.state.key.public
    ) as house:
        yield house


def _activities(engine: Engine, fake: FakeClient, house: House) -> ContactActivities:
    twilio = twilio_settings(fake.url, house.url, timeout_seconds=2, callback_retries=5)
    email = sendgrid_settings(fake.url, house.url, timeout_seconds=2)
    evidence = LedgerEvidence(engine)
    providers: dict[Channel, Any] = {
        Channel.SMS: TwilioSms(twilio, ERRORS, evidence),
        Channel.VOICE: TwilioVoice(twilio, ERRORS, evidence),
        Channel.EMAIL: SendGridEmail(email, ERRORS),
    }
    return ContactActivities(engine, providers, LedgerGate(), Wording(TEMPLATES), sleep=lambda _: None)


def _case(engine: Engine, folder: Path, channel: Channel) -> CaseInput:
    ladder = LADDER.format(channel=channel, template=TEMPLATE[channel])
    return open_cases(engine, folder, row("L1", "K1", email="pat.doe@example.org"), ladder=ladder)["L1"]


@pytest.mark.parametrize(
    ("fault", "channel"),
    [(fault, channel) for fault in FAULTS for channel in CHANNELS if (fault, channel) != NOTHING_TO_HALVE],
)
def test_p2_one_request_and_what_was_done_becomes_known(
    engine: Engine, tmp_path: Path, fake: FakeClient, house: House, channel: Channel, fault: str
) -> None:
    how, status, was_done = FAULTS[fault]
    fake.configure(event_url=f"{house.url}/sendgrid/events")
    fake.fault(on=CREATE[channel], **how)
    case = _case(engine, tmp_path, channel)
    activities = _activities(engine, fake, house)
    assert contact(activities, case).status is status
    fake.flush()
    house.apply()
    ((end, error),) = house.rows("SELECT status, error_code FROM attempts")
    assert end == (REACHED[channel] if was_done else status)
    assert error is not None
    again = contact(activities, case)
    assert again.status == end or status is AttemptStatus.RETRYABLE
    totals = fake.totals()
    assert totals["duplicates"] == []
    assert totals["requests"].get("A000000001/1/1", 0) == (2 if fault == "429" else 1)
    told = house.one("SELECT count(*) FROM signals WHERE name = 'attempt_updated'")
    assert (told > 0) is was_done
    assert fake.counted("callbacks.abandoned") == 0


@pytest.mark.parametrize("channel", CHANNELS)
def test_reports_that_come_early_twice_and_in_the_wrong_order(
    engine: Engine, tmp_path: Path, fake: FakeClient, house: House, channel: Channel
) -> None:
    fake.configure(event_url=f"{house.url}/sendgrid/events", new_event_ids=True)
    life = {
        Channel.SMS: [{"status": "sent", "times": 2}, {"status": "delivered", "times": 3}],
        Channel.EMAIL: [
            {"status": "processed", "times": 2},
            {"status": "deferred"},
            {"status": "delivered", "times": 2},
        ],
    }
    fake.rule(CREATE[channel], early=True, reorder=True, life=life.get(channel))
    case = _case(engine, tmp_path, channel)
    report = contact(_activities(engine, fake, house), case)
    fake.flush()
    house.apply()
    assert report.status is AttemptStatus.SENT
    assert house.rows("SELECT status FROM attempts") == [(REACHED[channel],)]
    assert house.one("SELECT provider_id FROM attempts") is not None
    assert fake.totals()["duplicates"] == []


def test_a_carrier_that_never_confirms_is_believed_no_more_than_it_says(
    engine: Engine, tmp_path: Path, fake: FakeClient, house: House
) -> None:
    fake.rule("messages.create", life=[{"status": "sent"}])
    case = _case(engine, tmp_path, Channel.SMS)
    contact(_activities(engine, fake, house), case)
    fake.flush()
    house.apply()
    assert house.rows("SELECT status FROM attempts") == [("sent",)]
