"""Kill switches: a channel, a template, a creditor or everything is switched off: nothing is dispatched until it is on.

They are read inside the transaction that admits an attempt. What was due stays due: attempts that were deferred by a
switch may be taken up again at once when it is on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection

from db.together import Reading

Scope = Literal["channel", "template", "creditor", "all"]
SCOPES: tuple[Scope, ...] = ("channel", "template", "creditor")
"""What operations switch by hand. ``all`` is the stop: of everything (``*``) or of everything of one creditor."""
EVERYTHING = "*"
SWITCHED_OFF = "core.switched-off"

_OFF = """
SELECT scope, name FROM switches WHERE on_at IS NULL
   AND (scope, name) IN (('channel', %(channel)s), ('template', %(template)s), ('creditor', %(creditor)s),
                         ('all', '*'), ('all', %(creditor)s))
 ORDER BY scope
"""

_HELD = """
      FROM attempts t JOIN cases k ON k.key = t.case_key
     WHERE k.status <> 'closed' AND t.status = 'deferred'
       AND (t.error_code = %(rule)s
         OR %(rule)s = ANY (SELECT unnest(d.rule_ids) FROM decisions d
                             WHERE d.attempt_key = t.key AND d.number = (SELECT max(number) FROM decisions
                                                                          WHERE attempt_key = t.key)))
       AND ((%(scope)s = 'channel' AND t.channel = %(name)s)
         OR (%(scope)s = 'template' AND coalesce(t.template, t.step) = %(name)s)
         OR (%(scope)s IN ('creditor', 'all') AND k.creditor = %(name)s)
         OR (%(scope)s = 'all' AND %(name)s = '*'))
"""
_DEFERRED = f"""
WITH held AS (
    SELECT t.key, t.channel, row_number() OVER (PARTITION BY t.channel ORDER BY t.due_at, t.key) - 1 AS place {_HELD}
)
UPDATE attempts t
   SET not_before = %(at)s + coalesce(held.place / (%(rates)s::jsonb ->> held.channel)::float8, 0) * interval '1 second'
  FROM held WHERE t.key = held.key RETURNING t.case_key, t.key
"""
_WAITING = f"SELECT k.creditor, t.channel, count(*), min(t.due_at) {_HELD} GROUP BY 1, 2 ORDER BY 1, 2"

_OFF_NOW = """
SELECT EXISTS (
    SELECT 1 FROM attempts t JOIN cases k ON k.key = t.case_key
      JOIN switches s ON s.on_at IS NULL
       AND (s.scope, s.name) IN (('channel', t.channel), ('template', coalesce(t.template, t.step)), ('creditor', k.creditor),
                                ('all', '*'), ('all', k.creditor))
     WHERE t.key = %s)
"""


@dataclass(frozen=True, slots=True)
class Switch:
    """One that is or was off."""

    scope: Scope
    name: str
    reason: str
    off_by: str
    off_at: datetime
    on_by: str | None
    on_at: datetime | None


OFF = Reading(_OFF, lambda rows: tuple(f"{row['scope']}:{row['name']}" for row in rows))
"""What is off of an attempt's channel, template and creditor, as ``scope:name``."""


def switch_off(connection: Connection, scope: Scope, name: str, *, reason: str, by: str, at: datetime) -> bool:
    """Switch something off; false when it was off already."""
    row = connection.exec_driver_sql(
        "INSERT INTO switches (scope, name, reason, off_by, off_at) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT (scope, name) WHERE on_at IS NULL DO NOTHING RETURNING id",
        (scope, name, reason, by, at),
    ).one_or_none()
    return row is not None


def switch_on(connection: Connection, scope: Scope, name: str, *, by: str, at: datetime) -> bool:
    """Switch something on again; false when it was not off."""
    row = connection.exec_driver_sql(
        "UPDATE switches SET on_by = %s, on_at = %s WHERE scope = %s AND name = %s AND on_at IS NULL RETURNING id",
        (by, at, scope, name),
    ).one_or_none()
    return row is not None


def is_off(connection: Connection, attempt_key: str) -> bool:
    """Say whether the channel, the template or the creditor of an attempt is off at this moment."""
    return bool(connection.exec_driver_sql(_OFF_NOW, (attempt_key,)).scalar_one())


def release(
    connection: Connection, scope: Scope, name: str, at: datetime, rates: Mapping[str, float] | None = None
) -> list[tuple[str, str]]:
    """Let everything that was deferred by a switch be taken up from ``at`` on (business time); return (case, attempt).

    ``rates``: contacts a second by channel; one follows the other at that pace, the one that was due first before.
    """
    rows = connection.exec_driver_sql(
        _DEFERRED,
        {"scope": scope, "name": name, "at": at, "rule": SWITCHED_OFF, "rates": json.dumps(dict(rates or {}))},
    )
    return [(row.case_key, row.key) for row in rows]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Attempts that a switch put off, of one creditor and channel. ``oldest``: when the first of them was due."""

    creditor: str
    channel: str
    attempts: int
    oldest: datetime


def waiting(connection: Connection, scope: Scope, name: str) -> list[Waiting]:
    """Return what was deferred by a switch and is taken up when it is on."""
    rows = connection.exec_driver_sql(_WAITING, {"scope": scope, "name": name, "rule": SWITCHED_OFF})
    return [Waiting(*row) for row in rows]


def list_switches(connection: Connection, *, past: bool = False) -> Sequence[Switch]:
    """Return what is off, and with ``past`` what was; the latest first."""
    rows = connection.exec_driver_sql(
        "SELECT scope, name, reason, off_by, off_at, on_by, on_at FROM switches "
        "WHERE on_at IS NULL OR %s ORDER BY on_at IS NOT NULL, off_at DESC, id DESC LIMIT 200",
        (past,),
    )
    return [Switch(*row) for row in rows]
