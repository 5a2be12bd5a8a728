"""Temporal is away while reports and payments come in: all are accepted, all reach the ledger, and later the cases.

A few dozen in the ordinary tests; `make outage` is a whole minute with a thousand callbacks and a hundred payments.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.service import RPCError

from activities.opening import OpeningActivities
from activities.wording import Wording
from db.engine import make_engine
from db.intake import Order, import_file
from db.settings import put_in_force
from domain.codes import AUTOMATED_CHANNELS
from domain.gate import LedgerGate
from domain.strategy_file import parse_strategy
from runtime.client import NotRunning
from runtime.servers import Servers
from runtime.worker import Parts, Workers
from tests.web.house import House, message_form, open_house
from tests.workflows.conftest import TEMPLATES, CountingCarrier
from web.delivering import Deliverer

CASES = int(os.environ.get("OUTAGE_CASES", "25"))
SECONDS = float(os.environ.get("OUTAGE_SECONDS", "3"))
"""How long Temporal is away, and how long the callbacks and payments take to come."""
PAYERS = CASES * 2 // 5
STATES = ("queued", "sending", "sent")
PATIENCE = 60 + 10 * SECONDS
LADDER = """
name: outage
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: sms, template: payment-reminder, start: {since: due, days: 0}, between: {hours: "00:00-24:00"}}
"""
HEAD = "account_id,debtor_id,product,currency,amount,due_date,phone,timezone\n"
_END = """
SELECT a.external_id, t.status, t.error_code, t.provider_id, k.status, k.close_reason, k.stage,
       (SELECT coalesce(sum(e.amount), 0) FROM ledger_entries e WHERE e.account_key = a.key),
       (SELECT array_agg(s.name ORDER BY s.name) FROM signals s WHERE s.case_key = k.key AND s.status <> 'waiting')
  FROM accounts a JOIN cases k ON k.account_key = a.key JOIN attempts t ON t.case_key = k.key ORDER BY 1
