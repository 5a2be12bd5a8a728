"""What a case will do and when, if nobody answers and nothing comes in: the ladder with dates, from where it stands.

It runs the same two functions that a case runs, on made-up reports: sent, not reached. It promises nothing: the gate
decides each contact when it is due.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.calendar import local_time
from domain.case import (
    Ask,
    AskReport,
    CaseState,
    Close,
    Contact,
    ContactReport,
    GiveUp,
    HandOver,
    OpenItem,
    RecordReport,
    Refresh,
    Remind,
    Reminding,
    Wait,
    Worked,
)
from domain.codes import AttemptStatus, HoldReason, Verdict
from domain.decide import advance, apply, decide
from domain.facts import Holding
from domain.messages import Received
from domain.outlook import foresee
from domain.strategy import Strategy

FARTHEST = timedelta(days=3 * 366)
MOST = 40
NOT_REACHED = "no_answer"


@dataclass(frozen=True, slots=True)
class Coming:
    """One thing a case will do. ``at`` is ``None`` for what waits for somebody else."""

    at: datetime | None
    what: str
    step: str | None = None
    by: str | None = None

    def plainly(self, zone: str) -> dict[str, str | None]:
        """Return it as words: local time, step, by what, what."""
        when = None if self.at is None else f"{local_time(self.at, zone):%Y-%m-%d %H:%M}"
        return {"when": when, "step": self.step, "by": self.by, "what": self.what}


def forecast(state: CaseState, strategy: Strategy, now: datetime) -> list[Coming]:
    """Return what the case will do, in order, until somebody else must act or the ladder ends."""
    return _Forecast(strategy, now).run(state)


class _Forecast:
    def __init__(self, strategy: Strategy, now: datetime) -> None:
        self._strategy = strategy
        self._end = now + FARTHEST
        self._now = now
        self._rows: list[Coming] = []

    def run(self, state: CaseState) -> list[Coming]:
        following: CaseState | None = state
        while following is not None and len(self._rows) < MOST and self._now < self._end:
            following = self._next(following)
        return self._rows

    def _next(self, state: CaseState) -> CaseState | None:
        """Let one thing happen; ``None`` when somebody else must act, or it is over."""
        strategy = self._strategy
        state = advance(state, strategy, self._now)
        coming = decide(state, strategy, self._now)
        match coming:
            case Wait():
                return self._wait(state, coming)
            case Refresh():
                return _changed(state)
            case Contact():
                return self._contact(state, coming)
            case Remind():
                self._say("reminds of an agreed payment", by=coming.channel)
                return state.model_copy(update={"reminding": Reminding(mark=coming.mark, done=True)})
            case Ask():
                return self._ask(state, coming)
            case GiveUp():
                return state.model_copy(update={"item": None})
            case HandOver():
                self._say(f"hands over to {coming.strategy or 'another strategy'}")
            case Close():
                self._say(f"closes: {coming.reason}")
        return None

    def _say(self, what: str, step: str | None = None, by: str | None = None) -> None:
        self._rows.append(Coming(self._now, what, step, by))

    def _wait(self, state: CaseState, coming: Wait) -> CaseState | None:
        wait, then = foresee(state, self._strategy, coming)
        if wait.until is None or wait.for_world or then is None:
            self._rows.append(Coming(None, wait.why))
            return None
        self._now = wait.until
        return advance(state, self._strategy, self._now)

    def _contact(self, state: CaseState, coming: Contact) -> CaseState | None:
        step = self._strategy.steps[self._strategy.index_of(coming.step)]
        self._say(
            "contact" if step.tries == 1 else f"contact, try {state.cursor.try_no} of {step.tries}", step.id, step.via
        )
        report = ContactReport(
            seq=coming.seq,
            step=coming.step,
            status=AttemptStatus.SENT,
            verdict=Verdict.ALLOW,
            at=self._now,
            facts=state.facts,
        )
        return self._folded(*apply(state, self._strategy, report))

    def _ask(self, state: CaseState, coming: Ask) -> CaseState | None:
        item = OpenItem(key="forecast", kind=coming.kind, step=coming.step, seq=coming.seq)
        self._say(f"a person is asked: {coming.reason or coming.kind}", coming.step, coming.kind)
        state, _ = apply(state, self._strategy, AskReport(ask=coming, item=item, at=self._now, facts=state.facts))
        if coming.step is None:
            return state
        worked = Worked(
            item=item.key,
            step=coming.step,
            seq=coming.seq,
            channel=coming.kind,
            disposition=NOT_REACHED,
            at=self._now,
        )
        report = RecordReport(outcomes=[worked], at=self._now, facts=state.facts)
        return self._folded(*apply(state, self._strategy, report))

    def _folded(self, state: CaseState, own: Sequence[Received]) -> CaseState | None:
        """Take up what the case would tell itself: only a hold that an outcome demands."""
        for message in own:
            until = message.body.get("until")
            ends = None if until is None else datetime.fromisoformat(until)
            hold = Holding(reason=HoldReason(message.body["reason"]), until=ends)
            facts = state.facts.model_copy(update={"hold": hold, "next_change_at": ends})
            state = state.model_copy(update={"facts": facts})
        return state


def _changed(state: CaseState) -> CaseState:
    """Let what is recorded take effect: of what can be foreseen, the end of a hold."""
    facts = state.facts
    over = facts.hold is not None and facts.hold.until is not None and facts.hold.until == facts.next_change_at
    update = {"next_change_at": None, **({"hold": None} if over else {})}
    return state.model_copy(update={"facts": facts.model_copy(update=update)})
