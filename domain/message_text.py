"""Words as they travel: how many segments a text message takes, and what a reader of HTML sees.

Pure counting and folding; what may be said is ``domain.wording_check``. Counts are exact: a sign of two units is never
split between two segments, so the last place of a segment may stay empty.
"""

import html
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The default alphabet of 3GPP TS 23.038 without its escape sign: one septet each."""
GSM7_EXTENSION = frozenset("\f^{}\\[~]|€")
"""Signs of the extension table: an escape and a septet."""

_LIMITS = {"gsm7": (160, 153), "ucs2": (70, 67)}
_INVISIBLE = "\u200b"
"""Stands where a tag was; folding (``domain.compliance.words``) drops it."""
_COMMENT_OR_UNSEEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|title|template)\b.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE
)
_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_INLINE = frozenset({"a", "abbr", "b", "em", "font", "i", "mark", "s", "small", "span", "strong", "sub", "sup", "u"})


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text message costs. ``units`` are septets or 16-bit units; ``starts`` the offset of each segment."""

    encoding: Literal["gsm7", "ucs2"]
    units: int
    starts: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of segments; an empty text has none."""
        return len(self.starts)


def segments(text: str) -> Segments:
    """Count the segments of a text message, 160 or 153 septets, or 70 or 67 units of UCS-2."""
    encoding: Literal["gsm7", "ucs2"] = "gsm7" if not beyond_gsm7(text) else "ucs2"
    sizes = [_size(sign, encoding) for sign in text]
    units = sum(sizes)
    alone, joined = _LIMITS[encoding]
    if units <= alone:
        return Segments(encoding, units, (0,) if text else ())
    starts, used = [0], 0
    for offset, size in enumerate(sizes):
        if used + size > joined:
            starts.append(offset)
            used = 0
        used += size
    return Segments(encoding, units, tuple(starts))


def beyond_gsm7(text: str) -> tuple[str, ...]:
    """Return the signs that force UCS-2, each once, in the order they come."""
    return tuple(dict.fromkeys(sign for sign in text if sign not in GSM7 and sign not in GSM7_EXTENSION))


def _size(sign: str, encoding: str) -> int:
    if encoding == "gsm7":
        return 2 if sign in GSM7_EXTENSION else 1
    return 2 if ord(sign) > 0xFFFF else 1


def on_one_line(text: str) -> tuple[str, tuple[int, ...]]:
    """Return a text with every run of white space as one blank, and where each sign stood.

    A run with a line break beside a wide sign, as in Chinese, vanishes: there the break is none of the words.
    """
    signs: list[str] = []
    places: list[int] = []
    for run in re.finditer(r"\s+|\S+", text):
        said = run.group()
        if not said[0].isspace():
            signs += said
            places += range(run.start(), run.end())
            continue
        at_edge = not signs or run.end() == len(text)
        beside = not at_edge and (_is_wide(signs[-1]) or _is_wide(text[run.end()]))
        if not at_edge and not ("\n" in said and beside):
            signs.append(" ")
            places.append(run.start())
    return "".join(signs), tuple(places)


def _is_wide(sign: str) -> bool:
    return unicodedata.east_asian_width(sign) in {"W", "F"}


def visible_text(markup: str) -> str:
    """Return what a reader of HTML sees, every sign at its old offset.

    Comments, scripts and styles become blanks; a tag becomes nothing where it stands within a word, else a blank;
    references such as ``&amp;`` become their sign.
    """
    text = _COMMENT_OR_UNSEEN.sub(lambda found: _blank(found.group()), markup)
    text = _TAG.sub(lambda found: _unseen(found.group(), found.group(1)), text)
    return _ENTITY.sub(lambda found: _sign(found.group()), text)


def _blank(text: str) -> str:
    return "".join("\n" if sign == "\n" else " " for sign in text)


def _unseen(tag: str, name: str) -> str:
    return _INVISIBLE * len(tag) if name.lower() in _INLINE else _blank(tag)


def _sign(reference: str) -> str:
    said = html.unescape(reference)
    return said + _INVISIBLE * (len(reference) - len(said)) if len(said) <= len(reference) else reference
