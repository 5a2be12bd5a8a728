"""Quiet hours by residence. Every interval is half-open, [opens, closes), on the clocks of every candidate zone.

A letter is read when it is opened, so posting it is free of hours; an answer to somebody who has just written is too.
"""

from collections.abc import Iterator
from datetime import date, datetime, time
from functools import cache
from zoneinfo import ZoneInfo

import holidays

from tests.recheck.book import Book, rule
from tests.recheck.model import PHONE, Account, Attempt, Event
from tests.recheck.places import clock, outside

_SATURDAY, _SUNDAY = 5, 6


def timed(attempt: Attempt) -> bool:
    """Whether hours apply to it at all."""
    return attempt.channel not in {"letter", "legal"} and attempt.purpose != "reply"


def third_party(attempt: Attempt, book: Book) -> list[Account]:
    """Return the consumer debts of an attempt that a third-party collector worked in the United States."""
    if "us" not in book.lands(attempt):
        return []
    return [one for one in consumer(attempt, book) if book.actor(one, book.day(attempt)) == "third_party_collector"]


def consumer(attempt: Attempt, book: Book) -> list[Account]:
    """Return the consumer debts of an attempt."""
    return [account for account in book.accounts(attempt) if account.debt_type == "consumer"]


def agreed(attempt: Attempt, book: Book) -> bool:
    """Whether the person agreed beforehand to be contacted at that time."""
    for consent in book.consents(book.recipient(attempt)):
        if consent.state == "given" and consent.scope == "time":
            ends = consent.until_at
            if consent.from_at <= attempt.at and ends is not None and attempt.at < ends:
                return True
    for event in book.events(attempt):
        if event.permits == "time" and event.stands(attempt.at):
            return any(_within(event, attempt.at, zone) for zone in book.zones(attempt))
    return False


def _within(event: Event, at: datetime, zone: str) -> bool:
    try:
        opens, closes = (time.fromisoformat(str(event.detail[name])) for name in ("starts", "ends"))
    except (KeyError, ValueError):
        return False
    weekdays = event.detail.get("days")
    local = at.astimezone(ZoneInfo(zone))
    if weekdays and f"{local:%a}".lower() not in {str(day).lower()[:3] for day in weekdays}:
        return False
    return opens <= local.time() < closes if opens < closes else not closes <= local.time() < opens


def _late(attempt: Attempt, zones: tuple[str, ...], opens: time, closes: time, book: Book) -> Iterator[str]:
    zone = outside(attempt.at, zones, opens, closes)
    if zone is not None and not agreed(attempt, book):
        yield f"{attempt.channel} at {clock(attempt.at, zone)}, outside {opens:%H:%M}-{closes:%H:%M}"


@rule("us.fed.time-window")
def us_federal(attempt: Attempt, book: Book) -> Iterator[str]:
    """12 CFR 1006.6(b)(1)(i), 15 USC 1692c(a)(1): third-party collectors, every channel, [08:00,21:00) in all zones."""
    if timed(attempt) and third_party(attempt, book):
        yield from _late(attempt, book.zones(attempt), time(8), time(21), book)


@rule("us.ca.rosenthal")
def us_california(attempt: Attempt, book: Book) -> Iterator[str]:
    """Cal. Civ. Code 1788.17: the federal conduct rules, and so 15 USC 1692c(a)(1), bind creditors too."""
    if timed(attempt) and "us-ca" in book.lands(attempt) and consumer(attempt, book):
        yield from _late(attempt, book.zones(attempt), time(8), time(21), book)


@rule("us.ma.hours-visit")
def us_massachusetts(attempt: Attempt, book: Book) -> Iterator[str]:
    """940 CMR 7.04: visits 08:00-21:00 where waking hours are unknown, at most one in 30 days for each debt."""
    if attempt.channel != "visit" or "us-ma" not in book.lands(attempt):
        return
    yield from _late(attempt, book.zones(attempt), time(8), time(21), book)
    for account in consumer(attempt, book):
        for one in book.earlier(book.by_account[account.key], attempt):
            if one.channel == "visit" and book.days_between(attempt, one.at) < 30:
                yield f"second visit about {account.key} within 30 days, after {one.key}"


@rule("us.wa.hours")
def us_washington(attempt: Attempt, book: Book) -> Iterator[str]:
    """RCW 19.16.250: licensed agencies, [07:30,21:00)."""
    if timed(attempt) and "us-wa" in book.lands(attempt) and third_party(attempt, book):
        yield from _late(attempt, book.zones(attempt), time(7, 30), time(21), book)


@rule("cn.quiet-hours")
def china(attempt: Attempt, book: Book) -> Iterator[str]:
    """GB/T 45251-2025 5.3, CBA guideline art. 13: no collection in [22:00,08:00), Beijing time, in any channel."""
    if timed(attempt) and "cn" in book.lands(attempt):
        yield from _late(attempt, ("Asia/Shanghai",), time(8), time(22), book)


