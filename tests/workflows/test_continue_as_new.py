"""Messages across continue-as-new: the real branch, on a server that suggests it early."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from activities.wording import Wording
from domain.codes import AUTOMATED_CHANNELS
from domain.gate import LedgerGate
from runtime.temporal_server import binary
from runtime.worker import Parts, Workers
from tests.workflows.conftest import TEMPLATES, CountingCarrier, House

SIGNALS = 200


@pytest.fixture
async def small_histories(engine: Engine, tmp_path: Path) -> AsyncIterator[House]:
    from runtime.search_attributes import ALL

    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(binary(None)),
        data_converter=pydantic_data_converter,
        search_attributes=list(ALL),
        dev_server_log_level="error",
        dev_server_extra_args=["--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=40"],
    )
    async with environment:
        carrier = CountingCarrier()
        parts = Parts(engine, dict.fromkeys(AUTOMATED_CHANNELS, carrier), LedgerGate(), Wording(TEMPLATES))
        async with Workers(environment.client, parts):
            yield House(engine, environment.client, carrier, tmp_path)


async def test_p5_two_hundred_signals_across_continue_as_new_are_all_handled(small_histories: House) -> None:
    house = small_histories
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date(), amount="100000.00")
    handle = await house.open(now)
    first_run = (await handle.describe()).run_id
    for number in range(SIGNALS):
        body = {"event_id": f"e{number}", "payment_id": f"P{number}", "amount": 100, "currency": "USD"}
        await handle.signal("record_payment", body)
    await house.until(f"SELECT count(*) = {SIGNALS} FROM ledger_entries", seconds=60)
    status = await house.settled(handle, SIGNALS)
    assert status["past_due"] == 10_000_000 - SIGNALS * 100
    assert (await handle.describe()).run_id != first_run
