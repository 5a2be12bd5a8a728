"""Every case of the reference collection, through the one public function that the gate and `rules check` use."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.compliance import RuleBook, decide, facts_from

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "compliance" / "vectors.json"
DEVIATIONS: dict[str, str] = {}
"""Cases decided otherwise on purpose, with the section of docs/rules.md that argues it. There are none."""


def _vectors() -> list[Any]:
    if not VECTORS.is_file():
        reason = "the reference cases of ../shared are not on this machine"
        return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(vector, id=vector["id"]) for vector in json.loads(VECTORS.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("vector", _vectors())
def test_a_reference_case_is_decided_as_expected(vector: dict[str, Any], book: RuleBook) -> None:
    ruling = decide(facts_from(vector["facts"]), book).as_json()
    expected = vector["expected"]
    assert vector["id"] not in DEVIATIONS
    assert ruling["decision"] == expected["decision"], vector["why"]
    assert ruling["defer_until"] == expected["defer_until"], vector["why"]
    rule_ids = ruling["rule_ids"]
    assert isinstance(rule_ids, list)
    assert set(expected["rule_ids"]) <= set(rule_ids), vector["why"]
    for computed in ("value", "assumed_receipt"):
        assert ruling.get(computed) == expected.get(computed)


def test_all_reference_cases_are_there(shared: Path) -> None:
    vectors = json.loads((shared / "compliance" / "vectors.json").read_text(encoding="utf-8"))
    assert len(vectors) >= 85
    assert all(vector["expected"]["decision"] == vector["expected_decision"] for vector in vectors)
