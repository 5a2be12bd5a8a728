"""What the ledger knows about one account at one instant: the only truth a case decides by.

Facts are read in a transaction and handed to the workflow; a workflow never computes money, holds or stage from the
messages it receives. They hold codes, amounts and dates, never a name, a number or an address.
"""

from datetime import date

from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain.codes import Actor, CloseReason, HoldReason
from domain.state_events import StateKind


class Holding(BaseModel):
    """A hold that now stands over the whole account; ``until`` is ``None`` when an event must end it."""

    model_config = ConfigDict(frozen=True)

    reason: HoldReason
    until: AwareDatetime | None = None


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
    stops: tuple[StateKind, ...] = ()
    """What bars steps of the ladder for as long as it stands: a cease, a death, a debt that is time-barred."""
    closing: CloseReason | None = None
    """Set when somebody decided that the case ends: recalled, sold, settled, deceased, ..."""
    cured_by: CloseReason | None = None
    """``paid`` when nothing at all is owed any more; else the case says whether it was a cure or a self-cure."""
    next_change_at: AwareDatetime | None = None
    """The next instant at which what is already recorded will change these facts (a hold ends, a dated payment)."""
    awaits_world: bool = False
    """Whether the next change is a message still on its way, as only a simulated carrier can know."""
