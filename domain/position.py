"""What is owed on one account on one day: past due, balance, the oldest unpaid due, days past due.

Credits (payments that were not returned, waivers, downward adjustments) are allocated to dues whose day has passed
before any later one, in the creditor's order. Interest and fees are dues of their own day; they are imported, never
computed. The order in which entries arrived never matters.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from domain.codes import EntryKind

AllocationOrder = Literal["oldest_due_first", "component_first"]
_RAISES = frozenset({EntryKind.CHARGE, EntryKind.INTEREST, EntryKind.FEE})


@dataclass(frozen=True, slots=True)
class Due:
    """One instalment, invoice or component of it. ``amount`` in minor units."""

    ref: str
    component: str
    due_on: date
    amount: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One ledger entry. ``amount`` is positive except for an adjustment that lowers the debt."""

    kind: EntryKind
    amount: int
    value_on: date
    received_at: datetime
    external_id: str
    component: str | None = None
    reverses: str | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """In which order credits pay dues."""

    order: AllocationOrder = "oldest_due_first"
    components: tuple[str, ...] = ()

    def key(self, due: Due) -> tuple[object, ...]:
        """Return the place of a due in the order."""
        place = self.components.index(due.component) if due.component in self.components else len(self.components)
        if self.order == "component_first":
            return (place, due.due_on, due.ref, due.component)
        return (due.due_on, place, due.ref, due.component)


@dataclass(frozen=True, slots=True)
class Position:
    """What is owed. Amounts in minor units; a negative balance is money of the debtor's that nothing claims yet."""

    past_due: int
    balance: int
    oldest_due_on: date | None
    dpd: int
    next_due_on: date | None
    """The first unpaid due whose day has not passed."""


def position(
    dues: Iterable[Due],
    entries: Sequence[Entry],
    *,
    today: date,
    known_by: datetime | None = None,
    allocation: Allocation | None = None,
    tolerance: int = 0,
) -> Position:
    """Return the position at the start of ``today``, the local day.

    An entry counts when its value date has come and, if ``known_by`` is given, when it had been received by then.
    ``tolerance`` is the rest of a due that counts as paid, in minor units.
    """
    order = allocation or Allocation()
    effective = [
        entry for entry in entries if entry.value_on <= today and (known_by is None or entry.received_at <= known_by)
    ]
    reversed_ids = {entry.reverses for entry in effective if entry.kind is EntryKind.REVERSAL}
    owed = [*dues, *_raised(effective)]
    pools = _credits(effective, reversed_ids)
    rests = _allocate(owed, pools, order, today)
    past, future = _by_ref(owed, rests, today)
    open_past = {key: rest for key, rest in past.items() if rest > tolerance}
    past_due = sum(open_past.values())
    if past_due <= tolerance:
        past_due, open_past = 0, {}
    oldest = min((due_on for due_on, _ in open_past), default=None)
    balance = sum(due.amount for due in owed) - sum(pools.values())
    return Position(
        past_due=past_due,
        balance=balance,
        oldest_due_on=oldest,
        dpd=0 if oldest is None else (today - oldest).days,
        next_due_on=min((due_on for (due_on, _), rest in future.items() if rest > tolerance), default=None),
    )


def _raised(entries: Iterable[Entry]) -> list[Due]:
    """Interest, fees, charges and upward adjustments, as dues of their value date."""
    return [
        Due(f"+{entry.external_id}", entry.component or str(entry.kind), entry.value_on, entry.amount)
        for entry in entries
        if entry.kind in _RAISES or (entry.kind is EntryKind.ADJUSTMENT and entry.amount > 0)
    ]


def _credits(entries: Iterable[Entry], reversed_ids: set[str | None]) -> dict[str, int]:
    """Return what lowers the debt, by the component it is meant for ('' for any)."""
    pools: dict[str, int] = {"": 0}
    for entry in entries:
        if entry.kind is EntryKind.PAYMENT and entry.external_id not in reversed_ids:
            pools[""] += entry.amount
        elif entry.kind is EntryKind.WAIVER and entry.external_id not in reversed_ids:
            pools[entry.component or ""] = pools.get(entry.component or "", 0) + entry.amount
        elif entry.kind is EntryKind.ADJUSTMENT and entry.amount < 0:
            pools[""] -= entry.amount
    return pools


def _allocate(owed: Sequence[Due], pools: dict[str, int], order: Allocation, today: date) -> list[int]:
    """Return the unpaid rest of every due. What a waiver's component does not need flows to the others."""
    rests = [due.amount for due in owed]
    places = sorted(range(len(owed)), key=lambda place: (owed[place].due_on >= today, order.key(owed[place])))
    free = pools[""]
    for component, amount in pools.items():
        if component:
            free += _pay(rests, [place for place in places if owed[place].component == component], amount)
    _pay(rests, places, free)
    return rests


def _pay(rests: list[int], places: Iterable[int], amount: int) -> int:
    for place in places:
        paid = min(rests[place], amount)
        rests[place] -= paid
        amount -= paid
    return amount


_ByRef = dict[tuple[date, str], int]


def _by_ref(owed: Sequence[Due], rests: Sequence[int], today: date) -> tuple[_ByRef, _ByRef]:
    """Return the rests of whole instalments, those whose day has passed and the others."""
    past: _ByRef = {}
    future: _ByRef = {}
    for due, rest in zip(owed, rests, strict=True):
        side = past if due.due_on < today else future
        key = (due.due_on, due.ref)
        side[key] = side.get(key, 0) + rest
    return past, future
