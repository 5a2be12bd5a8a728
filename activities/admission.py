"""The transaction that admits an attempt: locks, facts, gate, decision, and which other accounts its message lists.

Whatever it decides is committed before a provider is called. Reads follow the locks as later statements, so that what
was committed while this call waited is seen. Nothing here talks to a provider.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine

from activities.checkpoints import Checkpoint, Place
from activities.instant import Stopwatch
from activities.judging import Judge, Matter, Read, hand_to_person
from activities.pacing import Pacing
from activities.providers.base import AccountLine, Outbound, Provider
from activities.providers.identity import Identities
from activities.switching import unless_off
from activities.window import closes_at
from activities.wording import Worded, Wording, WordingError
from db.attempts import CONTEXT, Attempt, Point, Ruling, Taken, choose_point, context_values, write_decision
from db.cases import show_case
from db.coverage import COMPANIONS, STANDING, Companion, Cover, around_values, cover, use_cover, void_cover
from db.facts import AccountReading, read_facts
from db.locks import lock_contact
from db.strategies import StrategyBook
from db.switches import OFF
from domain.case import ContactReport, ContactRequest
from domain.codes import CONTACT_POINT_KIND, COUNTS_AS_CONTACT, AttemptStatus, Channel, Verdict
from domain.decide import apply
from domain.facts import Plan
from domain.gate import Decision
from domain.money import format_amount
from domain.outlook import outlook
from domain.softening import unheard_flags
from domain.strategy import Step, Strategy

COVERED = "core.covered"
TEMPLATE = "core.template"
SOFTENED = "core.softened"
HARD = frozenset(
    {
        "core.not-past-due",
        "core.closed",
        "core.hold",
        "core.arrangement",
        "core.stopped",
        "core.legal-stage",
        "core.no-contact-point",
    }
)
"""Refusals that stand also where another's message spoke for the attempt; counts and hours were that message's."""
WAITS_FOR_COVER = "core.covering-in-flight"
LOOK_AGAIN = timedelta(minutes=1)
_OPEN = frozenset({AttemptStatus.DEFERRED, AttemptStatus.RETRYABLE})


@dataclass(frozen=True, slots=True)
class Admitted:
    """An attempt that this call may send: its dispatch number, the message, and the monotonic instant of admission."""

    dispatch: int
    message: Outbound
    at: float


@dataclass(frozen=True, slots=True)
class Found:
    """An attempt whose dispatch another call wrote."""

    taken: Taken


@dataclass(frozen=True, slots=True)
class InFlight:
    """The message that speaks for this attempt is on its way: what becomes of it is not known yet."""

    cover: Cover


@dataclass(frozen=True, slots=True)
class Question:
    """One attempt to decide about, and who asks."""

    request: ContactRequest
    strategy: Strategy
    step: Step
    attempt: Attempt
    watch: Stopwatch

    @property
    def now(self) -> datetime:
        """The business instant."""
        return self.watch.business_now(self.request.state)

    @property
    def matter(self) -> Matter:
        """What the gate is asked about."""
        return Matter(self.attempt, self.step, self.strategy, self.request.state.clock.is_logical)


@dataclass(frozen=True, slots=True)
class Around:
    """What bears on an attempt besides its account and person: who speaks for it, what is off, who might travel."""

    speaks: Cover | None
    off: tuple[str, ...]
    companions: tuple[Companion, ...] = ()


Travelling = tuple[Companion, AccountReading]
"""A case that a message speaks for besides its own, and its account."""


class Admissions:
    """Admits attempts over one gate.

    ``consolidate``: one message speaks for all accounts due on a day. ``pacing`` spreads what is deferred.
    ``identities``: who we say we are, in every channel.
    """

    def __init__(
        self,
        engine: Engine,
        providers: Mapping[Channel, Provider],
        judge: Judge,
        wording: Wording,
        book: StrategyBook,
        checkpoint: Checkpoint,
        *,
        consolidate: bool,
        pacing: Pacing | None = None,
        identities: Identities | None = None,
    ) -> None:
        self._identities = identities
        self._engine = engine
        self._pacing = pacing or Pacing()
        self._providers = providers
        self._judge = judge
        self._wording = wording
        self._book = book
        self._checkpoint = checkpoint
        self._consolidate = consolidate

    def admit(self, asked: Question, *, patient: bool = True) -> ContactReport | Admitted | Found | InFlight:
        """Decide about an attempt in one transaction.

        A message in flight that speaks for it is named; asked again with ``patient`` false, the attempt is deferred.
        """
        state, step, attempt = asked.request.state, asked.step, asked.attempt
        kind = CONTACT_POINT_KIND[step.via]
        with self._engine.begin() as connection:
            lock_contact(connection, state.account_key, kind)
            self._checkpoint(Place.CONTACT_LOCKED, attempt.key)
            at = time.monotonic()
            read = self._judge.read(connection, asked.matter, asked.now)
            taken = read.context.taken
            if taken is not None and taken.status is AttemptStatus.DISPATCHING:
                return Found(taken)
            if taken is not None and taken.status not in _OPEN:
                return report_of(asked, read.account, taken.status, taken.not_before, taken.rule_ids)
            read, around = self._look_around(connection, asked, read)
            speaks = _still_speaks(connection, around.speaks)
            if speaks is not None and speaks.status is AttemptStatus.DISPATCHING and patient:
                return InFlight(speaks)
            worded = self._word(asked, read)
            decision = self._decide(asked, read, worded, speaks)
            covered: Sequence[Travelling] = ()
            if decision.verdict is Verdict.ALLOW and speaks is None:
                covered = self._companions(connection, asked, read, around.companions)
            if covered:
                worded, decision, covered = self._worded_for_all(asked, read, worded, decision, covered)
            if COVERED not in decision.rule_ids:
                decision = unless_off(decision, around.off, read.now)
            decision = self._paced(connection, asked, read, worded, decision)
            dispatch = self._write(connection, asked, read, decision, speaks)
            if decision.verdict is Verdict.REVIEW:
                hand_to_person(connection, asked.attempt, read, decision)
            if worded is None or read.point is None or decision.verdict is not Verdict.ALLOW or speaks is not None:
                report = _decided(asked, read, decision, speaks)
                show(connection, asked, report)
                return report
            cover(connection, attempt.key, [(one, other.facts.asked_for) for one, other in covered], read.now)
            message = _message(asked, read, read.point, worded, covered)
            self._checkpoint(Place.CONTACT_DECIDED, attempt.key)
        latest = closes_at(self._judge, asked.matter, read, worded)
        return Admitted(dispatch, replace(message, latest=latest), at)

    # --- reading ------------------------------------------------------------------------------------------------

    def _look_around(self, connection: Connection, asked: Question, read: Read) -> tuple[Read, Around]:
        """Add the person's record, and read what else bears on the attempt, in one round trip."""
        step, attempt = asked.step, asked.attempt
        alone = not self._consolidate or asked.request.reminder is not None
        readings = (STANDING, OFF) if alone else (STANDING, OFF, COMPANIONS)
        values = around_values(
            account_key=attempt.account_key,
            case_key=attempt.case_key,
            party_key=None if read.point is None else read.point.party_key,
            step=step.id,
            channel=step.via,
            day=read.day,
        )
        values |= {"template": step.template or step.id, "creditor": read.account.facts.creditor}
        read, found = self._judge.with_record_and(connection, asked.matter, read, readings, values)
        return read, Around(*found)

    # --- deciding -----------------------------------------------------------------------------------------------

    def _decide(
        self,
        asked: Question,
        read: Read,
        worded: Worded | None,
        speaks: Cover | None,
        accounts: Sequence[str] = (),
    ) -> Decision:
        if unheard_flags(asked.strategy, asked.request.state.facts, read.account.facts):
            return Decision(Verdict.BLOCK, (SOFTENED,))
        decision = self._judge.decide(asked.matter, read, worded=worded, accounts=accounts)
        if worded is None and read.point is not None and decision.verdict is Verdict.ALLOW:
            return Decision(Verdict.REVIEW, (TEMPLATE,), packs=decision.packs)
        if speaks is None or not HARD.isdisjoint(decision.rule_ids):
            return decision
        if speaks.status is AttemptStatus.DISPATCHING:
            return Decision(Verdict.DEFER, (WAITS_FOR_COVER,), read.now + LOOK_AGAIN)
        return Decision(Verdict.ALLOW, (COVERED,))

    def _paced(
        self, connection: Connection, asked: Question, read: Read, worded: Worded | None, decision: Decision
    ) -> Decision:
        """Give a deferral that many share an instant of its own."""
        if WAITS_FOR_COVER in decision.rule_ids:
            return decision

        def allows(at: datetime) -> Verdict:
            return self._judge.decide(asked.matter, replace(read, now=at), worded=worded).verdict

        return self._pacing.spread(
            connection,
            decision,
            case_key=asked.attempt.case_key,
            channel=asked.step.via,
            allows=allows,
        )

    def _companions(
        self, connection: Connection, asked: Question, read: Read, found: Sequence[Companion]
    ) -> Sequence[Travelling]:
        """Return the other cases this message speaks for: due today on the channel, and their own gate allows."""
        if not found:
            return ()
        logical = asked.request.state.clock.is_logical
        readings = read_facts(connection, [one.account_key for one in found], read.now, logical=logical)
        return [
            (one, readings[one.account_key])
            for one in found
            if self._travels(connection, one, asked, read, readings[one.account_key])
        ]

    def _travels(
        self, connection: Connection, one: Companion, asked: Question, read: Read, account: AccountReading
    ) -> bool:
        """Whether a case's own step would go to the same place for the same purpose, and its own gate allows it."""
        strategy = self._book.by_digest(one.strategy_digest)
        step = strategy.steps[strategy.index_of(one.step)]
        if step.purpose is not asked.step.purpose or step.via is not asked.step.via:
            return False
        attempt = Attempt("", one.case_key, one.account_key, 0, step.id, 1, 1, step.via, step.purpose, step.template)
        values = context_values(attempt, CONTACT_POINT_KIND[step.via], step.to.role, read.now)
        context = CONTEXT.read(connection, values)
        point = choose_point(context.points, step.to.order)
        if point is None or read.point is None or point.key != read.point.key:
            return False
        matter = Matter(attempt, step, strategy, asked.request.state.clock.is_logical)
        own = self._judge.beside(connection, matter, read, context, account)
        return self._judge.decide(matter, own).verdict is Verdict.ALLOW

    def _worded_for_all(
        self, asked: Question, read: Read, worded: Worded | None, decision: Decision, covered: Sequence[Travelling]
    ) -> tuple[Worded | None, Decision, Sequence[Travelling]]:
        """Word the message for all its accounts; if those words may not go out, it speaks for its own account only."""
        longer = self._word(asked, read, [one for _, one in covered])
        accounts = [asked.attempt.account_key, *(one.account_key for one, _ in covered)]
        judged = self._decide(asked, read, longer, None, accounts)
        return (longer, judged, covered) if judged.verdict is Verdict.ALLOW else (worded, decision, ())

    # --- writing ------------------------------------------------------------------------------------------------

    def _write(
        self, connection: Connection, asked: Question, read: Read, decision: Decision, speaks: Cover | None
    ) -> int:
        facts = read.account.facts
        covered_by = speaks.attempt_key if speaks is not None and COVERED in decision.rule_ids else None
        ruling = Ruling(
            decision=decision,
            facts_json=facts.model_dump_json(exclude_defaults=True),
            amount=_quoted(asked, read),
            currency=facts.currency,
            point=read.point,
            provider=self._providers[asked.step.via].name,
            now=read.now,
            engine_now=asked.watch.engine_now,
            covered_by=covered_by,
            status=None if covered_by is None else AttemptStatus.COVERED,
        )
        dispatch = write_decision(connection, asked.attempt, ruling)
        if dispatch is None:
            raise RuntimeError("the attempt changed under its lock")
        if covered_by is not None:
            use_cover(connection, covered_by, asked.attempt.case_key, asked.step.id)
        return dispatch

    def _word(self, asked: Question, read: Read, others: Sequence[AccountReading] = ()) -> Worded | None:
        """Word the message: the accounts it speaks for, the sum, the oldest due date; ``None`` if that fails."""
        step, facts, point = asked.step, read.account.facts, read.point
        if point is None:
            return None
        all_accounts = [read.account, *others]
        total = sum(one.facts.asked_for for one in all_accounts)
        plan = facts.plan
        if asked.request.reminder is not None and plan is not None:
            return self._word_reminder(asked, read, point, plan)
        values = {
            "amount": format_amount(total, facts.currency),
            "due_on": min((one.facts.oldest_due_on for one in all_accounts if one.facts.oldest_due_on), default=None),
            "dpd": max(one.facts.dpd for one in all_accounts),
            "reference": ", ".join(one.external_id for one in all_accounts),
            "accounts": [
                {
                    "reference": one.external_id,
                    "amount": format_amount(one.facts.asked_for, one.facts.currency),
                    "due_on": one.facts.oldest_due_on,
                    "dpd": one.facts.dpd,
                }
                for one in all_accounts
            ],
            "first_communication": read.record is None
            or any(read.record.is_first(one.account_key) for one in all_accounts),
        }
        return self._render(step, read, point, values)

    def _word_reminder(self, asked: Question, read: Read, point: Point, plan: Plan) -> Worded | None:
        """Word a courtesy reminder: what is left of the next line, and its day."""
        account, own = read.account, format_amount(plan.amount, read.account.facts.currency)
        line = {"reference": account.external_id, "amount": own, "due_on": plan.due_on, "dpd": 0}
        values = {
            **line,
            "accounts": [line],
            "first_communication": read.record is None or read.record.is_first(account.account_key),
        }
        return self._render(asked.step, read, point, values)

    def _render(self, step: Step, read: Read, point: Point, values: Mapping[str, object]) -> Worded | None:
        facts = read.account.facts
        common = {
            "creditor_name": read.context.creditor,
            "collector_name": read.context.collector or read.context.creditor,
            "recipient_name": point.name,
            "pay_link": "",
            **({} if self._identities is None else self._identities.of(facts.creditor).words()),
            "third_party": facts.actor == "third_party_collector",
        }
        language = point.language or facts.language
        try:
            return self._wording.render(step.template or step.id, step.via, language, {**values, **common})
        except WordingError:
            return None


