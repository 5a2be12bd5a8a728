"""Zones, business days, holidays and daily windows.

All instants are aware and results are in UTC. Zones come from the IANA database; business days are Monday to Friday
without the public holidays of a region such as ``US-IL`` or ``CN`` (an unknown region has weekends only). Nothing
here reads a clock.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

import holidays

from domain.strategy import WEEKDAYS, Between, Period

LONGEST_SEARCH_DAYS = 400
SATURDAY = 5
_DAY = timedelta(days=1)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def known_zone(zone: str) -> bool:
    """Whether a name is an IANA time zone."""
    return zone in _zones()


def local_date(at: datetime, zone: str) -> date:
    """Return the local day of an instant."""
    return at.astimezone(_zone(zone)).date()


def local_time(at: datetime, zone: str) -> datetime:
    """Return an instant as local time with its offset."""
    return at.astimezone(_zone(zone))


@lru_cache(maxsize=65_536)
def at_local(day: date, clock: time, zone: str) -> datetime:
    """Return the first instant at or after a local wall time; a time skipped by DST gives the end of the gap."""
    naive = datetime.combine(day, clock)
    first = naive.replace(tzinfo=_zone(zone), fold=0)
    at = first.astimezone(UTC)
    if at.astimezone(_zone(zone)).replace(tzinfo=None) == naive:
        return at
    return _end_of_gap(naive, zone)


def _end_of_gap(naive: datetime, zone: str) -> datetime:
    """Return the instant of the jump that skips ``naive``: the earliest whose local time is not before it."""
    low = naive.replace(tzinfo=_zone(zone), fold=1).astimezone(UTC)
    high = naive.replace(tzinfo=_zone(zone), fold=0).astimezone(UTC)
    low, high = min(low, high), max(low, high)
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle in {low, high}:
            break
        if middle.astimezone(_zone(zone)).replace(tzinfo=None) >= naive:
            high = middle
        else:
            low = middle
    return high


def start_of_day(day: date, zone: str) -> datetime:
    """Return the first instant of a local day, right also where midnight is skipped."""
    return at_local(day, time(0), zone)


_READER = ThreadPoolExecutor(1, thread_name_prefix="holidays")
"""Reads calendars once. They open files for the names of their days, which the thread of a workflow must not do."""


@lru_cache(maxsize=512)
def _holidays_of(region: str, year: int) -> frozenset[date]:
    return _READER.submit(_read_holidays, region, year).result()


def _read_holidays(region: str, year: int) -> frozenset[date]:
    country, _, subdivision = region.partition("-")
    for subdiv in (subdivision or None, None):
        try:
            return frozenset(holidays.country_holidays(country, subdiv=subdiv, years=year))
        except NotImplementedError:
            continue
    return frozenset()


def is_business_day(day: date, holidays_of: str | None) -> bool:
    """Whether a day is Monday to Friday and no public holiday of the region."""
    if day.weekday() >= SATURDAY:
        return False
    return holidays_of is None or day not in _holidays_of(holidays_of, day.year)


def add_days(day: date, days: int, count: Literal["calendar", "business"], holidays_of: str | None) -> date:
    """Return the day so many calendar or business days later."""
    if count == "calendar":
        return day + timedelta(days=days)
    left = days
    while left > 0:
        day += _DAY
        left -= int(is_business_day(day, holidays_of))
    return day


def add_period(at: datetime, period: Period, zone: str, holidays_of: str | None) -> datetime:
    """Return the instant a period later: hours elapse, days keep the local time of day."""
    if period.unit == "hour":
        return at.astimezone(UTC) + timedelta(hours=period.count)
    local = at.astimezone(_zone(zone))
    count: Literal["calendar", "business"] = "business" if period.unit == "business day" else "calendar"
    day = add_days(local.date(), period.count, count, holidays_of)
    return at_local(day, local.time(), zone)


def _day_allowed(day: date, between: Between, holidays_of: str | None) -> bool:
    if WEEKDAYS[day.weekday()] not in between.weekdays:
        return False
    if between.holidays == "allowed" or holidays_of is None:
        return True
    return day not in _holidays_of(holidays_of, day.year)


def is_open(at: datetime, between: Between, zone: str, holidays_of: str | None) -> bool:
    """Whether an instant lies in the weekly window: opening time included, closing time excluded."""
    local = at.astimezone(_zone(zone))
    if not _day_allowed(local.date(), between, holidays_of):
        return False
    clock, closes = local.time(), between.hours.closes
    return clock >= between.hours.opens and (closes is None or clock < closes)


def next_opening(at: datetime, between: Between, zone: str, holidays_of: str | None) -> datetime:
    """Return the earliest instant at or after ``at`` inside the window; ValueError if there is none within a year."""
    if is_open(at, between, zone, holidays_of):
        return at.astimezone(UTC)
    day = local_date(at, zone)
    for ahead in range(LONGEST_SEARCH_DAYS):
        candidate = at_local(day + ahead * _DAY, between.hours.opens, zone)
        if candidate >= at and is_open(candidate, between, zone, holidays_of):
            return candidate
        second = _second_opening(day + ahead * _DAY, between, zone)
        if second is not None and second >= at and is_open(second, between, zone, holidays_of):
            return second
    raise ValueError("the window never opens")


def _second_opening(day: date, between: Between, zone: str) -> datetime | None:
    """Return the opening in the repeated hour of a DST night, if the wall time occurs twice."""
    naive = datetime.combine(day, between.hours.opens)
    zoned = _zone(zone)
    first, second = (naive.replace(tzinfo=zoned, fold=fold).astimezone(UTC) for fold in (0, 1))
    return second if second > first and second.astimezone(zoned).replace(tzinfo=None) == naive else None
