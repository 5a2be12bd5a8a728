"""The queue of work items: where each stands, who has it on loan, and what became of the loan.

A claim locks the row of one item and nothing else (``FOR UPDATE SKIP LOCKED``), so it waits for nobody and nobody waits
in a circle with it. Every claim has a number of its own; whoever comes with an older one has lost the item. Instants are
business time, given by the caller.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from db.actors import Fitness
from domain.codes import TaskKind
from domain.work_policy import WorkPolicy, placement

MOST_PLACED = 500
"""Items that one look gives a place; what is left waits for the next look, a moment later."""


@dataclass(frozen=True, slots=True)
class Taker:
    """Who looks for work. ``leads``: may take what was escalated or given to somebody else, and of every skill.

    What was given to them, or to a team (a skill) of theirs, is theirs first, and only theirs until it is late.

    With no language listed somebody speaks all that the house speaks, and with no region works in all of them: a small
    house need not write lists. A licence or a skill that an item demands is never taken for granted.
    """

    actor: str
    fit: Fitness = field(default_factory=Fitness)
    leads: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items are asked for; nothing said, all. ``area`` is a region such as ``US`` or ``US-NY``, or a locality."""

    kinds: tuple[TaskKind, ...] = ()
    skill: str | None = None
    area: str | None = None
    due_before: datetime | None = None
    at_least: int | None = None
    """Points of priority."""


@dataclass(frozen=True, slots=True)
class Queued:
    """One item as it stands in the queue. No personal data."""

    key: str
    kind: TaskKind
    status: str
    reason: str | None
    skill: str | None
    priority: int
    due_at: datetime
    late_at: datetime | None
    not_before: datetime | None
    expires_at: datetime | None
    claimed_by: str | None
    lease_until: datetime | None
    lease_no: int
    lapses: int
    assigned_to: str | None
    escalation: str | None
    escalated_at: datetime | None
    not_for: tuple[str, ...]
    creditor: str
    collector: str
    party_key: str | None
    language: str | None
    region: str | None
    licences: tuple[str, ...]
    disposition: str | None

    def lapsed(self, now: datetime) -> bool:
        """Whether the loan has run out."""
        return self.status == "claimed" and self.lease_until is not None and self.lease_until <= now

    def escalates(self, policy: WorkPolicy, now: datetime) -> str | None:
        """Return why a supervisor must be told now; ``None`` when they need not, or were."""
        if self.lapsed(now) and self.lapses + 1 >= policy.lease.lapses:
            return "lapsed"
        waits = self.status in {"open", "claimed"} and self.escalated_at is None
        return "late" if waits and self.late_at is not None and self.late_at <= now else None


