"""Who we say we are to somebody who has not confirmed who they are: ``policies/channels/identity.yaml``."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from activities.providers.addresses import WebAddress
from domain.calendar import is_open, known_zone
from domain.strategy import Between, Hours, Weekday

WORKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri")
E164 = Annotated[str, Field(pattern=r"^\+[1-9]\d{6,14}$")]


class IdentityError(Exception):
    """The file cannot be used. Names it and what is wrong."""


class Identity(BaseModel):
    """What is said about us for one creditor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    caller_name: Annotated[str, Field(min_length=1, max_length=80)]
    contact_person: Annotated[str, Field(min_length=1, max_length=80)]
    call_back_number: E164
    check: Literal["birth_year", "none"] = "birth_year"
    agent_number: E164 | None = None
    agent_hours: Hours = Hours.model_validate("09:00-17:00")
    agent_weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WORKDAYS
    agent_zone: str | None = None
    leave_message: bool = True
    pay_url: WebAddress | None = None
    record_calls: bool = False

    @model_validator(mode="after")
    def _hours_have_a_zone(self) -> Self:
        if self.agent_number is not None and (self.agent_zone is None or not known_zone(self.agent_zone)):
            raise ValueError("agent_number needs agent_zone, a time zone such as America/Chicago")
        return self

    def agent_at(self, now: datetime) -> str | None:
        """Return where "talk to a person" leads now; ``None`` outside of the hours at which somebody answers."""
        if self.agent_number is None or self.agent_zone is None:
            return None
        hours = Between(hours=self.agent_hours, weekdays=self.agent_weekdays)
        return self.agent_number if is_open(now, hours, self.agent_zone, None) else None

    def words(self) -> dict[str, str]:
        """Return what templates may say about us."""
        return {
            "caller_name": self.caller_name,
            "contact_person": self.contact_person,
            "call_back_number": self.call_back_number,
        }


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    default: Identity
    creditors: dict[str, dict[str, object]] = Field(default_factory=dict)


class Identities:
    """The identities of all creditors. Immutable: threads share them."""

    def __init__(self, default: Identity, creditors: dict[str, Identity] | None = None) -> None:
        self._default = default
        self._creditors = creditors or {}

    @classmethod
    def load(cls, path: Path) -> "Identities":
        """Read a file. Raises IdentityError."""
        try:
            content = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
            default = content.default.model_dump()
            own = {code: Identity.model_validate(default | given) for code, given in content.creditors.items()}
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise IdentityError(f"{path.name}: {where}: {first['msg']}") from None
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise IdentityError(f"{path.name}: {error}") from None
        return cls(content.default, own)

    def of(self, creditor: str) -> Identity:
        """Return who we are for a creditor."""
        return self._creditors.get(creditor, self._default)
