"""What the re-check reads, as plain records. Nothing here decides anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

NEVER_MADE = frozenset({"refused", "deferred", "covered", "retryable", "unsent"})
"""Statuses of attempts that reached nobody: not allowed, covered by another message, or proved never processed."""

NOT_CONNECTED = frozenset({"busy", "not_in_service", "no_route", "invalid_number", "disconnected"})
"""A carrier's or an agent's word that the call did not connect to the number dialled."""

PHONE = frozenset({"voice", "call"})
ELECTRONIC = frozenset({"sms", "email"})


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that one attempt broke. ``why`` is one line of keys, numbers and times, never personal data."""

    attempt: str
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Party:
    """A person, without the name."""

    key: str
    zone: str | None
    zone_source: str | None
    region: str | None
    locality: str | None
    born_on: date | None
    deceased_on: date | None


@dataclass(frozen=True, slots=True)
class Point:
    """A number or an address of a person. ``value`` is compared and parsed, and never printed."""

    key: str
    party_key: str
    kind: str
    value: str = field(repr=False)
    consent: str


@dataclass(frozen=True, slots=True)
class Due:
    """One part of what falls due on a day, in minor units."""

    ref: str
    component: str
    due_on: date
    amount: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One ledger entry, in minor units."""

    kind: str
    component: str
    amount: int
    value_on: date
    received_at: datetime
    external_id: str
    reverses: str | None


@dataclass(frozen=True, slots=True)
class Placement:
    """One collector's turn with an account."""

    collector: str
    actor: str
    placed_on: date
    recalled_on: date | None


@dataclass(frozen=True, slots=True)
class Account:
    """One debt."""

    key: str
    creditor: str
    debtor_key: str
    debtor_party: str
    product: str
    collector: str
    actor: str
    debt_type: str
    closing_at: datetime | None
    creditor_region: str | None
    creditor_zone: str | None
    allocation: Mapping[str, Any]
    tolerance: int
    feed_hours: int | None
    dues: tuple[Due, ...] = ()
    entries: tuple[Entry, ...] = ()
    placements: tuple[Placement, ...] = ()


@dataclass(frozen=True, slots=True)
class Role:
    """What a person is to an account, and when."""

    account_key: str
    party_key: str
    role: str
    valid_from: date | None
    valid_to: date | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One contact that was really made. ``talk`` is what the agent reported of it."""

    key: str
    case_key: str
    origin: str
    purpose: str
    channel: str
    party_key: str | None
    point_key: str | None
    status: str
    at: datetime
    sent_at: datetime | None
    provider: str | None
    outcome: str
    accounts: tuple[str, ...]
    cases: tuple[str, ...]
    talk: Mapping[str, Any]

    @property
    def by_agent(self) -> bool:
        """Whether a person of ours made it and reported it afterwards."""
        return self.provider == "agent"

    @property
    def order(self) -> tuple[datetime, str]:
        """The place in time; ties go by key."""
        return (self.at, self.key)


@dataclass(frozen=True, slots=True)
class Case:
    """One episode of an account."""

    key: str
    account_key: str
    collector: str
    closed_at: datetime | None
    chain_seq: int
    chain_hash: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Outreach suspended."""

    key: str
    reason: str
    scope: str
    debtor_key: str | None
    account_key: str | None
    point_key: str | None
    channel: str | None
    part_amount: int
    from_at: datetime
    until_at: datetime | None
    released_at: datetime | None


@dataclass(frozen=True, slots=True)
class Event:
    """A state event: something a person or an authority said that a collector must honour."""

    key: str
    kind: str
    scope: str
    debtor_key: str | None
    party_key: str | None
    account_key: str | None
    point_key: str | None
    channel: str | None
    from_at: datetime
    until_at: datetime | None
    ended_at: datetime | None
    detail: Mapping[str, Any]

    @property
    def permits(self) -> str:
        """What a given consent is for: ``time``, ``callback``, ``channel``, ``number``; empty for other events."""
        return str(self.detail.get("consent") or self.detail.get("type") or "") if self.kind == "consent_given" else ""

    def stands(self, at: datetime) -> bool:
        """Whether it had begun and had not ended."""
        ends = [end for end in (self.until_at, self.ended_at) if end is not None]
        return self.from_at <= at and all(end > at for end in ends)


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent given or withdrawn, dated."""

    party_key: str
    point_key: str | None
    channel: str | None
    state: str
    scope: str
    source: str
    from_at: datetime
    until_at: datetime | None


@dataclass(frozen=True, slots=True)
class Arrangement:
    """An agreed plan."""

    account_key: str
    kind: str
    status: str
    agreed_at: datetime
    ended_at: datetime | None
    key: str = ""
    starts_at: datetime | None = None
    grace_days: int = 0
    expires_on: date | None = None
    lines: tuple[tuple[date, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Feed:
    """A file that came in."""

    kind: str
    as_of: datetime
    creditors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """One ruling on an attempt."""

    attempt_key: str
    number: int
    decided_at: datetime
    verdict: str


@dataclass(frozen=True, slots=True)
class Link:
    """One event of the record."""

    case_key: str
    seq: int
    kind: str
    at: datetime
    body: str
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Request:
    """One request that reached the simulated carrier."""

    attempt_key: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class World:
    """All of it, from one consistent picture of the database."""

    parties: Mapping[str, Party]
    points: Mapping[str, Point]
    accounts: Mapping[str, Account]
    roles: tuple[Role, ...]
    attempts: tuple[Attempt, ...]
    statuses: Mapping[str, str]
    cases: Mapping[str, Case]
    holds: tuple[Hold, ...]
    events: tuple[Event, ...]
    consents: tuple[Consent, ...]
    arrangements: tuple[Arrangement, ...]
    feeds: tuple[Feed, ...]
    decisions: tuple[Decision, ...]
    links: tuple[Link, ...]
    requests: tuple[Request, ...]
