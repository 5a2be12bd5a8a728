"""What a provider is: one request per attempt, and one way to look an attempt up afterwards.

Adding a channel means one class that fits ``Provider`` and one line in the wiring. A provider must never retry by
itself, must give up within ``timeout_seconds``, and must say ``NotProcessed`` only with proof.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
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
    html: str = ""
    """The words once more for readers of HTML, where the template has such a form."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the request; ``provider_id`` is its own name for it.

    ``told`` is what a list says became of it, in the fields of the provider's callbacks; nothing right after a send.
    """

    provider_id: str
    told: Mapping[str, str] = field(default_factory=dict, compare=False)


class RejectionKind(StrEnum):
    """What a refusal, at once or reported later, means for what comes next."""

    RECIPIENT = "recipient"
    """Nothing will ever arrive at this contact point: mark it invalid."""
    CHANNEL_UNFIT = "channel_unfit"
    """The contact point is good, but not for this channel (a landline and SMS): never this channel there again."""
    OPT_OUT = "opt_out"
    """The person has withdrawn consent for this sender: record it, never retry."""
    CONTENT = "content"
    """The words or their form were refused: stop the template and tell operations."""
    CONFIGURATION = "configuration"
    """Our account, sender or credentials are at fault: pause the channel and tell operations."""
    NOT_PERMITTED = "not_permitted"
    """This destination is closed to our account until somebody opens it: next channel, tell operations."""
    LATER = "later"
    """This attempt failed for certain; a new one may follow after the wait, a bounded number of times."""
    OTHER = "other"
    """Refused for a reason the table does not know: a person should look."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider processed the request and refused it for good.

    ``bad_contact_point``: nothing will ever arrive there. ``kind`` says what follows; ``wait`` is how long a new
    attempt should be left alone, where the kind is ``later``. ``code`` never holds personal data.
    """

    code: str
    bad_contact_point: bool = False
    kind: RejectionKind = RejectionKind.OTHER
    wait: timedelta | None = None

    def __post_init__(self) -> None:
        if self.bad_contact_point and self.kind is RejectionKind.OTHER:
            object.__setattr__(self, "kind", RejectionKind.RECIPIENT)
        if self.kind is RejectionKind.RECIPIENT:
            object.__setattr__(self, "bad_contact_point", True)

    @property
    def consent_withdrawn(self) -> bool:
        """Whether the person has opted out of this sender."""
        return self.kind is RejectionKind.OPT_OUT


@dataclass(frozen=True, slots=True)
class NotProcessed:
    """Proof that nothing was processed (connection refused, 429); it may be sent again after ``retry_after``."""

    code: str
    retry_after: timedelta


SendResult = Accepted | Rejected | NotProcessed


class AmbiguousSendError(Exception):
    """A timeout, a dropped connection or a server error: the request may have been processed."""


class LookUpError(Exception):
    """The provider could not be asked whether it knows an attempt; ask again. The text is a code, never an address."""


class Evidence(Protocol):
    """What our own record can say when an attempt is looked up among a provider's messages to one recipient."""

    def of_others(self, attempt_key: str, provider_ids: Collection[str]) -> frozenset[str]:
        """Return those of ``provider_ids`` that are known to belong to other attempts."""
        ...

    def contested(self, attempt_key: str) -> bool:
        """Say whether another attempt to the same address, near in time, is unresolved as well."""
        ...

    def text_digest(self, attempt_key: str) -> str | None:
        """Return ``digest_of`` the text that was to be sent, where it was kept."""
        ...


class NoEvidence:
    """No record at hand: what is found is judged by recipient, sender and time alone."""

    def of_others(self, attempt_key: str, provider_ids: Collection[str]) -> frozenset[str]:  # noqa: ARG002 - the protocol
        """Nothing is known to belong to others."""
        return frozenset()

    def contested(self, attempt_key: str) -> bool:  # noqa: ARG002 - the protocol
        """Nothing is known to compete."""
        return False

    def text_digest(self, attempt_key: str) -> str | None:  # noqa: ARG002 - the protocol
        """No text was kept."""
        return None


def digest_of(text: str) -> str:
    """Return the digest by which a text sent is recognised: SHA-256 of its UTF-8, in hex."""
    return sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Loan:
    """An item that an agent has on loan: what their call carries with it, so that no other call is bridged."""

    item_key: str
    actor: str
    lease_no: int


class Provider(Protocol):
    """A way of reaching people. Raises ``AmbiguousSendError`` when it cannot know what happened."""

    name: str
    timeout_seconds: float

    def send(self, message: Outbound) -> SendResult:
        """Make exactly one request."""
        ...

    def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:
        """Look up whether a request for this attempt was accepted; ``None`` when there is no trace of one.

        ``since`` is an instant of the real clock. ``None`` is no proof that nothing was sent. Raises ``LookUpError``.
        """
        ...
