"""The stage: the clock that the scenario moves, the desk at which its people act, and the story that is told.

Nothing is faked: workflows act when it is their turn, people call the functions that the command line calls. One
case acts at a time, in the order of instants, so that the same seed tells the same story.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.dialling import Dialling
from db.actors import acting_as
from db.engine import reading
from desk.queue import Desk
from domain.clock import BusinessClock
from domain.messages import TURN
from domain.roles import Acting
from runtime.scenario.people import Debtor
from runtime.work import open_cases

LONG_AGO = timedelta(days=3_650)
"""How far the clock of the scenario runs ahead of its story, so that no timer is waited for."""
AGAIN_AFTER = 5.0
STALLED_AFTER = 120.0
LOOK_EVERY = 0.02
DAY = timedelta(days=1)


class ScenarioError(Exception):
    """The story cannot go on: what, and where to look."""


def clock_of(origin: datetime, horizon: datetime) -> BusinessClock:
    """Return a clock on which the story is told: as fast as the machine, one case after the other."""
    return BusinessClock(
        kind="logical", origin=origin, epoch=datetime.now(UTC) - LONG_AGO, in_turns=True, horizon=horizon
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the story. ``at`` is business time; ``waits`` is what the case waits for afterwards."""

    at: datetime
    chapter: str
    who: str
    did: str
    answer: str
    rules: tuple[str, ...] = ()
    case: str | None = None
    waits: str | None = None


