"""The judge of a crash drill: a provider in a process of its own that counts requests, and the adapter that calls it.

Every request is on the disk before it is answered or dropped, so the log tells what may have reached a person whatever
was killed. It holds attempt keys and times, nothing about anybody. ``python -m tests.faults.judge LOG PORT_FILE``.
"""

import http.client
import json
import os
import signal
import sys
import threading
import time
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, quote, urlsplit

from activities.providers.base import Accepted, AmbiguousSendError, LookUpError, NotProcessed, Outbound, SendResult

Manner = Literal["answer", "drop", "refuse", "slow", "kill"]
"""How a request is treated. ``drop``: processed, the connection is cut without an answer. ``refuse``: answered 429, not
processed. ``slow``: processed, answered after a while. ``kill``: processed and held; when all have come, the callers
are killed."""

PAUSES: dict[str, float] = {"slow": 1.0, "kill": 6.0}
"""Seconds before an answer."""


class Judge(ThreadingHTTPServer):
    """Takes requests, writes them down, and treats them as it was told."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, log: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._log = log.open("ab", buffering=0)
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._manners: dict[str, Manner] = {}
        self._held: set[str] = set()
        self._held_wanted: set[str] = set()

    def instruct(self, manner: Manner, keys: list[str]) -> None:
        """Treat these attempt keys in a manner from now on."""
        with self._lock:
            self._manners.update(dict.fromkeys(keys, manner))
            if manner == "kill":
                self._held, self._held_wanted = set(), set(keys)

    def take(self, key: str, caller: int) -> tuple[Manner, str]:
        """Process one request: written down, then the manner of its answer."""
        with self._lock:
            manner = self._manners.get(key, "answer")
            if manner == "refuse":
                return manner, ""
            line = json.dumps({"key": key, "at": time.time()}) + "\n"
            os.write(self._log.fileno(), line.encode())
            os.fsync(self._log.fileno())
            name = self._known.setdefault(key, f"J-{len(self._known) + 1}")
            if manner == "kill":
                self._held.add(key)
                if self._held >= self._held_wanted:
                    self._manners.clear()
                    os.kill(caller, signal.SIGKILL)
        return manner, name

    def name_of(self, key: str) -> str | None:
        """Return the judge's own name for a request it has processed."""
        with self._lock:
            return self._known.get(key)


class _Handler(BaseHTTPRequestHandler):
    server: Judge

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/instructions":
            self.server.instruct(body["manner"], body["keys"])
            self._answer(200, {})
            return
        manner, name = self.server.take(body["key"], body["caller"])
        if manner == "refuse":
            self._answer(429, {})
        elif manner == "drop":
            self.close_connection = True
        else:
            time.sleep(PAUSES.get(manner, 0.0))
            self._answer(200, {"id": name})

    def do_GET(self) -> None:
        (key,) = parse_qs(urlsplit(self.path).query)["key"]
        name = self.server.name_of(key)
        self._answer(200 if name is not None else 404, {"id": name})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)
        except OSError:
            self.close_connection = True  # the caller is gone; what it asked for is done

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's signature
        """Say nothing: the log of the judge is its file."""


class JudgedProvider:
    """A provider like the real ones, over HTTP, whose other end is the judge."""

    name = "judge"

    def __init__(self, port: int, *, timeout_seconds: float = 8.0) -> None:
        self.port = port
        self.timeout_seconds = timeout_seconds

    def send(self, message: Outbound) -> SendResult:
        """Make one request. Only a refused connection or a 429 proves that nothing was processed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_seconds)
        try:
            connection.connect()
        except ConnectionRefusedError:
            return NotProcessed("refused", timedelta(minutes=1))
        try:
            status, body = self._ask(connection, "POST", "/send", {"key": message.attempt_key, "caller": os.getpid()})
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise AmbiguousSendError(type(error).__name__) from error
        finally:
            connection.close()
        if status == http.client.TOO_MANY_REQUESTS:
            return NotProcessed("busy", timedelta(minutes=1))
        if status != http.client.OK:
            raise AmbiguousSendError(f"http-{status}")
        return Accepted(body["id"])

    def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:  # noqa: ARG002
        """Look a request up by its attempt key."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_seconds)
        try:
            status, body = self._ask(connection, "GET", f"/find?key={quote(attempt_key, safe='')}", None)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise LookUpError(type(error).__name__) from error
        finally:
            connection.close()
        return Accepted(body["id"]) if status == http.client.OK else None

    def instruct(self, manner: Manner, keys: list[str]) -> None:
        """Tell the judge how to treat these attempt keys."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_seconds)
        try:
            self._ask(connection, "POST", "/instructions", {"manner": manner, "keys": keys})
        finally:
            connection.close()

    @staticmethod
    def _ask(
        connection: http.client.HTTPConnection, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any]]:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"{}")


def requests_in(log: Path) -> list[str]:
    """Return the attempt keys of all requests the judge has taken, in order."""
    if not log.exists():
        return []
    return [json.loads(line)["key"] for line in log.read_text(encoding="utf-8").splitlines()]


def main(log: str, port_file: str) -> None:
    """Judge until killed. The port file appears, whole, when requests are taken."""
    judge = Judge(Path(log))
    draft = Path(f"{port_file}.draft")
    draft.write_text(str(judge.server_port), encoding="utf-8")
    draft.replace(port_file)
    judge.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:3])
