"""What the ledger knows about one account at one instant: the only truth a case decides by.

Facts are read in a transaction and handed to the workflow; a workflow never computes money, holds or stage from the
messages it receives. They hold codes, amounts and dates, never a name, a number or an address.
"""

from datetime import date

from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain.arrangements import ArrangementKind, Standing, days_past_due
from domain.codes import Actor, Channel, CloseReason, Flag, HoldReason
from domain.state_events import StateKind
from domain.strategy import Between


class Holding(BaseModel):
    """A hold that now stands over the whole account; ``until`` is ``None`` when an event must end it."""

    model_config = ConfigDict(frozen=True)

    reason: HoldReason
    until: AwareDatetime | None = None


class Courtesy(BaseModel):
    """The reminder before one line of an arrangement: from when to when, and how."""

    model_config = ConfigDict(frozen=True)

    from_at: AwareDatetime
    until: AwareDatetime
    channels: tuple[str, ...]
    template: str
    between: Between


class Plan(BaseModel):
    """The arrangement that stands. ``amount`` is what is left of its next line, number ``line`` of ``lines``."""

    model_config = ConfigDict(frozen=True)

    key: str
    kind: ArrangementKind
    standing: Standing
    rests: bool = True
    """Whether outreach rests: while it is performed, and while a proposal waits where its policy says so."""
    line: int
    lines: int
    due_on: date
    amount: int
    reminder: Courtesy | None = None
    """``None``: none is wanted for this line, or its time has gone by."""

    @property
    def mark(self) -> str:
        """The line as one word: what a reminder speaks of."""
        return f"{self.key}/{self.line}"


class PlanEnd(BaseModel):
    """How the last arrangement ended, and from when the ladder goes on. ``resume``: where its policy wants that."""

    model_config = ConfigDict(frozen=True)

    key: str
    standing: Standing
    at: AwareDatetime
    resume: str = "strategy"

    @property
    def mark(self) -> str:
        """The end as one word: a case takes it in once."""
        return f"{self.key}/{self.standing}/{self.at.isoformat()}"


class Facts(BaseModel):
    """One account as of ``as_of``. Amounts are minor units of ``currency``; ``past_due`` is 0 within tolerance."""

    model_config = ConfigDict(frozen=True)

    as_of: AwareDatetime
    currency: str
    past_due: int
    balance: int
    oldest_due_on: date | None = None
    """Day of the oldest due that is past and unpaid; ``None`` when nothing is past due."""
    dpd: int = 0
    zone: str | None = None
    """IANA zone the debtor's days are counted in; ``None`` when it is not known, and then nobody is contacted."""
    zones: tuple[str, ...] = ()
    """All zones the debtor may be in, when there are several: a contact must be at a proper hour in each."""
    region: str | None = None
    language: str | None = None
    product: str = ""
    creditor: str = ""
    actor: Actor = Actor.FIRST_PARTY_CREDITOR
    debt_type: str = "consumer"
    score: int | None = None
    placed_on: date | None = None
    email_known: bool = False
    phone_known: bool = False
    address_known: bool = False
    hold: Holding | None = None
    held_part: int = 0
    """Minor units of what is past due that are held (disputed) while the rest is not: nobody asks for them."""
    flags: tuple[Flag, ...] = ()
    """What makes us gentler with the person who owes, see ``Strategy.soften``."""
    stops: tuple[StateKind, ...] = ()
    """What bars steps of the ladder for as long as it stands: a cease, a death, a debt that is time-barred."""
    legal_stage: str | None = None
    """Where a legal matter about this debt stands; ``None`` without one."""
    legal_bars: tuple[Channel, ...] = ()
    """Channels on which nobody is contacted to collect while that stage stands."""
    closing: CloseReason | None = None
    """Set when somebody decided that the case ends: recalled, sold, settled, deceased, ..."""
    cured_by: CloseReason | None = None
    """``paid`` when nothing at all is owed any more; else the case says whether it was a cure or a self-cure."""
    plan: Plan | None = None
    plan_end: PlanEnd | None = None
    aged_from: date | None = None
    """The days past due count from here at the earliest: the account was re-aged."""
    frozen_on: date | None = None
    """The days past due stand still since then: an arrangement that freezes them is performed."""
    next_change_at: AwareDatetime | None = None
    """The next instant at which what is already recorded will change these facts (a hold ends, a dated payment)."""
    awaits_world: bool = False
    """Whether the next change is a message still on its way, as only a simulated carrier can know."""

    @property
    def counts_from(self) -> date | None:
        """The day that days past due and the ladder count from."""
        if self.oldest_due_on is None or self.aged_from is None:
            return self.oldest_due_on
        return max(self.oldest_due_on, self.aged_from)

    def dpd_on(self, today: date) -> int:
        """Return the days past due on a local day."""
        return days_past_due(self.oldest_due_on, today, aged_from=self.aged_from, frozen_on=self.frozen_on)

    @property
    def asked_for(self) -> int:
        """What may be asked for now, in minor units: past due without the part that is held."""
        return max(0, self.past_due - self.held_part)