def _quoted(asked: Question, read: Read) -> int:
    """Return the sum that a message speaks of: of a reminder what is left of the line."""
    plan = read.account.facts.plan
    if asked.request.reminder is not None and plan is not None:
        return plan.amount
    return read.account.facts.asked_for


def report_of(
    asked: Question,
    account: AccountReading,
    status: AttemptStatus,
    not_before: datetime | None,
    rule_ids: tuple[str, ...] = (),
    verdict: Verdict = Verdict.ALLOW,
) -> ContactReport:
    """Return what the case is told about its attempt."""
    return ContactReport(
        seq=asked.attempt.seq,
        step=asked.attempt.step,
        status=status,
        verdict=verdict,
        rule_ids=rule_ids,
        not_before=not_before,
        reminder=asked.request.reminder,
        channel=None if asked.request.reminder is None else asked.step.via,
        at=asked.now,
        facts=account.facts,
    )


def show(connection: Connection, asked: Question, report: ContactReport) -> None:
    """Write what lists show about the case after a report."""
    state, own = apply(asked.request.state, asked.strategy, report)
    show_case(connection, state.case_key, outlook(state, asked.strategy, report.at, pending=bool(own)))


def _still_speaks(connection: Connection, speaks: Cover | None) -> Cover | None:
    """Return the message that speaks for an attempt; one that proved unsent speaks for nobody."""
    if speaks is None or speaks.status in COUNTS_AS_CONTACT or speaks.status is AttemptStatus.ANSWERED:
        return speaks
    void_cover(connection, speaks.attempt_key)
    return None


