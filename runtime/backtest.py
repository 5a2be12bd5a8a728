"""Runs the real case workflow over a past ledger, in virtual time, and reports every contact it would have made.

Each case carries a logical clock of its own, so that years pass as fast as the engine can work; what a case knows at
an instant is what had been received by then. Cases are opened as of every instant at which a due becomes past due.
"""

import asyncio
import csv
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from activities.opening import OpeningActivities
from activities.providers.silent import SilentCarrier
from activities.rule_facts import Rules
from activities.wording import Wording
from db.engine import make_engine
from db.facts import read_facts
from db.intake import Imported, Order, import_file
from db.migrate import upgrade
from db.settings import put_in_force, set_clock
from domain.calendar import start_of_day
from domain.clock import BusinessClock
from domain.codes import AUTOMATED_CHANNELS
from domain.compliance import RuleBook
from domain.gate import LedgerGate
from domain.rule_gate import RuleGate
from domain.strategy import Strategy
from runtime.client import connect
from runtime.servers import Servers
from runtime.turns import Turns
from runtime.worker import Parts, Workers
from settings import Settings

FASTEST = 1e12
AFTER_THE_LAST = timedelta(days=120)
NEWLY_DUE = timedelta(days=3)
"""How far back a due may lie that becomes past due at an instant, zones and all."""
LOOK_EVERY = 0.2
TURN_PAUSE = 0.01
STALLED_AFTER = 120.0
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class BacktestError(Exception):
    """The backtest cannot be run: what, where, how to mend."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """What to run. ``names`` maps our columns to the files'."""

    ledger: Path
    payments: Path
    strategy: Strategy
    out: Path
    templates: Path
    consolidate: bool = False
    date_format: str | None = None
    book: RuleBook | None = None
    """The rule packs; ``None`` runs by the ledger's own rules only."""
    packs: tuple[str, ...] | None = None
    """Names the packs in force; ``None`` lets them follow from residence."""

    @property
    def in_turns(self) -> bool:
        """Whether cases of one debtor must act in order: to travel together, or to be counted together."""
        return self.consolidate or self.book is not None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. ``imports`` holds the mistakes of the files."""

    accounts: int
    cases: int
    closed: int
    on_hold: int
    sends: int
    imports: tuple[Imported, ...]


Progress = Callable[[str, int, int], None]


async def run(settings: Settings, test: Backtest, progress: Progress) -> Result:
    """Run a backtest on servers of its own, which vanish afterwards."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="dunlin-backtest-"))
        own = settings.model_copy(
            update={
                "state_dir": Path(folder),
                "database_url": None,
                "temporal_port": 0,
                "ui_port": 0,
                "postgres_port": 0,
            }
        )
        progress("starting the servers", 0, 0)
        servers = await stack.enter_async_context(Servers(own))
        await asyncio.to_thread(upgrade, servers.database_url)
        engine = make_engine(servers.database_url, pool_size=40, steady=True)
        stack.callback(engine.dispose)
        progress("importing", 0, 0)
        imports = await asyncio.to_thread(_import, engine, test)
        instants = await asyncio.to_thread(_opening_instants, engine)
        if not instants:
            raise BacktestError(f"{test.ledger.name}: no due in it; nothing to run")
        clock = BusinessClock(
            kind="logical",
            origin=instants[0].at,
            epoch=EPOCH,
            speed=FASTEST,
            horizon=instants[-1].at + AFTER_THE_LAST,
            in_turns=test.in_turns,
        )
        with engine.begin() as connection:
            set_clock(connection, clock)
            put_in_force(connection, [test.strategy], instants[0].at)
        client = await connect(own, servers.endpoints)
        parts = Parts(
            engine=engine,
            providers=dict.fromkeys(AUTOMATED_CHANNELS, SilentCarrier()),
            gate=LedgerGate() if test.book is None else RuleGate(test.book),
            rules=None if test.book is None else Rules(test.packs),
            wording=Wording(test.templates),
            consolidate=test.consolidate,
        )
        async with Workers(client, parts):
            opener = OpeningActivities(engine, client, page_size=500)
            turns = Turns(engine, client) if test.in_turns else None
            await _open_all(engine, opener, instants, turns, progress)
            if turns is not None:
                await _take_turns(turns, (clock.horizon or instants[-1].at) + timedelta(microseconds=1), progress)
            await _wait_until_quiet(engine, clock.horizon or instants[-1].at, progress)
        return await asyncio.to_thread(_report, engine, test, tuple(imports))


def _import(engine: Engine, test: Backtest) -> list[Imported]:
    at = EPOCH - timedelta(days=20_000)  # known before the first of its dues
    results = []
    for kind, path in (("ledger", test.ledger), ("payments", test.payments)):
        order = Order(kind=kind, path=path, at=at, date_format=test.date_format, received="paid_on")  # type: ignore[arg-type]
        results.append(import_file(engine, order))
    return results


@dataclass(frozen=True, slots=True)
class _Instant:
    """One at which dues become past due where their debtors live. ``again``: of an account that had one before."""

    at: datetime
    again: bool


