"""Temporal is away while reports and payments come in: all are accepted, all reach the ledger, and later the cases."""

import asyncio
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.client import Client

from activities.opening import OpeningActivities
from activities.wording import Wording
from db.intake import Order, import_file
from db.settings import put_in_force
from domain.codes import AUTOMATED_CHANNELS
from domain.gate import LedgerGate
from domain.strategy_file import parse_strategy
from runtime.client import NotRunning
from runtime.worker import Parts, Workers
from tests.web.house import House, message_form
from tests.workflows.conftest import TEMPLATES, CountingCarrier
from web.delivering import Deliverer

COUNT = 40
LADDER = """
name: outage
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: sms, template: payment-reminder, start: {since: due, days: 0}, between: {hours: "00:00-24:00"}}
"""
HEAD = "account_id,debtor_id,product,currency,amount,due_date,phone,timezone\n"


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


@pytest.fixture
async def cases(engine: Engine, client: Client, tmp_path: Path) -> AsyncIterator[CountingCarrier]:
    """Run cases that have sent one message each and wait."""
    carrier = CountingCarrier()
    yesterday = (datetime.now(UTC) - timedelta(days=2)).date()
    path = tmp_path / "ledger.csv"
    rows = [f"L{n},K{n},loan,USD,100.00,{yesterday},+1312555{n:04d},America/Chicago\n" for n in range(COUNT)]
    path.write_text(HEAD + "".join(rows), encoding="utf-8")
    assert import_file(engine, Order("ledger", path, datetime(2000, 1, 1, tzinfo=UTC))).mistakes == []
    with engine.begin() as connection:
        put_in_force(connection, [parse_strategy(LADDER, "outage.yaml")], datetime.now(UTC))
    parts = Parts(engine, dict.fromkeys(AUTOMATED_CHANNELS, carrier), LedgerGate(), Wording(TEMPLATES))
    async with Workers(client, parts):
        await OpeningActivities(engine, client).open_at(datetime.now(UTC))
        yield carrier
    async for execution in client.list_workflows("WorkflowType = 'case' AND ExecutionStatus = 'Running'"):
        await client.get_workflow_handle(execution.id).terminate()


async def _until(house: House, query: str, seconds: float = 90) -> None:
    for _ in range(int(seconds / 0.1)):
        if await asyncio.to_thread(house.one, query):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"never: {query}")


@pytest.mark.parametrize("seed", [1, 2])
async def test_p5_nothing_is_lost_while_temporal_is_away(
    engine: Engine, client: Client, cases: CountingCarrier, house: House, seed: int
) -> None:
    await _until(house, f"SELECT count(*) = {COUNT} FROM attempts WHERE status = 'sent'")
    numbers = dict(house.rows("SELECT a.external_id, k.key FROM cases k JOIN accounts a ON a.key = k.account_key"))
    knocks: list[Any] = []
    for number in range(COUNT):
        attempt = f"{numbers[f'L{number}']}/1"
        final = ("undelivered", "30003") if number % 4 == 0 else ("delivered", "")
        forms = [message_form(f"SM{number}", "sent"), message_form(f"SM{number}", final[0], ErrorCode=final[1])]
        knocks += [("twilio", form, attempt) for form in (*forms, *forms)]
        knocks.append(("pay", number, 10_000 if number % 2 else 4_000))
    random.Random(seed).shuffle(knocks)

    def knock(one: Any) -> int:  # noqa: ANN401 - either kind
        if one[0] == "twilio":
            return house.twilio("/twilio/message-status", one[1], attempt=one[2]).status
        content = {"payment_id": f"P{one[1]}", "account": f"L{one[1]}", "amount": one[2], "currency": "USD"}
        return house.pay(content).status

    away, stop = Away(client), asyncio.Event()
    deliverer = Deliverer(engine, away.connect, house.counters)
    delivering = asyncio.create_task(deliverer.run(stop))
    with ThreadPoolExecutor(6) as pool:
        statuses = await asyncio.to_thread(lambda: list(pool.map(knock, knocks)))
    assert set(statuses) <= {200, 202, 204}
    await asyncio.to_thread(house.apply)
    assert house.one("SELECT count(*) FROM ledger_entries") == COUNT
    assert house.rows("SELECT status, count(*) FROM attempts GROUP BY 1 ORDER BY 1") == [
        ("delivered", COUNT * 3 // 4),
        ("undelivered", COUNT // 4),
    ]
    await asyncio.sleep(1)
    assert away.asked > 1
    waiting = house.one("SELECT count(*) FROM signals WHERE status = 'waiting'")
    assert waiting == house.one("SELECT count(*) FROM signals") == COUNT + COUNT // 4
    assert house.one("SELECT count(*) FROM cases WHERE status = 'closed'") == 0

    away.is_back = True
    await _until(house, "SELECT count(*) = 0 FROM signals WHERE status = 'waiting'")
    await _until(house, f"SELECT count(*) = {COUNT // 2} FROM cases WHERE status = 'closed'")
    open_key = house.one("SELECT min(key) FROM cases WHERE status = 'open'")
    status = await client.get_workflow_handle(f"case/{open_key}").query("status")
    assert status["past_due"] == 6_000
    await asyncio.to_thread(house.pay, {"payment_id": "late", "account": "L1", "amount": 1, "currency": "USD"})
    stop.set()
    await delivering
    assert len(cases.requests) == COUNT


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
