"""What follows from an arrival and talks to a carrier: done beside the applier, so that a slow carrier holds up nobody.

An answer to one person must not keep the refusal of another waiting. Everything given here is safe to lose: it is
either done at most once (an answer), or too late when it is late (moving a call).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

Aside = Callable[[Callable[[], object]], None]
"""Takes work that talks to a carrier and sees to it that it is done."""
THREADS = 4

log = structlog.get_logger(__name__)


def at_once(work: Callable[[], object]) -> None:
    """Do it now, in the caller's thread; what goes wrong is logged and harms nothing that was applied."""
    try:
        work()
    except Exception:
        log.exception("what follows from an arrival went wrong")


class BesideThreads:
    """Does it in threads of its own."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="aside")

    def __call__(self, work: Callable[[], object]) -> None:
        """Queue it."""
        self._threads.submit(at_once, work)

    def finish(self) -> None:
        """Finish what has begun; what has not begun yet is left."""
        self._threads.shutdown(wait=True, cancel_futures=True)
