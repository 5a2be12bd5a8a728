"""Reads where the arrangements of an account stand, from rows that come with its facts. It writes nothing.

What the rows say of the present is only what was written last; where an arrangement stands follows from its lines, the
ledger's entries and the day. ``news`` is the difference, for whoever may write it (``db.arrangements``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from domain.arrangements import (
    ACTIVE,
    FAILED,
    FULFILLED,
    PERFORMED,
    Agreement,
    ArrangementKind,
    Credit,
    DpdEffect,
    Line,
    Standing,
    Stands,
    changes_on,
    standing,
)
from domain.calendar import local_date, start_of_day
from domain.codes import EntryKind
from domain.facts import Courtesy, Plan, PlanEnd
from domain.plans import PlanPolicy
from domain.position import Entry

PLANS = """
       (SELECT json_agg(json_build_array(r.key, r.kind, r.status, r.agreed_at, r.starts_at, r.ended_at, r.grace_days,
               r.expires_on, r.dpd_effect, r.re_aged_on, r.waivers, r.terms,
               (SELECT json_agg(json_build_array(l.no, l.due_on, l.amount) ORDER BY l.no) FROM arrangement_lines l
                 WHERE l.arrangement_key = r.key)) ORDER BY r.agreed_at, r.key)
          FROM arrangements r WHERE r.account_key = a.key) AS plans
"""
"""The sub-select of an account ``a`` whose rows ``read_plans`` understands."""

_DAY = timedelta(days=1)
_DERIVED = frozenset({ACTIVE, *FULFILLED, *FAILED})


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One arrangement as it is written."""

    key: str
    status: str
    agreed_at: datetime
    starts_at: datetime | None
    ended_at: datetime | None
    agreed: Agreement
    effect: DpdEffect
    re_aged_on: date | None
    waivers: int
    terms: PlanPolicy | None


@dataclass(frozen=True, slots=True)
class News:
    """An arrangement stands otherwise than is written. ``at``: since when, the start of a local day."""

    row: PlanRow
    stands: Stands
    status: str
    at: datetime | None
    re_aged_on: date | None


@dataclass(frozen=True, slots=True)
class PlanReading:
    """What the arrangements of an account mean for it now."""

    plan: Plan | None = None
    end: PlanEnd | None = None
    aged_from: date | None = None
    frozen_on: date | None = None
    changes: tuple[datetime, ...] = ()
    """Instants at which this changes by itself."""
    news: tuple[News, ...] = ()
    standings: Mapping[str, tuple[PlanRow, Stands]] = field(default_factory=dict)
    """Every arrangement by its key, with where its lines stand by the money that counts for it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is read. ``known_by``: what was received later is not known yet (logical clocks)."""

    now: datetime
    today: date
    zone: str
    reach: datetime
    known_by: datetime | None
    tolerance: int = 0


def read_plans(rows: Sequence[Sequence[Any]], entries: Sequence[Entry], when: Moment) -> PlanReading:
    """Say where the arrangements of an account stand: the newest that began decides, and the proposal that waits."""
    plans = [plan for plan in (_row(row, when.tolerance) for row in rows) if plan.agreed_at <= when.reach]
    if not plans:
        return PlanReading()
    whole = {one.key: (one, stands_of(one, entries, when)) for one in plans}
    plans = [one for one in plans if one.status != Standing.REFUSED]
    begun = [one for one in plans if one.starts_at is not None and one.starts_at <= when.reach]
    newest = next((one for one in reversed(begun) if one.status != Standing.REPLACED), None)
    waiting = next((one for one in plans if one.status == Standing.PROPOSED), None)
    aged = max((one.re_aged_on for one in plans if one.re_aged_on is not None and one is not newest), default=None)
    found = PlanReading(aged_from=aged)
    if newest is not None:
        found = _newest(newest, entries, when, found)
    if waiting is not None:
        found = _waiting(waiting, when, found)
    return replace(found, standings=whole)


def stands_of(row: PlanRow, entries: Sequence[Entry], when: Moment) -> Stands:
    """Return where one arrangement stands on the ledger's entries."""
    return standing(row.agreed, credits_of(row, entries, when), when.today)


def credits_of(row: PlanRow, entries: Sequence[Entry], when: Moment) -> list[Credit]:
    """Return the payments that count: those that were not known, or not effective, when it was agreed."""
    known = [one for one in entries if when.known_by is None or one.received_at <= when.known_by]
    returned = {one.reverses: one.value_on for one in known if one.kind is EntryKind.REVERSAL}
    agreed_on = local_date(row.agreed_at, when.zone)
    return [
        Credit(one.amount, one.value_on, returned.get(one.external_id))
        for one in known
        if one.kind is EntryKind.PAYMENT and (one.received_at > row.agreed_at or one.value_on > agreed_on)
    ]


