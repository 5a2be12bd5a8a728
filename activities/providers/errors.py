"""What a provider's answer means: the table of ``policies/channels/errors.yaml``, read and applied.

Used twice: for the answer to our own request, and for what a callback reports later. Codes that leave this module
are the provider's numbers or our own short words; a provider's texts may quote an address and are never passed on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from activities.providers.base import AmbiguousSendError, NotProcessed, Rejected, RejectionKind, SendResult

LONGEST_WAIT = timedelta(hours=24)
"""A server that asks for more is not believed."""
SHORTEST_WAIT = timedelta(seconds=1)


class ErrorTableError(Exception):
    """The table cannot be used. Names the file and what is wrong in it."""


class Treat(StrEnum):
    """How an answer is treated: not processed, perhaps processed, or one of the kinds of rejection."""

    NEVER_PROCESSED = "never_processed"
    AMBIGUOUS = "ambiguous"
    RECIPIENT = "recipient"
    CHANNEL_UNFIT = "channel_unfit"
    OPT_OUT = "opt_out"
    CONTENT = "content"
    CONFIGURATION = "configuration"
    NOT_PERMITTED = "not_permitted"
    LATER = "later"
    OTHER = "other"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    treat: Treat
    wait_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    note: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _waits_where_it_must(self) -> Self:
        if (self.treat in {Treat.NEVER_PROCESSED, Treat.LATER}) != (self.wait_seconds is not None):
            raise ValueError("never_processed and later, and only they, need wait_seconds")
        return self


class StatusRow(_Row):
    """HTTP statuses: one (``"429"``) or a class of them (``"5xx"``)."""

    statuses: tuple[Annotated[str, Field(pattern=r"^[345](\d\d|xx)$")], ...]

    def covers(self, status: int) -> bool:
        """Say whether the row is about a status."""
        text = str(status)
        return text in self.statuses or f"{text[0]}xx" in self.statuses


class CodeRow(_Row):
    """Error codes of Twilio."""

    codes: tuple[int, ...]
    arrives: Literal["sync", "async", "both"]

    @model_validator(mode="after")
    def _late_news_is_certain(self) -> Self:
        if self.arrives != "sync" and self.treat in {Treat.NEVER_PROCESSED, Treat.AMBIGUOUS}:
            raise ValueError("a callback reports what happened: it is never ambiguous or unprocessed")
        return self


class FieldRow(_Row):
    """Fields that an error of SendGrid's Mail Send may name."""

    pattern: str


class EventRow(_Row):
    """Events of SendGrid that say an e-mail did not or must not arrive."""

    event: str
    reason: str
    type: str | None = None


class _Statuses(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    first: tuple[StatusRow, ...]
    last: tuple[StatusRow, ...]


class _SendGrid(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: tuple[FieldRow, ...]
    events: tuple[EventRow, ...]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    http: _Statuses
    twilio: tuple[CodeRow, ...]
    sendgrid: _SendGrid


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a late report means for the attempt and what follows. ``wait`` is set where the kind is ``later``."""

    kind: RejectionKind
    wait: timedelta | None = None


class ErrorTable:
    """The table of one file. Immutable: threads share it."""

    def __init__(self, content: _File) -> None:
        self.content = content
        self._sync = _by_code(content.twilio, "sync")
        self._async = _by_code(content.twilio, "async")
        self._fields = [(re.compile(row.pattern), row) for row in content.sendgrid.fields]

    @classmethod
    def load(cls, path: Path) -> "ErrorTable":
        """Read and check a file. Raises ErrorTableError."""
        try:
            return cls(_File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ErrorTableError(f"{path.name}: {where}: {first['msg']}") from None
        except (OSError, ValueError, re.error, yaml.YAMLError) as error:
            raise ErrorTableError(f"{path.name}: {error}") from None

    def twilio_answer(self, status: int, code: int | None, wait: timedelta | None, key: str) -> SendResult:
        """Judge Twilio's refusal of a request. ``wait`` is the server's own, ``key`` spreads waits that are ours.

        Raises ``AmbiguousSendError`` where the request may have been processed.
        """
        shown = f"twilio_{code}" if code is not None and code != status else f"http_{status}"
        return _result(self._row(status, None if code is None else self._sync.get(code)), shown, wait, key)

    def sendgrid_answer(self, status: int, fields: Sequence[str], wait: timedelta | None, key: str) -> SendResult:
        """Judge SendGrid's refusal; ``fields`` are those its errors name. Raises as ``twilio_answer``."""
        found = next((row for name in fields for pattern, row in self._fields if pattern.search(name)), None)
        row = self._row(status, found if status == 400 else None)
        shown = f"sendgrid_{row.treat}" if row is found else f"http_{status}"
        return _result(row, shown, wait, key)

    def twilio_report(self, code: int | None) -> Judgement:
        """Judge the error code of a callback; an unknown one is ``other``."""
        return _judgement(None if code is None else self._async.get(code))

    def sendgrid_event(self, event: str, kind: str | None, reason: str) -> Judgement | None:
        """Judge an event; ``None`` when it means nothing bad. ``kind`` is the event's ``type``."""
        text = reason.casefold()
        for row in self.content.sendgrid.events:
            if row.event == event and row.type in {None, kind} and row.reason.casefold() in text:
                return _judgement(row)
        return None

    def _row(self, status: int, by_code: _Row | None) -> _Row:
        for row in self.content.http.first:
            if row.covers(status):
                return by_code if by_code is not None and by_code.treat is row.treat else row
        if by_code is not None:
            return by_code
        return next((row for row in self.content.http.last if row.covers(status)), _UNLISTED)


_UNLISTED = StatusRow(treat=Treat.AMBIGUOUS, note="no answer that we know", statuses=())


def _by_code(rows: Sequence[CodeRow], phase: Literal["sync", "async"]) -> dict[int, CodeRow]:
    found: dict[int, CodeRow] = {}
    for row in rows:
        if row.arrives in {phase, "both"}:
            for code in row.codes:
                if code in found:
                    raise ValueError(f"code {code} stands twice among the {phase} ones")
                found[code] = row
    return found


def _result(row: _Row, code: str, wait: timedelta | None, key: str) -> SendResult:
    match row.treat:
        case Treat.AMBIGUOUS:
            raise AmbiguousSendError(code)
        case Treat.NEVER_PROCESSED:
            own = timedelta(seconds=row.wait_seconds or 1)
            return NotProcessed(code, spread(own, key) if wait is None else min(max(wait, SHORTEST_WAIT), LONGEST_WAIT))
        case _:
            judged = _judgement(row)
            return Rejected(code, kind=judged.kind, wait=judged.wait)


def _judgement(row: _Row | None) -> Judgement:
    if row is None:
        return Judgement(RejectionKind.OTHER)
    wait = None if row.wait_seconds is None else timedelta(seconds=row.wait_seconds)
    return Judgement(RejectionKind(row.treat), wait)


def spread(wait: timedelta, key: str) -> timedelta:
    """Lengthen a wait by up to a half, each key by a share of its own, so that a herd does not return as one."""
    share = sum(ord(letter) * (place + 7) for place, letter in enumerate(key)) % 101 / 200
    return wait * (1 + share)
