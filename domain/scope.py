"""Which open cases a bulk operation is about: a condition over a closed list of facts, in the grammar of strategies.

``creditor: bank, bucket: [M1, M2], past_due: {at_least: {USD: 500}}, held: no`` - the words of ``only_if`` in a
strategy file, on one line. Facts that stand in columns are tested by the database, those that depend on the debtor's
day and the creditor's order of allocation by the very function that cases decide by: past due has one definition.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from domain.codes import Actor, Channel, HoldReason, Stage
from domain.strategy import FactName, Test
from domain.strategy_file import StrategyError, read_values

LONGEST = 4_000
"""Characters of a condition."""
ALL = "all"
"""The condition that every open case fulfils; it must be asked for by name."""

FactKind = Literal["word", "set", "number", "money", "yes"]
_TESTS: Mapping[FactKind, tuple[str, ...]] = {
    "word": ("one_of", "none_of"),
    "set": ("any_of", "none_of"),
    "number": ("at_least", "below"),
    "money": ("at_least", "below"),
    "yes": ("yes",),
}
SCOPE_FACTS: Mapping[str, FactKind] = {
    **dict.fromkeys(
        (
            "case", "account", "debtor", "creditor", "collector", "product", "currency", "actor", "debt_type", "region",
            "language", "strategy", "stage", "step", "next_channel", "bucket",
        ),
        "word",
    ),
    **dict.fromkeys(("hold", "dispositions"), "set"),
    **dict.fromkeys(("strategy_version", "dpd", "score", "tries", "days_open"), "number"),
    **dict.fromkeys(("past_due", "balance"), "money"),
    **dict.fromkeys(("held", "disputed", "item_open", "email_known", "phone_known", "address_known"), "yes"),
}  # fmt: skip
"""Fact -> what kind it is. ``account`` and ``debtor`` are the lender's numbers, ``case`` is our key."""

RECKONED: frozenset[FactName] = frozenset({"past_due", "balance", "dpd", "bucket"})
"""Facts that are reckoned from dues and entries as of the debtor's day; all others stand in columns."""

_WORDS_OF: Mapping[str, frozenset[str]] = {
    "stage": frozenset(Stage),
    "next_channel": frozenset(Channel),
    "hold": frozenset(HoldReason),
    "actor": frozenset(Actor),
}
"""Facts whose words are known: a misspelt one would choose nothing, or with none_of too much."""
_BUCKET = re.compile(r"M(0|[1-9]\d{0,3})")
_YES_WORDS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


class ScopeError(ValueError):
    """A condition that cannot be used. The text is one line: what is wrong and how to mend it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A condition: every test of it must hold. Without tests it is ``all``."""

    tests: Mapping[str, Test]

    @property
    def canonical(self) -> str:
        """Return the one way to write it, as JSON."""
        plain = {fact: test.model_dump(mode="json", exclude_none=True) for fact, test in self.tests.items()}
        return json.dumps(plain, sort_keys=True, separators=(",", ":"))

    @property
    def in_columns(self) -> dict[str, Test]:
        """Return the tests that the database can make."""
        return {fact: test for fact, test in self.tests.items() if fact not in RECKONED}

    @property
    def reckoned(self) -> dict[FactName, Test]:
        """Return the tests of facts that must be reckoned."""
        return {fact: self.tests[fact] for fact in sorted(RECKONED) if fact in self.tests}


def parse_scope(text: str) -> Scope:
    """Read a condition. ScopeError names what is wrong; an unknown fact is answered with those that are known."""
    written = text.strip()
    if written == ALL:
        return Scope({})
    if not written or written == "{}":
        raise ScopeError("--where is empty; write for example 'creditor: bank, dpd: {at_least: 30}', or 'all'")
    if len(written) > LONGEST:
        raise ScopeError(f"--where is longer than {LONGEST} characters; name the cases by what they share")
    braced = written if written.startswith("{") or "\n" in written else f"{{{written}}}"
    try:
        values = read_values(braced, "--where")
    except StrategyError as error:
        raise ScopeError(f"--where: {error.mistakes[0].said}") from None
    unknown = [fact for fact in values if fact not in SCOPE_FACTS]
    if unknown:
        raise ScopeError(
            f"--where: no fact is called {_quoted(unknown[0])}; known are {', '.join(sorted(SCOPE_FACTS))}"
        )
    return Scope({fact: _test(fact, value) for fact, value in values.items()})


def _test(fact: str, value: object) -> Test:
    kind = SCOPE_FACTS[fact]
    if kind == "yes" and str(value).lower() in _YES_WORDS:
        value = {"yes": _YES_WORDS[str(value).lower()]}
    elif isinstance(value, (int, str)) and not isinstance(value, bool):
        value = {"any_of" if kind == "set" else "one_of": [str(value)]}
    elif isinstance(value, list):
        value = {"any_of" if kind == "set" else "one_of": [str(one) for one in value]}
    allowed = _TESTS[kind]
    usable = f"'{fact}' is tested with {' or '.join(allowed)}"
    try:
        test = Test.model_validate(value)
    except ValidationError:
        raise ScopeError(f"--where: {usable}; write for example {_example(fact, kind)}") from None
    if not test.written or test.written - set(allowed):
        raise ScopeError(f"--where: {usable}; write for example {_example(fact, kind)}")
    _known_words(fact, test)
    bounds = [one for one in (test.at_least, test.below) if one is not None]
    if kind == "number" and not all(re.fullmatch(r"\d{1,9}", str(one)) for one in bounds):
        raise ScopeError(f"--where: '{fact}' is a whole number; write for example {_example(fact, kind)}")
    if kind == "money" and not all(isinstance(one, dict) for one in bounds):
        raise ScopeError(f"--where: '{fact}' is money of a currency; write for example {_example(fact, kind)}")
    return test


def _known_words(fact: str, test: Test) -> None:
    words = (*(test.one_of or ()), *(test.any_of or ()), *(test.none_of or ()))
    known = _WORDS_OF.get(fact)
    wrong = next((word for word in words if known is not None and word not in known), None)
    if wrong is not None and known is not None:
        raise ScopeError(f"--where: {_quoted(wrong)} is no {fact.replace('_', ' ')}; one of {', '.join(sorted(known))}")
    if fact == "bucket" and not all(_BUCKET.fullmatch(word) for word in words):
        raise ScopeError("--where: 'bucket' is M0, M1 (1-30 days past due), M2 (31-60), ...")


def _example(fact: str, kind: FactKind) -> str:
    match kind:
        case "word" | "set":
            return f"{fact}: [one, other]"
        case "number":
            return f"{fact}: {{at_least: 30, below: 60}}"
        case "money":
            return f"{fact}: {{at_least: {{USD: 500}}}}"
        case "yes":
            return f"{fact}: yes"


def _quoted(word: str) -> str:
    return f"'{word[:40]}'"
