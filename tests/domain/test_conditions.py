"""Conditions: what is not known never makes us firmer."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from domain import strategy as grammar
from domain.conditions import History, holds, min_past_due_of, why_not
from domain.facts import Facts
from domain.strategy import Conditions, FactName, Strategy

_CONDITIONS: TypeAdapter[dict[FactName, grammar.Test]] = TypeAdapter(Conditions)
FACTS = Facts(as_of=datetime(2026, 1, 5, tzinfo=UTC), currency="USD", past_due=50_000, balance=90_000, dpd=31)


def met(conditions: dict[str, Any], history: History | None = None, /, **facts: object) -> bool:
    """Whether conditions as a file writes them hold."""
    read = _CONDITIONS.validate_python(conditions)
    return holds(read, FACTS.model_copy(update=facts), history or History())


@given(past_due=st.integers(0, 10**9), limit=st.integers(0, 10**6))
def test_at_least_and_below_part_the_numbers(past_due: int, limit: int) -> None:
    at_least = met({"past_due": {"at_least": limit}}, past_due=past_due)
    below = met({"past_due": {"below": limit}}, past_due=past_due)
    assert at_least is not below
    assert at_least is (past_due >= limit * 100)


@pytest.mark.parametrize(
    ("currency", "past_due", "holding"),
    [("JPY", 700, True), ("JPY", 699, False), ("KWD", 700_000, True), ("KWD", 699_999, False), ("USD", 70_000, True)],
)
def test_limits_are_in_major_units_of_the_accounts_currency(currency: str, past_due: int, holding: bool) -> None:
    assert met({"past_due": {"at_least": 700}}, currency=currency, past_due=past_due) is holding


def test_amounts_with_cents_are_exact() -> None:
    assert met({"past_due": {"at_least": "0.30"}}, past_due=30)
    assert not met({"past_due": {"at_least": "0.30"}}, past_due=29)


def test_a_currency_that_is_not_named_is_never_large_enough() -> None:
    assert not met({"past_due": {"at_least": {"CNY": 1}}})
    assert met({"past_due": {"below": {"CNY": 1}}})


UNKNOWN: list[dict[str, Any]] = [
    {"score": {"at_least": 0}},
    {"score": {"below": 10_000}},
    {"region": {"one_of": ["US"]}},
    {"language": "en"},
    {"creditor": ["a"]},
    {"product": "loan"},
]


@pytest.mark.parametrize("conditions", UNKNOWN)
def test_an_unknown_fact_fails_every_test(conditions: dict[str, Any]) -> None:
    assert not met(conditions)


@pytest.mark.parametrize("fact", ["region", "language", "creditor", "product"])
def test_but_an_unknown_fact_is_none_of_anything(fact: str) -> None:
    assert met({fact: {"none_of": ["US"]}})
    assert not met({fact: {"none_of": ["US"]}}, **{fact: "US"})


def test_a_region_belongs_to_its_country_and_not_to_its_namesakes() -> None:
    assert met({"region": "US"}, region="US-IL")
    assert met({"region": "US-IL"}, region="US-IL")
    assert not met({"region": "US-IL"}, region="US")
    assert not met({"region": "US"}, region="USX")
    assert not met({"region": {"none_of": ["US"]}}, region="US-IL")


def test_history_is_counted() -> None:
    tried = History(tries=3, rpcs=1, dispositions=frozenset({"refused"}))
    assert met({"tries": {"at_least": 3}, "rpcs": {"below": 2}, "dispositions": {"any_of": ["refused"]}}, tried)
    assert not met({"dispositions": {"none_of": ["refused"]}}, tried)
    assert not met({"dispositions": {"any_of": ["refused"]}})


def test_known_contact_points_are_told_from_missing_ones() -> None:
    assert met({"email_known": True}, email_known=True)
    assert met({"email_known": False})
    assert not met({"email_known": True})


def test_every_test_that_is_written_must_hold() -> None:
    assert met({"dpd": {"at_least": 31, "below": 32}, "bucket": "M2"})
    assert not met({"dpd": {"at_least": 31, "below": 31}})
    assert met({})


def test_the_first_fact_that_fails_is_named() -> None:
    read = _CONDITIONS.validate_python({"dpd": {"at_least": 1}, "region": "US", "score": {"at_least": 1}})
    assert why_not(read, FACTS, History()) == "region"
    assert why_not(read, FACTS.model_copy(update={"region": "US", "score": 1}), History()) is None


def test_the_least_past_due_is_in_minor_units() -> None:
    body = {"name": "x", "version": 1, "steps": [{"id": "a", "task": "call", "start": {"since": "due"}}]}
    limited = Strategy.model_validate({**body, "min_past_due": {"USD": "10.50", "JPY": 100}})
    assert [min_past_due_of(limited, code) for code in ("USD", "JPY", "EUR")] == [1050, 100, 0]
    assert min_past_due_of(Strategy.model_validate({**body, "min_past_due": 5}), "KWD") == 5000
