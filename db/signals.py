"""What cases must be told of what the ledger knows already: queued with the change, delivered later, never lost.

The caller of ``tell`` is in the transaction that changed the ledger. Whoever delivers may die between sending and
settling: a case takes the same event id once, so it may be told again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

LONGEST_WAIT = timedelta(minutes=5)
HOPELESS_AFTER = 8
"""Tries after which operations are told; it is tried on all the same."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One message to one case that has to be delivered."""

    id: int
    case_key: str
    name: str
    body: Mapping[str, Any]
    tries: int


def tell(
    connection: Connection,
    case_keys: Sequence[str],
    name: str,
    body: Mapping[str, object],
    at: datetime,
    *,
    logical: bool,
) -> None:
    """Queue a message to cases that are open, each once by its event id. ``at``: when it happened, business time.

    On a logical clock the cases count as busy from here on, so that time does not pass over what they have to hear.
    """
    if not case_keys:
        return
    connection.exec_driver_sql(
        "INSERT INTO signals (case_key, name, event_id, body, created_at) "
        "SELECT k.key, %(name)s, %(event)s, %(body)s::jsonb, %(at)s FROM cases k "
        "WHERE k.key = ANY(%(cases)s) AND k.status <> 'closed' ON CONFLICT (case_key, event_id) DO NOTHING",
        {
            "name": name,
            "event": body["event_id"],
            "body": json.dumps({**body, "at": at.isoformat()}),
            "at": at,
            "cases": list(case_keys),
        },
    )
    if logical:
        connection.exec_driver_sql(
            "UPDATE cases SET due_at = least(due_at, %s) WHERE key = ANY(%s) AND status = 'open'",
            (at, sorted(case_keys)),
        )


def due(connection: Connection, now: datetime, most: int) -> list[Signal]:
    """Return the oldest messages that may be delivered now."""
    rows = connection.exec_driver_sql(
        "SELECT id, case_key, name, body, tries FROM signals WHERE status = 'waiting' "
        "AND (not_before IS NULL OR not_before <= %s) ORDER BY id LIMIT %s",
        (now, most),
    )
    return [Signal(*row) for row in rows]


def delivered(connection: Connection, ids: Sequence[int], at: datetime) -> None:
    """Settle messages that Temporal has taken."""
    connection.exec_driver_sql(
        "UPDATE signals SET status = 'delivered', settled_at = %s WHERE id = ANY(%s) AND status = 'waiting'",
        (at, list(ids)),
    )


def nobody_there(connection: Connection, signal: Signal, at: datetime) -> bool:
    """Settle a message whose case has no workflow: final if the episode is closed, else later. True when final.

    An open case without a workflow is about to be started, or to be started again by the opener.
    """
    closed = connection.exec_driver_sql(
        "UPDATE signals s SET status = 'final', settled_at = %s FROM cases k "
        "WHERE s.id = %s AND k.key = s.case_key AND k.status = 'closed' RETURNING s.id",
        (at, signal.id),
    ).one_or_none()
    if closed is None:
        put_off(connection, signal, at)
    return closed is not None


def put_off(connection: Connection, signal: Signal, at: datetime) -> None:
    """Let a message wait: twice as long each time."""
    wait = min(LONGEST_WAIT, timedelta(seconds=2 ** min(signal.tries, 9)))
    connection.exec_driver_sql(
        "UPDATE signals SET tries = tries + 1, not_before = %s WHERE id = %s AND status = 'waiting'",
        (at + wait, signal.id),
    )
