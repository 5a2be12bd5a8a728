"""The process that listens: webhooks, texts, calls, payments. ``up`` and ``demo`` start it too."""

import asyncio
import gc
import sys

from activities.providers.call_script import ScriptError
from activities.providers.errors import ErrorTableError
from activities.providers.identity import IdentityError
from runtime.client import NotRunning
from runtime.logs import configure
from runtime.process import ServerFailed
from settings import SettingsError, load_settings
from web.serving import serve

EXPECTED = (SettingsError, NotRunning, ServerFailed, ErrorTableError, ScriptError, IdentityError)


async def main() -> None:
    """Listen until asked to stop."""
    settings = load_settings()
    configure(settings.log_level)
    await serve(settings)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except EXPECTED as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    finally:
        gc.collect()
