"""What came in, written to the ledger: each message once for ever, in the order given.

The caller holds the locks of the persons of every account that a message touches. What a message told the case is
kept with it, so that an activity that is repeated after a crash tells the same story.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection

from db.actors import ActorError, acting_in_message
from db.arrangements import PlanOrder, agree, cancel, promise, write_news
from db.bulk import EVENT as BULK_EVENT
from db.consequences import told_by as told_by_outcome
from db.consequences import undone_by
from db.disputes import add_evidence, answer
from db.facts import AccountReading, read_account
from db.holds import HoldOrder, extend_holds, hold_case, release_holds
from db.ledger import post_payment, reverse_payment
from db.outcomes import read_outcome
from db.record import append_event
from db.refusals import CannotBeError
from db.state_events import record_state_event
from db.work_outcomes import Undialled, WorkOutcomes, refusal_of_outcome, where_it_went
from domain.calendar import local_date
from domain.case import Adopted, Agreed, CaseState, Happened, Outcome, Reported, Skipped
from domain.codes import AttemptStatus, CloseReason, HoldReason
from domain.dispositions import Catalogue
from domain.dispute_messages import AboutDispute, DisputeAnswered, DisputeEvidence
from domain.message import Message
from domain.message_acts import act_of, why_not
from domain.messages import (
    AGREE,
    AdoptStrategy,
    AgreeArrangement,
    AttemptUpdated,
    CancelArrangement,
    CloseCase,
    CorrectOutcome,
    ExtendHold,
    Pause,
    PlaceHold,
    Received,
    RecordCallOutcome,
    RecordLegalUpdate,
    RecordPayment,
    RecordVisitOutcome,
    Refusal,
    ReleaseHold,
    Resume,
    ReversePayment,
    SkipStep,
    WorkOutcome,
    parse_message,
)
from domain.plans import PlanBook, Proposal
from domain.record import canonical
from domain.roles import Role
from domain.state_events import Told
from domain.state_messages import StateEvent
from domain.strategy import Strategy

_OUTCOMES: TypeAdapter[list[Outcome]] = TypeAdapter(list[Outcome])
_EVENT_OF = {CloseReason.RECALLED: "recall", CloseReason.SOLD: "sale"}


@dataclass(slots=True)
class Recorder:
    """Applies messages for one case. ``batch`` names the activity, so that its repetition is recognised."""

    connection: Connection
    state: CaseState
    debtor_key: str
    batch: str
    seq: int
    catalogue: Catalogue
    strategy: Strategy
    plans: PlanBook = field(default_factory=PlanBook)
    """What may be agreed with whom."""
    refused: list[Refusal] = field(default_factory=list)
    """Messages whose sender may not send them; each is kept, and the case says so."""
    learnt: bool = False
    """Whether any message was new."""
    _work: WorkOutcomes = field(init=False)

    def __post_init__(self) -> None:
        self._work = WorkOutcomes(
            self.connection, self.state, self.debtor_key, self.seq, self._tell, self.catalogue, self._promise
        )

    @property
    def undialled(self) -> list[Undialled]:
        """Attempts of people that the gate was not asked about before."""
        return self._work.undialled

    def record(self, received: Received) -> list[Outcome]:
        """Apply one message once and return what it tells the case."""
        held = self._keep(received)
        if held is not None:
            return held or _not_answered(received)
        self.learnt = True
        if received.refusal is not None:
            return []
        message = parse_message(received.name, received.body)
        reason = refusal_of_sender(self.connection, message, self.state.case_key)
        if reason is None:
            reason = refusal_of_outcome(self.connection, message, self.state.case_key, self.catalogue)
        if reason is not None:
            return self._refuse(received, message, reason)
        try:
            outcomes = self._apply(message, received.at)
        except CannotBeError as error:  # raised before anything was written
            return self._refuse(received, message, str(error))
        self._settle(received, "applied", outcomes)
        return outcomes

    def _settle(self, received: Received, status: str, outcomes: list[Outcome], refusal: str | None = None) -> None:
        self.connection.exec_driver_sql(
            "UPDATE inbox SET status = %s, outcomes = %s::jsonb, refusal = %s WHERE source = 'case' AND external_id = %s",
            (status, _OUTCOMES.dump_json(outcomes).decode(), refusal, self._inbox_id(received)),
        )

    def _refuse(self, received: Received, message: Message, reason: str) -> list[Outcome]:
        """Keep a message that changes nothing, and write into the record who tried what."""
        answer: list[Outcome] = []
        if isinstance(message, AgreeArrangement):
            answer = [Agreed(event_id=message.event_id, status="refused", refusal="not_allowed", reason=reason)]
        self._settle(received, "refused", answer, reason)
        self._event("refused", received.at, {"message": received.name, "actor": message.actor, "reason": reason})
        self._say_refused(received, reason)
        return answer

    def _say_refused(self, received: Received, reason: str) -> None:
        digest = hashlib.sha256(canonical(received.body).encode()).hexdigest()
        self.refused.append(Refusal(name=received.name, sha256=digest, reason=reason))

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
            "SELECT batch, outcomes, refusal FROM inbox WHERE source = 'case' AND external_id = %s", (key,)
        ).one()
        if row.batch == self.batch and row.refusal is not None and received.refusal is None:
            self._say_refused(received, row.refusal)
        told = _OUTCOMES.validate_python(row.outcomes)
        return told if row.batch == self.batch else [one for one in told if isinstance(one, Agreed)]

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
            RecordCallOutcome: self._work.worked,
            RecordVisitOutcome: self._work.worked,
            CorrectOutcome: self._work.correct,
            RecordLegalUpdate: self._legal_update,
            Pause: self._pause,
            Resume: self._resume,
            PlaceHold: self._place_hold,
            ReleaseHold: self._release_hold,
            ExtendHold: self._extend_hold,
            AboutDispute: self._about_dispute,
            SkipStep: self._skip_step,
            CloseCase: self._close_case,
            AdoptStrategy: self._adopt_strategy,
            AgreeArrangement: self._agree,
            CancelArrangement: self._cancel,
            AttemptUpdated: self._attempt_updated,
            StateEvent: self._state_event,
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

    def _state_event(self, message: StateEvent, at: datetime) -> list[Outcome]:
        self._tell(message.told(self.state.account_key, at))
        return []

    def _tell(self, told: Told) -> None:
        record_state_event(self.connection, told, zone=self.state.facts.zone or "UTC")

    def _legal_update(self, message: RecordLegalUpdate, at: datetime) -> list[Outcome]:
        return self._work.legal_update(message, at, self.strategy)

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

    def _extend_hold(self, message: ExtendHold, at: datetime) -> list[Outcome]:
        extended = extend_holds(
            self.connection,
            account_key=self.state.account_key,
            debtor_key=self.debtor_key,
            until=message.until,
            at=at,
            key=message.hold,
            reason=message.reason,
        )
        for one in extended:
            body = {"hold": one.key, "from": one.from_until, "until": one.until, "actor": message.actor}
            self._event("hold_extended", at, body)
        if not extended:
            raise CannotBeError("no such hold with an earlier end stands; `hold list CASE` shows what does")
        return []

    def _about_dispute(self, message: AboutDispute, at: datetime) -> list[Outcome]:
        whose = {"account_key": self.state.account_key, "debtor_key": self.debtor_key, "case_key": self.state.case_key}
        if isinstance(message, DisputeEvidence):
            add_evidence(self.connection, message, at=at, **whose)
        elif isinstance(message, DisputeAnswered):
            answered = answer(self.connection, message, at=at, logical=self.state.clock.is_logical, **whose)
            named = message.model_copy(update={"dispute": answered.dispute})
            self._tell(named.told(self.state.account_key, at))
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

    def _adopt_strategy(self, message: AdoptStrategy, at: datetime) -> list[Outcome]:
        """Order the case to change over. A bulk operation has written its order into the record already."""
        known = self.connection.exec_driver_sql("SELECT 1 FROM strategies WHERE digest = %s", (message.digest,))
        if known.one_or_none() is None:
            self._event("adoption_failed", at, {"digest": message.digest, "actor": message.actor})
            return []
        if not message.event_id.startswith(BULK_EVENT):
            self._event("adoption_ordered", at, {"digest": message.digest, "actor": message.actor})
        return [Adopted(digest=message.digest)]

    def _agree(self, message: AgreeArrangement, at: datetime) -> list[Outcome]:
        """Agree an arrangement, and say what became of the wish: whoever asked waits for it."""
        reading = self._reading(at)
        if message.currency != reading.facts.currency:
            reason = f"the account is kept in {reading.facts.currency}"
            return [Agreed(event_id=message.event_id, status="refused", refusal="other_currency", reason=reason)]
        proposal = Proposal(
            message.kind, message.covers, message.covered, message.agreed, message.discount, message.dpd_effect
        )
        order = PlanOrder(
            case_key=self.state.case_key,
            account_key=self.state.account_key,
            proposal=proposal,
            event_id=f"{self.state.case_key}#{message.event_id}",
            at=at,
            by=message.actor,
            policy=message.policy,
            renegotiates=message.renegotiate,
            expires_on=message.expires_on,
            statement=message.statement,
            note_ref=message.note_ref,
        )
        found = agree(self.connection, order, self.plans, reading)
        return [
            Agreed(
                event_id=message.event_id,
                arrangement=found.key,
                status=found.status,
                approval=found.approval,
                refusal=found.refusal,
                reason=found.reason[:300],
            )
        ]

    def _promise(self, order: PlanOrder) -> str | None:
        """Write down a promise that somebody reported; why it changes nothing, if so, stands in the record."""
        found = promise(self.connection, order, self.plans, self._reading(order.at))
        if found.key is None:
            self._event("promise_noted", order.at, {"reason": found.refusal, "actor": order.by})
        return found.key

    def _reading(self, at: datetime) -> AccountReading:
        """Return the account as it is after what this very batch has brought; how plans stand is written first."""
        logical = self.state.clock.is_logical
        reading = read_account(self.connection, self.state.account_key, at, logical=logical)
        if reading.plans.news and write_news(self.connection, self.state.case_key, reading, at):
            reading = read_account(self.connection, self.state.account_key, at, logical=logical)
        return reading

    def _cancel(self, message: CancelArrangement, at: datetime) -> list[Outcome]:
        account, key = self.state.account_key, message.arrangement
        if not cancel(self.connection, key, account, by=message.actor, at=at, reason=message.reason):
            self._event("unknown_arrangement", at, {"arrangement": key, "actor": message.actor})
        return []

    def _attempt_updated(self, message: AttemptUpdated, at: datetime) -> list[Outcome]:
        row = self.connection.exec_driver_sql(
            "SELECT seq, step, status, not_before FROM attempts WHERE key = %s AND case_key = %s",
            (message.attempt, self.state.case_key),
        ).one_or_none()
        if row is None:
            self._event("unknown_attempt", at, {"attempt": message.attempt})
            return []
        status = AttemptStatus(row.status)
        again_at = row.not_before if status is AttemptStatus.DEFERRED else None
        return [Reported(seq=row.seq, step=row.step, status=status, not_before=again_at)]

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
            order = replace(
                order,
                scope=more.scope,
                channel=more.channel,
                contact_point_key=more.contact_point,
                part_amount=more.part_amount,
                note_ref=more.note_ref,
            )
        hold_case(self.connection, self.state.case_key, order)

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


def _not_answered(received: Received) -> list[Outcome]:
    """Answer a wish under an event id that something else has used: whoever asked must not wait for ever."""
    if received.name != AGREE or received.refusal is not None:
        return []
    reason = "this event id was used for something else; give each event one of its own"
    return [Agreed(event_id=received.event_id, status="refused", refusal="event_id_used", reason=reason)]


def refusal_of_sender(connection: Connection, message: Message, case_key: str) -> str | None:
    """Return why who sent a message to a case may not; ``None`` if they may."""
    try:
        acting = acting_in_message(connection, message.actor)
    except ActorError:
        return "actor: is retired and acts no more"
    if acting.role is Role.SYSTEM:
        return None

    def hold_reason(key: str) -> str | None:
        found = connection.exec_driver_sql("SELECT reason FROM holds WHERE key = %s", (key,))
        return found.scalar_one_or_none()

    def event_kind(key: str) -> str | None:
        """Return the kind of an event; ``None`` when nobody knows it, or one name stands for several."""
        found = connection.exec_driver_sql(
            "SELECT min(kind) FROM state_events WHERE key = %(key)s OR event_id = %(key)s HAVING min(kind) = max(kind)",
            {"key": key},
        )
        return found.scalar_one_or_none()

    def recorded_by(event_id: str) -> str | None:
        row = read_outcome(connection, case_key, event_id)
        return None if row is None else row.actor

    return why_not(acting, act_of(message, hold_reason=hold_reason, event_kind=event_kind, recorded_by=recorded_by))


def told_by(connection: Connection, received: Received, state: CaseState, catalogue: Catalogue) -> list[Told]:
    """Return the state events that a message tells or ends, be it one, an outcome of work, or the correction of one."""
    if received.refusal is not None:
        return []
    message = parse_message(received.name, received.body)
    if isinstance(message, StateEvent | DisputeAnswered):
        return [message.told(state.account_key, received.at)]
    if not isinstance(message, WorkOutcome):
        return []
    ended: list[Told] = []
    message = message.model_copy(update={"contact_point": where_it_went(connection, message)})
    if isinstance(message, CorrectOutcome):
        was = read_outcome(connection, state.case_key, message.corrects)
        if was is None:
            return []
        message = message.model_copy(update={"contact_point": message.contact_point or was.contact_point_key})
        ended = undone_by(was.followed, message, state.account_key, received.at)
    row = catalogue.by_code.get(message.disposition)
    told = None if row is None else told_by_outcome(row, message, state.account_key, received.at)
    return ended if told is None else [*ended, told]
