"""``python -m benchmarks.engine``: what the ledger, the gate and the record cost over the bare engine.

Both run in turns in this process on the same server: (a) a bare workflow with the same timers, queue layout and empty
activities, (b) the case with sandbox and PostgreSQL. Machines are noisy: read the ratio and its spread.
"""

import asyncio
import gc
import resource
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.worker import Worker

from activities.opening import OpeningActivities
from activities.providers.sandbox import SandboxProvider
from activities.rule_facts import Rules, facts_for
from activities.rulebook import read_rulebook
from activities.wording import Wording
from benchmarks import bare
from benchmarks.gate import GATE_INTENT, gate_question
from db.engine import make_engine
from db.intake import Order, import_file
from db.migrate import upgrade
from db.settings import put_in_force, set_clock
from domain.clock import BusinessClock
from domain.codes import AUTOMATED_CHANNELS
from domain.compliance import decide
from domain.rule_gate import RuleGate
from domain.strategy_file import parse_strategy
from runtime.client import connect
from runtime.logs import configure
from runtime.servers import Servers
from runtime.work import RULES, TEMPLATES
from runtime.worker import Parts, Workers, sandbox
from settings import Settings

ROUNDS, AT_ONCE = 5, 16
DUE = date(2026, 3, 2)
ORIGIN = datetime(2026, 3, 3, 6, tzinfo=UTC)
DAYS = (1, 3, 7, 14, 30)


def _strategy(steps: int) -> str:
    lines = [
        f"  - {{id: s{day}, channel: sms, template: payment-reminder, start: {{since: due, days: {day}}}, "
        f'between: {{hours: "09:00-18:00"}}}}'
        for day in DAYS[:steps]
    ]
    return "\n".join((f"name: bench-{steps}", "version: 1", "segment: {}", "at_end: wait", "steps:", *lines))


async def _bare(client: Client, cases: int, steps: int, prefix: str) -> float:
    bare.done = 0
    began = time.perf_counter()
    slots = asyncio.Semaphore(AT_ONCE)

    async def start(number: int) -> None:
        async with slots:
            await client.start_workflow(
                "bare_case", steps, id=f"{prefix}/{number}", task_queue=bare.QUEUE, request_eager_start=True
            )

    await asyncio.gather(*(start(number) for number in range(cases)))
    while bare.done < cases * steps:
        await asyncio.sleep(0.01)
    return time.perf_counter() - began


async def _cases(engine: Engine, opener: OpeningActivities, cases: int, steps: int, prefix: str, folder: Path) -> float:
    path = folder / f"{prefix}.csv"
    rows = "".join(
        f"{prefix}{number},{prefix}D{number},loan,USD,100.00,{DUE},+1312555{number:04d},America/Chicago,US-IL\n"
        for number in range(cases)
    )
    head = "account_id,debtor_id,product,currency,amount,due_date,phone,timezone,region\n"
    path.write_text(head + rows, encoding="utf-8")
    import_file(engine, Order("ledger", path, ORIGIN - timedelta(days=9)))
    clock = BusinessClock(
        kind="logical",
        origin=ORIGIN,
        epoch=datetime(2000, 1, 1, tzinfo=UTC),
        speed=1e12,
        horizon=ORIGIN + timedelta(days=99),
    )
    with engine.begin() as connection:
        set_clock(connection, clock)
        put_in_force(connection, [parse_strategy(_strategy(steps), "bench")], ORIGIN)
    query = "SELECT count(*) FROM attempts t JOIN cases k ON k.key = t.case_key JOIN accounts a ON a.key = k.account_key WHERE a.external_id LIKE %s AND t.recorded_at IS NOT NULL"
    watching = engine.execution_options(isolation_level="AUTOCOMMIT")
    began = time.perf_counter()
    await opener.open_at(ORIGIN)
    while True:
        with watching.connect() as connection:
            if connection.exec_driver_sql(query, (f"{prefix}%",)).scalar_one() >= cases * steps:
                return time.perf_counter() - began
        await asyncio.sleep(0.05)


