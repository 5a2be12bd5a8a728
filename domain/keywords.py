"""Reads what somebody texted back: a refusal, a new permission, a call for help, or something for a person to judge.

A whole message that is a known word is sure. A known word inside a sentence, or wording that sounds like a refusal, is
never guessed at: it is ``unclear`` and a person reads it. Nothing here keeps or returns the text.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Reading(StrEnum):
    """What a text means for us. ``other`` carries no wish about being contacted."""

    STOP = "stop"
    START = "start"
    HELP = "help"
    NOT_ME = "not_me"
    UNCLEAR = "unclear"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class LastTemplate:
    """What we sent this number last: its type, and the one-letter codes it offered as answers."""

    type: str = ""
    codes: frozenset[str] = frozenset()


# --- the words, as data ---------------------------------------------------------------------------------------------

WORDS: dict[Reading, tuple[str, ...]] = {
    Reading.STOP: (
        # English; the first eight are those of the FCC's rule, 47 CFR 64.1200(a)(10)
        "stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe", "stop all", "optout", "stopall",
        "opt-out all", "remove", "remove me",
        # Chinese, simplified and traditional
        "退订", "退訂", "td", "取消", "拒收", "停止", "取消订阅", "取消訂閱", "退订短信",
        # Spanish
        "alto", "parar", "pare", "baja", "cancelar", "detener", "salir", "darme de baja",
    ),
    Reading.START: ("start", "unstop", "resume", "opt in", "恢复", "恢復", "开始", "開始", "iniciar", "reanudar"),
    Reading.HELP: ("help", "info", "帮助", "幫助", "ayuda"),
}  # fmt: skip
"""Whole messages that are sure."""

OPT_OUT_CODES = frozenset({"t", "r", "n"})
"""One-letter answers that mean a refusal where the last template offered them."""

CODES_OF_TEMPLATE: dict[str, dict[str, Reading]] = {
    "right_party_check": {"y": Reading.OTHER, "n": Reading.NOT_ME},
}
"""One-letter answers that mean something else after a template of this type."""

HINTS: tuple[str, ...] = (
    # English
    "stop", "stopped", "stopping", "quit", "end", "revoke", "opt out", "optout", "cancel", "unsubscribe", "remove",
    "do not contact", "dont contact", "do not text", "dont text", "do not call", "dont call", "no more",
    "never contact", "leave me alone", "harass", "harassing", "harassment", "wrong number", "wrong person", "not me",
    "not my", "refuse", "wont pay", "will not pay", "dispute", "lawyer", "attorney", "solicitor", "bankrupt",
    "bankruptcy", "deceased", "passed away", "died", "fraud", "identity theft", "complaint", "scam",
    # Spanish
    "alto", "parar", "pare", "baja", "cancelar", "detener", "no me llamen", "no me contacten", "no me escriban",
    "dejen de", "dejeme en paz", "numero equivocado", "no soy", "abogado", "bancarrota", "quiebra", "fallecio",
    "fraude", "disputa", "queja",
)  # fmt: skip
"""Words and phrases that send a longer text to a person, matched word by word."""

HINTS_INSIDE: tuple[str, ...] = (
    "退订", "退訂", "取消", "拒收", "停止", "别再", "別再", "不要再", "不要发", "不要發", "不要打", "别打", "別打",
    "不要联系", "不要聯繫", "骚扰", "騷擾", "打错", "打錯", "发错", "發錯", "不是我", "不认识", "不認識", "拒绝",
    "拒絕", "投诉", "投訴", "律师", "律師", "破产", "破產", "去世", "死亡", "诈骗", "詐騙", "有异议", "有異議",
    "滚", "滾",
)  # fmt: skip
"""The same for scripts that do not put spaces between words, matched anywhere."""

_SEPARATORS = re.compile(r"[\W_]+")


def fold(text: str) -> str:
    """Return a text without width, case, accents, apostrophes and invisible characters; separators become one space."""
    wide = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", wide)
        if unicodedata.category(letter) not in {"Mn", "Cf", "Me"} and letter not in "'\u2019`"
    )
    return _SEPARATORS.sub(" ", plain).strip()


def squeeze(text: str) -> str:
    """Return a folded text without any separator: ``S.T.O.P`` is ``stop``."""
    return fold(text).replace(" ", "")


_SURE = {squeeze(word): reading for reading, words in WORDS.items() for word in words}
_PHRASES = tuple(f" {fold(hint)} " for hint in HINTS)
_INSIDE = tuple(squeeze(hint) for hint in HINTS_INSIDE)


def read_text(text: str, last: LastTemplate | None = None) -> Reading:
    """Say what a text means. ``last``: what the number was sent last; one-letter answers need an offer."""
    folded = fold(text)
    whole = folded.replace(" ", "")
    sure = _SURE.get(whole)
    if sure is not None:
        return sure
    if len(whole) == 1:
        return _read_code(whole, last or LastTemplate())
    padded = f" {folded} "
    if _any_in(_PHRASES, padded) or _any_in(_INSIDE, whole):
        return Reading.UNCLEAR
    return Reading.OTHER


def _read_code(code: str, last: LastTemplate) -> Reading:
    if code in {squeeze(offered) for offered in last.codes}:
        meanings = CODES_OF_TEMPLATE.get(last.type)
        if meanings is not None:
            return meanings.get(code, Reading.UNCLEAR)
        return Reading.STOP if code in OPT_OUT_CODES else Reading.OTHER
    return Reading.UNCLEAR if code in OPT_OUT_CODES else Reading.OTHER


def _any_in(hints: Iterable[str], text: str) -> bool:
    return any(hint in text for hint in hints)
