"""Mainland China: what is counted differs with each rule, and days are days in Beijing."""

from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

from tests.recheck.book import Book, rule
from tests.recheck.hours import consumer
from tests.recheck.model import Attempt

_BEIJING = ZoneInfo("Asia/Shanghai")
_FROM = {"gbt": "2025-02-28", "cba": "2026-01-30"}
"""Since when: GB/T 45251-2025, and the guideline of the China Banking Association."""


def _day(attempt: Attempt) -> str:
    return attempt.at.astimezone(_BEIJING).date().isoformat()


def _applies(attempt: Attempt, book: Book, instrument: str) -> bool:
    return "cn" in book.lands(attempt) and _day(attempt) >= _FROM[instrument] and attempt.purpose != "reply"


def _debtor(attempt: Attempt, book: Book) -> str:
    return next((account.debtor_party for account in book.accounts(attempt)), "")


def _today(attempt: Attempt, book: Book, counts: Callable[[Attempt], bool]) -> list[Attempt]:
    history = book.earlier(book.by_debtor[_debtor(attempt, book)], attempt)
    return [one for one in history if _day(one) == _day(attempt) and counts(one)]


def _connected(attempt: Attempt) -> bool:
    """Whether a robot's call was answered, by a person or a machine; one of which nobody knows was."""
    return attempt.channel == "voice" and attempt.status not in {"undelivered", "failed"}


def _effective(attempt: Attempt) -> bool:
    """Whether an agent spoke with the debtor for six seconds or more; a talk of unknown length counts."""
    if attempt.channel != "call" or attempt.origin == "inbound":
        return False
    reached = attempt.talk.get("party_reached", "right_party" if attempt.status == "answered" else "no_one")
    seconds = attempt.talk.get("duration_seconds") or 6
    return reached == "right_party" and seconds >= 6


def _met(attempt: Attempt) -> bool:
    """Whether the debtor was met at a visit."""
    reached = attempt.talk.get("party_reached", "right_party" if attempt.status == "answered" else "no_one")
    return attempt.channel == "visit" and reached == "right_party"


@rule("cn.voice-notify-3")
def notify(attempt: Attempt, book: Book) -> Iterator[str]:
    """GB/T 45251-2025 5.3.2.1: three connected notification calls a day, an institution and its agencies together."""
    if not _connected(attempt) or not _applies(attempt, book, "gbt"):
        return
    for creditor in sorted({account.creditor for account in consumer(attempt, book)}):
        before = [
            one
            for one in _today(attempt, book, _connected)
            if any(account.creditor == creditor for account in book.accounts(one))
        ]
        if len(before) >= 3:
            yield f"connected notification call number {len(before) + 1} of 3 for {creditor} on {_day(attempt)}"


@rule("cn.voice-interactive-3")
def interactive(attempt: Attempt, book: Book) -> Iterator[str]:
    """GB/T 45251-2025 5.3.2.2.2: three effective interactive calls to a debtor a day, those we began."""
    if _effective(attempt) and _applies(attempt, book, "gbt") and consumer(attempt, book):
        before = _today(attempt, book, _effective)
        if len(before) >= 3:
            yield f"effective call number {len(before) + 1} of 3 on {_day(attempt)}"


@rule("cn.dial-6")
def dials(attempt: Attempt, book: Book) -> Iterator[str]:
    """CBA guideline art. 14 (2026-01-30): no further dial on a day on which six to the same number went unanswered."""
    point = book.point(attempt)
    if attempt.channel not in {"voice", "call"} or point is None or not _applies(attempt, book, "cba"):
        return
    before = [
        one
        for one in book.earlier(book.by_number[point.value], attempt)
        if one.channel in {"voice", "call"} and _day(one) == _day(attempt) and one.status != "answered"
    ]
    if len(before) >= 6:
        yield f"dial number {len(before) + 1} to {point.key} on {_day(attempt)}, six unanswered before"


@rule("cn.visit-1perday")
def visits(attempt: Attempt, book: Book) -> Iterator[str]:
    """GB/T 45251-2025 5.3.2.2.3: one effective visit to a debtor a day."""
    if _met(attempt) and _applies(attempt, book, "gbt") and _today(attempt, book, _met):
        yield f"second effective visit on {_day(attempt)}"


@rule("cn.visit-two")
def two_visitors(attempt: Attempt, book: Book) -> Iterator[str]:
    """CBA guideline art. 22 (2026-01-30): two collectors together; a report that names no number names one."""
    if attempt.channel == "visit" and _applies(attempt, book, "cba"):
        visitors = int(attempt.talk.get("visitors") or 1)
        if visitors < 2:
            yield f"the record shows {visitors} visitor"


@rule("cn.letter-7d")
def letters(attempt: Attempt, book: Book) -> Iterator[str]:
    """GB/T 45251-2025, letters: seven natural days and more between collection letters about one debt."""
    if attempt.channel != "letter" or attempt.purpose != "collect" or not _applies(attempt, book, "gbt"):
        return
    for account in consumer(attempt, book):
        for one in book.earlier(book.by_account[account.key], attempt):
            apart = (attempt.at.astimezone(_BEIJING).date() - one.at.astimezone(_BEIJING).date()).days
            if one.channel == "letter" and one.purpose == "collect" and apart < 7:
                yield f"letter about {account.key} {apart} days after {one.key}"


@rule("cn.card-plan-stop")
def plan(attempt: Attempt, book: Book) -> Iterator[str]:
    """Card measures art. 70: a signed plan that is kept stops collection on a card."""
    if attempt.purpose != "collect" or "cn" not in book.lands(attempt):
        return
    for account in book.accounts(attempt):
        if account.product not in {"card", "credit_card"}:
            continue
        for one in book.world.arrangements:
            if one.account_key != account.key or one.kind == "promise":
                continue
            since = one.agreed_at if one.status == "active" and one.starts_at is None else one.starts_at
            if since is not None and since < attempt.at and (one.ended_at is None or attempt.at < one.ended_at):
                yield f"a plan on {account.key} stood since {since.isoformat()}"
