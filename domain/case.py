"""The state of one case, and what the ledger reports back to it.

The state is one serialisable model: it survives continue-as-new and is all that ``decide`` and ``apply`` see besides
the strategy. It holds codes, keys, amounts and dates; nothing that names a person.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from domain.clock import BusinessClock
from domain.codes import AttemptStatus, Channel, CloseReason, Stage, TaskKind, Verdict
from domain.facts import Facts
from domain.messages import Received, Refusal
from domain.strategy import Strategy

STATE_VERSION = 1
SEEN_KEPT = 500
ANSWERS_KEPT = 50
REFUSED_KEPT = 20


class OpenItem(BaseModel):
    """A work item the case waits for. ``seq`` is the number its attempt will get when somebody worked it."""

    model_config = ConfigDict(frozen=True)

    key: str
    kind: TaskKind
    step: str | None
    seq: int
    expires_at: AwareDatetime | None = None


class History(BaseModel):
    """What was tried so far in this episode, as far as decisions need it."""

    model_config = ConfigDict(frozen=True)

    tries: int = 0
    rpcs: int = 0
    dispositions: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    days: int = 0
    last_contact_at: AwareDatetime | None = None
    last_day: date | None = None
    done_steps: tuple[str, ...] = ()
    unworked: bool = False
    """An item was given up unworked and nothing has been tried since: no visit and no legal step may follow."""


class Cursor(BaseModel):
    """Where on the ladder the case stands."""

    model_config = ConfigDict(frozen=True)

    index: int = 0
    try_no: int = 1
    pass_no: int = 1
    step_done_at: AwareDatetime
    tried_at: AwareDatetime | None = None
    not_before: AwareDatetime | None = None
    open_seq: int | None = None
    """The attempt that was deferred or must be sent again, taken up under its own key."""
    last_step: str | None = None
    again_at: AwareDatetime | None = None
    """When the outcome of the last try says the next one is; only beside ``tried_at``."""
    appointed: bool = False
    """``again_at`` was agreed with the debtor."""
    resumed_at: AwareDatetime | None = None
    """The ladder goes on with this step at this instant, after an arrangement: it is due then."""


class Reminding(BaseModel):
    """The reminder before one line of an arrangement. ``done``: nothing more is sent for it."""

    model_config = ConfigDict(frozen=True)

    mark: str
    tried: int = 0
    """How many of its channels were tried."""
    seq: int | None = None
    """The attempt that was put off, taken up under its own key."""
    not_before: AwareDatetime | None = None
    done: bool = False


class Agreed(BaseModel):
    """What became of a wish to agree an arrangement: its key, or the refusal and why."""

    kind: Literal["agreed"] = "agreed"
    event_id: str
    arrangement: str | None = None
    status: str
    approval: str | None = None
    """Why a second person is asked."""
    refusal: str | None = None
    reason: str = ""


class CaseState(BaseModel):
    """Everything a case remembers."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = STATE_VERSION
    case_key: str
    account_key: str
    clock: BusinessClock = BusinessClock()
    now: AwareDatetime
    opened_at: AwareDatetime
    facts: Facts
    cursor: Cursor
    history: History = History()
    base_due_on: date | None = None
    """For ``late_start: first_step``: the ladder runs as if the oldest due had been due on this day."""
    seq: int = 0
    item: OpenItem | None = None
    events: dict[str, AwareDatetime] = Field(default_factory=dict)
    validation_end: date | None = None
    asked: tuple[str, ...] = ()
    """Reviews and repairs already asked of a person (each is asked once)."""
    closing: CloseReason | None = None
    handover: str | None = None
    adopting: str | None = None
    """Digest of the strategy that somebody ordered the case to follow, until it has changed over."""
    reminding: Reminding | None = None
    """The reminder that was sent last, or is put off."""
    plan_end: str | None = None
    """The end of an arrangement that the ladder has taken in."""
    answers: tuple[Agreed, ...] = ()
    """What became of the last arrangements that somebody asked to agree."""

    def attempt_key(self, seq: int) -> str:
        """Return the key of attempt number ``seq`` of this case."""
        return f"{self.case_key}/{seq}"


