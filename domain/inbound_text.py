"""What somebody who texts us wants, beyond being left alone: says they have paid, will pay, can pay some, ask for help.

Refusals and doubts are read first, by ``domain.keywords``; this module sees only what carries no wish about being
contacted. A text is understood only when it says one thing plainly; everything else is for a person to read. English
and Chinese. Nothing here keeps or returns the text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from domain.keywords import fold
from domain.money import minor_units


class Wish(StrEnum):
    """What a text is about. ``other`` is for a person to read."""

    PAID = "paid"
    DATE = "date"
    AMOUNT = "amount"
    HELP = "help"
    QUESTION = "question"
    COURTESY = "courtesy"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Understood:
    """A wish with the day or the amount (minor units of the account's currency) that it names."""

    wish: Wish
    day: date | None = None
    amount: int | None = None


# --- the words, as data ---------------------------------------------------------------------------------------------

PAID = (
    "paid", "payed", "already paid", "have paid", "just paid", "i paid", "payment sent", "payment made", "sent payment",
    "sent the payment", "made the payment", "made a payment", "transferred", "settled",
    "已付", "已经付", "已經付", "付了", "付过", "付過",
    "已还", "已還", "还了", "還了", "还过", "還過", "还清",
    "還清", "已转账", "已轉帳", "转账了", "转了", "轉了", "已缴", "已繳", "缴了", "繳了",
)  # fmt: skip
WILL_PAY = (
    "pay", "paying", "will pay", "can pay", "payment", "transfer", "send", "settle", "by", "on", "until",
    "还", "還", "付", "缴", "繳", "转", "轉", "打款", "处理",
)  # fmt: skip
NOT = (
    "not", "cant", "cannot", "can t", "wont", "won t", "didnt", "havent", "never", "unable", "no money", "lost my job",
    "no", "nothing", "没", "沒", "不", "无法", "無法", "未",
)  # fmt: skip
QUESTION = (
    "how", "what", "when", "where", "who", "why", "which", "can i", "could i", "may i", "do i", "did you", "is it",
    "is this", "please tell", "please explain",
    "吗", "嗎", "呢", "什么", "什麼", "怎么", "怎麼", "怎样", "怎樣", "多少", "为什么", "為什麼", "哪", "谁",
    "誰", "几时", "可以",
)  # fmt: skip
HELP = (
    "help", "help me", "need help", "info", "call me", "please call", "agent", "speak to someone", "talk to someone",
    "帮助", "幫助", "帮忙", "幫忙", "客服", "人工", "联系我", "聯繫我", "打给我", "打給我", "回电", "回電",
)  # fmt: skip
COURTESY = (
    "ok", "okay", "k", "yes", "sure", "thanks", "thank you", "thx", "ty", "got it", "noted", "understood", "received",
    "will do", "fine", "good",
    "好", "好的", "好吧", "行", "嗯", "收到", "知道了", "明白", "谢谢", "謝謝", "多谢", "多謝", "了解", "可以", "是的",
    "是",
)  # fmt: skip

_DAYS = {
    "monday": 0, "mon": 0, "tuesday": 1, "tue": 1, "tues": 1, "wednesday": 2, "wed": 2, "thursday": 3, "thu": 3,
    "thurs": 3, "friday": 4, "fri": 4, "saturday": 5, "sat": 5, "sunday": 6, "sun": 6,
}  # fmt: skip
_MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
         "september sep sept", "october oct", "november nov", "december dec"), 1
    )
    for name in names.split()
}  # fmt: skip
_NEAR = {
    "today": 0, "tonight": 0, "tomorrow": 1, "tmrw": 1, "tmr": 1, "今天": 0, "今日": 0, "今晚": 0, "明天": 1, "明日": 1,
    "明晚": 1, "后天": 2, "後天": 2,
}  # fmt: skip
_WEEKDAYS_ZH = {"一": 0, "二": 1, "三": 2, "四": 3, "五": 4, "六": 5, "日": 6, "天": 6}
_COINS = {"usd": "USD", "$": "USD", "dollar": "USD", "dollars": "USD", "bucks": "USD", "eur": "EUR", "€": "EUR",
          "euro": "EUR", "euros": "EUR", "gbp": "GBP", "£": "GBP", "pounds": "GBP", "cny": "CNY", "rmb": "CNY",
          "元": "CNY", "块": "CNY", "塊": "CNY", "块钱": "CNY", "人民币": "CNY", "yuan": "CNY"}  # fmt: skip

_ISO = re.compile(r"\b(20\d\d)-(\d{1,2})-(\d{1,2})\b")
_DAY_MONTH = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)?(?: of)? ([a-z]{3,9})\b")
_MONTH_DAY = re.compile(r"\b([a-z]{3,9}) (\d{1,2})(?:st|nd|rd|th)?\b")
_NTH = re.compile(r"\b(?:the )?(\d{1,2})(?:st|nd|rd|th)\b")
_MONTH_DAY_ZH = re.compile(r"(\d{1,2})月(\d{1,2})[日号號]?")
_NTH_ZH = re.compile(r"(?<![月\d])(\d{1,2})[日号號]")
_WEEK_ZH = re.compile(r"(下)?(?:周|週|星期|礼拜|禮拜)([一二三四五六日天])")
_SUM = re.compile(
    r"(?P<before>[$€£¥￥]|\b(?:usd|eur|gbp|cny|rmb) ?)?(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d+(?:\.\d{1,2})?)"
    r"(?P<after> ?(?:usd|eur|gbp|cny|rmb|dollars?|bucks|euros?|pounds|yuan|元|块钱|块|塊|人民币))?"
)
_MARKS = frozenset("?\uff1f\u061f")
_HAN = re.compile(r"[\u4e00-\u9fff]")


