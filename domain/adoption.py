"""A case moves to another strategy: where on the new ladder it stands, from what was done so far.

A step is known by its id: what was done is never done again, what was begun goes on. What the new ladder would have
done before the last contact lies behind; of what was missed since, the case joins at one step, as after any pause.
"""

import hashlib
from datetime import date, datetime

from domain.calendar import local_date
from domain.case import CaseState, Cursor
from domain.decide import due_of, first_state
from domain.strategy import Step, Strategy

_CALENDAR = frozenset({"due", "opened", "placed", "validation_end"})
"""What a step may count from that does not depend on the step before it."""


def position_of(state: CaseState, digest: str) -> str:
    """Return a token of where a case stands: another one means that a preview no longer says what would happen."""
    cursor, facts = state.cursor, state.facts
    parts = (digest, state.seq, cursor.index, cursor.try_no, cursor.pass_no, facts.oldest_due_on, facts.hold is None)
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:12]


def adopted(state: CaseState, old: Strategy, new: Strategy, now: datetime) -> CaseState:
    """Return the state of a case that follows ``new`` from ``now`` on. Its work item has been taken back before."""
    state = state.model_copy(
        update={
            "adopting": None,
            "handover": None,
            "item": None,
            "asked": tuple(one for one in state.asked if one != "ladder_ended"),
        }
    )
    if new.name != old.name:
        state = first_state(state.model_copy(update={"base_due_on": None}), new)
    begun = _begun(state.cursor, old, new)
    if begun is not None:
        return state.model_copy(update={"cursor": begun})
    cursor = Cursor(
        index=_behind(state, new),
        pass_no=state.cursor.pass_no,
        step_done_at=state.cursor.step_done_at,
        last_step=state.cursor.last_step,
    )
    return _past_what_is_over(state.model_copy(update={"cursor": cursor}), new, now)


def _begun(cursor: Cursor, old: Strategy, new: Strategy) -> Cursor | None:
    """Return the cursor of a step that was begun and has tries left in the new ladder; ``None`` if there is none."""
    if cursor.index >= len(old.steps) or (cursor.tried_at is None and cursor.open_seq is None):
        return None
    before = old.steps[cursor.index]
    index = _index_of(new, before.id)
    if index is None or cursor.try_no > new.steps[index].tries:
        return None
    kept = cursor.model_copy(update={"index": index})
    if _same_words(before, new.steps[index]):
        return kept
    return kept.model_copy(update={"open_seq": None, "not_before": None})


def _same_words(one: Step, other: Step) -> bool:
    return (one.via, one.template, one.purpose) == (other.via, other.template, other.purpose)


def _index_of(strategy: Strategy, step_id: str) -> int | None:
    return next((index for index, step in enumerate(strategy.steps) if step.id == step_id), None)


def _behind(state: CaseState, new: Strategy) -> int:
    """Return the place after the last step that was done already."""
    done = {*state.history.done_steps, *(() if state.cursor.last_step is None else (state.cursor.last_step,))}
    return max((index + 1 for index, step in enumerate(new.steps) if step.id in done), default=0)


def _past_what_is_over(state: CaseState, new: Strategy, now: datetime) -> CaseState:
    """Pass what was due by the day of the last contact, and what was missed since if another step is due today."""
    zone, last = state.facts.zone or "UTC", state.history.last_contact_at
    today = local_date(now, zone)
    index = state.cursor.index
    while (day := _day_of(state, new, index, zone)) is not None:
        over = last is not None and day <= local_date(last, zone)
        following = _day_of(state, new, index + 1, zone)
        missed = day < today and following is not None and following <= today
        if not (over or missed):
            break
        index += 1
    return state.model_copy(update={"cursor": state.cursor.model_copy(update={"index": index})})


def _day_of(state: CaseState, new: Strategy, index: int, zone: str) -> date | None:
    """Return the local day on which a step is due that counts from the calendar; ``None`` for any other."""
    if index >= len(new.steps) or new.steps[index].start.since not in _CALENDAR:
        return None
    due = due_of(state, new, index)
    return None if due is None else local_date(due, zone)
