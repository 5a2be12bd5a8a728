"""Takes in what a person texted or wrote back: kept as it came, read, and recorded before anybody is told.

The ledger comes first: a refusal is in force when ``take_in_reply`` returns, before any case has heard of it. The words
stay in the inbox; the event that follows names them and does not repeat them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, Engine

from db.locks import lock_persons
from db.state_events import concern_of, record_state_event
from domain.keywords import LastTemplate, Reading, read_text
from domain.state_events import StateKind, Told

_CONTEXT = """
SELECT n.key AS point, n.party_key AS party, a.key AS account, a.creditor, a.collector, a.currency,
       d.key AS debtor, k.key AS "case", coalesce(p.timezone, c.timezone, 'UTC') AS zone
  FROM contact_points n
  JOIN account_parties ap ON ap.party_key = n.party_key
  JOIN accounts a ON a.key = ap.account_key
  JOIN creditors c ON c.code = a.creditor
  JOIN debtors d ON d.key = a.debtor_key
  JOIN parties p ON p.key = d.party_key
  LEFT JOIN LATERAL (SELECT max(t.admitted_at) AS at FROM attempts t JOIN attempt_accounts x ON x.attempt_key = t.key
       WHERE t.contact_point_key = n.key AND x.account_key = a.key) last ON true
  LEFT JOIN cases k ON k.account_key = a.key AND k.status <> 'closed'
 WHERE n.kind = %(kind)s AND n.value = %(value)s
 ORDER BY last.at DESC NULLS LAST, k.key IS NULL, a.key LIMIT 1
"""
"""Whose reply it most likely is: of all who have the number, whom we contacted there last."""

TELLS: dict[Reading, StateKind] = {
    Reading.STOP: StateKind.OPT_OUT,
    Reading.START: StateKind.OPT_IN,
    Reading.UNCLEAR: StateKind.UNCLEAR_REPLY,
    Reading.NOT_ME: StateKind.UNCLEAR_REPLY,
}
"""Readings that are state events; a person confirms that a number is somebody else's before it is given up."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came in. ``source`` and ``external_id`` name it once for ever; ``value`` is where it came from."""

    source: str
    external_id: str
    kind: Literal["phone", "email"]
    value: str
    text: str
    at: datetime
    last: LastTemplate | None = None
    sure: Reading | None = None
    """What the carrier itself has taken it for: it blocks the number on a STOP, whatever we read."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose reply it most likely is. ``case_key`` is ``None`` when no case of theirs is open."""

    point_key: str
    party_key: str
    account_key: str
    creditor: str
    collector: str
    currency: str
    debtor_key: str
    case_key: str | None
    zone: str


@dataclass(frozen=True, slots=True)
class Taken:
    """How a reply was read, the event it became if any, and the open cases that must read the ledger again."""

    reading: Reading
    event: str | None = None
    cases: tuple[str, ...] = ()


def take_in_reply(engine: Engine, reply: Reply) -> Taken:
    """Keep a reply and do what it demands, once, under the locks of everybody concerned."""
    reading = reply.sure or read_text(reply.text, reply.last)
    with engine.connect() as connection:
        sender = sender_of(connection, reply.kind, reply.value)
        told = None if sender is None else _told(reply, reading, sender)
        concern = None if told is None else concern_of(connection, told)
    with engine.begin() as connection:
        if concern is not None:
            lock_persons(connection, concern.accounts, concern.points)
        _keep(connection, reply)
        if told is None or sender is None:
            return Taken(reading)
        recorded = record_state_event(connection, told, zone=sender.zone)
    return Taken(reading, recorded.key, recorded.cases if told.moves_the_ladder else ())


def sender_of(connection: Connection, kind: str, value: str) -> Sender | None:
    """Return who most likely wrote from a number or address; ``None`` when nobody we know has it."""
    row = connection.exec_driver_sql(_CONTEXT, {"kind": kind, "value": value}).one_or_none()
    return None if row is None else Sender(*row)


def _told(reply: Reply, reading: Reading, sender: Sender) -> Told | None:
    kind = TELLS.get(reading)
    if kind is None:
        return None
    return Told(
        kind=kind,
        event_id=f"{reply.source}/{reply.external_id}",
        at=reply.at,
        account_key=sender.account_key,
        source=reply.source,
        contact_point_key=sender.point_key,
        note_ref=f"inbox/{reply.source}/{reply.external_id}",
        detail={"reading": str(reading), "form": "sms" if reply.kind == "phone" else "email"},
    )


def _keep(connection: Connection, reply: Reply) -> None:
    connection.exec_driver_sql(
        "INSERT INTO inbox (source, external_id, name, body, received_at, status) "
        "VALUES (%s, %s, 'reply', %s, %s, 'applied') ON CONFLICT (source, external_id) DO NOTHING",
        (reply.source, reply.external_id, reply.text.replace("\x00", ""), reply.at),
    )