def _cpu(pids: list[int]) -> tuple[float, float]:
    """Return CPU seconds so far: ours, and the servers' with all their children."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    servers = 0.0
    for pid in pids:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            times = process.cpu_times()
            servers += times.user + times.system
    return own.ru_utime + own.ru_stime, servers


async def main() -> None:
    """Measure and print."""
    configure("ERROR")
    with tempfile.TemporaryDirectory(prefix="dunlin-bench-") as name:
        folder = Path(name)
        settings = Settings(state_dir=folder / "state", database_url=None)
        async with Servers(settings) as servers:
            await asyncio.to_thread(upgrade, servers.database_url)
            engine = make_engine(servers.database_url, pool_size=30, steady=True)
            client = await connect(settings, servers.endpoints)
            carrier = SandboxProvider(engine, None)
            parts = Parts(
                engine,
                dict.fromkeys(AUTOMATED_CHANNELS, carrier),
                RuleGate(read_rulebook(RULES)),
                Wording(TEMPLATES),
                rules=Rules(),
            )
            pids = [pid for pid in servers.pids.values() if pid]
            with ThreadPoolExecutor(8) as threads:
                async with (
                    Workers(client, parts),
                    Worker(client, task_queue=bare.QUEUE, workflows=[bare.BareCase], workflow_runner=sandbox()),
                    Worker(
                        client,
                        task_queue=bare.CONTACT_QUEUE,
                        activities=[bare.contact],
                        activity_executor=threads,
                        max_concurrent_activities=8,
                    ),
                ):
                    await _measure(engine, client, folder, pids)
            engine.dispose()


async def _measure(engine: Engine, client: Client, folder: Path, pids: list[int]) -> None:
    opener = OpeningActivities(engine, client, page_size=500)
    for title, cases, steps in (("first contact (open, contact, park)", 150, 1), ("ladder of five steps", 50, 5)):
        ratios, rates = [], []
        spent: dict[str, list[tuple[float, float]]] = {"bare": [], "dunlin": []}
        for number in range(ROUNDS + 1):
            first = _cpu(pids)
            a = await _bare(client, cases, steps, f"bare-{steps}-{number}")
            second = _cpu(pids)
            b = await _cases(engine, opener, cases, steps, f"b{steps}r{number}x", folder)
            third = _cpu(pids)
            if number == 0:
                continue  # warm-up
            ratios.append(a / b)
            rates.append((cases * steps / a, cases * steps / b))
            for name, early, late in (("bare", first, second), ("dunlin", second, third)):
                worker, servers = (
                    1000 * (end - start) / (cases * steps) for start, end in zip(early, late, strict=True)
                )
                spent[name].append((worker, servers))
        print(f"{title}: {cases} cases, {ROUNDS} rounds in turns")
        print(f"  bare engine   {statistics.median(rate[0] for rate in rates):7.1f} contacts/s")
        print(f"  Dunlin        {statistics.median(rate[1] for rate in rates):7.1f} contacts/s")
        print(f"  ratio         {statistics.median(ratios):7.2f}  (from {min(ratios):.2f} to {max(ratios):.2f})")
        sums = {name: [statistics.median(one[side] for one in spent[name]) for side in (0, 1)] for name in spent}
        for name, (worker, servers) in sums.items():
            print(f"  CPU per step  {worker:7.1f} ms worker, {servers:.1f} ms servers ({name})")
        print(
            f"  ratio by CPU  {sum(sums['bare']) / sum(sums['dunlin']):7.2f}  (steady where others use the machine too)"
        )
        with engine.connect() as connection:
            key = connection.exec_driver_sql(
                "SELECT k.key FROM cases k JOIN accounts a ON a.key = k.account_key WHERE a.external_id LIKE %s LIMIT 1",
                (f"b{steps}r{ROUNDS}x%",),
            ).scalar_one()
        history = await client.get_workflow_handle(f"case/{key}").fetch_history()
        size = sum(event.ByteSize() for event in history.events)
        print(f"  history       {len(history.events) / steps:7.1f} events, {size / steps:.0f} bytes per step")


def measure_gate() -> None:
    """Print what judging one contact costs for a debtor with two hundred past attempts, facts built anew each time."""
    book = read_rulebook(RULES)
    record, account = gate_question(200)
    spans = []
    for _ in range(300):
        began = time.perf_counter()
        decide(facts_for(record, account, GATE_INTENT, None), book)
        spans.append(1000 * (time.perf_counter() - began))
    spans.sort()
    print(f"gate, 200 past attempts: median {statistics.median(spans):.2f} ms, 95 of 100 below {spans[284]:.2f} ms")


if __name__ == "__main__":
    measure_gate()
    asyncio.run(main())
    gc.collect()
