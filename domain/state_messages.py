"""The signals that tell a state event: one small model each, codes and keys only, never a word about a person.

Every model says in ``told`` what it means for the table of state events; whatever it carries beyond the common fields
goes into the event's detail as it is.
"""

from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from domain.codes import Channel
from domain.message import Code, Day, Instant, Message, MinorUnits, Reference, TimeOfDay
from domain.state_events import StateKind, StateScope, Told

Form = Literal["oral", "letter", "email", "portal", "sms"]
"""How we were told. The law asks whether it was in writing; the rule packs decide what counts as that."""

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

_PLACED = frozenset(
    {"event_id", "at", "actor", "source", "scope", "party", "contact_point", "channel", "until", "note_ref"}
)
_BREATHING_DAYS = 60
_CRISIS_DAYS = 30


class StateEvent(Message):
    """What every state event carries. ``source`` is how we learned of it: a letter, a scrub, the carrier, an agent."""

    kind_of: ClassVar[StateKind]

    source: Code = "operations"
    note_ref: Reference | None = None

    def told(self, account_key: str, at: datetime) -> Told:
        """Return the event for an account's case, told at ``at``."""
        given = self.model_dump(mode="json", exclude_none=True)
        told: dict[str, Any] = {
            "kind": self.kind_of,
            "event_id": self.event_id,
            "at": at,
            "account_key": account_key,
            "actor": self.actor,
            "source": self.source,
            "scope": getattr(self, "scope", None),
            "party_key": getattr(self, "party", None),
            "contact_point_key": getattr(self, "contact_point", None),
            "channel": getattr(self, "channel", None),
            "part_amount": getattr(self, "part_amount", None),
            "until": getattr(self, "until", None),
            "note_ref": self.note_ref,
            "detail": {name: value for name, value in given.items() if name not in _PLACED},
        }
        return Told(**{**told, **self._more()})

    def _more(self) -> dict[str, Any]:
        """Return what this kind says differently."""
        return {}


class AboutPerson(StateEvent):
    """About one person with a role on the account: by default the one who owes."""

    party: Reference | None = None


class AboutAccount(StateEvent):
    """About the debt of this case, or where the law says so about every debt of the debtor."""

    scope: Literal[StateScope.ACCOUNT, StateScope.DEBTOR] = StateScope.ACCOUNT


class OptOut(StateEvent):
    """STOP and its kin: no more texts to this number, from whoever it was."""

    kind_of = StateKind.OPT_OUT
    contact_point: Reference


class OptIn(StateEvent):
    """START: the number may be texted again."""

    kind_of = StateKind.OPT_IN
    contact_point: Reference


class ChannelOptOut(AboutPerson):
    """A person no longer wants to be reached by one medium."""

    kind_of = StateKind.CHANNEL_OPT_OUT
    channel: Channel
    form: Form = "oral"


class InconvenientTime(AboutPerson):
    """Not between ``starts`` and ``ends``, local time of the person; ``days`` empty means every day."""

    kind_of = StateKind.INCONVENIENT_TIME
    starts: TimeOfDay
    ends: TimeOfDay
    days: tuple[Weekday, ...] = ()
    until: Instant | None = None


class InconvenientPlace(AboutPerson):
    """Not at this place: work, school, home."""

    kind_of = StateKind.INCONVENIENT_PLACE
    place: Code
    contact_point: Reference | None = None
    until: Instant | None = None


class CeaseCommunication(AboutAccount):
    """Asked us to stop altogether, or refused to pay. It has no end of its own."""

    kind_of = StateKind.CEASE
    form: Form


class AttorneyRepresented(AboutAccount):
    """A lawyer acts for the debtor on this debt."""

    kind_of = StateKind.ATTORNEY
    attorney: Reference | None = None
    """The party key of counsel, when the address is known."""
    form: Form = "letter"

    def _more(self) -> dict[str, Any]:
        known = {"attorney_known": self.attorney is not None}
        return {"detail": {"form": self.form, "attorney": self.attorney, **known}}


class AttorneyWithdrawn(AboutAccount):
    """Counsel withdrew, consented, or stayed silent for a reasonable time."""

    kind_of = StateKind.ATTORNEY_WITHDRAWN
    reason: Code = "withdrawn"