class CaseInput(BaseModel):
    """What a case starts with, and what it hands over to itself by continue-as-new."""

    state: CaseState
    strategy: Strategy
    strategy_digest: str
    creditor: str = ""
    debtor_key: str = ""
    inbox: list[Received] = Field(default_factory=list)
    seen: list[str] = Field(default_factory=list)
    refused: list[Refusal] = Field(default_factory=list)
    refused_total: int = 0
    shown_stage: Stage | None = None
    """The stage the search attributes show; ``None`` before the first upsert."""
    handled: int = 0
    """Messages handled since the case opened."""
    turn: AwareDatetime | None = None
    """Until when it may act, on a clock whose cases take turns."""


class CaseEnd(BaseModel):
    """The result of a case workflow."""

    case_key: str
    reason: CloseReason
    closed_at: AwareDatetime


# --- what decide() says ---------------------------------------------------------------------------------------------


class Act(BaseModel):
    """Base of what a case can do next."""

    model_config = ConfigDict(frozen=True)


class Wait(Act):
    """Sleep until an instant (``None``: until a message comes). ``why`` is shown to people."""

    until: AwareDatetime | None
    why: str
    for_world: bool = False
    """Logical clocks only: a message of the simulated world is on its way and must be waited for."""


class Contact(Act):
    """Make one attempt of an automated step."""

    step: str
    seq: int


class Remind(Act):
    """Make one attempt to remind of a line of an arrangement."""

    mark: str
    channel: Channel
    seq: int


class Ask(Act):
    """Give a person something to do: a step's task, a repair, a review."""

    kind: TaskKind
    step: str | None
    seq: int
    reason: str | None = None


class GiveUp(Act):
    """The open work item was not worked in time, or is ``withdrawn``: nobody may work it any more."""

    item: str
    requeue: bool
    withdrawn: bool = False


class Refresh(Act):
    """Read the ledger again: something already recorded takes effect now."""

    why: str


class HandOver(Act):
    """Another strategy takes over: one that this one names, or the very one (``digest``) that somebody ordered."""

    strategy: str
    digest: str | None = None


class Close(Act):
    """End the case."""

    reason: CloseReason


Decided = Wait | Contact | Remind | Ask | GiveUp | Refresh | HandOver | Close


# --- requests to the ledger and their reports -----------------------------------------------------------------------


class Request(BaseModel):
    """What every activity of a case is given: the state to decide from and the strategy's digest."""

    state: CaseState
    strategy_digest: str


class ContactRequest(Request):
    """Make attempt ``seq`` of a step: admit, send, record."""

    step: str
    seq: int
    reminder: str | None = None
    """The line of an arrangement that is spoken of, where it is no step of the ladder."""
    channel: Channel | None = None


class ContactReport(BaseModel):
    """What became of an attempt. ``not_before`` is set for ``deferred`` and ``retryable``."""

    kind: Literal["contact"] = "contact"
    seq: int
    step: str
    status: AttemptStatus
    verdict: Verdict
    rule_ids: tuple[str, ...] = ()
    not_before: AwareDatetime | None = None
    reminder: str | None = None
    channel: Channel | None = None
    at: AwareDatetime
    facts: Facts


class AskRequest(Request):
    """Create a work item, or join the one that is open."""

    ask: Ask


class AskReport(BaseModel):
    """The item that was created or joined; ``item`` is ``None`` when the ledger no longer allows it."""

    kind: Literal["ask"] = "ask"
    ask: Ask
    item: OpenItem | None
    rule_ids: tuple[str, ...] = ()
    not_before: AwareDatetime | None = None
    at: AwareDatetime
    facts: Facts


class GiveUpRequest(Request):
    """Requeue or give up an unworked item."""

    item: OpenItem
    requeue: bool
    withdrawn: bool = False


