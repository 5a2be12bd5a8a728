"""Tells the cases what the ledger knows already: from the queue in the database, as often as it takes.

It survives restarts because the queue does, and an outage of Temporal because a message leaves the queue only when the
server has taken it. A case that has no workflow is final only if its episode is closed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy import Connection, Engine
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.aftermath import tell_operations
from db.engine import reading
from db.locks import lock_item
from db.record import append_event
from db.signals import HOPELESS_AFTER, Signal, delivered, due, nobody_there, put_off
from db.work import settle_reported
from db.work_outcomes import record_after_close
from domain.messages import RecordCallOutcome, RecordVisitOutcome, parse_message
from web.counters import Counters

AT_ONCE = 32
MOST = 200
LOOK_EVERY = 1.0
"""Seconds after which the queue is looked at without being told: other processes write to it too."""
LONGEST_PAUSE = 10.0
PATIENCE = 15.0
"""Seconds that one message may take on its way to the server."""

_OUTAGE = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.PERMISSION_DENIED,
    }
)
"""What says that the server takes nothing from us now; every other refusal is about one message."""

log = structlog.get_logger(__name__)


class Deliverer:
    """Delivers signals. ``connect`` gives a client, and raises NotRunning while there is no server."""

    def __init__(self, engine: Engine, connect: Callable[[], Awaitable[Client]], counters: Counters) -> None:
        self._engine = engine
        self._connect = connect
        self._counters = counters
        self._client: Client | None = None
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that there is something to deliver; from the event loop only."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until stopped."""
        pause = 0.0
        while not stop.is_set():
            self._woken.clear()
            try:
                count = await self.deliver_some()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again: nobody else delivers
                pause = min(max(0.25, 2 * pause), LONGEST_PAUSE)
                self._counters.add("delivery_pauses", kind=type(error).__name__)
                log.warning("signals wait for a server", kind=type(error).__name__)
                await _wait_for(stop, pause)
                continue
            pause = 0.0
            if count == 0:
                await self._sleep(stop)

    async def deliver_some(self) -> int:
        """Deliver what is due; return how many messages were settled. Raises when a server does not answer."""
        signals = await asyncio.to_thread(self._due)
        if not signals:
            return 0
        if self._client is None:
            self._client = await self._connect()
        slots, by_case = asyncio.Semaphore(AT_ONCE), dict[str, list[Signal]]()
        for one in signals:
            by_case.setdefault(one.case_key, []).append(one)
        results = await asyncio.gather(
            *(self._deliver(self._client, slots, some) for some in by_case.values()), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(signals)

    async def _deliver(self, client: Client, slots: asyncio.Semaphore, signals: list[Signal]) -> None:
        """Deliver the messages of one case in their order."""
        sent = []
        try:
            async with slots:
                for one in signals:
                    if await self._send(client, one):
                        sent.append(one.id)  # noqa: PERF401 - those before a failure are settled all the same
        finally:
            if sent:
                await asyncio.to_thread(self._settle, sent)

    async def _send(self, client: Client, signal: Signal) -> bool:
        handle = client.get_workflow_handle(f"case/{signal.case_key}")
        try:
            await asyncio.wait_for(handle.signal(signal.name, signal.body), PATIENCE)
        except RPCError as error:
            if error.status in _OUTAGE:
                raise
            if error.status is not RPCStatusCode.NOT_FOUND:
                await asyncio.to_thread(self._put_off, signal, error.status)
                return False
            final = await asyncio.to_thread(self._nobody_there, signal)
            self._counters.add("signals", result="final" if final else "put_off")
            return False
        self._counters.add("signals", result="delivered")
        return True

    async def _sleep(self, stop: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(self._woken.wait()), asyncio.ensure_future(stop.wait())]
        await asyncio.wait(waits, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()

    def _due(self) -> list[Signal]:
        with reading(self._engine) as connection:
            return due(connection, datetime.now(UTC), MOST)

    def _settle(self, ids: list[int]) -> None:
        with self._engine.begin() as connection:
            delivered(connection, ids, datetime.now(UTC))

    def _put_off(self, signal: Signal, status: RPCStatusCode) -> None:
        """Let one that the server will not take wait, so that it holds up no other; in the end operations are told."""
        self._counters.add("signals", result="refused")
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            put_off(connection, signal, now)
            if signal.tries + 1 == HOPELESS_AFTER:
                tell_operations(connection, f"cannot_tell:{signal.name}", signal.case_key, now)
        log.error("a case cannot be told", case=signal.case_key, name=signal.name, status=status.name)

    def _nobody_there(self, signal: Signal) -> bool:
        item = signal.body.get("work_item")
        with self._engine.begin() as connection:
            if item is not None:
                lock_item(connection, str(item))
            final = nobody_there(connection, signal, datetime.now(UTC))
            if final and item is not None:
                _keep_outcome(connection, str(item), signal)
        return final


def _keep_outcome(connection: Connection, item_key: str, signal: Signal) -> None:
    """Keep what a person reported about an item whose case has closed: on the attempt, or else in the record."""
    message = parse_message(signal.name, dict(signal.body))
    at, attempt = message.at or datetime.now(UTC), None
    if isinstance(message, RecordCallOutcome | RecordVisitOutcome):
        attempt = record_after_close(connection, item_key, message, at)
    if attempt is None:
        kept = {key: value for key, value in signal.body.items() if key not in {"event_id", "at"}}
        append_event(connection, signal.case_key, "reported_after_close", at, kept)
    settle_reported(connection, item_key)


async def _wait_for(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not past a stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