def _decided(asked: Question, read: Read, decision: Decision, speaks: Cover | None) -> ContactReport:
    if speaks is not None and COVERED in decision.rule_ids:
        status = AttemptStatus.COVERED
    elif decision.verdict is Verdict.DEFER:
        status = AttemptStatus.DEFERRED
    else:
        status = AttemptStatus.REFUSED
    return report_of(asked, read.account, status, decision.defer_until, decision.rule_ids, decision.verdict)


def _message(
    asked: Question,
    read: Read,
    point: Point,
    worded: Worded,
    covered: Sequence[Travelling],
) -> Outbound:
    attempt, facts = asked.attempt, read.account.facts
    reference, amount = read.account.external_id, _quoted(asked, read)
    own = AccountLine(attempt.account_key, reference, attempt.case_key, amount, facts.currency)
    lines = [
        AccountLine(one.account_key, other.external_id, one.case_key, other.facts.asked_for, other.facts.currency)
        for one, other in covered
    ]
    return Outbound(
        attempt_key=attempt.key,
        channel=attempt.channel,
        party_key=point.party_key,
        recipient=point.value,
        recipient_name=point.name,
        language=worded.language,
        subject=worded.subject,
        body=worded.body,
        html=worded.html,
        accounts=(own, *lines),
        step=asked.step.id,
        try_no=attempt.try_no,
        zone=facts.zone or "UTC",
        at=read.now,
    )
