"""One template file: read in a sandbox that calls nothing, and rendered so that every sign knows its line.

A template stands alone: no other file is drawn in, nothing is called, no attribute is reached but those of a loop and a
day. What it may use are the variables of ``domain.wording_samples``, a few filters, conditions and loops.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, get_args

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from domain.compliance.vocabulary import PURPOSES, ROLES, ActorName
from domain.message_text import on_one_line
from domain.wording_check import JUDGED_AS, Piece, Purpose, TemplateMistake, Tongue
from domain.wording_samples import VARIABLES, masked

LARGEST_FILE = 65_536
_NAME = re.compile(r"^(?P<template>[a-z0-9]+(?:-[a-z0-9]+)*)\.(?P<channel>[a-z]+)(?P<html>\.html)?\.j2$")
_HEADER = re.compile(r"\A\s*\{#-?\s*for:(?P<words>.*?)-?#\}\n?", re.DOTALL)
_FILTERS = (
    "capitalize", "default", "e", "escape", "first", "join", "last", "length", "lower", "replace", "title", "trim",
    "upper",
)  # fmt: skip
_LOOP = frozenset({"first", "last", "index", "index0", "length", "revindex"})
_DAY = frozenset({"year", "month", "day"})
_NOT_ALONE = (
    nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block, nodes.Macro, nodes.CallBlock,
    nodes.FilterBlock,
)  # fmt: skip
_MARK = re.compile("\ue000([0-9]+)\ue001")


class TemplateRefusedError(Exception):
    """A template cannot be read; ``mistakes`` say why."""

    def __init__(self, mistakes: list[TemplateMistake]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(map(str, mistakes)))


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, closed further: calls, powers and multiplied texts are out, and nearly all attributes."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - Jinja's own
        """Refuse what makes much of little."""
        del context, left, right
        raise SecurityError(f"'{operator}' is not for templates")

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ANN401 - Jinja's own
        """Allow the position in a loop and the parts of a day."""
        del value
        return (isinstance(obj, LoopContext) and attr in _LOOP) or (isinstance(obj, date) and attr in _DAY)

    def is_safe_callable(self, obj: Any) -> bool:  # noqa: ANN401 - Jinja's own
        """Allow nothing: filters are enough."""
        del obj
        return False


def sandbox(tongue: Tongue, *, markup: bool) -> ImmutableSandboxedEnvironment:
    """Return the environment of a language; ``markup`` escapes every value for HTML."""
    env = _Sandbox(undefined=StrictUndefined, autoescape=markup, trim_blocks=True, lstrip_blocks=True)
    env.globals.clear()
    env.filters = {name: env.filters[name] for name in _FILTERS}
    env.filters |= {"masked": _masked, "day": lambda value: _day(value, tongue)}
    return env


def _masked(value: object) -> str:
    return masked(str(value))


def _day(value: object, tongue: Tongue) -> str:
    if not isinstance(value, date):
        raise TemplateError("'day' is for days")
    return tongue.day.format(day=value.day, month=tongue.months[value.month - 1], year=value.year)


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template that was read. ``plain`` makes the words; ``marked`` the same with the line of each."""

    piece: Piece
    template: str
    names: frozenset[str]
    plain: Template
    marked: Template

    @property
    def lasting(self) -> bool:
        """Whether line breaks are part of the words; in a text message or a call they are not."""
        return self.piece.channel in {"email", "letter", "call"}

    def words(self, values: Mapping[str, object]) -> str:
        """Return the words. TemplateError when something is missing or out of reach."""
        text = self.plain.render(values)
        return text.strip() if self.lasting else on_one_line(text)[0]

    def words_with_lines(self, values: Mapping[str, object]) -> tuple[str, tuple[int, ...]]:
        """Return the words and, for each sign, the line of the template that said it."""
        text: list[str] = []
        lines: list[int] = []
        line, end = 1, 0
        whole = "".join(self.marked.root_render_func(self.marked.new_context(dict(values))))
        for mark in _MARK.finditer(whole):
            text += whole[end : mark.start()]
            lines += [line] * (mark.start() - end)
            line, end = int(mark.group(1)), mark.end()
        text += whole[end:]
        lines += [line] * (len(whole) - end)
        said = "".join(text)
        if not self.lasting:
            flat, places = on_one_line(said)
            return flat, tuple(lines[place] for place in places)
        start = len(said) - len(said.lstrip())
        stripped = said.strip()
        return stripped, tuple(lines[start : start + len(stripped)])

    def line_of(self, error: BaseException) -> int:
        """Return the line of the template at which rendering ``marked`` failed."""
        line = 1
        trace: TracebackType | None = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_globals.get("__jinja_template__") is self.marked:
                line = self.marked.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return line