_COLUMNS = """
w.key, w.kind, w.status, w.reason, w.skill, w.priority, coalesce(w.due_at, w.created_at) AS due_at, w.late_at,
w.not_before, w.expires_at, w.claimed_by, w.lease_until, w.lease_no, w.lapses, w.assigned_to, w.escalation, w.escalated_at,
w.not_for, w.creditor, w.collector, w.party_key, coalesce(p.language, c.language) AS language,
coalesce(p.region, c.region) AS region, coalesce(c.licences, '{}') AS licences, w.disposition
"""
_FROM = "FROM work_items w LEFT JOIN parties p ON p.key = w.party_key LEFT JOIN creditors c ON c.code = w.creditor"
_WANTED = """
(%(kinds)s::text[] IS NULL OR w.kind = ANY(%(kinds)s)) AND (%(skill)s::text IS NULL OR w.skill = %(skill)s)
AND (%(area)s::text IS NULL OR coalesce(p.region, c.region) = %(area)s OR p.locality = %(area)s
     OR starts_with(coalesce(p.region, c.region), %(area)s || '-'))
AND (%(due_before)s::timestamptz IS NULL OR coalesce(w.due_at, w.created_at) < %(due_before)s)
AND (%(at_least)s::int IS NULL OR w.priority >= %(at_least)s)
"""
_MAY_TAKE = """
%(actor)s <> ALL (w.not_for)
AND (w.assigned_to IS NULL OR w.assigned_to = ANY(%(names)s) OR w.escalation = 'late' OR %(leads)s)
AND (%(leads)s OR w.escalation IS NULL OR w.escalation = 'late')
AND (w.skill IS NULL OR %(leads)s OR w.skill = ANY(%(skills)s::text[]))
AND (w.kind = 'data_repair' OR w.kind = 'legal' OR %(languages)s::text[] IS NULL OR coalesce(p.language, c.language) IS NULL
     OR lower(split_part(coalesce(p.language, c.language), '-', 1)) = ANY(%(languages)s))
AND (w.kind = 'data_repair' OR %(regions)s::text[] IS NULL OR coalesce(p.region, c.region) IS NULL
     OR EXISTS (SELECT 1 FROM unnest(%(regions)s::text[]) r
                 WHERE coalesce(p.region, c.region) = r OR starts_with(coalesce(p.region, c.region), r || '-')))
AND (w.kind = 'data_repair' OR coalesce(c.licences, '{}') <@ %(licences)s::text[])
"""
_FREE = """
(w.status = 'open' OR (w.status = 'claimed' AND w.lease_until <= %(now)s AND w.lapses + 1 < %(lapses)s))
AND coalesce(w.due_at, w.created_at) <= %(now)s
AND (w.not_before IS NULL OR w.not_before <= %(now)s) AND (w.expires_at IS NULL OR w.expires_at > %(now)s)
"""
_PICK = f"""
SELECT {_COLUMNS} {_FROM}
 WHERE w.status IN ('open', 'claimed') AND w.rank_at IS NOT NULL AND {_FREE} AND {_MAY_TAKE} AND {_WANTED}
"""


def place_unplaced(connection: Connection, policy: WorkPolicy, most: int = MOST_PLACED) -> int:
    """Give new items their priority, their place and their time; return how many. Never waits for anybody."""
    rows = connection.exec_driver_sql(
        "SELECT key, kind, reason, priority, coalesce(due_at, created_at) AS due_at FROM work_items "
        "WHERE rank_at IS NULL AND status IN ('open', 'claimed') ORDER BY key LIMIT %s FOR UPDATE SKIP LOCKED",
        (most,),
    ).all()
    if not rows:
        return 0
    placed = [placement(policy, TaskKind(row.kind), row.reason, row.priority, row.due_at) for row in rows]
    connection.exec_driver_sql(
        "UPDATE work_items w SET priority = n.priority, rank_at = n.rank_at, late_at = n.late_at "
        "FROM unnest(%s::text[], %s::int[], %s::timestamptz[], %s::timestamptz[]) AS n(key, priority, rank_at, late_at) "
        "WHERE w.key = n.key",
        (
            [row.key for row in rows],
            [one.priority for one in placed],
            [one.rank_at for one in placed],
            [one.late_at for one in placed],
        ),
    )
    return len(rows)


def pick(connection: Connection, taker: Taker, wanted: Wanted, policy: WorkPolicy, now: datetime) -> Queued | None:
    """Lock and return the first item that ``taker`` may take now: what was given to them by name, then by rank."""
    values = {**_of_taker(taker), **_of_wanted(wanted), "now": now, "lapses": policy.lease.lapses}
    for mine in ("w.assigned_to = ANY(%(names)s)", "(w.assigned_to IS NULL OR w.assigned_to <> ALL (%(names)s))"):
        row = connection.exec_driver_sql(
            f"{_PICK} AND {mine} ORDER BY w.rank_at, w.key LIMIT 1 FOR UPDATE OF w SKIP LOCKED", values
        ).one_or_none()
        if row is not None:
            return _queued(row)
    return None


def lock_one(connection: Connection, key: str) -> Queued | None:
    """Lock and return an item, whoever has it; waits for who is just changing it."""
    connection.exec_driver_sql("SELECT 1 FROM work_items WHERE key = %s FOR UPDATE", (key,))
    return read_one(connection, key)


def read_one(connection: Connection, key: str) -> Queued | None:
    """Return an item as it stands."""
    row = connection.exec_driver_sql(f"SELECT {_COLUMNS} {_FROM} WHERE w.key = %s", (key,)).one_or_none()
    return None if row is None else _queued(row)


