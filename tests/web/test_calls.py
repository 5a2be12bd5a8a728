"""Running calls over HTTP: nothing of a debt before the right party has confirmed, and what is pressed is kept at once."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.providers.base import Outbound, SendResult
from activities.providers.identity import Identities, Identity
from domain.case import CaseInput
from domain.strategy import Hours
from tests.activities.cases import contact, contact_activities, open_cases, row
from tests.web.house import House, open_house
from tests.workflows.conftest import CountingCarrier

DOOR = "/twilio/voice"
LADDER = """
name: calling
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: voice, template: payment-reminder, start: {since: due, days: 1}, between: {hours: "09:00-18:00"}}
"""
CALL = {"CallSid": "CA1", "AccountSid": "AC1", "CallStatus": "in-progress", "From": "+1", "To": "+13125550100"}
FULL_DEBT = ("100.00", "L1", "past due")


@pytest.fixture
def case(engine: Engine, tmp_path: Path) -> CaseInput:
    return open_cases(engine, tmp_path, row("L1", "K1"), ladder=LADDER)["L1"]


@pytest.fixture
def attempt(engine: Engine, case: CaseInput, house: House) -> str:
    contact(contact_activities(engine, CountingCarrier()), case)
    house.run(
        "UPDATE attempts SET status = 'sent', channel = 'voice', party_key = 'P000000001', engine_admitted_at = now()"
    )
    house.run("UPDATE parties SET name = 'Pat Doe', born_on = '1980-05-06'")
    return f"{case.state.case_key}/1"


def _turn(house: House, attempt: str, more: str = "", **fields: str) -> str:
    answer = house.twilio(DOOR, {**CALL, **fields}, attempt=attempt, more=more)
    assert answer.status == 200
    house.apply()
    return answer.body.decode()


def _tells(words: str) -> bool:
    return any(one in words for one in FULL_DEBT)


def test_the_right_party_is_told_only_after_key_and_check(house: House, attempt: str) -> None:
    said = [
        _turn(house, attempt, AnsweredBy="human"),
        _turn(house, attempt, "&stage=who&tries=0", Digits="1"),
        _turn(house, attempt, "&stage=check&tries=0", Digits="1979"),
        _turn(house, attempt, "&stage=check&tries=1", Digits="1980"),
    ]
    assert [_tells(one) for one in said] == [False, False, False, True]
    assert house.rows("SELECT status, party_reached FROM attempts") == [("answered", "right_party")]
    assert "1980" not in house.one("SELECT string_agg(body, '') FROM inbox")


def test_a_machine_hears_the_limited_message(house: House, attempt: str) -> None:
    said = _turn(house, attempt, AnsweredBy="machine_end_beep")
    assert "Hangup" in said
    assert not _tells(said)
    assert house.one("SELECT count(*) FROM case_events WHERE kind = 'call'") == 1


def test_no_more_calls_is_in_force_when_the_call_has_ended(house: House, attempt: str) -> None:
    _turn(house, attempt, "&stage=who&tries=0", Digits="9")
    assert house.rows("SELECT kind, channel FROM state_events") == [("channel_opt_out", "voice")]


def test_a_wrong_person_takes_the_number_out_of_use(house: House, attempt: str) -> None:
    for _ in range(2):
        _turn(house, attempt, "&stage=who&tries=0", Digits="2")
    assert house.rows("SELECT kind FROM state_events") == [("wrong_party",)]
    assert house.one("SELECT state FROM contact_points WHERE kind = 'phone'") == "wrong_party"


IDENTITY = Identity.model_validate(
    {
        "caller_name": "Northfield Services",
        "contact_person": "Alex Kim",
        "call_back_number": "+13125550010",
        "pay_url": "https://pay.example/d",
        "agent_number": "+13125550020",
        "agent_zone": "America/Chicago",
        "agent_hours": "00:00-24:00",
        "agent_weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    }
)


@dataclass
class Reading(CountingCarrier):
    """A carrier that keeps what it was given."""

    messages: list[Outbound] = field(default_factory=list)

    def send(self, message: Outbound) -> SendResult:
        self.messages.append(message)
        return super().send(message)


def test_the_pay_link_is_texted_once_a_call_and_pays_the_account(engine: Engine, attempt: str) -> None:
    carrier = Reading()
    with open_house(engine, provider=carrier, identities=Identities(IDENTITY)) as house:
        for _ in range(2):
            said = _turn(house, attempt, "&stage=check&tries=0", Digits="1980")
            assert "press 1" in said
            _turn(house, attempt, "&stage=menu&tries=0", Digits="1")
        (sent,) = carrier.messages
        assert sent.recipient == "+13125550100"
        link = next(word for word in sent.body.split() if word.startswith("https://pay.example/d?ref="))
        reference = link.partition("ref=")[2]
        assert not any(one in link for one in ("L1", "K1", "A0000", "Pat", "1312", "1980"))
        assert house.rows("SELECT origin, purpose, channel, step, status FROM attempts ORDER BY seq DESC LIMIT 1") == [
            ("inbound", "reply", "sms", "pay-link", "sent")
        ]
        assert house.rows("SELECT reason, status, disposition FROM work_items") == [
            ("wants_pay_link", "done", "link_sent")
        ]
        paid = house.pay({"payment_id": "P1", "account": reference, "amount": 10_000, "currency": "USD"})
        assert paid.json["status"] == "applied"
        forged = f"{reference[:-1]}{'0' if reference[-1] != '0' else '1'}"
        other = house.pay({"payment_id": "P2", "account": forged, "amount": 10_000, "currency": "USD"})
        assert (other.json["status"], other.json["reason"]) == ("suspense", "unknown_account")


def test_a_pay_link_that_the_gate_refuses_stays_with_a_person(engine: Engine, attempt: str) -> None:
    carrier = Reading()
    with open_house(engine, provider=carrier, identities=Identities(IDENTITY)) as house:
        house.run("UPDATE contact_points SET unfit = '{sms}'")
        _turn(house, attempt, "&stage=menu&tries=0", Digits="1")
        assert carrier.messages == []
        assert house.rows("SELECT reason, status FROM work_items") == [("wants_pay_link", "open")]


def test_a_pay_link_is_offered_only_where_there_is_one(house: House, attempt: str) -> None:
    assert "payment link" not in _turn(house, attempt, "&stage=check&tries=0", Digits="1980")


def test_an_agent_is_connected_in_hours_and_calls_back_otherwise(engine: Engine, attempt: str) -> None:
    for hours, connected in (("00:00-24:00", True), ("00:00-00:01", False)):
        identity = IDENTITY.model_copy(update={"agent_hours": Hours.model_validate(hours)})
        with open_house(engine, identities=Identities(identity)) as house:
            said = _turn(house, attempt, "&stage=menu&tries=0", Digits="2", CallSid=f"CA{hours}")
            assert ("+13125550020" in said) is connected
    assert {row[0] for row in house.rows("SELECT reason FROM work_items")} == {"spoke_to_agent", "wants_call_back"}


def test_an_agent_who_does_not_answer_calls_back(engine: Engine, attempt: str) -> None:
    with open_house(engine, identities=Identities(IDENTITY)) as house:
        _turn(house, attempt, "&stage=bridged&tries=0", DialCallStatus="no-answer")
        assert house.rows("SELECT reason FROM work_items") == [("wants_call_back",)]


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO holds (debtor_key, account_key, reason, scope, from_at, event_id, placed_by) "
        "SELECT debtor_key, key, 'dispute', 'account', '2026-01-01Z', 'h1', 'x' FROM accounts",
        "UPDATE accounts SET closing = 'recalled', closing_at = '2026-01-01Z'",
        "UPDATE cases SET status = 'closed', stage = 'closed', close_reason = 'paid', closed_at = now()",
        "UPDATE attempts SET engine_admitted_at = now() - interval '7 hours'",
    ],
)
def test_a_debt_that_must_not_be_spoken_of_any_more_is_not(house: House, attempt: str, change: str) -> None:
    house.run(change)
    said = _turn(house, attempt, "&stage=check&tries=0", Digits="1980")
    assert "Hangup" in said
    assert not _tells(said)


def test_the_case_hears_that_the_right_party_was_reached(house: House, case: CaseInput, attempt: str) -> None:
    _turn(house, attempt, "&stage=check&tries=0", Digits="1980")
    assert house.rows("SELECT case_key, name FROM signals") == [(case.state.case_key, "attempt_updated")]


def test_no_more_calls_is_meant_for_everybody_who_has_the_number(house: House, attempt: str) -> None:
    house.run("INSERT INTO parties (key, external_id) VALUES ('P9', 'other')")
    house.run("INSERT INTO contact_points (party_key, kind, value) VALUES ('P9', 'phone', '+13125550100')")
    _turn(house, attempt, "&stage=who&tries=0", Digits="9")
    assert house.rows("SELECT party_key FROM state_events ORDER BY 1") == [("P000000001",), ("P9",)]


def test_how_long_a_call_lasted_is_recorded(house: House, attempt: str) -> None:
    form = {**CALL, "CallStatus": "completed", "CallDuration": "37"}
    house.twilio("/twilio/call-status", form, attempt=attempt)
    house.apply()
    assert house.rows("SELECT status, duration_seconds FROM attempts") == [("delivered", 37)]


def test_a_call_back_goes_to_a_person(house: House, attempt: str) -> None:
    _turn(house, attempt, "&stage=menu&tries=0", Digits="2")
    assert house.rows("SELECT reason FROM work_items") == [("wants_call_back",)]


def test_a_debt_paid_while_it_rings_is_not_spoken_of(house: House, attempt: str) -> None:
    house.pay({"payment_id": "P1", "account": "L1", "amount": 10_000, "currency": "USD", "paid_on": "2026-03-03"})
    said = _turn(house, attempt, "&stage=check&tries=0", Digits="1980")
    assert "Hangup" in said
    assert not _tells(said)


def test_a_call_about_nothing_we_know_ends(house: House) -> None:
    assert "Hangup" in _turn(house, "A999999999/1/1")


def test_who_answered_counts_and_a_machine_found_later_is_moved(engine: Engine, attempt: str) -> None:
    moved: list[tuple[str, str, str]] = []

    def redirect(sid: str, key: str, stage: str) -> bool:
        moved.append((sid, key, stage))
        return True

    with open_house(engine, redirect=redirect) as house:
        house.twilio("/twilio/call-machine", {**CALL, "AnsweredBy": "machine_start"}, attempt=attempt)
        house.apply()
        house.apply()
        assert moved == [("CA1", attempt, "machine")]
        assert house.one("SELECT status FROM attempts") == "sent"
        house.twilio("/twilio/call-machine", {**CALL, "AnsweredBy": "human"}, attempt=attempt)
        house.twilio("/twilio/call-status", {**CALL, "CallStatus": "completed"}, attempt=attempt)
        house.apply()
        assert house.one("SELECT status FROM attempts") == "answered"
        assert len(moved) == 1
