"""The book of bulk operations: what was confirmed, for which cases, and what became of each.

The scope is written down when it is confirmed; from then on only these cases are touched, whatever else would fit by then.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from db.scopes import ScopedCase
from domain.bulk import BulkAction, BulkOrder, BulkStatus, ItemStatus
from domain.roles import Acting

EVENT = "bulk/"
"""Prefix of the event ids of what a bulk operation does to a case; its key follows."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as it stands. Instants are engine time."""

    key: str
    action: BulkAction
    parameters: Mapping[str, str]
    scope: Mapping[str, Any]
    note: str
    fingerprint: str
    cases: int
    status: BulkStatus
    asked_by: str
    asked_role: str
    asked_at: datetime
    approved_by: str | None
    cancelled_by: str | None
    ended_at: datetime | None

    @property
    def event_id(self) -> str:
        """Return the event id under which each case is told of it."""
        return f"{EVENT}{self.key}"


_OPERATION = (
    "SELECT key, action, parameters, scope, note, fingerprint, cases, status, asked_by, asked_role, asked_at, "
    "approved_by, cancelled_by, ended_at FROM bulk_operations"
)


def _operation(row: Sequence[Any]) -> Operation:
    values = list(row)
    values[1], values[7] = BulkAction(row[1]), BulkStatus(row[7])
    return Operation(*values)


def read_operation(connection: Connection, key: str) -> Operation | None:
    """Return one operation."""
    row = connection.exec_driver_sql(f"{_OPERATION} WHERE key = %s", (key,)).one_or_none()
    return None if row is None else _operation(row)


def by_fingerprint(connection: Connection, fingerprint: str) -> Operation | None:
    """Return the operation that was confirmed with a fingerprint."""
    row = connection.exec_driver_sql(f"{_OPERATION} WHERE fingerprint = %s", (fingerprint,)).one_or_none()
    return None if row is None else _operation(row)


def list_operations(connection: Connection, limit: int) -> list[Operation]:
    """Return the latest operations, the newest first."""
    rows = connection.exec_driver_sql(f"{_OPERATION} ORDER BY key DESC LIMIT %s", (limit,))
    return [_operation(row) for row in rows]


def anybody_called(connection: Connection, name: str) -> bool:
    """Whether somebody active has this code, or this skill: a team is the people who share one."""
    found = connection.exec_driver_sql(
        "SELECT EXISTS (SELECT 1 FROM actors WHERE active AND (code = %s OR %s = ANY (skills)))", (name, name)
    )
    return bool(found.scalar_one())


def confirmed_before(connection: Connection, base: str) -> int:
    """Return how often exactly this act on exactly these cases was confirmed."""
    return int(connection.exec_driver_sql("SELECT count(*) FROM bulk_operations WHERE base = %s", (base,)).scalar_one())


def write_operation(
    connection: Connection,
    order: BulkOrder,
    *,
    base: str,
    fingerprint: str,
    cases: Sequence[ScopedCase],
    status: BulkStatus,
    by: Acting,
    at: datetime,
) -> str | None:
    """Write an operation with all its cases; return its key, or ``None`` if the fingerprint was confirmed already."""
    key: str | None = connection.exec_driver_sql(
        "INSERT INTO bulk_operations (action, parameters, scope, note, base, fingerprint, cases, status, asked_by, "
        "asked_role, asked_at) VALUES (%s, %s::jsonb, %s::jsonb, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (fingerprint) DO NOTHING RETURNING key",
        (
            order.action,
            json.dumps(order.parameters),
            order.scope.canonical,
            order.note,
            base,
            fingerprint,
            len(cases),
            status,
            by.actor,
            by.role,
            at,
        ),
    ).scalar_one_or_none()
    if key is not None:
        connection.exec_driver_sql(
            "INSERT INTO bulk_items (bulk_key, no, case_key, account_key) "
            "SELECT %s, n, c, a FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS one(c, a, n)",
            (key, [one.key for one in cases], [one.account_key for one in cases]),
        )
    return key


