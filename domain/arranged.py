"""A case under an arrangement: outreach rests, each line has its courtesy reminder, and afterwards the ladder goes on.

Pure parts of ``domain.decide``. Whether an arrangement stands, and how it ended, is told by the facts; a case takes in
each end once, and comes back to its ladder without making up for the time that went by.
"""

from datetime import date, datetime, timedelta

from domain.arrangements import FAILED, Standing
from domain.calendar import add_days, local_date, next_opening
from domain.case import CaseState, ContactReport, Cursor, GiveUp, Remind, Reminding, Wait
from domain.codes import CONTACT_POINT_KIND, COUNTS_AS_CONTACT, AttemptStatus, Channel
from domain.facts import Courtesy, Facts, Plan, PlanEnd
from domain.money import format_amount
from domain.strategy import Step, Strategy

REMINDER_STEP = "plan-reminder"
"""What stands in the place of a step's id in the record of a reminder."""
_OVER = frozenset({"core.nothing-to-remind", "core.closed", "core.stopped", "core.zone-unknown"})


# --- while it stands ------------------------------------------------------------------------------------------------


def while_arranged(state: CaseState, now: datetime) -> GiveUp | Remind | Wait | None:
    """Say what a case does under an arrangement: nothing but to remind of the next line; ``None`` without one."""
    plan, item = state.facts.plan, state.item
    if plan is None or not plan.rests:
        return None
    if item is not None and item.step is not None:
        return GiveUp(item=item.key, requeue=False, withdrawn=True)
    words = words_of_plan(plan, state.facts.currency)
    reminder, zone = plan.reminder, state.facts.zone
    so_far = _so_far(state, plan.mark)
    if reminder is None or zone is None or so_far.done or not reminder.from_at <= now < reminder.until:
        return Wait(until=None, why=words)
    channel = _channel(reminder, state.facts, so_far.tried)
    if channel is None:
        return Wait(until=None, why=words)
    at = max(reminder.from_at, so_far.not_before or reminder.from_at)
    due = next_opening(at, reminder.between, zone, state.facts.region)
    if due > now:
        return Wait(until=min(due, reminder.until), why=words)
    return Remind(mark=plan.mark, channel=channel, seq=so_far.seq or state.seq + 1)


def words_of_plan(plan: Plan, currency: str) -> str:
    """Say in words what an arrangement waits for."""
    if plan.standing is Standing.PROPOSED:
        return f"arrangement {plan.key} waits for approval by a second person"
    which = "" if plan.lines == 1 else f" {plan.line} of {plan.lines}"
    moment = {Standing.DUE: "is due today", Standing.IN_GRACE: "was due"}.get(plan.standing, "is due")
    day = "" if plan.standing is Standing.DUE else f" on {plan.due_on}"
    return f"arrangement {plan.key}: payment{which} of {format_amount(plan.amount, currency)} {moment}{day}"


def reminder_step(channel: Channel, reminder: Courtesy) -> Step:
    """Return a reminder in the form of a step: what the gate, the wording and the sender are asked about."""
    return Step.model_validate(
        {
            "id": REMINDER_STEP,
            "channel": channel,
            "template": reminder.template,
            "purpose": "service",
            "start": {"since": "opened"},
            "between": reminder.between.model_dump(),
        }
    )


def reminded(state: CaseState, report: ContactReport, mark: str) -> CaseState:
    """Take in what became of a reminder: put off, refused on this channel, or done."""
    so_far = _so_far(state, mark)
    plan = state.facts.plan
    if report.status in {AttemptStatus.DEFERRED, AttemptStatus.RETRYABLE}:
        so_far = so_far.model_copy(update={"seq": report.seq, "not_before": report.not_before})
    elif report.status in COUNTS_AS_CONTACT or _OVER.intersection(report.rule_ids) or plan is None:
        so_far = Reminding(mark=mark, tried=so_far.tried, done=True)
    else:
        channels = plan.reminder.channels if plan.reminder is not None else ()
        tried = channels.index(report.channel) + 1 if report.channel in channels else len(channels)
        so_far = Reminding(mark=mark, tried=tried, done=tried >= len(channels))
    return state.model_copy(update={"reminding": so_far, "seq": max(state.seq, report.seq)})


def _so_far(state: CaseState, mark: str) -> Reminding:
    same = state.reminding is not None and state.reminding.mark == mark
    return state.reminding if same and state.reminding is not None else Reminding(mark=mark)


def _channel(reminder: Courtesy, facts: Facts, tried: int) -> Channel | None:
    """Return the first channel not tried yet on which the debtor can be reached."""
    known = {"phone": facts.phone_known, "email": facts.email_known, "address": facts.address_known}
    for name in reminder.channels[tried:]:
        channel = Channel(name)
        if known[CONTACT_POINT_KIND[channel]]:
            return channel
    return None


# --- afterwards -----------------------------------------------------------------------------------------------------


def after_arrangement(state: CaseState, strategy: Strategy) -> CaseState:
    """Come back to the ladder, once for each end: at the step that is named, on the day after.

    The steps that follow keep their distance from it, as if the debt had become due so much later.
    """
    end = state.facts.plan_end
    if end is None or end.mark == state.plan_end:
        return state
    state = state.model_copy(update={"plan_end": end.mark, "reminding": None})
    index = _resume_at(state, strategy, end)
    if index >= len(strategy.steps):
        return state
    cursor = state.cursor
    moved = Cursor(
        index=index,
        pass_no=cursor.pass_no + int(index < cursor.index),
        step_done_at=max(end.at, cursor.step_done_at),
        last_step=cursor.last_step,
        resumed_at=end.at if end.standing in FAILED else None,
    )
    return state.model_copy(update={"cursor": moved, "base_due_on": _base(state, strategy, index, end)})


def _resume_at(state: CaseState, strategy: Strategy, end: PlanEnd) -> int:
    wish = "next"
    if end.standing in FAILED:
        wish = strategy.after_broken if end.resume == "strategy" else end.resume
    known = {step.id: index for index, step in enumerate(strategy.steps)}
    return known.get(wish, state.cursor.index)


def _base(state: CaseState, strategy: Strategy, index: int, end: PlanEnd) -> date | None:
    """Return the due day the ladder runs by from here on: so that the step it goes on with is due on that day."""
    zone = state.facts.zone or "UTC"
    day = local_date(end.at, zone)
    counted = [step.start for step in strategy.steps[: index + 1] if step.start.since == "due"]
    if not counted:
        return state.base_due_on
    start = counted[-1]
    base = day - timedelta(days=start.days)
    while add_days(base, start.days, start.count, strategy.holidays or state.facts.region) > day:
        base -= timedelta(days=1)
    before = max((one for one in (state.base_due_on, state.facts.counts_from) if one is not None), default=None)
    if before is not None and base <= before and end.standing not in FAILED:
        return state.base_due_on
    return base
