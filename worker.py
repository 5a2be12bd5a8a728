"""The process that works: cases, contacts, openings. ``python worker.py``; ``up`` and ``demo`` start it too."""

import asyncio
import gc
import signal
import sys

from runtime.client import NotRunning
from runtime.logs import configure
from runtime.process import ServerFailed
from runtime.work import work
from settings import SettingsError, load_settings


async def main() -> None:
    """Work until asked to stop."""
    settings = load_settings()
    configure(settings.log_level)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await work(settings, stop)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (SettingsError, NotRunning, ServerFailed) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    finally:
        gc.collect()
