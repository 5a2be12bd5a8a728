"""A whole small house: database, engine, worker, a carrier that counts, and accounts to collect."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.client import Client, WorkflowHandle

from activities.opening import OpeningActivities
from activities.providers.base import Accepted, Outbound, SendResult
from activities.wording import Wording
from db.intake import Order, import_file
from db.settings import put_in_force, set_clock
from domain.clock import BusinessClock
from domain.codes import AUTOMATED_CHANNELS
from domain.gate import LedgerGate
from domain.strategy import Strategy
from domain.strategy_file import parse_strategy
from runtime.worker import Parts, Workers

TEMPLATES = Path(__file__).resolve().parents[2] / "policies" / "templates"

LADDER = """
name: test-ladder
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: sms, template: payment-reminder, start: {since: due, days: 1}, between: {hours: "09:00-18:00"}}
  - {id: two, channel: email, template: invoice-overdue, start: {since: due, days: 3}, between: {hours: "09:00-18:00"}}
  - {id: three, channel: sms, template: payment-overdue, start: {since: due, days: 7}, between: {hours: "09:00-18:00"}}
  - {id: four, channel: email, template: invoice-final, start: {since: due, days: 14}, between: {hours: "09:00-18:00"}}
  - {id: five, channel: letter, template: account-statement, start: {since: due, days: 30}, between: {hours: "09:00-18:00"}}
"""


@dataclass
class CountingCarrier:
    """A carrier outside of us: it takes every request and counts it."""

    name: str = "counting"
    timeout_seconds: float = 2.0
    requests: list[str] = field(default_factory=list)

    def send(self, message: Outbound) -> SendResult:
        self.requests.append(message.attempt_key)
        return Accepted(f"C-{message.attempt_key}")

    def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:  # noqa: ARG002
        return Accepted(f"C-{attempt_key}") if attempt_key in self.requests else None


@dataclass
class House:
    """What a test needs to open cases and look at them."""

    engine: Engine
    client: Client
    carrier: CountingCarrier
    folder: Path

    def ledger(self, rows: str, payments: str = "") -> None:
        """Import a ledger and payments; columns as below."""
        head = (
            "account_id,debtor_id,product,currency,amount,due_date,name,phone,email,address,region,timezone,disputed\n"
        )
        path = self.folder / "ledger.csv"
        path.write_text(head + rows, encoding="utf-8")
        at = datetime(2000, 1, 1, tzinfo=UTC)
        assert import_file(self.engine, Order("ledger", path, at)).mistakes == []
        if payments:
            path = self.folder / "payments.csv"
            path.write_text("payment_id,account_id,amount,currency,paid_on\n" + payments, encoding="utf-8")
            import_file(self.engine, Order("payments", path, at, received="paid_on"))

    def one_account(self, due_on: date, amount: str = "100.00", disputed: str = "false") -> str:
        """Import one account; return the key its first case will have."""
        self.ledger(
            f"L1,K1,loan,USD,{amount},{due_on},Customer 1,+13125550100,c1@example.com,1 Example St,US-IL,America/Chicago,{disputed}\n"
        )
        return "A000000001/1"

    async def open(
        self, at: datetime, *, clock: BusinessClock | None = None, strategy: str = LADDER
    ) -> WorkflowHandle[Any, Any]:
        """Open cases as of an instant; return the handle of the first account's case."""
        with self.engine.begin() as connection:
            set_clock(connection, clock or BusinessClock())
            put_in_force(connection, [self.strategy(strategy)], at)
        await OpeningActivities(self.engine, self.client).open_at(at)
        return self.client.get_workflow_handle("case/A000000001/1")

    @staticmethod
    def strategy(text: str) -> Strategy:
        return parse_strategy(text, "test.yaml")

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query, values or None)]

    @staticmethod
    async def settled(handle: WorkflowHandle[Any, Any], messages: int) -> dict[str, Any]:
        """Return the status once the case itself has handled so many messages: the ledger has them a moment earlier."""
        while True:
            status: dict[str, Any] = await handle.query("status")
            if status["handled"] >= messages and status["pending"] == 0:
                return status
            await asyncio.sleep(0.05)

    async def until(self, query: str, *, seconds: float = 30) -> None:
        """Wait until a query says true."""
        for _ in range(int(seconds / 0.05)):
            if self.rows(query)[0][0]:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never came true: {query}")


def fast_clock(origin: datetime, days: int = 400) -> BusinessClock:
    """Return a logical clock on which years pass at once."""
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    return BusinessClock(kind="logical", origin=origin, epoch=epoch, speed=1e12, horizon=origin + timedelta(days=days))


@pytest.fixture
async def house(engine: Engine, client: Client, tmp_path: Path) -> AsyncIterator[House]:
    carrier = CountingCarrier()
    from tests.workflows.plans import BOOK

    providers = dict.fromkeys(AUTOMATED_CHANNELS, carrier)
    parts = Parts(engine, providers, LedgerGate(), Wording(TEMPLATES), plans=BOOK)
    async with Workers(client, parts):
        yield House(engine, client, carrier, tmp_path)
    async for execution in client.list_workflows("WorkflowType = 'case' AND ExecutionStatus = 'Running'"):
        await client.get_workflow_handle(execution.id).terminate()