# --- running --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """One case of an operation as a page takes it up. ``closed``: its episode is over."""

    no: int
    case_key: str
    account_key: str
    debtor_key: str
    closed: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one case. ``why`` is a code; ``affected`` counts what was changed."""

    no: int
    status: ItemStatus
    why: str | None = None
    affected: int = 0


def next_items(connection: Connection, key: str, after: int, limit: int) -> list[tuple[int, str]]:
    """Return number and account of the next cases that wait, without locking anything."""
    rows = connection.exec_driver_sql(
        "SELECT no, account_key FROM bulk_items WHERE bulk_key = %s AND status = 'pending' AND no > %s ORDER BY no LIMIT %s",
        (key, after, limit),
    )
    return [(row.no, row.account_key) for row in rows]


def count_pending(connection: Connection, key: str) -> int:
    """Return how many cases wait."""
    return int(
        connection.exec_driver_sql(
            "SELECT count(*) FROM bulk_items WHERE bulk_key = %s AND status = 'pending'", (key,)
        ).scalar_one()
    )


def hold_running(connection: Connection, key: str) -> bool:
    """Whether the operation runs; whoever would cancel it waits for this transaction."""
    status = connection.exec_driver_sql("SELECT status FROM bulk_operations WHERE key = %s FOR SHARE", (key,))
    return status.scalar_one_or_none() == BulkStatus.RUNNING


def take_items(connection: Connection, key: str, numbers: Sequence[int]) -> list[Item]:
    """Return those of the cases that still wait. The caller holds the locks of their persons."""
    rows = connection.exec_driver_sql(
        "SELECT i.no, i.case_key, i.account_key, k.debtor_key, k.status = 'closed' FROM bulk_items i "
        "JOIN cases k ON k.key = i.case_key WHERE i.bulk_key = %s AND i.no = ANY(%s) AND i.status = 'pending' "
        "ORDER BY i.no FOR UPDATE OF i",
        (key, list(numbers)),
    )
    return [Item(*row) for row in rows]


def settle_items(connection: Connection, key: str, settled: Sequence[Settled], at: datetime) -> None:
    """Write down what became of cases."""
    connection.exec_driver_sql(
        "UPDATE bulk_items i SET status = n.status, why = n.why, affected = n.affected, settled_at = %s "
        "FROM unnest(%s::int[], %s::text[], %s::text[], %s::bigint[]) AS n(no, status, why, affected) "
        "WHERE i.bulk_key = %s AND i.no = n.no",
        (
            at,
            [one.no for one in settled],
            [str(one.status) for one in settled],
            [one.why for one in settled],
            [one.affected for one in settled],
            key,
        ),
    )


def finish(connection: Connection, key: str, at: datetime) -> bool:
    """Say that an operation is done, if none of its cases waits any more."""
    row = connection.exec_driver_sql(
        "UPDATE bulk_operations o SET status = 'done', ended_at = %s WHERE o.key = %s AND o.status = 'running' "
        "AND NOT EXISTS (SELECT 1 FROM bulk_items i WHERE i.bulk_key = o.key AND i.status = 'pending') RETURNING o.key",
        (at, key),
    ).one_or_none()
    return row is not None


def retry_failed(connection: Connection, key: str) -> int:
    """Put the failed cases of an operation that was not cancelled back in line; return how many."""
    changed = connection.exec_driver_sql(
        "UPDATE bulk_items i SET status = 'pending', why = NULL, settled_at = NULL FROM bulk_operations o "
        "WHERE o.key = %s AND o.status IN ('running', 'done') AND i.bulk_key = o.key AND i.status = 'failed'",
        (key,),
    ).rowcount
    if changed:
        connection.exec_driver_sql(
            "UPDATE bulk_operations SET status = 'running', ended_at = NULL WHERE key = %s", (key,)
        )
    return changed


def cancel(connection: Connection, key: str, by: str, at: datetime) -> bool:
    """Cancel an operation: what it has not done stays undone. False if it was over."""
    row = connection.exec_driver_sql(
        "UPDATE bulk_operations SET status = 'cancelled', cancelled_by = %s, ended_at = %s "
        "WHERE key = %s AND status IN ('waiting', 'running') RETURNING key",
        (by, at, key),
    ).one_or_none()
    if row is not None:
        connection.exec_driver_sql(
            "UPDATE bulk_items SET status = 'cancelled', settled_at = %s WHERE bulk_key = %s AND status = 'pending'",
            (at, key),
        )
    return row is not None


def approve(connection: Connection, key: str, by: str, at: datetime) -> bool:
    """Let an operation that waits for a second person run. False if it does not wait."""
    row = connection.exec_driver_sql(
        "UPDATE bulk_operations SET status = 'running', approved_by = %s, approved_at = %s "
        "WHERE key = %s AND status = 'waiting' RETURNING key",
        (by, at, key),
    ).one_or_none()
    return row is not None


# --- what is known --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an operation is: cases by status in the ledger; signals Temporal took; cases that have acted on them."""

    items: Mapping[str, int]
    told: int
    to_tell: int
    heard: int


def standing(connection: Connection, operation: Operation) -> Standing:
    """Count what became of the cases of an operation."""
    items = connection.exec_driver_sql(
        "SELECT status, count(*) FROM bulk_items WHERE bulk_key = %s GROUP BY 1 ORDER BY 1", (operation.key,)
    )
    signals = connection.exec_driver_sql(
        "SELECT count(*) FILTER (WHERE s.status <> 'waiting'), count(*), count(b.id) FROM bulk_items i "
        "JOIN signals s ON s.case_key = i.case_key AND s.event_id = %(event)s "
        "LEFT JOIN inbox b ON b.source = 'case' AND b.external_id = i.case_key || '#' || %(event)s "
        "WHERE i.bulk_key = %(key)s AND i.status = 'done'",
        {"event": operation.event_id, "key": operation.key},
    ).one()
    return Standing({row[0]: row[1] for row in items}, *signals)


def outcomes(connection: Connection, key: str) -> Sequence[Any]:
    """Return every case of an operation with what became of it, in order."""
    return connection.exec_driver_sql(
        "SELECT i.no, i.case_key, a.external_id AS account, k.creditor, i.status, i.why, i.affected, i.settled_at "
        "FROM bulk_items i JOIN cases k ON k.key = i.case_key JOIN accounts a ON a.key = i.account_key "
        "WHERE i.bulk_key = %s ORDER BY i.no",
        (key,),
    ).all()
