"""What time it is in an activity: the case's own instant on a logical clock, Temporal's time otherwise."""

import time
from datetime import datetime, timedelta

from temporalio import activity

from domain.case import CaseState


class Stopwatch:
    """Counts from the moment an activity began; keeps counting while the process is stopped."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._started_time = activity.info().started_time

    @property
    def engine_now(self) -> datetime:
        """Temporal's time of the start of this activity, plus what has passed since."""
        return self._started_time + timedelta(seconds=time.monotonic() - self._began)

    def business_now(self, state: CaseState) -> datetime:
        """Return the instant the case acts at; never before what the case has seen."""
        return state.now if state.clock.is_logical else max(state.now, self.engine_now)
