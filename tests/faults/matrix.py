"""Every fault of the fake carriers on every channel, while the worker or the web part is killed, on real processes.

``python -m tests.faults.matrix [SIZE]`` runs it whole (`make matrix`): SIZE cases for each fault, channel and kill. The
fake's own counters are the judge: what it did once must be known here, what it did not do must be named unknown, and
nothing may have been done twice.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from activities.signatures import CASES_QUEUE
from cli.rehearsal import Carriers, start_carriers
from db.engine import make_engine
from db.intake import Order, import_file
from db.migrate import upgrade
from db.settings import put_in_force, read_clock, set_clock
from db.signals import tell
from db.switches import list_switches, release, switch_on
from domain.clock import BusinessClock
from domain.codes import Channel
from domain.opening import OpenRequest
from domain.strategy_file import parse_strategy
from runtime.client import connect
from runtime.servers import Servers
from settings import Settings
from tests.fakes.client import FakeClient
from tests.faults.matrix_verdict import Cell, Verdict, judge
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
    "callbacks first": {"early": True},
    "reordered": {"reorder": True},
    "told thrice": {"times_told": 3},
    "sent for ever": {"for_ever": True},
}
"""What goes wrong with the one request of an attempt, or with what is said about it afterwards."""
OURS: dict[str, dict[str, Any]] = {
    "401": {"fault": {"kind": "answer", "status": 401, "code": 20003}},
    "redirect": {"fault": {"kind": "redirect", "location": "http://127.0.0.1:9/"}},
}
"""What looks like our own mistake: it switches the channel off until somebody has mended it and switches it on."""
MAY_ASK_AGAIN = frozenset({"429", *OURS})
"""Faults that prove that nothing was done."""
KILLS = ("worker", "web", "nobody")
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
PATIENCE = 420.0
_OPEN_ENDS = """
SELECT count(*) FROM unnest(%s::text[]) AS n(key) LEFT JOIN attempts t ON t.key = n.key
 WHERE t.key IS NULL OR t.status IN ('dispatching', 'retryable', 'deferred')
    OR (t.status = 'unknown' AND (t.look_ups = 0 OR n.key = ANY(%s)))
"""


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
        self._port = 0
        self._servers: Servers
        self._engine: Engine
        self._fake: FakeClient

    async def run(self, kills: Sequence[str] = KILLS, *, ours: bool = True) -> Verdict:
        """Play all cells of each kill together, one kill after the other, and judge. ``ours``: our mistakes too."""
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
                if ours:
                    await self._mended()
                return await asyncio.to_thread(
                    judge, self._engine, self._fake, self._cells, self._hit, MAY_ASK_AGAIN, servers.restarts
                )
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
        port = self._port = servers.port_for("the web part", 0, "DUNLIN_WEB_PORT")
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
        keys = await self._open(kill, self._faults)
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

    async def _mended(self) -> None:
        """Let every channel be switched off by what looks like our mistake, kill the worker, and switch on."""
        keys = await self._open("mended", OURS)
        await self._until(lambda: len(self._off()) == len(CHANNELS) or self._settled(keys))
        await self._kill_the_worker()

        def on() -> bool:
            for channel in self._off():
                _switch_on(self._engine, channel)
            return self._settled(keys)

        await self._until(on)

    def _off(self) -> list[str]:
        with self._engine.connect() as connection:
            return [one.name for one in list_switches(connection)]

    async def _open(self, kill: str, faults: Iterable[str]) -> list[str]:
        mine = [
            (fault, channel, kill)
            for fault in faults
            for channel in CHANNELS
            if (fault, channel) != ("half an answer", Channel.EMAIL)  # its answer has no body
        ]
        await self._until(self._doors_are_open)
        keys = await asyncio.to_thread(self._import, mine)
        await self._client.start_workflow(
            "open_cases", OpenRequest(as_of=ORIGIN, restart_missing=False), id=f"open/{kill}", task_queue=CASES_QUEUE
        )
        return keys

    def _doors_are_open(self) -> bool:
        """Whether the web part has come back from its last death."""
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self._port), timeout=2).close()
            return True
        return False

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


def _rule(fault: str, channel: Channel, attempt: str) -> dict[str, Any]:
    how = dict((FAULTS | OURS)[fault])
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


def _switch_on(engine: Engine, channel: str) -> None:
    """Switch a channel on as the command does."""
    now = datetime.now(UTC)
    with engine.begin() as connection:
        switch_on(connection, "channel", channel, by="matrix", at=now)
        clock = read_clock(connection)
        at = clock.business(now)
        for case_key, attempt_key in release(connection, "channel", channel, at):
            body = {"event_id": f"switch/{now.isoformat()}/{attempt_key}", "attempt": attempt_key}
            tell(connection, [case_key], "attempt_updated", body, at, logical=clock.is_logical)


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
