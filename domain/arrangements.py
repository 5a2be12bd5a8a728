"""Arrangements: agreed lines of (day, amount), and where one stands on a given day.

A promise to pay is one line, an instalment plan many, a deferral later ones, a settlement less than is owed. Standing
is a function of the lines, the money that counts and the debtor's local day, never of the order in which payments
became known: whoever reads later, or again, comes to the same answer. Nothing here reads a clock.
"""

import itertools
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Literal

from domain.money import split_evenly

Frequency = Literal["month", "two_weeks", "week"]
FREQUENCIES: tuple[Frequency, ...] = ("month", "two_weeks", "week")
MOST_LINES = 600
_DAY = timedelta(days=1)


class ArrangementKind(StrEnum):
    """What was agreed."""

    PROMISE = "promise"
    INSTALMENTS = "instalments"
    DEFERRAL = "deferral"
    SETTLEMENT = "settlement"


class Covers(StrEnum):
    """Which part of the debt an arrangement is about."""

    PAST_DUE = "past_due"
    BALANCE = "balance"
    PART = "part"


class DpdEffect(StrEnum):
    """What an arrangement does to the days past due."""

    NONE = "none"
    FREEZE = "freeze"
    RE_AGE = "re-age"


class Standing(StrEnum):
    """Where an arrangement stands. The first four are moments of one that is performed, the others are ends."""

    PROPOSED = "proposed"
    ON_TRACK = "on_track"
    DUE = "due"
    IN_GRACE = "in_grace"
    KEPT = "kept"
    PAID_EARLY = "paid_early"
    SETTLED = "settled"
    PARTIALLY_KEPT = "partially_kept"
    BROKEN = "broken"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    REFUSED = "refused"


PERFORMED = frozenset({Standing.ON_TRACK, Standing.DUE, Standing.IN_GRACE})
"""Outreach stops: so far everything was paid that had to be."""
FULFILLED = frozenset({Standing.KEPT, Standing.PAID_EARLY, Standing.SETTLED})
FAILED = frozenset({Standing.PARTIALLY_KEPT, Standing.BROKEN, Standing.EXPIRED})
"""The ladder goes on, and a discount is no longer granted."""

ACTIVE = "active"
"""How the ledger writes what is performed: which of its moments it is follows from the day."""
ENDS_AND_PROPOSED = tuple(one for one in Standing if one not in PERFORMED)
"""What the ledger writes besides."""


class ArrangementError(ValueError):
    """An arrangement that does not add up. The text says what, without values of a person."""


@dataclass(frozen=True, slots=True)
class Line:
    """One agreed payment: numbered from 1, due at the latest on a local day, in minor units."""

    no: int
    due_on: date
    amount: int


