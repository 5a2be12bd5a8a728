"""Delivers callbacks: to loopback only, in order for each message, a bounded number of times, and then no more."""

import heapq
import http.client
import ipaddress
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit
from zlib import crc32

ANSWER_SECONDS = 10.0


class BlockedTargetError(Exception):
    """An address that is not on loopback. Nothing was sent."""


@dataclass(frozen=True)
class Reply:
    """What an application answered; status 0: no connection, -1: no answer in time or a broken one."""

    status: int
    body: bytes = b""


@dataclass(order=True)
class _Job:
    due: float
    number: int
    run: Callable[[], None] = field(compare=False)


class _Lane(threading.Thread):
    """One worker: its jobs run one after the other, by time due and then by age."""

    def __init__(self, done: Callable[[], None]) -> None:
        super().__init__(name="fake-courier", daemon=True)
        self._done = done
        self._jobs: list[_Job] = []
        self._wake = threading.Condition()
        self._stopped = False

    def put(self, job: _Job) -> None:
        with self._wake:
            heapq.heappush(self._jobs, job)
            self._wake.notify()

    def stop(self) -> None:
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job.run()
            finally:
                self._done()

    def _next(self) -> _Job | None:
        with self._wake:
            while not self._stopped:
                if not self._jobs:
                    self._wake.wait()
                elif (left := self._jobs[0].due - time.monotonic()) > 0:
                    self._wake.wait(left)
                else:
                    return heapq.heappop(self._jobs)
        return None


class Courier:
    """Workers that carry callbacks. What concerns one message goes through one worker, so it stays in order."""

    def __init__(self, *, lanes: int = 4, most: int = 500_000) -> None:
        self._numbers = count()
        self._open = 0
        self._left = most
        self._changed = threading.Condition()
        self._lanes = [_Lane(self._finished) for _ in range(lanes)]
        self._local = threading.local()
        self.deliver_to: dict[str, str] = {}
        for lane in self._lanes:
            lane.start()

    def submit(self, about: str, run: Callable[[], None], after: float = 0.0) -> bool:
        """Run something for one message, ``after`` seconds from now; false when the limit of all jobs is reached."""
        with self._changed:
            if self._left <= 0:
                return False
            self._left -= 1
            self._open += 1
        lane = self._lanes[crc32(about.encode()) % len(self._lanes)]
        lane.put(_Job(time.monotonic() + after, next(self._numbers), run))
        return True

    def flush(self, seconds: float) -> bool:
        """Wait until nothing is under way; false when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, min(seconds, 120))

    def stop(self) -> None:
        """Stop all workers after the job at hand."""
        for lane in self._lanes:
            lane.stop()
        for lane in self._lanes:
            lane.join(ANSWER_SECONDS + 5)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Post once. Raises BlockedTargetError for everything but plain HTTP to loopback."""
        host, port, path = self._target(url)
        kept: dict[tuple[str, int], http.client.HTTPConnection] = self._local.__dict__.setdefault("kept", {})
        old = kept.pop((host, port), None)
        connection = old or http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        reply = _ask(connection, path, headers, body)
        if reply.status == -1 and old is not None:  # the other side had closed it in the meantime
            connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
            reply = _ask(connection, path, headers, body)
        if reply.status > 0:
            kept[host, port] = connection
        return reply

    def _target(self, url: str) -> tuple[str, int, str]:
        for public, local in self.deliver_to.items():
            if url.startswith(public):
                url = local + url[len(public) :]
                break
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "http" or not is_loopback(host):
            raise BlockedTargetError(host)
        return host, parts.port or 80, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def _finished(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()


def _ask(connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
    try:
        if connection.sock is None:
            connection.connect()
    except OSError:
        return Reply(0)
    try:
        connection.request("POST", path, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return Reply(answer.status, answer.read())
    except (OSError, http.client.HTTPException):
        connection.close()
        return Reply(-1)


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
