"""Keeps one program running: started, waited for until it answers, started again when it dies.

A restart takes the same place on disk and the same ports, so that clients find it again. It must give up, and
say so, when a program cannot be kept up; and it must never start one that somebody asked to stop.
"""

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import Protocol

from runtime.process import OwnProcess, Program, ServerFailed, log_tail

ANSWER_SECONDS = 60.0
"""How long a program may take until it answers; recovery after a crash is part of it."""
_PAUSES = (0.1, 0.3, 1.0, 2.0, 4.0)
_STABLE_SECONDS = 15.0
_GIVE_UP_AFTER = 8


class Server(Protocol):
    """Something to keep running."""

    name: str
    stop_signal: signal.Signals

    async def prepare(self) -> None:
        """Make ready on disk what the program needs."""

    def program(self) -> Program:
        """Say how it is run."""

    async def answer(self) -> None:
        """Return when it does its work; raise any error while it does not yet."""


class PlainProgram:
    """A program that works from its first instant, such as a worker."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.name = program.name
        self.stop_signal = program.stop_signal

    async def prepare(self) -> None:
        """Nothing to make ready."""

    def program(self) -> Program:
        """Say how it is run."""
        return self._program

    async def answer(self) -> None:
        """Nobody calls it."""


class ListeningProgram(PlainProgram):
    """A program that works as soon as it takes connections on a port of loopback."""

    def __init__(self, program: Program, port: int) -> None:
        super().__init__(program)
        self._port = port

    async def answer(self) -> None:
        """Connect once."""
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.close()
        await writer.wait_closed()


class Supervised:
    """One program kept running; `restarts` counts how often it had to be started again."""

    def __init__(self, server: Server, *, record: Path, log: Path) -> None:
        self.server = server
        self.restarts = 0
        self._record = record
        self._log = log
        self._process: OwnProcess | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process number, None between two lives."""
        return self._process.pid if self._process else None

    async def start(self) -> asyncio.Task[None]:
        """Start it and wait until it answers; returns the task that keeps it up and fails when it cannot.

        Raises ServerFailed with the last lines of its log when it does not start.
        """
        await self._start_patiently()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.server.name}")
        return self._keeper

    async def stop(self) -> None:
        """Stop it cleanly and for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError, ServerFailed):
                await self._keeper
        if self._process is not None:
            await self._process.stop()

    async def _keep(self) -> None:
        while self._process is not None:
            await self._process.wait()
            self.restarts += 1
            await self._start_patiently()
            await self._watch_young()

    async def _watch_young(self) -> None:
        """Count deaths soon after a start: a program that never lives long is not kept up for ever."""
        for pause in (*_PAUSES, *(_PAUSES[-1],) * (_GIVE_UP_AFTER - len(_PAUSES))):
            if self._process is None:
                return
            try:
                await asyncio.wait_for(self._process.wait(), _STABLE_SECONDS)
            except TimeoutError:
                return
            self.restarts += 1
            await asyncio.sleep(pause)
            await self._start_patiently()
        raise self._failure("dies again and again")

    async def _start_patiently(self) -> None:
        """Start it, again if it dies at once: the remains of a killed one may need a moment to go."""
        deadline = time.monotonic() + ANSWER_SECONDS
        for pause in _PAUSES:
            await self.server.prepare()
            self._process = OwnProcess(self.server.program(), self._record, self._log)
            await self._process.start()
            if await self._answers(self._process, deadline):
                return
            await self._process.stop()
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(pause)
        raise self._failure("does not start")

    async def _answers(self, process: OwnProcess, deadline: float) -> bool:
        while process.pid is not None and time.monotonic() < deadline:
            try:
                await self.server.answer()
            except Exception:  # noqa: BLE001 - whatever it is: it does not answer yet, and the deadline decides
                await asyncio.sleep(0.1)
            else:
                return True
        return False

    def _failure(self, what: str) -> ServerFailed:
        return ServerFailed(f"{self.server.name} {what}; its log {self._log} ends: {log_tail(self._log)}")
