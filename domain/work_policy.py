"""How work is ordered, lent out and escalated: the words of ``policies/work.yaml``.

The order is fair by construction. An item stands in the queue at an instant, its **rank**: when it became due, moved
forward by its priority. All items age alike, so the order of two never changes by waiting, and an item can only be
overtaken by those that become due within its own distance from the highest priority. None starves.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.codes import TaskKind

HIGHEST = 100
Points = Annotated[int, Field(ge=0, le=HIGHEST)]
Hours = Annotated[float, Field(gt=0, le=8_760)]


class WorkPolicyError(ValueError):
    """The file does not say how work is done. One line: file, field, what is wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Standard(_Part):
    """What is promised for one kind of work: how urgent it is, and within how many hours it is done."""

    priority: Points
    within_hours: Hours


class Lease(_Part):
    """For how long an item is lent, and how often a loan may lapse before a supervisor has the item."""

    minutes: Annotated[float, Field(gt=0, le=1_440)]
    lapses: Annotated[int, Field(ge=1, le=20)]

    @property
    def length(self) -> timedelta:
        """How long a lease lasts."""
        return timedelta(minutes=self.minutes)


class WorkPolicy(_Part):
    """``policies/work.yaml``. ``minutes_per_point``: how much waiting one point of priority is worth."""

    minutes_per_point: Annotated[float, Field(gt=0, le=1_440)]
    lease: Lease
    escalation_points: Points
    kinds: dict[TaskKind, Standard]
    reasons: dict[str, Standard] = Field(default_factory=dict)
    """What differs for a reason; ``switched_off:channel:sms`` is looked up by what stands before the colon."""

    def standard_of(self, kind: TaskKind, reason: str | None) -> Standard:
        """Return what is promised for an item."""
        whole = reason or ""
        found = self.reasons.get(whole) or self.reasons.get(whole.partition(":")[0])
        return found or self.kinds[kind]

    def head_start(self, points: int) -> timedelta:
        """Return how much earlier than its due time an item with so many points stands in the queue."""
        return timedelta(minutes=self.minutes_per_point * points)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an item stands: its points, its rank (earlier is sooner), and when it is late."""

    priority: int
    rank_at: datetime
    late_at: datetime


def placement(policy: WorkPolicy, kind: TaskKind, reason: str | None, priority: int, due_at: datetime) -> Placement:
    """Return where an item stands that is due at ``due_at`` and was given ``priority`` points, or none (0)."""
    standard = policy.standard_of(kind, reason)
    points = min(priority or standard.priority, HIGHEST)
    return Placement(points, due_at - policy.head_start(points), due_at + timedelta(hours=standard.within_hours))


def parse_work_policy(text: str, source: str) -> WorkPolicy:
    """Read the policy; WorkPolicyError names the field."""
    try:
        policy = WorkPolicy.model_validate(yaml.safe_load(text))
    except yaml.YAMLError:
        raise WorkPolicyError(f"{source}: no readable YAML") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise WorkPolicyError(f"{source}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    missing = [str(kind) for kind in TaskKind if kind not in policy.kinds]
    if missing:
        raise WorkPolicyError(f"{source}: kinds: {', '.join(missing)} is missing")
    return policy