@dataclass(frozen=True, slots=True)
class Credit:
    """Money that counts for an arrangement from a local day on, until it was returned, if it was."""

    amount: int
    value_on: date
    returned_on: date | None = None

    def stands(self, day: date) -> bool:
        """Whether it counts on a day."""
        return self.value_on <= day and (self.returned_on is None or self.returned_on > day)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was agreed. ``tolerance`` is the rest of a line that counts as paid, in minor units.

    A line may be paid until ``grace_days`` calendar days after its day. ``expires_on`` is the last day of a settlement.
    """

    kind: ArrangementKind
    lines: tuple[Line, ...]
    grace_days: int = 0
    tolerance: int = 0
    expires_on: date | None = None

    @property
    def amount(self) -> int:
        """The sum of the lines."""
        return sum(line.amount for line in self.lines)


@dataclass(frozen=True, slots=True)
class LineStanding:
    """One line on one day: what was allocated to it, and since which day that is all of it."""

    line: Line
    paid: int
    paid_on: date | None
    standing: Literal["open", "due", "in_grace", "paid", "missed"]


@dataclass(frozen=True, slots=True)
class Stands:
    """Where an arrangement stands. ``ended_on``: the first local day on which that was so; ``None`` while performed."""

    standing: Standing
    lines: tuple[LineStanding, ...]
    ended_on: date | None = None

    @property
    def paid(self) -> int:
        """What was allocated to all lines together."""
        return sum(one.paid for one in self.lines)

    @property
    def next_line(self) -> LineStanding | None:
        """The oldest line that is not paid."""
        return next((one for one in self.lines if one.paid_on is None), None)


# --- standing -------------------------------------------------------------------------------------------------------


def standing(agreed: Agreement, money: Sequence[Credit], today: date) -> Stands:
    """Say where an arrangement stands on a local day. Money goes to the oldest line first.

    A line that is not paid when its grace is over breaks it, on the day after; if a part of that line was paid it was
    partially kept. What comes later changes nothing, but money that turns out to have been in time does, and money
    that is returned counts as if it had never come.
    """
    lines = _allocated(agreed, money, today)
    failed = _failure(agreed, money, today)
    if failed is not None:
        on, outcome = failed
        return Stands(outcome, tuple(_missed(one, agreed, today) for one in lines), on)
    last = lines[-1]
    if last.paid_on is not None:
        on = max(one.paid_on for one in lines if one.paid_on is not None)
        return Stands(_fulfilled(agreed, on), lines, on)
    coming = next(one for one in lines if one.paid_on is None)
    if today < coming.line.due_on:
        return Stands(Standing.ON_TRACK, lines)
    return Stands(Standing.DUE if today == coming.line.due_on else Standing.IN_GRACE, lines)


def changes_on(agreed: Agreement, money: Sequence[Credit], today: date) -> date | None:
    """Return the next local day on which an arrangement fails if nothing is paid; ``None`` when it has ended."""
    stands = standing(agreed, money, today)
    if stands.standing not in PERFORMED or stands.next_line is None:
        return None
    fails = stands.next_line.line.due_on + (agreed.grace_days + 1) * _DAY
    return fails if agreed.expires_on is None else min(fails, agreed.expires_on + _DAY)


def _fulfilled(agreed: Agreement, on: date) -> Standing:
    if agreed.kind is ArrangementKind.SETTLEMENT:
        return Standing.SETTLED
    return Standing.PAID_EARLY if on < agreed.lines[-1].due_on else Standing.KEPT


def _allocated(agreed: Agreement, money: Sequence[Credit], today: date) -> tuple[LineStanding, ...]:
    """Return every line with what was paid on it by ``today``, and the day that completed it."""
    standing_now = sorted((one for one in money if one.stands(today)), key=lambda one: one.value_on)
    total = sum(one.amount for one in standing_now)
    found, needed = [], 0
    for line in agreed.lines:
        before, needed = needed, needed + line.amount
        paid_on = _reached(standing_now, max(needed - agreed.tolerance, before + 1))
        paid = min(max(total - before, 0), line.amount)
        state: Literal["open", "due", "in_grace", "paid", "missed"] = "open"
        if paid_on is not None:
            state = "paid"
        elif today >= line.due_on:
            state = "due" if today == line.due_on else "in_grace"
        found.append(LineStanding(line, paid, paid_on, state))
    return tuple(found)


def _reached(money: Sequence[Credit], needed: int) -> date | None:
    """Return the day on which money, in the order of its days, had come to ``needed``."""
    sum_so_far = 0
    for one in money:
        sum_so_far += one.amount
        if sum_so_far >= needed:
            return one.value_on
    return None


def _missed(one: LineStanding, agreed: Agreement, today: date) -> LineStanding:
    over = one.line.due_on + agreed.grace_days * _DAY < today
    return LineStanding(one.line, one.paid, one.paid_on, "missed") if one.paid_on is None and over else one


def _failure(agreed: Agreement, money: Sequence[Credit], today: date) -> tuple[date, Standing] | None:
    """Return the first day on which an arrangement had failed, and how; ``None`` if it has not by ``today``."""
    failures: list[tuple[date, int, Standing]] = []
    needed = 0
    for line in agreed.lines:
        before, needed = needed, needed + line.amount
        least = max(needed - agreed.tolerance, before + 1)
        last_day = line.due_on + agreed.grace_days * _DAY
        on = _short_on(money, last_day, least, today)
        if on is not None:
            some = _in_time(money, last_day, on) > before
            failures.append((on, line.no, Standing.PARTIALLY_KEPT if some else Standing.BROKEN))
    if agreed.expires_on is not None:
        on = _short_on(money, agreed.expires_on, max(needed - agreed.tolerance, 1), today)
        if on is not None:
            failures.append((on, 0, Standing.EXPIRED))
    if not failures:
        return None
    on, _, outcome = min(failures)
    return on, outcome


def _in_time(money: Sequence[Credit], last_day: date, on: date) -> int:
    """Return the money that came by ``last_day`` and had not been returned on ``on``."""
    return sum(one.amount for one in money if one.value_on <= last_day and one.stands(on))


def _short_on(money: Sequence[Credit], last_day: date, needed: int, today: date) -> date | None:
    """Return the first day after ``last_day`` on which too little of what came in time stood; ``None`` if none yet."""
    days = {last_day + _DAY, *(one.returned_on for one in money if one.returned_on is not None)}
    for day in sorted(day for day in days if last_day < day <= today):
        if _in_time(money, last_day, day) < needed:
            return day
    return None


# --- making lines ---------------------------------------------------------------------------------------------------


def due_days(first_on: date, count: int, every: Frequency) -> tuple[date, ...]:
    """Return the days of lines; a month without the first line's day has its last day instead."""
    if every == "month":
        return tuple(_months_later(first_on, number) for number in range(count))
    step = timedelta(weeks=1 if every == "week" else 2)
    return tuple(first_on + number * step for number in range(count))


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def lay_out(amount: int, days: Sequence[date], *, first: int = 0) -> tuple[Line, ...]:
    """Spread an amount (minor units) over days: even lines, or ``first`` on the first day and the rest evenly.

    The lines sum exactly to the amount; ArrangementError when there is less than one unit for each.
    """
    if not days or amount < len(days):
        raise ArrangementError("an arrangement needs a day and an amount for every line")
    even = split_evenly(amount, len(days))
    if len(days) == 1 or first <= even[0]:
        amounts = even
    else:
        if amount - first < len(days) - 1:
            raise ArrangementError("nothing is left for the lines after the first payment")
        amounts = (first, *split_evenly(amount - first, len(days) - 1))
    return tuple(Line(no, day, part) for no, (day, part) in enumerate(zip(days, amounts, strict=True), start=1))