class BankruptcyFiled(AboutPerson):
    """A petition: every debt of the person is stayed."""

    kind_of = StateKind.BANKRUPTCY_FILED
    chapter: Code | None = None
    filed_on: Day | None = None
    court_ref: Reference | None = None


class BankruptcyDismissed(AboutPerson):
    """The petition was dismissed, or the stay was lifted."""

    kind_of = StateKind.BANKRUPTCY_DISMISSED
    reason: Code = "dismissed"


class BankruptcyDischarged(StateEvent):
    """This debt was discharged: it is never collected again."""

    kind_of = StateKind.BANKRUPTCY_DISCHARGED
    court_ref: Reference | None = None


class Deceased(AboutPerson):
    """The person died."""

    kind_of = StateKind.DECEASED
    died_on: Day | None = None


class NoCapacity(AboutPerson):
    """A minor, or a person under guardianship; ``until`` is the majority where it is known."""

    kind_of = StateKind.NO_CAPACITY
    reason: Literal["minor", "no_capacity"]
    until: Instant | None = None


class Dispute(AboutAccount):
    """The debt is disputed, wholly or for a part of it."""

    kind_of = StateKind.DISPUTE
    form: Form
    part_amount: MinorUnits | None = None

    @model_validator(mode="after")
    def _part_of_one_debt(self) -> "Dispute":
        if self.part_amount is not None and self.scope is not StateScope.ACCOUNT:
            message = "a part is disputed of one account"
            raise ValueError(message)
        return self


class VerificationSent(AboutAccount):
    """The verification or the answer to a dispute was sent."""

    kind_of = StateKind.VERIFICATION_SENT
    document_ref: Reference | None = None


class OriginalCreditorRequest(StateEvent):
    """Asked who the original creditor is."""

    kind_of = StateKind.ORIGINAL_CREDITOR_REQUEST
    form: Form


class OriginalCreditorSent(StateEvent):
    """Name and address of the original creditor were sent."""

    kind_of = StateKind.ORIGINAL_CREDITOR_SENT
    document_ref: Reference | None = None


class IdentityTheft(StateEvent):
    """The debt may be somebody else's doing."""

    kind_of = StateKind.IDENTITY_THEFT
    report_ref: Reference | None = None


class MilitaryService(AboutPerson):
    """Active duty; ``until`` includes the tail the law adds."""

    kind_of = StateKind.MILITARY
    until: Instant | None = None


class Hardship(AboutPerson):
    """Cannot pay as agreed; a plan is being sought."""

    kind_of = StateKind.HARDSHIP
    until: Instant | None = None


class Vulnerability(AboutPerson):
    """The person needs more care than most: ``because`` is a code, never a description."""

    kind_of = StateKind.VULNERABILITY
    because: Literal["health", "mental_health", "age", "language", "life_event", "digital", "other"] = "other"


class BreathingSpaceStart(AboutPerson):
    """An official moratorium. A crisis moratorium has no end before the treatment has."""

    kind_of = StateKind.BREATHING_SPACE_START
    kind: Literal["standard", "mental_health_crisis"]
    start: Day
    treatment_ended: Day | None = None

    def _more(self) -> dict[str, Any]:
        if self.kind == "standard":
            return {"until_on": self.start + timedelta(days=_BREATHING_DAYS)}
        return {"until_on": _after_treatment(self.treatment_ended)}


class BreathingSpaceEnd(AboutPerson):
    """The moratorium was cancelled, or the treatment behind it ended."""

    kind_of = StateKind.BREATHING_SPACE_END
    treatment_ended: Day | None = None

    def _more(self) -> dict[str, Any]:
        return {"until_on": _after_treatment(self.treatment_ended)}


def _after_treatment(ended: Day | None) -> date | None:
    return None if ended is None else ended + timedelta(days=_CRISIS_DAYS + 1)


class Complaint(AboutAccount):
    """A complaint: ``about`` what, and which of us it concerns."""

    kind_of = StateKind.COMPLAINT
    about: Code
    involved: Reference | None = None


class ComplaintClosed(AboutAccount):
    """The complaint was decided."""

    kind_of = StateKind.COMPLAINT_CLOSED
    result: Code = "answered"


