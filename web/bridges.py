"""Calls of agents: whoever has an item on loan picked up, and is connected with its person, if the gate allows it now.

The item becomes an attempt here, under the locks, and its number is handed to the carrier once: a request that comes
again, or comes late, gets nobody dialled. What the carrier says of the two lines is kept and applied; what was said on
them is for the agent to record, onto the same attempt. A line whose fate is not known leaves the attempt unknown.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine
from twilio.twiml.voice_response import VoiceResponse

from activities.aftermath import Subject, locks_of, subject_of
from activities.dialling import BY_A_PERSON, Dialled, Dialling
from activities.providers.addresses import BRIDGE, BRIDGE_STATUS, address
from activities.providers.identity import Identities
from activities.providers.twiml import bridge
from db.arrivals import Waiting, claim, refuse
from db.ledger import record_duration
from db.locks import lock_persons
from db.queue import read_one
from db.record import append_event
from domain.clock import BusinessClock

NAME = "bridge_event"
LINE = "twilio-bridge"
DIAL_WITHIN = timedelta(seconds=10)
"""How long an admission is good for (promise P4)."""
NOT_NOW = "This call may not be made now. Nobody was dialled."
_PROVEN = {"busy": "busy", "failed": "no_route", "no-answer": "no_answer", "canceled": "canceled"}
_ENDED = frozenset({"completed", *_PROVEN})

_TAKE = """
UPDATE attempts SET provider = %(line)s, provider_id = %(sid)s
 WHERE key = %(key)s AND status = 'dispatching' AND provider = %(person)s AND provider_id IS NULL
   AND engine_admitted_at > %(since)s
RETURNING case_key, (SELECT value FROM contact_points WHERE key = contact_point_key) AS number,
          (SELECT creditor FROM cases WHERE key = case_key) AS creditor
"""


@dataclass(frozen=True, slots=True)
class Picked:
    """An agent has picked up: what their call carried, and the call itself."""

    item_key: str
    actor: str
    lease: str
    call_sid: str


class Bridges:
    """Connects agents who picked up with the person of their item."""

    def __init__(
        self, engine: Engine, dialling: Dialling, identities: Identities, caller_id: str, public_url: str
    ) -> None:
        self._engine = engine
        self._dialling = dialling
        self._identities = identities
        self._caller_id = caller_id
        self._public_url = public_url

    def connect(self, picked: Picked, clock: BusinessClock) -> str:
        """Return the TwiML for an agent on the line: whom to dial, or that nobody may be."""
        if not self._has_it(picked):
            return _nobody()
        answer = self._dialling.admit(
            picked.item_key, lambda: clock.business(datetime.now(UTC)), datetime.now(UTC), logical=clock.is_logical
        )
        if not isinstance(answer, Dialled):
            return _nobody()
        return self._hand_out(picked, answer, clock)

    def _has_it(self, picked: Picked) -> bool:
        with self._engine.connect() as connection:
            item = read_one(connection, picked.item_key)
        return item is not None and (item.status, item.claimed_by, str(item.lease_no)) == (
            "claimed",
            picked.actor,
            picked.lease,
        )

    def _hand_out(self, picked: Picked, dialled: Dialled, clock: BusinessClock) -> str:
        """Give the number to the carrier, once for the attempt and while its admission is good."""
        key, now = dialled.attempt_key, datetime.now(UTC)
        with self._engine.begin() as connection:
            row = connection.exec_driver_sql(
                _TAKE,
                {
                    "line": LINE,
                    "sid": picked.call_sid,
                    "key": key,
                    "person": BY_A_PERSON,
                    "since": now - DIAL_WITHIN,
                },
            ).one_or_none()
            if row is None or not row.number:
                return _nobody()
            body = {"attempt": key, "event": "bridged", "item": picked.item_key, "actor": picked.actor}
            append_event(connection, row.case_key, "call", clock.business(now), body)
        status = address(self._public_url, BRIDGE_STATUS, key)
        return bridge(
            row.number,
            self._caller_id,
            address(self._public_url, BRIDGE, picked.item_key, stage="after", about=key),
            status=status,
            record=self._identities.of(row.creditor).record_calls,
        )


def _nobody() -> str:
    response = VoiceResponse()
    response.say(NOT_NOW)
    response.hangup()
    return str(response)


class BridgeEvents:
    """Applies what the carrier says of bridged lines. Safe to repeat, in any order."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def apply(self, row: Waiting, clock: BusinessClock) -> None:
        """Apply one event."""
        body = json.loads(row.body)
        form: dict[str, str] = body["form"]
        with self._engine.connect() as connection:
            key = body["attempt"] or _bridged_of(connection, body.get("item", ""))
            subject = None if key is None else subject_of(connection, key)
            accounts, points = (set[str](), set[str]()) if subject is None else locks_of(connection, subject, None)
        with self._engine.begin() as connection:
            if subject is None:
                refuse(connection, row.id, "unknown_attempt")
                return
            lock_persons(connection, sorted(accounts), sorted(points))
            if row.id not in claim(connection, [row.id]):
                return
            at = subject.admitted_at if clock.is_logical and subject.admitted_at else clock.business(row.at)
            if body["attempt"]:
                _of_the_person(connection, subject, form, at)
            else:
                _of_the_agent(connection, subject, at)


