"""Tells cases that the ledger changed under them, as an import notes it: none sleeps on, whatever was killed."""

import asyncio
from uuid import uuid4

from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from db.intake import mark_told, untold_cases

AT_ONCE = 32


async def tell_untold(engine: Engine, client: Client) -> int:
    """Tell every case that an import changed and nobody told yet; return how many. Repeating it is harmless."""
    untold = await asyncio.to_thread(untold_cases, engine)
    slots = asyncio.Semaphore(AT_ONCE)
    for name, keys in untold.items():
        await asyncio.gather(*(_tell(client, key, name, slots) for key in keys))
        await asyncio.to_thread(mark_told, engine, name, keys)
    return sum(len(keys) for keys in untold.values())


async def _tell(client: Client, key: str, name: str, slots: asyncio.Semaphore) -> None:
    async with slots:
        try:
            await client.get_workflow_handle(f"case/{key}").signal("ledger_changed", {"event_id": f"{name}/{uuid4()}"})
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # it has closed meanwhile
                raise
