"""One attempt: admit, send, record, in one activity.

Admission commits ``dispatching`` with the decision (``activities.admission``). Only the call that committed it may talk
to the provider, once, within ``SEND_WITHIN``. Whoever finds ``dispatching`` without having written it never sends: it
waits the provider out, looks the attempt up, and adopts it or calls it unknown.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Engine
from temporalio import activity

from activities.admission import Admissions, Admitted, InFlight, Question, report_of, show
from activities.aftermath import Mishap, Subject, follow, locks_of, subject_of
from activities.checkpoints import Checkpoint, Place, pass_by
from activities.instant import Stopwatch
from activities.judging import Judge
from activities.pacing import Pacing
from activities.providers.base import (
    Accepted,
    AmbiguousSendError,
    NotProcessed,
    Provider,
    Rejected,
    RejectionKind,
)
from activities.providers.identity import Identities
from activities.rule_facts import Rules
from activities.signatures import CONTACT
from activities.switching import WHILE_OFF
from activities.wording import Wording
from db.attempts import Attempt, Sent, Taken, read_status, record_sent
from db.coverage import Cover, void_cover
from db.engine import reading
from db.facts import read_account
from db.locks import lock_persons
from db.strategies import StrategyBook
from db.switches import SWITCHED_OFF, is_off
from domain.arranged import reminder_step
from domain.case import ContactReport, ContactRequest
from domain.codes import AttemptStatus, Channel, Origin, Verdict
from domain.gate import Gate
from domain.message_text import segments
from domain.softening import gentler
from domain.strategy import Step, Strategy

SEND_WITHIN = 10.0
"""Seconds after admission within which the provider must have been called (promise P4)."""
SWITCHES_KNOWN_FOR = 0.5
"""Seconds for which the switches read by the admission are good: what is switched off stops within a second."""
MARGIN = 2.0
LOOK_EVERY = 0.05
STALLED_RETRY = timedelta(minutes=1)
_PROVES_UNSENT = frozenset(
    {AttemptStatus.DEFERRED, AttemptStatus.RETRYABLE, AttemptStatus.FAILED, AttemptStatus.UNSENT}
)


class ContactActivities:
    """Attempts over providers, one per channel, behind one gate."""

    def __init__(
        self,
        engine: Engine,
        providers: Mapping[Channel, Provider],
        gate: Gate,
        wording: Wording,
        *,
        consolidate: bool = True,
        rules: Rules | None = None,
        pacing: Pacing | None = None,
        identities: Identities | None = None,
        sleep: Callable[[float], None] = time.sleep,
        checkpoint: Checkpoint = pass_by,
    ) -> None:
        self._engine = engine
        self._providers = providers
        self._sleep = sleep
        self._checkpoint = checkpoint
        self._book = StrategyBook(engine)
        self._admissions = Admissions(
            engine,
            providers,
            Judge(gate, rules),
            wording,
            self._book,
            checkpoint,
            consolidate=consolidate,
            pacing=pacing,
            identities=identities,
        )

    @activity.defn(name=CONTACT, no_thread_cancel_exception=True)  # what a provider answered is recorded in any case
    def contact(self, request: ContactRequest) -> ContactReport:
        """Make one attempt, or say why it was not made. Safe to repeat: the attempt key is sent at most once."""
        strategy = self._book.by_digest(request.strategy_digest)
        step = _step(request, strategy)
        if step is None:
            return _nothing_to_remind(request)
        step = gentler(strategy, step, request.state.facts.flags)
        asked = Question(request, strategy, step, _attempt(request, step), Stopwatch())
        key, provider = asked.attempt.key, self._providers[step.via]
        self._checkpoint(Place.CONTACT_ENTERED, key)
        outcome = self._admissions.admit(asked)
        if isinstance(outcome, InFlight):
            self._wait_out(outcome.cover, provider, asked)
            outcome = self._admissions.admit(asked, patient=False)
        match outcome:
            case Admitted():
                self._checkpoint(Place.CONTACT_ADMITTED, key)
                sent, mishap = self._send(provider, outcome, asked)
                self._checkpoint(Place.CONTACT_ANSWERED, key)
                return self._record(asked, outcome.dispatch, sent, mishap)
            case ContactReport():
                return outcome
            case InFlight():
                raise RuntimeError("a message in flight was waited for")
            case _:
                sent = self._reconcile(provider, outcome.taken, asked)
                self._checkpoint(Place.CONTACT_LOOKED_UP, key)
                return self._record(asked, outcome.taken.dispatch, sent)

    # --- send ---------------------------------------------------------------------------------------------------

    def _send(self, provider: Provider, admitted: Admitted, asked: Question) -> tuple[Sent, Mishap | None]:
        waited = time.monotonic() - admitted.at
        if waited > SEND_WITHIN:
            # Nothing left this process: it stood still too long, and what it decided on may no longer be true.
            now = asked.now
            return Sent(AttemptStatus.RETRYABLE, now, error_code="stalled", not_before=now + STALLED_RETRY), None
        if waited > SWITCHES_KNOWN_FOR and self._is_off(asked.attempt.key):
            now = asked.now
            return Sent(AttemptStatus.DEFERRED, now, error_code=SWITCHED_OFF, not_before=now + WHILE_OFF), None
        try:
            result = provider.send(admitted.message)
        except AmbiguousSendError as error:
            return Sent(AttemptStatus.UNKNOWN, asked.now, error_code=str(error)[:80]), None
        now = asked.now
        match result:
            case Accepted():
                count = segments(admitted.message.body).count if asked.step.via is Channel.SMS else None
                return Sent(AttemptStatus.SENT, now, provider_id=result.provider_id, segments=count), None
            case Rejected():
                return _refused(result, now)
            case NotProcessed():
                again_at = now + result.retry_after
                return Sent(AttemptStatus.RETRYABLE, now, error_code=result.code, not_before=again_at), None

    def _is_off(self, key: str) -> bool:
        with reading(self._engine) as connection:
            return is_off(connection, key)

    def _reconcile(self, provider: Provider, taken: Taken, asked: Question) -> Sent:
        """Wait until nobody can be sending any more, then look the attempt up."""
        admitted_at = taken.engine_admitted_at or asked.watch.engine_now
        over = admitted_at + timedelta(seconds=SEND_WITHIN + provider.timeout_seconds + MARGIN)
        while (left := (over - asked.watch.engine_now).total_seconds()) > 0:
            self._sleep(min(left, 1.0))
        since = admitted_at - timedelta(minutes=1)
        accepted = provider.find(asked.attempt.key, taken.recipient or "", since)
        if accepted is None:
            return Sent(AttemptStatus.UNKNOWN, asked.now, error_code="no_trace")
        return Sent(AttemptStatus.SENT, asked.now, provider_id=accepted.provider_id)

    def _wait_out(self, cover: Cover, provider: Provider, asked: Question) -> None:
        """Wait until the message that speaks for this attempt has left or failed, no longer than a send may take."""
        begun = cover.engine_admitted_at or asked.watch.engine_now
        over = begun + timedelta(seconds=SEND_WITHIN + provider.timeout_seconds + MARGIN)
        while asked.watch.engine_now < over:
            with reading(self._engine) as connection:
                status, _ = read_status(connection, cover.attempt_key)
            if status is not AttemptStatus.DISPATCHING:
                return
            self._sleep(LOOK_EVERY)

    # --- record -------------------------------------------------------------------------------------------------

    def _concerned(self, key: str, mishap: Mishap | None) -> tuple[Subject | None, set[str], set[str]]:
        """Return what a refusal is about and whom it concerns, to be locked first; nothing when all went well."""
        if mishap is None:
            return None, set(), set()
        with reading(self._engine) as connection:
            subject = subject_of(connection, key)
            return (None, set(), set()) if subject is None else (subject, *locks_of(connection, subject, mishap))

    def _record(self, asked: Question, dispatch: int, sent: Sent, mishap: Mishap | None = None) -> ContactReport:
        state, attempt = asked.request.state, asked.attempt
        subject, accounts, points = self._concerned(attempt.key, mishap)
        with self._engine.begin() as connection:
            if subject is not None:
                lock_persons(connection, sorted(accounts), sorted(points))
            status, not_before = sent.status, sent.not_before
            if not record_sent(connection, attempt, dispatch, sent):
                status, not_before = read_status(connection, attempt.key)
            elif mishap is not None and subject is not None:
                follow(connection, subject, mishap)
            if status in _PROVES_UNSENT:
                void_cover(connection, attempt.key)
            reading_now = read_account(connection, state.account_key, sent.at, logical=state.clock.is_logical)
            report = report_of(asked, reading_now, status, not_before)
            show(connection, asked, report)
            self._checkpoint(Place.CONTACT_RECORDING, attempt.key)
        self._checkpoint(Place.CONTACT_RECORDED, attempt.key)
        return report


def _refused(result: Rejected, now: datetime) -> tuple[Sent, Mishap | None]:
    """Say what a refusal means for the attempt. Where our own set-up is at fault it stays due under its own key."""
    mishap = Mishap(result.kind, result.code, now)
    if result.kind is RejectionKind.CONFIGURATION:
        return Sent(AttemptStatus.RETRYABLE, now, error_code=result.code, not_before=now + WHILE_OFF), mishap
    return Sent(AttemptStatus.FAILED, now, error_code=result.code), mishap


def _step(request: ContactRequest, strategy: Strategy) -> Step | None:
    """Return the step to make; of a reminder the one its arrangement wants, ``None`` if that wants none any more."""
    if request.reminder is None:
        return strategy.steps[strategy.index_of(request.step)]
    plan = request.state.facts.plan
    if plan is None or plan.reminder is None or request.channel is None:
        return None
    return reminder_step(request.channel, plan.reminder)


def _nothing_to_remind(request: ContactRequest) -> ContactReport:
    return ContactReport(
        seq=request.seq,
        step=request.step,
        status=AttemptStatus.REFUSED,
        verdict=Verdict.BLOCK,
        rule_ids=("core.nothing-to-remind",),
        reminder=request.reminder,
        channel=request.channel,
        at=request.state.now,
        facts=request.state.facts,
    )


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
        origin=Origin.STEP if request.reminder is None else Origin.REMINDER,
        reminds=request.reminder,
    )
