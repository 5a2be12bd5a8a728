"""The worker of production for the fault matrix: real providers, look-ups, and a gate that knows no law.

``python -m tests.faults.matrix_worker``; the environment says where everything is, as for ``worker.py``.
"""

import asyncio
import gc
import signal
from dataclasses import replace

from activities.looking_up import LookUps
from activities.providers.errors import ErrorTable
from db.engine import make_engine
from domain.gate import LedgerGate
from runtime.channels import ERRORS
from runtime.client import connect
from runtime.endpoints import running_endpoints
from runtime.looking_up import keep_looking
from runtime.work import parts_of
from runtime.worker import Workers
from settings import load_settings


async def main() -> None:
    """Work until asked to stop, or killed."""
    settings, stop = load_settings(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    endpoints = running_endpoints(settings)
    if endpoints is None:
        raise RuntimeError("no servers are running")
    client = await connect(settings, endpoints)
    engine = make_engine(endpoints.database_url, pool_size=40)
    parts = replace(parts_of(engine, settings, None), gate=LedgerGate(), rules=None)
    try:
        async with Workers(client, parts):
            await keep_looking(LookUps(engine, parts.providers, ErrorTable.load(ERRORS)), stop)
    finally:
        engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
    gc.collect()
