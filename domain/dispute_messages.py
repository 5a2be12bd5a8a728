"""The signals of a dispute after it was opened: what was put forward, how it was answered. Codes and hashes only."""

from typing import Annotated, Any, Literal

from pydantic import StringConstraints, model_validator

from domain.message import Code, CurrencyCode, Message, MinorUnits, Reference
from domain.state_events import StateKind, Told

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
DisputeResult = Literal["upheld", "upheld_in_part", "rejected"]


class AboutDispute(Message):
    """``dispute`` names it by key or event id of what opened it; default: the one of this account that stands."""

    dispute: Reference | None = None
    note_ref: Reference | None = None


class DisputeEvidence(AboutDispute):
    """A document was put forward. The file stays outside: its reference and its hash are kept."""

    document_ref: Reference
    sha256: Sha256
    given_by: Literal["debtor", "creditor", "collector", "other"] = "debtor"
    kind: Code = "document"


class DisputeAnswered(AboutDispute):
    """The dispute is decided. What is upheld is taken off the debt, the rest is collected again.

    ``upheld_amount`` is needed for ``upheld_in_part``; wholly upheld means all that is disputed.
    """

    result: DisputeResult
    upheld_amount: MinorUnits | None = None
    currency: CurrencyCode | None = None
    document_ref: Reference | None = None
    """The answer as it was sent."""

    @model_validator(mode="after")
    def _amount_fits(self) -> "DisputeAnswered":
        if (self.upheld_amount is None) != (self.currency is None):
            message = "upheld_amount and currency go together"
            raise ValueError(message)
        if self.result == "upheld_in_part" and self.upheld_amount is None:
            message = "upheld_in_part needs upheld_amount"
            raise ValueError(message)
        if self.result == "rejected" and self.upheld_amount is not None:
            message = "rejected means that nothing is upheld"
            raise ValueError(message)
        return self

    def told(self, account_key: str, at: Any) -> Told:  # noqa: ANN401 - an instant
        """Return the end of the dispute, as the table of state events has it."""
        named = {"ends_event": self.dispute} if self.dispute is not None else {"ends_kind": StateKind.DISPUTE}
        return Told(
            kind=StateKind.ENDED,
            event_id=self.event_id,
            at=at,
            account_key=account_key,
            actor=self.actor,
            note_ref=self.note_ref,
            detail={"reason": "answered", "result": self.result, "upheld_amount": self.upheld_amount},
            **named,
        )


DISPUTE_MESSAGES: dict[str, type[AboutDispute]] = {
    "dispute_evidence": DisputeEvidence,
    "dispute_answered": DisputeAnswered,
}
