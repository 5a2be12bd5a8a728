"""The agents' drill: many people work one queue from processes of their own, and some of them are killed.

``python -m tests.faults.agents [AGENTS ITEMS KILLED STOPPED]`` runs the full one, 20 agents and 5,000 items by default.
Agents are killed (kill -9) while they have an item on loan; others are stopped for longer than a loan lasts, so that they
come back with a number that is over. The verdict is their notes against the ledger.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row

from db.actors import Fitness, register
from db.engine import make_engine
from db.intake import Order, import_file
from db.opening import mark_open, open_page
from db.settings import put_in_force, set_clock
from domain.clock import BusinessClock
from domain.roles import SYSTEM, Role
from domain.strategy_file import parse_strategy
from domain.work_policy import Lease, WorkPolicy
from tests.activities.cases import AT, HEAD, row
from tests.desk.house import CALLS, POLICY
from tests.faults.agent import Brief

ROOT = Path(__file__).resolve().parents[2]
AGENTS, ITEMS, KILLED, STOPPED = 20, 5_000, 6, 2
LEASE_SECONDS = 6.0
PATIENCE = 900.0
_ITEMS = """
WITH made AS (
    INSERT INTO work_items (kind, party_key, creditor, collector, created_at, due_at, expires_at)
    SELECT 'call', d.party_key, k.creditor, k.collector, %(at)s - row_number() OVER (ORDER BY k.key) * interval '1 second',
           %(at)s - row_number() OVER (ORDER BY k.key) * interval '1 second', %(at)s + interval '10 days'
      FROM cases k JOIN debtors d ON d.key = k.debtor_key RETURNING key, party_key)
INSERT INTO work_item_cases (item_key, case_key, step, asked_at, attempt_key)
SELECT m.key, k.key, 'call', %(at)s, k.key || '/1' FROM made m JOIN debtors d ON d.party_key = m.party_key
  JOIN cases k ON k.debtor_key = d.key
"""
_LEFT = "SELECT count(*) FROM work_items WHERE status IN ('open', 'claimed')"
_HOLDER = """
SELECT claimed_by, key, lease_no FROM work_items WHERE status = 'claimed' AND lease_until > %s
   AND claimed_by = ANY(%s) ORDER BY lease_until DESC LIMIT 1
"""


@dataclass
class Verdict:
    """What came of it. ``wrong`` names every difference between the notes, the queue and the ledger."""

    items: int
    seconds: float
    finished: Counter[str]
    killed: list[str]
    taken_over: int
    """Items that a killed agent had on loan and somebody else finished."""
    lapsed: int
    released: int
    refused: int
    """Reports of agents whose loan was over."""
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the verdict as lines."""
        rate = self.items / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.items} items, {len(self.finished)} agents finished something, {self.seconds:.1f} s, {rate:.0f} items/s",
            f"each agent finished {min(self.finished.values())} to {max(self.finished.values())}",
            f"{len(self.killed)} agents killed with an item on loan; {self.taken_over} of these items finished by others",
            f"{self.lapsed} loans lapsed, {self.released} items given back, {self.refused} late reports refused",
        ]
        return "\n".join(
            [*lines, *(f"WRONG: {one}" for one in self.wrong[:20]), "" if self.wrong else "all as it should be"]
        )


