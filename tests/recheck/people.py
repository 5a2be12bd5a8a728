"""Who may be contacted at all, at whose door, with whose consent, and what must come first."""

from collections.abc import Iterator
from datetime import timedelta

from tests.recheck.book import Book, rule
from tests.recheck.counts import NYC_FROM, within
from tests.recheck.hours import consumer, third_party
from tests.recheck.model import ELECTRONIC, PHONE, Account, Attempt

_LIABLE = frozenset({"borrower", "co_borrower", "guarantor", "executor"})


def stranger(attempt: Attempt, book: Book) -> Iterator[Account]:
    """Yield the debts for which the recipient neither owes nor speaks."""
    for account in book.accounts(attempt):
        roles = book.roles(attempt, account)
        if not roles & _LIABLE and "attorney" not in roles:
            yield account


def _pressed(attempt: Attempt, book: Book, land: str) -> Iterator[str]:
    if land not in book.lands(attempt) or attempt.purpose == "locate":
        return
    for account in stranger(attempt, book):
        yield f"{attempt.purpose} to {book.recipient(attempt)}, who does not owe {account.key}"


@rule("cn.third-party-ban")
def china(attempt: Attempt, book: Book) -> Iterator[str]:
    """GB/T 45251-2025, card measures art. 68, CBA guideline: collect from debtors and guarantors only."""
    yield from _pressed(attempt, book, "cn")


@rule("us.fed.third-party")
def united_states(attempt: Attempt, book: Book) -> Iterator[str]:
    """1006.6(d)(1), 15 USC 1692c(b): third-party collectors do not speak of a debt to others."""
    if third_party(attempt, book):
        yield from _pressed(attempt, book, "us")


@rule("us.dc.no-employer-family")
def columbia(attempt: Attempt, book: Book) -> Iterator[str]:
    """D.C. Code 28-3814(e): no word of a debt to employer, family, friends or neighbours."""
    yield from _pressed(attempt, book, "us-dc")


@rule("uk.no-third-party")
def united_kingdom(attempt: Attempt, book: Book) -> Iterator[str]:
    """CONC 7.9.6R-7.9.10R: third parties must not learn of a debt."""
    yield from _pressed(attempt, book, "uk")


@rule("in.third-party")
def india(attempt: Attempt, book: Book) -> Iterator[str]:
    """RBI circular 2022-08-12: no intrusion on family, referees and friends."""
    yield from _pressed(attempt, book, "in")


@rule("ph.contacts")
def philippines(attempt: Attempt, book: Book) -> Iterator[str]:
    """SEC MC 18 s.2019: nobody of a phone book but guarantors and co-makers."""
    yield from _pressed(attempt, book, "ph")


@rule("id.conduct")
def indonesia(attempt: Attempt, book: Book) -> Iterator[str]:
    """POJK 22/2023 art. 62: no collection from third parties."""
    yield from _pressed(attempt, book, "id")


@rule("hk.conduct")
def hong_kong(attempt: Attempt, book: Book) -> Iterator[str]:
    """Code of Banking Practice s.43: no pestering of referees and family."""
    yield from _pressed(attempt, book, "hk")


@rule("cn.contact-lost-only")
def lost_only(attempt: Attempt, book: Book) -> Iterator[str]:
    """GB/T 45251-2025, NIFA pact art. 14, CBA guideline: a contact person only when the debtor cannot be reached.

    Lost, as proposed: dead, without a number that works, or called in vain on three days running.
    """
    if "cn" not in book.lands(attempt) or attempt.purpose != "locate":
        return
    for account in stranger(attempt, book):
        if not _lost(attempt, account, book):
            yield f"{book.recipient(attempt)} was asked although the debtor of {account.key} was not lost"


def _lost(attempt: Attempt, account: Account, book: Book) -> bool:
    debtor = book.world.parties.get(account.debtor_party)
    if debtor is None or (debtor.deceased_on is not None and debtor.deceased_on < book.day(attempt)):
        return True
    if any(
        event.kind in {"deceased", "no_capacity"} and event.party_key == debtor.key and event.from_at < attempt.at
        for event in book.world.events
    ):
        return True
    calls = [
        one
        for one in book.earlier(book.by_person[debtor.key], attempt)
        if one.channel in PHONE and one.purpose != "reply"
    ]
    if calls and all(one.outcome in {"no_route", "not_in_service", "invalid_number"} for one in calls[-1:]):
        return True
    silent = set()
    for one in reversed(calls):
        if one.status == "answered":
            break
        silent.add(book.day(one))
    return any({day, day + timedelta(days=1), day + timedelta(days=2)} <= silent for day in silent)


