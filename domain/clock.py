"""What time it is for a case.

A case never reads the wall clock. In production ``now`` is the time Temporal gives; in a demonstration or a backtest
it is the instant a timer was set for, so that the latency of a machine is not stretched into hours of business time.
"""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

SHORTEST_TIMER = timedelta(milliseconds=1)
FASTEST = 1e9
LONGEST_SPAN = timedelta(days=36_500)


class BusinessClock(BaseModel):
    """Maps engine time to business time.

    ``wall``: they are the same. ``logical``: business time stood at ``origin`` when engine time stood at ``epoch``,
    and passes ``speed`` times faster; a timer's firing instant is the instant it was set for.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["wall", "logical"] = "wall"
    origin: AwareDatetime | None = None
    epoch: AwareDatetime | None = None
    speed: float = 1.0
    in_turns: bool = False
    """Logical clocks only: cases of one debtor act one after the other, each when it is told that it is its turn."""
    horizon: AwareDatetime | None = None
    """The last business instant of a demonstration or backtest: no case acts after it. ``None``: no end."""

    @property
    def runs_ahead(self) -> bool:
        """Whether time passes so fast that no timer is worth setting."""
        return self.speed >= FASTEST

    @property
    def is_logical(self) -> bool:
        """Whether business time is driven by timers rather than by engine time."""
        return self.kind == "logical"

    def business(self, engine_now: datetime) -> datetime:
        """Return the business instant that corresponds to an engine instant."""
        if self.origin is None or self.epoch is None:
            return engine_now
        passed = (engine_now - self.epoch).total_seconds() * self.speed
        return self.origin + timedelta(seconds=min(passed, LONGEST_SPAN.total_seconds()))

    def engine_wait(self, until: datetime, engine_now: datetime) -> timedelta:
        """Return how long the engine must sleep for business time to reach ``until``; at least a millisecond."""
        if self.origin is None or self.epoch is None:
            return max(until - engine_now, SHORTEST_TIMER)
        due = self.epoch + (until - self.origin) / self.speed
        return max(due - engine_now, SHORTEST_TIMER)