def may_take(connection: Connection, key: str, taker: Taker) -> bool:
    """Whether an item is for somebody, leaving aside whether it is free."""
    found = connection.exec_driver_sql(
        f"SELECT {_MAY_TAKE} {_FROM} WHERE w.key = %(key)s", {**_of_taker(taker), "key": key}
    )
    return bool(found.scalar_one())


def list_items(
    connection: Connection,
    wanted: Wanted,
    *,
    taker: Taker | None = None,
    statuses: Sequence[str] = ("open", "claimed"),
    escalated: bool = False,
    claimed_by: str | None = None,
    limit: int = 50,
) -> list[Queued]:
    """Return items in the order of the queue; of a ``taker``, those they may take at some time."""
    values = {
        **_of_wanted(wanted),
        **_of_taker(taker or Taker("", leads=True)),
        "statuses": list(statuses),
        "by": claimed_by,
        "n": limit,
    }
    mine = "true" if taker is None else f"({_MAY_TAKE})"
    rows = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} {_FROM} WHERE w.status = ANY(%(statuses)s) AND {_WANTED} AND {mine} "
        "AND (%(by)s::text IS NULL OR w.claimed_by = %(by)s) "
        f"{'AND w.escalation IS NOT NULL ' if escalated else ''}ORDER BY w.rank_at NULLS LAST, w.key LIMIT %(n)s",
        values,
    )
    return [_queued(row) for row in rows]


# --- loans ----------------------------------------------------------------------------------------------------------


def lend(connection: Connection, item: Queued, actor: str, now: datetime, length: timedelta) -> int:
    """Lend a locked item; return the number of the loan. A loan that had run out is noted as lapsed."""
    lapsed = item.lapsed(now)
    if lapsed:
        note(connection, item.key, "lapsed", now, str(item.claimed_by), item.lease_no)
    number = int(
        connection.exec_driver_sql(
            "UPDATE work_items SET status = 'claimed', claimed_by = %s, lease_until = %s, lease_no = lease_no + 1, "
            "lapses = lapses + %s WHERE key = %s RETURNING lease_no",
            (actor, now + length, int(lapsed), item.key),
        ).scalar_one()
    )
    note(connection, item.key, "claimed", now, actor, number)
    return number


def renew(connection: Connection, key: str, actor: str, lease_no: int, until: datetime) -> bool:
    """Prolong a loan that nobody has taken over; false when it is lost."""
    found = connection.exec_driver_sql(
        "UPDATE work_items SET lease_until = greatest(lease_until, %s) "
        "WHERE key = %s AND status = 'claimed' AND claimed_by = %s AND lease_no = %s RETURNING key",
        (until, key, actor, lease_no),
    )
    return found.one_or_none() is not None


def put_back(
    connection: Connection, key: str, *, not_before: datetime | None = None, assigned_to: str | None = None
) -> None:
    """Return a locked item to the queue, at its old place; perhaps for one person only."""
    connection.exec_driver_sql(
        "UPDATE work_items SET status = 'open', claimed_by = NULL, lease_until = NULL, assigned_to = %s, "
        "not_before = greatest(not_before, %s) WHERE key = %s",
        (assigned_to, not_before, key),
    )


def put_off(connection: Connection, key: str, until: datetime) -> None:
    """Note that a locked item cannot be worked before an instant."""
    connection.exec_driver_sql("UPDATE work_items SET not_before = %s WHERE key = %s", (until, key))


def report(
    connection: Connection,
    item: Queued,
    actor: str,
    disposition: str,
    outcome: Mapping[str, object],
    now: datetime,
    *,
    done: bool,
) -> None:
    """Keep what came of a locked item: ``done``, or ``reported`` until its case has heard."""
    connection.exec_driver_sql(
        "UPDATE work_items SET status = %s, done_at = %s, disposition = %s, outcome = %s::jsonb, lease_until = NULL "
        "WHERE key = %s",
        ("done" if done else "reported", now, disposition, json.dumps(outcome), item.key),
    )
    note(connection, item.key, "finished", now, actor, item.lease_no, {"disposition": disposition})


