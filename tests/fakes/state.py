"""What the providers know: messages, calls, e-mails, who has opted out; and what was asked of them, counted."""

import hashlib
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import count
from typing import Any

from tests.fakes.courier import Courier
from tests.fakes.rules import Person, Rulebook, Step
from tests.fakes.signing import EventKey

MESSAGE_RANK = {
    name: rank
    for rank, names in enumerate(
        (
            ("accepted", "scheduled"),
            ("queued",),
            ("sending",),
            ("sent",),
            ("delivered", "undelivered", "failed", "canceled"),
            ("read",),
        )
    )
    for name in names
}


@dataclass
class Answer:
    """What a provider answers."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Recorded:
    """One request as it came, and what was answered (``None``: nothing)."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    operation: str | None
    answer: Answer | None = None
    at: float = field(default_factory=time.time)
    """When it came, in seconds since 1970."""


@dataclass
class Message:
    """A text message."""

    sid: str
    to: str
    sender: str | None
    service: str | None
    body: str
    status: str
    callback: str | None
    validity: int | None
    attempt: str
    segments: int
    created: datetime
    sent: datetime | None = None
    error_code: int | None = None
    inbound: bool = False


@dataclass
class Call:
    """A call."""

    sid: str
    to: str
    sender: str
    url: str
    status: str
    callback: str | None
    events: tuple[str, ...]
    detection: str | None
    machine_callback: str | None
    attempt: str
    created: datetime
    person: Person
    reorder: bool = False
    times: int = 1
    answered_by: str | None = None
    seconds: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    redirect: str | None = None
    transcript: list[dict[str, str]] = field(default_factory=list)
    sequence: int = 0
    parent: str | None = None
    """The call whose ``Dial`` made this one."""


@dataclass
class Email:
    """An e-mail."""

    id: str
    to: str
    attempt: str
    custom: dict[str, str]
    categories: list[str]
    payload: dict[str, Any]
    events: list[str] = field(default_factory=list)


@dataclass
class Config:
    """How the providers behave unless a rule says otherwise. ``auto``: things happen without being told to."""

    account_sid: str = "AC" + "0" * 31 + "1"
    auth_token: str = "fake-auth-token"  # noqa: S105 - of the fake only
    api_key: str = "SG.fake.key"
    seed: str = "1"
    auto: bool = True
    pace: float = 0.0
    event_url: str | None = None
    message_url: str | None = None
    event_tries: int = 30
    event_wait: float = 0.5
    new_event_ids: bool = False
    """A batch delivered again has new event ids, as some have seen."""
    message_life: list[Step] = field(default_factory=lambda: [Step(status="sent"), Step(status="delivered")])
    email_life: list[Step] = field(default_factory=lambda: [Step(status="processed"), Step(status="delivered")])
    person: Person = field(default_factory=Person)


class State:
    """Everything, behind one lock."""

    def __init__(self, config: Config) -> None:
        self.lock = threading.RLock()
        self.config = config
        self.key = EventKey(config.seed)
        self.courier = Courier()
        self.rules = Rulebook(config.seed)
        self.forget()

    def forget(self) -> None:
        """Start with nothing: no rules, no messages, all counters at zero."""
        with self.lock:
            self.rules.clear()
            self._numbers = count(1)
            self.messages: dict[str, Message] = {}
            self.calls: dict[str, Call] = {}
            self.emails: dict[str, Email] = {}
            self.opted_out: set[tuple[str, str]] = set()
            self.suppressed: dict[str, str] = {}
            self.events: list[dict[str, Any]] = []
            self.counters: Counter[str] = Counter()
            self.requests_of: Counter[str] = Counter()
            self.processed_of: Counter[str] = Counter()
            self.journal: deque[Recorded] = deque(maxlen=5000)

    def name(self, prefix: str) -> str:
        """Return the next id: the same ones in the same order for a seed."""
        with self.lock:
            number = next(self._numbers)
        return prefix + hashlib.sha256(f"{self.config.seed}/{number}".encode()).hexdigest()[:32]

    def count(self, name: str) -> None:
        """Add one to a counter."""
        with self.lock:
            self.counters[name] += 1

    def totals(self) -> dict[str, Any]:
        """Return all counters; ``duplicates`` are attempts that took effect more than once."""
        with self.lock:
            return {
                "counters": dict(self.counters),
                "requests": dict(self.requests_of),
                "processed": dict(self.processed_of),
                "duplicates": sorted(key for key, number in self.processed_of.items() if key and number > 1),
            }


def now() -> datetime:
    """Return the present instant; the providers live on the real clock, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def stamp(at: datetime | None) -> str | None:
    """Return an instant as Twilio writes it (RFC 2822)."""
    return None if at is None else format_datetime(at)


def header(headers: Mapping[str, str] | list[tuple[str, str]], name: str) -> str:
    """Return a header's value, or nothing."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return next((value for key, value in pairs if key.lower() == name.lower()), "")
