"""The tables of the simulated carrier and its people: an outbox, a count of requests, and what will happen when."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from db.cases import rouse

_SEND = """
WITH r AS (INSERT INTO sandbox_requests (attempt_key, received_at) VALUES (%(attempt)s, %(at)s)),
     o AS (INSERT INTO sandbox_outbox (attempt_key, channel, recipient, subject, body, sent_at)
           VALUES (%(attempt)s, %(channel)s, %(recipient)s, %(subject)s, %(body)s, %(at)s) ON CONFLICT DO NOTHING)
INSERT INTO sandbox_events (external_id, case_key, party_key, kind, at, body)
SELECT e.external_id, e.case_key, e.party_key, e.kind, e.at, e.body
  FROM jsonb_to_recordset(%(events)s::jsonb)
       AS e(external_id text, case_key text, party_key text, kind text, at timestamptz, body jsonb)
ON CONFLICT (external_id) DO NOTHING
"""
_PLAN = _SEND[_SEND.index("INSERT INTO sandbox_events") :]

_DUE = """
SELECT s.id, s.external_id, s.case_key, s.party_key, s.kind, s.at, s.body, s.delivered_at FROM sandbox_events s
 WHERE s.delivered_at IS NULL AND s.at <= %(limit)s
   AND NOT EXISTS (SELECT 1 FROM cases k JOIN debtors d ON d.key = k.debtor_key
                    WHERE d.party_key = s.party_key
                      AND (k.status = 'opening' OR (k.status = 'open' AND k.due_at < s.at)))
   AND NOT EXISTS (SELECT 1 FROM sandbox_events e WHERE e.party_key = s.party_key AND e.delivered_at IS NULL
                      AND (e.at, e.external_id) < (s.at, s.external_id))
 ORDER BY s.at, s.external_id LIMIT %(most)s
"""
_UNTOLD = (
    "SELECT id, external_id, case_key, party_key, kind, at, body, delivered_at FROM sandbox_events "
    "WHERE delivered_at IS NOT NULL AND confirmed_at IS NULL ORDER BY at, external_id"
)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that simulated people or carriers do."""

    id: int
    external_id: str
    case_key: str | None
    party_key: str | None
    kind: str
    at: datetime
    body: Mapping[str, Any]
    delivered_at: datetime | None


def put_in_outbox(connection: Connection, values: Mapping[str, object], events: Iterable[Mapping[str, Any]]) -> None:
    """Take a message: count the request, keep the message once, plan what follows once."""
    connection.exec_driver_sql(_SEND, {**values, "events": json.dumps(list(events))})


def plan(connection: Connection, events: Iterable[Mapping[str, Any]]) -> None:
    """Plan events, each once by its external id."""
    connection.exec_driver_sql(_PLAN, {"events": json.dumps(list(events))})


def due_events(connection: Connection, limit: datetime, most: int = 100) -> list[Event]:
    """Return events that may happen now: in order for each person, and never past a case that is behind."""
    return [Event(*row) for row in connection.exec_driver_sql(_DUE, {"limit": limit, "most": most})]


def untold_events(connection: Connection) -> list[Event]:
    """Return events whose case was not told before a process died."""
    return [Event(*row) for row in connection.exec_driver_sql(_UNTOLD)]


def dialled(connection: Connection, event: Event, contact_point: str) -> Event:
    """Keep where an agent reached the person: the outcome names it, also after a crash."""
    outcome = {**event.body["outcome"], "contact_point": contact_point}
    body = {**event.body, "outcome": outcome}
    connection.exec_driver_sql("UPDATE sandbox_events SET body = %s::jsonb WHERE id = %s", (json.dumps(body), event.id))
    return replace(event, body=body)


def drop(connection: Connection, event: Event, engine_now: datetime) -> None:
    """Give up what was planned for the item of an event: nobody will work it. Its cases are told to look again."""
    rows = connection.exec_driver_sql(
        "UPDATE sandbox_events SET delivered_at = %s, confirmed_at = %s, kind = 'dropped' "
        "WHERE delivered_at IS NULL AND kind = %s AND body ->> 'item' = %s RETURNING case_key, party_key",
        (engine_now, engine_now, event.kind, event.body["item"]),
    ).all()
    for row in rows:
        _nudge(connection, event, row.case_key, row.party_key, engine_now)


