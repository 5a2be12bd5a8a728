"""Every fault of the fake carriers on every channel, while the worker or the web part is killed, on real processes.

``python -m tests.faults.matrix [SIZE]`` runs it whole (`make matrix`): SIZE cases for each fault, channel and kill. The
fake's own counters are the judge: what it did once must be known here, what it did not do must be named unknown, and
nothing may have been done twice.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from activities.signatures import CASES_QUEUE
from cli.rehearsal import Carriers, start_carriers
from db.engine import make_engine
from db.intake import Order, import_file
from db.migrate import upgrade
from db.settings import put_in_force, set_clock
from domain.clock import BusinessClock
from domain.codes import Channel
from domain.opening import OpenRequest
from domain.strategy_file import parse_strategy
from runtime.client import connect
from runtime.servers import Servers
from settings import Settings
from tests.fakes.client import FakeClient
from tests.providers.conftest import CREATE

ROOT = Path(__file__).resolve().parents[2]
CHANNELS = (Channel.SMS, Channel.VOICE, Channel.EMAIL)
FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "answer lost": {"fault": {"kind": "drop", "processed": True}},
    "request lost": {"fault": {"kind": "drop"}},
    "reset, done": {"fault": {"kind": "reset", "processed": True}},
    "reset, not done": {"fault": {"kind": "reset"}},
    "500, done": {"fault": {"kind": "answer", "status": 500, "processed": True}},
    "503, not done": {"fault": {"kind": "answer", "status": 503}},
    "429": {"fault": {"kind": "answer", "status": 429, "headers": {"Retry-After": "60"}}},
    "slow": {"fault": {"kind": "slow", "seconds": 4}},
    "half an answer": {"fault": {"kind": "garble"}},
    "redirect": {"fault": {"kind": "redirect", "location": "http://127.0.0.1:9/"}},
    "callbacks first": {"early": True},
    "reordered": {"reorder": True},
    "told thrice": {"times_told": 3},
    "sent for ever": {"for_ever": True},
}
"""What goes wrong with the one request of an attempt, or with what is said about it afterwards."""
MAY_ASK_AGAIN = frozenset({"429"})
"""Faults that prove that nothing was done."""
KILLS = ("nobody", "worker", "web")
ORIGIN = datetime(2026, 3, 3, 15, tzinfo=UTC)
HEAD = "account_id,debtor_id,product,currency,amount,due_date,phone,email,timezone\n"
LADDER = """
name: {channel}
version: 1
segment: {{product: {channel}}}
at_end: wait
steps:
  - {{id: one, channel: {channel}, template: {template}, start: {{since: due, days: 1}}, between: {{hours: "09:00-18:00"}}}}
"""
TEMPLATE = {Channel.SMS: "payment-reminder", Channel.VOICE: "payment-reminder", Channel.EMAIL: "invoice-overdue"}
KNOWN = frozenset({"sent", "delivered", "answered", "undelivered"})
PATIENCE = 420.0
_OPEN_ENDS = """
SELECT count(*) FROM unnest(%s::text[]) AS n(key) LEFT JOIN attempts t ON t.key = n.key
 WHERE t.key IS NULL OR t.status IN ('dispatching', 'retryable', 'deferred')
    OR (t.status = 'unknown' AND (t.look_ups = 0 OR n.key = ANY(%s)))