def _bridged_of(connection: Connection, item_key: str) -> str | None:
    """Return the attempt of an item that was bridged and has no outcome yet."""
    return connection.exec_driver_sql(
        "SELECT key FROM attempts WHERE item_key = %s AND provider = %s AND status = 'dispatching' "
        "ORDER BY key LIMIT 1",
        (item_key, LINE),
    ).scalar_one_or_none()


def _of_the_person(connection: Connection, subject: Subject, form: dict[str, str], at: datetime) -> None:
    """Write what became of the line to the person: how long it lasted, or the carrier's word that nobody took it."""
    key, status = subject.attempt_key, form.get("DialCallStatus") or form.get("CallStatus", "")
    seconds = form.get("DialCallDuration") or form.get("CallDuration", "")
    connection.exec_driver_sql(
        "UPDATE attempts SET status = 'dispatching' WHERE key = %s AND status = 'unknown' AND provider = %s",
        (key, LINE),
    )
    told: dict[str, object] = {"attempt": key, "event": f"line_{status[:20]}"}
    if form.get("RecordingSid"):
        told = {"attempt": key, "event": "recorded", "recording": form["RecordingSid"][:40]}
    elif status in _ENDED and seconds.isascii() and seconds.isdigit() and len(seconds) <= 5:
        record_duration(connection, key, int(seconds))
        told["seconds"] = int(seconds)
    if status in _PROVEN:
        connection.exec_driver_sql(
            "UPDATE attempts SET error_code = coalesce(error_code, %s) WHERE key = %s", (_PROVEN[status], key)
        )
    append_event(connection, subject.case_key, "call", at, told)


def _of_the_agent(connection: Connection, subject: Subject, at: datetime) -> None:
    """Call the attempt unknown when the agent's line has ended and nothing was ever heard of the person's."""
    key = subject.attempt_key
    changed = connection.exec_driver_sql(
        "UPDATE attempts SET status = 'unknown', error_code = 'no_trace' WHERE key = %s AND status = 'dispatching' "
        "AND duration_seconds IS NULL AND error_code IS NULL AND NOT EXISTS (SELECT 1 FROM case_events e "
        "WHERE e.case_key = %s AND e.kind = 'call' AND e.body::jsonb ->> 'attempt' = %s "
        "AND e.body::jsonb ->> 'event' LIKE 'line_%%') RETURNING key",
        (key, subject.case_key, key),
    ).all()
    if changed:
        append_event(connection, subject.case_key, "call", at, {"attempt": key, "event": "line_not_known"})
