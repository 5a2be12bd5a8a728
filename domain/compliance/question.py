"""One contact as the rules look at it: the facts, and what several rules derive from them, derived once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import Protocol

from domain.calendar import known_zone, local_date, start_of_day
from domain.compliance.facts import Approval, Consent, Facts, Past, role_of
from domain.compliance.parts import ByConsent, Then
from domain.compliance.timetable import NEVER, stands

ALL_DATES = ("Pacific/Kiritimati", "Etc/GMT+12")
"""The first and the last place in which a day is: the strictest pair when the zone is not known."""
_when = attrgetter("t")
FAIL_CLOSED = "core.fail-closed"
HARDNESS: Mapping[Then, int] = {"block": 3, "review": 2, "defer": 1}
"""Which answer wins over which."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says against an instant.

    ``until`` is the earliest instant at which this rule alone would have nothing against it, ``None`` when no time
    heals it; ``since`` when the cause arose; ``said`` the reason in a few words, without personal data.
    """

    then: Then
    until: datetime | None = None
    said: str = ""
    since: datetime | None = None
    notes: tuple[str, ...] = ()


class Body(Protocol):
    """What a rule refuses, bound to one contact."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Ids of rules that shaped this one's view of the facts."""
        ...

    def judge(self, at: datetime) -> Finding | None:
        """Say what the rule has against an instant; ``None`` if nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """The facts of one contact, with its zones and the person's role."""

    facts: Facts
    now: datetime
    role: str
    zones: tuple[str, ...] | None
    """Zones in which the debtor may be; ``None`` when nothing is known, or a name is no zone."""
    latest_first: tuple[Past, ...]
    """The history, the latest first."""
    approvals: tuple[Approval, ...] = ()
    """What people let pass, as of now."""

    def zones_for(self, clock: str | None) -> tuple[str, ...] | None:
        """Return the zones that count for a rule with a legal clock of its own, or with the debtor's."""
        return (clock,) if clock is not None else self.zones

    def dates_for(self, clock: str | None) -> tuple[str, ...]:
        """Return zones for counting days; where nothing is known the whole span of the world."""
        return self.zones_for(clock) or ALL_DATES


MakeBody = Callable[[Question], Body | None]
"""Binds one part of a rule to a contact; ``None`` when nothing in the facts concerns it."""


def ask(facts: Facts) -> Question:
    """Return the question for these facts."""
    history = tuple(sorted(facts.history, key=_when, reverse=True))
    now = facts.now.astimezone(UTC)
    approvals = tuple(one for one in facts.approvals if one.t <= now)
    return Question(facts, now, role_of(facts), _zones(facts), history, approvals)


def _zones(facts: Facts) -> tuple[str, ...] | None:
    confirmed = facts.debtor.location_confirmed_tz
    zones = tuple(sorted({confirmed} if confirmed is not None else set(facts.debtor.tz_candidates)))
    return zones if zones and all(map(known_zone, zones)) else None


def end_of_days(day: date, days: int, zones: tuple[str, ...]) -> datetime:
    """Return the instant at which a span of days that begins with ``day`` has ended in every zone."""
    return max(start_of_day(day + timedelta(days=days), zone) for zone in zones)


def granted(question: Question, terms: ByConsent, clock: str | None) -> list[tuple[datetime, datetime]]:
    """Return the spans of time in which a consent of this kind stands, for consents already given."""
    spans = []
    for consent in question.facts.consents:
        if not fits(consent, terms) or not stands(consent, question.now):
            continue
        given = consent.t or question.now
        ends = [end for end in (consent.expires, consent.revoked_at) if end is not None]
        if terms.days is not None:
            zones = question.dates_for(clock)
            ends.append(min(start_of_day(local_date(given, z) + timedelta(days=terms.days), z) for z in zones))
        if terms.ends_with_talk:
            ends += [past.t for past in question.facts.history if past.t > given and is_talk(past)]
        spans.append((given, min(ends, default=NEVER)))
    return spans


def fits(consent: Consent, terms: ByConsent) -> bool:
    """Whether a consent is of the right type, was given to the right party and can be shown."""
    return (
        consent.type == terms.type
        and (not terms.given_to or consent.given_to in terms.given_to)
        and (not terms.evidence or consent.evidence is not None)
    )


def is_talk(past: Past) -> bool:
    """Whether a past contact was, or passes for, a live talk with the person.

    A call that a person answered is taken for a talk unless it is known to be none; an unknown result is not.
    """
    match past.type:
        case "conversation":
            return True
        case "call_in" | "visit_in":
            return past.effective is not False
        case "visit":
            return past.effective is True
        case _:
            answered = past.result in {"answered", "conversation"}
            return past.effective is True or (past.effective is None and answered)


def approved(approvals: tuple[Approval, ...], rule: str, since: datetime | None, at: datetime) -> bool:
    """Whether a person let this rule pass, after its cause arose."""
    return any(
        one.rule == rule and (one.expires is None or at < one.expires) and (since is None or one.t >= since)
        for one in approvals
    )