def _newest(row: PlanRow, entries: Sequence[Entry], when: Moment, found: PlanReading) -> PlanReading:
    if row.status not in _DERIVED:  # cancelled: what is written holds
        last = local_date(row.ended_at or row.agreed_at, when.zone)
        end = PlanEnd(key=row.key, standing=Standing(row.status), at=_day_after(last, when.zone))
        return PlanReading(end=end, aged_from=_later(found.aged_from, row.re_aged_on))
    credits_ = credits_of(row, entries, when)
    stands = standing(row.agreed, credits_, when.today)
    aged_on = _re_aged_on(row, stands, when)
    performed = stands.standing in PERFORMED
    at = None if stands.ended_on is None else start_of_day(stands.ended_on, when.zone)
    status = ACTIVE if performed else str(stands.standing)
    differs = status != row.status or aged_on != row.re_aged_on or (not performed and at != row.ended_at)
    change = changes_on(row.agreed, credits_, when.today)
    changes = [] if change is None else [start_of_day(change, when.zone)]
    plan = _plan(row, stands, when) if performed else None
    if plan is not None and plan.reminder is not None and plan.reminder.from_at > when.now:
        changes.append(plan.reminder.from_at)
    return PlanReading(
        plan=plan,
        end=None if performed or stands.ended_on is None else _end(row, stands, stands.ended_on, when),
        aged_from=_later(found.aged_from, aged_on),
        frozen_on=_frozen_on(row, when) if performed else None,
        changes=tuple(changes),
        news=(News(row, stands, status, at, aged_on),) if differs else (),
    )


def _waiting(row: PlanRow, when: Moment, found: PlanReading) -> PlanReading:
    """Add a proposal that waits for a second person; undecided, it is over when its first line is."""
    first = row.agreed.lines[0]
    over = first.due_on + _DAY
    if when.today >= over:
        stands = Stands(Standing.EXPIRED, (), over)
        news = News(row, stands, Standing.EXPIRED, start_of_day(over, when.zone), row.re_aged_on)
        return replace(found, news=(*found.news, news))
    plan = found.plan
    if plan is None:
        rests = row.terms is not None and row.terms.approval.meanwhile == "rest"
        plan = Plan(
            key=row.key,
            kind=row.agreed.kind,
            standing=Standing.PROPOSED,
            rests=rests,
            line=1,
            lines=len(row.agreed.lines),
            due_on=first.due_on,
            amount=first.amount,
        )
    return replace(found, plan=plan, changes=(*found.changes, start_of_day(over, when.zone)))


def _plan(row: PlanRow, stands: Stands, when: Moment) -> Plan:
    coming = stands.next_line or stands.lines[-1]
    return Plan(
        key=row.key,
        kind=row.agreed.kind,
        standing=stands.standing,
        line=coming.line.no,
        lines=len(stands.lines),
        due_on=coming.line.due_on,
        amount=coming.line.amount - coming.paid,
        reminder=_reminder(row, coming.line.due_on, when),
    )


def _reminder(row: PlanRow, due_on: date, when: Moment) -> Courtesy | None:
    """Return the reminder before a day: none on the day it was agreed or earlier, and none after the day itself."""
    wanted = None if row.terms is None else row.terms.reminder
    if wanted is None or when.today > due_on:
        return None
    on = due_on - timedelta(days=wanted.days_before)
    if on <= local_date(row.starts_at or row.agreed_at, when.zone):
        return None
    return Courtesy(
        from_at=start_of_day(on, when.zone),
        until=_day_after(due_on, when.zone),
        channels=wanted.channels,
        template=wanted.template,
        between=wanted.between,
    )


def _end(row: PlanRow, stands: Stands, ended_on: date, when: Moment) -> PlanEnd:
    """Return the end: what failed had its last chance on the day before, what was kept rests until the day is over."""
    failed = stands.standing in FAILED
    at = start_of_day(ended_on, when.zone) if failed else _day_after(ended_on, when.zone)
    resume = row.terms.resume if failed and row.terms is not None else "strategy"
    return PlanEnd(key=row.key, standing=stands.standing, at=at, resume=resume)


def _re_aged_on(row: PlanRow, stands: Stands, when: Moment) -> date | None:
    if row.effect is not DpdEffect.RE_AGE or row.terms is None:
        return row.re_aged_on
    needed = row.terms.re_age.after_lines
    if needed == 0:
        return local_date(row.starts_at or row.agreed_at, when.zone)
    if needed > len(stands.lines):
        return stands.ended_on if stands.standing in FULFILLED else None
    return stands.lines[needed - 1].paid_on


def _frozen_on(row: PlanRow, when: Moment) -> date | None:
    if row.effect is not DpdEffect.FREEZE:
        return None
    return local_date(row.starts_at or row.agreed_at, when.zone)


def _later(one: date | None, other: date | None) -> date | None:
    return max((day for day in (one, other) if day is not None), default=None)


def _day_after(day: date, zone: str) -> datetime:
    return start_of_day(day + _DAY, zone)


def _row(values: Sequence[Any], tolerance: int) -> PlanRow:
    key, kind, status, agreed, starts, ended, grace, expires, effect, re_aged, waivers, terms, lines = values
    agreement = Agreement(
        kind=ArrangementKind(kind),
        lines=tuple(Line(no, date.fromisoformat(due_on), amount) for no, due_on, amount in lines),
        grace_days=grace,
        tolerance=tolerance,
        expires_on=_date(expires),
    )
    return PlanRow(
        key=key,
        status=status,
        agreed_at=datetime.fromisoformat(agreed),
        starts_at=_instant(starts),
        ended_at=_instant(ended),
        agreed=agreement,
        effect=DpdEffect(effect),
        re_aged_on=_date(re_aged),
        waivers=waivers,
        terms=PlanPolicy.model_validate(terms) if terms else None,
    )


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
