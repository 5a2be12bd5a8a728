"""Reads the text of a rule pack and names every mistake by file and line, all at once.

It takes text and gives a ``Pack`` or a ``PackError``; it opens no file. Whatever is not understood is a mistake: a rule
that silently never matches is worse than one that does not load.
"""

import difflib
import re
from collections.abc import Iterable
from typing import Any, cast

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from domain.compliance.conditions import Test, known_facts
from domain.compliance.grammar import Effective, Pack, Rule, SignOff, Vocabulary
from domain.compliance.parts import (
    ByConsent,
    Content,
    Count,
    Exclusion,
    Exemption,
    Fresh,
    Hours,
    Keep,
    Lasts,
    Only,
    State,
    Term,
    Window,
)
from domain.strategy_file import Mistake, Places, where_of

LARGEST_FILE = 524_288
"""Characters of a pack."""
DEEPEST = 14

Path = tuple[str | int, ...]

_MODELS: dict[str, type[BaseModel]] = {
    "rules": Rule, "hours": Hours, "count": Count, "window": Window, "exclude": Exclusion, "only": Only,
    "state": State, "lasts": Lasts, "fresh": Fresh, "content": Content, "keep": Keep, "term": Term,
    "except": Exemption, "consent": ByConsent, "effective": Effective, "sign_off": SignOff,
}  # fmt: skip
_NAMED: dict[str, type[BaseModel]] = {
    "when": Test,
    "require": Test,
    "applies_if": Test,
    "until": Test,
    "ended_if": Test,
    "words": Vocabulary,
}


class PackError(ValueError):
    """A pack that cannot be used, with all its mistakes in the order of their lines."""

    def __init__(self, source: str, mistakes: Iterable[Mistake]) -> None:
        self.source = source
        self.mistakes = sorted(mistakes, key=lambda mistake: (mistake.line, mistake.column, mistake.where))
        super().__init__("\n".join(f"{source}:{mistake}" for mistake in self.mistakes))


try:  # the fast one, where it is built
    from yaml import CSafeLoader as _Base
except ImportError:
    from yaml import SafeLoader as _Base  # type: ignore[assignment]


class _Loader(_Base):
    """YAML with whole numbers, ``true``, ``false`` and empty values only; everything else is text."""


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]{0,17})$"), list("-0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null)?$"), ["~", "n", ""])


class _Reader:
    """Turns nodes into plain values and gathers the mistakes that only nodes can show."""

    def __init__(self) -> None:
        self.places = Places()
        self.mistakes: list[Mistake] = []
        self._met: set[int] = set()

    def add(self, path: Path, what: str, mend: str) -> None:
        line, column = self.places.of(path)
        self.mistakes.append(Mistake(line, column, where_of(path), what, mend))

    def value(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
        if not self.places.knows(path):
            self.places.note(path, node.start_mark)
        if len(path) > DEEPEST:
            self.add(path, "nested too deeply", "see docs/rules.md")
            return None
        if id(node) in self._met:
            self.add(path, "a reference (*name) is not allowed", "write it out again")
            return None
        self._met.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(one, (*path, number)) for number, one in enumerate(node.value))
        text = str(node.value)
        match node.tag.rpartition(":")[2]:
            case "int":
                return int(text)
            case "bool":
                return text == "true"
            case "null":
                return None
            case _:
                return text

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            inside = (*path, str(key_node.value))
            if not isinstance(key_node, yaml.ScalarNode):
                self.add(path, "a key must be a word", "write 'key: value'")
                continue
            if inside[-1] in values:
                line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
                what = f"'{inside[-1]}' is written twice"
                self.mistakes.append(Mistake(line, column, where_of(inside), what, "keep one of them"))
                continue
            self.places.note(inside, key_node.start_mark)
            values[str(key_node.value)] = self.value(value_node, inside)
        return values


def _model_at(path: Path) -> type[BaseModel] | None:
    """Return the part of the grammar a path stands for."""
    model: type[BaseModel] | None = Pack
    named: type[BaseModel] | None = None
    for part in path:
        if isinstance(part, int):
            continue
        if named is not None:
            model, named = named, None
        elif part in _NAMED:
            model, named = None, _NAMED[str(part)]
        else:
            model = _MODELS.get(part)
    return model


