"""Text as rules read it: folded, so that width, case and invisible characters make no difference.

NFKC folding and case folding, invisible characters dropped, every run of white space one space, and none where a script
is written without. Each folded character remembers where it stood, so that a finding can be shown at its line.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

_DECORATION = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True, slots=True)
class Folded:
    """Folded text; ``at[n]`` is the offset in the original of the folded character ``n``."""

    text: str
    at: tuple[int, ...]
    original: str

    def line_of(self, position: int) -> int:
        """Return the line, from 1, of a position in the folded text."""
        return self.original.count("\n", 0, self.offset_of(position)) + 1

    def offset_of(self, position: int) -> int:
        """Return the offset in the original text of a position in the folded text."""
        return self.at[position] if position < len(self.at) else len(self.original)


def _wide(sign: str) -> bool:
    """Whether a sign belongs to a script that is written without spaces."""
    return unicodedata.east_asian_width(sign) == "W"


def folded(text: str) -> Folded:
    """Fold a text and keep the places."""
    signs: list[str] = []
    places: list[int] = []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        for sign in unicodedata.normalize("NFKC", text[start:end]).casefold():
            white = sign.isspace()
            if unicodedata.category(sign) == "Cf" or (white and (not signs or signs[-1] == " ")):
                continue
            if len(signs) > 1 and signs[-1] == " " and _wide(sign) and _wide(signs[-2]):
                del signs[-1], places[-1]
            signs.append(" " if white else sign)
            places.append(start)
        start = end
    return Folded("".join(signs).rstrip(" "), tuple(places), text)


def fold(text: str) -> str:
    """Return the folded text."""
    return folded(text).text


def bare(text: str) -> str:
    """Return the folded text without signs around it: what a whole reply says."""
    return _DECORATION.sub("", fold(text))


@dataclass(frozen=True, slots=True)
class WordList:
    """Words to look for in replies, folded.

    ``whole``: the whole reply says it. ``inside``: a sentence contains it. ``codes``: short codes that mean it only
    when the last message offered them.
    """

    whole: frozenset[str]
    inside: re.Pattern[str] | None
    codes: frozenset[str] = frozenset()
    code_templates: frozenset[str] = frozenset()
    """Kinds of message whose codes mean this; empty means any but a question about the person."""

    def read(self, text: str, template: str | None, offered: tuple[str, ...]) -> Literal["sure", "unsure"] | None:
        """Say whether a reply means this for sure, perhaps (then a person reads it), or not at all."""
        said = bare(text)
        if not said:
            return None
        if said in self.codes:
            return self._code(said, template, {fold(one) for one in offered})
        if said in self.whole:
            return "sure"
        if self.inside is not None and self.inside.search(fold(text)):
            return "unsure"
        return None

    def _code(self, said: str, template: str | None, offered: set[str]) -> Literal["sure", "unsure"] | None:
        if self.code_templates:
            return "unsure" if said in offered and template in self.code_templates else None
        return "sure" if said in offered and template != "right_party_check" else "unsure"


def word_list(
    whole: tuple[str, ...],
    inside: tuple[str, ...],
    codes: tuple[str, ...] = (),
    code_templates: tuple[str, ...] = (),
) -> WordList:
    """Make a list; a word of letters with case matches as a word, one in another script anywhere."""
    parts = [rf"\b{re.escape(one)}\b" if one.isascii() else re.escape(one) for one in map(fold, inside)]
    return WordList(
        frozenset(map(bare, whole)),
        re.compile("|".join(parts)) if parts else None,
        frozenset(map(bare, codes)),
        frozenset(code_templates),
    )
