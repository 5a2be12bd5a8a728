"""One process of ours: started so that it cannot outlive us, remembered on disk, stopped for certain.

A pid alone proves nothing, as numbers are used again: a process is ours only if its start time matches too.
Never signal a process that is not proven ours.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_LAUNCH = Path(__file__).with_name("launch.py")
_TAIL_LINES = 6
_CLOCK_SLACK = 3.0  # seconds
_TAIL_BYTES = 8192


class ServerFailed(Exception):  # noqa: N818 - named by what happened, as a person reads it
    """A server that does not start or cannot be kept up. The text says which, and where its log is."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `stop_signal` asks for a clean stop; `user` is a system user id to run as, if not ours."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0
    user: int | None = None


def started_at(pid: int) -> float | None:
    """Return when the process started (seconds since the epoch), or None if no such process runs."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def is_the_same(pid: int, birth: float | None) -> bool:
    """Tell whether the process still runs that started at `birth`; the clock may have been set meanwhile."""
    now = started_at(pid)
    return birth is not None and now is not None and abs(now - birth) < _CLOCK_SLACK


def write_atomically(path: Path, text: str) -> None:
    """Write a private file so that a reader sees the old text or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def log_tail(path: Path) -> str:
    """Return the last lines of a log in one line, for an error text."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return "no log"
    return " | ".join(line.strip() for line in lines[-_TAIL_LINES:]) or "an empty log"


class OwnProcess:
    """One running program; `record` is the file that remembers it, `log` takes what it prints."""

    def __init__(self, program: Program, record: Path, log: Path) -> None:
        self.program = program
        self.log = log
        self._record = record
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process number while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the program. Call it from the main thread: the kernel ties the child to that thread."""
        program = self.program
        self.log.parent.mkdir(parents=True, exist_ok=True)
        user = "-" if program.user is None else str(program.user)
        head: Sequence[str] = (sys.executable, "-I", "-S", str(_LAUNCH))
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *head,
                str(os.getpid()),
                str(int(program.stop_signal)),
                user,
                *program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **program.environment},
                start_new_session=True,  # Ctrl-C in the terminal is ours to hand on, in the right order
            )
        birth = started_at(self._process.pid)
        write_atomically(self._record, json.dumps({"pid": self._process.pid, "started_at": birth}))

    async def wait(self) -> int:
        """Wait until it ends; returns its exit code (negative: the signal that ended it)."""
        return await self._process.wait() if self._process else 0

    async def stop(self) -> None:
        """Ask for a clean stop, insist after `stop_seconds`, and forget the process."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.program.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self.program.stop_seconds)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self._record.unlink(missing_ok=True)


def end_leftover(record: Path, stop_signal: signal.Signals, seconds: float) -> None:
    """End what a killed owner left behind: only the very process the record names. Blocks up to `seconds`."""
    try:
        data = json.loads(record.read_text(encoding="utf-8"))
        pid, birth = int(data["pid"]), data["started_at"]
    except (OSError, ValueError, KeyError, TypeError):
        record.unlink(missing_ok=True)
        return
    if is_the_same(pid, birth):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            process.send_signal(stop_signal)
            try:
                process.wait(seconds)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(seconds)
    record.unlink(missing_ok=True)