"""

Cell = tuple[str, Channel, str]
"""Fault, channel, who is killed."""


@dataclass
class Row:
    """What became of one cell."""

    cases: int = 0
    hit: int = 0
    done: int = 0
    unknown: int = 0
    repeated: int = 0
    statuses: Counter[str] = field(default_factory=Counter)


class Matrix:
    """One installation in which all cells are played; ``size`` cases each."""

    def __init__(
        self, folder: Path, size: int, faults: Iterable[str] = FAULTS, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._folder = folder
        self._size = size
        self._faults = tuple(faults)
        self._say = say
        self._settings = Settings(state_dir=folder / "state")
        self._numbers = 0
        self._cells: dict[Cell, list[str]] = {}
        self._hit: set[str] = set()
        self._servers: Servers
        self._engine: Engine
        self._fake: FakeClient

    async def run(self, kills: Sequence[str] = KILLS) -> "Verdict":
        """Play all cells of each kill together, one kill after the other, and judge."""
        async with Servers(self._settings) as servers:
            self._servers = servers
            await asyncio.to_thread(upgrade, servers.database_url)
            self._engine = make_engine(servers.database_url)
            try:
                await self._start(servers)
                for kill in kills:
                    began = time.monotonic()
                    await self._round(kill)
                    self._say(f"killed: {kill}, {time.monotonic() - began:.0f} s")
                return await asyncio.to_thread(self._judge)
            finally:
                self._engine.dispose()

    async def _start(self, servers: Servers) -> None:
        clock = BusinessClock(
            kind="logical", origin=ORIGIN, epoch=datetime.now(UTC), speed=30.0, horizon=ORIGIN + timedelta(days=30)
        )
        ladders = [
            parse_strategy(LADDER.format(channel=channel, template=TEMPLATE[channel]), f"{channel}.yaml")
            for channel in CHANNELS
        ]
        with self._engine.begin() as connection:
            set_clock(connection, clock)
            put_in_force(connection, ladders, ORIGIN)
        carriers: Carriers = await start_carriers(servers, 1)
        self._fake = FakeClient(carriers.url)
        self._fake.configure(event_tries=2000)  # SendGrid repeats a batch for a day
        port = servers.port_for("the web part", 0, "DUNLIN_WEB_PORT")
        url = f"http://127.0.0.1:{port}"
        env = {
            **carriers.environment(url),
            "PYTHONPATH": str(ROOT),
            "DUNLIN_STATE_DIR": str(self._settings.state_folder),
            "DUNLIN_WEB_PORT": str(port),
            "DUNLIN_PUBLIC_URL": url,
            "DUNLIN_TWILIO_TIMEOUT_SECONDS": "2.5",
            "DUNLIN_SENDGRID_TIMEOUT_SECONDS": "2.5",
            "DUNLIN_TWILIO_CALLBACK_RETRIES": "5",
        }
        del env["DUNLIN_REHEARSAL_URL"]
        await servers.add_child("web", [sys.executable, str(ROOT / "webserver.py")], env, port=port)
        await servers.add_child("worker", [sys.executable, "-m", "tests.faults.matrix_worker"], env)
        self._client = await connect(self._settings, servers.endpoints)

    # --- one kill ----------------------------------------------------------------------------------------------------

    async def _round(self, kill: str) -> None:
        mine = [
            (fault, channel, kill)
            for fault in self._faults
            for channel in CHANNELS
            if (fault, channel) != ("half an answer", Channel.EMAIL)  # its answer has no body
        ]
        keys = await asyncio.to_thread(self._import, mine)
        await self._client.start_workflow(
            "open_cases", OpenRequest(as_of=ORIGIN, restart_missing=False), id=f"open/{kill}", task_queue=CASES_QUEUE
        )
        before = await asyncio.to_thread(self._fake.counted, "callbacks.delivered")
        for part in () if kill == "nobody" else (0.1, 0.4, 0.7):
            goal = part * len(keys)
            if kill == "worker":
                await self._until(lambda goal=goal: self._requested(keys) >= goal)  # type: ignore[misc]
                await self._kill_the_worker()
            else:
                await self._until(lambda goal=goal: self._told(before, goal) or self._settled(keys))  # type: ignore[misc]
                self._kill("web")
                await asyncio.sleep(2.0)
        await self._until(lambda: self._settled(keys))

    def _told(self, before: int, goal: float) -> bool:
        return self._fake.counted("callbacks.delivered") - before >= goal

    def _import(self, cells: list[Cell]) -> list[str]:
        """Import accounts for each cell, and tell the fake what becomes of each one's only request."""
        rows, names = [], {}
        for fault, channel, kill in cells:
            for _ in range(self._size):
                number = self._numbers = self._numbers + 1
                names[f"L{number}"] = (fault, channel, kill)
                rows.append(
                    f"L{number},K{number},{channel},USD,100.00,{date(2026, 3, 2)},+1312{5550000 + number:07d},"
                    f"c{number}@example.com,America/Chicago\n"
                )
        path = self._folder / "ledger.csv"
        path.write_text(HEAD + "".join(rows), encoding="utf-8")
        assert import_file(self._engine, Order("ledger", path, ORIGIN - timedelta(days=9))).mistakes == []
        with self._engine.connect() as connection:
            found = connection.exec_driver_sql(
                "SELECT external_id, key FROM accounts WHERE external_id = ANY(%s)", (list(names),)
            ).all()
        rules, keys = [], []
        for external, key in found:
            cell, attempt = names[external], f"{key}/1/1"
            self._cells.setdefault(cell, []).append(attempt)
            keys.append(attempt)
            if cell[0] != "none":
                rules.append(_rule(cell[0], cell[1], attempt))
        self._fake.ask("rules/clear")
        self._fake.ask("rules", rules)
        return keys

    def _requested(self, keys: Sequence[str]) -> int:
        return len(set(keys) & self._fake.totals()["requests"].keys())

    async def _kill_the_worker(self) -> None:
        """Let requests pile up before a fake that stands still, kill who made them, and let the fake go on."""
        carriers = self._servers.pids["carriers"]
        if carriers is None:
            return
        os.kill(carriers, signal.SIGSTOP)
        try:
            await asyncio.sleep(0.7)
            self._kill("worker")
            with self._engine.connect() as connection:
                flying = connection.exec_driver_sql("SELECT key FROM attempts WHERE status = 'dispatching'").scalars()
                self._hit |= set(flying)
        finally:
            os.kill(carriers, signal.SIGCONT)

    def _kill(self, name: str) -> None:
        pid = self._servers.pids[name]
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def _settled(self, keys: Sequence[str]) -> bool:
        """Whether every attempt has come to an end: known, or unknown after being looked for, and nobody did it."""
        done = [key for key, count in self._fake.totals()["processed"].items() if count]
        with self._engine.connect() as connection:
            return bool(connection.exec_driver_sql(_OPEN_ENDS, (list(keys), done)).scalar_one() == 0)

    async def _until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if await asyncio.to_thread(holds):
                return
            await asyncio.sleep(0.2)
        self._say("something that should have come true did not; the verdict says what")

    # --- the verdict ---------------------------------------------------------------------------------------------------

    def _judge(self) -> "Verdict":
        totals = self._fake.totals()
        ids = _ids(self._fake.state())
        with self._engine.connect() as connection:
            found = {
                row.key: row
                for row in connection.exec_driver_sql(
                    "SELECT t.key, t.status, t.provider_id, (SELECT count(*) FROM attempts o WHERE o.case_key = t.case_key) AS own FROM attempts t"
                )
            }
        table: dict[Cell, Row] = defaultdict(Row)
        wrong = [f"{key} was done twice" for key in totals["duplicates"]]
        for cell, keys in self._cells.items():
            row = table[cell]
            for key in keys:
                asked, done, one = totals["requests"].get(key, 0), totals["processed"].get(key, 0), found.get(key)
                row.cases += 1
                row.hit += key in self._hit
                row.done += done
                row.repeated += done > 1
                row.statuses[one.status if one is not None else "missing"] += 1
                row.unknown += one is not None and one.status == "unknown"
                if complaint := _complaint(cell, one, asked=asked, done=done, ids=ids.get(key, set())):
                    wrong.append(f"{cell[0]}, {cell[1]}, {cell[2]} killed: {key} {complaint}")
        return Verdict(dict(table), tuple(wrong), self._servers.restarts)


