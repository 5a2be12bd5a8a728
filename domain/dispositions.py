"""The catalogue of outcomes of calls and visits: what each means, and what follows from it by itself.

One row per code, read from ``policies/dispositions.yaml``. A strategy may say where an outcome leads (``then``); what
it does not say is said here. The catalogue that was asked is named by its digest beside every outcome it judged.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Literal, Self, cast

from pydantic import Field, model_validator

from domain.codes import Channel, CloseReason, HoldReason, Reached
from domain.messages import WorkOutcome
from domain.state_events import MEANINGS, StateKind, StateScope
from domain.strategy import Clause, Period
from domain.strategy_file import Grammar, parse_by

_CODE = r"^[a-z0-9][a-z0-9_]{0,39}$"
_BY_LEDGER = frozenset({CloseReason.CURE, CloseReason.SELF_CURE, CloseReason.PAID})

Needed = Literal["promised_on", "callback_at", "contact_point", "amount"]


class HoldFor(Clause):
    """Outreach rests: why, and for how many calendar days; without days until a person ends it."""

    reason: HoldReason
    days: Annotated[int, Field(ge=1, le=366)] | None = None


class Tells(Clause):
    """A state event that the outcome tells: all that ``domain.state_events`` says of its kind follows."""

    event: StateKind
    form: Literal["oral", "letter", "email", "portal", "sms"] | None = None
    detail: dict[str, str | bool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _tells_something(self) -> Self:
        if self.event is StateKind.ENDED or MEANINGS[self.event].ends:
            message = f"an outcome does not end '{self.event}'; a person does, by a message of its own"
            raise ValueError(message)
        return self


class HandsOver(Clause):
    """A work item for a person: what kind, why, and whose skill it needs."""

    task: Literal["review", "data_repair"]
    reason: Annotated[str, Field(pattern=_CODE)]
    skill: Annotated[str, Field(pattern=_CODE)] | None = None


class Disposition(Clause):
    """One outcome. What it does not name does not follow."""

    code: Annotated[str, Field(pattern=_CODE)]
    label: Annotated[str, Field(min_length=3, max_length=80)]
    by: tuple[Literal["call", "visit"], ...] = Field(min_length=1)
    reached: tuple[Reached, ...] = Field(min_length=1)
    """Whom ``party_reached`` may name."""
    effective: bool = False
    """Whether something came of it: a conversation with whom it was meant for."""
    needs: tuple[Needed, ...] = ()
    point: Literal["valid", "invalid"] | None = None
    """What was learnt about the number or address used."""
    retry_after: Period | None = None
    """When the step is tried again, in place of its own ``every``."""
    step: Literal["stay", "next"] = "stay"
    """``next``: further tries of this step are spared."""
    callback: bool = False
    """The step is taken up again at ``callback_at``, whatever tries are left."""
    arrange: Literal["promise"] | None = None
    hold: HoldFor | None = None
    tell: Tells | None = None
    hand: HandsOver | None = None
    close: CloseReason | None = None
    happened: Annotated[str, Field(pattern=_CODE)] | None = None
    """An event that strategies may count from."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        wrong = {
            "'callback' needs callback_at; write needs: [callback_at]": self.callback
            and "callback_at" not in self.needs,
            "'arrange' needs promised_on; write needs: [promised_on]": self.arrange and "promised_on" not in self.needs,
            "a visit has no callback_at; write by: [call]": "callback_at" in self.needs and "visit" in self.by,
            "'callback' and 'retry_after' say two things; keep one": self.callback and self.retry_after is not None,
            "'retry_after' needs step: stay": self.retry_after is not None and self.step == "next",
            "only the ledger closes as paid or cured; choose another reason": self.close in _BY_LEDGER,
            "an effective outcome reached the right party; write reached: [right_party]": self.effective
            and self.reached != (Reached.RIGHT_PARTY,),
        }
        for message, is_so in wrong.items():
            if is_so:
                raise ValueError(message)
        return self

    @property
    def follows(self) -> tuple[str, ...]:
        """What follows, as words in the order in which it is shown."""
        return tuple(_in_words(self))


def _in_words(one: Disposition) -> Iterable[str]:
    if one.arrange is not None:
        yield "promise to pay: outreach rests until the day after it"
    if one.tell is not None:
        yield f"tells `{one.tell.event}`{_what_event_does(one.tell.event)}"
    if one.hold is not None:
        yield f"hold `{one.hold.reason}`" + ("" if one.hold.days is None else f" for {one.hold.days} days")
    if one.point == "invalid":
        yield "the number or address is not used again"
    if one.point == "valid":
        yield "the number or address is confirmed"
    if one.hand is not None:
        yield f"a person is asked: {one.hand.task} `{one.hand.reason}`"
    if one.close is not None:
        yield f"the case closes: `{one.close}`"
    if one.happened is not None:
        yield f"event `{one.happened}`"
    if one.callback:
        yield "called again at `callback_at`"
    elif one.retry_after is not None:
        yield f"tried again after {one.retry_after}"
    elif one.step == "next":
        yield "on to the next step"


def _what_event_does(kind: StateKind) -> str:
    meaning = MEANINGS[kind]
    if meaning.hold is not None:
        return ": outreach rests" + ("" if meaning.days is None else f", at most {meaning.days} days")
    if meaning.scope is StateScope.NUMBER:
        return ": the number is out of use for everybody"
    return ": most contact is barred" if meaning.bars else ""


class Catalogue(Clause):
    """All outcomes."""

    version: Annotated[int, Field(ge=1)]
    dispositions: tuple[Disposition, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _codes_once(self) -> Self:
        codes = [one.code for one in self.dispositions]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            message = f"'{twice[0]}' is written twice; keep one of them"
            raise ValueError(message)
        return self

    @cached_property
    def by_code(self) -> Mapping[str, Disposition]:
        """The rows by their code."""
        return {one.code: one for one in self.dispositions}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def known(self, channel: Channel) -> list[str]:
        """Return the codes of calls, or of visits."""
        return [one.code for one in self.dispositions if str(channel) in one.by]

    def why_not(self, outcome: WorkOutcome, channel: Channel) -> str | None:
        """Return why an outcome is refused: its code is unknown, or contradicts what else is said."""
        row = self.by_code.get(outcome.disposition)
        if row is None or str(channel) not in row.by:
            known = ", ".join(self.known(channel))
            return f"disposition: '{outcome.disposition}' is no outcome of a {channel}; known are {known}"
        if outcome.party_reached not in row.reached:
            meant = " or ".join(row.reached)
            return f"disposition: '{row.code}' means {meant}, so party_reached cannot be {outcome.party_reached}"
        missing = [name for name in row.needs if getattr(outcome, name, None) is None]
        if missing:
            return f"disposition: '{row.code}' needs {' and '.join(missing)}"
        return None


DISPOSITIONS = Grammar(
    root=Catalogue,
    parts={
        "dispositions": Disposition,
        "hold": HoldFor,
        "tell": Tells,
        "hand": HandsOver,
        "retry_after": Period,
    },
    named={},
    doc="docs/dispositions.md",
)


def parse_dispositions(text: str, source: str) -> Catalogue:
    """Read the catalogue; StrategyError holds every mistake, by line. ``source`` names the file in messages."""
    return cast("Catalogue", parse_by(DISPOSITIONS, text, source))
