"""Packs follow from where the debtor lives; what is not certain counts, and what is not known refuses."""

from typing import Any

import pytest

from domain.compliance import RuleBook, decide, facts_from

THIRD = {"actor": "third_party_collector"}
FIRST = {"actor": "first_party_creditor"}


def packs(book: RuleBook, debtor: dict[str, Any], more: dict[str, Any]) -> set[str]:
    selection = book.select(facts_from({"now": "2026-11-24T17:00:00Z", "channel": "call", "debtor": debtor, **more}))
    assert selection.known
    assert not selection.missing
    return set(selection.packs) - {"core", "house", "us-states-other"}


@pytest.mark.parametrize(
    ("debtor", "more", "expected"),
    [
        ({"region": "US-PA"}, THIRD, {"us-federal"}),
        ({"region": "US-PA"}, FIRST, {"us-creditors"}),
        ({"region": "US-PA"}, {**THIRD, "debt_type": "business"}, {"us-creditors"}),
        ({"region": "US-PA"}, {}, {"us-federal"}),
        ({"region": "US-MA"}, THIRD, {"us-federal", "us-ma"}),
        ({"region": "US-MA"}, FIRST, {"us-creditors", "us-ma"}),
        ({"address_region": "US-NY", "locality": "Brooklyn"}, THIRD, {"us-federal", "us-nyc"}),
        ({"region": "US-NY", "locality": "Albany"}, THIRD, {"us-federal"}),
        ({"region": "US-NY"}, THIRD, {"us-federal", "us-nyc"}),
        ({"region": "US"}, THIRD, {"us-federal", "us-ma", "us-wa", "us-dc", "us-nyc"}),
        ({"regions": ["US-WA", "CN"]}, THIRD, {"us-federal", "us-wa", "cn-mainland"}),
        ({"region": "US-PA", "phone_area_code": "617"}, THIRD, {"us-federal"}),
        ({"region": "GB-ENG"}, FIRST, {"uk"}),
        ({"region": "DE"}, FIRST, {"eu"}),
    ],
)
def test_packs_follow_from_residence(
    book: RuleBook, debtor: dict[str, Any], more: dict[str, Any], expected: set[str]
) -> None:
    assert packs(book, debtor, more) == expected


def test_the_house_is_on_top_and_the_core_always_there(book: RuleBook) -> None:
    facts = {"now": "2026-11-24T17:00:00Z", "channel": "call"}
    assert book.select(facts_from({**facts, "debtor": {"region": "CN"}})).packs == ("core", "cn-mainland", "house")
    assert book.select(facts_from({**facts, "packs": ["uk"]})).packs == ("core", "uk")


@pytest.mark.parametrize("debtor", [{}, {"region": "XX"}, {"regions": ["CN", "XX"]}, {"region": "BR-RJ"}])
def test_where_no_pack_is_known_nobody_is_contacted(book: RuleBook, debtor: dict[str, Any]) -> None:
    ruling = decide(facts_from({"now": "2026-11-24T17:00:00Z", "channel": "call", "debtor": debtor}), book)
    assert ruling.decision == "block"
    assert {"core.pack-selection", "core.fail-closed"} <= set(ruling.rule_ids)


@pytest.mark.parametrize("named", [[], ["us-federal", "atlantis"]])
def test_a_missing_pack_refuses(book: RuleBook, us_call: dict[str, Any], named: list[str]) -> None:
    ruling = decide(facts_from({**us_call, "packs": named}), book)
    assert ruling.decision == "block"
    assert "core.pack-selection" in ruling.rule_ids
