"""One attempt: admit, send, record, in one activity.

Admission takes the locks, reads the ledger, asks the gate and commits ``dispatching`` with the decision. Only the
call that committed it may talk to the provider, once, within ``SEND_WITHIN``. Whoever finds ``dispatching`` without
having written it never sends: it waits the provider out, looks the attempt up, and adopts it or calls it unknown.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine
from temporalio import activity

from activities.checkpoints import Checkpoint, Place, pass_by
from activities.instant import Stopwatch
from activities.providers.base import (
    Accepted,
    AccountLine,
    AmbiguousSendError,
    NotProcessed,
    Outbound,
    Provider,
    Rejected,
)
from activities.signatures import CONTACT
from activities.wording import Worded, Wording, WordingError
from db.attempts import (
    Attempt,
    Context,
    Point,
    Ruling,
    Sent,
    Taken,
    choose_point,
    read_context,
    read_status,
    record_sent,
    write_decision,
)
from db.cases import show_case
from db.facts import AccountReading, read_account
from db.locks import lock_contact
from db.strategies import StrategyBook
from domain.case import ContactReport, ContactRequest
from domain.codes import CONTACT_POINT_KIND, AttemptStatus, Channel, Verdict
from domain.decide import apply
from domain.gate import Admission, Decision, Gate
from domain.money import format_amount
from domain.outlook import outlook
from domain.strategy import Step, Strategy

SEND_WITHIN = 10.0
"""Seconds after admission within which the provider must have been called (promise P4)."""
MARGIN = 2.0
STALLED_RETRY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Admitted:
    """An attempt that this call may send: its dispatch number, the message, and the monotonic instant of admission."""

    dispatch: int
    message: Outbound
    at: float


@dataclass(frozen=True, slots=True)
class _Found:
    """An attempt whose dispatch another call wrote."""

    taken: Taken


class ContactActivities:
    """Attempts over providers, one per channel, behind one gate."""

    def __init__(
        self,
        engine: Engine,
        providers: Mapping[Channel, Provider],
        gate: Gate,
        wording: Wording,
        *,
        sleep: Callable[[float], None] = time.sleep,
        checkpoint: Checkpoint = pass_by,
    ) -> None:
        self._engine = engine
        self._providers = providers
        self._gate = gate
        self._wording = wording
        self._sleep = sleep
        self._checkpoint = checkpoint
        self._book = StrategyBook(engine)

    @activity.defn(name=CONTACT, no_thread_cancel_exception=True)  # what a provider answered is recorded in any case
    def contact(self, request: ContactRequest) -> ContactReport:
        """Make one attempt, or say why it was not made. Safe to repeat: the attempt key is sent at most once."""
        watch = Stopwatch()
        strategy = self._book.by_digest(request.strategy_digest)
        step = strategy.steps[strategy.index_of(request.step)]
        attempt = _attempt(request, step)
        self._checkpoint(Place.CONTACT_ENTERED, attempt.key)
        outcome = self._admit(request, strategy, step, attempt, watch)
        if isinstance(outcome, ContactReport):
            return outcome
        provider = self._providers[step.via]
        if isinstance(outcome, _Admitted):
            self._checkpoint(Place.CONTACT_ADMITTED, attempt.key)
            sent = self._send(provider, outcome, watch, request)
            self._checkpoint(Place.CONTACT_ANSWERED, attempt.key)
            return self._record(request, strategy, attempt, outcome.dispatch, sent)
        sent = self._reconcile(provider, attempt, outcome.taken, watch, request)
        self._checkpoint(Place.CONTACT_LOOKED_UP, attempt.key)
        return self._record(request, strategy, attempt, outcome.taken.dispatch, sent)

    # --- admit --------------------------------------------------------------------------------------------------

    def _admit(
        self, request: ContactRequest, strategy: Strategy, step: Step, attempt: Attempt, watch: Stopwatch
    ) -> ContactReport | _Admitted | _Found:
        state, logical = request.state, request.state.clock.is_logical
        kind = CONTACT_POINT_KIND[step.via]
        with self._engine.begin() as connection:
            lock_contact(connection, state.account_key, kind)
            self._checkpoint(Place.CONTACT_LOCKED, attempt.key)
            admitted_at = time.monotonic()
            now = watch.business_now(state)
            context = read_context(connection, attempt, kind, step.to.role, now)
            reading = read_account(connection, state.account_key, now, logical=logical)
            point = choose_point(context.points, step.to.order)
            taken = context.taken
            if taken is not None and taken.status is AttemptStatus.DISPATCHING:
                return _Found(taken)
            if taken is not None and taken.status not in {AttemptStatus.DEFERRED, AttemptStatus.RETRYABLE}:
                return self._report(request, attempt, reading, taken.status, taken.not_before, taken.rule_ids, watch)
            decision = self._gate.decide(_admission(context, reading, point, step, strategy, watch, request))
            worded: Worded | None = None
            if decision.verdict is Verdict.ALLOW and point is not None:
                try:
                    worded = self._word(step, context, reading, point)
                except WordingError:
                    decision = Decision(Verdict.REVIEW, ("core.template",))
            ruling = Ruling(
                decision=decision,
                facts_json=reading.facts.model_dump_json(exclude_defaults=True),
                amount=reading.facts.past_due,
                currency=reading.facts.currency,
                point=point,
                provider=self._providers[step.via].name,
                now=now,
                engine_now=watch.engine_now,
            )
            dispatch = write_decision(connection, attempt, ruling)
            if dispatch is None:
                raise RuntimeError("the attempt changed under its lock")
            if worded is None or point is None:
                status = AttemptStatus.DEFERRED if decision.verdict is Verdict.DEFER else AttemptStatus.REFUSED
                report = self._report(
                    request,
                    attempt,
                    reading,
                    status,
                    decision.defer_until,
                    decision.rule_ids,
                    watch,
                    decision.verdict,
                )
                self._show(connection, request, strategy, report)
                return report
            message = _message(attempt, reading, point, worded, step, now)
            self._checkpoint(Place.CONTACT_DECIDED, attempt.key)
        return _Admitted(dispatch, message, admitted_at)

    def _word(self, step: Step, context: Context, reading: AccountReading, point: Point) -> Worded:
        facts = reading.facts
        values = {
            "amount": format_amount(facts.past_due, facts.currency),
            "due_on": facts.oldest_due_on,
            "dpd": facts.dpd,
            "reference": reading.external_id,
            "creditor_name": context.creditor,
            "collector_name": context.collector or context.creditor,
            "recipient_name": point.name,
            "pay_link": "",
            "third_party": facts.actor == "third_party_collector",
        }
        return self._wording.render(step.template or step.id, step.via, point.language or facts.language, values)

    # --- send ---------------------------------------------------------------------------------------------------

    def _send(self, provider: Provider, admitted: _Admitted, watch: Stopwatch, request: ContactRequest) -> Sent:
        if time.monotonic() - admitted.at > SEND_WITHIN:
            # Nothing left this process: it stood still too long, and what it decided on may no longer be true.
            now = watch.business_now(request.state)
            return Sent(AttemptStatus.RETRYABLE, now, error_code="stalled", not_before=now + STALLED_RETRY)
        try:
            result = provider.send(admitted.message)
        except AmbiguousSendError as error:
            return Sent(AttemptStatus.UNKNOWN, watch.business_now(request.state), error_code=str(error)[:80])
        now = watch.business_now(request.state)
        match result:
            case Accepted():
                return Sent(AttemptStatus.SENT, now, provider_id=result.provider_id)
            case Rejected():
                return Sent(AttemptStatus.FAILED, now, error_code=result.code)
            case NotProcessed():
                return Sent(AttemptStatus.RETRYABLE, now, error_code=result.code, not_before=now + result.retry_after)

    def _reconcile(
        self, provider: Provider, attempt: Attempt, taken: Taken, watch: Stopwatch, request: ContactRequest
    ) -> Sent:
        """Wait until nobody can be sending any more, then look the attempt up."""
        admitted_at = taken.engine_admitted_at or watch.engine_now
        over = admitted_at + timedelta(seconds=SEND_WITHIN + provider.timeout_seconds + MARGIN)
        while (left := (over - watch.engine_now).total_seconds()) > 0:
            self._sleep(min(left, 1.0))
        since = admitted_at - timedelta(minutes=1)
        accepted = provider.find(attempt.key, taken.recipient or "", since)
        now = watch.business_now(request.state)
        if accepted is None:
            return Sent(AttemptStatus.UNKNOWN, now, error_code="no_trace")
        return Sent(AttemptStatus.SENT, now, provider_id=accepted.provider_id)

    # --- record -------------------------------------------------------------------------------------------------

    def _record(
        self, request: ContactRequest, strategy: Strategy, attempt: Attempt, dispatch: int, sent: Sent
    ) -> ContactReport:
        state = request.state
        watch = Stopwatch()
        with self._engine.begin() as connection:
            status, not_before = sent.status, sent.not_before
            if not record_sent(connection, attempt, dispatch, sent):
                status, not_before = read_status(connection, attempt.key)
            reading = read_account(connection, state.account_key, sent.at, logical=state.clock.is_logical)
            report = self._report(request, attempt, reading, status, not_before, (), watch)
            self._show(connection, request, strategy, report)
            self._checkpoint(Place.CONTACT_RECORDING, attempt.key)
        self._checkpoint(Place.CONTACT_RECORDED, attempt.key)
        return report

    @staticmethod
    def _report(
        request: ContactRequest,
        attempt: Attempt,
        reading: AccountReading,
        status: AttemptStatus,
        not_before: datetime | None,
        rule_ids: tuple[str, ...],
        watch: Stopwatch,
        verdict: Verdict = Verdict.ALLOW,
    ) -> ContactReport:
        return ContactReport(
            seq=attempt.seq,
            step=attempt.step,
            status=status,
            verdict=verdict,
            rule_ids=rule_ids,
            not_before=not_before,
            at=watch.business_now(request.state),
            facts=reading.facts,
        )

    @staticmethod
    def _show(connection: Connection, request: ContactRequest, strategy: Strategy, report: ContactReport) -> None:
        state, own = apply(request.state, strategy, report)
        show_case(connection, state.case_key, outlook(state, strategy, report.at, pending=bool(own)))


def _attempt(request: ContactRequest, step: Step) -> Attempt:
    state = request.state
    return Attempt(
        key=state.attempt_key(request.seq),
        case_key=state.case_key,
        account_key=state.account_key,
        seq=request.seq,
        step=step.id,
        pass_no=state.cursor.pass_no,
        try_no=state.cursor.try_no,
        channel=step.via,
        purpose=step.purpose,
        template=step.template,
    )


def _admission(
    context: Context,
    reading: AccountReading,
    point: Point | None,
    step: Step,
    strategy: Strategy,
    watch: Stopwatch,
    request: ContactRequest,
) -> Admission:
    return Admission(
        now=watch.business_now(request.state),
        channel=step.via,
        purpose=step.purpose,
        between=step.between,
        facts=reading.facts,
        case_closed=context.case_closed,
        point_state=None if point is None else point.state,
        point_consent=None if point is None else point.consent,
        point_held=context.channel_held or (point is not None and point.held),
        feed_age=reading.feed_age,
        feed_limit=reading.feed_limit,
        holidays_of=strategy.holidays or reading.facts.region,
    )


def _message(
    attempt: Attempt,
    reading: AccountReading,
    point: Point,
    worded: Worded,
    step: Step,
    now: datetime,
) -> Outbound:
    facts = reading.facts
    line = AccountLine(attempt.account_key, reading.external_id, attempt.case_key, facts.past_due, facts.currency)
    return Outbound(
        attempt_key=attempt.key,
        channel=attempt.channel,
        party_key=point.party_key,
        recipient=point.value,
        recipient_name=point.name,
        language=point.language or facts.language or "en",
        subject=worded.subject,
        body=worded.body,
        accounts=(line,),
        step=step.id,
        try_no=attempt.try_no,
        zone=facts.zone or "UTC",
        at=now,
    )
