"""Attempts whose outcome is unknown, and when each is looked up again: kept in the ledger, so nothing is forgotten.

A look-up is taken by moving its next instant on before the provider is asked, so that several workers share the work
and a process that dies leaves it to the next turn. Instants are of the wall clock: providers know no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from db.record import append_event
from domain.codes import AttemptStatus

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=6)
_DOUBLINGS = 12

_TAKE = """
WITH known AS (
    SELECT * FROM unnest(%(providers)s::text[], %(settled)s::timestamptz[]) AS known(provider, settled)
), mine AS (
    SELECT t.key FROM attempts t LEFT JOIN known p ON p.provider = t.provider
     WHERE t.channel = ANY(%(channels)s) AND coalesce(t.look_up_at, t.engine_admitted_at) <= %(now)s
       AND ((t.status = 'unknown' AND t.engine_admitted_at <= coalesce(p.settled, %(over)s))
         OR (t.status = 'dispatching' AND t.engine_admitted_at <= p.settled - %(abandoned)s::interval))
     ORDER BY coalesce(t.look_up_at, t.engine_admitted_at), t.key LIMIT %(most)s FOR UPDATE OF t SKIP LOCKED
)
UPDATE attempts t SET look_ups = t.look_ups + 1,
       look_up_at = %(now)s + least(%(first)s::interval * (2 ^ least(t.look_ups, %(doublings)s)), %(longest)s::interval)
  FROM mine WHERE t.key = mine.key
RETURNING t.key, t.case_key, t.channel, t.provider, t.status, t.dispatch, t.look_ups, t.engine_admitted_at,
          (SELECT n.value FROM contact_points n WHERE n.key = t.contact_point_key) AS recipient
"""

_NAME_UNKNOWN = """
UPDATE attempts SET status = 'unknown', error_code = %(code)s, recorded_at = %(at)s
 WHERE key = %(key)s AND dispatch = %(dispatch)s AND status = 'dispatching' RETURNING case_key
"""

_END = """
UPDATE attempts SET look_up_at = 'infinity' WHERE key = %s AND status = 'unknown' AND look_up_at < 'infinity'
RETURNING case_key
"""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """An attempt to look up. ``recipient`` is personal data."""

    key: str
    case_key: str
    channel: str
    provider: str
    status: AttemptStatus
    dispatch: int
    look_ups: int
    engine_admitted_at: datetime
    recipient: str


def take_unresolved(
    connection: Connection,
    *,
    now: datetime,
    settled: Mapping[str, datetime],
    channels: Sequence[str],
    abandoned: timedelta,
    over: datetime,
    most: int,
) -> list[Unresolved]:
    """Take attempts to look up now, and move their next look-up on: twice as long each time.

    ``settled``: by provider, the instant before which a dispatch must have begun for nobody to be sending it any more.
    What is still ``dispatching`` is taken when it has been left for ``abandoned`` longer: its own case looks first.
    What went through a provider that is not in use any more is taken when its dispatch began before ``over``.
    """
    rows = connection.exec_driver_sql(
        _TAKE,
        {
            "now": now,
            "providers": list(settled),
            "settled": list(settled.values()),
            "channels": list(channels),
            "abandoned": abandoned,
            "over": over,
            "first": FIRST_WAIT,
            "longest": LONGEST_WAIT,
            "doublings": _DOUBLINGS,
            "most": most,
        },
    )
    return [
        Unresolved(
            key=row.key,
            case_key=row.case_key,
            channel=row.channel,
            provider=row.provider,
            status=AttemptStatus(row.status),
            dispatch=row.dispatch,
            look_ups=row.look_ups,
            engine_admitted_at=row.engine_admitted_at,
            recipient=row.recipient or "",
        )
        for row in rows
    ]


def name_unknown(connection: Connection, one: Unresolved, at: datetime, code: str) -> bool:
    """Name what a process left in flight: nobody is sending it any more, and nothing tells what became of it."""
    row = connection.exec_driver_sql(
        _NAME_UNKNOWN, {"key": one.key, "dispatch": one.dispatch, "at": at, "code": code}
    ).one_or_none()
    if row is not None:
        body = {"attempt": one.key, "status": AttemptStatus.UNKNOWN, "error": code}
        append_event(connection, one.case_key, "recorded", at, body)
    return row is not None


def end_look_ups(connection: Connection, one: Unresolved, at: datetime, code: str) -> bool:
    """Look no more: the attempt stays unknown, and the record says that it was looked for and how often."""
    row = connection.exec_driver_sql(_END, (one.key,)).one_or_none()
    if row is not None:
        body = {"attempt": one.key, "look_ups": one.look_ups, "last": code}
        append_event(connection, one.case_key, "look_ups_ended", at, body)
    return row is not None
