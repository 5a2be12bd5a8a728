"""One that cannot be applied, delivered or answered holds up no other; what nobody can apply is told to operations."""

import asyncio
import json
import random
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import Request
from sqlalchemy import Engine
from temporalio.client import Client

from activities.providers.base import Outbound, Rejected, RejectionKind, SendResult
from activities.replying import name_lost
from db.arrivals import Arrival
from domain.case import CaseInput
from tests.web.house import House, message_form, open_house, text_form
from tests.workflows.conftest import CountingCarrier
from web.aside import BesideThreads
from web.bodies import TooSlowError, read_body
from web.counters import Counters
from web.delivering import Deliverer
from web.intake import Intake

TEXT = "/twilio/message"


def test_a_report_that_no_index_can_hold_lets_the_others_through(house: House, attempt: str) -> None:
    endless = "".join(random.Random(1).choices("0123456789abcdef", k=20_000))
    house.twilio("/twilio/message-status", message_form(f"SM{endless}", "sent"), attempt=attempt)
    house.run("UPDATE attempts SET provider_id = NULL")
    house.twilio("/twilio/message-status", message_form("SM1", "delivered"), attempt=attempt)
    house.apply()
    assert house.rows("SELECT status, provider_id FROM attempts") == [("delivered", "SM1")]
    assert house.rows("SELECT tries FROM inbox WHERE status = 'received'") == [(1,)]


def test_what_no_text_of_ours_can_hold_is_told_to_operations(house: House, attempt: str) -> None:
    assert attempt
    house.twilio(TEXT, text_form("SM1", "STOP", sender="+1312\x00"))
    house.apply()
    assert house.rows("SELECT status, refusal FROM inbox WHERE name = 'message'") == [("refused", "unreadable")]
    assert house.rows("SELECT reason, skill FROM work_items") == [("unreadable:message", "operations")]


async def test_a_signal_that_the_server_refuses_waits_alone(
    engine: Engine, house: House, case: CaseInput, client: Client
) -> None:
    house.run(
        "INSERT INTO signals (case_key, name, event_id, body, created_at) VALUES (%(case)s, %(long)s, 'e1', '{}', now()), "
        "(%(case)s, 'ledger_changed', 'e2', '{}', now())".replace("%(case)s", f"'{case.state.case_key}'").replace(
            "%(long)s", "repeat('x', 5000)"
        )
    )

    async def connect() -> Client:
        return client

    deliverer = Deliverer(engine, connect, Counters())
    assert await deliverer.deliver_some() == 2
    waiting = house.rows(
        "SELECT event_id, tries, not_before IS NOT NULL FROM signals WHERE status = 'waiting' ORDER BY 1"
    )
    assert waiting == [("e1", 1, True), ("e2", 1, True)]
    house.run("UPDATE signals SET tries = 7, not_before = NULL WHERE event_id = 'e1'")
    await deliverer.deliver_some()
    assert house.one("SELECT count(*) FROM work_items WHERE reason LIKE 'cannot_tell:%%'") == 1


def test_a_payment_is_never_read_as_its_own_return(house: House, case: CaseInput) -> None:
    assert case.state.case_key
    payment = {"payment_id": "P1", "account": "L1", "amount": 500, "currency": "USD", "paid_on": "2026-03-03"}
    assert house.pay(payment).json["status"] == "applied"
    again = house.pay(payment, path="/payments/returns")
    assert (again.status, again.json["fields"]) == (400, ["amount", "currency", "paid_on"])
    assert house.one("SELECT count(*) FROM ledger_entries WHERE kind = 'reversal'") == 0
    assert house.pay({"payment_id": "P1", "account": "L1"}, path="/payments/returns").json["status"] == "applied"


def test_an_element_nested_too_deeply_harms_no_other(house: House, attempt: str) -> None:
    good = {"event": "delivered", "sg_message_id": "m1.x", "timestamp": 1, "attempt": attempt}
    for depth in range(100, 1000, 50):
        raw = json.dumps([good])[:-1] + ', {"event": "delivered", "x": ' + "[" * depth + "]" * depth + "}]"
        assert house.sendgrid(None, raw=raw.encode()).status == 204
    house.apply()
    assert house.one("SELECT status FROM attempts") == "delivered"


