"""What every message of the contract is made of: its head, and the shapes of codes, references and money."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,79}$")]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/#-]{0,199}$")]
MinorUnits = Annotated[int, Field(gt=0, le=10**15)]
CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]


class Message(BaseModel):
    """What every message carries. ``event_id`` names the event once for ever: the same id is applied once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Reference
    at: AwareDatetime | None = None
    """When it happened; default: when the case received it."""
    actor: Reference = "system"