def understand(text: str, today: date, currency: str) -> Understood:
    """Say what a text wants. ``today`` is the day where the person lives, ``currency`` that of their account."""
    lowered, folded = text.casefold().strip(), fold(text)
    if not folded:
        return Understood(Wish.OTHER)
    if _is_all(folded, COURTESY):
        return Understood(Wish.COURTESY)
    if _is_all(folded, HELP):
        return Understood(Wish.HELP)
    days, sums = _days_in(lowered, today), _sums_in(_without_days(lowered), currency)
    if not _MARKS.isdisjoint(text) or _says(folded, QUESTION):
        return Understood(Wish.QUESTION)
    if _says(folded, NOT):
        return Understood(Wish.OTHER)
    if _says(folded, HELP):
        return Understood(Wish.HELP)
    if _says(folded, PAID):
        return Understood(Wish.PAID)
    if len(days) == 1 and not sums and (_says(folded, WILL_PAY) or len(folded.split()) <= 3):
        return Understood(Wish.DATE, day=days.pop())
    if len(sums) == 1 and len(days) <= 1:
        return Understood(Wish.AMOUNT, day=days.pop() if days else None, amount=sums.pop())
    return Understood(Wish.OTHER)


def _is_all(folded: str, words: Iterable[str]) -> bool:
    """Whether a text is one of the words, or several of them and nothing else."""
    known = {fold(word) for word in words}
    if folded in known or folded.replace(" ", "") in known:
        return True
    return all(word in known for word in folded.split())


def _says(folded: str, words: Iterable[str]) -> bool:
    """Whether a text has one of the words: between spaces, or anywhere where the script has none."""
    padded = f" {folded} "
    return any((word in folded) if _HAN.search(word) else (f" {fold(word)} " in padded) for word in words)


# --- days -----------------------------------------------------------------------------------------------------------


def _days_in(text: str, today: date) -> set[date]:
    """Return the days a text names; a day of a month or week is the next one."""
    found: set[date | None] = set()
    words = set(re.findall(r"[a-z]+", text))
    found |= {today + timedelta(days=ahead) for word, ahead in _NEAR.items() if _names(word, words, text)}
    found |= {_next_weekday(today, number) for word, number in _DAYS.items() if word in words}
    for later, letter in _WEEK_ZH.findall(text):
        day = _next_weekday(today, _WEEKDAYS_ZH[letter])
        same_week = day.isocalendar()[:2] == today.isocalendar()[:2]
        found.add(day + timedelta(days=7) if later and same_week else day)
    found |= {_day(int(year), int(month), int(day)) for year, month, day in _ISO.findall(text)}
    pairs = [(month, int(day)) for day, month in _DAY_MONTH.findall(text)]
    pairs += [(month, int(day)) for month, day in _MONTH_DAY.findall(text)]
    months = {(_MONTHS[month], day) for month, day in pairs if month in _MONTHS}
    months |= {(int(month), int(day)) for month, day in _MONTH_DAY_ZH.findall(text)}
    found |= {_next_date(today, month, day) for month, day in months}
    if not months:
        found |= {_next_of_month(today, int(day)) for day in (*_NTH.findall(text), *_NTH_ZH.findall(text))}
    return {day for day in found if day is not None}


def _without_days(text: str) -> str:
    """Return a text without the numbers that are days."""
    for pattern in (_ISO, _MONTH_DAY_ZH, _NTH_ZH, _NTH):
        text = pattern.sub(" ", text)
    for pattern, month in ((_DAY_MONTH, 2), (_MONTH_DAY, 1)):
        text = pattern.sub(lambda match, month=month: " " if match[month] in _MONTHS else match[0], text)  # type: ignore[misc]
    return text


def _names(word: str, words: set[str], text: str) -> bool:
    return word in text if _HAN.search(word) else word in words


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _next_weekday(today: date, number: int) -> date:
    return today + timedelta(days=(number - today.weekday()) % 7)


def _next_date(today: date, month: int, day: int) -> date | None:
    here = _day(today.year, month, day)
    return here if here is not None and here >= today else _day(today.year + 1, month, day)


def _next_of_month(today: date, day: int) -> date | None:
    here = _day(today.year, today.month, day)
    if here is not None and here >= today:
        return here
    following = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return _day(following.year, following.month, day)


# --- amounts --------------------------------------------------------------------------------------------------------


def _sums_in(text: str, currency: str) -> set[int]:
    """Return the amounts a text names, in minor units: with a currency beside them, or after a word of paying."""
    found: set[int] = set()
    for match in _SUM.finditer(text):
        named = (match["before"] or match["after"] or "").strip()
        meant = currency if named in {"¥", "￥"} and currency in {"CNY", "JPY"} else _COINS.get(named)
        if not named and not re.search(r"(pay|send|afford|付|还|還|转|轉)\D{0,6}$", text[: match.start()]):
            continue
        if named and meant != currency and not (named == "$" and currency.endswith("D")):
            continue
        if not named and text[match.end() : match.end() + 1] in {"-", "/", ":", "月"}:
            continue
        try:
            minor = Decimal(match["number"].replace(",", "")).scaleb(minor_units(currency))
        except InvalidOperation:
            continue
        if 0 < minor < 10**15 and minor == int(minor):
            found.add(int(minor))
    return found
