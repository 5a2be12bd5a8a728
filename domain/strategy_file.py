"""Reads the text of a strategy file and names every mistake in it by line, all at once.

It takes text and gives a ``Strategy`` or a ``StrategyError``; it opens no file. Traps of YAML are taken out
of the way: ``no`` is a word and no boolean, ``09:00`` a time and no number, a key written twice a mistake.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from domain.strategy import (
    Between,
    End,
    FactName,
    GoTo,
    Hours,
    Period,
    Recipient,
    Requires,
    Softening,
    Start,
    Step,
    Strategy,
    Test,
)

LARGEST_FILE = 262_144
"""Characters of a strategy file."""
DEEPEST = 12
"""Levels of nesting; the grammar needs six."""

Path = tuple[str | int, ...]
Level = Literal["error", "warning"]

_MODELS: dict[str, type[BaseModel]] = {
    "steps": Step,
    "start": Start,
    "between": Between,
    "hours": Hours,
    "to": Recipient,
    "requires": Requires,
    "every": Period,
    "min_gap": Period,
    "expires": Period,
    "ends": End,
    "soften": Softening,
}
_MODELS_OF_NAMED: dict[str, type[BaseModel]] = {"segment": Test, "only_if": Test, "then": GoTo}
_AMOUNTS = frozenset({"at_least", "below", "min_past_due", "least_line", "amount_above"})
_TRUTHS = frozenset({"email_known", "phone_known", "address_known", "last_resort", "yes", "always"})
_TRUE_WORDS = {"yes": True, "on": True, "no": False, "off": False}
_WORDS_OF_GO_TO = frozenset({"next", "same"})


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a kind of file may say: the part each key stands for, by its name. ``named``: keys whose keys are free."""

    root: type[BaseModel]
    parts: Mapping[str, type[BaseModel]]
    named: Mapping[str, type[BaseModel]]
    doc: str
    """The page that explains it."""


STRATEGY = Grammar(Strategy, _MODELS, _MODELS_OF_NAMED, "docs/strategies.md")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: where it stands (line and column from 1), what is wrong and how to mend it."""

    line: int
    column: int
    where: str
    what: str
    mend: str
    level: Level = "error"

    def __str__(self) -> str:
        """Return the mistake as one line, without the file's name."""
        return f"{self.line}:{self.column}: {self.said}"

    @property
    def said(self) -> str:
        """The mistake without its line."""
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what} ({self.mend})"


class StrategyError(ValueError):
    """A strategy file that cannot be used, with all its mistakes in the order of their lines."""

    def __init__(self, source: str, mistakes: Iterable[Mistake]) -> None:
        self.source = source
        self.mistakes = sorted(mistakes, key=lambda mistake: (mistake.line, mistake.column, mistake.where))
        super().__init__("\n".join(f"{source}:{mistake}" for mistake in self.mistakes))


class _Loader(yaml.SafeLoader):
    """YAML with numbers, ``true``, ``false`` and empty values only; everything else is text."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse references: a strategy is read by people, from top to bottom."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "a reference (*name) is not allowed", mark)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null)?$"), ["~", "n", ""])


# --- from text to values, with the place of each ------------------------------------------------------------


class Places:
    """Where each key and value of a file stands."""

    def __init__(self) -> None:
        self._of: dict[Path, tuple[int, int]] = {(): (1, 1)}

    def note(self, path: Path, mark: yaml.Mark) -> None:
        """Remember where ``path`` begins."""
        self._of[path] = (mark.line + 1, mark.column + 1)

    def of(self, path: Path) -> tuple[int, int]:
        """Return line and column of ``path``, or of the nearest part around it."""
        while path not in self._of:
            path = path[:-1]
        return self._of[path]

    def knows(self, path: Path) -> bool:
        """Whether ``path`` is written in the file."""
        return path in self._of


class _Reader:
    """Turns nodes into plain values and gathers the mistakes that only nodes can show."""

    def __init__(self) -> None:
        self.places = Places()
        self.mistakes: list[Mistake] = []

    def add(self, path: Path, what: str, mend: str, mark: yaml.Mark | None = None) -> None:
        line, column = self.places.of(path) if mark is None else (mark.line + 1, mark.column + 1)
        self.mistakes.append(Mistake(line, column, where_of(path), what, mend))

    def value(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
        if path not in self.places._of:  # noqa: SLF001 - a key's place is noted before its value's
            self.places.note(path, node.start_mark)
        if len(path) > DEEPEST:
            self.add(path, "nested too deeply", "see docs/strategies.md for the grammar", node.start_mark)
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one, (*path, number)) for number, one in enumerate(node.value)]
        return _scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.add(path, "a key must be a word", "write 'key: value'", key_node.start_mark)
                continue
            key = str(key_node.value)
            inside = (*path, key)
            if key in values:
                self.add(inside, f"'{key}' is written twice", "keep one of them", key_node.start_mark)
                continue
            self.places.note(inside, key_node.start_mark)
            values[key] = self.value(value_node, inside)
        return values


def _scalar(node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    text = str(node.value)
    if path and path[-1] in _TRUTHS and text.lower() in _TRUE_WORDS:
        return _TRUE_WORDS[text.lower()]
    match node.tag.rpartition(":")[2]:
        case "int":
            return int(text) if len(text) < 19 else text
        case "bool":
            return text.lower() == "true"
        case "null":
            return None
        case _:
            return text


def where_of(path: Path) -> str:
    """Return a path as people say it: ``steps[2].start.days``."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


