"""A small installation of real processes for drills: the embedded servers, the judge, workers that die on request."""

import asyncio
import contextlib
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from temporalio.client import Client, WorkflowExecutionStatus

from activities.checkpoints import Place
from activities.signatures import CASES_QUEUE
from db.engine import make_engine
from db.intake import Order, import_file
from db.migrate import upgrade
from db.settings import put_in_force, set_clock
from domain.clock import BusinessClock
from domain.opening import OpenRequest
from domain.strategy_file import parse_strategy
from runtime.client import connect
from runtime.process import OwnProcess, Program
from runtime.servers import Servers
from settings import Settings
from tests.faults.drill_worker import Plan
from tests.faults.judge import JudgedProvider, requests_in

ROOT = Path(__file__).resolve().parents[2]
ORIGIN = datetime(2026, 3, 3, 6, tzinfo=UTC)
DUE = date(2026, 3, 2)
PAID_AT = ORIGIN + timedelta(days=60)
STEPS = 3
LADDER = """
name: drill
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: sms, template: payment-reminder, start: {since: due, days: 1}, between: {hours: "09:00-18:00"}}
  - {id: two, channel: email, template: invoice-overdue, start: {since: due, days: 3}, between: {hours: "09:00-18:00"}}
  - {id: three, channel: sms, template: payment-overdue, start: {since: due, days: 7}, between: {hours: "09:00-18:00"}}
"""
HEAD = "account_id,debtor_id,product,currency,amount,due_date,name,phone,email,timezone\n"
PATIENCE = 500.0
"""Seconds after which something that must come true never will."""
_KEYS = "SELECT external_id, key FROM accounts WHERE external_id = ANY(%s)"
_CONTACTED = """
SELECT count(*) = cardinality(%s::text[]) FROM cases k WHERE k.key = ANY(%s) AND k.status <> 'opening'
   AND (SELECT count(*) FROM attempts t WHERE t.case_key = k.key AND t.status IN ('sent', 'unknown')) = %s
"""


