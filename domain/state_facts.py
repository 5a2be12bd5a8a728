"""The state events that stand, in the words of the public facts format that rules are written in.

The keys are those of ``events``, ``consents`` and ``debtor`` there: an account's key is the debt, a party's key the
person, a contact point's key the number. See docs/messages.md for the mapping, kind by kind.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

from domain.state_events import StateKind, StateScope

FACT_TYPES: Mapping[StateKind, str] = {
    StateKind.OPT_OUT: "sms_stop",
    StateKind.CHANNEL_OPT_OUT: "medium_opt_out",
    StateKind.MILITARY: "active_military",
}
"""Kinds whose ``type`` in the facts format is another word; all others are called the same."""

OPT_OUT_OF_EMAIL, OPT_OUT_OF_WORK = "email_unsubscribe", "work_optout"
MEDIUM: Mapping[str, str] = {"voice": "call"}
"""Our channel -> the medium a person means; all others are called the same."""

_NO_EVENT = frozenset({StateKind.CONSENT_GIVEN, StateKind.INCONVENIENT_TIME, StateKind.VULNERABILITY})
"""Kinds that stand elsewhere in the format: among the consents, or on the debtor."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One event that stands. ``points``: those of the contact points asked about whose value it concerns.

    ``party_key`` is the person it is about; for a number, who has the contact point it was asked under.
    """

    key: str
    kind: StateKind
    scope: StateScope
    debtor_key: str | None
    party_key: str | None
    account_key: str | None
    contact_point_key: str | None
    channel: str | None
    creditor: str
    collector: str
    from_at: datetime
    until_at: datetime | None
    detail: Mapping[str, Any]
    event_id: str
    source: str
    point_kind: str | None
    points: tuple[str, ...]

    @property
    def number(self) -> str | None:
        """Return the contact point it concerns, by the key under which it was asked about if it was."""
        return self.points[0] if self.points else self.contact_point_key

    def as_event(self) -> dict[str, Any]:
        """Return it as an entry of ``events``. A scope that is absent is the widest, as the format says."""
        entry: dict[str, Any] = {"type": self._type(), "t": self.from_at}
        if self.scope is StateScope.ACCOUNT:
            entry["debts"] = (self.account_key,)
        if self.scope in {StateScope.PERSON, StateScope.CHANNEL, StateScope.NUMBER}:
            entry["to"] = self.party_key
        if self.number is not None:
            entry["number"] = self.number
        if self.kind is StateKind.CHANNEL_OPT_OUT and self.channel is not None:
            entry["medium"] = MEDIUM.get(self.channel, self.channel)
        for name in ("form", "kind", "attorney_known"):
            if name in self.detail:
                entry[name] = self.detail[name]
        for name in ("start", "treatment_ended"):
            if name in self.detail:
                entry[name] = date.fromisoformat(self.detail[name])
        return entry

    def _type(self) -> str:
        if self.kind is StateKind.OPT_OUT and self.point_kind == "email":
            return OPT_OUT_OF_EMAIL
        if self.kind is StateKind.INCONVENIENT_PLACE and self.detail.get("place") == "work":
            return OPT_OUT_OF_WORK
        if self.kind is StateKind.NO_CAPACITY:
            return str(self.detail.get("reason", "no_capacity"))
        return FACT_TYPES.get(self.kind, str(self.kind))

    def as_consent(self) -> dict[str, Any]:
        """Return a permission as an entry of ``consents``; a channel or number is named by its medium."""
        said = str(self.detail.get("consent", ""))
        entry: dict[str, Any] = {"type": said, "t": self.from_at, "given_to": self.detail.get("given_to")}
        if said == "channel" and self.channel is not None:
            entry["type"] = MEDIUM.get(self.channel, self.channel)
        if said == "time":
            entry |= {"opens": _time(self.detail["starts"]), "closes": _time(self.detail["ends"])}
        if "evidence" in self.detail:
            entry["evidence"] = self.detail["evidence"]
        if self.until_at is not None:
            entry["expires"] = self.until_at
        return entry

    def as_inconvenient(self) -> dict[str, Any]:
        """Return a time somebody does not want as an entry of ``debtor.inconvenient``."""
        return {
            "opens": _time(self.detail["starts"]),
            "closes": _time(self.detail["ends"]),
            "weekdays": tuple(self.detail.get("days", ())),
            "set_by": "consumer",
        }


@dataclass(frozen=True, slots=True)
class AsFacts:
    """What the standing events contribute to a facts object, ready to be spread into it.

    ``consented`` and ``in_writing`` are the media for which permission stands, for ``sms_consent`` and its like.
    """

    events: tuple[dict[str, Any], ...] = ()
    consents: tuple[dict[str, Any], ...] = ()
    inconvenient: tuple[dict[str, Any], ...] = ()
    debtor: dict[str, bool] = field(default_factory=dict)
    debt_flags: tuple[str, ...] = ()
    consented: frozenset[str] = frozenset()
    in_writing: frozenset[str] = frozenset()


_DEBTOR_IS: Mapping[StateKind, str] = {
    StateKind.DECEASED: "deceased",
    StateKind.MILITARY: "military_active",
    StateKind.BEREAVEMENT: "bereaved",
    StateKind.VULNERABILITY: "vulnerable",
}


def as_facts(standing: Iterable[Standing], recipient: str | None = None) -> AsFacts:
    """Return events as the facts format spells them. ``recipient``: the person to be contacted, whose consents count.

    Permissions and unwanted times of other persons are left out; events of other persons stay in, with their ``to``.
    """
    all_of_them = tuple(standing)
    own = [one for one in all_of_them if recipient is None or one.party_key == recipient]
    permissions = [one for one in own if one.kind is StateKind.CONSENT_GIVEN]
    consents = tuple(one.as_consent() for one in permissions)
    debtor = {
        _DEBTOR_IS[one.kind]: True for one in all_of_them if one.kind in _DEBTOR_IS and one.scope is StateScope.DEBTOR
    }
    for one in all_of_them:
        if one.kind is StateKind.NO_CAPACITY and one.scope is StateScope.DEBTOR:
            debtor[str(one.detail.get("reason", "no_capacity"))] = True
    if any(one.kind is StateKind.EMPLOYER_PROHIBITS for one in own):
        debtor["employer_prohibits"] = True
    media = {MEDIUM.get(one.channel, one.channel): one for one in permissions if one.channel is not None}
    return AsFacts(
        events=tuple(one.as_event() for one in all_of_them if one.kind not in _NO_EVENT),
        consents=consents,
        inconvenient=tuple(one.as_inconvenient() for one in own if one.kind is StateKind.INCONVENIENT_TIME),
        debtor=debtor,
        debt_flags=("time_barred",) if any(one.kind is StateKind.TIME_BARRED for one in all_of_them) else (),
        consented=frozenset(media),
        in_writing=frozenset(medium for medium, one in media.items() if one.detail.get("written")),
    )


def _time(text: str) -> time:
    return time(0) if text == "24:00" else time.fromisoformat(text)