# --- what the grammar says about the values -----------------------------------------------------------------


def _model_at(path: Path, grammar: Grammar) -> type[BaseModel] | None:
    """Return the part of the grammar a path stands for."""
    model: type[BaseModel] | None = grammar.root
    named: type[BaseModel] | None = None
    for part in path:
        if isinstance(part, int):
            continue
        if named is not None:
            model, named = named, None
        elif part in grammar.named:
            model, named = None, grammar.named[part]
        else:
            model = grammar.parts.get(part)
    return model


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return how to mend a word that is not known."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"use one of: {', '.join(names)}"


def _quoted(value: object) -> str:
    text = str(value)
    return f"'{text[:40]}...'" if len(text) > 43 else f"'{text}'"


def _from_pydantic(error: ErrorDetails, places: Places, grammar: Grammar) -> tuple[Path, str, str]:
    """Say one error of the grammar in words: its path, what is wrong, how to mend it."""
    path: Path = tuple(error["loc"])
    if path and path[-1] == "[key]":
        word = str(path[-2])
        return path[:-1], f"unknown fact {_quoted(word)}", _nearest(word, get_args(FactName))
    amount = next((number for number, part in enumerate(path) if part in _AMOUNTS), None)
    if amount is not None:
        mend = "write for example 5000 or {CNY: 5000, USD: 700}"
        return path[: amount + 1], "not an amount", mend
    if path == ("steps",) and error["type"] == "too_short":
        return path, "no steps that can be used", "write at least one"
    kind, given, context = error["type"], error.get("input"), error.get("ctx", {})
    message = error["msg"].removeprefix("Value error, ")
    while path and not places.knows(path) and kind not in {"missing", "extra_forbidden"}:
        path = path[:-1]
    if kind == "missing":
        return path[:-1], f"'{path[-1]}' is missing", f"add '{path[-1]}: ...'"
    if kind == "extra_forbidden":
        model = _model_at(path[:-1], grammar)
        fields = model.model_fields if model is not None else {}
        return path, f"unknown key {_quoted(path[-1])}", _nearest(str(path[-1]), fields)
    what, mend = _said(kind, given, str(context.get("expected", "")), message)
    return path, what, mend.replace(STRATEGY.doc, grammar.doc)


def _said(kind: str, given: object, expected: str, message: str) -> tuple[str, str]:
    """Say what is wrong with a value, and how to mend it."""
    match kind:
        case "literal_error" | "enum":
            return f"unknown word {_quoted(given)}", _nearest(str(given), re.findall(r"'([^']*)'", expected))
        case "string_pattern_mismatch":
            return f"{_quoted(given)} is not a name", "use lower-case letters, digits and hyphens"
        case "string_type":
            return f"{_quoted(given)} is not text", "write it in quotes"
        case "tuple_type":
            return "not a list", "write [one, two] or one '- ' per line"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "not a list of keys and values", "write 'key: value', one per line, indented"
        case "bool_parsing" | "bool_type":
            return f"{_quoted(given)} is neither true nor false", "write true or false"
        case "int_parsing" | "int_type" | "int_from_float":
            return f"{_quoted(given)} is not a whole number", "write for example 3"
        case "too_short":
            return "an empty list", "write at least one"
        case "value_error":
            what, _, mend = message.partition("; ")
            return what, mend or "see docs/strategies.md for the grammar"
        case _:
            return f"{_quoted(given)}: {message[:1].lower()}{message[1:]}", "see docs/strategies.md"


