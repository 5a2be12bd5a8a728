"""What a contact costs, from ``policies/channels/costs.yaml``. Prices are configuration; they never decide anything.

A text message costs less than the smallest coin, so amounts here are integers of a millionth of the currency's major
unit, and are rounded to coins only where they are shown.
"""

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.codes import Channel

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_DOUBLE = frozenset("^{}\\[~]|€\f")


class CostError(Exception):
    """The prices cannot be used. Names the file and what is wrong in it."""


class Per(StrEnum):
    """What a price is for."""

    SEGMENT = "segment"
    MINUTE = "minute"
    MESSAGE = "message"
    ACT = "act"


Price = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6)]


class CostRow(BaseModel):
    """The price of one channel to one kind of destination."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel: Channel
    prefix: str
    per: Per
    cost: Price
    fixed: Price = Decimal(0)


class CostTable(BaseModel):
    """All prices, in one currency (ISO 4217)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    rows: tuple[CostRow, ...]

    @classmethod
    def load(cls, path: Path) -> "CostTable":
        """Read a file. Raises CostError."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise CostError(f"{path.name}: {where}: {first['msg']}") from None
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise CostError(f"{path.name}: {error}") from None

    def estimate(
        self, channel: Channel, recipient: str, *, text: str = "", segments: int | None = None, seconds: int = 0
    ) -> int | None:
        """Return what one contact costs in millionths; ``None`` when no price is known.

        ``text``, or ``segments`` where they were counted, for text messages; ``seconds`` for calls: a call that was
        not answered costs its fixed part.
        """
        fits = [row for row in self.rows if row.channel is channel and recipient.startswith(row.prefix)]
        if not fits:
            return None
        row = max(fits, key=lambda one: len(one.prefix))
        match row.per:
            case Per.SEGMENT:
                units = segments_of(text) if segments is None else segments
            case Per.MINUTE:
                units = -(-seconds // 60)
            case Per.MESSAGE | Per.ACT:
                units = 1
        return int((row.cost * units + row.fixed) * 1_000_000)


def segments_of(text: str) -> int:
    """Return how many segments a text message is cut into: an empty one still takes one.

    A letter of GSM 03.38's extension takes two places and may not be torn apart; the same holds for a pair of
    UTF-16 surrogates.
    """
    if all(letter in _GSM or letter in _GSM_DOUBLE for letter in text):
        widths, whole, part = [2 if letter in _GSM_DOUBLE else 1 for letter in text], 160, 153
    else:
        widths, whole, part = [1 if ord(letter) <= 0xFFFF else 2 for letter in text], 70, 67
    if sum(widths) <= whole:
        return 1
    segments, left = 1, part
    for width in widths:
        if width > left:
            segments, left = segments + 1, part
        left -= width
    return segments
