"""The ladder as data: what a strategy file may say, typed.

A strategy is read by a collections manager and pinned by version when a case opens (promise P7). Unknown keys are
errors. Reading files and naming lines is the loader's work (``domain.strategy_file`` parses text it is given);
deciding what happens next is ``domain.decide``.
"""

import re
from datetime import time
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_serializer,
    model_validator,
)

from domain.codes import Channel, CloseReason, Flag, HoldReason, PartyRole, Purpose, TaskKind
from domain.money import minor_units

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_PERIOD = re.compile(r"^(\d+)\s+(hour|day|business day)s?$")
_HOURS = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)$")
_PLAIN_NUMBER = re.compile(r"^\d{1,15}(\.\d{1,4})?$")
END_OF_DAY = "24:00"


class Clause(BaseModel):
    """Base of every part of a strategy: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Period(Clause):
    """A length of time as people say it: ``4 hours``, ``2 days``, ``3 business days``."""

    count: Annotated[int, Field(ge=0, le=3660)]
    unit: Literal["hour", "day", "business day"]

    @model_validator(mode="before")
    @classmethod
    def _from_words(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if not isinstance(value, str):
            return value
        match = _PERIOD.match(value.strip())
        if match is None:
            message = f"{value!r} is not a period; write for example '4 hours', '2 days' or '3 business days'"
            raise ValueError(message)
        return {"count": int(match[1]), "unit": match[2]}

    @model_serializer
    def _as_words(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """Return the period as it is written in a file."""
        return f"{self.count} {self.unit}{'' if self.count == 1 else 's'}"


def _lasts(period: Period) -> Period:
    """Refuse no time at all where something is done again after it: it would be done again at once, for ever."""
    if period.count == 0:
        message = f"'{period}' is no time at all; write at least '1 hour'"
        raise ValueError(message)
    return period


Pause = Annotated[Period, AfterValidator(_lasts)]


class Hours(Clause):
    """A daily window in the debtor's local time, half-open: ``09:00-18:00`` allows 09:00:00 and refuses 18:00:00."""

    opens: time
    closes: time | None = None
    """``None`` means midnight at the end of the day, written ``24:00``."""

    @model_validator(mode="before")
    @classmethod
    def _from_words(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if not isinstance(value, str):
            return value
        match = _HOURS.match(value.strip())
        if match is None:
            message = f"{value!r} is not a window of hours; write for example '09:00-18:00'"
            raise ValueError(message)
        if match[3] == "24" and match[4] != "00":
            message = f"{value!r} ends after midnight; a window ends at 24:00 at the latest"
            raise ValueError(message)
        closes = None if value.strip().endswith(END_OF_DAY) else f"{match[3]}:{match[4]}"
        return {"opens": f"{match[1]}:{match[2]}", "closes": closes}

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.closes is not None and self.opens >= self.closes:
            message = "hours must open before they close, on the same day"
            raise ValueError(message)
        return self

    @model_serializer
    def _as_words(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """Return the window as it is written in a file."""
        closes = END_OF_DAY if self.closes is None else f"{self.closes:%H:%M}"
        return f"{self.opens:%H:%M}-{closes}"


class Between(Clause):
    """When in the week a step may act. No weekdays means every day."""

    hours: Hours = Hours(opens=time(9, 0), closes=time(18, 0))
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS
    holidays: Literal["allowed", "avoided"] = "allowed"


Since = Literal["due", "opened", "placed", "validation_end", "step", "event"]


class Start(Clause):
    """When a step becomes due: so many days after something.

    ``due`` is the oldest unpaid due date, so ``days: 3`` means three days past due; ``step`` is the moment the step
    before was finished; ``event`` is the last event named in ``event``.
    """

    since: Since
    days: Annotated[int, Field(ge=0, le=3660)] = 0
    count: Literal["calendar", "business"] = "calendar"
    event: str | None = None

    @model_validator(mode="after")
    def _event_is_named(self) -> Self:
        if (self.since == "event") != (self.event is not None):
            message = "'event' names the event when 'since: event' is used, and only then"
            raise ValueError(message)
        return self


FactName = Literal[
    "past_due", "balance", "dpd", "bucket", "tries", "rpcs", "dispositions", "region", "email_known",
    "phone_known", "address_known", "creditor", "product", "language", "score", "currency", "actor", "debt_type",
]  # fmt: skip

_COUNTED = ("dpd", "tries", "rpcs", "score")
_TESTS_OF: dict[str, frozenset[str]] = (
    dict.fromkeys(("past_due", "balance"), frozenset({"at_least", "below"}))
    | dict.fromkeys(_COUNTED, frozenset({"at_least", "below"}))
    | dict.fromkeys(
        ("bucket", "region", "creditor", "product", "language", "currency", "actor", "debt_type"),
        frozenset({"one_of", "none_of"}),
    )
    | {"dispositions": frozenset({"any_of", "none_of"})}
    | dict.fromkeys(("email_known", "phone_known", "address_known"), frozenset({"yes"}))
)


def _one_or_many(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    return [value] if isinstance(value, str) else value


Offer = Literal["promise", "instalments", "deferral", "settlement"]
Words = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]


def _is_amount(
    value: str | float | dict[str, str | int | float],
) -> str | float | dict[str, str | int | float]:
    """Refuse, when a file is read, what could not be compared when a step is due."""
    for currency, one in value.items() if isinstance(value, dict) else [("", value)]:
        if currency:
            minor_units(currency)
        if isinstance(one, bool) or not _PLAIN_NUMBER.match(str(one)):
            message = f"{str(one)[:20]!r} is not an amount; write for example 5000 or 97.60"
            raise ValueError(message)
    return value


Amount = Annotated[str | int | float | dict[str, str | int | float], AfterValidator(_is_amount)]
"""Major units, of the account's own currency or by currency: ``5000`` or ``{CNY: 5000, USD: 700}``."""


class Test(Clause):
    """What one fact must be. Every test that is written must hold."""

    at_least: Amount | None = None
    below: Amount | None = None
    one_of: Words | None = None
    any_of: Words | None = None
    none_of: Words | None = None
    yes: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if isinstance(value, bool):
            return {"yes": value}
        if isinstance(value, (str, list)):
            return {"one_of": value}
        return value

    @property
    def written(self) -> frozenset[str]:
        """Names of the tests that are given."""
        return frozenset(name for name in type(self).model_fields if getattr(self, name) is not None)


def _tests_fit(conditions: dict[FactName, Test]) -> dict[FactName, Test]:
    for fact, test in conditions.items():
        allowed = _TESTS_OF[fact]
        if not test.written or test.written - allowed:
            message = f"'{fact}' is tested with {' or '.join(sorted(allowed))}"
            raise ValueError(message)
        if fact in _COUNTED and any(isinstance(one, dict) for one in (test.at_least, test.below)):
            message = f"'{fact}' is a number and has no currency; write for example {{at_least: 3}}"
            raise ValueError(message)
    return conditions


Conditions = Annotated[dict[FactName, Test], AfterValidator(_tests_fit), Field(default_factory=dict)]


class Recipient(Clause):
    """Who is contacted and on which of their contact points first."""

    role: PartyRole = PartyRole.BORROWER
    order: tuple[Literal["confirmed", "newest", "oldest", "least_tried"], ...] = (
        "confirmed",
        "least_tried",
        "oldest",
    )


class Requires(Clause):
    """What must have happened before a visit or legal action may start."""

    attempts: Annotated[int, Field(ge=0)] = 0
    on_days: Annotated[int, Field(ge=0)] = 0
    channels: tuple[Channel, ...] = ()
    last_resort: bool = False
    """Every earlier step of the ladder has been tried or ruled out, and no work item of it is open."""


class GoTo(Clause):
    """Where an outcome leads. Written ``step-id``, ``next``, ``close: reason``, ``hold: reason`` or a handover."""

    step: str | None = None
    close: CloseReason | None = None
    hold: HoldReason | None = None
    days: Annotated[int, Field(ge=1, le=366)] | None = None
    handover: str | None = None
    """Name of the strategy that takes over; it must be named here to be allowed (promise P7)."""

    @model_validator(mode="before")
    @classmethod
    def _from_words(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        return {"step": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if sum(part is not None for part in (self.step, self.close, self.hold, self.handover)) != 1:
            message = "say exactly one of: a step id, 'next', {close: ...}, {hold: ..., days: n} or {handover: ...}"
            raise ValueError(message)
        if self.days is not None and self.hold is None:
            message = "'days' belongs to a hold"
            raise ValueError(message)
        return self


class Step(Clause):
    """One rung of the ladder: an automated contact (``channel``) or a task for a person (``task``)."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    channel: Literal["sms", "voice", "email", "letter"] | None = None
    task: Literal["call", "visit", "legal"] | None = None
    purpose: Purpose = Purpose.COLLECT
    start: Start
    between: Between = Between()
    only_if: Conditions
    to: Recipient = Recipient()
    template: str | None = None
    tries: Annotated[int, Field(ge=1, le=50)] = 1
    every: Pause = Period(count=1, unit="day")
    repeat_until: tuple[str, ...] = ()
    """Stop trying as soon as one of these outcomes is seen (``delivered``, ``rpc``, a disposition code)."""
    min_gap: Period | None = None
    """Least time since the last real contact of this case, on any channel."""
    requires: Requires = Requires()
    expires: Pause = Period(count=3, unit="day")
    """How long a work item may stay unworked."""
    unworked: Literal["requeue", "skip"] = "requeue"
    then: dict[str, GoTo] = Field(default_factory=dict)
    """Outcome -> where it leads. Outcomes: a disposition code, ``sent``, ``failed``, ``exhausted``, ``unworked``."""

    @model_validator(mode="after")
    def _is_channel_or_task(self) -> Self:
        if (self.channel is None) == (self.task is None):
            message = "a step has either 'channel' (sms, voice, email, letter) or 'task' (call, visit, legal)"
            raise ValueError(message)
        if self.channel is not None and self.template is None:
            message = f"a {self.channel} step needs a 'template'"
            raise ValueError(message)
        return self

    @property
    def via(self) -> Channel:
        """The channel, for a task the one its person uses."""
        return Channel(self.channel or self.task or "")

    @property
    def task_kind(self) -> TaskKind | None:
        """The kind of work item, or ``None`` for an automated step."""
        return None if self.task is None else TaskKind(self.task)


class End(Clause):
    """What ends the whole strategy: a date counted from something, or an event such as a recall."""

    since: Literal["opened", "placed", "due"] | None = None
    days: Annotated[int, Field(ge=1, le=3660)] | None = None
    event: Literal["recall", "sale", "charge_off"] | None = None
    close: CloseReason

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if (self.event is None) == (self.since is None) or (self.since is None) != (self.days is None):
            message = "an end is either an 'event' or 'since' with 'days'"
            raise ValueError(message)
        return self


class Softening(Clause):
    """What is done more gently for a person in hardship, or who needs more care. It never makes anything harder."""

    when: Annotated[tuple[Flag, ...], BeforeValidator(_one_or_many), Field(min_length=1)]
    templates: dict[str, str] = Field(default_factory=dict)
    """Template -> the one whose words are used instead, on the same channel."""
    leave_out: Annotated[tuple[Channel, ...], BeforeValidator(_one_or_many)] = ()
    """Channels that are passed over; required notices are not."""
    offers: Annotated[tuple[Offer, ...], BeforeValidator(_one_or_many)] = ()
    """Arrangements that whoever speaks with the person should offer."""


class Strategy(Clause):
    """A whole ladder, in order, with its header."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
    version: Annotated[int, Field(ge=1, le=1_000_000)]
    description: str = ""
    segment: Conditions
    """Which accounts it is for; the opener takes the first strategy whose segment holds."""
    min_past_due: Amount = 0
    """Accounts that owe less are left alone."""
    late_start: Literal["join", "first_step"] = "join"
    """An account that comes late joins at the step that fits its days past due, or starts at the first."""
    holidays: str | None = None
    """Country or region code whose public holidays are no business days; default: the debtor's region."""
    validation_days: Annotated[int, Field(ge=0, le=120)] = 0
    """Days after the first delivered required notice until ``validation_end``."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=100)]
    ends: tuple[End, ...] = ()
    soften: tuple[Softening, ...] = ()
    """What is done differently for as long as a flag stands on the person who owes."""
    at_end: Literal["review", "wait"] = "review"
    """After the last step: hand the case to a person, or wait for the debtor."""
    after_broken: str = "next"
    """Where the ladder goes on when an arrangement was broken: the step it stood before, or the one named."""

    @model_validator(mode="after")
    def _steps_are_known(self) -> Self:
        ids = [step.id for step in self.steps]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            message = f"step id used twice: {', '.join(twice)}"
            raise ValueError(message)
        if self.after_broken not in {*ids, "next"}:
            message = f"'after_broken' leads to the unknown step '{self.after_broken}'; write next or a step's id"
            raise ValueError(message)
        for step in self.steps:
            for outcome, leads in step.then.items():
                if leads.step is not None and leads.step not in {*ids, "next", "same"}:
                    message = f"step '{step.id}': outcome '{outcome}' leads to the unknown step '{leads.step}'"
                    raise ValueError(message)
        return self

    def index_of(self, step_id: str) -> int:
        """Return the position of a step, counted from 0; KeyError for an unknown one."""
        for index, step in enumerate(self.steps):
            if step.id == step_id:
                return index
        raise KeyError(step_id)
