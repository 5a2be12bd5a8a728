"""Keeps what came in before it is acknowledged: many requests share a commit, none is answered before it.

While one commit is on its way, what arrives meanwhile gathers for the next, so the number of commits follows the speed
of the disk and not the number of requests.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from sqlalchemy import Engine
from sqlalchemy.exc import DataError

from db.arrivals import Arrival, keep

MOST_AT_ONCE = 500
LONGEST_ID = 160
_STRANGE = re.compile(r"[^\x21-\x7e]")

Names = set[tuple[str, str]]


def name_of(text: str, body: bytes = b"") -> str:
    """Return a text as the name of an arrival: as it is where it can be one, else with a digest of all of it."""
    if text and len(text) <= LONGEST_ID and _STRANGE.search(text) is None:
        return text
    digest = sha256(text.encode(errors="surrogatepass") + b"\0" + body).hexdigest()
    return f"{_STRANGE.sub('_', text)[:40]}#{digest}"


class Intake:
    """Writes arrivals to the inbox. ``kept`` is called after each commit."""

    def __init__(self, engine: Engine, kept: Callable[[], None]) -> None:
        self._engine = engine
        self._kept = kept
        # A thread of its own: whoever else works beside the doors must not keep them waiting.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="intake")
        self._gathered: list[tuple[Sequence[Arrival], asyncio.Future[Names]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def keep(self, arrivals: Sequence[Arrival]) -> Names:
        """Return when all are kept; the names of those that are new. Raises SQLAlchemyError when they are not."""
        if not arrivals:
            return set()
        future: asyncio.Future[Names] = asyncio.get_running_loop().create_future()
        self._gathered.append((arrivals, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="intake")
        return await future

    async def _write(self) -> None:
        while self._gathered:
            batch, self._gathered = self._gathered[:MOST_AT_ONCE], self._gathered[MOST_AT_ONCE:]
            try:
                new = await self._written([one for arrivals, _ in batch for one in arrivals])
            except DataError:  # one of them cannot be written: the others must not suffer
                for arrivals, future in batch:
                    await self._alone(arrivals, future)
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for an answer for ever
                for _, future in batch:
                    _settle(future, error)
            else:
                for arrivals, future in batch:
                    _settle(future, new & {(one.source, one.external_id) for one in arrivals})
            self._kept()

    async def _alone(self, arrivals: Sequence[Arrival], future: asyncio.Future[Names]) -> None:
        try:
            _settle(future, await self._written(arrivals))
        except Exception as error:  # noqa: BLE001 - as above
            _settle(future, error)

    async def _written(self, arrivals: Sequence[Arrival]) -> Names:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._insert, arrivals)

    def _insert(self, arrivals: Sequence[Arrival]) -> Names:
        with self._engine.begin() as connection:
            return keep(connection, arrivals)


def _settle(future: asyncio.Future[Names], result: Names | Exception) -> None:
    """Answer one request, if it is still there."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