@rule("us.fed.location-once")
def location(attempt: Attempt, book: Book) -> Iterator[str]:
    """12 CFR 1006.10(c): a third party is asked once where the debtor is."""
    if attempt.purpose != "locate" or not third_party(attempt, book):
        return
    person = book.recipient(attempt)
    debts = set(attempt.accounts)
    for one in book.earlier(book.by_person[person], attempt):
        if one.purpose == "locate" and debts & set(one.accounts) and one.status not in {"failed", "undelivered"}:
            yield f"{person} had been asked by {one.key}"
            return


@rule("us.dc.no-visit")
def columbia_visits(attempt: Attempt, book: Book) -> Iterator[str]:
    """D.C. Code 28-3814(d)(5): no visit to a household."""
    if attempt.channel == "visit" and "us-dc" in book.lands(attempt) and consumer(attempt, book):
        yield "a visit in the District of Columbia"


@rule("us.nyc.e-optin")
def opted_in(attempt: Attempt, book: Book) -> Iterator[str]:
    """6 RCNY 5-77 from 2026-09-01: e-mail and text only with a written consent on record."""
    if attempt.channel not in ELECTRONIC or attempt.purpose in {"reply", "required_notice"}:
        return
    if "us-nyc" not in book.lands(attempt) or book.day(attempt) < NYC_FROM or not consumer(attempt, book):
        return
    if not consented(attempt, book, written=True):
        yield f"{attempt.channel} without a written consent on record"


@rule("us.dc.e-consent")
def asked_in_writing(attempt: Attempt, book: Book) -> Iterator[str]:
    """D.C. Code 28-3814: without consent, at most one electronic message (to seek it) in seven days."""
    if attempt.channel not in ELECTRONIC or attempt.purpose == "reply" or "us-dc" not in book.lands(attempt):
        return
    if not consumer(attempt, book) or consented(attempt, book):
        return
    before = within(attempt, book.by_person[book.recipient(attempt)], book)
    if any(one.channel in ELECTRONIC and one.purpose != "reply" for one in before):
        yield f"a second {attempt.channel} in 7 days without a consent on record"


def consented(attempt: Attempt, book: Book, *, written: bool = False) -> bool:
    """Whether a consent to messages there, by that medium, was on record and stood (in writing, where the law asks)."""
    if any(
        (event.kind == "opt_in" or event.permits in {"channel", "number"})
        and event.stands(attempt.at)
        and event.channel in {None, attempt.channel}
        and event.point_key in {None, attempt.point_key}
        and (event.detail.get("written") is True or not written)
        for event in book.events(attempt)
    ):
        return True
    point = book.point(attempt)
    if point is None:
        return False
    dated = [
        consent
        for consent in book.consents(point.party_key)
        if consent.point_key in {None, point.key}
        and consent.channel in {None, attempt.channel}
        and consent.scope not in {"time", "callback"}
    ]
    known = [consent for consent in dated if consent.from_at <= attempt.at]
    if not known:
        return point.consent == "given" and not dated and not written
    last = known[-1]
    return (
        last.state == "given"
        and (last.until_at is None or attempt.at < last.until_at)
        and (last.source == "written" or not written)
    )


@rule("us.fed.validation-notice")
def validation(attempt: Attempt, book: Book) -> Iterator[str]:
    """1006.34(a)(1): the validation notice comes first, and one that came back was none.

    The law leaves five days after the first communication; that outreach begins only after the notice is stricter.
    """
    if attempt.purpose in {"required_notice", "reply"}:
        return
    for account in third_party(attempt, book):
        collector = book.collector(attempt, account)
        notices = [
            one
            for one in book.earlier(book.by_account[account.key], attempt)
            if one.purpose == "required_notice"
            and one.status not in {"failed", "undelivered"}
            and book.collector(one, account) == collector
        ]
        if not notices:
            yield f"{attempt.channel} about {account.key} by {collector} before any validation notice"
