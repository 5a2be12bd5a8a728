"""Kill switches: a channel, a template or a creditor is switched off, and nothing of it is dispatched until it is on.

They are read inside the transaction that admits an attempt. What was due stays due: attempts that were deferred by a
switch may be taken up again at once when it is on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection

from db.together import Reading

Scope = Literal["channel", "template", "creditor"]
SCOPES: tuple[Scope, ...] = ("channel", "template", "creditor")
SWITCHED_OFF = "core.switched-off"

_OFF = """
SELECT scope, name FROM switches WHERE on_at IS NULL
   AND (scope, name) IN (('channel', %(channel)s), ('template', %(template)s), ('creditor', %(creditor)s))
 ORDER BY scope
"""

_DEFERRED = """
UPDATE attempts t SET not_before = %(at)s
  FROM cases k
 WHERE k.key = t.case_key AND k.status <> 'closed' AND t.status = 'deferred'
   AND %(rule)s = ANY (SELECT unnest(d.rule_ids) FROM decisions d
                        WHERE d.attempt_key = t.key AND d.number = (SELECT max(number) FROM decisions
                                                                     WHERE attempt_key = t.key))
   AND ((%(scope)s = 'channel' AND t.channel = %(name)s)
     OR (%(scope)s = 'template' AND coalesce(t.template, t.step) = %(name)s)
     OR (%(scope)s = 'creditor' AND k.creditor = %(name)s))
RETURNING t.case_key, t.key
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


def release(connection: Connection, scope: Scope, name: str, at: datetime) -> list[tuple[str, str]]:
    """Let everything that was deferred by a switch be taken up at ``at`` (business time); return (case, attempt)."""
    rows = connection.exec_driver_sql(_DEFERRED, {"scope": scope, "name": name, "at": at, "rule": SWITCHED_OFF})
    return [(row.case_key, row.key) for row in rows]


def list_switches(connection: Connection, *, past: bool = False) -> Sequence[Switch]:
    """Return what is off, and with ``past`` what was; the latest first."""
    rows = connection.exec_driver_sql(
        "SELECT scope, name, reason, off_by, off_at, on_by, on_at FROM switches "
        "WHERE on_at IS NULL OR %s ORDER BY on_at IS NOT NULL, off_at DESC, id DESC LIMIT 200",
        (past,),
    )
    return [Switch(*row) for row in rows]