def _rule(fault: str, channel: Channel, attempt: str) -> dict[str, Any]:
    how = dict(FAULTS[fault])
    last = "delivered"
    first = "processed" if channel is Channel.EMAIL else "sent"
    told = int(how.pop("times_told", 1))
    if how.pop("for_ever", False):
        how["life"] = [{"status": first}]
    elif told > 1:
        how["life"] = [{"status": first, "times": told}, {"status": last, "times": told}]
    if channel is Channel.VOICE:
        how.pop("life", None)
    return {"on": CREATE[channel], "attempt": attempt, "times": 1, **how}


def _ids(state: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for one in (*state["messages"], *state["calls"], *state["emails"]):
        found[one["attempt"]].add(one.get("sid") or one["id"])
    return found


def _complaint(cell: Cell, one: Any, *, asked: int, done: int, ids: set[str]) -> str | None:  # noqa: ANN401 - a row
    """Say what is wrong with one attempt."""
    if one is None:
        return "was lost: it has no row"
    if one.own != 1:
        return f"is one of {one.own} attempts of its case"
    if asked > (2 if cell[0] in MAY_ASK_AGAIN else 1):
        return f"was asked for {asked} times"
    if done and one.status not in KNOWN:
        return f"was done and is {one.status}"
    if not done and one.status != "unknown":
        return f"was not done and is {one.status}"
    if (
        done
        and one.provider_id is not None
        and one.provider_id not in ids
        and not one.provider_id.startswith("attempt:")
    ):
        return "has the name of another"
    return None


@dataclass(frozen=True)
class Verdict:
    """The table, and every finding in words; nothing wrong means every promise was kept."""

    table: dict[Cell, Row]
    wrong: tuple[str, ...]
    restarts: dict[str, int]

    def __str__(self) -> str:
        """Return the table as text."""
        lines = [
            f"{'fault':<18}{'channel':<9}{'killed':<9}{'cases':>6}{'hit':>5}{'done':>6}{'unknown':>9}{'twice':>7}  statuses"
        ]
        for (fault, channel, kill), row in self.table.items():
            said = ", ".join(f"{name} {count}" for name, count in sorted(row.statuses.items()))
            lines.append(
                f"{fault:<18}{channel:<9}{kill:<9}{row.cases:>6}{row.hit:>5}{row.done:>6}{row.unknown:>9}{row.repeated:>7}  {said}"
            )
        sums = [
            sum(getattr(row, name) for row in self.table.values())
            for name in ("cases", "hit", "done", "unknown", "repeated")
        ]
        lines.append(f"{'all':<36}{sums[0]:>6}{sums[1]:>5}{sums[2]:>6}{sums[3]:>9}{sums[4]:>7}")
        lines.append(f"restarts: {self.restarts}")
        return "\n".join([*lines, *(self.wrong or ("nothing wrong",))])


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


async def main(size: int = 4) -> int:
    """Run the whole matrix and print its table."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        verdict = await Matrix(Path(folder), size, say=_say).run()
    sys.stdout.write(f"{verdict}\n{time.monotonic() - began:.0f} seconds\n")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*(int(word) for word in sys.argv[1:2]))))
