"""Work for people: who takes which item, on loan, one person at a time.

An item is lent under a number. Whoever comes back with an older number has lost it, whatever they did meanwhile, and is
told so in one line. Before an item is lent the ledger is asked whether there is still something to do; whether a person
may be called at this instant is asked again, for real, when somebody dials (``activities.dialling``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection, Engine

from db.actors import Fitness, read_actor
from db.locks import lock_item
from db.queue import (
    Queued,
    Taker,
    Wanted,
    escalate,
    lend,
    list_items,
    lock_one,
    may_take,
    note,
    open_cases_of,
    pick,
    place_unplaced,
    put_back,
    put_off,
    read_one,
    renew,
    settle_escalation,
    to_escalate,
)
from db.record import append_events
from domain.codes import TaskKind
from domain.dispositions import Catalogue
from domain.roles import SYSTEM, Act, Acting, may, require
from domain.work_policy import WorkPolicy

LOOKS = 25
"""Items that one search for work looks at: those that may not be called yet are put off and cost one look each."""
ESCALATED_AT_ONCE = 20
SPOKEN = frozenset({TaskKind.CALL, TaskKind.VISIT})
"""Kinds of work in which somebody is spoken to, so that the gate is asked. A visit is claimed ahead of its hour."""
LATER = timedelta(minutes=30)
"""When an item is looked at again that nobody may work now and for which no time is known."""


class QueueError(ValueError):
    """An item cannot be had, or is lost. One line: which, why, how to go on."""


class LeaseLostError(QueueError):
    """Somebody works an item that is not theirs any more."""


@dataclass(frozen=True, slots=True)
class Now:
    """The gate would let the person be reached now."""


@dataclass(frozen=True, slots=True)
class NotBefore:
    """The gate would not, and says when it would; ``until`` is ``None`` when it does not know."""

    until: datetime | None
    rule_ids: tuple[str, ...] = ()


class Permit(Protocol):
    """Says whether an item of work may be worked at an instant. Reads only."""

    def __call__(self, connection: Connection, item_key: str, now: datetime) -> Now | NotBefore | None:
        """Return ``None`` when nothing is left to do: paid, closed, or taken back."""
        ...


class Words(Protocol):
    """Finds the words of a call: what to say before somebody is known to be the person, and afterwards."""

    def __call__(self, creditor: str, language: str | None, values: Mapping[str, object]) -> Sequence[str]:
        """Return the words; nothing when a template was refused."""
        ...


@dataclass(frozen=True, slots=True)
class Lent:
    """An item on loan. ``lease_no`` is what every later word about it has to carry."""

    key: str
    kind: TaskKind
    lease_no: int
    lease_until: datetime
    reason: str | None
    priority: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Desk:
    """What the acts of the queue need besides who acts and when: the house's policy and the gate."""

    engine: Engine
    policy: WorkPolicy
    permit: Permit
    catalogue: Catalogue
    """What may come of a call or a visit."""
    words: Words | None = None


def taker_of(connection: Connection, acting: Acting) -> Taker:
    """Return somebody with their skills as registered."""
    held = read_actor(connection, acting.actor)
    return Taker(acting.actor, Fitness() if held is None else held.fit, leads=may(acting.role, Act.REASSIGN))


# --- taking ---------------------------------------------------------------------------------------------------------


def claim_next(desk: Desk, acting: Acting, now: datetime, wanted: Wanted | None = None) -> Lent | None:
    """Lend the next item that fits; ``None`` when there is none that may be worked now."""
    require(acting, Act.CLAIM)
    tend(desk, now)
    for _ in range(LOOKS):
        with desk.engine.begin() as connection:
            item = pick(connection, taker_of(connection, acting), wanted or Wanted(), desk.policy, now)
            if item is None:
                return None
            if _may_be_worked(connection, desk, item, acting, now) is None:
                return _lend(connection, desk, item, acting, now)
    return None


def claim(desk: Desk, acting: Acting, key: str, now: datetime) -> Lent:
    """Lend the item named. QueueError says who has it, or from when it may be worked. One's own loan is renewed."""
    require(acting, Act.CLAIM)
    _place(desk)
    with desk.engine.begin() as connection:
        item = _locked(connection, key)
        if item.status == "claimed" and item.claimed_by == acting.actor:
            renew(connection, key, acting.actor, item.lease_no, now + desk.policy.lease.length)
            return _lent(replace(item, lease_until=now + desk.policy.lease.length))
        _must_be_free(item, now)
        if not may_take(connection, key, taker_of(connection, acting)):
            raise QueueError(f"{key}: is not for {acting.actor}: {_why_not(item, acting)}")
        refusal = _may_be_worked(connection, desk, item, acting, now)
        if refusal is None:
            return _lend(connection, desk, item, acting, now)
    raise QueueError(f"{key}: {refusal}")


