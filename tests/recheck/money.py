"""What was owed at an instant, computed again from dues and entries received by then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from tests.recheck.model import Account, Entry

_RAISE = frozenset({"charge", "interest", "fee"})


@dataclass(frozen=True, slots=True)
class Owed:
    """Past due in minor units, and the day the oldest unpaid part was due."""

    past_due: int
    oldest_on: date | None


@dataclass(slots=True)
class _Part:
    due_on: date
    ref: str
    component: str
    left: int


def owed(account: Account, at: datetime, today: date) -> Owed:
    """Return what was past due at ``at``, ``today`` being the local day: a due is past from the day after it."""
    known = [entry for entry in account.entries if entry.received_at <= at and entry.value_on <= today]
    parts = [_Part(due.due_on, due.ref, due.component, due.amount) for due in account.dues]
    parts += [
        _Part(entry.value_on, f"+{entry.external_id}", entry.component or entry.kind, entry.amount)
        for entry in known
        if entry.kind in _RAISE or (entry.kind == "adjustment" and entry.amount > 0)
    ]
    _pay(_in_order(account, parts, today), known)
    return _past(parts, today, account.tolerance)


def _in_order(account: Account, parts: Sequence[_Part], today: date) -> list[_Part]:
    """Past dues before later ones; among them the creditor's order: oldest first, or by component."""
    ranks = list(account.allocation.get("components", ()))
    by_component = account.allocation.get("order") == "component_first"

    def place(part: _Part) -> tuple[object, ...]:
        rank = ranks.index(part.component) if part.component in ranks else len(ranks)
        first = (rank, part.due_on) if by_component else (part.due_on, rank)
        return (part.due_on >= today, *first, part.ref, part.component)

    return sorted(parts, key=place)


def _pay(parts: Sequence[_Part], known: Sequence[Entry]) -> None:
    returned = {entry.reverses for entry in known if entry.kind == "reversal"}
    free = 0
    for entry in known:
        if entry.kind == "payment" and entry.external_id not in returned:
            free += entry.amount
        elif entry.kind == "adjustment" and entry.amount < 0:
            free -= entry.amount
    waived: dict[str, int] = {}
    for entry in known:
        if entry.kind == "waiver" and entry.external_id not in returned:
            waived[entry.component] = waived.get(entry.component, 0) + entry.amount
    free += waived.pop("", 0)
    for component, amount in waived.items():
        free += _use([part for part in parts if part.component == component], amount)
    _use(parts, free)


def _use(parts: Sequence[_Part], amount: int) -> int:
    for part in parts:
        paid = min(part.left, amount)
        part.left -= paid
        amount -= paid
    return amount


def _past(parts: Sequence[_Part], today: date, tolerance: int) -> Owed:
    whole: dict[tuple[date, str], int] = {}
    for part in parts:
        if part.due_on < today:
            whole[part.due_on, part.ref] = whole.get((part.due_on, part.ref), 0) + part.left
    unpaid = {key: left for key, left in whole.items() if left > tolerance}
    total = sum(unpaid.values())
    return Owed(total, min(day for day, _ in unpaid)) if total > tolerance else Owed(0, None)
