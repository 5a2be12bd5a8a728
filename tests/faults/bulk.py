"""The bulk drill: half of all cases are held while whoever does it is killed; judged by the ledger and by the cases.

``python -m tests.faults.bulk [CASES]`` (20,000 by default) runs a whole installation, ``starter.py up``, and the commands
that operations would type. Killed with -9: the command in the middle of its pages, twice; then the worker and the web part
while they tell the cases.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg

from runtime.client import connect
from runtime.endpoints import running_endpoints
from settings import Settings

ROOT = Path(__file__).resolve().parents[2]
WHERE = "creditor: bank, held: no"
HEAD = "account_id,debtor_id,product,currency,amount,due_date,phone,timezone,creditor_id\n"
SAMPLE = 25
PATIENCE = 3600.0
"""Seconds after which something that must come true never will."""

HELD = (
    "SELECT k.creditor, count(DISTINCT k.key) FROM holds h JOIN cases k ON k.account_key = h.account_key "
    "WHERE h.reason = 'other' GROUP BY 1"
)
TWICE = "SELECT count(*) FROM (SELECT account_key FROM holds GROUP BY 1 HAVING count(*) > 1) one"
RECORDED = (
    "SELECT count(*), count(DISTINCT case_key) FROM case_events WHERE kind = 'hold' AND body::jsonb ->> 'bulk' = %s "
    "AND body::jsonb ->> 'actor' = 'olga' AND body::jsonb ->> 'role' = 'ops'"
)
STAGES = "SELECT creditor, stage, count(*) FROM cases GROUP BY 1, 2 ORDER BY 1, 2"


@dataclass
class Figures:
    """What was seen. ``spans``: seconds by what took them; ``wrong``: what should not be."""

    cases: int
    previewed: int = 0
    spans: dict[str, float] = field(default_factory=dict)
    kills: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Measure a part."""
        began = time.perf_counter()
        yield
        self.spans[what] = self.spans.get(what, 0.0) + time.perf_counter() - began

    def expect(self, what: str, seen: object, wanted: object) -> None:
        """Note a difference."""
        if seen != wanted:
            self.wrong.append(f"{what}: {seen!r} instead of {wanted!r}")

    def __str__(self) -> str:
        lines = [f"bulk hold of {self.previewed} of {self.cases} cases"]
        lines += [f"  {seconds:8.1f} s  {what}" for what, seconds in self.spans.items()]
        lines += [f"  killed -9: {what} at {where}" for what, where in self.kills.items()]
        lines += [f"  WRONG: {one}" for one in self.wrong] or ["  exactly these, each once; the rest untouched"]
        return "\n".join(lines)


class House:
    """A whole installation and its command line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = folder / "state"
        self._up: subprocess.Popen[bytes] | None = None
        self._log = (folder / "up.log").open("wb")

    def __enter__(self) -> Self:
        self._up = self._start("up", output=self._log)
        self.until(self._answers, "the installation is up")
        return self

    def __exit__(self, *_: object) -> None:
        if self._up is not None:
            self._up.send_signal(signal.SIGINT)
            self._up.wait(timeout=120)
        self._log.close()

    def _start(self, *arguments: str, output: Any = subprocess.PIPE) -> subprocess.Popen[bytes]:  # noqa: ANN401
        env = {**os.environ, "DUNLIN_STATE_DIR": str(self._state), "DUNLIN_LOG_LEVEL": "WARNING"}
        env["DUNLIN_BULK_APPROVAL_ABOVE"] = "1"
        command = [sys.executable, str(ROOT / "starter.py"), *arguments]
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)

    def _answers(self) -> bool:
        if self._up is None or self._up.poll() is not None:
            raise AssertionError(f"`up` ended; see {self._folder / 'up.log'}")
        try:
            return bool(self.rows("SELECT 1 FROM runtime_settings WHERE name = 'strategies'"))
        except (OSError, ValueError, psycopg.Error):
            return False

    @property
    def database(self) -> str:
        """Address of the database, as the installation published it."""
        told = json.loads((self._state / "endpoints.json").read_text(encoding="utf-8"))
        return str(told["database_url"]).replace("+psycopg", "", 1)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with psycopg.connect(self.database, connect_timeout=20) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def one(self, query: str, *values: object) -> Any:  # noqa: ANN401 - whatever stands there
        """Ask the database for one value."""
        return self.rows(query, *values)[0][0]

    def command(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever it prints
        """Run a command to its end and return the JSON it printed."""
        done = self._start(*arguments, "--json")
        out, err = done.communicate()
        assert done.returncode == 0, f"{arguments}: {err.decode()}"
        return json.loads(out) if out.strip() else None

    def killed_at(self, account: str, *arguments: str) -> None:
        """Run a command and kill it with -9 in the middle of the page that needs the persons of an account."""
        with psycopg.connect(self.database) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('account:' || %s, 0))", (account,))
            running = self._start(*arguments, output=subprocess.DEVNULL)
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory'"
            self.until(lambda: bool(self.one(waits)), "the command waits for a person")
            running.kill()
            running.wait()

    def kill_child(self, script: str) -> None:
        """Kill with -9 the child of ``up`` that runs a script; it is started again by its keeper."""
        assert self._up is not None
        for child in psutil.Process(self._up.pid).children(recursive=True):
            if any(part.endswith(script) for part in child.cmdline()):
                child.kill()
                return
        raise AssertionError(f"no {script} runs")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"never: {what}"
            time.sleep(0.05)

    def settings(self) -> Settings:
        """Return the settings of the installation."""
        return Settings(state_dir=self._state)


def portfolio(path: Path, cases: int) -> None:
    """Write a ledger: two cases for each debtor, every second debtor is the bank's. Nobody is due today."""
    due = (datetime.now(UTC) - timedelta(days=2)).date()
    rows = (
        f"L{n},K{n // 2},loan,USD,{100 + n % 900}.00,{due},+1312{5550000 + n // 2:07d},America/Chicago,"
        f"{'bank' if n // 2 % 2 else 'shop'}\n"
        for n in range(cases)
    )
    path.write_text(HEAD + "".join(rows), encoding="utf-8")