def renew_lease(desk: Desk, acting: Acting, key: str, lease_no: int, now: datetime) -> datetime:
    """Prolong a loan; return until when. LeaseLostError when somebody else has the item, or nobody."""
    require(acting, Act.WORK)
    until = now + desk.policy.lease.length
    with desk.engine.begin() as connection:
        if not renew(connection, key, acting.actor, lease_no, until):
            raise lost(_locked(connection, key), acting, lease_no)
    return until


def release(desk: Desk, acting: Acting, key: str, lease_no: int, now: datetime) -> None:
    """Give an item back: it stands where it stood."""
    require(acting, Act.WORK)
    with desk.engine.begin() as connection:
        item = holds(connection, acting, key, lease_no)
        put_back(connection, key, assigned_to=item.assigned_to)
        note(connection, key, "released", now, acting.actor, lease_no)


# --- supervising ----------------------------------------------------------------------------------------------------


def reassign(desk: Desk, acting: Acting, key: str, to: str | None, now: datetime) -> None:
    """Take an item from whoever has it and give it to somebody, or with ``None`` to whoever comes next."""
    require(acting, Act.REASSIGN)
    _place(desk)
    with desk.engine.begin() as connection:
        lock_item(connection, key)
        item = _locked(connection, key)
        if item.status not in {"open", "claimed"}:
            raise QueueError(f"{key}: {_state(item)}; there is nothing left to give to anybody")
        put_back(connection, key, assigned_to=to)
        settle_escalation(connection, key)
        if to is not None:
            _must_suit(connection, replace(item, assigned_to=None, escalation=None), to)
        note(connection, key, "reassigned", now, acting.actor, item.lease_no, {"to": to, "from": item.claimed_by})
        _record(connection, key, "work_reassigned", now, {"to": to, "from": item.claimed_by, "actor": acting.actor})


def escalate_item(desk: Desk, acting: Acting, key: str, now: datetime) -> None:
    """Hand an item to the supervisors: one's own, or as one of them any."""
    require(acting, Act.WORK)
    _place(desk)
    with desk.engine.begin() as connection:
        lock_item(connection, key)
        item = _locked(connection, key)
        if item.status not in {"open", "claimed"}:
            raise QueueError(f"{key}: {_state(item)}; there is nothing left to escalate")
        if item.claimed_by != acting.actor and not may(acting.role, Act.REASSIGN):
            raise QueueError(f"{key}: is not yours; claim it first, or ask a supervisor")
        _escalate(connection, desk, item, "asked", acting.actor, now)


def tend(desk: Desk, now: datetime, most: int = ESCALATED_AT_ONCE) -> int:
    """Escalate what is late, and what was lent out too often without an end; return how many."""
    _place(desk)
    with desk.engine.connect() as connection:
        keys = to_escalate(connection, desk.policy, now, most)
    return sum(_escalate_if_due(desk, key, now) for key in keys)


def _place(desk: Desk) -> None:
    """Give new items their place, in a transaction of its own: it locks many rows, and who locks one waits for none."""
    with desk.engine.begin() as connection:
        place_unplaced(connection, desk.policy)


def _escalate_if_due(desk: Desk, key: str, now: datetime) -> bool:
    with desk.engine.begin() as connection:
        lock_item(connection, key)
        item = lock_one(connection, key)
        why = None if item is None else item.escalates(desk.policy, now)
        if item is None or why is None:
            return False
        _escalate(connection, desk, item, why, SYSTEM.actor, now)
    return True


def _escalate(connection: Connection, desk: Desk, item: Queued, why: str, actor: str, now: datetime) -> None:
    escalate(connection, item, why, actor, desk.policy, now)
    _record(connection, item.key, "work_escalated", now, {"why": why, "actor": actor})


def queue(
    desk: Desk,
    acting: Acting,
    now: datetime,
    wanted: Wanted | None = None,
    *,
    mine: bool = False,
    everything: bool = False,
    escalated: bool = False,
    limit: int = 50,
) -> list[Queued]:
    """Return the queue in its order: what ``acting`` may take, ``mine`` on loan, or ``everything`` there is."""
    require(acting, Act.SEE)
    tend(desk, now)
    with desk.engine.begin() as connection:
        return list_items(
            connection,
            wanted or Wanted(),
            taker=None if everything or mine else taker_of(connection, acting),
            escalated=escalated,
            claimed_by=acting.actor if mine else None,
            limit=limit,
        )


# --- small things -----------------------------------------------------------------------------------------------------


def holds(connection: Connection, acting: Acting, key: str, lease_no: int) -> Queued:
    """Lock and return an item that ``acting`` has on loan under this number; LeaseLostError otherwise.

    A loan that has run out is still good while nobody has taken the item: no word of who worked it is refused for
    coming late.
    """
    item = _locked(connection, key)
    if item.status != "claimed" or item.claimed_by != acting.actor or item.lease_no != lease_no:
        raise lost(item, acting, lease_no)
    return item


