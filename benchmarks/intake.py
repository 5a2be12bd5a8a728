"""``python -m benchmarks.intake [ROWS]``: how long a ledger takes to import, and how much memory.

Three imports of one generated ledger (two accounts per debtor, dues of every age) into an empty PostgreSQL: new, the
same again while every second account has an open case, and with every amount changed. Then one file of payments for
all. Memory is the peak of this process above what it held before; it must not grow with the rows.
"""

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from db.engine import make_engine
from db.intake import Imported, Order, import_file
from db.migrate import upgrade
from db.settings import put_in_force
from domain.strategy_file import parse_strategy
from runtime.logs import configure
from runtime.servers import Servers
from settings import Settings

ROWS = 100_000
AT = datetime(2026, 1, 5, tzinfo=UTC)
LEDGER = (
    "account_id,debtor_id,product,currency,amount,due_date,name,phone,email,address,region,timezone,language,disputed\n"
)
STRATEGY = "name: b\nversion: 1\nsteps:\n  - {id: one, task: call, start: {since: due, days: 1}}\n"
_OPEN_HALF = (
    "INSERT INTO cases (key, account_key, episode, debtor_key, creditor, strategy_digest, strategy, status, opened_at) "
    "SELECT a.key || '/1', a.key, 1, a.debtor_key, a.creditor, %s, 'b', 'open', %s FROM accounts a "
    "WHERE right(a.external_id, 1) IN ('1', '3', '5', '7', '9')"
)


def ledger_rows(rows: int, cents: int) -> Iterator[str]:
    """Yield the lines of a ledger."""
    yield LEDGER
    for number in range(rows):
        debtor, due_on = number // 2, date(2025, 1, 1) + timedelta(days=number % 700)
        yield (
            f"{number:09d},K{debtor},loan,USD,{100 + number % 900}.{cents:02d},{due_on},Customer {debtor},"
            f"+1312{2_000_000 + debtor % 8_000_000},customer{debtor}@example.com,{debtor} Example Street,US-IL,"
            f"America/Chicago,en,{'true' if number % 50 == 0 else 'false'}\n"
        )


def payment_rows(rows: int) -> Iterator[str]:
    """Yield the lines of a file of payments: one for every account."""
    yield "payment_id,account_id,amount,currency,paid_on\n"
    for number in range(rows):
        yield f"P{number},{number:09d},10.00,USD,2026-01-04\n"


def _write(path: Path, lines: Iterator[str]) -> Path:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(lines)
    return path


def _measure(engine: Engine, name: str, order: Order) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    done: Imported = import_file(engine, order)
    took = time.perf_counter() - began
    grew = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{name:>16}: {done.taken:,} of {done.rows:,} rows in {took:5.1f} s ({done.rows / took:,.0f}/s), "
        f"memory +{grew:.0f} MB, {len(done.changed):,} cases to tell, {len(done.mistakes)} mistakes",
        flush=True,
    )


async def main(rows: int) -> None:
    """Measure."""
    configure("ERROR")
    with tempfile.TemporaryDirectory(prefix="dunlin-benchmark-") as name:
        folder = Path(name)
        async with Servers(Settings(state_dir=folder / "state"), temporal=False) as servers:
            await asyncio.to_thread(upgrade, servers.database_url)
            engine = make_engine(servers.database_url)
            first = _write(folder / "first.csv", ledger_rows(rows, 0))
            later = _write(folder / "later.csv", ledger_rows(rows, 1))
            payments = _write(folder / "payments.csv", payment_rows(rows))
            few = _write(folder / "few.csv", ledger_rows(100, 0))
            import_file(engine, Order("ledger", few, AT))  # what is loaded once is not counted
            await asyncio.to_thread(_measure, engine, "new ledger", Order("ledger", first, AT))
            with engine.begin() as connection:
                (digest,) = put_in_force(connection, [parse_strategy(STRATEGY, "benchmark")], AT)
                connection.exec_driver_sql(_OPEN_HALF, (digest, AT))
            await asyncio.to_thread(_measure, engine, "the same again", Order("ledger", first, AT))
            await asyncio.to_thread(_measure, engine, "changed amounts", Order("ledger", later, AT, full=True))
            await asyncio.to_thread(_measure, engine, "payments", Order("payments", payments, AT))
            await asyncio.to_thread(_measure, engine, "payments again", Order("payments", payments, AT))
            engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
