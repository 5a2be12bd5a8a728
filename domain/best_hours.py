"""At which hour somebody is best called: what earlier calls have taught about a number."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta

from domain.calendar import at_local, local_date, next_opening
from domain.strategy import Between

DAYS_AHEAD = 7
HOUR = timedelta(hours=1)


def best_hour(reached: Mapping[int, int]) -> int | None:
    """Return the local hour (0-23) with the most right-party contacts, the earliest of equals; ``None`` without any."""
    return min(reached, key=lambda hour: (-reached[hour], hour), default=None)


def best_start(
    reached: Mapping[int, int],
    now: datetime,
    between: Between,
    zone: str,
    holidays_of: str | None,
    *,
    before: datetime | None = None,
) -> datetime:
    """Return when a call is best offered: in the best hour, within the step's hours, and before ``before``.

    ``reached`` counts right-party contacts by local hour. Now, where nothing was learnt or the hour comes too late.
    """
    hour = best_hour(reached)
    if hour is None:
        return now
    today = local_date(now, zone)
    for days in range(DAYS_AHEAD):
        begins = at_local(today + timedelta(days=days), time(hour), zone)
        start = max(begins, now)
        if start >= begins + HOUR or next_opening(start, between, zone, holidays_of) != start:
            continue
        return start if before is None or start < before else now
    return now