def _nearest(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"use one of: {', '.join(names[:40])}"


def _quoted(value: object) -> str:
    text = str(value)
    return f"'{text[:40]}...'" if len(text) > 43 else f"'{text}'"


def _said(error: ErrorDetails, places: Places) -> tuple[Path, str, str]:
    """Say one mistake in words: its path, what is wrong, how to mend it."""
    path: Path = tuple(error["loc"])
    kind, given, context = error["type"], error.get("input"), error.get("ctx", {})
    if kind == "extra_forbidden":
        model = _model_at(path[:-1])
        known = [field.alias or name for name, field in model.model_fields.items()] if model is not None else []
        return _written(path, places), f"unknown key {_quoted(path[-1])}", _nearest(str(path[-1]), known)
    if kind == "missing":
        return _written(path[:-1], places), f"'{path[-1]}' is missing", f"add '{path[-1]}: ...'"
    path = _written(path, places)
    if kind in {"literal_error", "enum"}:
        words = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        return path, f"unknown word {_quoted(given)}", _nearest(str(given), words)
    if kind == "value_error":
        what, _, mend = error["msg"].removeprefix("Value error, ").partition("; ")
        if what.startswith("unknown fact "):
            mend = _nearest(what[14:-1], known_facts())
        return path, what, mend or "see docs/rules.md"
    if kind == "string_pattern_mismatch":
        return path, f"{_quoted(given)} is not a name that can be used here", "for example us.fed.time-window"
    simple = {
        "string_type": "not text",
        "int_parsing": "not a whole number",
        "int_type": "not a whole number",
        "tuple_type": "not a list",
        "dict_type": "not keys and values",
        "model_type": "not keys and values",
        "date_from_datetime_parsing": "not a day such as 2026-09-01",
        "too_short": "empty",
    }
    return path, simple.get(kind, error["msg"].lower()), "see docs/rules.md"


def _written(path: Path, places: Places) -> Path:
    """Return the longest part of a path that is written in the file."""
    while path and not places.knows(path):
        path = path[:-1]
    return path


def _at_rule(path: Path, what: str, values: dict[str, Any]) -> Path:
    """Return the place of the rule a mistake of the whole pack begins with."""
    named = re.match(r"'([a-z0-9.-]+)'", what)
    rules = values.get("rules")
    if path or named is None or not isinstance(rules, tuple):
        return path
    numbers = [n for n, rule in enumerate(rules) if isinstance(rule, dict) and rule.get("id") == named[1]]
    return ("rules", numbers[-1]) if numbers else path


def _compose(text: str, source: str) -> yaml.Node:
    if len(text) > LARGEST_FILE:
        raise PackError(source, [Mistake(1, 1, "", "the file is too long", f"at most {LARGEST_FILE} characters")])
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        mend = "check indentation, quotes and colons"
        raise PackError(source, [Mistake(line, column, "", error.problem or "not YAML", mend)]) from None
    except yaml.YAMLError:
        mistake = Mistake(1, 1, "", "a character that text may not hold", "save the file as UTF-8 text")
        raise PackError(source, [mistake]) from None
    if not isinstance(node, yaml.MappingNode):
        raise PackError(source, [Mistake(1, 1, "", "no rule pack in this file", "begin with 'pack: ...'")])
    return node


def parse_pack(text: str, name: str) -> Pack:
    """Read the text of a pack; PackError holds every mistake. ``name`` is the file, for messages."""
    reader = _Reader()
    values = cast("dict[str, Any]", reader.value(_compose(text, name), ()))
    try:
        pack = Pack.model_validate(values)
    except ValidationError as invalid:
        seen: set[tuple[Path, str]] = set()
        for error in invalid.errors(include_url=False):
            path, what, mend = _said(error, reader.places)
            path = _at_rule(path, what, values)
            if (path, what) not in seen:
                seen.add((path, what))
                reader.add(path, what, mend)
        raise PackError(name, reader.mistakes) from None
    if reader.mistakes:
        raise PackError(name, reader.mistakes)
    return pack


def read_mapping(text: str, name: str) -> dict[str, Any]:
    """Read the text of a file of keys and values, with the same care; PackError holds every mistake."""
    reader = _Reader()
    values = cast("dict[str, Any]", reader.value(_compose(text, name), ()))
    if reader.mistakes:
        raise PackError(name, reader.mistakes)
    return values
