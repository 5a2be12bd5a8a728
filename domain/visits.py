"""What the house demands of every field visit, as data: people, and what is confirmed before they set out."""

from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field

from domain.strategy_file import Grammar, parse_by

RECORDING, IDENTITY = "recording", "identity"
"""Requirements that the gate is told about."""


class VisitPolicy(BaseModel):
    """``requirements``: what must be confirmed -> in words. ``earliest_before`` in minutes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least_people: Annotated[int, Field(ge=1, le=20)]
    earliest_before: Annotated[int, Field(ge=0, le=1440)] = 0
    requirements: Annotated[dict[str, str], Field(min_length=1)]


VISITS = Grammar(root=VisitPolicy, parts={}, named={}, doc="docs/visits.md")


def parse_visits(text: str, source: str = "policies/visits.yaml") -> VisitPolicy:
    """Read the policy; StrategyError names every mistake by line."""
    return cast("VisitPolicy", parse_by(VISITS, text, source))