# --- escalation -------------------------------------------------------------------------------------------------------


def to_escalate(connection: Connection, policy: WorkPolicy, now: datetime, most: int) -> list[str]:
    """Return items that are late, or whose loans have lapsed too often, and that nobody was told of yet."""
    late = connection.exec_driver_sql(
        "SELECT key FROM work_items WHERE escalated_at IS NULL AND status IN ('open', 'claimed') AND late_at <= %s "
        "ORDER BY late_at LIMIT %s",
        (now, most),
    ).scalars()
    lapsed = connection.exec_driver_sql(
        "SELECT key FROM work_items WHERE status = 'claimed' AND lease_until <= %s AND lapses + 1 >= %s "
        "ORDER BY lease_until LIMIT %s",
        (now, policy.lease.lapses, most),
    ).scalars()
    return list(dict.fromkeys((*lapsed, *late)))[:most]


def escalate(connection: Connection, item: Queued, why: str, actor: str, policy: WorkPolicy, now: datetime) -> None:
    """Move a locked item forward and put it before a supervisor. ``lapsed`` and ``asked`` take it from who has it."""
    points = min(item.priority + policy.escalation_points, 100)
    lapsed = item.lapsed(now)
    if lapsed and why != "late":
        note(connection, item.key, "lapsed", now, str(item.claimed_by), item.lease_no)
    connection.exec_driver_sql(
        "UPDATE work_items SET priority = %s, rank_at = rank_at - %s::interval, escalation = %s, escalated_at = %s "
        "WHERE key = %s",
        (points, policy.head_start(points - item.priority), why, now, item.key),
    )
    if why != "late":
        connection.exec_driver_sql(
            "UPDATE work_items SET status = 'open', claimed_by = NULL, lease_until = NULL, assigned_to = NULL, "
            "lapses = lapses + %s WHERE key = %s",
            (int(lapsed), item.key),
        )
    note(connection, item.key, "escalated", now, actor, item.lease_no, {"why": why})


def settle_escalation(connection: Connection, key: str) -> None:
    """Let everybody take an item again that a supervisor has looked at; its lapses are forgotten."""
    connection.exec_driver_sql("UPDATE work_items SET escalation = NULL, lapses = 0 WHERE key = %s", (key,))


# --- the record -------------------------------------------------------------------------------------------------------


def note(
    connection: Connection,
    key: str,
    kind: str,
    at: datetime,
    actor: str,
    lease_no: int,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Append to the record of an item; codes only."""
    connection.exec_driver_sql(
        "INSERT INTO work_events (item_key, kind, at, actor, lease_no, detail) VALUES (%s, %s, %s, %s, %s, %s::jsonb)",
        (key, kind, at, actor, lease_no, json.dumps(detail or {}, default=str)),
    )


def open_cases_of(connection: Connection, key: str) -> list[str]:
    """Return the cases of an item that are not closed."""
    return list(
        connection.exec_driver_sql(
            "SELECT x.case_key FROM work_item_cases x JOIN cases k ON k.key = x.case_key "
            "WHERE x.item_key = %s AND k.status <> 'closed' ORDER BY x.case_key",
            (key,),
        ).scalars()
    )


def _queued(row: Any) -> Queued:  # noqa: ANN401 - a row
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    values["kind"] = TaskKind(values["kind"])
    return Queued(**{**values, "not_for": tuple(values["not_for"]), "licences": tuple(values["licences"])})


def _of_taker(taker: Taker) -> dict[str, object]:
    return {
        "actor": taker.actor,
        "names": [taker.actor, *taker.fit.skills],
        "leads": taker.leads,
        "languages": [one.partition("-")[0].lower() for one in taker.fit.languages] or None,
        "regions": list(taker.fit.regions) or None,
        "licences": list(taker.fit.licences),
        "skills": list(taker.fit.skills),
    }


def _of_wanted(wanted: Wanted) -> dict[str, object]:
    return {
        "kinds": [str(kind) for kind in wanted.kinds] or None,
        "skill": wanted.skill,
        "area": wanted.area,
        "due_before": wanted.due_before,
        "at_least": wanted.at_least,
    }