class GiveUpReport(BaseModel):
    """What became of the unworked item; ``requeued_until`` when it stays open."""

    kind: Literal["give_up"] = "give_up"
    item: str
    requeued_until: AwareDatetime | None = None
    withdrawn: bool = False
    at: AwareDatetime
    facts: Facts


class RecordRequest(Request):
    """Write what came in to the ledger and read it again; without messages only read."""

    messages: list[Received] = Field(default_factory=list)


class Worked(BaseModel):
    """A call, visit or legal outcome as the ledger understood it."""

    kind: Literal["worked"] = "worked"
    item: str | None
    step: str | None
    seq: int
    """Number of the attempt it became, issued by the ledger when no step had asked for it."""
    channel: str
    disposition: str
    right_party: bool = False
    counts: bool = True
    """Whether it counts as a contact attempt."""
    at: AwareDatetime
    not_before: AwareDatetime | None = None
    leaves: bool = False
    """Further tries of the step are spared, unless the strategy says where the outcome leads."""
    again_at: AwareDatetime | None = None
    """When the step is tried again, in place of its own pause."""
    appointed: bool = False
    """``again_at`` was agreed with the debtor: it is kept, whatever tries are left."""
    closing: CloseReason | None = None


class Corrected(BaseModel):
    """An outcome was recorded wrongly. ``now`` is what it was; ``try_no`` the try of the step it reported."""

    kind: Literal["corrected"] = "corrected"
    was: str
    was_right_party: bool
    still_said: bool
    """Another outcome that stands has the wrong one's code."""
    was_at: AwareDatetime
    try_no: int
    promise: str | None = None
    """The arrangement that was made of it and is taken back: as if it had never been."""
    now: Worked


class Reported(BaseModel):
    """An attempt changed after it was made. ``not_before``: a deferred one may be taken up again then."""

    kind: Literal["reported"] = "reported"
    seq: int
    step: str | None
    status: AttemptStatus
    not_before: AwareDatetime | None = None


class Skipped(BaseModel):
    """Somebody asked to leave a step out."""

    kind: Literal["skipped"] = "skipped"
    step: str
    at: AwareDatetime


class Happened(BaseModel):
    """An event that strategies may count from."""

    kind: Literal["happened"] = "happened"
    event: str
    at: AwareDatetime


class Adopted(BaseModel):
    """Somebody ordered the case to follow another strategy, which is registered under this digest."""

    kind: Literal["adopted"] = "adopted"
    digest: str


Outcome = Annotated[Worked | Corrected | Reported | Skipped | Happened | Adopted | Agreed, Field(discriminator="kind")]


class RecordReport(BaseModel):
    """What the ledger made of the messages, in their order, and the facts after them."""

    kind: Literal["record"] = "record"
    outcomes: list[Outcome] = Field(default_factory=list)
    refused: list[Refusal] = Field(default_factory=list)
    """Messages that were understood, and that who sent them may not send."""
    at: AwareDatetime
    facts: Facts


class CloseRequest(Request):
    """End the episode for a reason, unless the ledger says otherwise."""

    reason: CloseReason


class CloseReport(BaseModel):
    """``closed`` is false when the ledger says it is still owed; then ``facts`` tell."""

    kind: Literal["close"] = "close"
    closed: bool
    reason: CloseReason
    at: AwareDatetime
    facts: Facts


class HandOverRequest(Request):
    """Pin the strategy that takes over: the newest of a name, or the one with this digest."""

    strategy: str
    digest: str | None = None


class HandOverReport(BaseModel):
    """The strategy that now holds; ``strategy`` is ``None`` when no such one is registered."""

    kind: Literal["hand_over"] = "hand_over"
    strategy: Strategy | None
    digest: str
    at: AwareDatetime


Report = ContactReport | AskReport | GiveUpReport | RecordReport
"""Reports that ``apply`` folds into the state."""
