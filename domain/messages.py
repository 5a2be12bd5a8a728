"""The message contract: every signal a case understands, typed.

People and machines send these as plain JSON with any Temporal client. They carry codes and identifiers, never free
text: a note is written to the database first and named by its reference. What does not parse is kept and said,
never raised: a case must survive every message.
"""

import hashlib
import json
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from domain.arrangements import MOST_LINES, ArrangementKind, Covers, DpdEffect, Line, check_sums
from domain.codes import SAID_BY_THE_LEDGER, Channel, CloseReason, HoldReason, HoldScope, LegalStage, Reached
from domain.dispute_messages import DISPUTE_MESSAGES, Sha256
from domain.message import Code, CurrencyCode, Day, Instant, Message, MinorUnits, Reference
from domain.state_messages import STATE_MESSAGES

LONGEST_BODY = 16_384
"""Bytes of one message; a longer one is refused."""


class RecordPayment(Message):
    """Money received for the account of this case."""

    payment_id: Reference
    amount: MinorUnits
    currency: CurrencyCode
    paid_on: Day | None = None


class ReversePayment(Message):
    """A payment came back (returned debit, chargeback)."""

    payment_id: Reference
    reason: Code = "returned"


class WorkOutcome(Message):
    """What an outcome of a call or visit carries."""

    work_item: Reference | None = None
    attempt: Reference | None = None
    contact_point: Reference | None = None
    party_reached: Reached
    disposition: Code
    amount: MinorUnits | None = None
    currency: CurrencyCode | None = None
    promised_on: Day | None = None
    recording_ref: Reference | None = None
    note_ref: Reference | None = None

    @model_validator(mode="after")
    def _promise_is_whole(self) -> "WorkOutcome":
        if self.disposition == "promise" and self.promised_on is None:
            message = "a promise needs promised_on"
            raise ValueError(message)
        if (self.amount is None) != (self.currency is None):
            message = "amount and currency go together"
            raise ValueError(message)
        return self


class RecordCallOutcome(WorkOutcome):
    """An agent's call, from a work item or made outside of one."""

    duration_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    callback_at: Instant | None = None