class Installation:
    """Servers, a judge, and workers in processes of their own; entering it starts all but the workers.

    ``size``: the most cases that are killed together at one place.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._settings = Settings(state_dir=folder / "state")
        self._size = size
        self._log = folder / "requests.log"
        self._report = folder / "report.txt"
        self._processes: list[OwnProcess] = []
        self._stack = contextlib.AsyncExitStack()
        self._accounts = 0
        self._openings = 0
        self.servers = Servers(self._settings)
        self.engine: Engine
        self.client: Client
        self.judge: JudgedProvider

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.servers)
            stack.push_async_callback(self._stop_processes)
            await self._set_up()
            stack.callback(self.engine.dispose)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def _set_up(self) -> None:
        port_file = self._folder / "judge.port"
        await self._process("judge", "tests.faults.judge", str(self._log), str(port_file))
        upgrade(self.servers.database_url)
        self.engine = make_engine(self.servers.database_url)
        self.client = await connect(self._settings, self.servers.endpoints)
        epoch = datetime(2000, 1, 1, tzinfo=UTC)
        horizon = ORIGIN + timedelta(days=400)
        clock = BusinessClock(kind="logical", origin=ORIGIN, epoch=epoch, speed=1e12, horizon=horizon)
        with self.engine.begin() as connection:
            set_clock(connection, clock)
            put_in_force(connection, [parse_strategy(LADDER, "drill.yaml")], ORIGIN)
        await self.until_true(port_file.exists, "the judge's port")
        self.judge = JudgedProvider(int(port_file.read_text(encoding="utf-8")))

    # --- processes ----------------------------------------------------------------------------------------------

    async def worker(
        self,
        victims: dict[Place, set[str]] | None = None,
        bystanders: dict[Place, set[str]] | None = None,
        *,
        how: int = signal.SIGKILL,
        page_size: int = 100,
    ) -> OwnProcess:
        """Start a worker that goes down when all its victims are at their places."""
        plan = Plan(
            victims=victims or {},
            bystanders=bystanders or {},
            how=how,
            report=self._report,
            judge_port=self.judge.port,
            threads=10 * self._size + 40,
            connections=3 * self._size + 30,
            page_size=page_size,
        )
        path = self._folder / f"plan-{len(self._processes)}.json"
        path.write_text(plan.model_dump_json(), encoding="utf-8")
        return await self._process("worker", "tests.faults.drill_worker", str(path))

    async def _process(self, name: str, module: str, *args: str) -> OwnProcess:
        environment = {"PYTHONPATH": str(ROOT), "DUNLIN_STATE_DIR": str(self._settings.state_folder)}
        program = Program(name, (sys.executable, "-m", module, *args), environment, signal.SIGTERM, 45.0)
        number = len(self._processes)
        process = OwnProcess(program, self._folder / f"{number}.json", self._folder / f"{number}-{name}.log")
        await process.start()
        self._processes.append(process)
        return process

    async def _stop_processes(self) -> None:
        await asyncio.gather(*(process.stop() for process in self._processes))

    # --- cases --------------------------------------------------------------------------------------------------

    def new_cases(self, names: Iterable[str], count: int) -> dict[str, list[str]]:
        """Import new accounts, each of a debtor of its own, for each name; return the keys their cases will have."""
        rows, externals = [], {}
        for name in names:
            numbers = range(self._accounts, self._accounts + count)
            self._accounts += count
            externals[name] = [f"{name}-{number}" for number in numbers]
            rows += [
                f"{name}-{number},D{number},loan,USD,100.00,{DUE},Customer,+1312{5550000 + number:07d},"
                f"c{number}@example.com,America/Chicago\n"
                for number in numbers
            ]
        path = self._folder / "ledger.csv"
        path.write_text(HEAD + "".join(rows), encoding="utf-8")
        imported = import_file(self.engine, Order("ledger", path, ORIGIN - timedelta(days=30)))
        assert imported.mistakes == []
        with self.engine.connect() as connection:
            found = connection.exec_driver_sql(_KEYS, ([one for some in externals.values() for one in some],))
            keys = {row.external_id: f"{row.key}/1" for row in found}
        return {name: [keys[external] for external in some] for name, some in externals.items()}

    async def open(self) -> None:
        """Have a case opened for every account without one; whoever works at the moment does it."""
        self._openings += 1
        await self.client.start_workflow(
            "open_cases",
            OpenRequest(as_of=ORIGIN, restart_missing=False),
            id=f"open/{self._openings}",
            task_queue=CASES_QUEUE,
        )

    async def pay(self, cases: Iterable[str]) -> None:
        """Tell each case of a payment of all that is owed."""
        for case in cases:
            body = {
                "event_id": f"e-{case}",
                "payment_id": f"P-{case}",
                "amount": 10_000,
                "currency": "USD",
                "at": PAID_AT.isoformat(),
            }
            await self.client.get_workflow_handle(f"case/{case}").signal("record_payment", body)

    # --- what is known ------------------------------------------------------------------------------------------

    def requests(self) -> list[str]:
        """Return the attempt keys of all requests the judge has taken."""
        return requests_in(self._log)

    def fallen(self) -> dict[str, set[str]]:
        """Return, by place, who was there when a worker went down."""
        there: dict[str, set[str]] = defaultdict(set)
        if self._report.exists():
            for line in self._report.read_text(encoding="utf-8").splitlines():
                place, key = line.split()
                there[place].add(key)
        return there

    def note_fallen(self, place: str, keys: Iterable[str]) -> None:
        """Add to that what somebody else did to a worker."""
        with self._report.open("a", encoding="utf-8") as file:
            file.writelines(f"{place} {key}\n" for key in keys)

    async def workflows(self, count: int, completed: set[str]) -> dict[str, WorkflowExecutionStatus]:
        """Return the state of every case's workflow. Lists lag behind: ask for a while, until they are as expected."""
        states: dict[str, WorkflowExecutionStatus] = {}
        for _ in range(100):
            states = {
                execution.id.removeprefix("case/"): execution.status
                async for execution in self.client.list_workflows("WorkflowType = 'case'", page_size=1000)
                if execution.status is not None
            }
            done = {key for key, status in states.items() if status is WorkflowExecutionStatus.COMPLETED}
            if len(states) == count and done == completed:
                break
            await asyncio.sleep(0.1)
        return states

    # --- waiting ------------------------------------------------------------------------------------------------

    async def until_contacted(self, cases: Sequence[str]) -> None:
        """Wait until each case has climbed its ladder: every attempt of it is sent or unknown."""
        await self.until(_CONTACTED, list(cases), list(cases), STEPS)

    async def until_requested(self, attempts: Iterable[str], count: int) -> None:
        """Wait until so many of these attempts have reached the judge."""
        wanted = set(attempts)
        await self.until_true(lambda: len(wanted & set(self.requests())) >= count, f"{count} requests")

    async def until(self, query: str, *values: object) -> None:
        """Wait until a query says true; the database may be between two lives."""

        def holds() -> bool:
            with contextlib.suppress(DBAPIError), self.engine.connect() as connection:
                return bool(connection.exec_driver_sql(query, values).scalar_one())
            return False

        await self.until_true(holds, query)

    async def until_true(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        for _ in range(int(PATIENCE / 0.1)):
            if holds():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never: {what}")
