"""Which act a message is, so that the ledger can ask whether who sent it may do that.

Telling what happened is an agent's work; lifting what protects a debtor, ending a case and deciding about legal action
take a higher role. What a program of ours sends has been authenticated by its door and is not asked again.
"""

from collections.abc import Callable

from domain.codes import HoldReason, LegalStage
from domain.dispute_messages import DisputeAnswered, DisputeEvidence
from domain.message import Message
from domain.messages import (
    AdoptStrategy,
    AgreeArrangement,
    AttemptUpdated,
    CancelArrangement,
    CloseCase,
    CorrectOutcome,
    ExtendHold,
    LedgerChanged,
    Pause,
    PlaceHold,
    RecordLegalUpdate,
    RecordPayment,
    ReleaseHold,
    Resume,
    ReversePayment,
    SkipStep,
    WorkOutcome,
    YourTurn,
)
from domain.roles import Act, Acting, Role, may, who_may, words
from domain.state_events import MEANINGS, StateKind
from domain.state_messages import EndStateEvent, StateEvent

UNPROTECTED = frozenset({HoldReason.PAUSED, HoldReason.PROMISE, HoldReason.REVIEW, HoldReason.OTHER})
"""Holds that an agent may end: they protect nobody but our own order. All others protect the debtor."""

_ACTS: dict[type[Message], Act] = {
    RecordPayment: Act.RECORD_MONEY,
    ReversePayment: Act.RECORD_MONEY,
    WorkOutcome: Act.RECORD_OUTCOME,
    Pause: Act.PAUSE,
    Resume: Act.RESUME,
    PlaceHold: Act.HOLD,
    SkipStep: Act.SKIP_STEP,
    DisputeEvidence: Act.TELL_EVENT,
    DisputeAnswered: Act.END_EVENT,
    CloseCase: Act.CLOSE,
    AdoptStrategy: Act.ADOPT_STRATEGY,
    AgreeArrangement: Act.AGREE_PLAN,
    CancelArrangement: Act.CANCEL_PLAN,
    AttemptUpdated: Act.REPORT,
    LedgerChanged: Act.REPORT,
    YourTurn: Act.REPORT,
}
_LEGAL_STAGES = {
    LegalStage.REVIEW: Act.ASK_LEGAL,
    LegalStage.APPROVED: Act.APPROVE_LEGAL,
    LegalStage.RETURNED: Act.APPROVE_LEGAL,
    LegalStage.FILED: Act.FILE_SUIT,
    LegalStage.WITHDRAWN: Act.FILE_SUIT,
}
_ENDING = frozenset({kind for kind, meaning in MEANINGS.items() if meaning.ends} - {StateKind.CONSENT_WITHDRAWN})


def act_of(
    message: Message,
    *,
    hold_reason: Callable[[str], str | None],
    event_kind: Callable[[str], str | None],
    recorded_by: Callable[[str], str | None],
) -> Act:
    """Return the act that a message is. The functions look up what a message names by its key alone."""
    match message:
        case CorrectOutcome():
            own = recorded_by(message.corrects) == message.actor
            return Act.CORRECT_OUTCOME if own else Act.CORRECT_ANY_OUTCOME
        case ReleaseHold() | ExtendHold():
            reason = message.reason or (None if message.hold is None else hold_reason(message.hold))
            return Act.RELEASE if reason in UNPROTECTED else Act.RELEASE_PROTECTED
        case RecordLegalUpdate():
            return _LEGAL_STAGES.get(message.stage, Act.RECORD_LEGAL)
        case EndStateEvent():
            kind = message.kind or (None if message.event is None else event_kind(message.event))
            return Act.RELEASE if kind == StateKind.UNCLEAR_REPLY else Act.END_EVENT
        case StateEvent():
            return Act.END_EVENT if message.kind_of in _ENDING else Act.TELL_EVENT
        case _:
            return next(act for model, act in _ACTS.items() if isinstance(message, model))


def why_not(acting: Acting, act: Act) -> str | None:
    """Return why a message is refused: one line without values; ``None`` when it is not."""
    if acting.role is Role.SYSTEM or may(acting.role, act):
        return None
    return f"actor: the role {acting.role} may not {words(act)}; {who_may(act)} may"
