"""Runs the fake on loopback: in a thread for tests, or as the process of `python -m tests.fakes`."""

import socket
import threading
from types import TracebackType
from typing import Self

import uvicorn

from tests.fakes.app import FakeApp
from tests.fakes.client import FakeClient
from tests.fakes.courier import is_loopback
from tests.fakes.state import Config, State


class FakeServer:
    """A fake that listens. Use it as a context manager; ``port`` 0 takes a free one."""

    def __init__(self, config: Config | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        if not is_loopback(host):
            raise ValueError("the fake listens on loopback only")
        self.state = State(config or Config())
        self._socket = socket.create_server((host, port), backlog=512)
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        self.client = FakeClient(self.url)
        options = uvicorn.Config(
            FakeApp(self.state),
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
        self.server = uvicorn.Server(options)
        self._thread = threading.Thread(target=self.serve, name="fake", daemon=True)

    def serve(self) -> None:
        """Serve until stopped, in this thread."""
        self.server.run(sockets=[self._socket])

    def close(self) -> None:
        """Stop, and leave nothing running."""
        self.server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(10)
        self.state.courier.stop()
        self._socket.close()

    def __enter__(self) -> Self:
        self._thread.start()
        self.client.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
