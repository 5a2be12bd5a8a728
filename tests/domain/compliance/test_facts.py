"""Facts are read strictly, and a mistake never repeats what a person wrote or where they live."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from domain.compliance import Approval, Consent, Debtor, Event, Facts, FactsError, Past, Plan, facts_from, parse_facts
from domain.compliance.facts import role_of

WRITTEN = "Sixty-Four Privet Drive"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"chanel": WRITTEN}, "unknown field 'chanel' (did you mean 'channel'?)"),
        ({"debtor": {"adress": WRITTEN}}, "unknown field 'debtor.adress'"),
        (
            {"history": [{"t": "2026-11-24T00:00:00Z", "type": "sms_out", "numbr": WRITTEN}]},
            "unknown field 'history.numbr' (did you mean 'number'?)",
        ),
        ({"history": [{"t": "2026-11-24T00:00:00Z", "type": WRITTEN}]}, "'history[1].type' is none of"),
        ({"events": [{"t": "2026-11-24T00:00:00Z"}]}, "'events[1].type' is missing"),
        ({"channel": WRITTEN}, "'channel' is none of"),
        ({"now": WRITTEN}, "'now': write an instant with its zone"),
        ({"now": "2026-11-24T00:00:00"}, "'now': write an instant with its zone"),
        ({"dpd": WRITTEN}, "'dpd': write a whole number"),
        ({"dpd": "5"}, "'dpd': write a whole number"),
        ({"sms_consent": "yes"}, "'sms_consent': write true or false"),
        ({"holidays": [WRITTEN]}, "write a day"),
        ({"consents": [{"type": "time", "from": WRITTEN}]}, "write a time of day"),
        ({"debtor": WRITTEN}, "'debtor' is not an object"),
        ({"events": WRITTEN}, "'events': write a list"),
        ({"packs": "us-federal"}, "'packs': write a list"),
    ],
)
def test_a_wrong_field_is_named_and_never_its_content(more: dict[str, Any], said: str) -> None:
    with pytest.raises(FactsError) as caught:
        facts_from({"now": "2026-11-24T17:00:00Z", "channel": "sms", **more})
    assert said in str(caught.value)
    assert WRITTEN not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"x"', "{'a': 1}"])
def test_what_is_no_object_is_said_to_be_none(text: str) -> None:
    with pytest.raises(FactsError):
        parse_facts(text)


def test_what_must_be_there() -> None:
    with pytest.raises(FactsError, match=r"'now' is missing.*'channel' is missing"):
        parse_facts("{}")


def test_one_debt_or_several_and_the_spellings_of_json() -> None:
    facts = facts_from(
        {
            "now": "2026-11-24T18:00:00+01:00",
            "channel": "call",
            "debt": ["D1", "D2"],
            "purpose": "payment",
            "consents": [{"type": "time", "from": "21:00", "to": "22:30"}],
            "history": [{"t": "2026-11-24T00:00:00Z", "type": "call_out", "debt": "D1"}],
        }
    )
    assert facts.debts == ("D1", "D2")
    assert facts.purpose == "collect"
    assert str(facts.consents[0].closes) == "22:30:00"
    assert isinstance(facts, Facts)
    assert isinstance(facts.history[0], Past)
    assert facts.history[0].debts == ("D1",)


@pytest.mark.parametrize(
    ("more", "role"),
    [
        ({}, "debtor"),
        ({"to": "P1"}, "debtor"),
        ({"to": "neighbour"}, "neighbour"),
        ({"to": "P2", "role": "cosigner"}, "cosigner"),
        ({"right_party": "spouse"}, "spouse"),
    ],
)
def test_the_role_is_what_is_said_of_the_person(more: dict[str, Any], role: str) -> None:
    assert role_of(facts_from({"now": "2026-11-24T17:00:00Z", "channel": "call", **more})) == role


@pytest.mark.parametrize("part", [Facts, Debtor, Past, Event, Consent, Approval, Plan])
def test_every_field_is_described(part: type) -> None:
    described = (Path(__file__).resolve().parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
    spelt = {"debts": "debt", "opens": "from", "closes": "to"}
    names = {spelt.get(field.name, field.name) for field in fields(part)}
    assert {name for name in names if f"`{name}`" not in described} == set()
