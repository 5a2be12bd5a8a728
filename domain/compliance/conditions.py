"""Conditions of rules over facts: what a pack may test, and the test itself.

A test for a value fails on a fact that is not known; a test against a value (``none_of``) holds. So a rule that binds
everybody but a few binds those of whom nothing is known, and a duty is not fulfilled by silence.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from domain.compliance.facts import Debtor, Facts, LastTemplate, Plan, Validation, facts_age, role_of
from domain.compliance.vocabulary import (
    EVENTS,
    MEDIUM_OF_CHANNEL,
    PURPOSES,
    ROLES,
    ActorName,
    ContactChannel,
)

Predicate = Callable[[Facts], bool]
Getter = Callable[[Facts], Any]
Value = str | bool | int

_PARTS: Mapping[str, type] = {"debtor": Debtor, "plan": Plan, "validation": Validation, "last_template": LastTemplate}
_NOT_TESTED = frozenset({"history", "consents", "approvals", "events", "debtor", "plan", "validation", "last_template"})


class Clause(BaseModel):
    """Base of every part of a pack: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _event_types(facts: Facts) -> frozenset[str]:
    return frozenset(event.type for event in facts.events)


def _medium(facts: Facts) -> str | None:
    return MEDIUM_OF_CHANNEL.get(facts.channel)


_COMPUTED: Mapping[str, tuple[Getter, frozenset[str] | None, str]] = {
    "role": (role_of, ROLES, "word"),
    "events": (_event_types, EVENTS, "words"),
    "medium": (_medium, frozenset(MEDIUM_OF_CHANNEL.values()), "word"),
    "facts_age_s": (facts_age, None, "number"),
}
_WORDS: Mapping[str, frozenset[str]] = {
    "channel": frozenset(get_args(ContactChannel)),
    "actor": frozenset(get_args(ActorName)),
    "purpose": PURPOSES,
}


def _kind_of(hint: Any) -> tuple[str, frozenset[str] | None]:  # noqa: ANN401 - a type hint
    """Say what kind of value a field holds and, if its words are closed, which."""
    if get_origin(hint) is Annotated:
        return _kind_of(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return "word", frozenset(map(str, get_args(hint)))
    if get_origin(hint) in {tuple, frozenset}:
        return "words", None
    if get_origin(hint) in {UnionType, Union}:
        return _kind_of(next(one for one in get_args(hint) if one is not type(None)))
    return {bool: "truth", int: "number", str: "word"}.get(hint, "other"), None


@lru_cache(maxsize=1)
def known_facts() -> Mapping[str, tuple[Getter, frozenset[str] | None, str]]:
    """Return every fact a rule may test: how to read it, its closed words if any, its kind."""
    known = dict(_COMPUTED)
    for prefix, part in (("", Facts), *((f"{name}.", one) for name, one in _PARTS.items())):
        hints = get_type_hints(part, include_extras=True)
        for field in fields(part):
            path = f"{prefix}{field.name}"
            if path in _NOT_TESTED or path in _COMPUTED:
                continue
            kind, words = _kind_of(hints[field.name])
            known[path] = (attrgetter(path), _WORDS.get(path, words), kind)
    return known


def _many(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    return (value,) if isinstance(value, (str, bool, int)) else value


Values = Annotated[tuple[Value, ...], BeforeValidator(_many)]


class Test(Clause):
    """What one fact must be; every part that is written must hold."""

    one_of: Values | None = None
    none_of: Values | None = None
    at_least: int | None = None
    at_most: int | None = None
    known: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        return {"one_of": value} if isinstance(value, (str, bool, int, list, tuple)) else value

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            message = "a test says nothing; write for example {none_of: [visit]}"
            raise ValueError(message)
        return self


def _tests_fit(tests: dict[str, Test]) -> dict[str, Test]:
    for path, test in tests.items():
        if path not in known_facts():
            message = f"unknown fact '{path}'"
            raise ValueError(message)
        _, words, kind = known_facts()[path]
        given = (*(test.one_of or ()), *(test.none_of or ()))
        if kind == "truth" and any(not isinstance(one, bool) for one in given):
            message = f"'{path}' is true or false"
            raise ValueError(message)
        if kind == "other" and (given or test.at_least is not None or test.at_most is not None):
            message = f"'{path}' can only be tested with {{known: true}} or {{known: false}}"
            raise ValueError(message)
        if kind != "number" and (test.at_least is not None or test.at_most is not None):
            message = f"'{path}' is no number"
            raise ValueError(message)
        strange = sorted(str(one) for one in given if words is not None and str(one) not in words)
        if strange:
            message = f"'{path}' is never '{strange[0]}'"
            raise ValueError(message)
    return tests


Tests = Annotated[dict[str, Test], AfterValidator(_tests_fit)]


def _alternatives(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    return (value,) if isinstance(value, dict) else value


Conditions = Annotated[tuple[Tests, ...], BeforeValidator(_alternatives)]
"""Tests that must all hold; or a list of such, of which one must hold."""


def _test(path: str, test: Test) -> Predicate:
    read, _, kind = known_facts()[path]
    checks: list[Callable[[Any], bool]] = []
    several = kind == "words"
    if test.one_of is not None:
        wanted = frozenset(test.one_of)
        checks.append((lambda value: not wanted.isdisjoint(value)) if several else (lambda value: value in wanted))
    if test.none_of is not None:
        barred = frozenset(test.none_of)
        checks.append(barred.isdisjoint if several else (lambda value: value not in barred))
    if test.at_least is not None:
        least = test.at_least
        checks.append(lambda value: value is not None and value >= least)
    if test.at_most is not None:
        most = test.at_most
        checks.append(lambda value: value is not None and value <= most)
    if test.known is not None:
        known = test.known
        checks.append(lambda value: (value is not None) == known)
    if len(checks) == 1:
        only = checks[0]
        return lambda facts: only(read(facts))
    return lambda facts: all(check(read(facts)) for check in checks)


def _all(tests: Mapping[str, Test]) -> Predicate:
    parts = [_test(path, test) for path, test in tests.items()]
    if len(parts) == 1:
        return parts[0]
    return lambda facts: all(part(facts) for part in parts)


def compiled(conditions: Iterable[Mapping[str, Test]]) -> Predicate:
    """Return the conditions as one predicate; no conditions hold always."""
    alternatives = [_all(tests) for tests in conditions]
    if not alternatives:
        return lambda _: True
    if len(alternatives) == 1:
        return alternatives[0]
    return lambda facts: any(one(facts) for one in alternatives)


def both(first: Predicate, second: Predicate) -> Predicate:
    """Return a predicate that holds when both do."""
    return lambda facts: first(facts) and second(facts)
