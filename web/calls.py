"""The words of running calls, and what people say by pressing keys: kept before the call goes on, then applied.

The facts are read anew for every request of a call: a debt that is paid while it rings is not spoken of.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from activities.aftermath import Subject, locks_of, subject_of
from activities.providers.identity import Identities
from activities.providers.twiml import CallEvent, CallFacts, Check, CheckKind, Dialogue, Heard, Turn
from db.arrivals import Waiting, claim, refuse
from db.facts import read_facts
from db.ledger import record_receipt
from db.locks import lock_persons
from db.record import append_event
from db.signals import tell
from db.state_events import concern_of, record_state_event
from db.work import Order, place
from domain.clock import BusinessClock
from domain.codes import Reached, TaskKind
from domain.money import format_amount
from domain.state_events import StateKind, Told

NAME = "call_event"
HANG_UP = '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>'

_CALL = """
SELECT t.key, k.creditor, k.account_key, p.name, p.born_on, coalesce(p.language, c.language, 'en') AS language,
       coalesce(nullif(c.name, ''), c.code) AS creditor_name,
       coalesce(nullif(o.name, ''), nullif(k.collector, ''), nullif(c.name, ''), c.code) AS collector_name,
       a.actor = 'third_party_collector' AS third_party,
       (SELECT array_agg(x.account_key ORDER BY x.account_key) FROM attempt_accounts x WHERE x.attempt_key = t.key)
           AS accounts,
       NOT EXISTS (SELECT 1 FROM attempt_accounts x JOIN attempts e ON e.key = x.attempt_key
                    WHERE x.account_key = k.account_key AND e.key <> t.key AND e.admitted_at IS NOT NULL) AS is_first
  FROM attempts t JOIN cases k ON k.key = t.case_key JOIN accounts a ON a.key = k.account_key
  JOIN creditors c ON c.code = k.creditor LEFT JOIN collectors o ON o.code = k.collector
  JOIN parties p ON p.key = t.party_key
 WHERE t.key = %s AND t.channel = 'voice'
"""

_ASKS: Mapping[CallEvent, str] = {
    CallEvent.PAY_LINK: "wants_pay_link",
    CallEvent.CALL_BACK: "wants_call_back",
    CallEvent.AGENT: "spoke_to_agent",
}
_TELLS: Mapping[CallEvent, tuple[StateKind, str | None]] = {
    CallEvent.WRONG_PERSON: (StateKind.WRONG_PARTY, None),
    CallEvent.STOP_CALLING: (StateKind.CHANNEL_OPT_OUT, "voice"),
}


class Calls:
    """What is said next in a call."""

    def __init__(self, engine: Engine, dialogue: Dialogue, identities: Identities, caller_id: str) -> None:
        self._engine = engine
        self._dialogue = dialogue
        self._identities = identities
        self._caller_id = caller_id

    def turn(self, attempt_key: str, heard: Heard, now: datetime, *, logical: bool) -> Turn:
        """Answer one request of a running call. A call that is no longer about anything ends."""
        with self._engine.connect() as connection:
            facts = self._facts(connection, attempt_key, now, logical=logical)
        return Turn(HANG_UP) if facts is None else self._dialogue.turn(attempt_key, facts, heard)

    def _facts(self, connection: Connection, attempt_key: str, now: datetime, *, logical: bool) -> CallFacts | None:
        row = connection.exec_driver_sql(_CALL, (attempt_key,)).one_or_none()
        if row is None:
            return None
        readings = read_facts(connection, row.accounts or [row.account_key], now, logical=logical)
        owed = [one for one in readings.values() if one.facts.past_due > 0]
        if not owed:
            return None
        identity = self._identities.of(row.creditor)
        born = row.born_on if identity.check == "birth_year" else None
        return CallFacts(
            language=row.language,
            caller_name=identity.caller_name,
            contact_person=identity.contact_person,
            call_back_number=identity.call_back_number,
            caller_id=self._caller_id,
            recipient_name=row.name,
            check=None if born is None else Check(CheckKind.BIRTH_YEAR, str(born.year)),
            amount=format_amount(sum(one.facts.past_due for one in owed), owed[0].facts.currency),
            reference=", ".join(one.external_id for one in owed),
            creditor_name=row.creditor_name,
            collector_name=row.collector_name,
            third_party=row.third_party,
            first_communication=row.is_first,
            agent_number=identity.agent_number,
            leave_message=identity.leave_message,
        )


@dataclass(frozen=True, slots=True)
class _Said:
    row: Waiting
    event: CallEvent
    subject: Subject
    at: datetime


class CallEvents:
    """Applies what was said in calls."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def apply(self, row: Waiting, clock: BusinessClock) -> None:
        """Apply one event."""
        body = json.loads(row.body)
        with self._engine.connect() as connection:
            subject = subject_of(connection, body["attempt"])
            if subject is None:
                with self._engine.begin() as own:
                    refuse(own, row.id, "unknown_attempt")
                return
            at = clock.business(row.at)
            if clock.is_logical and subject.admitted_at is not None:
                at = subject.admitted_at
            said = _Said(row, CallEvent(body["event"]), subject, at)
            told = _told(said)
            accounts, points = locks_of(connection, subject, None)
            cases: tuple[str, ...] = ()
            if told is not None:
                concern = concern_of(connection, told)
                accounts, points = accounts | set(concern.accounts), points | set(concern.points)
        with self._engine.begin() as connection:
            lock_persons(connection, sorted(accounts), sorted(points))
            if row.id not in claim(connection, [row.id]):
                return
            if told is not None:
                recorded = record_state_event(connection, told, zone=subject.zone)
                cases = recorded.cases if told.moves_the_ladder else ()
            self._write(connection, said)
            signal = {"event_id": f"web/{row.id}", "actor": "debtor"}
            tell(connection, cases, "ledger_changed", signal, at, logical=clock.is_logical)

    @staticmethod
    def _write(connection: Connection, said: _Said) -> None:
        key, case_key = said.subject.attempt_key, said.subject.case_key
        append_event(connection, case_key, "call", said.at, {"attempt": key, "event": said.event})
        if said.event is CallEvent.RIGHT_PARTY:
            record_receipt(connection, key, "answered", said.at, None, None)
            connection.exec_driver_sql(
                "UPDATE attempts SET party_reached = %s, outcome = 'right_party' WHERE key = %s",
                (Reached.RIGHT_PARTY, key),
            )
        reason = _ASKS.get(said.event)
        row = connection.exec_driver_sql(
            "SELECT t.party_key, k.creditor, k.collector, k.status FROM attempts t JOIN cases k ON k.key = t.case_key "
            "WHERE t.key = %s",
            (key,),
        ).one()
        if reason is not None and row.status != "closed":
            place(
                connection,
                Order(
                    kind=TaskKind.REVIEW,
                    case_key=case_key,
                    step=None,
                    attempt_key=f"call/{key}/{said.event}",
                    party_key=row.party_key,
                    creditor=row.creditor,
                    collector=row.collector,
                    reason=reason,
                    at=said.at,
                    expires_at=None,
                ),
            )


def _told(said: _Said) -> Told | None:
    """Return the state event that a key pressed tells."""
    found = _TELLS.get(said.event)
    if found is None or (found[1] is None and said.subject.point_key is None):
        return None
    kind, channel = found
    return Told(
        kind=kind,
        event_id=f"call/{said.subject.attempt_key}/{said.event}",
        at=said.at,
        account_key=said.subject.account_key,
        source="call",
        contact_point_key=said.subject.point_key,
        channel=channel,
        note_ref=said.subject.attempt_key,
        detail={"form": "oral"},
    )
