"""What every message of the contract is made of: its head, and the shapes of codes, references and money."""

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,79}$")]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/#-]{0,199}$")]
MinorUnits = Annotated[int, Field(gt=0, le=10**15)]
CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
FIRST_YEAR, LAST_YEAR = 1900, 2199
"""Years a message may name: beyond them a time zone or a day more would leave the calendar."""


def _within_reach(value: date) -> date:
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        message = f"must lie between the years {FIRST_YEAR} and {LAST_YEAR}"
        raise ValueError(message)
    return value


Instant = Annotated[AwareDatetime, AfterValidator(_within_reach)]
Day = Annotated[date, AfterValidator(_within_reach)]
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]


class Message(BaseModel):
    """What every message carries. ``event_id`` names the event once for ever: the same id is applied once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Reference
    at: Instant | None = None
    """When it happened; default: when the case received it."""
    actor: Reference = "system"