def run(folder: Path, cases: int, say: Callable[[str], None] = lambda _: None, *, servers: bool = True) -> Figures:
    """Play the drill and return what was seen. ``servers``: kill the worker and the web part too."""
    figures = Figures(cases)
    portfolio(folder / "ledger.csv", cases)
    with House(folder) as house:
        for who in (("root", "admin"), ("olga", "ops"), ("sue", "supervisor")):
            by = () if who[0] == "root" else ("--as", "root")
            house.command("actor", "add", who[0], "--role", who[1], *by)
        house.command("import", "--ledger", str(folder / "ledger.csv"), "--as", "olga")
        say(f"opening {cases} cases")
        with figures.timed("open the cases as workflows"):
            house.command("open", "--as", "olga")
        figures.expect("open cases", house.one("SELECT count(*) FROM cases WHERE status = 'open'"), cases)
        _hold(house, figures, say, servers=servers)
        say("what is in the ledger, and what the cases say")
        _judge(house, figures)
    return figures


def _hold(house: House, figures: Figures, say: Callable[[str], None], *, servers: bool) -> None:
    """Look, confirm, have it approved, and be killed while doing it."""
    order = ("bulk", "hold", "--where", WHERE, "--reason", "other", "--as", "olga")
    with figures.timed("preview"):
        shown = house.command(*order)
    figures.previewed = shown["cases"]
    with figures.timed("confirm"):
        confirmed = house.command(*order, "--confirm", shown["fingerprint"])
    key = confirmed["key"]
    house.command("bulk", "approve", key, "--as", "sue")
    done = "SELECT count(*) FROM bulk_items WHERE bulk_key = %s AND status = 'done'"
    with figures.timed("ledger, with two kills of the command"):
        for number in (figures.previewed // 3, 2 * figures.previewed // 3):
            account = house.one("SELECT account_key FROM bulk_items WHERE bulk_key = %s AND no = %s", key, number)
            house.killed_at(account, "bulk", "run", key, "--as", "olga")
            at = house.one(done, key)
            figures.kills[f"the command at case {number}"] = f"{at} done"
            figures.expect("holds of whole pages", house.one("SELECT count(*) FROM holds"), at)
            say(f"killed at {at}")
        finishing = house._start("bulk", "run", key, "--as", "olga", output=subprocess.DEVNULL)
        house.until(lambda: house.one("SELECT status = 'done' FROM bulk_operations WHERE key = %s", key), "done")
    heard = (
        "SELECT count(*) FROM bulk_items i JOIN inbox b ON b.source = 'case' AND b.external_id = i.case_key || '#bulk/' || "
        "i.bulk_key WHERE i.bulk_key = %s"
    )
    with figures.timed(
        "from then until every case has acted on it" + (", with kills of worker and web" if servers else "")
    ):
        for script in ("worker.py", "webserver.py") if servers else ():
            house.kill_child(script)
            figures.kills[script] = f"{house.one(heard, key)} cases that have acted"
        house.until(lambda: house.one(heard, key) == figures.previewed, "every case has acted on it")
        house.until(
            lambda: house.one("SELECT count(*) FROM cases WHERE stage = 'held'") == figures.previewed, "all held"
        )
    finishing.wait()
    report = house.command("bulk", "status", key)
    figures.expect("items", report["items"], {"done": figures.previewed})
    figures.expect("told", (report["told"], report["heard"]), (figures.previewed, figures.previewed))
    figures.expect("record", house.rows(RECORDED, key), [(figures.previewed, figures.previewed)])


def _judge(house: House, figures: Figures) -> None:
    half = figures.cases // 2
    figures.expect("previewed", figures.previewed, half)
    figures.expect("held in the ledger", house.rows(HELD), [("bank", half)])
    figures.expect("held twice", house.one(TWICE), 0)
    figures.expect("stages", [row[::2] for row in house.rows(STAGES) if row[1] == "held"], [("bank", half)])
    figures.expect("stages of the others", {row[0] for row in house.rows(STAGES) if row[1] != "held"}, {"shop"})
    figures.expect("contacts", house.one("SELECT count(*) FROM attempts"), 0)
    figures.expect("signals waiting", house.one("SELECT count(*) FROM signals WHERE status = 'waiting'"), 0)
    with figures.timed(f"asking {2 * SAMPLE} cases"):
        asyncio.run(_ask(house, figures))


async def _ask(house: House, figures: Figures) -> None:
    settings = house.settings()
    client = await connect(settings, running_endpoints(settings))
    chosen = random.Random(7)
    for creditor, held in (("bank", True), ("shop", False)):
        keys = [row[0] for row in house.rows("SELECT key FROM cases WHERE creditor = %s ORDER BY key", creditor)]
        for key in chosen.sample(keys, min(SAMPLE, len(keys))):
            status = await client.get_workflow_handle(f"case/{key}").query("status")
            seen = (status["stage"] == "held", status["handled"], status["refused_total"])
            figures.expect(f"case {key} says", seen, (held, int(held), 0))


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory(prefix="dunlin-bulk-") as name:
        seen = run(Path(name), size, lambda words: print(words, flush=True))  # noqa: T201 - a drill prints
    print(seen)  # noqa: T201 - as above
    sys.exit(1 if seen.wrong else 0)