@dataclass
class Stage:
    """Everything a chapter needs. ``deliver`` tells the cases what is queued for them, and says how many were told."""

    engine: Engine
    client: Client
    desk: Desk
    dialling: Dialling
    folder: Path
    clock: BusinessClock
    debtors: dict[str, Debtor]
    deliver: Callable[[], Awaitable[int]]
    tell: Callable[[Line], None]
    now: datetime
    chapter: str = ""
    lines: list[Line] = field(default_factory=list)
    paid: int = 0
    """Payments that came in so far."""
    expected: dict[str, str] = field(default_factory=dict)
    """What chapters say of the end: a sentence, and a query that answers yes. Asked when the story is over."""

    # --- time ---------------------------------------------------------------------------------------------------

    async def until(self, at: datetime) -> None:
        """Let time pass to ``at``: cases open every morning, and everything due before then happens in its order."""
        if at < self.now:
            raise ScenarioError(f"the story goes back from {self.now} to {at}")
        morning = self.now.replace(hour=6, minute=0, second=0, microsecond=0)
        morning += DAY if morning <= self.now else timedelta(0)
        while morning <= at:
            await self._act_before(morning)
            self.now = morning
            if await asyncio.to_thread(self._somebody_is_due, morning):
                await open_cases(self.client, morning)
            morning += DAY
        await self._act_before(at)
        self.now = at

    async def settle(self) -> None:
        """Let the cases hear what was done, and do what follows at once."""
        await self._act_before(self.now + timedelta(microseconds=1))

    def engine_now(self) -> datetime:
        """Return the instant of the engine that stands for the story's now."""
        origin, epoch = self.clock.origin, self.clock.epoch
        if origin is None or epoch is None:
            raise ScenarioError("the clock has no origin")
        return epoch + (self.now - origin)

    async def _act_before(self, before: datetime) -> None:
        given: tuple[str, datetime] | None = None
        given_at = moved = time.monotonic()
        while True:
            if await self.deliver():
                moved = time.monotonic()
                continue
            coming = await asyncio.to_thread(self._next, before)
            if coming is None:
                return
            fresh = coming != given
            if fresh or time.monotonic() - given_at > AGAIN_AFTER:
                given, given_at = coming, time.monotonic()
                await self._give_turn(*coming)
            moved = time.monotonic() if fresh else moved
            if time.monotonic() - moved > STALLED_AFTER:
                raise ScenarioError(f"{coming[0]} has not moved for {STALLED_AFTER:.0f} s; the logs say more")
            await asyncio.sleep(LOOK_EVERY)

    def _next(self, before: datetime) -> tuple[str, datetime] | None:
        with reading(self.engine) as connection:
            row = connection.exec_driver_sql(
                "SELECT key, coalesce(due_at, %(before)s) FROM cases WHERE status = 'opening' "
                "OR (status = 'open' AND due_at < %(before)s) ORDER BY 2, 1 LIMIT 1",
                {"before": before},
            ).one_or_none()
        return None if row is None else (row[0], row[1])

    def _somebody_is_due(self, at: datetime) -> bool:
        """Whether an account is past due that has no open case; the opener decides which of them get one."""
        with reading(self.engine) as connection:
            found = connection.exec_driver_sql(
                "SELECT EXISTS (SELECT 1 FROM dues d WHERE d.due_on < %s AND NOT EXISTS "
                "(SELECT 1 FROM cases k WHERE k.account_key = d.account_key))",
                (at.date(),),
            )
            return bool(found.scalar_one())

    async def _give_turn(self, key: str, at: datetime) -> None:
        body = {"event_id": f"turn/{at:%Y%m%dT%H%M%S.%f}", "at": at.isoformat()}
        try:
            await self.client.get_workflow_handle(f"case/{key}").signal(TURN, body)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # it is about to start, or has closed meanwhile
                raise

    # --- who and what -------------------------------------------------------------------------------------------

    def acting(self, code: str) -> Acting:
        """Return somebody of the house as the database knows them."""
        with reading(self.engine) as connection:
            return acting_as(connection, code)

    def one(self, query: str, *values: object) -> Any:  # noqa: ANN401 - whatever the column holds
        """Return the first column of the only row, or ``None``."""
        with reading(self.engine) as connection:
            return connection.exec_driver_sql(query, values).scalar_one_or_none()

    def case_of(self, reference: str) -> str:
        """Return the latest case of an account by the lender's number."""
        found = self.one(
            "SELECT k.key FROM cases k JOIN accounts a ON a.key = k.account_key WHERE a.external_id = %s "
            "ORDER BY k.episode DESC LIMIT 1",
            reference,
        )
        if found is None:
            raise ScenarioError(f"{reference} has no case")
        return str(found)

    def case(self, part: str, number: int = 0) -> str:
        """Return the case of somebody in the story."""
        return self.case_of(self.debtors[part].debts[number].reference)

    def name(self, part: str) -> str:
        """Return the name of somebody in the story."""
        return self.debtors[part].name

    def item_of(self, case: str, kind: str) -> str | None:
        """Return the open item of a kind that a case has."""
        found = self.one(
            "SELECT w.key FROM work_items w JOIN work_item_cases x ON x.item_key = w.key "
            "WHERE x.case_key = %s AND w.kind = %s AND w.status IN ('open', 'claimed') ORDER BY w.key LIMIT 1",
            case,
            kind,
        )
        return None if found is None else str(found)

    # --- telling ------------------------------------------------------------------------------------------------

    async def says(
        self, who: str, did: str, answer: str, *, rules: tuple[str, ...] = (), case: str | None = None
    ) -> Line:
        """Tell one line, after everything it leads to at once has happened."""
        await self.settle()
        waits = None if case is None else await asyncio.to_thread(self.waits, case)
        line = Line(self.now, self.chapter, who, did, answer, rules, case, waits)
        self.lines.append(line)
        self.tell(line)
        return line

    def waits(self, case: str) -> str:
        """Return in words what a case waits for."""
        with reading(self.engine) as connection:
            row = connection.exec_driver_sql(
                "SELECT status, close_reason, waiting_for, due_at FROM cases WHERE key = %s", (case,)
            ).one()
        if row.status == "closed":
            return f"closed: {row.close_reason}"
        when = "" if row.due_at is None or row.due_at.year >= 9000 else f" ({row.due_at:%a %d %b %H:%M} UTC)"
        return f"{row.waiting_for}{when}"


def local(day: date, hour: int, minute: int, zone: str = "Europe/London") -> datetime:
    """Return an instant by somebody's own clock."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone)).astimezone(UTC)
