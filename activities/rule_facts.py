"""Puts what was read under the locks into the words that rule packs are written in.

One way for every kind of attempt: messages, calls, visits and legal steps, planned or already made. Keys stand for
persons, debts and numbers; what is not known is left out, and a rule that needs it refuses.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from db.facts import AccountReading
from db.person_record import PastContact, PersonRecord
from domain.calendar import local_date
from domain.codes import AttemptStatus, Channel, PartyRole, Purpose, Reached
from domain.compliance import Consent, Debtor, Event, Facts, Inconvenient, Past, Validation
from domain.state_facts import as_facts
from domain.zones import candidate_zones

EFFECTIVE_SECONDS = 6
"""A call this long in which both sides spoke is an effective one (GB/T 45251-2025); unknown length counts."""

CHANNELS: Mapping[Channel, str] = {
    Channel.SMS: "sms",
    Channel.VOICE: "ai_call",
    Channel.EMAIL: "email",
    Channel.LETTER: "letter",
    Channel.CALL: "call",
    Channel.VISIT: "visit",
    Channel.LEGAL: "legal",
}
_PAST_TYPES = {
    "sms": "sms_out",
    "voice": "ai_call_out",
    "email": "email_out",
    "letter": "letter_out",
    "call": "call_out",
    "visit": "visit",
    "legal": "legal_step",
}
_PROVEN_UNCONNECTED = {"busy": "busy", "not_in_service": "not_in_service", "no_route": "not_in_service"}
"""Words of a carrier that prove that no line was picked up; nothing else gives a count back."""
_UNANSWERED = frozenset({"no_answer", "voicemail"})
"""What an agent may say of a call nobody took. That it was busy is for the carrier to prove."""
_WENT_OUT = frozenset({AttemptStatus.SENT, AttemptStatus.DELIVERED, AttemptStatus.ANSWERED})
_ANSWERED = {
    AttemptStatus.ANSWERED: "answered",
    AttemptStatus.DELIVERED: "voicemail",
    AttemptStatus.UNDELIVERED: "no_answer",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """That rule packs are in force. ``packs`` names them; ``None``: they follow from where the debtor lives."""

    packs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """The contact in question, as far as it is not about the account. ``accounts``: the debts it would speak of."""

    now: datetime
    channel: Channel
    purpose: Purpose
    role: PartyRole
    point_key: str | None = None
    consent: str | None = None
    language: str | None = None
    content: str | None = None
    accounts: tuple[str, ...] = ()
    visitors: int | None = None
    recorded: bool | None = None
    identified: bool | None = None


def facts_for(record: PersonRecord, account: AccountReading, intent: Intent, packs: tuple[str, ...] | None) -> Facts:
    """Return the facts of one contact about an account. ``packs`` names the packs; ``None``: they follow residence."""
    told = as_facts(record.told, record.party_key)
    debts = intent.accounts or (account.account_key,)
    history = tuple(_past(one, intent.now) for one in record.past)
    owed, today = account.facts, local_date(intent.now, account.facts.zone or "UTC")
    given = intent.consent == "given"
    medium = CHANNELS[intent.channel]
    voice = intent.channel is Channel.VOICE
    basis = "consumer_consent" if given or "email" in told.consented else None
    flags = told.debtor
    dead = record.deceased_on is not None or record.debtor_deceased_on is not None
    return Facts(
        now=intent.now,
        as_of=intent.now,
        channel=medium,  # type: ignore[arg-type]
        actor=str(owed.actor),  # type: ignore[arg-type]
        debts=debts,
        purpose=str(intent.purpose),
        to=record.party_key,
        role=str(intent.role),
        packs=packs,
        creditor=owed.creditor,
        collector=account.collector or owed.creditor,
        institution=owed.creditor,
        placed_by=account.collector or owed.creditor,
        debtor=Debtor(
            tz_candidates=candidate_zones(
                confirmed=None,
                stated=record.stated_zone,
                region=record.region,
                phones=record.phones,
                otherwise=record.creditor_zone,
            ),
            location_confirmed_tz=record.confirmed_zone,
            region=record.region,
            locality=record.locality,
            inconvenient=tuple(Inconvenient(**one) for one in told.inconvenient),
            age=_age(record.born_on, today),
            vulnerable=record.vulnerable or flags.get("vulnerable"),
            deceased=True if dead or flags.get("deceased") else None,
            military_active=flags.get("military_active"),
            bereaved=flags.get("bereaved"),
            minor=flags.get("minor"),
            no_capacity=flags.get("no_capacity"),
            employer_prohibits=flags.get("employer_prohibits"),
        ),
        number=intent.point_key,
        product=owed.product,
        debt_type=owed.debt_type,
        dpd=owed.dpd,
        debt_flags=told.debt_flags,
        mode="notify" if voice else "interactive" if intent.channel is Channel.CALL else None,
        dial_mode="prerecorded" if voice else "manual" if intent.channel is Channel.CALL else None,
        content=intent.content,
        language=intent.language,
        first_communication=any(record.is_first(debt) for debt in debts),
        consents=tuple(Consent(**one) for one in told.consents),
        events=tuple(Event(**{**one, "t": min(one["t"], intent.now)}) for one in told.events),
        history=history,
        validation=_validation(record.past, debts, account),
        sms_consent=True if intent.channel is Channel.SMS and (given or "sms" in told.consented) else None,
        robo_consent=True if voice and (given or "call" in told.consented) else None,
        email_basis=basis if intent.channel is Channel.EMAIL else None,
        guarantee_contract=True if intent.role is PartyRole.GUARANTOR else None,
        nyc_e_consent_written=True if medium in told.in_writing else None,
        rnd_checked_days_ago=None,
        collectors=intent.visitors,
        recording=intent.recorded,
        id_shown=intent.identified,
    )


def worded(facts: Facts, content: str) -> Facts:
    """Return the facts of a contact whose words are known now."""
    return replace(facts, content=content)


def _past(one: PastContact, now: datetime) -> Past:
    result, effective = _outcome(one)
    return Past(
        t=min(one.at, now),
        type=_PAST_TYPES[one.channel],  # type: ignore[arg-type]
        result=result,
        duration_s=one.duration_seconds,
        effective=effective,
        initiated_by="consumer" if one.origin == "inbound" else "collector",
        debts=one.accounts,
        to=one.party_key,
        number=one.point_key,
        institution=one.creditor,
        placed_by=one.collector or one.creditor,
        collector=one.collector or one.creditor,
        creditor=one.creditor,
        product=one.product,
        purpose=one.purpose,
        mode="notify" if one.channel == Channel.VOICE else None,
    )


def _outcome(one: PastContact) -> tuple[str | None, bool | None]:
    """Return the result of a call or visit in the rules' words, and whether people really talked."""
    if one.channel in {Channel.CALL, Channel.VISIT}:
        proven = _PROVEN_UNCONNECTED.get(one.error_code or "")
        if proven is not None and one.party_reached in {None, Reached.NO_ONE}:
            return proven, False
        if one.party_reached is None:
            return "unknown", None
        if one.party_reached == Reached.NO_ONE:
            return (one.outcome if one.outcome in _UNANSWERED else "no_answer"), False
        talked = one.party_reached == Reached.RIGHT_PARTY and (
            one.duration_seconds is None or one.channel == Channel.VISIT or one.duration_seconds >= EFFECTIVE_SECONDS
        )
        return ("conversation" if talked else "answered"), talked
    if one.channel == Channel.VOICE:
        proven = _PROVEN_UNCONNECTED.get(one.error_code or "")
        if proven is not None:
            return proven, False
        return _ANSWERED.get(AttemptStatus(one.status), "unknown"), False
    return None, None


def _validation(past: Iterable[PastContact], debts: tuple[str, ...], account: AccountReading) -> Validation:
    """Return what is known of the validation notice of these debts: it went out when every debt had one."""
    sent: dict[str, date] = {}
    for one in past:
        if one.purpose == Purpose.REQUIRED_NOTICE and one.status in _WENT_OUT:
            day = local_date(one.at, account.facts.zone or "UTC")
            sent |= {debt: min(day, sent.get(debt, day)) for debt in one.accounts}
    if not all(debt in sent for debt in debts):
        return Validation(sent=False)
    return Validation(sent=True, sent_on=max(sent[debt] for debt in debts))


def _age(born_on: date | None, today: date) -> int | None:
    if born_on is None:
        return None
    return today.year - born_on.year - int((today.month, today.day) < (born_on.month, born_on.day))
