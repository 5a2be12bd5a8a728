"""How often: the caps of the United States, its states and cities. Windows are calendar dates where the person lives.

Of a window of seven days the date of the first contact is day 1, so the eighth date is free again (1006.14(b)(2)).
What is unknown counts. Two attempts at one instant stand in the order of their keys.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta

from tests.recheck.book import Book, rule
from tests.recheck.hours import consumer, third_party
from tests.recheck.model import ELECTRONIC, NOT_CONNECTED, PHONE, Account, Attempt

WEEK = 7
NYC_FROM = date(2026, 9, 1)
DC_FROM = date(2023, 1, 1)


def within(attempt: Attempt, history: Iterable[Attempt], book: Book, days: int = WEEK) -> list[Attempt]:
    """Return what came before on the attempt's date or one of the ``days - 1`` dates before it."""
    return [one for one in book.earlier(history, attempt) if book.days_between(attempt, one.at) < days]


def _over(
    attempt: Attempt, accounts: Sequence[Account], book: Book, limit: int, counts: Callable[[Attempt], bool]
) -> Iterator[str]:
    """Say for which account an attempt is one too many in seven dates."""
    for account in accounts:
        before = [one for one in within(attempt, book.by_account[account.key], book) if counts(one)]
        if len(before) >= limit:
            yield f"number {len(before) + 1} of {limit} in 7 days about {account.key}, first {before[0].key}"


def placed(attempt: Attempt) -> bool:
    """Whether a call was placed in the sense of the rule: anything but busy and not in service."""
    return attempt.channel in PHONE and attempt.outcome not in NOT_CONNECTED


def conversed(attempt: Attempt) -> bool:
    """Whether an agent spoke with the person on the telephone (a recorded message is no conversation)."""
    return attempt.channel == "call" and attempt.by_agent and attempt.talk.get("party_reached") == "right_party"


@rule("us.fed.call-7in7")
def seven_in_seven(attempt: Attempt, book: Book) -> Iterator[str]:
    """12 CFR 1006.14(b)(2)(i)(A): not more than seven calls in seven consecutive dates, per collector, person, debt."""
    if not placed(attempt) or attempt.purpose == "reply":
        return
    for account in third_party(attempt, book):
        if _asked_for(attempt, account, book):
            continue
        before = [one for one in _same_bucket(attempt, account, book) if not _asked_for(one, account, book)]
        counted = [one for one in within(attempt, before, book) if placed(one)]
        if len(counted) >= WEEK:
            yield f"call number {len(counted) + 1} in 7 days about {account.key}, first {counted[0].key}"


@rule("us.fed.conversation-cooldown")
def cooldown(attempt: Attempt, book: Book) -> Iterator[str]:
    """12 CFR 1006.14(b)(2)(i)(B): no call on the seven dates that begin with a conversation about the debt."""
    if not placed(attempt) or attempt.purpose == "reply":
        return
    for account in third_party(attempt, book):
        if _asked_for(attempt, account, book):
            continue
        talks = [(one.at, one.key) for one in _same_bucket(attempt, account, book) if conversed(one)]
        talks += [
            (event.from_at, event.key)
            for event in book.events(attempt)
            if event.kind == "conversation" and event.from_at < attempt.at
        ]
        for at, key in talks:
            if book.days_between(attempt, at) < WEEK:
                yield f"call about {account.key} on day {book.days_between(attempt, at) + 1} of conversation {key}"
                break


def _same_bucket(attempt: Attempt, account: Account, book: Book) -> list[Attempt]:
    """Return earlier attempts of the same collector to the same person about the same debt."""
    collector, person = book.collector(attempt, account), book.recipient(attempt)
    return [
        one
        for one in book.earlier(book.by_account[account.key], attempt)
        if book.recipient(one) == person and book.collector(one, account) == collector
    ]


def _asked_for(attempt: Attempt, account: Account, book: Book) -> bool:
    """Whether the person had asked for the call within seven dates (1006.14(b)(3)(i)); a conversation uses it up."""
    given = [at for at in _requests(attempt, account, book) if book.days_between(attempt, at) < WEEK]
    if not given:
        return False
    talks = [one.at for one in _same_bucket(attempt, account, book) if conversed(one)]
    return not any(at > max(given) for at in talks)


def _requests(attempt: Attempt, account: Account, book: Book) -> Iterator[datetime]:
    person = book.recipient(attempt)
    for one in book.earlier(book.by_account[account.key], attempt):
        if conversed(one) and one.outcome == "callback" and book.recipient(one) == person:
            yield one.at
    for consent in book.consents(person):
        if consent.state == "given" and consent.scope == "callback":
            ends = consent.until_at
            if consent.from_at <= attempt.at and (ends is None or attempt.at < ends):
                yield consent.from_at
    for event in book.events(attempt):
        if event.permits == "callback" and event.stands(attempt.at):
            yield event.from_at


@rule("us.ma.two-per-7d")
def massachusetts(attempt: Attempt, book: Book) -> Iterator[str]:
    """940 CMR 7.04(1)(f): at most two calls and texts in each seven days per debt, creditor or collector."""
    telephone = PHONE | {"sms"}
    if attempt.channel in telephone and attempt.purpose != "reply" and "us-ma" in book.lands(attempt):
        yield from _over(attempt, consumer(attempt, book), book, 2, lambda one: one.channel in telephone)


@rule("us.wa.three-per-week")
def washington(attempt: Attempt, book: Book) -> Iterator[str]:
    """RCW 19.16.250: at most three communications in any form in a single week, licensed agencies; strictest reading.

    A calendar week lies within the 168 hours before its last instant, so the rolling count covers both readings.
    """
    if "us-wa" not in book.lands(attempt) or attempt.purpose == "reply":
        return
    for account in third_party(attempt, book)[:1]:
        collector = book.collector(attempt, account)
        before = [
            one
            for one in book.earlier(book.by_person[book.recipient(attempt)], attempt)
            if attempt.at - one.at < timedelta(days=7)
            and any(book.collector(one, other) == collector for other in third_party(one, book))
        ]
        if len(before) >= 3:
            yield f"communication number {len(before) + 1} of 3 in a week by {collector}, first {before[0].key}"


@rule("us.dc.calls-4")
def columbia_calls(attempt: Attempt, book: Book) -> Iterator[str]:
    """D.C. Code 28-3814 (Law 24-154): at most four calls per account in seven days, from 2023-01-01."""
    if placed(attempt) and attempt.purpose != "reply" and "us-dc" in book.lands(attempt):
        if book.day(attempt) < DC_FROM:
            return
        yield from _over(attempt, consumer(attempt, book), book, 4, lambda one: one.channel in PHONE)


@rule("us.dc.emsg-5")
def columbia_messages(attempt: Attempt, book: Book) -> Iterator[str]:
    """D.C. Code 28-3814: at most five e-mails and texts together per account in seven days."""
    if attempt.channel in ELECTRONIC and attempt.purpose != "reply" and "us-dc" in book.lands(attempt):
        if book.day(attempt) < DC_FROM:
            return
        yield from _over(attempt, consumer(attempt, book), book, 5, lambda one: one.channel in ELECTRONIC)


@rule("us.nyc.three-per-7d")
def new_york_city(attempt: Attempt, book: Book) -> Iterator[str]:
    """6 RCNY 5-77 from 2026-09-01: at most three contacts or attempts per account in any seven days, all channels."""
    if "us-nyc" in book.lands(attempt) and attempt.purpose != "reply" and book.day(attempt) >= NYC_FROM:
        yield from _over(attempt, consumer(attempt, book), book, 3, lambda one: one.purpose != "reply")
