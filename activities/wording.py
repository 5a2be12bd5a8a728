"""Turns a template into the words of one message.

Templates are data people edit: ``policies/templates/<language>/<template>.<channel>.j2``. All are read, tried with
examples and judged by the content rules when this is made; one that fails is never used (docs/templates.md). Errors
name the template and the rule, never a value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import yaml
from jinja2 import TemplateError
from pydantic import ValidationError

from activities.rulebook import RuleBookUnreadableError, read_rulebook
from activities.template_files import TemplateFile, TemplateRefusedError, read_template
from domain.compliance import PackError, RuleBook, parse_pack
from domain.compliance.content import ContentCheck
from domain.message_text import segments
from domain.wording_check import EVERYWHERE, OPEN_TO_OTHERS, Judge, Languages, Rendered, TemplateMistake, skeleton
from domain.wording_samples import NEEDED_FOR_VOICE, OF_THE_DEBT, Example, completed, examples

FALLBACK_LANGUAGE = "en"
LANGUAGES = "languages.yaml"
HOUSE_RULES = "wording.yaml"
_SUBJECT = "Subject:"
_LONGEST_SUBJECT = 150


class WordingError(Exception):
    """A template is missing, was refused or does not render. Names template and rule, never the values."""


@dataclass(frozen=True, slots=True)
class Worded:
    """Subject (empty where a channel has none) and body. Personal data: never logged, never in a history.

    ``html`` is the body once more for readers of HTML, empty if the template has no such form. ``language`` is that of
    the words, which is not always the one asked for.
    """

    subject: str = field(repr=False)
    body: str = field(repr=False)
    html: str = field(default="", repr=False)
    language: str = FALLBACK_LANGUAGE

    @property
    def content(self) -> str:
        """What the gate judges."""
        return f"{self.subject}\n{self.body}"


class Wording:
    """The templates of one folder. Immutable: threads share it."""

    def __init__(self, folder: Path, book: RuleBook | None = None) -> None:
        """Read and judge every template of a folder; without a book by the rules in the folder ``rules`` beside it.

        WordingError when languages, house rules or packs cannot be read. ``mistakes`` has all that is wrong with
        templates; whoever must not run with any looks there.
        """
        self.languages = _read_languages(folder)
        self.judge = Judge(book or _beside(folder), _read_house_rules(folder), self.languages)
        self._files: dict[str, TemplateFile] = {}
        mistakes = [
            TemplateMistake(LANGUAGES, 1, "wording.language", f"there are no rules for '{place}'")
            for place in self.judge.unknown_places()
        ]
        for path in sorted(folder.glob("*/*.j2")):
            file = path.relative_to(folder).as_posix()
            try:
                self._files[file] = read_template(path, file, self.languages.languages)
            except TemplateRefusedError as error:
                mistakes += error.mistakes
        self._refused = {one.file: one for one in mistakes}
        for read in self._files.values():
            mistakes += self._judged(read)
        self.mistakes = tuple(sorted(mistakes, key=lambda one: (one.file, one.line, one.rule_id)))
        self._refused = {one.file: one for one in reversed(self.mistakes)}

    @property
    def templates(self) -> tuple[TemplateFile, ...]:
        """Every template that could be read."""
        return tuple(self._files.values())

    def render(self, template: str, channel: str, language: str | None, values: Mapping[str, object]) -> Worded:
        """Return the words for a language, else its base language, else English; WordingError if that fails.

        ``accounts`` may be left out for a message about one account; what else may be missing is in docs/templates.md.
        """
        tongue = self._tongue_of(template, channel, language or FALLBACK_LANGUAGE)
        whole = completed(values)
        if not str(whole["pay_link"] or "https://").startswith(("https://", "http://")):
            raise WordingError(f"{tongue}/{template}.{channel}.j2: pay_link is no web address [wording.markup]")
        text = self._words(f"{tongue}/{template}.{channel}.j2", whole)
        if channel == "email":
            subject, body = _split(text)
            html = f"{tongue}/{template}.email.html.j2"
            return Worded(subject, body, self._words(html, whole) if self._is_there(html) else "", tongue)
        if channel == "sms":
            count = segments(text).count
            accounts = whole["accounts"]
            most = self.languages.segments.of(len(accounts) if isinstance(accounts, list | tuple) else 1)
            if count > most:
                raise WordingError(f"{tongue}/{template}.sms.j2: {count} segments, at most {most} [wording.segments]")
        return Worded("", text, "", tongue)

    def sample(self, file: TemplateFile, example: Example) -> Rendered:
        """Return the words of an example, each sign with its line."""
        words, lines = file.words_with_lines(example.values)
        if words != file.words(example.values):
            lines = (1,) * len(words)
        return Rendered(example, words, lines)

    def duties(self, file: TemplateFile, example: Example) -> list[ContentCheck]:
        """Return the rules that ask this template to say something."""
        return [check for check in self.judge.rules_for(file.piece, example) if check.required]

    def _tongue_of(self, template: str, channel: str, language: str) -> str:
        for tongue in dict.fromkeys((language, language.partition("-")[0], FALLBACK_LANGUAGE)):
            if self._is_there(f"{tongue}/{template}.{channel}.j2"):
                return tongue
        raise WordingError(f"no template {template}.{channel} in any language")

    def _is_there(self, file: str) -> bool:
        return file in self._files or file in self._refused

    def _words(self, name: str, values: Mapping[str, object]) -> str:
        refused = self._refused.get(name)
        if refused is not None:
            raise WordingError(f"{refused.file}:{refused.line}: refused by {refused.rule_id}")
        file = self._files[name]
        asked = file.piece.purpose.actor
        if asked is not None and (asked == "third_party_collector") != bool(values.get("third_party")):
            raise WordingError(f"{name}: is for {asked} only [wording.header]")
        if file.piece.channel in OPEN_TO_OTHERS and values.get("third_party"):
            for needed in sorted(NEEDED_FOR_VOICE & file.names):
                if not values.get(needed):
                    raise WordingError(f"{name}: needs {needed} [wording.limited-content]")
        try:
            return file.words(values)
        except Exception as error:  # noqa: BLE001 - whatever a value does to a template, its text stays here
            raise WordingError(f"{name}: {type(error).__name__}") from None

    # --- checking -----------------------------------------------------------------------------------------------

    def _judged(self, file: TemplateFile) -> Iterator[TemplateMistake]:
        """Try a template with every example, and judge all that can be rendered."""
        piece = file.piece
        actor = piece.purpose.actor
        party = None if actor is None else actor == "third_party_collector"
        yield from self._kept_secret(file)
        if piece.markup and piece.channel == "email" and not self._is_there(piece.file.replace(".html.j2", ".j2")):
            yield TemplateMistake(piece.file, 1, "wording.html", "has no plain text beside it")
        rendered: list[Rendered] = []
        for example in examples(piece.language, party, piece.channel):
            try:
                one = self.sample(file, example)
                hostile = file.words(example.hostile_values) if piece.markup else ""
            except Exception as error:  # noqa: BLE001 - a mistake of the template, whatever it is
                yield TemplateMistake(piece.file, file.line_of(error), _kind(error), _plainly(error), str(example))
                return
            rendered.append(one)
            if piece.markup and skeleton(hostile) != skeleton(one.text):
                what = "a value can change the markup: put values in quotes and between tags only"
                yield TemplateMistake(piece.file, 1, "wording.escaping", what, str(example))
                return
        yield from self.judge.mistakes(piece, rendered)
        if piece.channel == "email" and not piece.markup:
            yield from _subjects(file, rendered)

    @staticmethod
    def _kept_secret(file: TemplateFile) -> Iterator[TemplateMistake]:
        """Refuse to name what belongs to the debt where others may hear or read it."""
        voice = file.piece.channel in OPEN_TO_OTHERS
        if voice or file.piece.purpose.role != "debtor":
            rule_id = "wording.limited-content" if voice else "wording.no-disclosure"
            for name in sorted(file.names & OF_THE_DEBT):
                what = f"others may learn of it, so it may not use '{name}'"
                yield TemplateMistake(file.piece.file, 1, rule_id, what)


def _kind(error: Exception) -> str:
    return "wording.sandbox" if type(error).__name__ == "SecurityError" else "wording.render"


def _plainly(error: Exception) -> str:
    said = str(error) if isinstance(error, TemplateError) else ""
    return f"does not render: {said or type(error).__name__}"


def _split(text: str) -> tuple[str, str]:
    first, _, rest = text.partition("\n")
    return first.removeprefix(_SUBJECT).strip(), rest.lstrip("\n")


def _subjects(file: TemplateFile, rendered: list[Rendered]) -> Iterator[TemplateMistake]:
    for one in rendered:
        subject, body = _split(one.text)
        if not one.text.startswith(_SUBJECT) or not subject or not body.strip() or len(subject) > _LONGEST_SUBJECT:
            what = f"an e-mail begins with one line 'Subject: ...' of at most {_LONGEST_SUBJECT} signs, then its text"
            yield TemplateMistake(file.piece.file, one.line_at(0), "wording.subject", what, str(one.example))
            return


# --- what is read beside the templates --------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _beside(folder: Path) -> RuleBook:
    try:
        return read_rulebook(folder.parent / "rules")
    except RuleBookUnreadableError as error:
        raise WordingError(str(error)) from None


def _read_languages(folder: Path) -> Languages:
    try:
        languages = Languages.model_validate(yaml.safe_load((folder / LANGUAGES).read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise WordingError(f"{LANGUAGES}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WordingError(f"{LANGUAGES}: {type(error).__name__}: it says which languages there are") from None
    if languages.fallback != FALLBACK_LANGUAGE or FALLBACK_LANGUAGE not in languages.languages:
        raise WordingError(f"{LANGUAGES}: fallback: it is {FALLBACK_LANGUAGE}, and listed")
    if languages.languages[FALLBACK_LANGUAGE].places != EVERYWHERE:
        raise WordingError(f"{LANGUAGES}: {FALLBACK_LANGUAGE}: who has no other language gets it {EVERYWHERE}")
    return languages


def _read_house_rules(folder: Path) -> RuleBook:
    try:
        return RuleBook([parse_pack((folder / HOUSE_RULES).read_text(encoding="utf-8"), HOUSE_RULES)])
    except PackError as error:
        raise WordingError(str(error)) from None
    except (OSError, UnicodeDecodeError):
        raise WordingError(f"{HOUSE_RULES}: cannot be read; it holds the house rules of wording") from None
