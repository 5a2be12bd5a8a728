"""When contact is open, in local wall time: windows, times a person ruled out, times they agreed to, holidays.

Wall time decides, so an hour that a DST night repeats is open or closed both times, and one that it skips opens at the
end of the gap. Results are instants in UTC, exact to the second.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from domain.calendar import at_local, local_time, start_of_day
from domain.compliance.facts import Consent, Inconvenient
from domain.compliance.parts import Hours, Span
from domain.strategy import WEEKDAYS

HORIZON = timedelta(days=400)
"""A release later than this is none."""
NEVER = datetime.max.replace(tzinfo=UTC)
DAY_S = 86_400
_DAY = timedelta(days=1)

Spans = tuple[tuple[float, float], ...]
"""Parts of a local day as seconds from midnight, start included and end excluded."""


@lru_cache(maxsize=512)
def holidays_in(region: str, year: int) -> frozenset[date]:
    """Return the public holidays of a country or region such as ``ID`` or ``BR-SP``; none where they are not known."""
    country, _, subdivision = region.partition("-")
    for part in (subdivision or None, None):
        try:
            return frozenset(holidays.country_holidays(country, subdiv=part, years=year))
        except NotImplementedError:
            continue
    return frozenset()


def seconds_of(clock: time) -> float:
    """Return a time of day as seconds from midnight."""
    return clock.hour * 3600 + clock.minute * 60 + clock.second + clock.microsecond / 1e6


@lru_cache(maxsize=4096)
def _jump(day: date, zone: str) -> datetime | None:
    """Return the instant within a local day at which the offset changes, if it does."""
    low, high = start_of_day(day, zone), start_of_day(day + _DAY, zone)
    offset = local_time(low, zone).utcoffset()
    if local_time(high, zone).utcoffset() == offset:
        return None
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle <= low:
            break
        low, high = (middle, high) if local_time(middle, zone).utcoffset() == offset else (low, middle)
    return high


def _clock(seconds: float) -> time:
    whole = int(seconds)
    return time(whole // 3600, whole // 60 % 60, whole % 60, round((seconds - whole) * 1e6))


def _occurrences(day: date, seconds: float, zone: str) -> Iterable[datetime]:
    """Return the instants at which a wall time begins: two in a repeated hour, the end of the gap in a skipped one."""
    clock = _clock(seconds)
    yield at_local(day, clock, zone)
    second = datetime.combine(day, clock, ZoneInfo(zone)).replace(fold=1).astimezone(UTC)
    if local_time(second, zone).replace(tzinfo=None) == datetime.combine(day, clock):
        yield second


@dataclass(frozen=True, slots=True)
class Timetable:
    """Open spans by weekday, a span for holidays, further spans by consent, spans taken out."""

    open: Mapping[int, Spans]
    on_holidays: Spans | None = None
    """Spans of a public holiday; ``None`` where a holiday is like any day."""
    holidays_of: str | None = None
    holidays: frozenset[date] = frozenset()
    consents: tuple[Consent, ...] = ()
    closed: tuple[Inconvenient, ...] = ()

    def _own(self, day: date) -> Spans:
        if self.on_holidays is not None and self._is_holiday(day):
            return self.on_holidays
        return self.open.get(day.weekday(), ())

    def _is_holiday(self, day: date) -> bool:
        return day in self.holidays or (self.holidays_of is not None and day in holidays_in(self.holidays_of, day.year))

    def _agreed(self, day: date) -> Iterable[tuple[float, float, Consent]]:
        for consent in self.consents:
            for start, end, named in _spans_of(consent.opens, consent.closes, day):
                if consent.on in {None, named} and _weekday_fits(consent.weekdays, named):
                    yield start, end, consent

    def _refused(self, day: date) -> Iterable[tuple[float, float]]:
        for one in self.closed:
            for start, end, named in _spans_of(one.opens, one.closes, day):
                if (one.until is None or named <= one.until) and _weekday_fits(one.weekdays, named):
                    yield start, end

    def is_open(self, at: datetime, zone: str) -> bool:
        """Whether contact is open at an instant."""
        wall = local_time(at, zone)
        day, clock = wall.date(), seconds_of(wall.time())
        if any(start <= clock < end for start, end in self._refused(day)):
            return False
        if any(start <= clock < end for start, end in self._own(day)):
            return True
        return any(start <= clock < end and stands(consent, at) for start, end, consent in self._agreed(day))

    def is_agreed_only(self, at: datetime, zone: str) -> bool:
        """Whether an instant is open by consent and would be closed without."""
        wall = local_time(at, zone)
        clock = seconds_of(wall.time())
        own = any(start <= clock < end for start, end in self._own(wall.date()))
        return not own and self.is_open(at, zone)

    def next_open(self, at: datetime, zone: str) -> datetime:
        """Return the earliest open instant at or after ``at``; ``NEVER`` if there is none within the horizon."""
        if self.is_open(at, zone):
            return at
        today = local_time(at, zone).date()
        for ahead in range(HORIZON.days + 2):
            day = today + ahead * _DAY
            found = min((one for one in self._edges(day, zone) if one >= at and self.is_open(one, zone)), default=None)
            if found is not None:
                return found
        return NEVER

    def _edges(self, day: date, zone: str) -> Iterable[datetime]:
        """Return the instants of a day at which something may open."""
        starts = {start for start, _ in self._own(day)} | {start for start, _, _ in self._agreed(day)}
        starts |= {end for _, end in self._refused(day) if end < DAY_S} | ({0.0} if self.closed else set())
        for start in starts:
            yield from _occurrences(day, start, zone)
        jump = _jump(day, zone)
        if jump is not None:
            yield jump


def _spans_of(opens: time | None, closes: time | None, day: date) -> Iterable[tuple[float, float, date]]:
    """Return the spans of a day that belong to a daily span, each with the day the span began on."""
    start = 0.0 if opens is None else seconds_of(opens)
    end = float(DAY_S) if closes is None or closes == time(0) else seconds_of(closes)
    if start < end:
        yield start, end, day
        return
    yield start, float(DAY_S), day
    yield 0.0, end, day - _DAY


def _weekday_fits(weekdays: tuple[str, ...], day: date) -> bool:
    return not weekdays or WEEKDAYS[day.weekday()] in weekdays


def stands(consent: Consent, at: datetime) -> bool:
    """Whether a consent stands at an instant."""
    if consent.t is not None and consent.t > at:
        return False
    return all(end is None or at < end for end in (consent.expires, consent.revoked_at))


def spans_of_hours(hours: Hours) -> tuple[dict[int, Spans], Spans | None]:
    """Return the open spans of a rule by weekday, and those of a holiday."""
    first, last = int(hours.edges[0] == "("), int(hours.edges[1] == "]")

    def span(one: Span) -> tuple[float, float]:
        return float(one.opens + first), float(min(one.closes + last, DAY_S))

    weekly: dict[int, Spans] = {WEEKDAYS.index(day): (span(one),) for day, one in hours.open.items()}
    if hours.holidays == "open":
        return weekly, None
    return weekly, () if hours.holidays == "closed" else (span(hours.holidays),)