def postpone(connection: Connection, event: Event, by: timedelta, engine_now: datetime) -> None:
    """Move what was planned for the item of an event, and all that follows from it. Its cases are told to look again."""
    rows = connection.exec_driver_sql(
        "SELECT id, case_key, party_key, at, body FROM sandbox_events "
        "WHERE delivered_at IS NULL AND kind = %s AND body ->> 'item' = %s",
        (event.kind, event.body["item"]),
    ).all()
    for row in rows:
        connection.exec_driver_sql(
            "UPDATE sandbox_events SET at = %s, body = %s::jsonb WHERE id = %s",
            (row.at + by, json.dumps(_later(row.body, by)), row.id),
        )
        _nudge(connection, event, row.case_key, row.party_key, engine_now)


def _nudge(connection: Connection, event: Event, case_key: str, party_key: str, engine_now: datetime) -> None:
    """Have a case told that what it waited for will not come when it thought."""
    connection.exec_driver_sql(
        "INSERT INTO sandbox_events (external_id, case_key, party_key, kind, at, body, delivered_at) "
        "VALUES (%s, %s, %s, 'nudge', %s, '{}', %s) ON CONFLICT DO NOTHING",
        (f"nudge/{event.external_id}/{event.at.isoformat()}/{case_key}", case_key, party_key, event.at, engine_now),
    )


_INSTANTS, _DAYS = frozenset({"at", "callback_at"}), frozenset({"promised_on", "value_on"})


def _later(value: Any, by: timedelta) -> Any:  # noqa: ANN401 - JSON of any shape
    if isinstance(value, list):
        return [_later(one, by) for one in value]
    if not isinstance(value, dict):
        return value
    moved = {name: _later(one, by) for name, one in value.items()}
    moved |= {name: (datetime.fromisoformat(value[name]) + by).isoformat() for name in _INSTANTS & value.keys()}
    days = timedelta(days=-(-by // timedelta(days=1)))
    return moved | {name: (date.fromisoformat(value[name]) + days).isoformat() for name in _DAYS & value.keys()}


def mark_delivered(connection: Connection, event: Event, engine_now: datetime) -> Sequence[str]:
    """Mark an event delivered, and its case as busy; return the cases that will hear of it through a shared item."""
    connection.exec_driver_sql("UPDATE sandbox_events SET delivered_at = %s WHERE id = %s", (engine_now, event.id))
    plan(connection, event.body.get("then", ()))
    cases = [event.case_key] if event.case_key is not None else []
    if event.kind in {"call", "visit"}:
        rows = connection.exec_driver_sql(
            "UPDATE sandbox_events SET delivered_at = %s, confirmed_at = %s WHERE delivered_at IS NULL AND kind = %s "
            "AND body ->> 'item' = %s RETURNING case_key, body",
            (engine_now, engine_now, event.kind, event.body["item"]),
        ).all()
        for row in rows:
            plan(connection, row.body.get("then", ()))
        cases += [row.case_key for row in rows]
    if cases:
        rouse(connection, cases, event.at)
    return cases


def mark_confirmed(connection: Connection, event: Event, engine_now: datetime) -> None:
    """Say that the case was told."""
    connection.exec_driver_sql("UPDATE sandbox_events SET confirmed_at = %s WHERE id = %s", (engine_now, event.id))


@dataclass(frozen=True, slots=True)
class Standing:
    """How far things are at an instant: cases that still have to act before it, events that have to happen."""

    opening: int
    behind: int
    pending: int


def standing(connection: Connection, at: datetime) -> Standing:
    """Count what is not caught up with ``at``."""
    row = connection.exec_driver_sql(
        "SELECT (SELECT count(*) FROM cases WHERE status = 'opening'), "
        "(SELECT count(*) FROM cases WHERE status = 'open' AND due_at < %(at)s), "
        "(SELECT count(*) FROM sandbox_events WHERE delivered_at IS NULL AND at <= %(at)s)",
        {"at": at},
    ).one()
    return Standing(*row)
