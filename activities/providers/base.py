"""What a provider is: one request per attempt, and one way to look an attempt up afterwards.

Adding a channel means one class that fits ``Provider`` and one line in the wiring. A provider must never retry by
itself, must give up within ``timeout_seconds``, and must say ``NotProcessed`` only with proof.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from domain.codes import Channel


@dataclass(frozen=True, slots=True)
class AccountLine:
    """One account a message is about: our key, the lender's reference, and the amount quoted in minor units."""

    account_key: str
    reference: str
    case_key: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message to one contact point. Holds personal data: it never enters a history or a log."""

    attempt_key: str
    channel: Channel
    party_key: str
    recipient: str
    recipient_name: str
    language: str
    subject: str
    body: str
    accounts: tuple[AccountLine, ...]
    step: str
    try_no: int
    zone: str
    at: datetime
    """Business instant of the dispatch."""
    latest: datetime | None = None
    """After this business instant it must not be delivered any more (quiet hours)."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the request; ``provider_id`` is its own name for it."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider processed the request and refused it for good. ``bad_contact_point``: nothing will ever arrive."""

    code: str
    bad_contact_point: bool = False


@dataclass(frozen=True, slots=True)
class NotProcessed:
    """Proof that nothing was processed (connection refused, 429); it may be sent again after ``retry_after``."""

    code: str
    retry_after: timedelta


SendResult = Accepted | Rejected | NotProcessed


class AmbiguousSendError(Exception):
    """A timeout, a dropped connection or a server error: the request may have been processed."""


class Provider(Protocol):
    """A way of reaching people. Raises ``AmbiguousSendError`` when it cannot know what happened."""

    name: str
    timeout_seconds: float

    def send(self, message: Outbound) -> SendResult:
        """Make exactly one request."""
        ...

    def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:
        """Look up whether a request for this attempt was accepted; ``None`` when there is no trace of one."""
        ...