@dataclass
class Refusing(CountingCarrier):
    """A carrier that takes nothing more for a person."""

    kind: RejectionKind = RejectionKind.OPT_OUT

    def send(self, message: Outbound) -> SendResult:
        self.requests.append(message.attempt_key)
        return Rejected("twilio_21610", kind=self.kind)


def test_a_refused_answer_has_the_consequences_of_any_refusal(engine: Engine, attempt: str) -> None:
    assert attempt
    with open_house(engine, provider=Refusing()) as house:
        house.twilio(TEXT, text_form("SM1", "HELP"))
        house.apply()
        assert house.rows("SELECT kind, source FROM state_events") == [("opt_out", "carrier")]
        assert house.one("SELECT status FROM attempts WHERE origin = 'inbound'") == "failed"


@pytest.mark.parametrize(("body", "reason"), [("how much do I owe?", "asks"), ("I will pay tomorrow", "promises")])
def test_somebody_without_an_open_case_is_read_by_a_person(
    house: House, case: CaseInput, attempt: str, body: str, reason: str
) -> None:
    house.run(
        "UPDATE cases SET status = 'closed', close_reason = 'paid', closed_at = now() WHERE key = %s",
        case.state.case_key,
    )
    for _ in range(2):
        house.twilio(TEXT, text_form("SM1", body))
        house.apply()
    assert attempt
    assert house.rows("SELECT reason, note_ref FROM work_items") == [(reason, "inbox/web/twilio/message/SM1")]


def test_a_text_that_was_applied_late_is_not_answered(house: House, attempt: str, carrier: CountingCarrier) -> None:
    house.twilio(TEXT, text_form("SM1", "HELP"))
    house.run("UPDATE inbox SET received_at = received_at - interval '1 hour' WHERE name = 'message'")
    house.apply()
    assert attempt
    assert carrier.requests == []
    assert house.one("SELECT status FROM inbox WHERE name = 'message'") == "applied"


@dataclass
class Stuck(CountingCarrier):
    """A carrier that answers when the test lets it."""

    released: threading.Event = field(default_factory=threading.Event)

    def send(self, message: Outbound) -> SendResult:
        assert self.released.wait(30)
        return super().send(message)


def test_a_slow_carrier_keeps_no_refusal_waiting(engine: Engine, attempt: str) -> None:
    assert attempt
    carrier, aside = Stuck(), BesideThreads(1)
    with open_house(engine, provider=carrier, aside=aside) as house:
        house.twilio(TEXT, text_form("SM1", "HELP"))
        house.twilio(TEXT, text_form("SM2", "STOP"))
        house.apply()
        assert house.rows("SELECT kind FROM state_events") == [("opt_out",)]
        assert carrier.requests == []
        carrier.released.set()
        aside.finish()
        assert len(carrier.requests) <= 1


def test_what_a_dead_process_left_in_flight_is_named_in_the_record(engine: Engine, house: House, attempt: str) -> None:
    house.twilio(TEXT, text_form("SM1", "HELP"))
    house.apply()
    house.run("UPDATE attempts SET status = 'dispatching', provider_id = NULL WHERE origin = 'inbound'")
    assert attempt
    assert name_lost(engine, datetime.now(UTC)) == 0
    assert name_lost(engine, datetime.now(UTC) + timedelta(minutes=3)) == 1
    assert house.rows("SELECT status, error_code FROM attempts WHERE origin = 'inbound'") == [("unknown", "no_trace")]
    assert house.one("SELECT count(*) FROM case_events WHERE kind = 'recorded' AND body LIKE '%%\"unknown\"%%'") == 1


async def test_a_body_that_never_ends_is_not_waited_for() -> None:
    async def receive() -> dict[str, object]:
        await never.wait()
        return {}

    never = asyncio.Event()
    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(TooSlowError):
        await read_body(request, 100, patience=0.05)


async def test_nobody_waits_for_ever_for_what_cannot_be_written(engine: Engine) -> None:
    intake = Intake(engine, lambda: None)
    unwritable = Arrival("web/twilio", "x", "message", "\ud800", datetime.now(UTC))
    with pytest.raises(UnicodeEncodeError):
        await intake.keep([unwritable])
    assert await intake.keep([Arrival("web/twilio", "y", "message", "{}", datetime.now(UTC))])