def check_sums(kind: ArrangementKind, lines: Sequence[Line], covered: int, discount: int) -> None:
    """Refuse what does not add up: agreed and discount are what is covered, and days go forward; ArrangementError."""
    if not 1 <= len(lines) <= MOST_LINES:
        raise ArrangementError(f"an arrangement has 1 to {MOST_LINES} lines")
    if kind is ArrangementKind.PROMISE and len(lines) != 1:
        raise ArrangementError("a promise to pay has one line")
    if any(line.amount <= 0 for line in lines):
        raise ArrangementError("every line needs an amount above nothing")
    if any(later.due_on <= line.due_on for line, later in itertools.pairwise(lines)):
        raise ArrangementError("every line is due on a later day than the one before")
    if discount < 0 or (discount > 0) != (kind is ArrangementKind.SETTLEMENT):
        raise ArrangementError("a settlement has a discount, and nothing else has one")
    agreed = sum(line.amount for line in lines)
    if agreed + discount != covered:
        raise ArrangementError(
            f"the lines come to {agreed} and the discount to {discount}, which is not the {covered} covered"
        )


# --- days past due --------------------------------------------------------------------------------------------------


def days_past_due(
    oldest_due_on: date | None, today: date, *, aged_from: date | None = None, frozen_on: date | None = None
) -> int:
    """Return the days past due: from the oldest unpaid due, or the day it was re-aged, until today or the freeze."""
    if oldest_due_on is None:
        return 0
    begins = oldest_due_on if aged_from is None else max(oldest_due_on, aged_from)
    ends = today if frozen_on is None else min(today, frozen_on)
    return max((ends - begins).days, 0)
