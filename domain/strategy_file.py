"""Reads the text of a strategy file and names every mistake in it by line, all at once.

It takes text and gives a ``Strategy`` or a ``StrategyError``; it opens no file. Traps of YAML are taken out of the way:
``no`` is a word and not a boolean, ``09:00`` is a time and not a number, a key written twice is a mistake.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
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
}
_MODELS_OF_NAMED: dict[str, type[BaseModel]] = {"segment": Test, "only_if": Test, "then": GoTo}
_AMOUNTS = frozenset({"at_least", "below", "min_past_due"})
_TRUTHS = frozenset({"email_known", "phone_known", "address_known", "last_resort", "yes"})
_TRUE_WORDS = {"yes": True, "on": True, "no": False, "off": False}
_WORDS_OF_GO_TO = frozenset({"next", "same"})


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
        place = f"{self.where}: " if self.where else ""
        return f"{self.line}:{self.column}: {place}{self.what} ({self.mend})"


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
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "a reference (*name) is not allowed", mark)
        return cast("yaml.Node | None", super().compose_node(parent, index))  # type: ignore[no-untyped-call]


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null)?$"), ["~", "n", ""])


# --- from text to values, with the place of each --------------------------------------------------------------------


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
