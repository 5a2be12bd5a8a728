"""The gate at the moment a person of ours dials or sets out: a work item becomes an attempt, or has to wait.

The count is taken before anybody is reached. What came of it is recorded onto the same attempt later; one whose
outcome nobody reports stays ``dispatching`` and counts. Used by whoever places calls: the simulated agents of a
demonstration, and the agents' own commands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from activities.judging import AS_PLANNED, Judge, Matter, Presence, Read, hand_to_person
from activities.switching import unless_switched_off
from db.attempts import Attempt, Ruling, write_decision
from db.coverage import list_accounts
from db.locks import lock_item
from db.strategies import StrategyBook
from db.work import Item, ItemCase, read_item
from db.work_outcomes import cases_spoken_of, contact_point_of, dialled_attempt
from domain.codes import AttemptStatus, Channel, Verdict
from domain.gate import Decision
from domain.strategy import Step

BY_A_PERSON = "agent"
_OPEN = frozenset({AttemptStatus.DEFERRED, AttemptStatus.RETRYABLE})
_HARDEST = (Verdict.ALLOW, Verdict.DEFER, Verdict.REVIEW, Verdict.BLOCK)


@dataclass(frozen=True, slots=True)
class Dialled:
    """The attempt may be made now. ``cases`` are those it may speak of; ``contact_point`` is where."""

    attempt_key: str
    cases: tuple[str, ...]
    contact_point: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """The gate refused. ``until`` is set when it may be tried again then."""

    verdict: Verdict
    rule_ids: tuple[str, ...]
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    case: ItemCase
    matter: Matter
    read: Read
    decision: Decision


class Dialling:
    """Admits calls and visits of work items over the gate that messages pass too."""

    def __init__(self, engine: Engine, judge: Judge) -> None:
        self._engine = engine
        self._judge = judge
        self._book = StrategyBook(engine)

    def admit(
        self,
        item_key: str,
        clock: Callable[[], datetime],
        engine_now: datetime,
        *,
        logical: bool,
        presence: Presence = AS_PLANNED,
    ) -> Dialled | NotNow | None:
        """Decide about working an item now; ``None`` when there is nothing left to work.

        ``clock`` tells the business time, and is asked under the locks. Whoever asks again while the outcome of an
        admitted attempt is open, as after a crash, gets the same attempt.
        """
        with self._engine.begin() as connection:
            lock_item(connection, item_key)
            item = read_item(connection, item_key)
            if item is None or item.status not in {"open", "claimed"} or not item.cases:
                return None
            begun = dialled_attempt(connection, item)
            if begun is not None:
                cases = cases_spoken_of(connection, item_key) or ()
                return Dialled(begun, cases, contact_point_of(connection, begun))
            now = clock()
            asked = [self._ask(connection, item, case, now, presence, logical=logical) for case in item.cases]
            allowed = [one for one in asked if one is not None and one.decision.verdict is Verdict.ALLOW]
            if not allowed:
                return self._refuse(connection, [one for one in asked if one is not None], engine_now)
            allowed = self._together(allowed, presence)
            lead = allowed[0]
            if lead.read.point is None or self._write(connection, lead, engine_now) is None:
                return None
            list_accounts(
                connection,
                lead.matter.attempt.key,
                [(one.case.case_key, one.case.account_key, one.read.account.facts.asked_for) for one in allowed],
            )
            return Dialled(lead.matter.attempt.key, tuple(one.case.case_key for one in allowed), lead.read.point.key)

    def look(
        self,
        connection: Connection,
        item_key: str,
        now: datetime,
        *,
        logical: bool,
        presence: Presence = AS_PLANNED,
    ) -> Dialled | NotNow | None:
        """Say what ``admit`` would, without locks and without writing: for who looks for work, not for who dials."""
        item = read_item(connection, item_key)
        if item is None or item.status not in {"open", "claimed"} or not item.cases:
            return None
        begun = dialled_attempt(connection, item)
        if begun is not None:
            return Dialled(begun, cases_spoken_of(connection, item_key) or (), contact_point_of(connection, begun))
        answers = [self._ask(connection, item, case, now, presence, logical=logical) for case in item.cases]
        asked = [one for one in answers if one is not None]
        if not asked:
            return None
        lead = min(asked, key=lambda one: _HARDEST.index(one.decision.verdict))
        if lead.decision.verdict is Verdict.ALLOW and lead.read.point is not None:
            allowed = tuple(one.case.case_key for one in asked if one.decision.verdict is Verdict.ALLOW)
            return Dialled(lead.matter.attempt.key, allowed, lead.read.point.key)
        until = min((one.decision.defer_until for one in asked if one.decision.defer_until), default=None)
        return NotNow(lead.decision.verdict, lead.decision.rule_ids, until)

    def _ask(
        self, connection: Connection, item: Item, case: ItemCase, now: datetime, presence: Presence, *, logical: bool
    ) -> _Asked | None:
        if case.attempt_key is None or case.step is None:
            return None
        strategy = self._book.by_digest(case.strategy_digest)
        step = strategy.steps[strategy.index_of(case.step)]
        matter = Matter(_attempt(case, case.attempt_key, item, step), step, strategy, logical)
        read = self._judge.with_record(connection, matter, self._judge.read(connection, matter, now))
        if read.context.taken is not None and read.context.taken.status not in _OPEN:
            return None
        decision = unless_switched_off(
            connection,
            self._judge.decide(matter, read, presence=presence),
            step=step,
            creditor=read.account.facts.creditor,
            now=read.now,
        )
        return _Asked(case, matter, read, decision)

    def _together(self, allowed: list[_Asked], presence: Presence) -> list[_Asked]:
        """Return the cases one talk may be about: with the first, as long as the gate allows all of them at once."""
        together = allowed[:1]
        lead = together[0].read.point
        for one in allowed[1:]:
            if one.read.point is None or lead is None or one.read.point.key != lead.key:
                continue
            accounts = [other.case.account_key for other in (*together, one)]
            judged = self._judge.decide(together[0].matter, together[0].read, accounts=accounts, presence=presence)
            if judged.verdict is Verdict.ALLOW:
                together.append(one)
        return together

    def _refuse(self, connection: Connection, asked: list[_Asked], engine_now: datetime) -> NotNow | None:
        if not asked:
            return None
        lead = min(asked, key=lambda one: _HARDEST.index(one.decision.verdict))
        for one in asked:
            self._write(connection, one, engine_now)
            if one.decision.verdict is Verdict.REVIEW:
                hand_to_person(connection, one.matter.attempt, one.read, one.decision)
        return NotNow(lead.decision.verdict, lead.decision.rule_ids, lead.decision.defer_until)

    @staticmethod
    def _write(connection: Connection, one: _Asked, engine_now: datetime) -> int | None:
        """Write the decision. A refusal is no end of the item: it stands until it is worked, given up or taken back."""
        facts = one.read.account.facts
        allowed = one.decision.verdict is Verdict.ALLOW
        ruling = Ruling(
            decision=one.decision,
            facts_json=facts.model_dump_json(exclude_defaults=True),
            amount=facts.asked_for,
            currency=facts.currency,
            point=one.read.point,
            provider=BY_A_PERSON,
            now=one.read.now,
            engine_now=engine_now,
            status=None if allowed else AttemptStatus.DEFERRED,
        )
        return write_decision(connection, one.matter.attempt, ruling)


def _attempt(case: ItemCase, key: str, item: Item, step: Step) -> Attempt:
    return Attempt(
        key=key,
        case_key=case.case_key,
        account_key=case.account_key,
        seq=int(key.rpartition("/")[2]),
        step=step.id,
        pass_no=1,
        try_no=1,
        channel=Channel(str(item.kind)),
        purpose=step.purpose,
        template=None,
        item=item.key,
    )