def _steps_of(values: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    steps = values.get("steps")
    for number, step in enumerate(steps if isinstance(steps, list) else []):
        if isinstance(step, dict):
            yield number, step


def _names_of_steps(values: dict[str, Any], reader: _Reader) -> None:
    """Find step ids used twice and outcomes that lead nowhere, each where it stands."""
    first: dict[str, int] = {}
    for number, step in _steps_of(values):
        name = step.get("id")
        if not isinstance(name, str):
            continue
        if name in first:
            what = f"step id {_quoted(name)} used twice"
            reader.add(("steps", number, "id"), what, f"rename it: step {first[name] + 1} has this id")
        if name in _WORDS_OF_GO_TO:
            reader.add(("steps", number, "id"), f"{_quoted(name)} has a meaning of its own", "rename it")
        first.setdefault(name, number)
    resumes = values.get("after_broken")
    if isinstance(resumes, str) and resumes not in {*first, "next"}:
        mend = _nearest(resumes, {*first, "next"})
        reader.add(("after_broken",), f"leads to the unknown step {_quoted(resumes)}", mend)
    for number, step in _steps_of(values):
        then = step.get("then")
        for outcome, leads in then.items() if isinstance(then, dict) else ():
            target = leads.get("step") if isinstance(leads, dict) else leads
            if isinstance(target, str) and target not in {*first, *_WORDS_OF_GO_TO}:
                mend = _nearest(target, {*first, *_WORDS_OF_GO_TO})
                reader.add(("steps", number, "then", outcome), f"leads to the unknown step {_quoted(target)}", mend)


def _compose(text: str, source: str) -> yaml.Node:
    if len(text) > LARGEST_FILE:
        mistake = Mistake(1, 1, "", "the file is too long", f"a strategy has at most {LARGEST_FILE} characters")
        raise StrategyError(source, [mistake])
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        what = error.problem or "not YAML"
        mend = "indent with spaces" if "\\t" in what else "check indentation, quotes and colons"
        if "reference" in what:
            mend = "write it out again"
        raise StrategyError(source, [Mistake(line, column, "", what, mend)]) from None
    except yaml.YAMLError:
        mend = "save the file as UTF-8 text"
        raise StrategyError(source, [Mistake(1, 1, "", "a character that text may not hold", mend)]) from None
    if not isinstance(node, yaml.MappingNode):
        raise StrategyError(source, [Mistake(1, 1, "", "no strategy in this file", "begin with 'name: ...'")])
    return node


def read_places(text: str) -> Places:
    """Return where each key of a file stands; StrategyError when it is not YAML."""
    reader = _Reader()
    reader.value(_compose(text, "strategy"), ())
    return reader.places


def read_values(text: str, source: str) -> dict[str, Any]:
    """Return the plain values of a text in the grammar of strategies; StrategyError when it cannot be read."""
    reader = _Reader()
    values = cast("dict[str, Any]", reader.value(_compose(text, source), ()))
    if reader.mistakes:
        raise StrategyError(source, reader.mistakes)
    return values


def parse_strategy(text: str, source: str) -> Strategy:
    """Read the text of a strategy; StrategyError holds every mistake.

    ``source`` names the file in messages.
    """
    reader = _Reader()
    values = cast("dict[str, Any]", reader.value(_compose(text, source), ()))
    _names_of_steps(values, reader)
    return cast("Strategy", _validated(values, reader, source, STRATEGY))


def parse_by(grammar: Grammar, text: str, source: str) -> BaseModel:
    """Read the text of a file of another kind; StrategyError holds every mistake, by line."""
    reader = _Reader()
    return _validated(cast("dict[str, Any]", reader.value(_compose(text, source), ())), reader, source, grammar)


def _validated(values: dict[str, Any], reader: _Reader, source: str, grammar: Grammar) -> BaseModel:
    try:
        read = grammar.root.model_validate(values)
    except ValidationError as invalid:
        seen = set()
        errors = invalid.errors(include_url=False)
        for error in errors:
            if error["type"] == "too_short" and any(other["loc"][:-1] == error["loc"] for other in errors):
                continue  # it is empty because what stands in it is wrong, and that is said
            path, what, mend = _from_pydantic(error, reader.places, grammar)
            of_the_whole = (path, error["type"]) in {((), "value_error"), (("steps",), "too_short")}
            said_already = of_the_whole and bool(reader.mistakes or len(errors) > 1)
            if (path, what) in seen or said_already:
                continue
            seen.add((path, what))
            reader.add(path, what, mend)
        raise StrategyError(source, reader.mistakes) from None
    if reader.mistakes:
        raise StrategyError(source, reader.mistakes)
    return read


_LATER_KEYS: dict[str, object] = {"after_broken": "next", "soften": []}
"""Keys that were added to the grammar, with what their absence means: strategies without them keep their digest."""


def digest(strategy: Strategy) -> str:
    """Return the SHA-256 of the strategy's canonical JSON, in hex: the same meaning gives the same digest."""
    whole = strategy.model_dump(mode="json")
    body = {key: value for key, value in whole.items() if key not in _LATER_KEYS or value != _LATER_KEYS[key]}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
