"""What may become of a person, a debt or a number that changes whether and how we may make contact.

One table says for every kind of event whom it concerns, what it does to the ladder, what ends it and which person must
look at it. It is read by the ledger, which places the holds and work items, and by ``decide``, which waits. The rule
packs decide in the end: they are given every event that stands, as facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from domain.calendar import start_of_day
from domain.codes import Channel, Flag, HoldReason, Purpose, TaskKind


class StateScope(StrEnum):
    """Whom an event concerns. ``number`` is the value of a contact point, whoever else has it."""

    NUMBER = "number"
    CHANNEL = "channel"
    PERSON = "person"
    ACCOUNT = "account"
    DEBTOR = "debtor"


class StateKind(StrEnum):
    """Every kind of state event; each is a signal of the same name."""

    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"
    CHANNEL_OPT_OUT = "channel_opt_out"
    INCONVENIENT_TIME = "inconvenient_time"
    INCONVENIENT_PLACE = "inconvenient_place"
    CEASE = "cease_communication"
    ATTORNEY = "attorney_represented"
    ATTORNEY_WITHDRAWN = "attorney_withdrawn"
    BANKRUPTCY_FILED = "bankruptcy_filed"
    BANKRUPTCY_DISMISSED = "bankruptcy_dismissed"
    BANKRUPTCY_DISCHARGED = "bankruptcy_discharged"
    DECEASED = "deceased"
    NO_CAPACITY = "no_capacity"
    DISPUTE = "dispute"
    VERIFICATION_SENT = "verification_sent"
    ORIGINAL_CREDITOR_REQUEST = "original_creditor_request"
    ORIGINAL_CREDITOR_SENT = "original_creditor_sent"
    IDENTITY_THEFT = "identity_theft"
    MILITARY = "military_service"
    HARDSHIP = "hardship"
    VULNERABILITY = "vulnerability"
    BREATHING_SPACE_START = "breathing_space_start"
    BREATHING_SPACE_END = "breathing_space_end"
    COMPLAINT = "complaint"
    COMPLAINT_CLOSED = "complaint_closed"
    WRONG_PARTY = "wrong_party"
    THIRD_PARTY_REFUSAL = "third_party_refusal"
    EMPLOYER_PROHIBITS = "employer_prohibits"
    TIME_BARRED = "time_barred"
    CONSENT_GIVEN = "consent_given"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    DISASTER = "disaster"
    BEREAVEMENT = "bereavement"
    UNCLEAR_REPLY = "unclear_reply"
    ENDED = "end_state_event"


@dataclass(frozen=True, slots=True)
class Asked:
    """The work item an event creates: what kind, why, and whose skill it needs."""

    kind: TaskKind
    reason: str
    skill: str | None = None
    by_stranger: bool = False
    """Nobody who has worked these cases may take it."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one kind of event means.

    ``hold``: outreach rests in place until an end, at most ``days``. ``bars``: these channels of the ladder are passed
    over for as long as the event stands, save for ``passes``; a case with every channel barred waits in place.
    ``ends``: the kinds that this one ends.
    """

    scope: StateScope
    hold: HoldReason | None = None
    days: int | None = None
    bars: frozenset[Channel] = frozenset()
    passes: frozenset[Purpose] = frozenset()
    asks: Asked | None = None
    ends: tuple[StateKind, ...] = ()
    flag: Flag | None = None
    """What the person is treated with more care for, until an event ends it, even when its own days are over."""
    closes: bool = False
    """The debt is gone by law: the case is closed as discharged."""


EVERYTHING = frozenset(Channel)
_LEGAL = frozenset({Channel.LEGAL})
_REVIEW, _REPAIR = TaskKind.REVIEW, TaskKind.DATA_REPAIR
_K, _S, _H = StateKind, StateScope, HoldReason

MEANINGS: Mapping[StateKind, Meaning] = {
    # about a number or a medium: other ways stay open, so the ladder is not touched; the gate knows
    _K.OPT_OUT: Meaning(_S.NUMBER),
    _K.OPT_IN: Meaning(_S.NUMBER, ends=(_K.OPT_OUT, _K.UNCLEAR_REPLY)),
    _K.CHANNEL_OPT_OUT: Meaning(_S.CHANNEL),
    _K.UNCLEAR_REPLY: Meaning(_S.NUMBER, hold=_H.REVIEW, asks=Asked(_REVIEW, "unclear_reply")),
    _K.WRONG_PARTY: Meaning(_S.NUMBER, asks=Asked(_REPAIR, "wrong_party")),
    # about times and places
    _K.INCONVENIENT_TIME: Meaning(_S.PERSON),
    _K.INCONVENIENT_PLACE: Meaning(_S.PERSON),
    _K.EMPLOYER_PROHIBITS: Meaning(_S.PERSON),
    _K.THIRD_PARTY_REFUSAL: Meaning(_S.PERSON),
    # about a debt
    _K.CEASE: Meaning(
        _S.ACCOUNT,
        bars=EVERYTHING - _LEGAL,
        passes=frozenset({Purpose.REQUIRED_NOTICE}),
        asks=Asked(_REVIEW, "cease_communication", "legal"),
    ),
    _K.ATTORNEY: Meaning(_S.ACCOUNT, hold=_H.ATTORNEY, asks=Asked(_REVIEW, "contact_counsel", "legal")),
    _K.ATTORNEY_WITHDRAWN: Meaning(_S.ACCOUNT, ends=(_K.ATTORNEY,)),
    _K.DISPUTE: Meaning(_S.ACCOUNT, hold=_H.DISPUTE, asks=Asked(_REVIEW, "dispute")),
    _K.VERIFICATION_SENT: Meaning(_S.ACCOUNT, ends=(_K.DISPUTE,)),
    _K.ORIGINAL_CREDITOR_REQUEST: Meaning(
        _S.ACCOUNT, hold=_H.ORIGINAL_CREDITOR, asks=Asked(_REVIEW, "original_creditor_request")
    ),
    _K.ORIGINAL_CREDITOR_SENT: Meaning(_S.ACCOUNT, ends=(_K.ORIGINAL_CREDITOR_REQUEST,)),
    _K.IDENTITY_THEFT: Meaning(_S.ACCOUNT, hold=_H.IDENTITY_THEFT, asks=Asked(_REVIEW, "identity_theft", "fraud")),
    _K.COMPLAINT: Meaning(
        _S.ACCOUNT, hold=_H.COMPLAINT, asks=Asked(_REVIEW, "complaint", "complaints", by_stranger=True)
    ),
    _K.COMPLAINT_CLOSED: Meaning(_S.ACCOUNT, ends=(_K.COMPLAINT,)),
    _K.TIME_BARRED: Meaning(_S.ACCOUNT, bars=_LEGAL),
    _K.BANKRUPTCY_DISCHARGED: Meaning(_S.ACCOUNT, bars=EVERYTHING, closes=True),
    # about a person who owes, and so about every debt of theirs
    _K.BANKRUPTCY_FILED: Meaning(_S.DEBTOR, hold=_H.BANKRUPTCY, asks=Asked(_REVIEW, "bankruptcy", "legal")),
    _K.BANKRUPTCY_DISMISSED: Meaning(_S.DEBTOR, ends=(_K.BANKRUPTCY_FILED,)),
    _K.DECEASED: Meaning(_S.DEBTOR, bars=EVERYTHING, asks=Asked(_REVIEW, "estate", "estates")),
    _K.NO_CAPACITY: Meaning(_S.DEBTOR, hold=_H.NO_CAPACITY, asks=Asked(_REVIEW, "legal_representative")),
    _K.MILITARY: Meaning(_S.DEBTOR, bars=_LEGAL),
    _K.HARDSHIP: Meaning(_S.DEBTOR, hold=_H.HARDSHIP, days=30, asks=Asked(_REVIEW, "hardship"), flag=Flag.HARDSHIP),
    _K.VULNERABILITY: Meaning(_S.DEBTOR, flag=Flag.VULNERABLE),
    _K.BREATHING_SPACE_START: Meaning(_S.DEBTOR, hold=_H.BREATHING_SPACE),
    _K.BREATHING_SPACE_END: Meaning(_S.DEBTOR, ends=(_K.BREATHING_SPACE_START,)),
    _K.DISASTER: Meaning(_S.DEBTOR, hold=_H.DISASTER, days=30),
    _K.BEREAVEMENT: Meaning(_S.DEBTOR, hold=_H.BEREAVEMENT, days=30),
    # permission
    _K.CONSENT_GIVEN: Meaning(_S.PERSON),
    _K.CONSENT_WITHDRAWN: Meaning(_S.PERSON, ends=(_K.CONSENT_GIVEN,)),
    _K.ENDED: Meaning(_S.ACCOUNT),
}
"""The table of state events. ``end_state_event`` takes the scope of what it ends."""

ENDS_OF: Mapping[StateKind, tuple[StateKind, ...]] = {
    kind: tuple(other for other, meaning in MEANINGS.items() if kind in meaning.ends) for kind in StateKind
}
"""Kind -> the kinds that end it."""

BARS_THE_LADDER = tuple(sorted(kind for kind, meaning in MEANINGS.items() if meaning.bars))
"""Kinds that ``Facts.stops`` is read for."""

FLAG_OF: Mapping[StateKind, Flag] = {
    kind: meaning.flag for kind, meaning in MEANINGS.items() if meaning.flag is not None
}
"""Kinds that ``Facts.flags`` is read for."""

WITHDRAWS_ITEMS = frozenset(meaning.hold for meaning in MEANINGS.values() if meaning.hold is not None)
"""Holds under which nobody may be asked to call or to visit: an open item is taken back."""

WORDS: Mapping[str, str] = {
    _H.BANKRUPTCY: "bankruptcy: no contact until it is lifted",
    _H.ATTORNEY: "represented by counsel: no contact with the debtor until counsel withdraws",
    _H.DISPUTE: "disputed: no contact until it is answered",
    _H.ORIGINAL_CREDITOR: "asked for the original creditor: no contact until that is answered",
    _H.IDENTITY_THEFT: "identity theft reported: no contact until it is cleared",
    _H.COMPLAINT: "complaint: no contact until it is closed",
    _H.NO_CAPACITY: "minor or without capacity: no contact until that ends",
    _H.HARDSHIP: "hardship: no contact until there is a plan or a refusal",
    _H.BREATHING_SPACE: "breathing space: no contact until it ends",
    _H.DISASTER: "disaster: no contact until it is over",
    _H.BEREAVEMENT: "bereavement: no contact for a time",
    _H.REVIEW: "an unclear reply or another doubt: no contact until a person has looked at it",
    _K.CEASE: "asked us to cease: only legal review or closing are left",
    _K.DECEASED: "deceased: no contact, the estate queue has it",
    _K.BANKRUPTCY_DISCHARGED: "discharged in bankruptcy: no contact for ever",
    _K.TIME_BARRED: "time-barred: no legal step",
    _K.MILITARY: "military service: no legal step",
}
"""What people read while a case waits, by hold reason or kind of event."""


@dataclass(frozen=True, slots=True)
class Told:
    """One state event as somebody told it: codes and keys only. ``at`` is the instant it counts from."""

    kind: StateKind
    event_id: str
    at: datetime
    account_key: str
    actor: str = "system"
    source: str = "signal"
    scope: StateScope | None = None
    """Only where the message chooses; else the table's."""
    party_key: str | None = None
    contact_point_key: str | None = None
    channel: str | None = None
    part_amount: int | None = None
    until: datetime | None = None
    until_on: date | None = None
    """First day on which it no longer stands, where the debtor lives."""
    note_ref: str | None = None
    ends_kind: StateKind | None = None
    ends_event: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)

    @property
    def meaning(self) -> Meaning:
        """Return the row of the table."""
        return MEANINGS[self.kind]

    @property
    def moves_the_ladder(self) -> bool:
        """Whether a case decides otherwise because of it; all else is for the gate alone."""
        if self.ends_event is not None:
            return True
        kinds = (self.kind, *self.meaning.ends, *(() if self.ends_kind is None else (self.ends_kind,)))
        return any(MEANINGS[kind].hold or MEANINGS[kind].bars or MEANINGS[kind].flag for kind in kinds)

    def until_at(self, zone: str) -> datetime | None:
        """Return when it ends by itself: as told, else after the days of the table; ``None``: an event must end it."""
        if self.until is not None:
            return self.until
        if self.until_on is not None:
            return start_of_day(self.until_on, zone)
        days = self.meaning.days
        return None if days is None else self.at + timedelta(days=days)


def bars(kind: StateKind, channel: Channel, purpose: Purpose) -> bool:
    """Whether an event of this kind, while it stands, bars a step of the ladder."""
    meaning = MEANINGS[kind]
    return channel in meaning.bars and purpose not in meaning.passes
