"""One case: a durable loop around two pure functions.

Record what came in, decide, then wait or run one activity, fold the report in. Truth about money, holds and stage is
the ledger; messages are an inbox. Nothing here reads a clock, and nothing a sender does can stop the loop.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities import search_attributes, signatures
    from domain.adoption import adopted, position_of
    from domain.arranged import REMINDER_STEP
    from domain.case import (
        REFUSED_KEPT,
        SEEN_KEPT,
        Agreed,
        Ask,
        AskReport,
        AskRequest,
        CaseEnd,
        CaseInput,
        Close,
        CloseReport,
        CloseRequest,
        Contact,
        ContactReport,
        ContactRequest,
        GiveUp,
        GiveUpReport,
        GiveUpRequest,
        HandOver,
        HandOverReport,
        HandOverRequest,
        RecordReport,
        RecordRequest,
        Refresh,
        Remind,
        Report,
        Wait,
    )
    from domain.codes import Stage
    from domain.decide import advance, apply, decide, stage_of
    from domain.forecast import Coming, forecast
    from domain.messages import (
        ADOPT,
        AGREE,
        TURN,
        AdoptStrategy,
        Received,
        Refusal,
        RefusedMessageError,
        parse_message,
        take_in,
    )
    from domain.outlook import foresee, outlook
    from domain.strategy import Strategy

LEDGER_TIMEOUT = timedelta(seconds=60)
CONTACT_TIMEOUT = timedelta(seconds=90)
RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))
WORLD_TIMEOUT = timedelta(minutes=10)
BATCH = 50
"""Messages recorded in one activity."""

R = TypeVar("R")


@workflow.defn(name="case")
class CaseWorkflow:
    """The life of one episode of one account."""

    @workflow.init
    def __init__(self, given: CaseInput) -> None:
        self._given = given
        self._state = given.state
        self._strategy = given.strategy
        self._digest = given.strategy_digest
        self._inbox = list(given.inbox)
        self._seen = dict.fromkeys(given.seen)
        self._refused = list(given.refused)
        self._refused_total = given.refused_total
        self._shown_stage = given.shown_stage
        self._handled = given.handled
        self._waits_for = ""
        self._turn = given.turn
        self._recording: list[Received] = []
        self._ended = False

    # --- what comes in ------------------------------------------------------------------------------------------

    @workflow.signal(dynamic=True)
    def on_message(self, name: str, args: Sequence[RawValue]) -> None:
        """Take in a message of any name and any shape; it is parsed, or kept as refused. Never raises."""
        received = take_in(name, [arg.payload.data for arg in args], self._engine_business_now())
        if received.name == TURN and received.refusal is None and self._state.clock.in_turns:
            self._turn = received.at if self._turn is None else max(self._turn, received.at)
            return
        self._take(received)

    def _take(self, received: Received) -> None:
        if received.event_id in self._seen:
            return
        self._seen[received.event_id] = None
        while len(self._seen) > SEEN_KEPT:
            del self._seen[next(iter(self._seen))]
        if received.refusal is not None:
            digest = received.event_id.removeprefix("refused/")
            self._refuse(Refusal(name=received.name, sha256=digest, reason=received.refusal))
        self._inbox.append(received)

    def _refuse(self, refusal: Refusal) -> None:
        self._refused.append(refusal)
        del self._refused[:-REFUSED_KEPT]
        self._refused_total += 1

    @workflow.update(name="adopt_strategy")
    async def adopt_strategy(self, order: AdoptStrategy) -> dict[str, Any]:
        """Follow another strategy from here on; answer what happens when by it. Safe to repeat."""
        body = order.model_dump(mode="json", exclude_defaults=True)
        at = order.at or self._now()
        self._take(Received(name=ADOPT, event_id=order.event_id, at=at, body=body))
        await workflow.wait_condition(lambda: self._ended or not self._changing_over(order.event_id))
        return {"adopted": self._digest == order.digest, **self.forecast()}

    @adopt_strategy.validator
    def _may_adopt(self, order: AdoptStrategy) -> None:
        if order.event_id in self._seen:
            return
        if order.digest == self._digest:
            raise ValueError("the case follows this strategy already")
        if order.position is not None and order.position != position_of(self._state, self._digest):
            raise ValueError("the case has moved on since this was previewed; look at it again")

    def _changing_over(self, event_id: str) -> bool:
        waiting = any(message.event_id == event_id for message in (*self._recording, *self._inbox))
        return waiting or self._state.adopting is not None

    @workflow.query
    def forecast(self, strategy: Strategy | None = None) -> dict[str, Any]:
        """Say what the case will do and when if nobody answers, by its own strategy or if it adopted another now."""
        state, followed = self._state, self._strategy
        if strategy is not None:
            state, followed = adopted(state, followed, strategy, self._now()), strategy
        zone = state.facts.zone or "UTC"
        coming = [Coming(None, "closed")] if self._ended else forecast(state, followed, self._now())
        return {
            "case": state.case_key,
            "strategy": f"{followed.name} v{followed.version}",
            "position": position_of(self._state, self._digest),
            "zone": zone,
            "coming": [one.plainly(zone) for one in coming],
        }

    @workflow.update
    async def agree_arrangement(self, wish: dict[str, Any]) -> Agreed:
        """Agree an arrangement: an Update and no signal, because whoever speaks with the debtor waits for the answer.

        The ledger decides, under its locks, when the loop records what came in. The same event id gets the same answer.
        """
        message = parse_message(AGREE, wish)
        if self._answer(message.event_id) is None:
            body = message.model_dump(mode="json", exclude_defaults=True)
            at = message.at or self._engine_business_now()
            self._seen.pop(message.event_id, None)  # asked again after its answer was dropped: the ledger has it
            self._take(Received(name=AGREE, event_id=message.event_id, at=at, body=body))
        await workflow.wait_condition(lambda: self._answer(message.event_id) is not None)
        answer = self._answer(message.event_id)
        if answer is None:
            raise ApplicationError("the answer was lost", type="Lost")
        return answer

    @agree_arrangement.validator
    def _check_wish(self, wish: dict[str, Any]) -> None:
        try:
            parse_message(AGREE, wish)
        except RefusedMessageError as error:
            raise ApplicationError(str(error), type="Refused", non_retryable=True) from None

    def _answer(self, event_id: str) -> Agreed | None:
        return next((one for one in self._state.answers if one.event_id == event_id), None)

    @workflow.query
    def status(self) -> dict[str, Any]:
        """Say where the case stands, what it waits for, and which messages were refused."""
        state = self._state
        view = outlook(state, self._strategy, self._now(), pending=bool(self._inbox))
        return {
            "case": state.case_key,
            "strategy": f"{self._strategy.name} v{self._strategy.version}",
            "stage": view.stage,
            "step": view.step,
            "next_at": view.due_at.isoformat(),
            "waiting_for": self._waits_for or view.waiting_for,
            "now": self._now().isoformat(),
            "past_due": state.facts.past_due,
            "balance": state.facts.balance,
            "currency": state.facts.currency,
            "dpd": state.facts.dpd,
            "attempts": state.seq,
            "open_item": None if state.item is None else state.item.key,
            "handled": self._handled,
            "pending": len(self._inbox),
            "refused_total": self._refused_total,
            "refused": [refusal.model_dump() for refusal in self._refused],
        }

    # --- the loop -----------------------------------------------------------------------------------------------

    @workflow.run
    async def run(self, given: CaseInput) -> CaseEnd:  # noqa: ARG002 - taken in by __init__
        """Run until the ledger agrees that the episode is over."""
        while True:
            if self._inbox:
                await self._record()
            elif (end := await self._step()) is not None:
                self._ended = True
                while not workflow.all_handlers_finished():  # whoever waits for an answer has it before we go
                    if self._inbox:
                        await self._record()
                    else:
                        await workflow.wait_condition(lambda: bool(self._inbox) or workflow.all_handlers_finished())
                return end
            if workflow.info().is_continue_as_new_suggested() and workflow.all_handlers_finished():
                workflow.continue_as_new(self._carried())

    async def _step(self) -> CaseEnd | None:
        now = self._now()
        self._state = advance(self._state, self._strategy, now)
        self._show_stage(stage_of(self._state, self._strategy))
        coming = decide(self._state, self._strategy, now)
        if not isinstance(coming, Wait) and not self._may_act(now):
            await self._wait_for_turn(now, "waiting for the debtor's other cases")
            return None
        common = {"state": self._state, "strategy_digest": self._digest}
        match coming:
            case Wait():
                wait, _ = foresee(self._state, self._strategy, coming)
                await self._wait(wait)
            case Refresh():
                self._say(coming.why)
                await self._record()
            case Contact():
                step = self._strategy.steps[self._strategy.index_of(coming.step)]
                self._say(f"contacting by {step.via}: step {step.id}")
                report = await workflow.execute_activity(
                    signatures.CONTACT,
                    ContactRequest.model_validate({**common, "step": coming.step, "seq": coming.seq}),
                    result_type=ContactReport,
                    task_queue=signatures.queue_of(step.via),
                    start_to_close_timeout=CONTACT_TIMEOUT,
                    heartbeat_timeout=signatures.HEARTBEAT_TIMEOUT,
                    retry_policy=RETRY,
                    summary=f"step {step.id} by {step.via}, attempt {coming.seq}",
                )
                self._fold(report)
            case Remind():
                await self._remind(coming, common)
            case Ask():
                await self._ask(coming, common)
            case GiveUp():
                asked = {"item": self._state.item, "requeue": coming.requeue, "withdrawn": coming.withdrawn}
                given_up = await self._ledger(
                    signatures.GIVE_UP,
                    GiveUpRequest.model_validate({**common, **asked}),
                    GiveUpReport,
                    f"item {coming.item} " + ("is taken back" if coming.withdrawn else "was not worked"),
                )
                self._fold(given_up)
            case HandOver():
                await self._hand_over(coming, common)
            case Close():
                return await self._close(coming, common)
        return None

    async def _remind(self, coming: Remind, common: dict[str, Any]) -> None:
        """Make one attempt to remind of a line of an arrangement."""
        self._say(f"reminding of {coming.mark} by {coming.channel}")
        asked = {"step": REMINDER_STEP, "seq": coming.seq, "reminder": coming.mark, "channel": coming.channel}
        report = await workflow.execute_activity(
            signatures.CONTACT,
            ContactRequest.model_validate({**common, **asked}),
            result_type=ContactReport,
            task_queue=signatures.queue_of(coming.channel),
            start_to_close_timeout=CONTACT_TIMEOUT,
            heartbeat_timeout=signatures.HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
            summary=f"reminder of {coming.mark} by {coming.channel}, attempt {coming.seq}",
        )
        self._fold(report)

    async def _wait(self, wait: Wait) -> None:
        """Sleep until the instant or until something comes in, whichever is first."""
        until, clock = wait.until, self._state.clock
        if until is not None and clock.horizon is not None and until > clock.horizon:
            until = None
        words = wait.why if until is None else f"{wait.why}, {until:%Y-%m-%d %H:%M} UTC"
        self._say(words)
        if until is None:
            await workflow.wait_condition(lambda: bool(self._inbox))
            return
        if clock.in_turns and not wait.for_world:
            await self._wait_for_turn(until, words)
            return
        span = WORLD_TIMEOUT if wait.for_world else clock.engine_wait(until, workflow.now())
        try:
            await workflow.wait_condition(lambda: bool(self._inbox), timeout=span, timeout_summary=words[:200])
        except TimeoutError:
            if wait.for_world:
                await self._record()
            elif clock.is_logical:
                self._state = self._state.model_copy(update={"now": max(self._state.now, until)})

    def _may_act(self, now: datetime) -> bool:
        """Whether it is this case's turn; always, unless the clock has its cases take turns."""
        return not self._state.clock.in_turns or (self._turn is not None and self._turn >= now)

    async def _wait_for_turn(self, until: datetime, words: str) -> None:
        """Sleep until the instant, then until the cases of the same debtor that come first have acted."""
        clock = self._state.clock
        if not clock.runs_ahead:
            span = clock.engine_wait(until, workflow.now())
            with suppress(TimeoutError):
                await workflow.wait_condition(lambda: bool(self._inbox), timeout=span, timeout_summary=words[:200])
        await workflow.wait_condition(lambda: bool(self._inbox) or self._may_act(until))
        if not self._inbox:
            self._state = self._state.model_copy(update={"now": max(self._state.now, until)})

    async def _record(self) -> None:
        """Write what came in to the ledger, in order; what comes in meanwhile waits for the next round."""
        batch, self._inbox = self._inbox[:BATCH], self._inbox[BATCH:]
        if self._state.clock.is_logical and batch:
            latest = max(message.at for message in batch)
            self._state = self._state.model_copy(update={"now": max(self._state.now, latest)})
        self._recording = batch
        request = RecordRequest(state=self._state, strategy_digest=self._digest, messages=batch)
        names = ", ".join(sorted({message.name for message in batch})) or "reading the ledger again"
        report = await self._ledger(signatures.RECORD_EVENTS, request, RecordReport, names[:180])
        self._handled += len(batch)
        for refusal in report.refused:
            self._refuse(refusal)
        self._fold(report)
        self._recording = []

    async def _ask(self, ask: Ask, common: dict[str, Any]) -> None:
        request = AskRequest.model_validate({**common, "ask": ask})
        report = await self._ledger(signatures.ASK, request, AskReport, f"asking a person: {ask.kind}")
        self._fold(report)

    async def _hand_over(self, coming: HandOver, common: dict[str, Any]) -> None:
        request = HandOverRequest.model_validate({**common, "strategy": coming.strategy, "digest": coming.digest})
        to = coming.strategy or "the strategy that was ordered"
        report = await self._ledger(signatures.HAND_OVER, request, HandOverReport, f"handing over to {to}")
        if coming.digest is not None and report.strategy is not None:
            self._state = adopted(self._state, self._strategy, report.strategy, report.at)
            self._strategy, self._digest = report.strategy, report.digest
            workflow.upsert_search_attributes([search_attributes.STRATEGY.value_set(report.strategy.name)])
            return
        update: dict[str, Any] = {"handover": None}
        if report.strategy is not None:
            self._strategy, self._digest = report.strategy, report.digest
            fresh = self._state.cursor.model_copy(
                update={"index": 0, "try_no": 1, "tried_at": None, "not_before": None, "open_seq": None}
            )
            update |= {"cursor": fresh.model_copy(update={"step_done_at": report.at, "last_step": None})}
        self._state = self._state.model_copy(update=update)

    async def _close(self, close: Close, common: dict[str, Any]) -> CaseEnd | None:
        request = CloseRequest.model_validate({**common, "reason": close.reason})
        report = await self._ledger(signatures.CLOSE_EPISODE, request, CloseReport, f"closing: {close.reason}")
        now = max(self._state.now, report.at)
        self._state = self._state.model_copy(update={"facts": report.facts, "now": now})
        if not report.closed:
            return None
        self._show_stage(Stage.CLOSED)
        while self._inbox:  # whatever came in while we closed reaches the ledger before we go
            await self._record()
        self._say(f"closed: {report.reason}")
        return CaseEnd(case_key=self._state.case_key, reason=report.reason, closed_at=report.at)

    # --- small things -------------------------------------------------------------------------------------------

    async def _ledger(self, name: str, request: Any, result: type[R], summary: str) -> R:  # noqa: ANN401
        report: R = await workflow.execute_activity(
            name,
            request,
            result_type=result,
            start_to_close_timeout=LEDGER_TIMEOUT,
            heartbeat_timeout=signatures.HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
            summary=summary,
        )
        return report

    def _fold(self, report: Report) -> None:
        self._state, own = apply(self._state, self._strategy, report)
        self._inbox = [*own, *self._inbox]

    def _engine_business_now(self) -> datetime:
        return max(self._state.now, self._state.clock.business(workflow.now()))

    def _now(self) -> datetime:
        """Return the instant the case acts at: on a logical clock the one its last timer was set for."""
        return self._state.now if self._state.clock.is_logical else max(self._state.now, workflow.now())

    def _say(self, words: str) -> None:
        self._waits_for = words
        workflow.set_current_details(words)

    def _show_stage(self, stage: Stage) -> None:
        if stage is self._shown_stage:
            return
        self._shown_stage = stage
        workflow.upsert_search_attributes([search_attributes.CASE_STAGE.value_set(str(stage))])

    def _carried(self) -> CaseInput:
        return self._given.model_copy(
            update={
                "state": self._state,
                "strategy": self._strategy,
                "strategy_digest": self._digest,
                "inbox": self._inbox,
                "seen": list(self._seen),
                "refused": self._refused,
                "refused_total": self._refused_total,
                "shown_stage": self._shown_stage,
                "handled": self._handled,
                "turn": self._turn,
            }
        )
