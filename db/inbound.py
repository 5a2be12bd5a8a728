"""What came in, written to the ledger: each message once for ever, in the order given.

The caller holds the locks of the persons of every account that a message touches. What a message told the case is
kept with it, so that an activity that is repeated after a crash tells the same story.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection

from db.holds import HoldOrder, place_hold, release_holds
from db.ledger import post_payment, reverse_payment
from db.record import append_event, append_events
from db.work import Item, read_item, settle
from domain.calendar import local_date, start_of_day
from domain.case import CaseState, Happened, Outcome, Reported, Skipped, Worked
from domain.codes import AttemptStatus, Channel, CloseReason, HoldReason, Reached
from domain.messages import (
    AttemptUpdated,
    CloseCase,
    Message,
    Pause,
    PlaceHold,
    Received,
    RecordCallOutcome,
    RecordLegalUpdate,
    RecordPayment,
    RecordVisitOutcome,
    ReleaseHold,
    Resume,
    ReversePayment,
    SkipStep,
    parse_message,
)
from domain.record import canonical

_OUTCOMES: TypeAdapter[list[Outcome]] = TypeAdapter(list[Outcome])
_BAD_POINT = {"wrong_number": "wrong_party", "invalid_number": "invalid", "moved": "invalid"}
_EVENT_OF = {CloseReason.RECALLED: "recall", CloseReason.SOLD: "sale"}
FAN_OUT = "#to/"


@dataclass(slots=True)
class Recorder:
    """Applies messages for one case. ``batch`` names the activity, so that its repetition is recognised."""

    connection: Connection
    state: CaseState
    debtor_key: str
    batch: str
    seq: int

    def record(self, received: Received) -> list[Outcome]:
        """Apply one message once and return what it tells the case."""
        held = self._keep(received)
        if held is not None:
            return held
        if received.refusal is not None:
            return []
        message = parse_message(received.name, received.body)
        outcomes = self._apply(message, received.at)
        self.connection.exec_driver_sql(
            "UPDATE inbox SET status = 'applied', outcomes = %s::jsonb WHERE source = 'case' AND external_id = %s",
            (_OUTCOMES.dump_json(outcomes).decode(), self._inbox_id(received)),
        )
        return outcomes

    def _inbox_id(self, received: Received) -> str:
        return f"{self.state.case_key}#{received.event_id}"

    def _keep(self, received: Received) -> list[Outcome] | None:
        """Persist the message; if it was there, return what it told this very activity before, else nothing."""
        key = self._inbox_id(received)
        body = received.raw if received.refusal is not None else canonical(received.body)
        new = self.connection.exec_driver_sql(
            "INSERT INTO inbox (source, external_id, case_key, name, body, received_at, status, refusal, batch) "
            "VALUES ('case', %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (source, external_id) DO NOTHING RETURNING id",
            (
                key,
                self.state.case_key,
                received.name,
                body or "",
                received.at,
                "received" if received.refusal is None else "refused",
                received.refusal,
                self.batch,
            ),
        ).one_or_none()
        if new is not None:
            return None
        row = self.connection.exec_driver_sql(
            "SELECT batch, outcomes FROM inbox WHERE source = 'case' AND external_id = %s", (key,)
        ).one()
        return _OUTCOMES.validate_python(row.outcomes) if row.batch == self.batch else []

    # --- by kind ------------------------------------------------------------------------------------------------

    def _apply(self, message: Message, at: datetime) -> list[Outcome]:
        for kind, apply in self._doors().items():
            if isinstance(message, kind):
                return apply(message, at)
        return []

    def _doors(self) -> dict[type[Message], Callable[[Any, datetime], list[Outcome]]]:
        return {
            RecordPayment: self._payment,
            ReversePayment: self._reversal,
            RecordCallOutcome: self._work_outcome,
            RecordVisitOutcome: self._work_outcome,
            RecordLegalUpdate: self._legal_update,
            Pause: self._pause,
            Resume: self._resume,
            PlaceHold: self._place_hold,
            ReleaseHold: self._release_hold,
            SkipStep: self._skip_step,
            CloseCase: self._close_case,
            AttemptUpdated: self._attempt_updated,
        }

    def _payment(self, message: RecordPayment, at: datetime) -> list[Outcome]:
        posted = post_payment(
            self.connection,
            account_key=self.state.account_key,
            external_id=message.payment_id,
            amount=message.amount,
            currency=message.currency,
            value_on=message.paid_on or self._day(at),
            received_at=at,
            source="signal",
        )
        if posted.outcome == "suspense":
            self._event("suspense", at, {"payment": message.payment_id, "reason": posted.reason})
        return []

    def _reversal(self, message: ReversePayment, at: datetime) -> list[Outcome]:
        posted = reverse_payment(
            self.connection,
            account_key=self.state.account_key,
            payment_id=message.payment_id,
            reason=message.reason,
            received_at=at,
            value_on=self._day(at),
            source="signal",
        )
        if posted.outcome == "suspense":
            self._event("suspense", at, {"payment": message.payment_id, "reason": posted.reason})
        return []

    def _work_outcome(self, message: RecordCallOutcome | RecordVisitOutcome, at: datetime) -> list[Outcome]:
        channel = Channel.CALL if isinstance(message, RecordCallOutcome) else Channel.VISIT
        item = None if message.work_item is None else read_item(self.connection, message.work_item)
        seq, is_first = self._settle(item, message, channel, at)
        if is_first:
            self._attempt_of_work(item, message, channel, seq, at)
        self._consequences(message, at)
        callback = message.callback_at if isinstance(message, RecordCallOutcome) else None
        return [
            Worked(
                item=None if item is None else item.key,
                step=self._step_of(item),
                seq=seq,
                channel=channel,
                disposition=message.disposition,
                right_party=message.party_reached is Reached.RIGHT_PARTY,
                at=at,
                not_before=callback,
            )
        ]

    def _settle(
        self,
        item: Item | None,
        message: RecordCallOutcome | RecordVisitOutcome,
        channel: Channel,
        at: datetime,
    ) -> tuple[int, bool]:
        """Return the number of the attempt, and whether this message is the first word of it."""
        own = self.state.item
        waited_for = own is not None and item is not None and own.key == item.key
        if item is not None and item.status == "done" and self._is_fan_out(item, message.event_id):
            return (own.seq if waited_for and own is not None else self.state.seq), False
        if waited_for and own is not None:
            number = own.seq
        else:
            self.seq += 1
            number = self.seq
        if item is not None:
            outcome = {
                "event_id": message.event_id,
                "party_reached": message.party_reached,
                "channel": channel,
            }
            settle(self.connection, item.key, message.disposition, outcome, at)
        return number, True

    @staticmethod
    def _is_fan_out(item: Item, event_id: str) -> bool:
        return item.event_id is not None and event_id.startswith(f"{item.event_id}{FAN_OUT}")

    def _step_of(self, item: Item | None) -> str | None:
        own = self.state.item
        return own.step if own is not None and item is not None and own.key == item.key else None

    def _attempt_of_work(
        self,
        item: Item | None,
        message: RecordCallOutcome | RecordVisitOutcome,
        channel: Channel,
        seq: int,
        at: datetime,
    ) -> None:
        """Write the attempt that a person made, about every account of the item."""
        key = self.state.attempt_key(seq)
        cases = () if item is None else item.cases
        status = AttemptStatus.FAILED if message.party_reached is Reached.NO_ONE else AttemptStatus.ANSWERED
        self.connection.exec_driver_sql(
            "INSERT INTO attempts (key, case_key, seq, origin, purpose, step, pass_no, try_no, channel, party_key, "
            "contact_point_key, status, due_at, admitted_at, sent_at, recorded_at, provider, outcome) "
            "SELECT %(key)s, %(case)s, %(seq)s, %(origin)s, 'collect', %(step)s, %(pass)s, %(try)s, %(channel)s, %(party)s, "
            "(SELECT key FROM contact_points WHERE key = %(point)s), %(status)s, %(at)s, %(at)s, %(at)s, %(at)s, 'agent', "
            "%(outcome)s ON CONFLICT DO NOTHING",
            {
                "key": key,
                "case": self.state.case_key,
                "seq": seq,
                "origin": "step" if self._step_of(item) is not None else "agent",
                "step": self._step_of(item),
                "pass": self.state.cursor.pass_no,
                "try": self.state.cursor.try_no,
                "channel": channel,
                "party": None if item is None else item.party_key,
                "point": message.contact_point,
                "status": status,
                "at": at,
                "outcome": message.disposition,
            },
        )
        concerned = {case.case_key: case.account_key for case in cases}
        concerned[self.state.case_key] = self.state.account_key
        for case_key, account_key in sorted(concerned.items()):
            self.connection.exec_driver_sql(
                "INSERT INTO attempt_accounts (attempt_key, account_key, case_key) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (key, account_key, case_key),
            )
        body = {
            "attempt": key,
            "channel": channel,
            "disposition": message.disposition,
            "party_reached": message.party_reached,
            "item": None if item is None else item.key,
            "actor": message.actor,
        }
        append_events(self.connection, "worked", at, [(case_key, body) for case_key in sorted(concerned)])

    def _consequences(self, message: RecordCallOutcome | RecordVisitOutcome, at: datetime) -> None:
        """Apply the holds and contact points that follow from an outcome by themselves."""
        if message.disposition == "promise" and message.promised_on is not None:
            until = start_of_day(message.promised_on + timedelta(days=1), self.state.facts.zone or "UTC")
            self._hold(HoldReason.PROMISE, at, f"{message.event_id}/promise", until_at=until, placed_by=message.actor)
        if message.disposition == "dispute":
            self._hold(HoldReason.DISPUTE, at, f"{message.event_id}/dispute", placed_by=message.actor)
        bad = _BAD_POINT.get(message.disposition)
        if bad is not None and message.contact_point is not None:
            self.connection.exec_driver_sql(
                "UPDATE contact_points SET state = %s WHERE key = %s", (bad, message.contact_point)
            )

    def _legal_update(self, message: RecordLegalUpdate, at: datetime) -> list[Outcome]:
        item = None if message.work_item is None else read_item(self.connection, message.work_item)
        body = {
            "stage": message.stage,
            "item": None if item is None else item.key,
            "document": message.document_ref,
            "cost": message.cost,
            "currency": message.currency,
        }
        if item is not None:
            settle(self.connection, item.key, message.stage, {"event_id": message.event_id}, at)
        self._event("legal", at, body)
        own = self.state.item
        return [
            Worked(
                item=None if item is None else item.key,
                step=self._step_of(item),
                seq=own.seq if own is not None and item is not None and own.key == item.key else self.state.seq,
                channel=Channel.LEGAL,
                disposition=message.stage,
                counts=False,
                at=at,
            ),
            Happened(event=f"legal_{message.stage}", at=at),
        ]

    def _pause(self, message: Pause, at: datetime) -> list[Outcome]:
        self._hold(HoldReason.PAUSED, at, message.event_id, until_at=message.until, placed_by=message.actor)
        return []

    def _resume(self, message: Resume, at: datetime) -> list[Outcome]:
        self._release(at, message.actor, reason=HoldReason.PAUSED)
        return []

    def _place_hold(self, message: PlaceHold, at: datetime) -> list[Outcome]:
        self._hold(
            message.reason,
            at,
            message.event_id,
            until_at=message.until,
            placed_by=message.actor,
            more=message,
        )
        return []

    def _release_hold(self, message: ReleaseHold, at: datetime) -> list[Outcome]:
        self._release(at, message.actor, key=message.hold, reason=message.reason)
        return []

    def _skip_step(self, message: SkipStep, at: datetime) -> list[Outcome]:
        self._event("skip_asked", at, {"step": message.step, "actor": message.actor})
        return [Skipped(step=message.step, at=at)]

    def _close_case(self, message: CloseCase, at: datetime) -> list[Outcome]:
        self.connection.exec_driver_sql(
            "UPDATE accounts SET closing = %s, closing_at = %s WHERE key = %s AND closing IS NULL",
            (message.reason, at, self.state.account_key),
        )
        self._event("closing", at, {"reason": message.reason, "actor": message.actor})
        event = _EVENT_OF.get(message.reason)
        return [] if event is None else [Happened(event=event, at=at)]

    def _attempt_updated(self, message: AttemptUpdated, at: datetime) -> list[Outcome]:
        row = self.connection.exec_driver_sql(
            "SELECT seq, step, status FROM attempts WHERE key = %s AND case_key = %s",
            (message.attempt, self.state.case_key),
        ).one_or_none()
        if row is None:
            self._event("unknown_attempt", at, {"attempt": message.attempt})
            return []
        return [Reported(seq=row.seq, step=row.step, status=AttemptStatus(row.status))]

    # --- small things -------------------------------------------------------------------------------------------

    def _hold(
        self,
        reason: HoldReason,
        at: datetime,
        event_id: str,
        *,
        until_at: datetime | None = None,
        placed_by: str = "system",
        more: PlaceHold | None = None,
    ) -> None:
        order = HoldOrder(
            account_key=self.state.account_key,
            debtor_key=self.debtor_key,
            reason=reason,
            from_at=at,
            event_id=f"{self.state.case_key}#{event_id}",
            until_at=until_at,
            placed_by=placed_by,
        )
        if more is not None:
            order = HoldOrder(
                account_key=order.account_key,
                debtor_key=order.debtor_key,
                reason=reason,
                from_at=at,
                event_id=order.event_id,
                scope=more.scope,
                until_at=until_at,
                channel=more.channel,
                contact_point_key=more.contact_point,
                part_amount=more.part_amount,
                placed_by=placed_by,
                note_ref=more.note_ref,
            )
        key = place_hold(self.connection, order)
        if key is not None:
            body = {
                "hold": key,
                "reason": reason,
                "scope": order.scope,
                "until": until_at,
                "actor": placed_by,
            }
            self._event("hold", at, body)

    def _release(self, at: datetime, actor: str, *, key: str | None = None, reason: HoldReason | None = None) -> None:
        keys = release_holds(
            self.connection,
            account_key=self.state.account_key,
            debtor_key=self.debtor_key,
            at=at,
            by=actor,
            key=key,
            reason=reason,
        )
        if keys:
            self._event("released", at, {"holds": list(keys), "actor": actor})

    def _event(self, kind: str, at: datetime, body: Mapping[str, object]) -> None:
        append_event(self.connection, self.state.case_key, kind, at, body)

    def _day(self, at: datetime) -> date:
        return local_date(at, self.state.facts.zone or "UTC")
