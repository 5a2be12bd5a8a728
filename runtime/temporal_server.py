"""The embedded Temporal server: the real one from an installed package, with its state in a file.

It listens on loopback only, asks the network for nothing, and keeps closed cases for years. It is one process
for one machine; a larger house names its own cluster through Temporal's environment.
"""

import asyncio
import shutil
import signal
import sysconfig
from datetime import timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from runtime import search_attributes
from runtime.process import Program, ServerFailed

RETENTION = timedelta(days=3650)
"""How long the history of a closed case stays; auditors ask years later."""

_FLAGS = (
    # What the CLI's own profile of the person who starts us says is not ours.
    *("--disable-config-file", "--disable-config-env"),
    # Measured: 74 first steps a second instead of 20, and still whole after kill -9.
    *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
    # The default lets a timer fire up to a second late.
    *("--dynamic-config-value", 'history.timerProcessorMaxTimeShift="1ms"'),
    *("--log-level", "warn", "--log-format", "json", "--ui-disable-news-fetch"),
)


def binary(chosen: Path | None) -> Path:
    """Return the `temporal` program: the chosen one, the package's, or PATH's. Raises ServerFailed."""
    if chosen is not None:
        if not chosen.is_file():
            raise ServerFailed(f"DUNLIN_TEMPORAL_BINARY: {chosen} is not a file: name the `temporal` program.")
        return chosen
    installed = Path(sysconfig.get_path("scripts")) / "temporal"
    found = str(installed) if installed.is_file() else shutil.which("temporal")
    if found is None:
        raise ServerFailed("The `temporal` program is missing: run `make venv`, or set DUNLIN_TEMPORAL_BINARY.")
    return Path(found)


class EmbeddedTemporal:
    """One Temporal server; `folder` holds its state, the ports are TCP ports on 127.0.0.1."""

    name = "temporal"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, *, program: Path, namespace: str, port: int, ui_port: int) -> None:
        self._folder = folder
        self._binary = program
        self._namespace = namespace
        self.port = port
        self.ui_port = ui_port

    @property
    def address(self) -> str:
        """Where clients connect, as `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def ui_url(self) -> str:
        """Where a browser finds the web UI."""
        return f"http://127.0.0.1:{self.ui_port}"

    async def prepare(self) -> None:
        """Make the folder of its state."""
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)

    def program(self) -> Program:
        """Return how the server is run."""
        attributes = [part for key in search_attributes.ALL for part in ("--search-attribute", f"{key.name}=Keyword")]
        return Program(
            name=self.name,
            argv=(
                str(self._binary),
                *("server", "start-dev", "--ip", "127.0.0.1", "--ui-ip", "127.0.0.1"),
                *("--port", str(self.port), "--ui-port", str(self.ui_port)),
                *("--db-filename", str(self._folder / "temporal.db"), "--namespace", self._namespace),
                *_FLAGS,
                *attributes,
            ),
            environment={"TEMPORAL_VERSION_CHECK_DISABLED": "1"},
            stop_signal=self.stop_signal,
        )

    async def answer(self) -> None:
        """Make sure our namespace answers and keeps what it should. Raises ANSWER_ERRORS if not."""
        client = await Client.connect(self.address, namespace=self._namespace)
        service = client.workflow_service
        described = await service.describe_namespace(
            DescribeNamespaceRequest(namespace=self._namespace), timeout=timedelta(seconds=5)
        )
        wanted = Duration(seconds=int(RETENTION.total_seconds()))
        if described.config.workflow_execution_retention_ttl.seconds != wanted.seconds:
            await service.update_namespace(
                UpdateNamespaceRequest(
                    namespace=self._namespace, config=NamespaceConfig(workflow_execution_retention_ttl=wanted)
                ),
                timeout=timedelta(seconds=5),
            )
        await search_attributes.ensure_registered(client)


ANSWER_ERRORS = (RPCError, RuntimeError, OSError)
"""What `answer` raises while the server is not up yet."""
