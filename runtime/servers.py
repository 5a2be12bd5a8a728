"""All servers of one state folder, up together and down together, and the programs that work on them.

`async with Servers(settings) as servers:` gives running servers, embedded ones or those the settings name. It
must never share a state folder with another owner, and must leave no process behind.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from runtime.endpoints import Endpoints, Ownership, Ports, external_namespace, publish, withdraw
from runtime.postgres import EmbeddedPostgres
from runtime.process import Program, end_leftover
from runtime.supervision import ListeningProgram, PlainProgram, Server, Supervised
from runtime.temporal_server import EmbeddedTemporal, binary
from settings import Settings, external_temporal_address

_STOP_SIGNALS = {EmbeddedPostgres.name: EmbeddedPostgres.stop_signal}
_CHILD_STOP_SECONDS = 40.0
_LEFTOVER_SECONDS = 20.0


class Servers:
    """The running servers; `failed` gets the ServerFailed of one that cannot be kept up.

    Entering raises StateFolderInUse, ServerFailed or SettingsError, each in one line for people.
    """

    def __init__(self, settings: Settings, *, postgres: bool = True, temporal: bool = True) -> None:
        self._settings = settings
        self._with_postgres = postgres
        self._with_temporal = temporal
        self._folder = settings.state_folder
        self._ownership = Ownership(self._folder)
        self._running: list[Supervised] = []
        self.failed: asyncio.Future[None]
        self.database_url = ""
        self.temporal_address = ""
        self.namespace = ""
        self.ui_url = ""

    @property
    def restarts(self) -> dict[str, int]:
        """How often each server or program had to be started again, by name."""
        return {one.server.name: one.restarts for one in self._running}

    @property
    def pids(self) -> dict[str, int | None]:
        """The process number of each server or program, by name; None between two lives."""
        return {one.server.name: one.pid for one in self._running}

    @property
    def endpoints(self) -> Endpoints:
        """Where everything is reached."""
        return Endpoints(self.database_url, self.temporal_address, self.namespace, self.ui_url, os.getpid())

    async def __aenter__(self) -> Self:
        self.failed = asyncio.get_running_loop().create_future()
        self._ownership.__enter__()
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def add_child(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None, *, port: int | None = None
    ) -> Supervised:
        """Run a program beside the servers and start it again when it dies; it ends before they do.

        `env` is added to our environment. SIGTERM asks it to stop; it has 40 seconds. With a `port` it is up when it
        takes connections there.
        """
        program = Program(name, tuple(argv), env or {}, signal.SIGTERM, _CHILD_STOP_SECONDS)
        return await self._supervise(PlainProgram(program) if port is None else ListeningProgram(program, port))

    def port_for(self, name: str, wanted: int, variable: str) -> int:
        """Return a port for a program, the same from start to start. Raises ServerFailed if the wanted one is taken."""
        return Ports(self._folder).choose(name, wanted, variable)

    async def stop_child(self, name: str) -> None:
        """Stop a program cleanly and for good."""
        for one in [child for child in self._running if child.server.name == name]:
            self._running.remove(one)
            await one.stop()

    async def _start(self) -> None:
        settings = self._settings
        for record in sorted((self._folder / "run").glob("*.json")):
            how = _STOP_SIGNALS.get(record.stem, signal.SIGTERM)
            await asyncio.to_thread(end_leftover, record, how, _LEFTOVER_SECONDS)
        ports = Ports(self._folder)
        starting = []
        if settings.database_url is not None:
            self.database_url = settings.database_url.get_secret_value()
        elif self._with_postgres:
            port = ports.choose("PostgreSQL", settings.postgres_port, "DUNLIN_POSTGRES_PORT")
            postgres = EmbeddedPostgres(self._folder / "postgres", port)
            starting.append(self._supervise(postgres))
        if address := external_temporal_address():
            self.temporal_address, self.namespace = address, external_namespace()
        elif self._with_temporal:
            temporal = EmbeddedTemporal(
                self._folder / "temporal",
                program=binary(settings.temporal_binary),
                namespace=settings.temporal_namespace,
                port=ports.choose("Temporal", settings.temporal_port, "DUNLIN_TEMPORAL_PORT"),
                ui_port=ports.choose("the web UI of Temporal", settings.ui_port, "DUNLIN_UI_PORT"),
            )
            self.temporal_address, self.namespace = temporal.address, settings.temporal_namespace
            self.ui_url = temporal.ui_url
            starting.append(self._supervise(temporal))
        results = await asyncio.gather(*starting, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        if settings.database_url is None and self._with_postgres:
            self.database_url = postgres.url()
        publish(self._folder, self.endpoints)

    async def _supervise(self, server: Server) -> Supervised:
        supervised = Supervised(
            server,
            record=self._folder / "run" / f"{server.name}.json",
            log=self._folder / "logs" / f"{server.name}.log",
        )
        self._running.append(supervised)
        keeper = await supervised.start()
        keeper.add_done_callback(self._note_end)
        return supervised

    def _note_end(self, keeper: asyncio.Task[None]) -> None:
        error = None if keeper.cancelled() else keeper.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # seen: whoever waits for it still gets it

    async def _stop(self) -> None:
        """Programs first, then the servers they work on."""
        withdraw(self._folder)
        programs = [one for one in self._running if isinstance(one.server, PlainProgram)]
        servers = [one for one in self._running if not isinstance(one.server, PlainProgram)]
        for group in (programs, servers):
            await asyncio.gather(*(one.stop() for one in group), return_exceptions=True)
        self._running.clear()
        self._ownership.__exit__(None, None, None)