def lost(item: Queued, acting: Acting, lease_no: int) -> LeaseLostError:
    """Return what somebody is told whose loan is over."""
    if item.status == "claimed" and item.claimed_by == acting.actor:
        now_is = f"you have it under lease {item.lease_no}"
    elif item.status == "claimed":
        now_is = "somebody else has it"
    else:
        now_is = _state(item)
    how = "nothing was recorded; what you learned belongs to `signal record_call_outcome`"
    if item.status == "open":
        how = "nothing was recorded; claim it again"
    return LeaseLostError(f"{item.key}: lease {lease_no} is over, {now_is}; {how}")


def _locked(connection: Connection, key: str) -> Queued:
    item = lock_one(connection, key)
    if item is None:
        raise QueueError(f"{key}: there is no such item; `work list --all` shows the open ones")
    return item


def _must_be_free(item: Queued, now: datetime) -> None:
    if item.status == "claimed" and not item.lapsed(now):
        raise QueueError(f"{item.key}: {item.claimed_by} has it until {item.lease_until:%Y-%m-%d %H:%M} UTC")
    if item.status not in {"open", "claimed"}:
        raise QueueError(f"{item.key}: {_state(item)}")
    if item.expires_at is not None and item.expires_at <= now:
        raise QueueError(f"{item.key}: has expired; its case is about to take it back")


def _state(item: Queued) -> str:
    words = {
        "open": "it is back in the queue",
        "claimed": f"{item.claimed_by} has it",
        "reported": f"{item.claimed_by} has finished it ({item.disposition})",
        "done": f"it is done ({item.disposition})",
        "expired": "it was taken back: nobody may work it any more",
        "cancelled": "it was taken back: its case is closed",
    }
    return words[item.status]


def _why_not(item: Queued, acting: Acting) -> str:
    if acting.actor in item.not_for:
        return "it must be handled by somebody who was not involved"
    if item.escalation not in {None, "late"}:
        return "a supervisor has it"
    if item.assigned_to not in {None, acting.actor} and item.escalation is None:
        return f"it was given to {item.assigned_to}"
    demands = [f"skill {item.skill}"] if item.skill else []
    demands += [f"language {item.language}"] if item.language else []
    demands += [f"region {item.region}"] if item.region else []
    demands += [f"licence {one}" for one in item.licences]
    return f"it takes {', '.join(demands)}"


def _must_suit(connection: Connection, item: Queued, to: str) -> None:
    held = read_actor(connection, to)
    if held is None or not held.active:
        raise QueueError(f"{to}: nobody acts under this code; `actor list` shows who does")
    taker = Taker(held.code, held.fit, leads=may(held.role, Act.REASSIGN))
    if not may(held.role, Act.WORK) or not may_take(connection, item.key, taker):
        raise QueueError(f"{item.key}: is not for {to}: {_why_not(item, Acting(to, held.role))}")


def _may_be_worked(connection: Connection, desk: Desk, item: Queued, acting: Acting, now: datetime) -> str | None:
    """Return why an item cannot be worked now, in words, and put it off; ``None`` when it can."""
    if item.kind not in SPOKEN:
        return None
    answer = desk.permit(connection, item.key, now)
    planned = item.kind is TaskKind.VISIT and isinstance(answer, NotBefore) and answer.until is not None
    if isinstance(answer, Now) or planned:
        return None
    until = now + LATER
    if isinstance(answer, NotBefore) and answer.until is not None:
        until = max(answer.until, now + timedelta(seconds=1))
    rules = answer.rule_ids if isinstance(answer, NotBefore) else ("nothing_left",)
    if item.lapsed(now):
        note(connection, item.key, "lapsed", now, str(item.claimed_by), item.lease_no)
        put_back(connection, item.key, assigned_to=item.assigned_to)
    put_off(connection, item.key, until)
    note(connection, item.key, "put_off", now, acting.actor, item.lease_no, {"until": until, "rules": list(rules)})
    if answer is None:
        return "there is nothing left to do: paid, held or closed; its case takes it back"
    if answer.until is None:
        return f"nobody may work it now ({', '.join(rules)})"
    return f"may be worked from {until:%Y-%m-%d %H:%M} UTC ({', '.join(rules)})"


def _lend(connection: Connection, desk: Desk, item: Queued, acting: Acting, now: datetime) -> Lent:
    length = desk.policy.lease.length
    number = lend(connection, item, acting.actor, now, length)
    return _lent(replace(item, lease_no=number, lease_until=now + length))


def _lent(item: Queued) -> Lent:
    if item.lease_until is None:
        raise ValueError(item.key)
    return Lent(item.key, item.kind, item.lease_no, item.lease_until, item.reason, item.priority, item.due_at)


def _record(connection: Connection, key: str, kind: str, now: datetime, body: dict[str, object]) -> None:
    append_events(connection, kind, now, [(case, {"item": key, **body}) for case in open_cases_of(connection, key)])


def show_one(desk: Desk, acting: Acting, key: str) -> Queued:
    """Return how an item stands, without anything about a person."""
    require(acting, Act.SEE)
    with desk.engine.connect() as connection:
        item = read_one(connection, key)
    if item is None:
        raise QueueError(f"{key}: there is no such item; `work list --all` shows the open ones")
    return item
