"""Talks to a fake, in this process or another: scripts it and reads what it knows."""

import base64
import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Exchange:
    """One request that reached the fake, and the answer it gave (status 0: none)."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    operation: str | None
    status: int
    answer_headers: dict[str, str]
    answer_body: bytes
    at: float


class FakeClient:
    """The admin interface of a fake at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = urlsplit(url).netloc

    def ask(self, door: str, content: object = None, *, seconds: float = 130) -> Any:  # noqa: ANN401 - any JSON
        """Knock at a door of the admin interface; raises ValueError with its reason when it refuses."""
        connection = http.client.HTTPConnection(self._address, timeout=seconds)
        try:
            connection.request("POST", f"/admin/{door}", json.dumps({} if content is None else content))
            answer = connection.getresponse()
            found = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(found["error"])
        return found

    def wait(self, seconds: float = 20) -> None:
        """Wait until the fake answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                self.ask("health", seconds=5)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
            else:
                return

    def reset(self) -> None:
        """Forget everything and behave as at the start."""
        self.ask("reset")

    def configure(self, **change: object) -> dict[str, Any]:
        """Change how the fake behaves (see `Config`), or where it delivers (``deliver_to``); return what is set."""
        found: dict[str, Any] = self.ask("config", change)
        return found

    def rule(self, on: str = "*", **rule: object) -> None:
        """Add a rule (see `Rule`): a fault, the life of a message, the person who takes a call."""
        self.ask("rules", [{"on": on, **rule}])

    def fault(self, kind: str, on: str = "*", *, times: int | None = 1, **fault: object) -> None:
        """Add a rule with a fault, by default for one request."""
        self.rule(on, times=times, fault={"kind": kind, **fault})

    def flush(self, seconds: float = 30) -> None:
        """Wait until no callback is under way; raises TimeoutError."""
        if not self.ask("flush", {"seconds": seconds})["empty"]:
            raise TimeoutError("callbacks are still under way")

    def release(self) -> None:
        """Answer all requests that a `hold` keeps waiting."""
        self.ask("release")

    def advance(self, about: str, *steps: dict[str, Any]) -> None:
        """Let a message or e-mail take steps now."""
        self.ask("advance", {"id": about, "steps": list(steps)})

    def call(self, about: str, **asked: object) -> dict[str, Any]:
        """Let a waiting call take place; return its end and what was said."""
        found: dict[str, Any] = self.ask("call", {"id": about, **asked})
        return found

    def counters(self) -> dict[str, int]:
        """Return the counters; those never touched are missing."""
        found: dict[str, int] = self.ask("counters")["counters"]
        return found

    def counted(self, name: str) -> int:
        """Return one counter."""
        return self.counters().get(name, 0)

    def totals(self) -> dict[str, Any]:
        """Return counters, requests and effects for each attempt, and attempts that took effect more than once."""
        found: dict[str, Any] = self.ask("counters")
        return found

    def state(self) -> dict[str, Any]:
        """Return messages, calls, e-mails, opt-outs."""
        found: dict[str, Any] = self.ask("state")
        return found

    def journal(self) -> list[Exchange]:
        """Return the last requests and what was answered."""
        return [_exchange(one) for one in self.ask("journal")]


def _exchange(one: dict[str, Any]) -> Exchange:
    answer = one["answer"] or {"status": 0, "headers": {}, "body": ""}
    return Exchange(
        method=one["method"],
        path=one["path"],
        query=one["query"],
        headers={name.lower(): value for name, value in one["headers"]},
        body=base64.b64decode(one["body"]),
        operation=one["operation"],
        status=answer["status"],
        answer_headers=answer["headers"],
        answer_body=base64.b64decode(answer["body"]),
        at=one["at"],
    )
