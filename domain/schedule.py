"""When a step is due.

A pure function of the step and the instants it may count from: the same anchors give the same instant, on any
machine and in any replay.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from domain.calendar import add_days, add_period, local_date, next_opening, start_of_day
from domain.strategy import Step


@dataclass(frozen=True, slots=True)
class Anchors:
    """What the steps of a case count from. ``None`` means it has not happened."""

    zone: str
    holidays_of: str | None
    opened_at: datetime
    step_done_at: datetime
    due_on: date | None = None
    placed_on: date | None = None
    validation_end: date | None = None
    events: dict[str, datetime] = field(default_factory=dict)
    last_contact_at: datetime | None = None


def step_due(
    step: Step,
    anchors: Anchors,
    *,
    previous_try_at: datetime | None = None,
    again_at: datetime | None = None,
    appointed: bool = False,
) -> datetime | None:
    """Return the instant a step is due (UTC); ``None`` while what it counts from has not happened.

    A later try counts from the one before, or is due ``again_at`` where its outcome said so. Either way the least gap
    since the last contact and the step's hours hold; an appointment is kept whatever the gap.
    """
    if appointed and again_at is not None:
        return next_opening(again_at, step.between, anchors.zone, anchors.holidays_of)
    if again_at is not None:
        at: datetime | None = again_at
    elif previous_try_at is not None:
        at = add_period(previous_try_at, step.every, anchors.zone, anchors.holidays_of)
    else:
        at = _first(step, anchors)
    return None if at is None else open_from(at, step, anchors)


def open_from(at: datetime, step: Step, anchors: Anchors) -> datetime:
    """Return the first instant from ``at`` that keeps the least gap and lies in the step's hours (UTC)."""
    if step.min_gap is not None and anchors.last_contact_at is not None:
        at = max(at, add_period(anchors.last_contact_at, step.min_gap, anchors.zone, anchors.holidays_of))
    return next_opening(at, step.between, anchors.zone, anchors.holidays_of)


def _first(step: Step, anchors: Anchors) -> datetime | None:
    start, zone = step.start, anchors.zone
    if start.since in {"due", "placed", "validation_end"}:
        day = {"due": anchors.due_on, "placed": anchors.placed_on, "validation_end": anchors.validation_end}[
            start.since
        ]
        if day is None:
            return None
        return start_of_day(add_days(day, start.days, start.count, anchors.holidays_of), zone)
    instant = {
        "opened": anchors.opened_at,
        "step": anchors.step_done_at,
        "event": anchors.events.get(start.event or ""),
    }[start.since]
    if instant is None:
        return None
    if start.days == 0:
        return instant.astimezone(UTC)
    return start_of_day(add_days(local_date(instant, zone), start.days, start.count, anchors.holidays_of), zone)