class RecordVisitOutcome(WorkOutcome):
    """A field visit. Where it was and who was met stand in the database, named by ``visit``: a place is personal data.

    ``persons`` are the codes of those who went, ``evidence`` the SHA-256 of files kept outside.
    """

    visitors: Annotated[int, Field(ge=1, le=20)] = 1
    visit: Reference | None = None
    persons: Annotated[tuple[Reference, ...], Field(max_length=20)] = ()
    evidence: Annotated[tuple[Sha256, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _persons_are_counted(self) -> "RecordVisitOutcome":
        if self.persons and len(set(self.persons)) != self.visitors:
            message = "visitors must be the number of persons"
            raise ValueError(message)
        return self


class CorrectOutcome(WorkOutcome):
    """What was recorded of a call or a visit was wrong: this is what it was. ``corrects``: its event id."""

    corrects: Reference
    duration_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    callback_at: Instant | None = None


class RecordLegalUpdate(Message):
    """A stage of legal action. One that may not come now is refused with the reason (docs/legal.md).

    ``limitation_on``: with ``review``, the first day on which the claim would come too late.
    """

    work_item: Reference | None = None
    stage: LegalStage
    on: Day | None = None
    limitation_on: Day | None = None
    document_ref: Reference | None = None
    cost: MinorUnits | None = None
    currency: CurrencyCode | None = None
    reason: Code | None = None
    note_ref: Reference | None = None

    @model_validator(mode="after")
    def _cost_is_whole(self) -> "RecordLegalUpdate":
        if (self.cost is None) != (self.currency is None):
            message = "cost and currency go together"
            raise ValueError(message)
        return self


class Pause(Message):
    """Suspend outreach for this account until resumed, or until an instant."""

    until: Instant | None = None


class Resume(Message):
    """End every pause of this account."""


class PlaceHold(Message):
    """Suspend outreach for a reason."""

    reason: HoldReason
    scope: HoldScope = HoldScope.ACCOUNT
    until: Instant | None = None
    channel: Channel | None = None
    contact_point: Reference | None = None
    part_amount: MinorUnits | None = None
    note_ref: Reference | None = None

    @model_validator(mode="after")
    def _scope_is_whole(self) -> "PlaceHold":
        needs = {
            HoldScope.CHANNEL: "channel",
            HoldScope.NUMBER: "contact_point",
            HoldScope.PART: "part_amount",
        }
        field = needs.get(self.scope)
        if field is not None and getattr(self, field) is None:
            message = f"a hold with scope {self.scope} needs {field}"
            raise ValueError(message)
        return self


class ReleaseHold(Message):
    """End holds of this account: the one named, or all of a reason."""

    hold: Reference | None = None
    reason: HoldReason | None = None

    @model_validator(mode="after")
    def _names_one(self) -> "ReleaseHold":
        if (self.hold is None) == (self.reason is None):
            message = "name either the hold or the reason"
            raise ValueError(message)
        return self


class ExtendHold(Message):
    """Let a hold of this account last longer: the one named, or all of a reason. It never makes one shorter."""

    hold: Reference | None = None
    reason: HoldReason | None = None
    until: Instant
    note_ref: Reference | None = None

    @model_validator(mode="after")
    def _names_one(self) -> "ExtendHold":
        if (self.hold is None) == (self.reason is None):
            message = "name either the hold or the reason"
            raise ValueError(message)
        return self


class SkipStep(Message):
    """Leave a step out: the one named if it is the current one, else nothing happens."""

    step: Code


class CloseCase(Message):
    """End the case for a reason other than payment."""

    reason: CloseReason

    @model_validator(mode="after")
    def _payment_is_for_the_ledger(self) -> "CloseCase":
        if self.reason in SAID_BY_THE_LEDGER:
            message = "that a debt is paid only the ledger can say: record the payment, and the case ends by itself"
            raise ValueError(message)
        return self


class AdoptStrategy(Message):
    """Follow another strategy from here on. ``position``: where the case stood when this was previewed."""

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    position: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")] | None = None


class AgreedLine(BaseModel):
    """One agreed payment, in minor units."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    due_on: Day
    amount: MinorUnits


class AgreeArrangement(Message):
    """An arrangement with the debtor: a promise, instalments, a deferral, a settlement. Agreed as an Update.

    The lines and the discount are together what is covered.
    """

    kind: ArrangementKind
    covers: Covers = Covers.PAST_DUE
    lines: Annotated[tuple[AgreedLine, ...], Field(min_length=1, max_length=MOST_LINES)]
    currency: CurrencyCode
    discount: Annotated[int, Field(ge=0, le=10**15)] = 0
    policy: Code | None = None
    dpd_effect: DpdEffect | None = None
    expires_on: Day | None = None
    renegotiate: bool = False
    statement: Reference | None = None
    note_ref: Reference | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> "AgreeArrangement":
        check_sums(self.kind, self.agreed, self.covered, self.discount)
        if self.expires_on is not None and (
            self.kind is not ArrangementKind.SETTLEMENT or self.expires_on < self.lines[-1].due_on
        ):
            message = "expires_on is the last day of a settlement, not before its last line"
            raise ValueError(message)
        return self

    @property
    def agreed(self) -> tuple[Line, ...]:
        """The lines, numbered."""
        return tuple(Line(no, line.due_on, line.amount) for no, line in enumerate(self.lines, start=1))

    @property
    def covered(self) -> int:
        """What it covers."""
        return sum(line.amount for line in self.lines) + self.discount


class CancelArrangement(Message):
    """End an arrangement or a proposal before its time; the ladder goes on the day after."""

    arrangement: Reference
    reason: Code = "withdrawn"


class AttemptUpdated(Message):
    """Internal: an attempt changed after it was made (callback, reconciliation)."""

    attempt: Reference


class LedgerChanged(Message):
    """Internal: the ledger of this account changed; read it again."""


class YourTurn(Message):
    """Internal, on a logical clock whose cases take turns: act on what is due by ``at``."""

    at: Instant


TURN = "your_turn"
ADOPT = "adopt_strategy"
AGREE = "agree_arrangement"

MESSAGES: dict[str, type[Message]] = {
    "record_payment": RecordPayment,
    "reverse_payment": ReversePayment,
    "record_call_outcome": RecordCallOutcome,
    "record_visit_outcome": RecordVisitOutcome,
    "correct_outcome": CorrectOutcome,
    "record_legal_update": RecordLegalUpdate,
    "pause": Pause,
    "resume": Resume,
    "place_hold": PlaceHold,
    "release_hold": ReleaseHold,
    "extend_hold": ExtendHold,
    "skip_step": SkipStep,
    "close_case": CloseCase,
    ADOPT: AdoptStrategy,
    AGREE: AgreeArrangement,
    "cancel_arrangement": CancelArrangement,
    "attempt_updated": AttemptUpdated,
    "ledger_changed": LedgerChanged,
    "your_turn": YourTurn,
    **DISPUTE_MESSAGES,
    **STATE_MESSAGES,
}
"""Signal name -> its model. The one list that the workflow, the command line and the documentation use."""

INTERNAL = frozenset({"attempt_updated", "ledger_changed", TURN})


class RefusedMessageError(ValueError):
    """A message that cannot be understood. The text names fields and reasons, never values."""


def parse_message(name: str, body: Any) -> Message:  # noqa: ANN401 - whatever was sent
    """Check a decoded JSON body against the contract; RefusedMessageError says what is wrong, without values."""
    model = MESSAGES.get(name)
    if model is None:
        reason = "unknown signal name"
        raise RefusedMessageError(reason)
    if not isinstance(body, dict):
        reason = "the argument must be one JSON object"
        raise RefusedMessageError(reason)
    try:
        return model.model_validate_json(json.dumps(body))
    except ValidationError as error:
        wrong = (
            f"{'.'.join(str(part) for part in one['loc']) or 'message'}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise RefusedMessageError("; ".join(wrong)[:500]) from None


class Received(BaseModel):
    """A message as the case took it in: understood, or refused with the reason."""

    name: str
    event_id: str
    at: AwareDatetime
    body: dict[str, Any] = Field(default_factory=dict)
    refusal: str | None = None
    raw: str | None = None
    """The body of a refused message, on its way to the database."""


class Refusal(BaseModel):
    """What the state keeps of a refused message."""

    name: str
    sha256: str
    reason: str


def take_in(name: str, bodies: list[bytes], at: AwareDatetime) -> Received:
    """Turn the raw arguments of a signal into what the case keeps. Never raises.

    A refused message gets an event id made of its content, so that the same rubbish is kept once.
    """
    whole = b"\n".join(bodies)
    try:
        if len(bodies) != 1:
            reason = f"expected one argument, got {len(bodies)}"
            raise RefusedMessageError(reason)
        if len(whole) > LONGEST_BODY:
            reason = f"longer than {LONGEST_BODY} bytes"
            raise RefusedMessageError(reason)
        body = json.loads(whole)
        message = parse_message(name, body)
    except (RefusedMessageError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        refusal = str(error) if isinstance(error, RefusedMessageError) else "not valid JSON"
        digest = hashlib.sha256(name.encode(errors="replace") + b"\0" + whole).hexdigest()
        raw = whole[:LONGEST_BODY].decode("utf-8", errors="backslashreplace").replace("\x00", "\\x00")
        return Received(name=name[:80], event_id=f"refused/{digest}", at=at, refusal=refusal, raw=raw)
    kept = message.model_dump(mode="json", exclude_defaults=True)
    return Received(name=name, event_id=message.event_id, at=message.at or at, body=kept)
