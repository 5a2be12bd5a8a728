"""The closed vocabularies of the field, as text.

Codes are what messages, rows and histories carry instead of words about a person. Channels are deliberately not
an enumeration in the database: adding one means one provider and one line here.
"""

from enum import StrEnum


class Channel(StrEnum):
    """How a contact travels. The first four go through a provider, the rest are worked by people."""

    SMS = "sms"
    VOICE = "voice"
    EMAIL = "email"
    LETTER = "letter"
    CALL = "call"
    VISIT = "visit"
    LEGAL = "legal"


AUTOMATED_CHANNELS = (Channel.SMS, Channel.VOICE, Channel.EMAIL, Channel.LETTER)
"""Channels that a provider carries without a person of ours."""

CONTACT_POINT_KIND = {
    Channel.SMS: "phone",
    Channel.VOICE: "phone",
    Channel.CALL: "phone",
    Channel.EMAIL: "email",
    Channel.LETTER: "address",
    Channel.VISIT: "address",
    Channel.LEGAL: "address",
}
"""Which kind of contact point a channel needs."""


class TaskKind(StrEnum):
    """What a work item asks a person to do."""

    CALL = "call"
    VISIT = "visit"
    LEGAL = "legal"
    DATA_REPAIR = "data_repair"
    REVIEW = "review"


class Actor(StrEnum):
    """In whose name we speak; the law differs."""

    FIRST_PARTY_CREDITOR = "first_party_creditor"
    THIRD_PARTY_COLLECTOR = "third_party_collector"


class PartyRole(StrEnum):
    """The role of a person on an account."""

    BORROWER = "borrower"
    CO_BORROWER = "co_borrower"
    GUARANTOR = "guarantor"
    CONTACT_PERSON = "contact_person"
    ATTORNEY = "attorney"
    EXECUTOR = "executor"


class Purpose(StrEnum):
    """Why we contact somebody. The gate names what each may pass."""

    COLLECT = "collect"
    SERVICE = "service"
    REQUIRED_NOTICE = "required_notice"
    REPLY = "reply"
    OPTOUT_CONFIRMATION = "optout_confirmation"
    VERIFICATION = "verification"
    LOCATE = "locate"


class Origin(StrEnum):
    """What caused an attempt."""

    STEP = "step"
    AGENT = "agent"
    INBOUND = "inbound"
    REMINDER = "reminder"


class AttemptStatus(StrEnum):
    """The life of an attempt.

    ``dispatching`` is committed before the provider is called. ``unknown`` is a state of its own: it is reconciled,
    counted as a contact, and never sent again. ``covered``: another attempt's message listed this account too, so
    nothing of its own was sent.
    """

    REFUSED = "refused"
    DEFERRED = "deferred"
    RETRYABLE = "retryable"
    DISPATCHING = "dispatching"
    UNKNOWN = "unknown"
    SENT = "sent"
    DELIVERED = "delivered"
    ANSWERED = "answered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    UNSENT = "unsent"
    COVERED = "covered"


FINAL_ATTEMPT = frozenset(
    {
        AttemptStatus.REFUSED,
        AttemptStatus.DELIVERED,
        AttemptStatus.ANSWERED,
        AttemptStatus.UNDELIVERED,
        AttemptStatus.FAILED,
        AttemptStatus.UNSENT,
        AttemptStatus.COVERED,
    }
)
"""Statuses that no later report may change back."""

COUNTS_AS_CONTACT = frozenset(
    {
        AttemptStatus.DISPATCHING,
        AttemptStatus.UNKNOWN,
        AttemptStatus.SENT,
        AttemptStatus.DELIVERED,
        AttemptStatus.ANSWERED,
        AttemptStatus.UNDELIVERED,
        AttemptStatus.COVERED,
    }
)
"""Statuses in which the person may have been reached; what is not known counts."""


class Verdict(StrEnum):
    """What the gate says before a contact."""

    ALLOW = "allow"
    DEFER = "defer"
    BLOCK = "block"
    REVIEW = "review"


class CloseReason(StrEnum):
    """Why a case ended."""

    CURE = "cure"
    SELF_CURE = "self_cure"
    PAID = "paid"
    SETTLED = "settled"
    RECALLED = "recalled"
    SOLD = "sold"
    UNCOLLECTABLE = "uncollectable"
    DISCHARGED = "discharged"
    DECEASED = "deceased"
    ERROR = "error"


SAID_BY_THE_LEDGER = frozenset({CloseReason.CURE, CloseReason.SELF_CURE, CloseReason.PAID})
"""Reasons nobody can order: nothing is past due."""


class HoldReason(StrEnum):
    """Why outreach is suspended."""

    DISPUTE = "dispute"
    PAUSED = "paused"
    HARDSHIP = "hardship"
    BANKRUPTCY = "bankruptcy"
    ATTORNEY = "attorney"
    ARRANGEMENT = "arrangement"
    PROMISE = "promise"
    BREATHING_SPACE = "breathing_space"
    COMPLAINT = "complaint"
    MILITARY = "military"
    ORIGINAL_CREDITOR = "original_creditor"
    IDENTITY_THEFT = "identity_theft"
    NO_CAPACITY = "no_capacity"
    DISASTER = "disaster"
    BEREAVEMENT = "bereavement"
    REVIEW = "review"
    OTHER = "other"


class HoldScope(StrEnum):
    """What a hold covers."""

    DEBTOR = "debtor"
    ACCOUNT = "account"
    PART = "part"
    CHANNEL = "channel"
    NUMBER = "number"


class LegalStage(StrEnum):
    """Where a legal matter stands."""

    REVIEW = "review"
    APPROVED = "approved"
    NOTICE = "notice"
    FILED = "filed"
    ASSET_PRESERVATION = "asset_preservation"
    HEARING = "hearing"
    JUDGMENT = "judgment"
    ENFORCEMENT = "enforcement"
    RETURNED = "returned"
    WITHDRAWN = "withdrawn"


IN_COURT = frozenset(
    {
        LegalStage.FILED,
        LegalStage.ASSET_PRESERVATION,
        LegalStage.HEARING,
        LegalStage.JUDGMENT,
        LegalStage.ENFORCEMENT,
    }
)
"""Stages that only a filed claim reaches."""


class Flag(StrEnum):
    """What makes us gentler with a person for as long as it stands."""

    HARDSHIP = "hardship"
    VULNERABLE = "vulnerable"


class EntryKind(StrEnum):
    """Kinds of ledger entry. Interest and fees are imported, never computed."""

    CHARGE = "charge"
    INTEREST = "interest"
    FEE = "fee"
    WAIVER = "waiver"
    PAYMENT = "payment"
    REVERSAL = "reversal"
    ADJUSTMENT = "adjustment"
    CHARGE_OFF = "charge_off"


class Stage(StrEnum):
    """Where a case stands, in one word for lists, search and reports."""

    OPENING = "opening"
    REMINDING = "reminding"
    CALLING = "calling"
    WRITING = "writing"
    VISITING = "visiting"
    LEGAL = "legal"
    HELD = "held"
    ARRANGED = "arranged"
    ENDED_LADDER = "ended_ladder"
    CLOSED = "closed"


class Reached(StrEnum):
    """Who answered a call or opened the door."""

    RIGHT_PARTY = "right_party"
    THIRD_PARTY = "third_party"
    NO_ONE = "no_one"


def bucket_of(dpd: int) -> str:
    """Name the delinquency bucket of ``dpd`` calendar days past due: M0 current, M1 1-30, M2 31-60, ..."""
    return "M0" if dpd <= 0 else f"M{(dpd - 1) // 30 + 1}"
