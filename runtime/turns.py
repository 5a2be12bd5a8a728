"""Gives the cases of one debtor their turns, on clocks that need it: one after the other, in order of their instants.

Debtors run beside each other. A case acts at an instant only when nothing of the same debtor is due before it, so one
message can speak for all accounts of a day and the same input gives the same story. Repeating a turn is harmless.
"""

import asyncio
from datetime import datetime

from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from db.engine import reading
from domain.messages import TURN

AGAIN_AFTER = 5.0
"""Seconds after which a turn that led to nothing is given again: a process may have died with it."""
AT_ONCE = 32
_NEXT = """
SELECT DISTINCT ON (k.debtor_key) k.key, k.due_at FROM cases k JOIN debtors d ON d.key = k.debtor_key
 WHERE k.status = 'open' AND k.due_at < %(before)s
   AND NOT EXISTS (SELECT 1 FROM sandbox_events s WHERE s.party_key = d.party_key AND s.delivered_at IS NULL
                    AND s.at <= k.due_at)
 ORDER BY k.debtor_key, k.due_at, k.key
"""


class Turns:
    """Tells the case of every debtor that comes next to act."""

    def __init__(self, engine: Engine, client: Client) -> None:
        self._engine = engine
        self._client = client
        self._given: dict[str, tuple[datetime, float]] = {}
        self.given = 0
        """Turns given so far."""

    async def give(self, before: datetime) -> int:
        """Give one turn to each debtor whose next act lies before an instant; return how many are at work."""
        now = asyncio.get_running_loop().time()
        waiting = await asyncio.to_thread(self._next, before)
        fresh = []
        for key, at in waiting:
            held = self._given.get(key)
            is_new = held is None or held[0] != at
            if is_new or (held is not None and now - held[1] > AGAIN_AFTER):
                self._given[key] = (at, now)
                self.given += int(is_new)
                fresh.append((key, at))
        slots = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._tell(slots, key, at) for key, at in fresh))
        return len(waiting)

    def _next(self, before: datetime) -> list[tuple[str, datetime]]:
        with reading(self._engine) as connection:
            return [(row.key, row.due_at) for row in connection.exec_driver_sql(_NEXT, {"before": before})]

    async def _tell(self, slots: asyncio.Semaphore, key: str, at: datetime) -> None:
        body = {"event_id": f"turn/{at:%Y%m%dT%H%M%S.%f}", "at": at.isoformat()}
        async with slots:
            try:
                await self._client.get_workflow_handle(f"case/{key}").signal(TURN, body)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:  # it has closed meanwhile: its row will say so
                    raise
