"""The words of running calls, and what people say by pressing keys: kept before the call goes on, then applied.

The facts are read anew for every request of a call: a debt that is paid while it rings is not spoken of, nor one that
must not be spoken of any more. What is asked for has its consequence once a call, however often a request is repeated.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine

from activities.aftermath import Subject, locks_of, subject_of
from activities.providers.identity import Identities
from activities.providers.twiml import CallEvent, CallFacts, Check, CheckKind, Dialogue, Heard, Turn
from activities.replying import Answer, Replier
from db.arrivals import Waiting, claim, refuse
from db.facts import read_facts
from db.ledger import record_receipt
from db.locks import lock_persons
from db.record import append_event
from db.replies import Sender
from db.signals import tell
from db.state_events import concern_of, record_state_event
from db.work import Order, place, settle
from domain.clock import BusinessClock
from domain.codes import AttemptStatus, Channel, Purpose, Reached, TaskKind
from domain.facts import Facts
from domain.money import format_amount
from domain.state_events import StateKind, Told, bars
from web.aside import Aside, at_once
from web.pay_links import PayLinks

NAME = "call_event"
LONGEST_CALL = timedelta(hours=6)
"""After this a call is over, whoever still speaks for it: what was signed once must not open a debt for ever."""
FRESH = timedelta(minutes=15)
"""How old a wish may be to be answered by itself."""
PAY_LINK, PAY_LINK_TEMPLATE = "pay-link", "pay-link"
MOST_PARTIES = 50
_MAY_HAVE_GONE = frozenset({AttemptStatus.SENT, AttemptStatus.UNKNOWN})
HANG_UP = '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>'

_CALL = """
SELECT t.key, k.creditor, k.account_key, k.status AS case_status, t.engine_admitted_at, p.name, p.born_on,
       coalesce(p.language, c.language, 'en') AS language,
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

    def __init__(
        self, engine: Engine, dialogue: Dialogue, identities: Identities, caller_id: str, *, pay_links: bool = False
    ) -> None:
        """``pay_links``: whether links can be made; whether they are offered is for the creditor to say."""
        self._pay_links = pay_links
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
        if row is None or row.case_status == "closed" or _is_over(row.engine_admitted_at):
            return None
        readings = read_facts(connection, row.accounts or [row.account_key], now, logical=logical)
        owed = [one for one in readings.values() if _may_be_spoken_of(one.facts)]
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
            amount=format_amount(sum(one.facts.asked_for for one in owed), owed[0].facts.currency),
            reference=", ".join(one.external_id for one in owed),
            creditor_name=row.creditor_name,
            collector_name=row.collector_name,
            third_party=row.third_party,
            first_communication=row.is_first,
            pay_link=self._pay_links and identity.pay_url is not None,
            agent_number=identity.agent_at(now),
            leave_message=identity.leave_message,
        )


def _is_over(admitted_at: datetime | None) -> bool:
    return admitted_at is not None and datetime.now(UTC) - admitted_at > LONGEST_CALL


def _may_be_spoken_of(facts: Facts) -> bool:
    """Whether a debt may still be spoken of: what was told us while it rang counts."""
    barred = any(bars(kind, Channel.VOICE, Purpose.COLLECT) for kind in facts.stops)
    return facts.past_due > 0 and facts.hold is None and facts.closing is None and not barred


@dataclass(frozen=True, slots=True)
class _Said:
    row: Waiting
    event: CallEvent
    subject: Subject
    at: datetime


