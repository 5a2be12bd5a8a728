"""Runs look-ups beside the workers: a glance at two small indexes every few seconds, a provider asked when due."""

import asyncio
from contextlib import suppress

import structlog
from sqlalchemy.exc import SQLAlchemyError

from activities.looking_up import LookUps

LOOK_EVERY = 5.0
"""Seconds between two glances at what is due; the look-ups themselves are minutes and hours apart."""

log = structlog.get_logger(__name__)


async def keep_looking(look_ups: LookUps, stop: asyncio.Event) -> None:
    """Look up what is due until stopped. What goes wrong waits for the next turn; nothing is lost by it."""
    while not stop.is_set():
        try:
            results = await asyncio.to_thread(look_ups.look_some)
        except (SQLAlchemyError, OSError) as error:
            log.warning("look-ups wait for the database", kind=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - its text may quote an address; the next turn goes on
            log.error("look-ups failed", kind=type(error).__name__)  # noqa: TRY400 - as above
        else:
            if results:
                log.info("looked up", **results)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_EVERY)
