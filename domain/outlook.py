"""What a list of cases shows about one: its stage, its step, when it acts next, and what it waits for in words."""

from dataclasses import dataclass
from datetime import UTC, datetime

from domain.case import Ask, CaseState, Close, Contact, Decided, GiveUp, HandOver, Refresh, Remind, Wait
from domain.codes import Stage
from domain.decide import advance, decide, stage_of
from domain.strategy import Strategy

NEVER = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Outlook:
    """``due_at`` is the business instant at which the case acts next, ``NEVER`` when only a message moves it.

    ``next_step`` and its channel say what is contacted then; ``None`` when the act is something else.
    """

    stage: Stage
    step: str | None
    due_at: datetime
    waiting_for: str
    next_step: str | None = None
    next_channel: str | None = None


FARTHEST = 200


def foresee(state: CaseState, strategy: Strategy, wait: Wait) -> tuple[Wait, Decided | None]:
    """Follow a wait to the instant at which something is really done, and say what that will be.

    A step whose conditions will not hold is passed over without a word; facts change only by what is recorded, and
    what will take effect by itself is known. So the next act can be told exactly, and nobody wakes up for nothing.
    """
    for _ in range(FARTHEST):
        if wait.until is None or wait.for_world:
            return wait, None
        later = advance(state, strategy, wait.until)
        coming = decide(later, strategy, wait.until)
        if not isinstance(coming, Wait) or coming.until == wait.until:
            return wait, coming
        state, wait = later, coming
    return wait, None


def outlook(state: CaseState, strategy: Strategy, now: datetime, *, pending: bool = False) -> Outlook:
    """Look ahead from a state. ``pending``: messages wait to be recorded, so the case acts at once."""
    state = advance(state, strategy, now)
    stage, step = stage_of(state, strategy), _step(state, strategy)
    if pending:
        return Outlook(stage, step, now, "recording what came in")
    coming = decide(state, strategy, now)
    match coming:
        case Wait():
            wait, then = foresee(state, strategy, coming)
            if not isinstance(then, Contact):
                return Outlook(stage, step, wait.until or NEVER, wait.why)
            return Outlook(stage, step, wait.until or NEVER, wait.why, then.step, _channel(strategy, then.step))
        case Contact():
            words = f"contacting: step {coming.step}"
            return Outlook(stage, coming.step, now, words, coming.step, _channel(strategy, coming.step))
        case Remind():
            return Outlook(stage, step, now, f"reminding of {coming.mark} by {coming.channel}")
        case Ask():
            return Outlook(stage, coming.step, now, f"asking a person: {coming.kind}")
        case GiveUp():
            why = "an item is taken back" if coming.withdrawn else "an item was not worked in time"
            return Outlook(stage, step, now, why)
        case Refresh():
            return Outlook(stage, step, now, coming.why)
        case HandOver():
            return Outlook(stage, step, now, f"handing over to strategy {coming.strategy}")
        case Close():
            return Outlook(stage, step, now, f"closing: {coming.reason}")


def _step(state: CaseState, strategy: Strategy) -> str | None:
    index = state.cursor.index
    return strategy.steps[index].id if index < len(strategy.steps) else None


def _channel(strategy: Strategy, step: str) -> str:
    return str(strategy.steps[strategy.index_of(step)].via)
