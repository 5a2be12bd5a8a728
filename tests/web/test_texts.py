"""What people text back, in English and Chinese: a refusal is in force, a wish has one consequence, one answer at most."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from domain.calendar import local_date
from domain.case import CaseInput
from tests.activities.cases import contact, contact_activities
from tests.web.house import House, open_house, text_form
from tests.workflows.conftest import CountingCarrier

DOOR = "/twilio/message"


def _write(house: House, body: str, sid: str = "SM1", **more: str) -> None:
    answer = house.twilio(DOOR, text_form(sid, body, **more))
    assert (answer.status, answer.body) == (200, b'<?xml version="1.0" encoding="UTF-8"?><Response/>')
    house.apply()


def _replies(house: House) -> list[str]:
    return [row[0] for row in house.rows("SELECT template FROM attempts WHERE origin = 'inbound' ORDER BY key")]


@pytest.mark.parametrize("word", ["STOP", "stop.", "退订", "TD", "Unsubscribe", "ALTO"])
def test_stop_and_its_kin_are_in_force_and_not_answered(
    engine: Engine, house: House, case: CaseInput, attempt: str, carrier: CountingCarrier, word: str
) -> None:
    _write(house, word)
    assert house.rows("SELECT kind FROM state_events") == [("opt_out",)]
    assert attempt
    assert _replies(house) == [] == carrier.requests
    assert house.one("SELECT count(*) FROM inbox WHERE body = %s", word) == 1
    assert contact(contact_activities(engine, carrier), case, seq=2).status


def test_what_twilio_took_for_a_refusal_is_one(house: House, attempt: str) -> None:
    _write(house, "ARRET", OptOutType="STOP")
    assert attempt
    assert house.rows("SELECT kind FROM state_events") == [("opt_out",)]


@pytest.mark.parametrize(
    ("body", "reason", "reply"),
    [
        ("HELP", None, "reply-help"),
        ("帮助", None, "reply-help"),
        ("please call me", "asks_for_help", "reply-help"),
        ("PAID", "says_paid", "reply-checking"),
        ("已经付了", "says_paid", "reply-checking"),
        ("can pay $50", "offers_amount", "reply-person"),
        ("how much do I owe?", "asks", "reply-person"),
        ("欠多少钱", "asks", "reply-person"),
        ("the weather is nice", "wrote", None),
        ("ok thanks", None, None),
    ],
)
def test_a_wish_has_one_consequence(
    house: House, attempt: str, carrier: CountingCarrier, body: str, reason: str | None, reply: str | None
) -> None:
    _write(house, body)
    assert attempt
    asked = house.rows("SELECT reason, note_ref FROM work_items")
    assert asked == ([] if reason is None else [(reason, "inbox/web/twilio/message/SM1")])
    assert _replies(house) == ([] if reply is None else [reply])
    assert len(carrier.requests) == int(reply is not None)


@pytest.mark.parametrize("body", ["I will pay tomorrow", "明天还"])
def test_a_day_lets_the_case_rest_until_it_is_over(house: House, case: CaseInput, attempt: str, body: str) -> None:
    _write(house, body)
    assert attempt
    tomorrow = local_date(datetime.now(UTC), "America/Chicago") + timedelta(days=1)
    ((reason, until, placed_by),) = house.rows("SELECT reason, until_at, placed_by FROM holds")
    assert (reason, placed_by) == ("promise", "debtor")
    assert local_date(until, "America/Chicago") == tomorrow + timedelta(days=1)
    assert house.rows("SELECT case_key, name FROM signals") == [(case.state.case_key, "ledger_changed")]
    assert _replies(house) == ["reply-noted"]


def test_a_doubt_lets_the_case_rest_and_asks_a_person(house: House, attempt: str) -> None:
    _write(house, "leave me alone")
    assert attempt
    assert house.rows("SELECT kind FROM state_events") == [("unclear_reply",)]
    assert house.rows("SELECT reason FROM work_items") == [("unclear_reply",)]
    assert _replies(house) == []


def test_a_text_is_answered_once_however_often_it_comes(
    engine: Engine, house: House, attempt: str, carrier: CountingCarrier
) -> None:
    for _ in range(3):
        _write(house, "HELP")
    house.run("UPDATE inbox SET status = 'received' WHERE name = 'message'")  # a process died after it had answered
    with open_house(engine, provider=carrier) as other:
        other.apply()
    assert attempt
    assert len(carrier.requests) == 1
    assert house.rows("SELECT status FROM attempts WHERE origin = 'inbound'") == [("sent",)]


def test_an_answer_passes_the_gate(house: House, case: CaseInput, attempt: str, carrier: CountingCarrier) -> None:
    _write(house, "STOP", "SM1")
    house.run("UPDATE contact_points SET consent = 'withdrawn' WHERE kind = 'phone'")
    _write(house, "HELP", "SM2")
    assert attempt
    assert carrier.requests == []
    refused = house.rows("SELECT status, purpose, key FROM attempts WHERE origin = 'inbound'")
    assert [(status, purpose) for status, purpose, _ in refused] == [("refused", "reply")]
    rules = house.one("SELECT rule_ids FROM decisions WHERE attempt_key = %s", refused[0][2])
    assert rules == ["core.consent-withdrawn"]
    assert case.state.case_key


def test_a_text_from_a_number_nobody_has_goes_to_operations(house: House, case: CaseInput) -> None:
    assert case.state.case_key
    answer = house.twilio(DOOR, text_form("SM1", "STOP", sender="+13125559999"))
    assert answer.status == 200
    house.apply()
    assert house.rows("SELECT reason, skill FROM work_items") == [("text_from_unknown_number", "operations")]


def test_numbers_of_answers_are_never_those_of_a_case(house: House, attempt: str) -> None:
    _write(house, "HELP")
    assert attempt
    assert house.one("SELECT min(seq) FROM attempts WHERE origin = 'inbound'") > 1_000_000
