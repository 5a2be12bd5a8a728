"""Legal action as a sequence of stages: which may follow which, what must come first, and whom one may still contact.

``policies/legal.yaml`` says it all; here its text becomes a ``LegalPolicy``, and pure functions answer what the ledger
asks before it writes a stage.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.codes import Channel, LegalStage
from domain.conditions import History, holds
from domain.facts import Facts
from domain.softening import left_out
from domain.stops import barred
from domain.strategy import Step, Strategy
from domain.strategy_file import Grammar, parse_by


class StageRule(BaseModel):
    """What one stage means. ``outreach``: channels on which contact to collect goes on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    means: str
    after: tuple[LegalStage | Literal["start"], ...]
    outreach: tuple[Channel, ...] = ()
    ends: bool = False

    @property
    def bars(self) -> tuple[Channel, ...]:
        """The channels that rest while the stage stands."""
        return () if self.ends else tuple(sorted(set(Channel) - set(self.outreach)))


class LegalPolicy(BaseModel):
    """All stages, and how long the notice before action must run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    notice_days: dict[str, Annotated[int, Field(ge=1, le=365)]]
    stages: dict[LegalStage, StageRule]

    @model_validator(mode="after")
    def _is_whole(self) -> "LegalPolicy":
        missing = sorted(set(LegalStage) - set(self.stages))
        if missing:
            message = f"no entry for {', '.join(missing)}; add one for each stage"
            raise ValueError(message)
        if "default" not in self.notice_days:
            message = "notice_days needs 'default'"
            raise ValueError(message)
        if self.stages[LegalStage.FILED].after != (LegalStage.NOTICE,):
            message = "a claim is filed after its notice and after nothing else"
            raise ValueError(message)
        return self

    def notice_period(self, region: str | None) -> timedelta:
        """Return how long the notice must run where the debtor lives."""
        place = region or ""
        days = self.notice_days.get(place, self.notice_days.get(place.partition("-")[0], self.notice_days["default"]))
        return timedelta(days=days)

    def why_not_next(self, current: LegalStage | None, wanted: LegalStage) -> str | None:
        """Return why a stage may not come now; ``None`` when it may."""
        after = self.stages[wanted].after
        if (current or "start") in after:
            return None
        needs = " or ".join("the start" if one == "start" else str(one) for one in after)
        stands = "there is no legal matter" if current is None else f"the matter is at {current}"
        return f"{wanted} comes after {needs}, and {stands}"


LEGAL = Grammar(root=LegalPolicy, parts={}, named={"stages": StageRule}, doc="docs/legal.md")


def parse_legal(text: str, source: str = "policies/legal.yaml") -> LegalPolicy:
    """Read the policy; StrategyError names every mistake by line."""
    return cast("LegalPolicy", parse_by(LEGAL, text, source))


@dataclass(frozen=True, slots=True)
class Made:
    """What the ledger knows was attempted in an episode. ``steps``: those that were tried, ruled out or given up."""

    tries: int = 0
    days: int = 0
    rpcs: int = 0
    channels: frozenset[str] = frozenset()
    dispositions: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    open_steps: frozenset[str] = field(default=frozenset())


def legal_step(strategy: Strategy) -> Step | None:
    """Return the step that asks for legal review: the first one of its kind."""
    return next((step for step in strategy.steps if step.via is Channel.LEGAL), None)


def lacking(strategy: Strategy, facts: Facts, made: Made) -> tuple[str, ...]:
    """Return what must still be attempted before legal action, in words; empty when it is the last resort."""
    step = legal_step(strategy)
    if step is None:
        return (f"the strategy {strategy.name} has no legal step",)
    needs, missing = step.requires, list[str]()
    if made.tries < needs.attempts:
        missing.append(f"{made.tries} of {needs.attempts} attempts")
    if made.days < needs.on_days:
        missing.append(f"attempts on {made.days} of {needs.on_days} days")
    missing += [f"no attempt by {one}" for one in needs.channels if one not in made.channels]
    if needs.last_resort:
        tried = History(tries=made.tries, rpcs=made.rpcs, dispositions=made.dispositions)
        for earlier in strategy.steps[: strategy.index_of(step.id)]:
            if earlier.id in made.open_steps:
                missing.append(f"an item of step {earlier.id} is open")
            elif earlier.id not in made.steps and _applies(strategy, earlier, facts, tried):
                missing.append(f"step {earlier.id} was never tried")
    return tuple(missing)


def _applies(strategy: Strategy, step: Step, facts: Facts, tried: History) -> bool:
    ruled_out = barred(facts, step) or left_out(strategy, step, facts.flags)
    return not ruled_out and holds(step.only_if, facts, tried)


def time_barred(limitation_on: date | None, today: date, stops: Collection[str]) -> str | None:
    """Return why a claim comes too late; ``None`` when it does not. ``limitation_on``: the first day too late."""
    if "time_barred" in stops:
        return "the debt is recorded as time-barred"
    if limitation_on is None:
        return "nobody has said when the claim becomes time-barred; name the day"
    if limitation_on <= today:
        return f"the claim is time-barred since {limitation_on}"
    return None