def _opening_instants(engine: Engine) -> list[_Instant]:
    """Return every instant at which cases may open, in order."""
    with engine.connect() as connection:
        dues = connection.exec_driver_sql("SELECT DISTINCT account_key, due_on FROM dues ORDER BY 1, 2").all()
        keys = sorted({due.account_key for due in dues})
        zones = {key: one.facts.zone for key, one in read_facts(connection, keys, EPOCH, logical=True).items()}
    seen: set[str] = set()
    found: dict[datetime, bool] = {}
    for account, due_on in dues:
        at = start_of_day(due_on + timedelta(days=1), zones[account] or "UTC")
        found[at] = found.get(at, False) or account in seen
        seen.add(account)
    return [_Instant(at, found[at]) for at in sorted(found)]


async def _open_all(
    engine: Engine, opener: OpeningActivities, instants: Sequence[_Instant], turns: Turns | None, progress: Progress
) -> None:
    """Open cases as of every instant; an account that had a due before may have to close its case first."""
    for number, instant in enumerate(instants):
        if instant.again and turns is not None:
            await _take_turns(turns, instant.at, progress)
        elif instant.again:
            await _catch_up(engine, instant.at)
        after: str | None = ""
        while after is not None:
            page = await opener.open_at(instant.at, after, due_since=instant.at.date() - NEWLY_DUE)
            after = page.next_after
        progress(f"opening cases of {instant.at:%Y-%m-%d}", number + 1, len(instants))


async def _take_turns(turns: Turns, before: datetime, progress: Progress) -> None:
    """Let every debtor's cases act, in order, until nothing is due before an instant."""
    loop = asyncio.get_running_loop()
    moved_at, last = loop.time(), -1
    while left := await turns.give(before):
        progress("debtors still at work", -left, 0)
        if turns.given != last:
            moved_at, last = loop.time(), turns.given
        if loop.time() - moved_at > STALLED_AFTER:
            raise BacktestError(f"{left} debtors have not moved for {STALLED_AFTER:.0f} s; the server's log says more")
        await asyncio.sleep(TURN_PAUSE)


async def _catch_up(engine: Engine, instant: datetime) -> None:
    """Let cases of accounts that have several dues come up to ``instant``: one may close and open again."""
    query = (
        "SELECT count(*) FROM cases k WHERE k.status <> 'closed' AND k.due_at < %s "
        "AND (SELECT count(DISTINCT d.due_on) FROM dues d WHERE d.account_key = k.account_key) > 1"
    )
    await _until_none(engine, query, (instant,), None)


async def _wait_until_quiet(engine: Engine, horizon: datetime, progress: Progress) -> None:
    def say(left: int) -> None:
        progress("cases still at work", -left, 0)

    query = "SELECT count(*) FROM cases WHERE status = 'opening' OR (status = 'open' AND due_at <= %s)"
    await _until_none(engine, query, (horizon,), say)


async def _until_none(
    engine: Engine, query: str, values: tuple[object, ...], say: Callable[[int], None] | None
) -> None:
    def count() -> tuple[int, int]:
        with engine.connect() as connection:
            left = connection.exec_driver_sql(query, values).scalar_one()
            events = connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM case_events").scalar_one()
        return left, events

    loop = asyncio.get_running_loop()
    moved_at, last = loop.time(), -1
    while True:
        left, events = await asyncio.to_thread(count)
        if left == 0:
            return
        if say is not None:
            say(left)
        if events != last:
            moved_at, last = loop.time(), events
        if loop.time() - moved_at > STALLED_AFTER:
            raise BacktestError(f"{left} cases have not moved for {STALLED_AFTER:.0f} s; the server's log says more")
        await asyncio.sleep(LOOK_EVERY)


_SENDS = """
SELECT a.external_id, t.channel, t.step, t.sent_at, coalesce(p.timezone, c.timezone, 'UTC') AS zone, t.key
  FROM attempts t JOIN cases k ON k.key = t.case_key JOIN accounts a ON a.key = k.account_key
  JOIN creditors c ON c.code = a.creditor JOIN debtors d ON d.key = a.debtor_key JOIN parties p ON p.key = d.party_key
 WHERE t.sent_at IS NOT NULL ORDER BY t.sent_at, a.external_id, t.key
"""


def _report(engine: Engine, test: Backtest, imports: tuple[Imported, ...]) -> Result:
    from domain.calendar import local_time

    with engine.connect() as connection, test.out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("account_id", "channel", "step", "sent_at", "attempt"))
        sends = 0
        for account, channel, step, sent_at, zone, key in connection.exec_driver_sql(_SENDS):
            writer.writerow((account, channel, step, local_time(sent_at, zone).isoformat(), key))
            sends += 1
        counts = connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM accounts), count(*), count(*) FILTER (WHERE status = 'closed'), "
            "count(*) FILTER (WHERE stage = 'held') FROM cases"
        ).one()
    return Result(counts[0], counts[1], counts[2], counts[3], sends, imports)
