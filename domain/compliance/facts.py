"""What the engine is told about one contact: who, how, why, when, and what happened before.

The public facts format (``rules check``, docs/rules.md) and the facts the gate reads under its locks are the same
types. Everything is optional but ``now`` and ``channel``: what is absent is unknown, and unknown is never permission.
Plain frozen dataclasses, because a debtor with hundreds of past contacts is built and judged within two milliseconds.
"""

from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, AwareDatetime, BeforeValidator, ConfigDict, Field

from domain.compliance.vocabulary import PURPOSE_ALIASES, ROLES, ActorName, ContactChannel, PastType

_STRICT = ConfigDict(extra="forbid", strict=True)


def _one_or_many(value: Any) -> Any:  # noqa: ANN401 - whatever the caller sent
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _purpose(value: Any) -> Any:  # noqa: ANN401 - whatever the caller sent
    return PURPOSE_ALIASES.get(value, value) if isinstance(value, str) else value


Debts = Annotated[tuple[str, ...], BeforeValidator(_one_or_many), Field(validation_alias=AliasChoices("debt", "debts"))]
Purpose = Annotated[str | None, BeforeValidator(_purpose)]
Clock = Annotated[time, Field(strict=False)]
Day = Annotated[date, Field(strict=False)]
_FROM = Field(validation_alias=AliasChoices("from", "opens"))
_TO = Field(validation_alias=AliasChoices("to", "closes"))
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@dataclass(frozen=True, slots=True)
class Past:
    """One contact that happened, or may have: what is not known counts.

    ``t`` when; ``type`` what; ``result`` the carrier's or agent's word (``busy``, ``not_in_service``, ``no_answer``,
    ``voicemail``, ``answered``, ``answered_dropped``, ``conversation``, ``unknown``, ...); ``duration_s`` seconds of
    talk; ``effective`` whether both sides really exchanged something; ``initiated_by`` ``collector`` or ``consumer``;
    ``debts`` what it was about, empty counts for every debt; ``to`` the person, ``number`` the contact point;
    ``with_consent`` a call that the person had asked for.
    """

    t: AwareDatetime
    type: PastType
    result: str | None = None
    duration_s: int | None = None
    effective: bool | None = None
    initiated_by: str | None = None
    debts: Debts = ()
    to: str | None = None
    number: str | None = None
    number_type: str | None = None
    institution: str | None = None
    placed_by: str | None = None
    collector: str | None = None
    creditor: str | None = None
    product: str | None = None
    purpose: Purpose = None
    notice: str | None = None
    mode: str | None = None
    with_consent: bool = False
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Event:
    """Something we were told. A missing scope (``debts``, ``number``, ``to``, ``medium``) is the widest scope.

    ``t`` is when it reached us. ``form`` how (``oral``, ``letter``, ``email``, ``portal``); ``kind`` its variety
    (``standard`` or ``mental_health_crisis`` breathing space); ``start`` and ``treatment_ended`` days from which an
    end is counted; ``text`` what the person wrote, read for opt-out words and never repeated anywhere.
    """

    type: str
    t: AwareDatetime | None = None
    to: str | None = None
    debts: Debts = ()
    number: str | None = None
    medium: str | None = None
    form: str | None = None
    kind: str | None = None
    start: Day | None = None
    treatment_ended: Day | None = None
    until: Day | None = None
    attorney_known: bool | None = None
    text: str | None = None
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Consent:
    """What the person agreed to: it lifts only a rule that names its ``type``.

    ``opens`` and ``closes`` bound a ``time`` consent in local time of day (over midnight if they are reversed); ``on``
    and ``weekdays`` the days. Without ``expires`` it stands until ``revoked_at``.
    """

    type: str
    t: AwareDatetime | None = None
    opens: Annotated[Clock | None, _FROM] = None
    closes: Annotated[Clock | None, _TO] = None
    on: Day | None = None
    weekdays: tuple[Weekday, ...] = ()
    given_to: str | None = None
    evidence: str | None = None
    expires: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's decision to let one rule pass, for rules that may be overridden."""

    rule: str
    t: AwareDatetime
    by: str | None = None
    expires: AwareDatetime | None = None
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Inconvenient:
    """Times the person does not want: local time of day, over midnight if reversed; no weekdays means every day."""

    opens: Annotated[Clock, _FROM] = time(0)
    closes: Annotated[Clock, _TO] = time(0)
    weekdays: tuple[Weekday, ...] = ()
    set_by: str | None = None
    until: Day | None = None
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Debtor:
    """What is known about the person who owes. ``region`` is where they live, such as ``US-MA``, ``CN``, ``GB-ENG``.

    Without a region the packs of all ``regions`` are in force together. ``tz_candidates`` are the zones of every
    address and number; ``location_confirmed_tz`` is what the person told us, and decides alone.
    """

    tz_candidates: tuple[str, ...] = ()
    location_confirmed_tz: str | None = None
    region: str | None = None
    regions: tuple[str, ...] = ()
    address_region: str | None = None
    locality: str | None = None
    phone: str | None = None
    phone_area_code: str | None = None
    inconvenient: tuple[Inconvenient, ...] = ()
    lost_contact: bool | None = None
    deceased: bool | None = None
    age: int | None = None
    minor: bool | None = None
    no_capacity: bool | None = None
    vulnerable: bool | None = None
    bereaved: bool | None = None
    military_active: bool | None = None
    contract_before_service: bool | None = None
    employer_prohibits: bool | None = None
    waking_hours_known: bool | None = None
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Plan:
    """An arrangement: ``status`` ``offered``, ``signed``, ``performing``, ``broken``, ``done``; term in months."""

    status: str | None = None
    months: int | None = None
    oral: bool | None = None
    recorded: bool | None = None
    states_balance: bool | None = None
    states_schedule: bool | None = None
    states_fees: bool | None = None
    states_duties: bool | None = None
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Validation:
    """The validation notice of a debt: whether it went out, when its period ends, what was answered."""

    sent: bool | None = None
    sent_on: Day | None = None
    period_end: Day | None = None
    verification_sent: bool | None = None
    original_creditor_sent: bool | None = None
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class LastTemplate:
    """The last message that a reply may answer: what it asked and which short codes it offered."""

    type: str | None = None
    codes: tuple[str, ...] = ()
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Facts:
    """One contact to judge, at the instant it would leave the house.

    ``packs`` names the packs outright; ``None`` lets them follow from where the debtor lives. ``to`` is a person's key
    or a role; ``right_party`` who answered. See docs/rules.md for every field.
    """

    now: AwareDatetime
    channel: ContactChannel
    actor: ActorName | None = None
    debts: Debts = ()
    purpose: Purpose = None
    notice: str | None = None
    to: str | None = None
    role: str | None = None
    right_party: str | None = None
    packs: tuple[str, ...] | None = None
    creditor: str | None = None
    collector: str | None = None
    institution: str | None = None
    placed_by: str | None = None
    lender: str | None = None
    agency_listed: bool | None = None
    debtor: Debtor = Debtor()
    number: str | None = None
    number_type: str | None = None
    address_type: str | None = None
    contact_source: str | None = None
    account_type: str | None = None
    product: str | None = None
    debt_type: str | None = None
    dpd: int | None = None
    debt_flags: tuple[str, ...] = ()
    mode: Literal["interactive", "notify"] | None = None
    dial_mode: Literal["manual", "auto", "prerecorded"] | None = None
    content: str | None = None
    language: str | None = None
    first_communication: bool | None = None
    company_name_indicates_collection: bool | None = None
    viewable_by_others: bool | None = None
    envelope_shows_debt: bool | None = None
    postcard: bool | None = None
    consents: tuple[Consent, ...] = ()
    approvals: tuple[Approval, ...] = ()
    events: tuple[Event, ...] = ()
    history: tuple[Past, ...] = ()
    holidays: Annotated[frozenset[Day], Field(strict=False)] = frozenset()
    plan: Plan = Plan()
    validation: Validation = Validation()
    last_template: LastTemplate = LastTemplate()
    sms_consent: bool | None = None
    email_basis: str | None = None
    robo_consent: bool | None = None
    e_consent: bool | None = None
    nyc_e_consent_written: bool | None = None
    recording_consent: bool | None = None
    rnd_checked_days_ago: int | None = None
    last_inbound_sms_days_ago: int | None = None
    asked_to_return: bool | None = None
    collectors: int | None = None
    recording: bool | None = None
    id_shown: bool | None = None
    location: str | None = None
    entry_consent: bool | None = None
    visit_agreed: bool | None = None
    guarantee_contract: bool | None = None
    court_order: bool | None = None
    approved_at: AwareDatetime | None = None
    as_of: AwareDatetime | None = None
    compute: str | None = None
    recorded_on: Day | None = None
    last_activity_on: Day | None = None
    sent_on: Day | None = None
    debt_settled: bool | None = None
    litigation_hold: bool | None = None
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


def role_of(facts: Facts) -> str:
    """Return the role of the person contacted; a person of whom nothing else is said is the debtor."""
    if facts.role is not None:
        return facts.role
    if facts.right_party is not None:
        return facts.right_party
    return facts.to if facts.to in ROLES else "debtor"


def facts_age(facts: Facts) -> int | None:
    """Return whole seconds since the facts were read, ``None`` when that is not told."""
    return None if facts.as_of is None else int((facts.now - facts.as_of).total_seconds())


def moment(at: datetime | None, otherwise: datetime) -> datetime:
    """Return an instant, or what stands for an unknown one."""
    return otherwise if at is None else at
