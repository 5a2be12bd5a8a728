"""The catalogue of hold kinds as data: how long one may last, who may place and lift it, when a person looks at it.

``policies/holds.yaml`` is read by whoever is allowed to open files; here its text becomes a ``HoldKinds`` or one clear
error. The ledger asks it when a hold must be looked at, the desk asks it who may do what.
"""

from datetime import datetime, timedelta
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.codes import HoldReason
from domain.strategy_file import Grammar, parse_by

Days = Annotated[int, Field(ge=1, le=3660)]


class HoldKind(BaseModel):
    """One kind of hold. Periods are days."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    means: str
    protects: bool
    withdraws: bool
    longest: Days | Literal["event"]
    review_before: Days | None = None
    review_every: Days
    ended_by: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_reviewed(self) -> "HoldKind":
        if self.longest != "event" and self.review_before is not None and self.review_before >= self.longest:
            message = "review_before must be shorter than longest"
            raise ValueError(message)
        return self

    def review_at(self, from_at: datetime, until_at: datetime | None) -> datetime | None:
        """Return when a person must look at a hold; ``None`` when it is too short to need that.

        A hold without an end, or one that was told to last longer than its kind allows, is looked at in any case.
        """
        if self.longest != "event":
            allowed = from_at + timedelta(days=self.longest)
            if until_at is None or until_at > allowed:
                return allowed - timedelta(days=self.review_before or 0)
        if until_at is None:
            return from_at + timedelta(days=self.review_every)
        if self.review_before is None:
            return None
        at = until_at - timedelta(days=self.review_before)
        return at if at > from_at else None


class HoldKinds(BaseModel):
    """Every kind of hold, by its reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: dict[HoldReason, HoldKind]

    @model_validator(mode="after")
    def _is_whole(self) -> "HoldKinds":
        missing = sorted(set(HoldReason) - set(self.kinds))
        if missing:
            message = f"no entry for {', '.join(missing)}; add one for each reason of a hold"
            raise ValueError(message)
        return self

    def of(self, reason: HoldReason) -> HoldKind:
        """Return the kind of a reason."""
        return self.kinds[reason]


HOLDS = Grammar(root=HoldKinds, parts={}, named={"kinds": HoldKind}, doc="docs/holds.md")


def parse_hold_kinds(text: str, source: str = "policies/holds.yaml") -> HoldKinds:
    """Read the catalogue; StrategyError names every mistake by line."""
    return cast("HoldKinds", parse_by(HOLDS, text, source))
