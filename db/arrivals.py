"""What came in over HTTP: kept as it came before it is acknowledged, then applied to the ledger once.

A row is claimed in the very transaction that applies it, so a process that dies in between leaves it to be applied
again, and two that race apply it once. A row that cannot be applied waits longer each time and never holds up others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

SOURCES = "web/"
"""Prefix of the sources of everything that came over HTTP."""
LONGEST_WAIT = timedelta(minutes=10)

_KEEP = """
INSERT INTO inbox (source, external_id, name, body, received_at, status, refusal)
SELECT n.source, n.external_id, n.name, n.body, n.at, CASE WHEN n.refusal = '' THEN 'received' ELSE 'refused' END,
       nullif(n.refusal, '')
  FROM unnest(%(sources)s::text[], %(ids)s::text[], %(names)s::text[], %(bodies)s::text[], %(ats)s::timestamptz[],
              %(refusals)s::text[]) WITH ORDINALITY AS n(source, external_id, name, body, at, refusal, place)
 ORDER BY n.place
ON CONFLICT (source, external_id) DO NOTHING RETURNING source, external_id
"""

_WAITING = """
SELECT id, source, external_id, name, body, received_at, tries FROM inbox
 WHERE status = 'received' AND source LIKE 'web/%%' AND (not_before IS NULL OR not_before <= %(now)s)
 ORDER BY id LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One thing somebody told us. ``source`` and ``external_id`` name it once for ever; ``refusal``: why it is only kept."""

    source: str
    external_id: str
    name: str
    body: str
    at: datetime
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One that has to be applied. ``at`` is when it reached us, by the wall clock."""

    id: int
    source: str
    external_id: str
    name: str
    body: str
    at: datetime
    tries: int


def keep(connection: Connection, arrivals: Sequence[Arrival]) -> set[tuple[str, str]]:
    """Keep what came, each once; return the names of those that are new."""
    rows = connection.exec_driver_sql(
        _KEEP,
        {
            "sources": [one.source for one in arrivals],
            "ids": [one.external_id for one in arrivals],
            "names": [one.name for one in arrivals],
            "bodies": [one.body for one in arrivals],
            "ats": [one.at for one in arrivals],
            "refusals": [one.refusal for one in arrivals],
        },
    )
    return {(row.source, row.external_id) for row in rows}


def waiting(connection: Connection, now: datetime, most: int) -> list[Waiting]:
    """Return the oldest that may be applied now."""
    return [Waiting(*row) for row in connection.exec_driver_sql(_WAITING, {"now": now, "most": most})]


def is_waiting(connection: Connection, source: str, external_id: str) -> Waiting | None:
    """Return one by its name, if it still has to be applied."""
    row = connection.exec_driver_sql(
        "SELECT id, source, external_id, name, body, received_at, tries FROM inbox "
        "WHERE source = %s AND external_id = %s AND status = 'received'",
        (source, external_id),
    ).one_or_none()
    return None if row is None else Waiting(*row)


def body_of(connection: Connection, source: str, external_id: str) -> str | None:
    """Return what was kept under a name."""
    return connection.exec_driver_sql(
        "SELECT body FROM inbox WHERE source = %s AND external_id = %s", (source, external_id)
    ).scalar_one_or_none()


def claim(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Take rows for this transaction, as applied; those that somebody else has applied meanwhile are left out."""
    rows = connection.exec_driver_sql(
        "UPDATE inbox SET status = 'applied' WHERE id IN (SELECT id FROM inbox WHERE id = ANY(%s) "
        "AND status = 'received' ORDER BY id FOR UPDATE) RETURNING id",
        (list(ids),),
    ).scalars()
    return set(rows)


def refuse(connection: Connection, arrival_id: int, reason: str) -> None:
    """Keep one that means nothing to us, with the reason; codes only."""
    connection.exec_driver_sql(
        "UPDATE inbox SET status = 'refused', refusal = %s WHERE id = %s AND status IN ('received', 'applied')",
        (reason, arrival_id),
    )


def put_off(connection: Connection, arrival: Waiting, now: datetime) -> None:
    """Let one that failed wait: twice as long each time."""
    wait = min(LONGEST_WAIT, timedelta(seconds=2 ** min(arrival.tries, 12)))
    connection.exec_driver_sql(
        "UPDATE inbox SET tries = tries + 1, not_before = %s WHERE id = %s AND status = 'received'",
        (now + wait, arrival.id),
    )
