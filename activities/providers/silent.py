"""A carrier that takes everything and says nothing more: for looking back, where nobody is reached."""

from datetime import datetime

from activities.providers.base import Accepted, Outbound, SendResult


class SilentCarrier:
    """Accepts every message at once. What people then did stands in the ledger."""

    name = "backtest"
    timeout_seconds = 1.0

    def send(self, message: Outbound) -> SendResult:
        """Accept."""
        return Accepted(f"B-{message.attempt_key}")

    def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:  # noqa: ARG002 - the protocol
        """Everything that was asked for was accepted."""
        return Accepted(f"B-{attempt_key}")
