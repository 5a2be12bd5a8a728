"""Reads facts from JSON: strict, and a mistake names the field and never repeats what stood in it.

Facts hold what people wrote and where they live, so an error message carries the place and the kind of the mistake
only.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from domain.compliance.facts import (
    Approval,
    Consent,
    Debtor,
    Event,
    Facts,
    Inconvenient,
    LastTemplate,
    Past,
    Plan,
    Validation,
)

LONGEST = 4_194_304
"""Bytes of one facts object."""

_PARTS: Mapping[str, type] = {
    "debtor": Debtor,
    "inconvenient": Inconvenient,
    "consents": Consent,
    "approvals": Approval,
    "events": Event,
    "history": Past,
    "plan": Plan,
    "validation": Validation,
    "last_template": LastTemplate,
}
_SPELLINGS = {"debts": "debt", "opens": "from", "closes": "to"}


class FactsError(ValueError):
    """Facts that cannot be read: which fields, and why."""


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Facts]:
    return TypeAdapter(Facts)


def parse_facts(text: str | bytes) -> Facts:
    """Read one JSON object; FactsError names every field that is wrong."""
    if len(text) > LONGEST:
        raise FactsError("the object is too long")
    try:
        return _adapter().validate_json(text)
    except ValidationError as invalid:
        said = dict.fromkeys(_said(error) for error in invalid.errors(include_url=False, include_input=False))
        raise FactsError("; ".join(said)) from None


def facts_from(values: Mapping[str, Any]) -> Facts:
    """Read facts from plain values, as a JSON object gives them."""
    return parse_facts(json.dumps(values))


def _said(error: ErrorDetails) -> str:
    path = [part for part in error["loc"] if isinstance(part, int) or part.isidentifier() or part.isalnum()]
    where = ""
    for part in path:
        where += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if where else part
    kind = error["type"]
    if kind == "json_invalid":
        return "not a JSON object"
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        return _unknown(path)
    if kind in {"missing", "missing_argument"}:
        return f"'{where}' is missing"
    if kind == "literal_error":
        return f"'{where}' is none of {error['ctx']['expected']}"
    if kind in {"dataclass_type", "dataclass_exact_type"}:
        return f"'{where}' is not an object" if where else "not a JSON object"
    return f"'{where}': {_kinds(kind)}" if where else _kinds(kind)


def _kinds(kind: str) -> str:
    match kind.partition("_")[0]:
        case "datetime" | "timezone":
            return "write an instant with its zone, for example 2026-11-24T16:00:00Z"
        case "date":
            return "write a day, for example 2026-11-24"
        case "time":
            return "write a time of day, for example 21:00"
        case "bool":
            return "write true or false"
        case "int":
            return "write a whole number"
        case "string":
            return "write text"
        case "tuple" | "list" | "frozen" | "set":
            return "write a list"
        case _:
            return "not a value that can be used"


def _unknown(path: list[str | int]) -> str:
    """Say which key is not known; a key is a field's name, never a value."""
    names = [part for part in path if isinstance(part, str)]
    key = names[-1][:40]
    part: type = _PARTS.get(names[-2], Facts) if len(names) > 1 else Facts
    known = [_SPELLINGS.get(one.name, one.name) for one in fields(part)] if is_dataclass(part) else []
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    place = ".".join([*names[:-1], key])
    return f"unknown field '{place}'" + (f" (did you mean '{near[0]}'?)" if near else "")