def read_template(path: Path, file: str, languages: Mapping[str, Tongue]) -> TemplateFile:
    """Read a template; TemplateRefusedError names every mistake that is seen without rendering it."""
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise _refused(file, 1, "wording.syntax", "cannot be read as UTF-8 text") from None
    language, _, base = file.rpartition("/")
    name = _NAME.match(base)
    if name is None or name["channel"] not in JUDGED_AS or (name["html"] and name["channel"] != "email"):
        what = f"is called neither <template>.<{'|'.join(JUDGED_AS)}>.j2 nor <template>.email.html.j2"
        raise _refused(file, 1, "wording.name", what)
    if language not in languages:
        raise _refused(file, 1, "wording.language", f"languages.yaml does not know '{language}'")
    if len(source) > LARGEST_FILE:
        raise _refused(file, 1, "wording.syntax", f"is longer than {LARGEST_FILE} signs")
    markup = bool(name["html"]) or name["channel"] == "letter"
    env = sandbox(languages[language], markup=markup)
    purpose = _purpose(source, file)
    try:
        tree = env.parse(source)
        mistakes = [*_reaching_out(tree, file), *_hidden_parts(tree, file), *_unknown_names(tree, file)]
        if mistakes:
            raise TemplateRefusedError(mistakes)
        plain = env.from_string(tree)
        _mark(tree)
        marked = env.from_string(tree)
    except TemplateSyntaxError as error:
        raise _refused(file, error.lineno, "wording.syntax", error.message or "is not understood") from None
    return TemplateFile(
        piece=Piece(file, language, name["channel"], markup, purpose),
        template=name["template"],
        names=frozenset(one.name for one in tree.find_all(nodes.Name) if one.ctx == "load"),
        plain=plain,
        marked=marked,
    )


def _refused(file: str, line: int, rule_id: str, what: str) -> TemplateRefusedError:
    return TemplateRefusedError([TemplateMistake(file, line, rule_id, what)])


def _purpose(source: str, file: str) -> Purpose:
    """Read ``{# for: actor=third_party_collector purpose=required_notice #}`` at the head of a template."""
    header = _HEADER.match(source)
    if header is None:
        return Purpose()
    known: Mapping[str, frozenset[str] | None] = {
        "actor": frozenset(get_args(ActorName)),
        "purpose": PURPOSES,
        "notice": None,
        "role": ROLES,
    }
    said: dict[str, Any] = {}
    for word in header["words"].split():
        key, _, value = word.partition("=")
        allowed = known.get(key, frozenset())
        if not value or key in said or (allowed is not None and value not in allowed):
            what = f"'{word}' is no purpose; write actor=, purpose=, notice= or role= with a word of docs/templates.md"
            raise _refused(file, 1, "wording.header", what)
        said[key] = value
    return Purpose(**said)


def _reaching_out(tree: nodes.Template, file: str) -> Iterator[TemplateMistake]:
    for node in tree.find_all(_NOT_ALONE):
        what = f"'{type(node).__name__.lower()}' is not for templates: each stands alone and is read as a whole"
        yield TemplateMistake(file, node.lineno, "wording.alone", what)


def _hidden_parts(tree: nodes.Template, file: str) -> Iterator[TemplateMistake]:
    """Find what reaches for the inside of a value, whether or not it would ever be rendered."""
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        named = getattr(node, "attr", None) or getattr(getattr(node, "arg", None), "value", None)
        if isinstance(named, str) and named.startswith("_"):
            yield TemplateMistake(file, node.lineno, "wording.sandbox", f"'{named}' is not for templates")


def _unknown_names(tree: nodes.Template, file: str) -> Iterator[TemplateMistake]:
    own = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"} | {"loop"}
    seen: set[str] = set()
    for node in tree.find_all(nodes.Name):
        if node.ctx == "load" and node.name not in own and node.name not in VARIABLES and node.name not in seen:
            seen.add(node.name)
            what = f"there is no variable '{node.name}'; there are {', '.join(VARIABLES)}"
            yield TemplateMistake(file, node.lineno, "wording.variable", what)


def _mark(tree: nodes.Template) -> None:
    """Put the line before every piece of output."""
    for output in list(tree.find_all(nodes.Output)):
        pieces: list[nodes.Expr] = []
        for node in output.nodes:
            texts = node.data.splitlines(keepends=True) if isinstance(node, nodes.TemplateData) else [""]
            for number, text in enumerate(texts):
                line = node.lineno + number
                pieces.append(nodes.TemplateData(f"\ue000{line}\ue001{text}", lineno=line))
            if not isinstance(node, nodes.TemplateData):
                pieces.append(node)
        output.nodes = pieces