@dataclass
class AgentsDrill:
    """One run over an empty, migrated database."""

    folder: Path
    database_url: str
    agents: int = AGENTS
    items: int = ITEMS
    killed: int = KILLED
    stopped: int = STOPPED
    lease_seconds: float = LEASE_SECONDS
    talk: float = 0.02
    _engine: Engine = field(init=False)
    _clock: BusinessClock = field(init=False)
    _running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    _resting: list[str] = field(default_factory=list)
    """Agents that are stopped."""
    _started: int = 0

    async def run(self) -> Verdict:
        """Set up, let them work, kill some, judge."""
        self._engine = make_engine(self.database_url)
        try:
            self._set_up()
            return await self._work()
        finally:
            for process in self._running.values():
                if process.returncode is None:
                    process.send_signal(signal.SIGCONT)
                    process.kill()
            await asyncio.gather(*(process.wait() for process in self._running.values()))
            self._engine.dispose()

    def _set_up(self) -> None:
        """Open a case with a call item for each debtor; it is nine o'clock where they live, and goes on from there."""
        self._clock = BusinessClock(kind="logical", origin=AT, epoch=datetime.now(UTC), speed=1.0)
        rows = "".join(row(f"L{n}", f"K{n}", phone=f"+1312{5550000 + n:07d}") for n in range(self.items))
        path = self.folder / "ledger.csv"
        path.write_text(HEAD + rows, encoding="utf-8")
        assert import_file(self._engine, Order("ledger", path, AT - timedelta(days=30))).mistakes == []
        strategy = parse_strategy(CALLS, "calls.yaml")
        with self._engine.begin() as connection:
            set_clock(connection, self._clock)
            (digest,) = put_in_force(connection, [strategy], AT)
        after: str | None = ""
        while after is not None:
            page = open_page(
                self._engine, as_of=AT, strategies={digest: strategy}, clock=self._clock, limit=1_000, after=after
            )
            mark_open(self._engine, [case.state.case_key for case in page.cases])
            after = page.next_after
        with self._engine.begin() as connection:
            connection.exec_driver_sql(_ITEMS, {"at": AT})
            assert connection.exec_driver_sql(_LEFT).scalar_one() == self.items

    # --- agents -------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        code = _code(self._started)
        self._started += 1
        with self._engine.begin() as connection:
            register(connection, code, Role.AGENT, Fitness(), by=SYSTEM, at=AT)
        lease = Lease(minutes=self.lease_seconds / 60, lapses=20)
        policy: WorkPolicy = POLICY.model_copy(update={"lease": lease})
        brief = Brief(
            database_url=self.database_url, code=code, policy=policy, notes=self.folder / f"{code}.notes",
            talk=self.talk, seed=self._started,
        )  # fmt: skip
        path = self.folder / f"{code}.json"
        path.write_text(brief.model_dump_json(), encoding="utf-8")
        self._running[code] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.agent", str(path), cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )

    async def _work(self) -> Verdict:
        for _ in range(self.agents):
            await self._start()
        await self._until(lambda: all(self._ready(code) for code in self._running), "agents")
        began = time.monotonic()
        (self.folder / "go").touch()
        killed: list[tuple[str, str, int]] = []
        for number in range(self.killed):
            await self._until_left(self.items - (number + 1) * self.items // (2 * self.killed + 1))
            killed.append(await self._kill_one())
            await self._start()
        while len(self._resting) < self.stopped:
            self._resting.append(await self._stop_one())
        await self._until_left(0)
        seconds = time.monotonic() - began
        for code in self._resting:
            self._running[code].send_signal(signal.SIGCONT)
        await self._until(lambda: all(self._word(code, "lost") for code in self._resting), "late reports")
        (self.folder / "stop").touch()
        for code, process in self._running.items():
            code_of_exit = await asyncio.wait_for(process.wait(), 60)
            assert code_of_exit in ({-signal.SIGKILL} if code in {one[0] for one in killed} else {0}), code
        return self._judge(killed, seconds)

    async def _kill_one(self) -> tuple[str, str, int]:
        """Kill an agent that has an item on loan; the loan is checked again when it is dead."""
        while True:
            holder = self._holder()
            if holder is not None:
                code, key, lease_no = holder
                self._running[code].kill()
                await self._running[code].wait()
                if self._still(code, key, lease_no):
                    return holder
                await self._start()  # it had just reported: another one is killed
            await asyncio.sleep(0.005)

    async def _stop_one(self) -> str:
        """Stop an agent in the middle of an item, for longer than its loan lasts."""
        while self._left():
            holder = self._holder()
            if holder is not None:
                code, key, lease_no = holder
                self._running[code].send_signal(signal.SIGSTOP)
                await asyncio.sleep(0.05)
                if self._still(code, key, lease_no) and self._rests(code):
                    return code
                self._running[code].send_signal(signal.SIGCONT)
            await asyncio.sleep(0.005)
        raise AssertionError("nobody could be stopped before everything was done")

    def _rests(self, code: str) -> bool:
        """Whether a stopped agent was stopped while it talked, not in a transaction."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state <> 'idle'"
        with self._engine.connect() as connection:
            return int(connection.exec_driver_sql(query, (code,)).scalar_one()) == 0

    def _holder(self) -> tuple[str, str, int] | None:
        alive = [code for code, process in self._running.items() if process.returncode is None and self._ready(code)]
        alive = [code for code in alive if code not in self._resting]
        with self._engine.connect() as connection:
            row = connection.exec_driver_sql(_HOLDER, (self._now(), alive)).one_or_none()
        return None if row is None else (row.claimed_by, row.key, row.lease_no)

    def _still(self, code: str, key: str, lease_no: int) -> bool:
        with self._engine.connect() as connection:
            found = connection.exec_driver_sql(
                "SELECT 1 FROM work_items WHERE key = %s AND status = 'claimed' AND claimed_by = %s AND lease_no = %s",
                (key, code, lease_no),
            )
            return found.one_or_none() is not None

    # --- judging ------------------------------------------------------------------------------------------------

    def _judge(self, killed: list[tuple[str, str, int]], seconds: float) -> Verdict:
        notes = {code: self._notes(code) for code in self._running}
        reported = {
            (key, int(no)): code for code, lines in notes.items() for word, key, no in lines if word == "finished"
        }
        refused = [(code, key, int(no)) for code, lines in notes.items() for word, key, no in lines if word == "lost"]
        with self._engine.connect() as connection:
            events = connection.exec_driver_sql(
                "SELECT item_key, kind, actor, lease_no FROM work_events ORDER BY id"
            ).all()
            told = {
                one.event_id: one.case_key
                for one in connection.exec_driver_sql("SELECT event_id, case_key FROM signals").all()
            }
            states = Counter(connection.exec_driver_sql("SELECT status FROM work_items").scalars())
        ended = {(one.item_key, one.lease_no): one for one in events if one.kind == "finished"}
        wrong = []
        if states != Counter({"reported": self.items}):
            wrong.append(f"items stand {dict(states)}")
        if len(ended) != self.items or len({key for key, _ in ended}) != self.items:
            wrong.append(f"{len(ended)} reports about {len({key for key, _ in ended})} items")
        wrong += [f"{key}: noted by {code}, not kept" for (key, no), code in reported.items() if (key, no) not in ended]
        wrong += [
            f"{key}: reported by {ended[key, no].actor}, noted by {code}"
            for (key, no), code in reported.items()
            if (key, no) in ended and ended[key, no].actor != code
        ]
        if set(told) != {f"work/{key}/{no}" for key, no in ended}:
            wrong.append(f"{len(told)} cases told of {len(ended)} reports")
        if len(set(told.values())) != self.items:
            wrong.append(f"{len(set(told.values()))} cases told for {self.items} items")
        wrong += [f"{key}: loan {no} was over and its report taken" for _, key, no in refused if (key, no) in ended]
        wrong += _unbalanced(events)
        by_others = [one for one in killed if any(key == one[1] and no > one[2] for key, no in ended)]
        if len(by_others) != len(killed):
            wrong.append(f"{len(killed) - len(by_others)} items of killed agents did not come back")
        if len(refused) < self.stopped:
            wrong.append(f"{len(refused)} late reports refused, {self.stopped} agents were stopped")
        return Verdict(
            items=self.items,
            seconds=seconds,
            finished=Counter(one.actor for one in ended.values()),
            killed=[code for code, _, _ in killed],
            taken_over=len(by_others),
            lapsed=sum(one.kind == "lapsed" for one in events),
            released=sum(one.kind == "released" for one in events),
            refused=len(refused),
            wrong=wrong,
        )

    def _notes(self, code: str) -> list[list[str]]:
        path = self.folder / f"{code}.notes"
        whole = path.read_text(encoding="utf-8") if path.exists() else ""
        return [words for words in (line.split() for line in whole.splitlines()) if len(words) == 3]

    def _word(self, code: str, word: str) -> bool:
        return any(words[0] == word for words in self._notes(code))

    def _ready(self, code: str) -> bool:
        path = self.folder / f"{code}.notes"
        return path.exists() and path.stat().st_size > 0

    # --- waiting ------------------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return self._clock.business(datetime.now(UTC))

    def _left(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.exec_driver_sql(_LEFT).scalar_one())

    async def _until_left(self, count: int) -> None:
        await self._until(lambda: self._left() <= count, f"{count} items left")

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            dead = [
                code for code, process in self._running.items() if process.returncode not in {None, -signal.SIGKILL}
            ]
            assert not dead, f"{dead} died of themselves"
            assert time.monotonic() < deadline, f"never: {what}"
            await asyncio.sleep(0.05)


def _unbalanced(events: Sequence[Row[Any]]) -> list[str]:
    """Find loans that did not end in exactly one way: reported, given back, or lapsed."""
    begun = Counter((one.item_key, one.lease_no) for one in events if one.kind == "claimed")
    over = Counter((one.item_key, one.lease_no) for one in events if one.kind in {"finished", "released", "lapsed"})
    return [f"{key}: loan {no} began {begun[key, no]} times and ended {over[key, no]}" for key, no in begun | over
            if begun[key, no] != 1 or over[key, no] != 1]  # fmt: skip


def _code(number: int) -> str:
    return f"agent-{number:02d}"


async def main(agents: int, items: int, killed: int, stopped: int) -> int:
    """Run the drill on a PostgreSQL of its own and print the verdict."""
    from db.migrate import upgrade
    from runtime.servers import Servers
    from settings import Settings

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with Servers(Settings(state_dir=folder / "state"), temporal=False) as servers:
            upgrade(servers.database_url)
            drill = AgentsDrill(folder, servers.database_url, agents, items, killed, stopped)
            verdict = await drill.run()
    sys.stdout.write(f"{verdict}\n")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    sys.exit(asyncio.run(main(*(given + [AGENTS, ITEMS, KILLED, STOPPED][len(given) :]))))
