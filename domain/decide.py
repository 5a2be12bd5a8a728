"""What a case does next, and what an outcome changes: the heart of Dunlin, as two pure functions.

``decide(state, strategy, now)`` says wait, contact, ask a person, read the ledger again, or close. ``apply(state,
strategy, report)`` folds in what the ledger reported. Neither looks at a clock; both can be replayed. ``decide`` never
allows a contact by itself: the gate decides again, inside the transaction that admits it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from domain.arranged import after_arrangement, reminded, while_arranged
from domain.calendar import add_days, add_period, local_date, start_of_day
from domain.case import (
    ANSWERS_KEPT,
    Adopted,
    Agreed,
    Ask,
    AskReport,
    CaseState,
    Close,
    Contact,
    ContactReport,
    Corrected,
    Cursor,
    Decided,
    GiveUp,
    GiveUpReport,
    HandOver,
    History,
    OpenItem,
    RecordReport,
    Refresh,
    Remind,
    Report,
    Reported,
    Skipped,
    Wait,
    Worked,
)
from domain.codes import (
    COUNTS_AS_CONTACT,
    IN_COURT,
    SAID_BY_THE_LEDGER,
    AttemptStatus,
    Channel,
    CloseReason,
    Purpose,
    Stage,
    TaskKind,
)
from domain.conditions import History as Tried
from domain.conditions import holds
from domain.facts import Facts
from domain.messages import Received
from domain.schedule import Anchors, open_from, step_due
from domain.softening import left_out
from domain.stops import (
    barred,
    barred_altogether,
    no_contact,
    withdrawn,
    words_of_hold,
    words_of_matter,
    words_of_stops,
)
from domain.strategy import GoTo, Step, Strategy

SETTLED_BY_FACTS = frozenset(
    {
        "core.not-past-due",
        "core.closed",
        "core.hold",
        "core.stopped",
        "core.zone-unknown",
        "core.arrangement",
        "core.nothing-to-remind",
        "core.softened",
        "core.legal-stage",
    }
)
"""Refusals that the facts explain: the rung stays, and ``decide`` acts on the facts."""

NEVER_AFTER_UNWORKED = frozenset({Channel.VISIT, Channel.LEGAL})
LAST_REASONS = SAID_BY_THE_LEDGER
"""Reasons that the ledger must confirm: nothing is past due."""


@dataclass(frozen=True, slots=True)
class Rung:
    """The step a case stands before, and when it is due. ``step`` is ``None`` after the last one."""

    index: int
    step: Step | None
    due: datetime | None


# --- deciding -------------------------------------------------------------------------------------------------------


def decide(state: CaseState, strategy: Strategy, now: datetime) -> Decided:
    """Say what the case does at ``now``, on the facts it was told last."""
    facts = state.facts
    reason = facts.closing or state.closing
    if reason is not None and (facts.past_due <= 0 or reason not in LAST_REASONS):
        return Close(reason=reason)
    if facts.past_due <= 0:
        return Close(reason=facts.cured_by or (CloseReason.CURE if state.history.rpcs else CloseReason.SELF_CURE))
    if state.adopting is not None:
        return _changing_over(state, state.adopting)
    ends_at, end_reason = _end(state, strategy)
    if end_reason is not None and (ends_at is None or ends_at <= now):
        return Close(reason=end_reason)
    change = facts.next_change_at
    if change is not None and change <= now and not facts.awaits_world:
        return Refresh(why="what was already recorded takes effect now")
    planned = _planned(state, strategy, now)
    if not isinstance(planned, Wait):
        if change is not None and change <= now:
            return _awaiting_world(change, now)
        return planned
    wakes = [instant for instant in (planned.until, ends_at) if instant is not None]
    until = min(wakes, default=None)
    if change is not None and (until is None or change < until):
        if facts.awaits_world:
            return Wait(until=change, why=planned.why, for_world=True)
        until = change
    return Wait(until=until, why=planned.why)


def _changing_over(state: CaseState, digest: str) -> GiveUp | HandOver:
    """Say how a case moves to another strategy: what it asked of a person is taken back first, and asked anew there."""
    if state.item is not None:
        return GiveUp(item=state.item.key, requeue=False, withdrawn=True)
    return HandOver(strategy="", digest=digest)


def _awaiting_world(change: datetime, now: datetime) -> Wait:
    return Wait(until=max(change, now), why="waiting for a message that is on its way", for_world=True)


def _planned(state: CaseState, strategy: Strategy, now: datetime) -> Decided:
    """Say what would be done if only the ladder mattered."""
    facts, item = state.facts, state.item
    if (resting := _resting(state, strategy, now)) is not None:
        return resting
    if item is not None:
        if item.expires_at is not None and item.expires_at <= now:
            return _give_up(item, strategy)
        return Wait(until=item.expires_at, why=f"waiting for a person to work {item.kind} item {item.key}")
    if state.handover is not None:
        return HandOver(strategy=state.handover)
    if facts.zone is None:
        if "zone_unknown" not in state.asked:
            return Ask(kind=TaskKind.DATA_REPAIR, step=None, seq=state.seq + 1, reason="zone_unknown")
        return Wait(until=None, why="the debtor's time zone is unknown: waiting for data repair")
    rung = next_rung(state, strategy, now)
    if rung.step is None or rung.due is None:
        return _at_the_end(state, strategy)
    if rung.due > now:
        return Wait(until=rung.due, why=f"step {rung.step.id} ({rung.step.via}) is due")
    seq = state.cursor.open_seq if rung.index == state.cursor.index else None
    if rung.step.task_kind is None:
        return Contact(step=rung.step.id, seq=seq or state.seq + 1)
    return Ask(kind=rung.step.task_kind, step=rung.step.id, seq=seq or state.seq + 1)


def _resting(state: CaseState, strategy: Strategy, now: datetime) -> GiveUp | Remind | Wait | None:
    """Say what is done while a hold, an event or an arrangement bars everything: take back what is open, then wait."""
    facts, item = state.facts, state.item
    if item is not None and withdrawn(facts, strategy, item):
        return GiveUp(item=item.key, requeue=False, withdrawn=True)
    if facts.hold is not None:
        return Wait(until=None, why=words_of_hold(facts.hold))
    if barred_altogether(facts):
        return Wait(until=None, why=words_of_stops(facts))
    return while_arranged(state, now)


def _at_the_end(state: CaseState, strategy: Strategy) -> Ask | Wait:
    if no_contact(state.facts):
        return Wait(until=None, why=words_of_stops(state.facts))
    if state.facts.legal_stage is not None:
        return Wait(until=None, why=words_of_matter(state.facts.legal_stage))
    if strategy.at_end == "review" and "ladder_ended" not in state.asked:
        return Ask(kind=TaskKind.REVIEW, step=None, seq=state.seq + 1, reason="ladder_ended")
    return Wait(until=None, why="the ladder has ended: waiting for the debtor or a decision")


def _give_up(item: OpenItem, strategy: Strategy) -> GiveUp:
    requeue = item.step is not None and strategy.steps[strategy.index_of(item.step)].unworked == "requeue"
    return GiveUp(item=item.key, requeue=requeue)


def _end(state: CaseState, strategy: Strategy) -> tuple[datetime | None, CloseReason | None]:
    """Return the earliest end of the strategy: when (``None``: it has happened) and why."""
    facts, zone = state.facts, state.facts.zone or "UTC"
    starts = {
        "opened": local_date(state.opened_at, zone),
        "placed": facts.placed_on,
        "due": facts.oldest_due_on,
    }
    earliest: tuple[datetime, CloseReason] | None = None
    for end in strategy.ends:
        if end.event is not None:
            if end.event in state.events:
                return None, end.close
            continue
        start = starts[end.since or "opened"]
        if start is None or end.days is None:
            continue
        at = start_of_day(start + timedelta(days=end.days), zone)
        if earliest is None or at < earliest[0]:
            earliest = (at, end.close)
    return earliest or (None, None)


def next_rung(state: CaseState, strategy: Strategy, now: datetime) -> Rung:
    """Find the step the case stands before.

    Steps whose conditions fail when they are due are passed over. A step whose day has gone by gives way to a later one
    that is due too: after downtime, a hold or a late start the case joins where it belongs, and never sends a burst.
    """
    index = _first_that_fits(state, strategy, state.cursor.index, now)
    rung = _rung_at(state, strategy, index)
    zone = state.facts.zone or "UTC"
    while rung.due is not None and rung.due <= now and local_date(rung.due, zone) < local_date(now, zone):
        later = _first_that_fits(state, strategy, rung.index + 1, now)
        following = _rung_at(state, strategy, later)
        if following.step is None or following.due is None or following.due > now:
            break
        rung = following
    return rung


def aged(facts: Facts, now: datetime) -> Facts:
    """Return facts with the days past due as of ``now``: time passes between two readings of the ledger."""
    if facts.oldest_due_on is None:
        return facts
    dpd = facts.dpd_on(local_date(now, facts.zone or "UTC"))
    return facts if dpd == facts.dpd else facts.model_copy(update={"dpd": dpd})


def _first_that_fits(state: CaseState, strategy: Strategy, index: int, now: datetime) -> int:
    state = state.model_copy(update={"facts": aged(state.facts, now)})
    while index < len(strategy.steps):
        due = due_of(state, strategy, index)
        if due is not None and (due > now or not _passed_over(state, strategy, index)):
            return index
        index += 1
    return index


def _passed_over(state: CaseState, strategy: Strategy, index: int) -> bool:
    step, history = strategy.steps[index], state.history
    if history.unworked and step.via in NEVER_AFTER_UNWORKED:
        return True
    if barred(state.facts, step) or left_out(strategy, step, state.facts.flags):
        return True
    tried = Tried(tries=history.tries, rpcs=history.rpcs, dispositions=frozenset(history.dispositions))
    if not holds(step.only_if, state.facts, tried):
        return True
    needs = step.requires
    if history.tries < needs.attempts or history.days < needs.on_days:
        return True
    if any(channel not in history.channels for channel in needs.channels):
        return True
    return needs.last_resort and not _all_else_tried(state, strategy, index, tried)


def _all_else_tried(state: CaseState, strategy: Strategy, index: int, tried: Tried) -> bool:
    return all(
        step.id in state.history.done_steps or not holds(step.only_if, state.facts, tried)
        for step in strategy.steps[:index]
    )


def _rung_at(state: CaseState, strategy: Strategy, index: int) -> Rung:
    if index >= len(strategy.steps):
        return Rung(index=len(strategy.steps), step=None, due=None)
    return Rung(index=index, step=strategy.steps[index], due=due_of(state, strategy, index))


def due_of(state: CaseState, strategy: Strategy, index: int) -> datetime | None:
    """Return when a step is due; ``None`` when what it counts from has not happened."""
    cursor, facts = state.cursor, state.facts
    current = index == cursor.index
    due_on = facts.counts_from
    if state.base_due_on is not None:
        due_on = max(state.base_due_on, due_on) if due_on is not None else state.base_due_on
    anchors = Anchors(
        zone=facts.zone or "UTC",
        holidays_of=strategy.holidays or facts.region,
        due_on=due_on,
        opened_at=state.opened_at,
        placed_on=facts.placed_on,
        validation_end=state.validation_end,
        step_done_at=cursor.step_done_at,
        events=state.events,
        last_contact_at=state.history.last_contact_at,
    )
    tried_at = cursor.tried_at if current else None
    again_at = None if tried_at is None else cursor.again_at
    appointed = tried_at is not None and cursor.appointed
    step = strategy.steps[index]
    due = step_due(step, anchors, previous_try_at=tried_at, again_at=again_at, appointed=appointed)
    if due is not None and current and cursor.resumed_at is not None and tried_at is None:
        due = open_from(cursor.resumed_at, step, anchors)
    if due is not None and current and cursor.not_before is not None:
        due = max(due, cursor.not_before)
    return due


def advance(state: CaseState, strategy: Strategy, now: datetime) -> CaseState:
    """Move the cursor past the steps that were passed over, so that they stay passed over."""
    facts = state.facts
    if facts.zone is None or state.item is not None or at_rest(facts):
        return state
    rung = next_rung(state, strategy, now)
    if rung.index == state.cursor.index:
        return state
    moved = state.cursor.model_copy(
        update={
            "index": rung.index,
            "try_no": 1,
            "tried_at": None,
            "not_before": None,
            "open_seq": None,
            "resumed_at": None,
        }
    )
    return state.model_copy(update={"cursor": moved})


def at_rest(facts: Facts) -> bool:
    """Whether the ladder stands still: a hold, an event or an arrangement bars everything on it."""
    arranged = facts.plan is not None and facts.plan.rests
    return facts.hold is not None or barred_altogether(facts) or arranged


def stage_of(state: CaseState, strategy: Strategy) -> Stage:
    """Return the stage for lists: the kind of the step that was done last, or of the next one."""
    if state.facts.hold is not None or barred_altogether(state.facts):
        return Stage.HELD
    if state.facts.plan is not None and state.facts.plan.rests:
        return Stage.ARRANGED
    if state.facts.legal_stage in IN_COURT:
        return Stage.LEGAL
    if state.item is not None and state.item.step is not None:
        return _stage_of_step(strategy.steps[strategy.index_of(state.item.step)])
    if state.cursor.index >= len(strategy.steps):
        return Stage.ENDED_LADDER
    last = state.cursor.last_step
    known = last is not None and any(step.id == last for step in strategy.steps)
    step = strategy.steps[strategy.index_of(last)] if known and last else strategy.steps[state.cursor.index]
    return _stage_of_step(step)


def _stage_of_step(step: Step) -> Stage:
    match step.via:
        case Channel.SMS:
            return Stage.REMINDING
        case Channel.EMAIL | Channel.LETTER:
            return Stage.WRITING
        case Channel.VOICE | Channel.CALL:
            return Stage.CALLING
        case Channel.VISIT:
            return Stage.VISITING
        case Channel.LEGAL:
            return Stage.LEGAL
        case _:
            assert_never(step.via)


def first_state(state: CaseState, strategy: Strategy) -> CaseState:
    """Prepare the state of a case that has just opened: where a late starter stands."""
    facts = state.facts
    if facts.plan_end is not None:  # what ended before this episode is nothing to come back from
        state = state.model_copy(update={"plan_end": facts.plan_end.mark})
    if strategy.late_start != "first_step" or facts.zone is None:
        return state
    first_days = strategy.steps[0].start.days if strategy.steps[0].start.since == "due" else 0
    base = local_date(state.opened_at, facts.zone) - timedelta(days=first_days)
    return state.model_copy(update={"base_due_on": base})


# --- applying -------------------------------------------------------------------------------------------------------


def apply(state: CaseState, strategy: Strategy, report: Report) -> tuple[CaseState, list[Received]]:
    """Fold a report into the state. Also returns messages the case sends itself (a hold that an outcome demands)."""
    state = state.model_copy(update={"facts": report.facts, "now": max(state.now, report.at)})
    state, own = _fold(state, strategy, report)
    return after_arrangement(state, strategy), own


def _fold(state: CaseState, strategy: Strategy, report: Report) -> tuple[CaseState, list[Received]]:
    match report:
        case ContactReport():
            if report.reminder is not None:
                return reminded(state, report, report.reminder), []
            return _apply_contact(state, strategy, report)
        case AskReport():
            return _apply_ask(state, strategy, report)
        case GiveUpReport():
            return _apply_give_up(state, strategy, report)
        case RecordReport():
            return _apply_record(state, strategy, report)
        case _:
            assert_never(report)


def _apply_contact(state: CaseState, strategy: Strategy, report: ContactReport) -> tuple[CaseState, list[Received]]:
    index = strategy.index_of(report.step)
    step = strategy.steps[index]
    state = _at_step(state, index, max(state.seq, report.seq))
    if report.status in {AttemptStatus.DEFERRED, AttemptStatus.RETRYABLE}:
        cursor = state.cursor.model_copy(update={"not_before": report.not_before, "open_seq": report.seq})
        return state.model_copy(update={"cursor": cursor}), []
    cursor = state.cursor.model_copy(update={"open_seq": None, "not_before": None})
    state = state.model_copy(update={"cursor": cursor})
    if report.status is AttemptStatus.REFUSED:
        if SETTLED_BY_FACTS.intersection(report.rule_ids):
            return state, []
        return _leave(state, strategy, index, ("refused", "exhausted"), report.at)
    if report.status in COUNTS_AS_CONTACT or report.status is AttemptStatus.ANSWERED:
        state = _count(state, step.via, report.at)
    went_out = report.status in {AttemptStatus.SENT, AttemptStatus.DELIVERED, AttemptStatus.ANSWERED}
    notice = step.purpose is Purpose.REQUIRED_NOTICE and went_out
    if notice and strategy.validation_days and state.validation_end is None:
        day = local_date(report.at, state.facts.zone or "UTC")
        ends = add_days(day, strategy.validation_days, "calendar", strategy.holidays or state.facts.region)
        state = state.model_copy(update={"validation_end": ends})
    return _finish_try(state, strategy, index, (str(report.status),), report.at)


def _apply_ask(state: CaseState, strategy: Strategy, report: AskReport) -> tuple[CaseState, list[Received]]:
    ask = report.ask
    if report.item is None:
        if report.not_before is not None and ask.step is not None:
            state = _at_step(state, strategy.index_of(ask.step), max(state.seq, ask.seq))
            cursor = state.cursor.model_copy(update={"not_before": report.not_before, "open_seq": ask.seq})
            return state.model_copy(update={"cursor": cursor}), []
        if SETTLED_BY_FACTS.intersection(report.rule_ids) or ask.step is None:
            return state, []
        index = strategy.index_of(ask.step)
        at_step = _at_step(state, index, max(state.seq, ask.seq))
        return _leave(at_step, strategy, index, ("refused", "exhausted"), report.at)
    if ask.step is None:
        return state.model_copy(update={"asked": (*state.asked, ask.reason or str(ask.kind))}), []
    state = _at_step(state, strategy.index_of(ask.step), max(state.seq, ask.seq))
    cursor = state.cursor.model_copy(update={"open_seq": None, "not_before": None})
    return state.model_copy(update={"item": report.item, "cursor": cursor}), []


def _apply_give_up(state: CaseState, strategy: Strategy, report: GiveUpReport) -> tuple[CaseState, list[Received]]:
    item = state.item
    if item is None or item.key != report.item:
        return state, []
    if report.requeued_until is not None:
        return state.model_copy(update={"item": item.model_copy(update={"expires_at": report.requeued_until})}), []
    if report.withdrawn:  # nobody failed to work it: the step is asked for anew, or passed over, when that ends
        return state.model_copy(update={"item": None}), []
    history = state.history.model_copy(update={"unworked": True})
    state = state.model_copy(update={"item": None, "history": history})
    if item.step is None:
        return state, []
    return _leave(state, strategy, strategy.index_of(item.step), ("unworked",), report.at)


def _apply_record(state: CaseState, strategy: Strategy, report: RecordReport) -> tuple[CaseState, list[Received]]:
    own: list[Received] = []
    for outcome in report.outcomes:
        match outcome:
            case Worked():
                state, more = _apply_worked(state, strategy, outcome)
                own += more
            case Corrected():
                state, more = _apply_corrected(state, strategy, outcome)
                own += more
            case Reported():
                state, more = _apply_reported(state, strategy, outcome, report.at)
                own += more
            case Skipped():
                state = _apply_skip(state, strategy, outcome)
            case Adopted():
                state = state.model_copy(update={"adopting": outcome.digest})
            case Agreed():
                others = tuple(one for one in state.answers if one.event_id != outcome.event_id)
                state = state.model_copy(update={"answers": (*others, outcome)[-ANSWERS_KEPT:]})
            case _:
                events = {**state.events, outcome.event: outcome.at}
                state = state.model_copy(update={"events": events})
    return state, own


def _apply_worked(state: CaseState, strategy: Strategy, worked: Worked) -> tuple[CaseState, list[Received]]:
    if worked.counts:
        state = _count(state, Channel(worked.channel), worked.at)
    history = state.history.model_copy(
        update={
            "rpcs": state.history.rpcs + int(worked.right_party),
            "dispositions": tuple(sorted({*state.history.dispositions, worked.disposition})),
        }
    )
    state = state.model_copy(update={"history": history, "seq": max(state.seq, worked.seq)})
    if worked.closing is not None:
        state = state.model_copy(update={"closing": worked.closing})
    item = state.item
    if item is None or item.key != worked.item:
        return state, []
    state = state.model_copy(update={"item": None})
    if item.step is None:
        return state, []
    return _climb(state, strategy, strategy.index_of(item.step), worked, worked.at)


def _climb(
    state: CaseState, strategy: Strategy, index: int, worked: Worked, tried_at: datetime
) -> tuple[CaseState, list[Received]]:
    """Go where the outcome of a try leads: as the strategy says, else as the catalogue of outcomes does."""
    codes = (worked.disposition, *(("rpc",) if worked.right_party else ()))
    state, own = _finish_try(state, strategy, index, codes, tried_at, said=worked)
    if worked.not_before is not None:
        cursor = state.cursor.model_copy(update={"not_before": worked.not_before})
        state = state.model_copy(update={"cursor": cursor})
    return state, own


def _apply_corrected(state: CaseState, strategy: Strategy, corrected: Corrected) -> tuple[CaseState, list[Received]]:
    """Take back what an outcome said, and take in what it was.

    The case goes back to the step only while nothing else was tried since: a rung that has been climbed stays climbed.
    """
    now, history = corrected.now, state.history
    said = set(history.dispositions) - (set() if corrected.still_said else {corrected.was})
    history = history.model_copy(
        update={
            "rpcs": max(0, history.rpcs + int(now.right_party) - int(corrected.was_right_party)),
            "dispositions": tuple(sorted({*said, now.disposition})),
        }
    )
    state = state.model_copy(update={"history": history})
    if now.closing is not None:
        state = state.model_copy(update={"closing": now.closing})
    end = state.facts.plan_end
    if end is not None and end.key == corrected.promise:  # nothing was agreed, so there is nothing to come back from
        state = state.model_copy(update={"plan_end": end.mark, "reminding": None})
    step = now.step
    moved_on = history.last_contact_at is None or history.last_contact_at > corrected.was_at or state.item is not None
    if step is None or moved_on or state.cursor.last_step != step or not any(one.id == step for one in strategy.steps):
        return state, []
    index = strategy.index_of(step)
    done = tuple(one for one in history.done_steps if one != step)
    back = Cursor(
        index=index,
        try_no=corrected.try_no,
        pass_no=state.cursor.pass_no,
        step_done_at=state.cursor.step_done_at,
        last_step=step,
    )
    state = state.model_copy(update={"cursor": back, "history": history.model_copy(update={"done_steps": done})})
    return _climb(state, strategy, index, now, corrected.was_at)


def _apply_reported(
    state: CaseState, strategy: Strategy, reported: Reported, at: datetime
) -> tuple[CaseState, list[Received]]:
    """Take in that an attempt changed after the case had moved on: only what the step says follows.

    One that was deferred, and that the case still waits for, may have been given another instant.
    """
    if reported.status is AttemptStatus.DEFERRED:
        if state.cursor.open_seq != reported.seq or reported.not_before is None:
            return state, []
        return state.model_copy(
            update={"cursor": state.cursor.model_copy(update={"not_before": reported.not_before})}
        ), []
    if reported.step is None or not any(step.id == reported.step for step in strategy.steps):
        return state, []
    index = strategy.index_of(reported.step)
    step, code = strategy.steps[index], str(reported.status)
    moved_on = state.cursor.last_step != reported.step or state.item is not None
    if code in step.then and not moved_on:
        return _go(state, strategy, index, step.then[code], code, at)
    if state.cursor.index == index and state.cursor.tried_at is not None and code in step.repeat_until:
        return _leave(state, strategy, index, ("exhausted",), at)
    return state, []


def _apply_skip(state: CaseState, strategy: Strategy, skipped: Skipped) -> CaseState:
    index = state.cursor.index
    item = state.item
    current = item.step if item is not None else None
    if current is None and index < len(strategy.steps):
        current = strategy.steps[index].id
    if current != skipped.step:
        return state
    moved = _moved(state, strategy.index_of(skipped.step) + 1, skipped.at)
    return moved.model_copy(update={"item": None})


def _count(state: CaseState, channel: Channel, at: datetime) -> CaseState:
    history = state.history
    day = local_date(at, state.facts.zone or "UTC")
    update = {
        "tries": history.tries + 1,
        "channels": tuple(sorted({*history.channels, str(channel)})),
        "days": history.days + int(day != history.last_day),
        "last_day": day,
        "last_contact_at": at if history.last_contact_at is None else max(at, history.last_contact_at),
        "unworked": False,
    }
    return state.model_copy(update={"history": History.model_validate({**history.model_dump(), **update})})


def _at_step(state: CaseState, index: int, seq: int) -> CaseState:
    """Put the cursor on the step that is being worked (it may have joined further up)."""
    cursor = state.cursor
    if cursor.index != index:
        cursor = cursor.model_copy(update={"index": index, "try_no": 1, "tried_at": None, "resumed_at": None})
    return state.model_copy(update={"cursor": cursor, "seq": seq})


def _finish_try(
    state: CaseState, strategy: Strategy, index: int, codes: Iterable[str], at: datetime, *, said: Worked | None = None
) -> tuple[CaseState, list[Received]]:
    step, codes = strategy.steps[index], tuple(codes)
    done = state.cursor.model_copy(update={"last_step": step.id})
    state = state.model_copy(update={"cursor": done})
    for code in codes:
        if code in step.then:
            return _go(state, strategy, index, step.then[code], code, at)
    cursor = state.cursor if state.cursor.index == index else _moved(state, index, at).cursor
    again_at, appointed, leaves = (None, False, False) if said is None else (said.again_at, said.appointed, said.leaves)
    tries_left = cursor.try_no < step.tries and not set(codes) & set(step.repeat_until) and not leaves
    if appointed or tries_left:
        tried = {"try_no": cursor.try_no + 1, "tried_at": at, "again_at": again_at, "appointed": appointed}
        again = cursor.model_copy(update={**tried, "last_step": step.id})
        return state.model_copy(update={"cursor": again}), []
    return _leave(state, strategy, index, ("exhausted",), at)


def _leave(
    state: CaseState, strategy: Strategy, index: int, codes: Iterable[str], at: datetime
) -> tuple[CaseState, list[Received]]:
    """Leave a step for good: where its outcome leads, by default to the next one."""
    step = strategy.steps[index]
    for code in codes:
        if code in step.then:
            return _go(state, strategy, index, step.then[code], code, at)
    return _done(_moved(state, index + 1, at), step), []


def _done(state: CaseState, step: Step) -> CaseState:
    done = tuple(sorted({*state.history.done_steps, step.id}))
    return state.model_copy(update={"history": state.history.model_copy(update={"done_steps": done})})


def _go(
    state: CaseState, strategy: Strategy, index: int, leads: GoTo, code: str, at: datetime
) -> tuple[CaseState, list[Received]]:
    state = _done(state, strategy.steps[index])
    if leads.close is not None:
        return _moved(state, index + 1, at).model_copy(update={"closing": leads.close}), []
    if leads.handover is not None:
        return _moved(state, index + 1, at).model_copy(update={"handover": leads.handover}), []
    if leads.hold is not None:
        body: dict[str, object] = {"reason": str(leads.hold)}
        if leads.days is not None:
            zone = state.facts.zone or "UTC"
            body["until"] = start_of_day(local_date(at, zone) + timedelta(days=leads.days), zone).isoformat()
        event_id = f"{state.case_key}/{state.seq}/{strategy.steps[index].id}/{code}"
        body["event_id"] = event_id
        own = Received(name="place_hold", event_id=event_id, at=at, body=body)
        return _moved(state, index + 1, at), [own]
    target = index + 1 if leads.step == "next" else index if leads.step == "same" else -1
    if target < 0 and leads.step is not None:
        target = strategy.index_of(leads.step)
    return _moved(state, target, at), []


def _moved(state: CaseState, index: int, at: datetime) -> CaseState:
    cursor = state.cursor
    moved = Cursor(
        index=index,
        pass_no=cursor.pass_no + int(index <= cursor.index and cursor.last_step is not None),
        step_done_at=at,
        last_step=cursor.last_step,
    )
    return state.model_copy(update={"cursor": moved})


def item_expiry(step: Step, at: datetime, zone: str, holidays_of: str | None) -> datetime:
    """Return until when a work item of ``step`` may stay unworked."""
    return add_period(at, step.expires, zone, holidays_of)
