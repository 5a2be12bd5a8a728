"""Reads the state events that stand at an instant, for the gate and for whoever explains a case.

To be called in the transaction that decides, after its locks. An event stands from its instant until it ends, by
itself or by another event; a cease binds the collector it was told to.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from db.together import Reading, Rows
from domain.state_events import StateKind, StateScope
from domain.state_facts import Standing

_ACTIVE = """
SELECT s.key, s.kind, s.scope, s.debtor_key, s.party_key, s.account_key, s.contact_point_key, s.channel, s.creditor,
       s.collector, s.from_at, s.until_at, s.detail, s.event_id, s.source,
       (SELECT n.kind FROM contact_points n WHERE n.key = s.contact_point_key) AS point_kind,
       CASE WHEN s.scope = 'number' THEN (SELECT o.party_key FROM contact_points n
            JOIN contact_points o ON o.kind = n.kind AND o.value = n.value WHERE n.key = s.contact_point_key
            ORDER BY o.key = ANY(%(points)s) DESC, o.key LIMIT 1) END AS owner,
       CASE WHEN s.contact_point_key IS NOT NULL THEN
            (SELECT array_agg(o.key ORDER BY array_position(%(points)s::text[], o.key)) FROM contact_points n
               JOIN contact_points o ON o.kind = n.kind AND o.value = n.value AND o.key = ANY(%(points)s)
              WHERE n.key = s.contact_point_key) END AS covers
  FROM state_events s
 WHERE s.from_at <= %(reach)s AND (s.until_at IS NULL OR s.until_at > %(now)s)
   AND (s.ended_at IS NULL OR s.ended_at > %(now)s) AND s.ends = '{}' AND s.ends_event IS NULL
   AND ((s.scope = 'account' AND s.account_key = ANY(%(accounts)s))
     OR (s.scope = 'debtor' AND s.debtor_key = ANY(SELECT a.debtor_key FROM accounts a WHERE a.key = ANY(%(accounts)s)))
     OR (s.scope IN ('debtor', 'person', 'channel') AND s.party_key = ANY(%(parties)s))
     OR (s.scope = 'number' AND s.contact_point_key IN (
          SELECT o.key FROM contact_points n JOIN contact_points o ON o.kind = n.kind AND o.value = n.value
           WHERE n.key = ANY(%(points)s))))
   AND (s.kind <> 'cease_communication' OR s.collector IN (
          SELECT a.collector FROM accounts a WHERE a.key = ANY(%(accounts)s)))
 ORDER BY s.from_at, s.key
"""


def read_active(
    connection: Connection,
    *,
    account_keys: Sequence[str],
    party_keys: Sequence[str],
    point_keys: Sequence[str],
    now: datetime,
    reach: datetime | None = None,
) -> tuple[Standing, ...]:
    """Return the events that stand at ``now`` over these accounts, persons or contact points, oldest first.

    ``reach``: until when a beginning counts as past (``db.facts.reach_of``), by default ``now``.
    """
    values = {
        "accounts": list(account_keys),
        "parties": list(party_keys),
        "points": list(point_keys),
        "now": now,
        "reach": reach or now,
    }
    return ACTIVE.read(connection, values)


def _standing(rows: Rows) -> tuple[Standing, ...]:
    return tuple(
        Standing(
            key=row["key"],
            kind=StateKind(row["kind"]),
            scope=StateScope(row["scope"]),
            debtor_key=row["debtor_key"],
            party_key=row["party_key"] or row["owner"],
            account_key=row["account_key"],
            contact_point_key=row["contact_point_key"],
            channel=row["channel"],
            creditor=row["creditor"],
            collector=row["collector"],
            from_at=datetime.fromisoformat(row["from_at"]),
            until_at=None if row["until_at"] is None else datetime.fromisoformat(row["until_at"]),
            detail=row["detail"],
            event_id=row["event_id"],
            source=row["source"],
            point_kind=row["point_kind"],
            points=tuple(row["covers"] or ()),
        )
        for row in rows
    )


ACTIVE = Reading(_ACTIVE, _standing)
"""The events that stand; ``read_active`` names its parameters."""
