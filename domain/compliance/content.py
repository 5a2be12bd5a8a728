"""What a message says: words it must not use, things it must say, the form of a message left on a machine.

Patterns are written over folded text (``domain.compliance.words``), so a line break or full-width letters hide
nothing. A finding names the rule, the line and the offset; the text itself is never repeated.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from domain.compliance.parts import Content
from domain.compliance.words import Folded, folded

ANY_LANGUAGE = "any"


@dataclass(frozen=True, slots=True)
class ContentHit:
    """One thing wrong with a text. ``line`` counts from 1, ``offset`` from 0 in characters of the original."""

    rule_id: str
    what: str
    line: int
    offset: int

    def __str__(self) -> str:
        """Return the finding as one line."""
        return f"line {self.line}: {self.what} [{self.rule_id}]"


@dataclass(frozen=True, slots=True)
class ContentCheck:
    """The content of one rule, compiled."""

    rule_id: str
    title: str
    forbidden: Mapping[str, re.Pattern[str]]
    required: tuple[Mapping[str, re.Pattern[str]], ...]
    only: Mapping[str, re.Pattern[str]]

    def hits(self, text: Folded, language: str | None) -> list[ContentHit]:
        """Return what is wrong with a text; without a language, words of every language are looked for."""
        found: list[ContentHit] = []
        for one, pattern in self.forbidden.items():
            if _concerns(one, language):
                found += [
                    ContentHit(
                        self.rule_id,
                        f"must not say this: {self.title}",
                        text.line_of(match.start()),
                        text.offset_of(match.start()),
                    )
                    for match in pattern.finditer(text.text)
                ]
        for ways in self.required:
            fitting = [pattern for one, pattern in ways.items() if _concerns(one, language)]
            if not any(pattern.search(text.text) for pattern in fitting):
                found.append(self._at_end(text, f"does not say: {self.title}"))
        forms = [pattern for one, pattern in self.only.items() if _concerns(one, language)]
        if self.only and not any(pattern.fullmatch(text.text) for pattern in forms):
            found.append(ContentHit(self.rule_id, f"says more than the form allows: {self.title}", 1, 0))
        return found

    def _at_end(self, text: Folded, what: str) -> ContentHit:
        """Return a finding about something that is nowhere: it stands at the last line."""
        written = text.original.rstrip()
        return ContentHit(self.rule_id, what, written.count("\n") + 1, len(written))


def _concerns(of: str, language: str | None) -> bool:
    return language is None or of in {ANY_LANGUAGE, language.partition("-")[0].lower()}


def content_check(rule_id: str, title: str, content: Content) -> ContentCheck:
    """Compile the content of a rule."""
    return ContentCheck(
        rule_id,
        title,
        {language: re.compile("|".join(f"(?:{one})" for one in ways)) for language, ways in content.forbidden.items()},
        tuple(
            {language: re.compile("|".join(f"(?:{one})" for one in ways)) for language, ways in needed.items()}
            for needed in content.required
        ),
        {
            language: re.compile(rf"(?:(?:{'|'.join(f'(?:{one})' for one in ways)})[\s.,;:!。]*)+")
            for language, ways in content.only.items()
        },
    )


def check_text(checks: list[ContentCheck], text: str, language: str | None) -> list[ContentHit]:
    """Return all that is wrong with a text, in the order of its lines."""
    whole = folded(text)
    found = [hit for check in checks for hit in check.hits(whole, language)]
    return sorted(found, key=lambda hit: (hit.line, hit.offset, hit.rule_id))