class CallEvents:
    """Applies what was said in calls. Without a ``replier`` or ``links`` a person sends the links asked for."""

    def __init__(
        self,
        engine: Engine,
        replier: Replier | None = None,
        identities: Identities | None = None,
        aside: Aside = at_once,
        links: PayLinks | None = None,
    ) -> None:
        self._engine = engine
        self._replier = replier
        self._identities = identities
        self._aside = aside
        self._links = links

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
            told = _told(connection, said)
            accounts, points = locks_of(connection, subject, None)
            for one in told:
                concern = concern_of(connection, one)
                accounts, points = accounts | set(concern.accounts), points | set(concern.points)
        with self._engine.begin() as connection:
            lock_persons(connection, sorted(accounts), sorted(points))
            if row.id not in claim(connection, [row.id]):
                return
            cases = set[str]()
            for one in told:
                recorded = record_state_event(connection, one, zone=subject.zone)
                cases |= set(recorded.cases if one.moves_the_ladder else ())
            item_key = self._write(connection, said, clock)
            signal = {"event_id": f"web/{row.id}", "actor": "debtor"}
            tell(connection, sorted(cases), "ledger_changed", signal, at, logical=clock.is_logical)
        if said.event is CallEvent.PAY_LINK and item_key is not None:
            self._aside(lambda: self._send_link(said, item_key, clock))

    def _send_link(self, said: _Said, item_key: str, clock: BusinessClock) -> None:
        """Send the link, once; then nobody has to. What the gate refuses, or a crash prevents, stays with a person."""
        now = datetime.now(UTC)
        with self._engine.connect() as connection:
            sender = _sender_of(connection, said.subject)
        if self._replier is None or self._links is None or self._identities is None or sender is None:
            return
        pay_url = self._identities.of(sender.creditor).pay_url
        if pay_url is None or now - said.row.at > FRESH:
            return
        answer = Answer(
            number=said.row.id,
            sender=sender,
            template=PAY_LINK_TEMPLATE,
            now=said.at if clock.is_logical else clock.business(now),
            engine_now=now,
            logical=clock.is_logical,
            step=PAY_LINK,
            values={"pay_link": self._links.link(pay_url, said.row.id)},
        )
        if self._replier.answer(answer) in _MAY_HAVE_GONE:
            with self._engine.begin() as connection:
                lock_persons(connection, [said.subject.account_key])
                settle(connection, item_key, "link_sent", {"event_id": f"web/{said.row.id}"}, answer.now)

    @staticmethod
    def _write(connection: Connection, said: _Said, clock: BusinessClock) -> str | None:
        """Write what was said to the record and to the attempt; return the work item that it asks for."""
        key, case_key = said.subject.attempt_key, said.subject.case_key
        append_event(connection, case_key, "call", said.at, {"attempt": key, "event": said.event})
        if said.event is CallEvent.RIGHT_PARTY:
            receipt = record_receipt(connection, key, "answered", said.at, None, None)
            connection.exec_driver_sql(
                "UPDATE attempts SET party_reached = %s, outcome = 'right_party' WHERE key = %s",
                (Reached.RIGHT_PARTY, key),
            )
            if receipt is not None and receipt.news:
                body = {"event_id": f"web/{said.row.id}/answered", "attempt": key, "actor": "carrier"}
                tell(connection, [case_key], "attempt_updated", body, said.at, logical=clock.is_logical)
        reason = _ASKS.get(said.event)
        row = connection.exec_driver_sql(
            "SELECT t.party_key, k.creditor, k.collector, k.status FROM attempts t JOIN cases k ON k.key = t.case_key "
            "WHERE t.key = %s",
            (key,),
        ).one()
        if reason is None or row.status == "closed":
            return None
        placed = place(
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
        return placed.key


_SENDER = """
SELECT t.contact_point_key AS point, t.party_key AS party, a.key AS account, a.creditor, a.collector, a.currency,
       a.debtor_key AS debtor, k.key AS "case", %(zone)s AS zone
  FROM attempts t JOIN cases k ON k.key = t.case_key JOIN accounts a ON a.key = k.account_key
 WHERE t.key = %(attempt)s AND t.contact_point_key IS NOT NULL AND t.party_key IS NOT NULL AND k.status <> 'closed'
"""


def _sender_of(connection: Connection, subject: Subject) -> Sender | None:
    """Return the person called, as somebody who has just told us what they want."""
    row = connection.exec_driver_sql(_SENDER, {"attempt": subject.attempt_key, "zone": subject.zone}).one_or_none()
    return None if row is None else Sender(*row)


def _told(connection: Connection, said: _Said) -> list[Told]:
    """Return the state events that a key pressed tells; no more calls is meant for everybody who has the number."""
    found, point = _TELLS.get(said.event), said.subject.point_key
    if found is None or (found[1] is None and point is None):
        return []
    kind, channel = found
    told = Told(
        kind=kind,
        event_id=f"call/{said.subject.attempt_key}/{said.event}",
        at=said.at,
        account_key=said.subject.account_key,
        source="call",
        contact_point_key=point,
        channel=channel,
        note_ref=said.subject.attempt_key,
        detail={"form": "oral"},
    )
    if channel is None:
        return [told]
    parties = connection.exec_driver_sql(
        "SELECT DISTINCT o.party_key FROM contact_points n "
        "JOIN contact_points o ON o.kind = n.kind AND o.value = n.value "
        "WHERE n.key = %s ORDER BY o.party_key LIMIT %s",
        (point, MOST_PARTIES),
    ).scalars()
    return [replace(told, party_key=party) for party in parties] or [told]
