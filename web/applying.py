"""Applies what was kept: reports in batches, everything else one by one, in the order it came.

Runs in threads beside the doors and never holds them up: what is not applied yet is safe in the inbox. A row that fails
waits longer each time; the rows after it go on. Several processes may apply at once.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, SQLAlchemyError

from activities.aftermath import tell_operations
from activities.replying import name_lost
from db.arrivals import Waiting, is_waiting, put_off, refuse, waiting
from db.ledger import Posted
from db.settings import read_clock
from web import bridges, calls, money, opting_out, receipts, texts
from web.bridges import BridgeEvents
from web.calls import CallEvents
from web.counters import Counters
from web.money import Money
from web.opting_out import OptOuts
from web.pay_links import PayLinks
from web.receipts import Receipts
from web.texts import Texts

AT_ONCE = 100
LOOK_EVERY = 1.0
LOST_EVERY = timedelta(seconds=30)
HOPELESS_AFTER = 8
"""Failures after which operations are told; it is tried on all the same."""

log = structlog.get_logger(__name__)


class Applier:
    """Applies arrivals. ``applied`` is called, in any thread, when there may be something to deliver."""

    def __init__(
        self,
        engine: Engine,
        receipts_: Receipts,
        texts_: Texts,
        counters: Counters,
        applied: Callable[[], None],
        call_events: CallEvents | None = None,
        links: PayLinks | None = None,
    ) -> None:
        self._engine = engine
        self._receipts = receipts_
        self._texts = texts_
        self._money = Money(engine, links)
        self._calls = call_events or CallEvents(engine)
        self._bridges = BridgeEvents(engine)
        self._opt_outs = OptOuts(engine)
        self._counters = counters
        self._applied = applied
        self._woken = asyncio.Event()
        self._lock = threading.Lock()
        self._looked_for_lost = datetime.min.replace(tzinfo=UTC)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="applier")

    def wake(self) -> None:
        """Say that there is something to apply; from the event loop only."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Apply until stopped."""
        while not stop.is_set():
            self._woken.clear()
            try:
                count = await asyncio.get_running_loop().run_in_executor(self._threads, self.apply_some)
            except (SQLAlchemyError, OSError) as error:
                log.warning("arrivals wait for the database", kind=type(error).__name__)
                count = 0
            except Exception:
                log.exception("applying went wrong")
                count = 0
            if count == 0:
                waits = [asyncio.ensure_future(self._woken.wait()), asyncio.ensure_future(stop.wait())]
                await asyncio.wait(waits, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                for one in waits:
                    one.cancel()

    def apply_some(self) -> int:
        """Apply what may be applied now; return how many rows were looked at."""
        with self._lock:
            now = datetime.now(UTC)
            self._name_lost(now)
            with self._engine.connect() as connection:
                rows = waiting(connection, now, AT_ONCE)
            if not rows:
                return 0
            reports = [row for row in rows if row.name in receipts.NAMES]
            if reports:
                self._apply_reports(reports)
            for row in rows:
                if row.name not in receipts.NAMES:
                    self._apply(row)
        self._applied()
        return len(rows)

    def _name_lost(self, now: datetime) -> None:
        """Name what a process that died left in flight, also while there is always something to apply."""
        if now - self._looked_for_lost >= LOST_EVERY:
            self._looked_for_lost = now
            name_lost(self._engine, now)

    def apply_payment(self, source: str, external_id: str) -> Posted | None:
        """Apply one payment at once; ``None`` when it is being applied, or has been."""
        with self._engine.connect() as connection:
            row = is_waiting(connection, source, external_id)
            clock = read_clock(connection)
        if row is None:
            return None
        posted = self._money.apply(row, clock)
        self._counters.add("applied", name=row.name)
        self._applied()
        return posted

    def _apply_reports(self, rows: Sequence[Waiting]) -> None:
        try:
            with self._engine.connect() as connection:
                clock = read_clock(connection)
            self._receipts.apply(rows, clock)
        except Exception as error:
            if _is_outage(error):
                raise
            for row in rows:  # one of them is to blame: it is found by going one by one
                self._apply(row)
        else:
            for row in rows:
                self._counters.add("applied", name=row.name)

    def _apply(self, row: Waiting) -> None:
        try:
            with self._engine.connect() as connection:
                clock = read_clock(connection)
            match row.name:
                case texts.NAME:
                    self._texts.apply(row, clock)
                case money.PAYMENT | money.RETURN:
                    self._money.apply(row, clock)
                case calls.NAME:
                    self._calls.apply(row, clock)
                case bridges.NAME:
                    self._bridges.apply(row, clock)
                case opting_out.NAME:
                    self._opt_outs.apply(row, clock)
                case _:
                    self._receipts.apply([row], clock)
        except (DataError, UnicodeError):
            # A sign that no text of ours can have: it can be about nothing we know.
            self._refuse(row)
        except Exception as error:
            if _is_outage(error):
                raise
            if isinstance(error, DBAPIError) and row.tries == 0:
                log.warning("a row waits", kind=type(error).__name__, name=row.name)
            else:
                log.exception("a row cannot be applied", name=row.name, row=row.id)
            self._put_off(row)
        else:
            self._counters.add("applied", name=row.name)

    def _refuse(self, row: Waiting) -> None:
        self._counters.add("unreadable", name=row.name)
        with self._engine.begin() as connection:
            refuse(connection, row.id, "unreadable")
            tell_operations(connection, f"unreadable:{row.name}", f"inbox/{row.id}", datetime.now(UTC))

    def _put_off(self, row: Waiting) -> None:
        now = datetime.now(UTC)
        self._counters.add("put_off", name=row.name)
        with self._engine.begin() as connection:
            put_off(connection, row, now)
            if row.tries + 1 == HOPELESS_AFTER:
                tell_operations(connection, f"cannot_apply:{row.name}", f"inbox/{row.id}", now)


def _is_outage(error: Exception) -> bool:
    """Whether the database is gone. A lock that was not got, or a value it cannot index, is about one row.

    Without a connection there is no state; 08, 53 and 57P are PostgreSQL's classes for lost, full and shutting down.
    """
    if not isinstance(error, OperationalError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state is None or state[:2] in {"08", "53"} or state[:3] == "57P"
