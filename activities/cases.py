"""What a case asks of the ledger besides contacts: record what came in, ask a person, give up, hand over, close.

Each activity is one transaction that begins with the locks of the persons, and is safe to repeat.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, Engine
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.catalogue import shipped
from activities.checkpoints import Checkpoint, Place, pass_by
from activities.instant import Stopwatch
from activities.judging import Judge, Matter, Presence, hand_to_person
from activities.signatures import ASK, CLOSE_EPISODE, GIVE_UP, HAND_OVER, RECORD_EVENTS
from db import work
from db.arrangements import write_news
from db.attempts import Attempt, Point, Ruling, write_decision, write_judgement
from db.cases import close_case, read_case, rouse, show_case
from db.contact_points import hours_reached
from db.engine import reading
from db.facts import AccountReading, read_account, read_facts
from db.hold_reviews import ask_for_reviews
from db.holds import cases_beside
from db.inbound import Recorder, told_by
from db.locks import lock_contact, lock_persons
from db.outcomes import cases_told
from db.record import append_event
from db.state_events import concern_of
from db.strategies import StrategyBook
from db.visits import planned_until
from db.work_outcomes import FAN_OUT, Undialled, cases_spoken_of, dialled_attempt
from domain.adoption import adopted
from domain.best_hours import best_start
from domain.calendar import add_period, next_opening
from domain.case import (
    AskReport,
    AskRequest,
    CaseState,
    CloseReport,
    CloseRequest,
    GiveUpReport,
    GiveUpRequest,
    HandOverReport,
    HandOverRequest,
    OpenItem,
    Outcome,
    RecordReport,
    RecordRequest,
    Report,
)
from domain.codes import CONTACT_POINT_KIND, AttemptStatus, TaskKind, Verdict
from domain.decide import LAST_REASONS, apply, item_expiry
from domain.dispositions import Catalogue
from domain.messages import Received
from domain.outlook import outlook
from domain.plans import PlanBook
from domain.softening import unheard_flags
from domain.state_events import Told
from domain.state_messages import STATE_MESSAGES
from domain.stops import barred, legal_bars
from domain.strategy import Period, Step, Strategy

_WORKED = frozenset({"record_call_outcome", "record_visit_outcome"})
CORRECTION = "correct_outcome"
_OUTCOMES = _WORKED | {CORRECTION}
_TELLING = _OUTCOMES | frozenset(STATE_MESSAGES) | {"dispute_answered"}
_HOLDS = frozenset({"place_hold", "extend_hold", "release_hold"})
_DAY, _HOUR = Period(count=1, unit="day"), Period(count=1, unit="hour")


REFUSED = "core.refused"
_TAKEN_UP_AGAIN = frozenset({AttemptStatus.DEFERRED, AttemptStatus.RETRYABLE})


@dataclass(frozen=True, slots=True)
class Refused:
    """The gate would not have a person work this now: which rules, and when it may be asked again."""

    rule_ids: tuple[str, ...]
    until: datetime | None


class TaskPlanner(Protocol):
    """Who plays the people that work items are given to. Only a simulated world needs one."""

    def plan(
        self,
        connection: Connection,
        *,
        item_key: str,
        kind: TaskKind,
        party_key: str,
        creditor: str,
        collector: str,
        cases: list[tuple[str, str, int, str]],
        zone: str,
        at: datetime,
    ) -> None:
        """Plan what will become of an item, in the transaction that creates it."""
        ...


class CaseActivities:
    """The ledger side of a case."""

    def __init__(
        self,
        engine: Engine,
        client: Client | None,
        judge: Judge,
        planner: TaskPlanner | None = None,
        *,
        plans: PlanBook | None = None,
        checkpoint: Checkpoint = pass_by,
        catalogue: Catalogue | None = None,
    ) -> None:
        self._engine = engine
        self._catalogue = catalogue or shipped()
        self._judge = judge
        self._client = client
        self._planner = planner
        self._plans = plans or PlanBook()
        self._checkpoint = checkpoint
        self._book = StrategyBook(engine)

    # --- what came in -------------------------------------------------------------------------------------------

    @activity.defn(name=RECORD_EVENTS)
    async def record_events(self, request: RecordRequest) -> RecordReport:
        """Write messages to the ledger, once each, and read the facts after them."""
        watch = Stopwatch()
        batch = f"{activity.info().workflow_run_id}/{activity.info().activity_id}"
        report = await asyncio.to_thread(self._record, request, watch, batch)
        await self._tell_others(request)
        return report

    def _record(self, request: RecordRequest, watch: Stopwatch, batch: str) -> RecordReport:
        state = request.state
        strategy = self._book.by_digest(request.strategy_digest)
        self._checkpoint(Place.RECORD_ENTERED, state.case_key)
        with self._engine.begin() as connection:
            lock_persons(connection, *self._concerned(state, request.messages))
            now = watch.business_now(state)
            reading = read_account(connection, state.account_key, now, logical=state.clock.is_logical)
            recorder = Recorder(
                connection=connection,
                state=state.model_copy(update={"facts": reading.facts}),
                debtor_key=reading.debtor_key,
                batch=batch,
                strategy=strategy,
                seq=max(state.seq, state.item.seq if state.item is not None else 0),
                catalogue=self._catalogue,
                plans=self._plans,
            )
            outcomes: list[Outcome] = []
            for message in request.messages:
                outcomes += recorder.record(message)
            for one in recorder.undialled:
                self._judge_afterwards(connection, request, one)
            ask_for_reviews(connection, state.account_key, reading.debtor_key, now)
            reading = read_account(connection, state.account_key, now, logical=state.clock.is_logical)
            if reading.plans.news and write_news(connection, state.case_key, reading, now):
                reading = read_account(connection, state.account_key, now, logical=state.clock.is_logical)
            report = RecordReport(outcomes=outcomes, refused=recorder.refused, at=now, facts=reading.facts)
            if recorder.learnt or not request.messages:  # else this is a repetition: the case may be further by now
                self._show(connection, state, strategy, report)
            self._rouse_others(connection, request)
            self._checkpoint(Place.RECORD_WRITTEN, state.case_key)
        self._checkpoint(Place.RECORD_COMMITTED, state.case_key)
        return report

    def _judge_afterwards(self, connection: Connection, request: RecordRequest, made: Undialled) -> None:
        """Ask the gate about a call or visit that was made without it: it counts, and a breach is an incident."""
        state = request.state
        step = Step.model_validate(
            {
                "id": "outside",
                "task": str(made.channel),
                "start": {"since": "opened"},
                "between": {"hours": "00:00-24:00"},
            }
        )
        strategy = self._book.by_digest(request.strategy_digest)
        attempt = Attempt(
            made.attempt_key, state.case_key, state.account_key, 0, step.id, 1, 1, made.channel, step.purpose, None
        )
        matter = Matter(attempt, step, strategy, state.clock.is_logical)
        read = self._judge.with_record(connection, matter, self._judge.read(connection, matter, made.at))
        decision = self._judge.decide(matter, read, presence=Presence(visitors=made.visitors or 1))
        facts = read.account.facts.model_dump_json(exclude_defaults=True)
        write_judgement(connection, made.attempt_key, state.case_key, decision, facts, made.at)

    def _concerned(self, state: CaseState, messages: Iterable[Received]) -> tuple[list[str], list[str]]:
        """Return the accounts and contact points to lock: the case's own, those of items worked, those of events."""
        accounts, points = {state.account_key}, set[str]()
        for message in messages:
            item = message.body.get("work_item") if message.name in _WORKED else None
            if item is None and message.name not in _TELLING:
                continue
            with reading(self._engine) as connection:
                if item is not None:
                    accounts.update(work.accounts_of(connection, str(item)))
                for told in told_by(connection, message, state, self._catalogue):
                    concern = concern_of(connection, told)
                    accounts.update(concern.accounts)
                    points.update(concern.points)
            point = message.body.get("contact_point") if message.name in _OUTCOMES else None
            if isinstance(point, str):
                points.add(point)
        return sorted(accounts), sorted(points)

    def _rouse_others(self, connection: Connection, request: RecordRequest) -> None:
        """Count the other cases that an event concerns as not past it until they have heard of it themselves."""
        for message in request.messages:
            for told in told_by(connection, message, request.state, self._catalogue):
                if not told.moves_the_ladder:
                    continue
                others = set(concern_of(connection, told).cases) - {request.state.case_key}
                rouse(connection, sorted(others), message.at)

    async def _tell_others(self, request: RecordRequest) -> None:
        """Pass on what other cases must hear, each time with an event id of its own. Safe to repeat."""
        if self._client is None:
            return
        for message in request.messages:
            await self._pass_on_work(request.state, message)
            await self._pass_on_event(request.state, message)
            await self._pass_on_hold(request.state, message)

    async def _pass_on_work(self, state: CaseState, message: Received) -> None:
        """Pass the outcome of a shared item on to its other cases."""
        item_key = message.body.get("work_item")
        if message.name == CORRECTION:
            await self._pass_on_correction(state, message)
        if message.name not in _WORKED or not isinstance(item_key, str):
            return
        with reading(self._engine) as connection:
            item = work.read_item(connection, item_key)
            spoken_of = cases_spoken_of(connection, item_key)
        if item is None or item.event_id != message.event_id:
            return
        for case in item.cases:
            if case.case_key == state.case_key or (spoken_of is not None and case.case_key not in spoken_of):
                continue
            event_id = f"{message.event_id}{FAN_OUT}{case.case_key}"
            body = {**message.body, "event_id": event_id, "at": message.at.isoformat()}
            await self._pass_on(f"case/{case.case_key}", message.name, body)

    async def _pass_on_correction(self, state: CaseState, message: Received) -> None:
        """Pass the correction of an outcome on to the cases that the outcome was passed on to."""
        with reading(self._engine) as connection:
            told = cases_told(connection, str(message.body["corrects"]), state.case_key)
        for case_key in told:
            event_id = f"{message.event_id}{FAN_OUT}{case_key}"
            body = {**message.body, "event_id": event_id, "at": message.at.isoformat()}
            await self._pass_on(f"case/{case_key}", message.name, body)

    async def _pass_on_event(self, state: CaseState, message: Received) -> None:
        """Tell the other cases that a state event concerns: the ledger has it, they must only read it again."""
        if message.name not in _TELLING:
            return
        with reading(self._engine) as connection:
            all_told = told_by(connection, message, state, self._catalogue)
        for told in all_told:
            if told.moves_the_ladder:
                await self._pass_on_told(state, message, told)

    async def _pass_on_told(self, state: CaseState, message: Received, told: Told) -> None:
        with reading(self._engine) as connection:
            concern = concern_of(connection, told)
        digest = hashlib.sha256(f"{told.kind}/{told.event_id}".encode()).hexdigest()[:32]
        for case_key in concern.cases:
            if case_key != state.case_key:
                body = {"event_id": f"state/{digest}{FAN_OUT}{case_key}", "at": message.at.isoformat()}
                await self._pass_on(f"case/{case_key}", "ledger_changed", body)

    async def _pass_on_hold(self, state: CaseState, message: Received) -> None:
        """Tell the debtor's other cases of what was done to a hold that is on all of them."""
        if message.name not in _HOLDS or message.refusal is not None:
            return
        with self._engine.connect() as connection:
            beside = cases_beside(connection, state.case_key)
        digest = hashlib.sha256(message.event_id.encode()).hexdigest()[:32]
        for case_key in beside:
            body = {"event_id": f"hold/{digest}{FAN_OUT}{case_key}", "at": message.at.isoformat()}
            await self._pass_on(f"case/{case_key}", "ledger_changed", body)

    async def _pass_on(self, workflow_id: str, name: str, body: Mapping[str, object]) -> None:
        if self._client is None:
            return
        try:
            await self._client.get_workflow_handle(workflow_id).signal(name, body)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # a case that has closed needs no word
                raise

    # --- people -------------------------------------------------------------------------------------------------

    @activity.defn(name=ASK, no_thread_cancel_exception=True)
    def ask(self, request: AskRequest) -> AskReport:
        """Create a work item or join the open one, if the ledger still allows it."""
        watch, state, ask = Stopwatch(), request.state, request.ask
        strategy = self._book.by_digest(request.strategy_digest)
        step = None if ask.step is None else strategy.steps[strategy.index_of(ask.step)]
        with self._engine.begin() as connection:
            if step is None:
                lock_persons(connection, [state.account_key])
            else:
                lock_contact(connection, state.account_key, CONTACT_POINT_KIND[step.via])
            now = watch.business_now(state)
            reading = read_account(connection, state.account_key, now, logical=state.clock.is_logical)
            closed = read_case(connection, state.case_key).status == "closed"
            refusal = (
                ()
                if step is None
                else _why_not_ask(
                    reading, step, closed=closed, softened=unheard_flags(strategy, state.facts, reading.facts)
                )
            )
            not_before: datetime | None = None
            party, point = reading.party_key, None
            if step is not None and not refusal:
                answer = self._ask_gate(connection, request, strategy, step, watch)
                if isinstance(answer, Refused):
                    refusal, not_before = answer.rule_ids, answer.until
                else:
                    party, point = answer.party_key, answer.key
            item: OpenItem | None = None
            if not refusal:
                item = self._place(connection, request, strategy, reading, party, now, point)
                reading = read_account(connection, state.account_key, now, logical=state.clock.is_logical)
            report = AskReport(ask=ask, item=item, rule_ids=refusal, not_before=not_before, at=now, facts=reading.facts)
            self._show(connection, state, strategy, report)
        return report

    def _ask_gate(
        self, connection: Connection, request: AskRequest, strategy: Strategy, step: Step, watch: Stopwatch
    ) -> Refused | Point:
        """Ask the gate whether a person may be given this task now; a refusal is recorded as an attempt's decision.

        Returns whom it is about, or who refused and when to ask again. The gate is asked once more when they dial.
        """
        state = request.state
        attempt = Attempt(
            key=state.attempt_key(request.ask.seq),
            case_key=state.case_key,
            account_key=state.account_key,
            seq=request.ask.seq,
            step=step.id,
            pass_no=state.cursor.pass_no,
            try_no=state.cursor.try_no,
            channel=step.via,
            purpose=step.purpose,
            template=None,
        )
        matter = Matter(attempt, step, strategy, state.clock.is_logical)
        read = self._judge.read(connection, matter, watch.business_now(state))
        taken = read.context.taken
        if taken is not None and taken.status not in _TAKEN_UP_AGAIN:
            return Refused(taken.rule_ids or (REFUSED,), taken.not_before)
        decision = self._judge.decide(matter, self._judge.with_record(connection, matter, read))
        if decision.verdict is Verdict.ALLOW and read.point is not None:
            return read.point
        ruling = Ruling(
            decision=decision,
            facts_json=read.account.facts.model_dump_json(exclude_defaults=True),
            amount=read.account.facts.asked_for,
            currency=read.account.facts.currency,
            point=read.point,
            provider=None,
            now=read.now,
            engine_now=watch.engine_now,
        )
        write_decision(connection, attempt, ruling)
        if decision.verdict is Verdict.REVIEW:
            hand_to_person(connection, attempt, read, decision)
        return Refused(decision.rule_ids or (REFUSED,), decision.defer_until)

    def _place(
        self,
        connection: Connection,
        request: AskRequest,
        strategy: Strategy,
        reading: AccountReading,
        party_key: str,
        now: datetime,
        point_key: str | None,
    ) -> OpenItem:
        state, ask = request.state, request.ask
        facts = reading.facts
        zone, holidays_of = facts.zone or "UTC", strategy.holidays or facts.region
        expires, best = None, now
        if ask.step is not None:
            step = strategy.steps[strategy.index_of(ask.step)]
            expires = item_expiry(step, now, zone, holidays_of)
            if ask.kind is TaskKind.CALL and point_key is not None:
                reached = hours_reached(connection, point_key, zone)
                best = best_start(reached, now, step.between, zone, holidays_of, before=expires)
        placed = work.place(
            connection,
            work.Order(
                kind=ask.kind,
                case_key=state.case_key,
                step=ask.step,
                attempt_key=state.attempt_key(ask.seq)
                if ask.step is not None
                else f"{ask.reason or ask.kind}/{state.attempt_key(ask.seq)}",
                party_key=party_key,
                creditor=facts.creditor,
                collector=reading.collector,
                reason=ask.reason,
                at=now,
                expires_at=expires,
                due_at=best,
            ),
        )
        if placed.joined:
            body = {"item": placed.key, "kind": ask.kind, "step": ask.step, "reason": ask.reason}
            append_event(connection, state.case_key, "asked", now, body)
            if self._planner is not None and ask.step is not None:
                self._planner.plan(
                    connection,
                    item_key=placed.key,
                    kind=ask.kind,
                    party_key=party_key,
                    creditor=facts.creditor,
                    collector=reading.collector,
                    cases=[(state.case_key, reading.external_id, facts.asked_for, facts.currency)],
                    zone=zone,
                    at=now,
                )
        return OpenItem(key=placed.key, kind=ask.kind, step=ask.step, seq=ask.seq, expires_at=expires)

    @activity.defn(name=GIVE_UP, no_thread_cancel_exception=True)
    def give_up(self, request: GiveUpRequest) -> GiveUpReport:
        """Requeue an unworked item, or take the case out of it. An item worked meanwhile is waited for."""
        watch, state = Stopwatch(), request.state
        strategy = self._book.by_digest(request.strategy_digest)
        with self._engine.begin() as connection:
            lock_persons(connection, [state.account_key])
            now = watch.business_now(state)
            item = work.read_item(connection, request.item.key)
            until, withdrawn = None, request.withdrawn
            spoken_of = cases_spoken_of(connection, request.item.key)
            on_the_line = item is not None and dialled_attempt(connection, item) is not None
            zone, holidays_of = state.facts.zone or "UTC", strategy.holidays or state.facts.region
            planned = planned_until(connection, request.item.key, now)
            done = item is not None and item.status in {"done", "reported"}
            if done and spoken_of is not None and state.case_key not in spoken_of:
                withdrawn = True  # the talk was not about this case: it asks anew
            elif on_the_line and not request.withdrawn:
                until = add_period(now, _HOUR, zone, holidays_of)
            elif planned is not None and not request.withdrawn:
                until = planned
            elif done and not request.withdrawn:
                until = add_period(now, _DAY, zone, holidays_of)
            elif request.requeue and request.item.step is not None:
                step = strategy.steps[strategy.index_of(request.item.step)]
                until = next_opening(item_expiry(step, now, zone, holidays_of), step.between, zone, holidays_of)
                work.requeue(connection, request.item.key, until)
                append_event(connection, state.case_key, "requeued", now, {"item": request.item.key})
            else:
                work.abandon(connection, request.item.key, state.case_key, now)
                kind = "withdrawn" if request.withdrawn else "unworked"
                append_event(connection, state.case_key, kind, now, {"item": request.item.key})
            reading = read_account(connection, state.account_key, now, logical=state.clock.is_logical)
            report = GiveUpReport(
                item=request.item.key,
                requeued_until=until,
                withdrawn=withdrawn,
                at=now,
                facts=reading.facts,
            )
            self._show(connection, state, strategy, report)
        return report

    # --- ends ---------------------------------------------------------------------------------------------------

    @activity.defn(name=CLOSE_EPISODE, no_thread_cancel_exception=True)
    def close_episode(self, request: CloseRequest) -> CloseReport:
        """End the episode, unless the ledger says that it is still owed."""
        watch, state = Stopwatch(), request.state
        self._checkpoint(Place.CLOSING_ENTERED, state.case_key)
        with self._engine.begin() as connection:
            lock_persons(connection, [state.account_key])
            now = watch.business_now(state)
            readings = read_facts(connection, [state.account_key], now, logical=state.clock.is_logical)
            facts = readings[state.account_key].facts
            row = read_case(connection, state.case_key)
            reason = row.close_reason or request.reason
            closed = row.status == "closed"
            if not closed and (request.reason not in LAST_REASONS or facts.past_due <= 0):
                close_case(connection, state.case_key, reason, now)
                closed = True
            self._checkpoint(Place.CLOSING_DECIDED, state.case_key)
        self._checkpoint(Place.CLOSING_CLOSED, state.case_key)
        return CloseReport(closed=closed, reason=reason, at=now, facts=facts)

    @activity.defn(name=HAND_OVER, no_thread_cancel_exception=True)
    def hand_over(self, request: HandOverRequest) -> HandOverReport:
        """Pin the newest registered version of the strategy that takes over."""
        watch, state = Stopwatch(), request.state
        if request.digest is not None:
            return self._adopt(request, request.digest, watch.business_now(state))
        newest = self._book.newest(request.strategy)
        with self._engine.begin() as connection:
            now = watch.business_now(state)
            if newest is None:
                append_event(connection, state.case_key, "handover_failed", now, {"strategy": request.strategy})
                return HandOverReport(strategy=None, digest="", at=now)
            key, strategy = newest
            connection.exec_driver_sql(
                "UPDATE cases SET strategy_digest = %s, strategy = %s WHERE key = %s",
                (key, strategy.name, state.case_key),
            )
            body: Mapping[str, object] = {
                "strategy": strategy.name,
                "version": strategy.version,
                "digest": key,
            }
            append_event(connection, state.case_key, "handed_over", now, body)
        return HandOverReport(strategy=strategy, digest=key, at=now)

    def _adopt(self, request: HandOverRequest, digest: str, now: datetime) -> HandOverReport:
        """Pin the very strategy that somebody ordered, and show what the case does next by it."""
        state, old, new = request.state, self._book.by_digest(request.strategy_digest), self._book.by_digest(digest)
        with self._engine.begin() as connection:
            lock_persons(connection, [state.account_key])
            changed = connection.exec_driver_sql(
                "UPDATE cases SET strategy_digest = %s, strategy = %s WHERE key = %s AND strategy_digest <> %s",
                (digest, new.name, state.case_key, digest),
            ).rowcount
            if changed:
                body = {"from": request.strategy_digest, "strategy": new.name, "version": new.version, "digest": digest}
                append_event(connection, state.case_key, "strategy_adopted", now, body)
            show_case(connection, state.case_key, outlook(adopted(state, old, new, now), new, now))
        return HandOverReport(strategy=new, digest=digest, at=now)

    @staticmethod
    def _show(connection: Connection, state: CaseState, strategy: Strategy, report: Report) -> None:
        after, own = apply(state, strategy, report)
        show_case(connection, state.case_key, outlook(after, strategy, report.at, pending=bool(own)))


def _why_not_ask(reading: AccountReading, step: Step | None, *, closed: bool, softened: bool) -> tuple[str, ...]:
    """Return the rules that forbid giving a person this task now."""
    facts = reading.facts
    checks = {
        "core.not-past-due": facts.past_due <= 0,
        "core.closed": closed or facts.closing is not None,
        "core.hold": facts.hold is not None,
        "core.arrangement": facts.plan is not None and facts.plan.rests,
        "core.stopped": step is not None and barred(facts, step),
        "core.legal-stage": step is not None and legal_bars(facts, step.via, step.purpose),
        "core.softened": softened,
        "core.zone-unknown": facts.zone is None,
    }
    return tuple(rule for rule, hit in checks.items() if hit)