@rule("uk.reasonable-time")
def united_kingdom(attempt: Attempt, book: Book) -> Iterator[str]:
    """CONC 7.9.4R with the clock of MCOB 13.5.4G: [08:00,21:00)."""
    if timed(attempt) and "uk" in book.lands(attempt):
        yield from _late(attempt, book.zones(attempt), time(8), time(21), book)


@rule("in.hours")
def india(attempt: Attempt, book: Book) -> Iterator[str]:
    """RBI circular 2022-08-12: no recovery call outside [08:00,19:00), Asia/Kolkata."""
    if attempt.channel in PHONE and timed(attempt) and "in" in book.lands(attempt):
        yield from _late(attempt, ("Asia/Kolkata",), time(8), time(19), book)


@rule("id.hours")
def indonesia(attempt: Attempt, book: Book) -> Iterator[str]:
    """POJK 22/2023 art. 62(2): Monday to Saturday outside national holidays, [08:00,20:00) local."""
    if not timed(attempt) or "id" not in book.lands(attempt) or agreed(attempt, book):
        return
    for zone in book.zones(attempt):
        day = attempt.at.astimezone(ZoneInfo(zone)).date()
        if day.weekday() == _SUNDAY or is_holiday(day, "ID"):
            yield f"{attempt.channel} on {clock(attempt.at, zone)}, a Sunday or a national holiday"
            return
    yield from _late(attempt, book.zones(attempt), time(8), time(20), book)


@rule("ph.hours")
def philippines(attempt: Attempt, book: Book) -> Iterator[str]:
    """SEC MC 18 s.2019: [06:00,22:00), unless the debt is more than 15 days past due."""
    if not timed(attempt) or "ph" not in book.lands(attempt):
        return
    day = attempt.at.astimezone(ZoneInfo("Asia/Manila")).date()
    for account in consumer(attempt, book):
        oldest = book.owed(account, attempt).oldest_on
        if oldest is None or (day - oldest).days <= 15:
            yield from _late(attempt, ("Asia/Manila",), time(6), time(22), book)
            return


@rule("au.hours")
def australia(attempt: Attempt, book: Book) -> Iterator[str]:
    """RG 96 part 2 s.4: phone Mon-Fri 07:30-21:00, weekends 09:00-21:00; visits 09:00-21:00; none on holidays."""
    if attempt.channel not in PHONE | {"visit"} or not timed(attempt) or "au" not in book.lands(attempt):
        return
    for zone in book.zones(attempt):
        day = attempt.at.astimezone(ZoneInfo(zone)).date()
        if is_holiday(day, "AU") and not agreed(attempt, book):
            yield f"{attempt.channel} on {clock(attempt.at, zone)}, a national public holiday"
            return
        on_a_weekday_by_phone = attempt.channel != "visit" and day.weekday() < _SATURDAY
        late = list(_late(attempt, (zone,), time(7, 30) if on_a_weekday_by_phone else time(9), time(21), book))
        if late:
            yield late[0]
            return


@rule("br.sp.hours")
def sao_paulo(attempt: Attempt, book: Book) -> Iterator[str]:
    """Lei SP 15.426/2014 art. 2: calls Mon-Fri [08:00,20:00), Sat [08:00,14:00); Sundays and holidays none."""
    if attempt.channel not in PHONE or not timed(attempt) or "br-sp" not in book.lands(attempt):
        return
    zone = "America/Sao_Paulo"
    day = attempt.at.astimezone(ZoneInfo(zone)).date()
    if (day.weekday() == _SUNDAY or is_holiday(day, "BR", "SP")) and not agreed(attempt, book):
        yield f"{attempt.channel} on {clock(attempt.at, zone)}, a Sunday or a holiday"
        return
    closes = time(14) if day.weekday() == _SATURDAY else time(20)
    yield from _late(attempt, (zone,), time(8), closes, book)


@rule("us.fed.known-inconvenient")
def inconvenient(attempt: Attempt, book: Book) -> Iterator[str]:
    """1006.6(b)(1) and comment 6(b)(1)-1; CONC 7.9.4R: never at a time the person called inconvenient."""
    if not timed(attempt):
        return
    for event in book.events(attempt):
        if event.kind == "inconvenient_time" and event.stands(attempt.at):
            zone = next((zone for zone in book.zones(attempt) if _within(event, attempt.at, zone)), None)
            if zone is not None:
                yield f"{attempt.channel} at {clock(attempt.at, zone)}, called inconvenient by event {event.key}"


@cache
def _calendar(country: str, subdivision: str | None) -> holidays.HolidayBase:
    return holidays.country_holidays(country, subdiv=subdivision)


def is_holiday(day: date, country: str, subdivision: str | None = None) -> bool:
    """Whether a day is a public holiday of the whole country (and of its subdivision, if named)."""
    return day in _calendar(country, subdivision)
