"""Payments over HTTP: posted once, answered with what was in flight, and never lost between two messages."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine

from db.locks import lock_persons
from domain.case import CaseInput
from tests.web.house import House, text_form

PAID = {"payment_id": "P1", "account": "L1", "amount": 2_500, "currency": "USD", "paid_on": "2026-03-03"}


def test_a_payment_is_posted_once_and_told_to_its_case(house: House, case: CaseInput) -> None:
    first = house.pay(PAID)
    assert (first.status, first.json) == (200, {"status": "applied", "in_flight": []})
    again = house.pay(PAID)
    assert (again.status, again.json) == (200, first.json)
    assert house.rows("SELECT amount, external_id, source FROM ledger_entries") == [(2_500, "P1", "api")]
    assert house.rows("SELECT case_key, name FROM signals") == [(case.state.case_key, "ledger_changed")]


def test_who_posts_is_told_what_was_in_flight(house: House, attempt: str) -> None:
    house.run("UPDATE attempts SET status = 'dispatching' WHERE key = %s", attempt)
    assert house.pay(PAID).json == {"status": "applied", "in_flight": [attempt]}
    assert house.pay(PAID).json == {"status": "applied", "in_flight": [attempt]}


def test_another_payment_under_a_number_that_is_taken_is_refused(house: House, case: CaseInput) -> None:
    house.pay(PAID)
    answer = house.pay({**PAID, "amount": 2_501})
    assert (answer.status, answer.json) == (409, {"status": "conflict"})
    elsewhere = house.pay({**PAID, "account": case.state.account_key, "amount": 2_501})
    assert elsewhere.json["status"] == "suspense"
    assert house.rows("SELECT reason, skill FROM work_items") == [("payment_number_taken", "operations")]
    assert house.one("SELECT sum(amount) FROM ledger_entries") == 2_500


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"account": "nobody's"}, "unknown_account"),
        ({"currency": "EUR"}, "other_currency"),
        ({"creditor": "another"}, "unknown_account"),
    ],
)
def test_money_that_cannot_be_applied_is_kept(
    house: House, case: CaseInput, change: dict[str, Any], reason: str
) -> None:
    assert case.state.account_key
    answer = house.pay({**PAID, **change})
    assert (answer.status, answer.json["status"], answer.json["reason"]) == (200, "suspense", reason)
    assert house.one("SELECT count(*) FROM suspense") == 1


def test_a_return_before_its_payment_is_not_lost(house: House, case: CaseInput) -> None:
    back = {"payment_id": "P1", "account": "L1", "reason": "insufficient_funds"}
    assert house.pay(back, path="/payments/returns").json["status"] == "suspense"
    assert house.pay(PAID).json["status"] == "applied"
    assert house.one("SELECT count(*) FROM ledger_entries WHERE kind = 'reversal'") == 1
    assert case.state.account_key


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ({}, ["account", "amount", "currency", "payment_id"]),
        ({**PAID, "amount": 0}, ["amount"]),
        ({**PAID, "amount": "2500"}, ["amount"]),
        ({**PAID, "amount": 1.5}, ["amount"]),
        ({**PAID, "currency": "usd"}, ["currency"]),
        ({**PAID, "paid_on": "yesterday"}, ["paid_on"]),
        ({**PAID, "payment_id": "a\x00b"}, ["payment_id"]),
        ([], []),
        (None, []),
    ],
)
def test_mistakes_are_named_by_field_and_never_by_value(house: House, content: object, fields: list[str]) -> None:
    answer = house.pay(content)
    assert (answer.status, answer.json) == (400, {"status": "unusable", "fields": fields})
    assert house.one("SELECT count(*) FROM inbox") == 0


def test_fields_nobody_announced_are_left_alone(house: House, case: CaseInput) -> None:
    assert house.pay({**PAID, "channel": "app", "nested": {"a": [1]}}).json["status"] == "applied"
    assert case.state.account_key


def test_a_payment_that_has_to_wait_is_acknowledged_and_posted_afterwards(
    engine: Engine, house: House, case: CaseInput
) -> None:
    with engine.begin() as connection:
        lock_persons(connection, [case.state.account_key])
        answer = house.pay(PAID)
        assert (answer.status, answer.json) == (202, {"status": "kept"})
    house.apply()
    assert house.one("SELECT count(*) FROM ledger_entries") == 1
    assert house.pay(PAID).json["status"] == "applied"


def test_the_same_payment_from_many_sides_is_one(house: House, case: CaseInput) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: house.pay(PAID), range(24)))
    assert {one.status for one in answers} <= {200, 202}
    house.apply()
    assert house.one("SELECT count(*) FROM ledger_entries") == 1
    assert house.rows("SELECT case_key FROM signals") == [(case.state.case_key,)]


def test_only_a_rehearsal_on_a_logical_clock_says_when_something_happened(house: House, case: CaseInput) -> None:
    assert case.state.case_key
    long_ago = "2001-01-01T12:00:00Z"
    paid = {"payment_id": "P77", "account": "L1", "amount": 500, "currency": "USD", "at": long_ago}
    assert house.pay(paid).json["status"] == "applied"
    house.twilio("/twilio/message", text_form("SM1", "STOP", RehearsalAt=long_ago))
    house.apply()
    assert house.one(
        "SELECT min(received_at) > now() - interval '1 hour' FROM ledger_entries WHERE external_id = 'P77'"
    )
    assert house.one("SELECT min(from_at) > now() - interval '1 hour' FROM state_events")
