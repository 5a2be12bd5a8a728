"""Running calls over HTTP: nothing of a debt before the right party has confirmed, and what is pressed is kept at once."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from domain.case import CaseInput
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
    house.run("UPDATE attempts SET status = 'sent', channel = 'voice', party_key = 'P000000001'")
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


@pytest.mark.parametrize(("digits", "reason"), [("1", "wants_pay_link"), ("2", "wants_call_back")])
def test_what_was_asked_for_in_a_call_goes_to_a_person(house: House, attempt: str, digits: str, reason: str) -> None:
    _turn(house, attempt, "&stage=menu&tries=0", Digits=digits)
    assert house.rows("SELECT reason FROM work_items") == [(reason,)]


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
