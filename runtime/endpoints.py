"""Who owns the state folder, and where the servers it runs can be reached.

One owner at a time, proven by a file lock that the kernel drops when the owner dies. Others only read.
The addresses hold the database's password, so the file is private and the password is never shown.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from temporalio.envconfig import ClientConfigProfile

from runtime.process import ServerFailed, write_atomically
from settings import Settings, external_temporal_address

EXTERNAL_NAMESPACE = "default"
_LOCK_TRIES = 10
_LOCK_PAUSE = 0.05  # seconds


class StateFolderInUse(Exception):  # noqa: N818 - named by what happened, as a person reads it
    """Another process owns the state folder. The text says which one and what to do."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where everything is reached. `pid` is the owner's, 0 when no server is run by us."""

    database_url: str = field(repr=False)
    temporal_address: str
    namespace: str
    ui_url: str
    pid: int


class Ownership:
    """The lock on the state folder, held while the servers run. Entering it raises StateFolderInUse."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / "owner.lock"
        path.touch(mode=0o600)
        file = path.open("r+", encoding="utf-8")
        for _ in range(_LOCK_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_LOCK_PAUSE)  # a command that only looks holds the lock for an instant
        else:
            owner = file.read().strip() or "unknown"
            file.close()
            raise StateFolderInUse(
                f"{self._folder} is in use by process {owner}: stop it or set DUNLIN_STATE_DIR to another."
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


def _owned(folder: Path) -> bool:
    """Whether a living process owns the folder."""
    try:
        with (folder / "owner.lock").open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def external_namespace() -> str:
    """Return the namespace that Temporal's own environment or profile names."""
    return ClientConfigProfile.load().namespace or EXTERNAL_NAMESPACE


def publish(folder: Path, endpoints: Endpoints) -> None:
    """Write the addresses for other commands, whole or not at all."""
    write_atomically(folder / "endpoints.json", json.dumps(asdict(endpoints), indent=1) + "\n")


def withdraw(folder: Path) -> None:
    """Remove the addresses: nobody answers there any longer."""
    (folder / "endpoints.json").unlink(missing_ok=True)


def running_endpoints(settings: Settings) -> Endpoints | None:
    """Return where the servers answer, or None when they are ours to run and nobody runs them.

    Raises SettingsError when Temporal's profile cannot be read.
    """
    address = external_temporal_address()
    if settings.database_url is not None and address:
        return Endpoints(settings.database_url.get_secret_value(), address, external_namespace(), "", 0)
    folder = settings.state_folder
    if not _owned(folder):
        return None
    try:
        return Endpoints(**json.loads((folder / "endpoints.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None  # the owner is still starting


class Ports:
    """TCP ports on 127.0.0.1 that stay the same from start to start, so that a bookmark keeps working."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ports.json"
        try:
            self._known: dict[str, int] = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}
        self._given: set[int] = set()

    def choose(self, name: str, wanted: int, variable: str) -> int:
        """Return the wanted port, else the remembered one, else a free one. Raises ServerFailed."""
        if wanted:
            if not _free(wanted):
                raise ServerFailed(f"Port {wanted} for {name} is taken: stop what listens there or set {variable}.")
            return wanted
        port = self._known.get(name, 0)
        while not port or port in self._given or not _free(port):
            port = _any_free()
        self._given.add(port)
        self._known[name] = port
        write_atomically(self._file, json.dumps(self._known) + "\n")
        return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