class WrongParty(StateEvent):
    """The number belongs to somebody else: it is used for nobody any more."""

    kind_of = StateKind.WRONG_PARTY
    contact_point: Reference


class ThirdPartyRefusal(StateEvent):
    """Somebody who does not owe wants no contact: never again, about whatever debt."""

    kind_of = StateKind.THIRD_PARTY_REFUSAL
    party: Reference


class EmployerProhibits(AboutPerson):
    """The employer allows no contact at work; ``contact_point`` is the number or address there."""

    kind_of = StateKind.EMPLOYER_PROHIBITS
    contact_point: Reference | None = None
    form: Form = "oral"
    until: Instant | None = None


class TimeBarred(StateEvent):
    """The period in which the debt may be sued for is over."""

    kind_of = StateKind.TIME_BARRED
    since: Day | None = None


class ConsentGiven(AboutPerson):
    """Permission, for exactly what it says: a time of day, a call back, a channel, a number."""

    kind_of = StateKind.CONSENT_GIVEN
    consent: Literal["time", "callback", "channel", "number"]
    starts: TimeOfDay | None = None
    ends: TimeOfDay | None = None
    channel: Channel | None = None
    contact_point: Reference | None = None
    given_to: Literal["collector", "creditor"] = "collector"
    evidence: Reference | None = None
    written: bool = False
    until: Instant | None = None

    @model_validator(mode="after")
    def _exact(self) -> "ConsentGiven":
        needs = {"time": ("starts", "ends"), "channel": ("channel",), "number": ("contact_point",)}
        for name in needs.get(self.consent, ()):
            if getattr(self, name) is None:
                message = f"consent to {self.consent} needs {name}"
                raise ValueError(message)
        return self


class ConsentWithdrawn(AboutPerson):
    """Permission taken back: of one kind, or all of it."""

    kind_of = StateKind.CONSENT_WITHDRAWN
    consent: Literal["time", "callback", "channel", "number"] | None = None
    channel: Channel | None = None
    contact_point: Reference | None = None


class Disaster(AboutPerson):
    """Flood, fire, earthquake: outreach rests."""

    kind_of = StateKind.DISASTER
    until: Instant | None = None


class Bereavement(AboutPerson):
    """Somebody close to the person died: outreach rests."""

    kind_of = StateKind.BEREAVEMENT
    until: Instant | None = None


class UnclearReply(StateEvent):
    """A reply that may be a refusal: a person must read it. The text stands in the inbox, named by ``note_ref``."""

    kind_of = StateKind.UNCLEAR_REPLY
    contact_point: Reference


class EndStateEvent(AboutPerson):
    """Ends an event: the one named (its key or its event id), or all of a kind that this message could have told."""

    kind_of = StateKind.ENDED
    event: Reference | None = None
    kind: StateKind | None = None
    scope: StateScope | None = None
    contact_point: Reference | None = None
    channel: Channel | None = None
    reason: Literal["answered", "lifted", "withdrawn", "cleared", "reopened", "expired", "recorded_in_error"]

    @model_validator(mode="after")
    def _names_one(self) -> "EndStateEvent":
        if (self.event is None) == (self.kind is None):
            message = "name either the event or its kind"
            raise ValueError(message)
        return self

    def _more(self) -> dict[str, Any]:
        return {"ends_kind": self.kind, "ends_event": self.event}


_ALL: tuple[type[StateEvent], ...] = (
    OptOut, OptIn, ChannelOptOut, InconvenientTime, InconvenientPlace, CeaseCommunication, AttorneyRepresented,
    AttorneyWithdrawn, BankruptcyFiled, BankruptcyDismissed, BankruptcyDischarged, Deceased, NoCapacity,
    Dispute, VerificationSent, OriginalCreditorRequest, OriginalCreditorSent, IdentityTheft, MilitaryService,
    Hardship, Vulnerability, BreathingSpaceStart, BreathingSpaceEnd, Complaint, ComplaintClosed, WrongParty,
    ThirdPartyRefusal, EmployerProhibits, TimeBarred, ConsentGiven, ConsentWithdrawn, Disaster, Bereavement,
    UnclearReply, EndStateEvent,
)  # fmt: skip

STATE_MESSAGES: dict[str, type[StateEvent]] = {str(model.kind_of): model for model in _ALL}
"""Signal name -> its model, one for every kind."""
