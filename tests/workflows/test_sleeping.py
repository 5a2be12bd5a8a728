"""Weeks of sleep in virtual time: a case wakes for what happens, and for nothing else."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.wording import Wording
from domain.codes import AUTOMATED_CHANNELS
from domain.gate import LedgerGate
from runtime.worker import Parts, Workers
from tests.workflows.conftest import TEMPLATES, CountingCarrier, House

FORTNIGHT = """
name: fortnight
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: sms, template: payment-reminder, start: {since: opened, days: 14}, between: {hours: "00:00-24:00"}}
"""


@pytest.fixture
async def sleeper(engine: Engine, temporal_env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[House]:
    carrier = CountingCarrier()
    parts = Parts(engine, dict.fromkeys(AUTOMATED_CHANNELS, carrier), LedgerGate(), Wording(TEMPLATES))
    async with Workers(temporal_env.client, parts):
        yield House(engine, temporal_env.client, carrier, tmp_path)


async def test_p6_asleep_for_fourteen_days_and_paid_on_day_three_it_closes_on_day_three(
    sleeper: House, temporal_env: WorkflowEnvironment
) -> None:
    now = datetime.now(UTC)
    sleeper.one_account((now - timedelta(days=20)).date())
    handle = await sleeper.open(now, strategy=FORTNIGHT)
    assert await temporal_env.fast_forward(handle, timedelta(days=3))
    await handle.signal("record_payment", {"event_id": "e1", "payment_id": "P1", "amount": 10_000, "currency": "USD"})
    end = await handle.result()
    assert end["reason"] == "paid"
    assert timedelta(days=3) <= datetime.fromisoformat(end["closed_at"]) - now < timedelta(days=3, minutes=10)
    assert sleeper.carrier.requests == []


async def test_the_same_case_unpaid_is_contacted_on_day_fourteen(
    sleeper: House, temporal_env: WorkflowEnvironment
) -> None:
    now = datetime.now(UTC)
    sleeper.one_account((now - timedelta(days=20)).date())
    handle = await sleeper.open(now, strategy=FORTNIGHT)
    await temporal_env.fast_forward(handle, timedelta(days=12))
    assert sleeper.carrier.requests == []
    await temporal_env.fast_forward(handle, timedelta(days=3))
    await sleeper.until("SELECT count(*) = 1 FROM attempts WHERE status = 'sent'")
    sent = sleeper.rows("SELECT sent_at FROM attempts")[0][0]
    assert timedelta(days=13) < sent - now < timedelta(days=15)
    await handle.terminate()