"""


class Away:
    """Temporal, as the doors see it: away until it is back."""

    def __init__(self, client: Client) -> None:
        self.is_back = False
        self.asked = 0
        self._client = client

    async def connect(self) -> Client:
        self.asked += 1
        if not self.is_back:
            raise NotRunning("away")
        return self._client


@contextmanager
def _database(postgres_url: str, migrated_url: str) -> Iterator[Engine]:
    """Give a ledger of its own to each order of the same events."""
    name, admin = f"outage_{uuid4().hex}", postgres_url.replace("+psycopg", "", 1)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_url.rpartition('/')[2]}".encode())
    engine = make_engine(f"{postgres_url.rpartition('/')[0]}/{name}")
    yield engine
    engine.dispose()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@asynccontextmanager
async def _cases(engine: Engine, client: Client, folder: Path) -> AsyncIterator[CountingCarrier]:
    """Run cases that send one message each and wait."""
    carrier = CountingCarrier()
    yesterday = (datetime.now(UTC) - timedelta(days=2)).date()
    path = folder / "ledger.csv"
    rows = [f"L{n},K{n},loan,USD,100.00,{yesterday},+1312555{n:04d},America/Chicago\n" for n in range(CASES)]
    path.write_text(HEAD + "".join(rows), encoding="utf-8")
    assert import_file(engine, Order("ledger", path, datetime(2000, 1, 1, tzinfo=UTC))).mistakes == []
    with engine.begin() as connection:
        put_in_force(connection, [parse_strategy(LADDER, "outage.yaml")], datetime.now(UTC))
    parts = Parts(engine, dict.fromkeys(AUTOMATED_CHANNELS, carrier), LedgerGate(), Wording(TEMPLATES))
    async with Workers(client, parts):
        await OpeningActivities(engine, client, page_size=1000).open_at(datetime.now(UTC))
        yield carrier
        with engine.connect() as connection:
            keys = connection.exec_driver_sql("SELECT key FROM cases WHERE status <> 'closed'").scalars().all()
        for key in keys:
            with suppress(RPCError):  # it has just ended
                await client.get_workflow_handle(f"case/{key}").terminate()


async def _until(house: House, query: str, seconds: float = PATIENCE) -> None:
    for _ in range(int(seconds / 0.1)):
        if await asyncio.to_thread(house.one, query):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"never: {query}")


def _knocks(house: House, seed: int) -> list[Callable[[], int]]:
    """Return all callbacks and payments as calls, in an order of their own."""
    numbers = dict(house.rows("SELECT a.external_id, k.key FROM cases k JOIN accounts a ON a.key = k.account_key"))

    def report(number: int, status: str, code: str) -> Callable[[], int]:
        form, key = message_form(f"SM{number}", status, ErrorCode=code), f"{numbers[f'L{number}']}/1"
        return lambda: house.twilio("/twilio/message-status", form, attempt=key).status

    def payment(number: int) -> Callable[[], int]:
        amount = 10_000 if number % 2 else 4_000
        content = {"payment_id": f"P{number}", "account": f"L{number}", "amount": amount, "currency": "USD"}
        return lambda: house.pay(content).status

    knocks = [payment(number) for number in range(PAYERS)]
    for number in range(CASES):
        last = ("undelivered", "30003") if number % 4 == 0 else ("delivered", "")
        knocks += [report(number, status, "") for status in STATES] + [report(number, *last)]
    random.Random(seed).shuffle(knocks)
    return knocks


def _spread(knocks: list[Callable[[], int]], seconds: float) -> list[int]:
    """Make all calls, evenly over a time."""
    began = time.monotonic()

    def knock(place: int) -> int:
        time.sleep(max(0.0, began + seconds * place / len(knocks) - time.monotonic()))
        return knocks[place]()

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(knock, range(len(knocks))))
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    return statuses


async def _play(house: House, client: Client, temporal: int, seed: int) -> list[tuple[Any, ...]]:
    """Let everything come while Temporal stands still; return what all stands at when it has come back."""
    await _until(house, f"SELECT count(*) = {CASES} FROM attempts WHERE status = 'sent'")
    knocks = _knocks(house, seed)

    async def connected() -> Client:
        return client

    stop, deliverer = asyncio.Event(), Deliverer(house.engine, connected, house.counters)
    os.kill(temporal, signal.SIGSTOP)
    try:
        behind = [asyncio.create_task(house.applier.run(stop)), asyncio.create_task(deliverer.run(stop))]
        away_at = time.monotonic()
        statuses = await asyncio.to_thread(_spread, knocks, SECONDS)
        assert set(statuses) <= {200, 202, 204}
        await _until(house, "SELECT count(*) = 0 FROM inbox WHERE status = 'received'")
        assert house.one("SELECT count(*) FROM ledger_entries WHERE kind = 'payment'") == PAYERS
        assert dict(house.rows("SELECT status, count(*) FROM attempts GROUP BY 1")) == {
            "delivered": CASES - (CASES + 3) // 4,
            "undelivered": (CASES + 3) // 4,
        }
        assert house.rows("SELECT DISTINCT status FROM signals") == [("waiting",)]
        assert house.one("SELECT count(*) FROM cases WHERE status = 'closed'") == 0
        away = time.monotonic() - away_at
    finally:
        os.kill(temporal, signal.SIGCONT)
    back_at = time.monotonic()
    await _until(house, "SELECT count(*) = 0 FROM signals WHERE status = 'waiting'")
    await _until(house, f"SELECT count(*) = {PAYERS // 2} FROM cases WHERE status = 'closed'")
    told = time.monotonic() - back_at
    stop.set()
    await asyncio.gather(*behind)
    sys.stderr.write(
        f"order {seed}: {len(knocks) - PAYERS} callbacks and {PAYERS} payments, all taken, while Temporal was away for "
        f"{away:.0f} s; all in the cases {told:.1f} s after\n"
    )
    end = house.rows(_END)
    for number in (0, 2):  # who has paid a part is asked for the rest
        key = house.one(
            "SELECT key FROM cases k WHERE account_key = (SELECT key FROM accounts WHERE external_id = %s)",
            f"L{number}",
        )
        status = await client.get_workflow_handle(f"case/{key}").query("status")
        assert status["past_due"] == 6_000
    return end


@pytest.mark.timeout(300 + 20 * SECONDS)
async def test_p5_nothing_is_lost_while_temporal_is_away_and_the_end_is_the_same_for_any_order(
    postgres_url: str, migrated_url: str, temporal_server: Servers, client: Client, tmp_path: Path
) -> None:
    temporal, ends = temporal_server.pids["temporal"], []
    assert temporal is not None
    for seed in (1, 2):
        with _database(postgres_url, migrated_url) as engine, open_house(engine) as house:
            async with _cases(engine, client, tmp_path) as carrier:
                ends.append(await _play(house, client, temporal, seed))
                assert len(carrier.requests) == CASES
    assert len(ends[0]) == CASES
    assert ends[0] == ends[1]


async def test_a_case_that_is_gone_is_final_only_if_its_episode_is_closed(
    engine: Engine, client: Client, house: House, attempt: str
) -> None:
    away = Away(client)
    away.is_back = True
    deliverer = Deliverer(engine, away.connect, house.counters)
    house.twilio("/twilio/message-status", message_form("SM1", "failed", ErrorCode="30005"), attempt=attempt)
    await asyncio.to_thread(house.apply)
    await deliverer.deliver_some()
    assert house.rows("SELECT status, tries FROM signals") == [("waiting", 1)]
    house.run("UPDATE cases SET status = 'closed', closed_at = now(), close_reason = 'paid'")
    house.run("UPDATE signals SET not_before = NULL")
    await deliverer.deliver_some()
    assert house.rows("SELECT status FROM signals") == [("final",)]
