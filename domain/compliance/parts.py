"""The parts of a rule: what it refuses, and what lifts it. ``domain.compliance.grammar`` puts them together."""

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from domain.compliance.conditions import Clause, Conditions
from domain.compliance.vocabulary import CHANNEL_GROUPS, EVENTS, PAST_GROUPS, ContactChannel, PastType
from domain.strategy import WEEKDAYS

RULE_ID = r"^[a-z]{1,12}(\.[a-z0-9-]+)+$"
_HOURS = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)$")


def one_or_many(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    """Take one thing for a list of one."""
    return (value,) if isinstance(value, (str, dict)) else value


def _channels(words: tuple[str, ...]) -> tuple[str, ...]:
    known = {*CHANNEL_GROUPS, *get_args(ContactChannel)}
    for word in words:
        if word not in known:
            message = f"unknown channel '{word}'; use {', '.join(sorted(known))}"
            raise ValueError(message)
    return words


def _events(words: tuple[str, ...]) -> tuple[str, ...]:
    for word in words:
        if word not in EVENTS:
            message = f"unknown event '{word}'; domain/compliance/vocabulary.py lists them"
            raise ValueError(message)
    return words


def _past(words: tuple[str, ...]) -> tuple[str, ...]:
    known = {*PAST_GROUPS, *get_args(PastType)}
    for word in words:
        if word not in known:
            message = f"nothing called '{word}' is counted; use {', '.join(sorted(known))}"
            raise ValueError(message)
    return words


def _patterns(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            re.compile(text)
        except re.error as error:
            message = f"not a pattern: {error}; see docs/rules.md"
            raise ValueError(message) from None
    return texts


Words = Annotated[tuple[str, ...], BeforeValidator(one_or_many)]
Channels = Annotated[tuple[str, ...], BeforeValidator(one_or_many), AfterValidator(_channels)]
EventTypes = Annotated[tuple[str, ...], BeforeValidator(one_or_many), AfterValidator(_events)]
PastTypes = Annotated[tuple[str, ...], BeforeValidator(one_or_many), AfterValidator(_past)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(one_or_many), AfterValidator(_patterns)]
RuleId = Annotated[str, Field(pattern=RULE_ID, max_length=60)]
Then = Literal["block", "defer", "review"]
Key = Literal["collector", "creditor", "institution", "person", "debt", "number", "product", "purpose", "notice"]


class Span(Clause):
    """Hours of a day, in seconds from local midnight; the end may be 86400."""

    opens: Annotated[int, Field(ge=0, lt=86_400)]
    closes: Annotated[int, Field(gt=0, le=86_400)]

    @model_validator(mode="before")
    @classmethod
    def _from_words(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if not isinstance(value, str):
            return value
        match = _HOURS.match(value.strip())
        if match is None:
            message = f"'{value[:20]}' is no span of hours; write for example '08:00-21:00'"
            raise ValueError(message)
        opens, closes = (int(match[n]) * 3600 + int(match[n + 1]) * 60 for n in (1, 3))
        if not opens < closes <= 86_400:
            message = "hours open before they close, on the same day"
            raise ValueError(message)
        return {"opens": opens, "closes": closes}


def _days(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    """Spell out ``mon-fri`` and the short form that holds for every day."""
    if isinstance(value, str):
        return dict.fromkeys(WEEKDAYS, value)
    if not isinstance(value, dict):
        return value
    spelt: dict[Any, Any] = {}
    for word, hours in value.items():
        first, _, last = str(word).partition("-")
        last = last or first
        if first not in WEEKDAYS or last not in WEEKDAYS or WEEKDAYS.index(first) > WEEKDAYS.index(last):
            message = f"'{str(word)[:20]}' names no days; write mon, sat or mon-fri"
            raise ValueError(message)
        spelt |= dict.fromkeys(WEEKDAYS[WEEKDAYS.index(first) : WEEKDAYS.index(last) + 1], hours)
    return spelt


class ByConsent(Clause):
    """Consent of a type; ``days`` counts the day it was given as the first, ``until`` ends it earlier."""

    type: str
    given_to: Words = ()
    evidence: bool = False
    days: Annotated[int, Field(ge=1, le=366)] | None = None
    ends_with_talk: bool = False


class Hours(Clause):
    """When contact is allowed, in the debtor's local time; a day that is not named is closed.

    ``edges``: ``[)`` allows the opening second and refuses the closing one; a round or square bracket on either side
    excludes or includes that second. Public holidays are closed if ``holidays`` says so, or have hours of their own.
    """

    open: Annotated[dict[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], Span], BeforeValidator(_days)]
    edges: Literal["[)", "[]", "()", "(]"] = "[)"
    holidays: Literal["open", "closed"] | Span = "open"
    holidays_of: str | None = None
    consent: ByConsent | None = None
    """Consent that opens further hours; without it nothing does."""
    ambiguity: RuleId | None = None
    """The rule that says what to do when the zone is not certain."""


class Window(Clause):
    """How far back a count looks. Exactly one of these."""

    calendar_days: Annotated[int, Field(ge=1, le=3660)] | None = None
    """Local dates, today being one of them."""
    hours: Annotated[int, Field(ge=1, le=8784)] | None = None
    """Hours of 3600 seconds, rolling."""
    week: Literal["strictest", "from_monday", "from_sunday"] | None = None
    """A calendar week; ``strictest`` holds for both and for seven rolling days."""
    since: EventTypes | None = None
    """Since the last such event, without end."""
    ever: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            message = "a window is exactly one of: calendar_days, hours, week, since, ever"
            raise ValueError(message)
        return self


class Exclusion(Clause):
    """Entries that are not counted; every part that is written must fit. ``id`` names the rule that says so."""

    results: Words = ()
    initiated_by: Words = ()
    purposes: Words = ()
    with_consent: Literal[True] | None = None
    id: RuleId | None = None


class Only(Clause):
    """Entries that are counted; an entry that does not say counts."""

    modes: Words = ()
    purposes: Words = ()
    number_types: Words = ()


class Count(Clause):
    """At most ``limit`` of something in a window; the contact asked about would be one more."""

    of: PastTypes
    outcome: Literal["attempt", "connected", "effective", "talk"] = "attempt"
    min_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    same: Annotated[tuple[Key, ...], BeforeValidator(one_or_many)] = ()
    exclude: Annotated[tuple[Exclusion, ...], BeforeValidator(one_or_many)] = ()
    only: Only = Only()
    window: Window
    limit: Annotated[int, Field(ge=1, le=1000)]


class Lasts(Clause):
    """When a state ends by itself: so many days after a day of the event; the last day is still in it."""

    days: Annotated[int, Field(ge=0, le=3660)]
    since: Literal["t", "start", "treatment_ended"] = "t"


class State(Clause):
    """Something we were told that stands until it ends."""

    events: EventTypes
    scope: Annotated[tuple[Literal["debt", "number", "medium", "person"], ...], BeforeValidator(one_or_many)] = ()
    """What the event and the contact must share; empty: it binds every contact with the debtor."""
    forms: Words = ()
    kinds: Words = ()
    reply: str | None = None
    """The list of words that a written reply must hit; a reply that may mean it goes to a person."""
    no_later_than: Literal["validation.period_end"] | None = None
    after_days: Annotated[int, Field(ge=0, le=3660)] | None = None
    """Binds only from the day after so many days."""
    lasts: Lasts | None = None
    ended_by: EventTypes = ()
    ended_by_reply: str | None = None
    ended_if: Conditions = ()
    then: Then | None = None


class Fresh(Clause):
    """Something must have been said not longer ago than this."""

    events: EventTypes
    reply: str | None = None
    minutes: Annotated[int, Field(ge=1, le=527_040)]


class Content(Clause):
    """What the text must and must not say, as patterns over folded text, by language (``any`` for all).

    Each entry of ``required`` is one thing to say; its patterns by language are ways to say it. ``only`` is a form: the
    whole text must be made of these.
    """

    forbidden: dict[str, Patterns] = Field(default_factory=dict)
    required: tuple[dict[str, Patterns], ...] = ()
    only: dict[str, Patterns] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.forbidden or self.required or self.only):
            message = "content says nothing; write forbidden, required or only"
            raise ValueError(message)
        return self


class Keep(Clause):
    """A record that may not be deleted before so many years, or before a fact holds."""

    years: Annotated[int, Field(ge=1, le=50)] | None = None
    """Counted from the later of ``recorded_on`` and ``last_activity_on``."""
    until: Conditions = ()


class Term(Clause):
    """A day to compute: working days from ``since`` give the assumed receipt, ``then_days`` more the end."""

    what: str
    since: Literal["sent_on"] = "sent_on"
    working_days: Annotated[int, Field(ge=0, le=60)]
    holidays_of: str
    then_days: Annotated[int, Field(ge=0, le=366)]


class Exemption(Clause):
    """What lifts this one rule: facts, or a consent. ``id`` names the rule that grants it."""

    when: Conditions = ()
    consent: ByConsent | None = None
    id: RuleId | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.when and self.consent is None:
            message = "an exception needs 'when' or 'consent'"
            raise ValueError(message)
        return self
