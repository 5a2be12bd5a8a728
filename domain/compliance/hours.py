"""Rules about the hour: quiet hours of a place, and the times a person ruled out.

Where the zone is not certain, contact is open only when it is open in every zone the person may be in. Where nothing
is known, it is not open at all.
"""

from dataclasses import dataclass
from datetime import datetime

from domain.compliance.facts import Consent
from domain.compliance.parts import Hours, Then
from domain.compliance.question import FAIL_CLOSED, Finding, MakeBody, Question, fits
from domain.compliance.timetable import DAY_S, HORIZON, NEVER, Timetable, spans_of_hours, stands

_ALL_DAY = {day: ((0.0, float(DAY_S)),) for day in range(7)}


@dataclass(frozen=True, slots=True)
class HoursBody:
    """A timetable, and the zones in which it must be open."""

    timetable: Timetable
    zones: tuple[str, ...]
    then: Then
    what: str
    notes: tuple[str, ...]

    def judge(self, at: datetime) -> Finding | None:
        """Say when contact is next open in every zone."""
        if all(self.timetable.is_open(at, zone) for zone in self.zones):
            return None
        until = self._next(at)
        return Finding(self.then, None if until >= NEVER else until, self.what, notes=self.notes)

    def lifted_by_consent(self, at: datetime) -> bool:
        """Whether contact is open at an instant only because the person agreed to the time."""
        return any(self.timetable.is_agreed_only(at, zone) for zone in self.zones)

    def _next(self, at: datetime) -> datetime:
        last = at + HORIZON
        while at <= last:
            latest = max(self.timetable.next_open(at, zone) for zone in self.zones)
            if latest == at:
                return at
            at = latest
        return NEVER


@dataclass(frozen=True, slots=True)
class UnknownHour:
    """The hour of a person of whose whereabouts nothing is known."""

    notes: tuple[str, ...] = (FAIL_CLOSED,)

    def judge(self, at: datetime) -> Finding | None:
        """Refuse: data must be repaired first."""
        del at
        return Finding("block", None, "the time zone is not known", notes=self.notes)


def hours_body(hours: Hours, then: Then, clock: str | None, holidays_of: str | None) -> MakeBody:
    """Compile quiet hours; ``clock`` is the legal clock of the place, ``None`` for the debtor's."""
    weekly, on_holidays = spans_of_hours(hours)
    terms = hours.consent

    def bind(question: Question) -> HoursBody | UnknownHour:
        zones = question.zones_for(clock)
        facts = question.facts
        if zones is None:
            return UnknownHour()
        consents: tuple[Consent, ...] = ()
        if terms is not None and facts.consents:
            consents = tuple(one for one in facts.consents if fits(one, terms) and stands(one, question.now))
        several = clock is None and len(set(facts.debtor.tz_candidates)) > 1
        notes = (hours.ambiguity,) if several and hours.ambiguity is not None else ()
        timetable = Timetable(
            open=weekly,
            on_holidays=on_holidays,
            holidays_of=hours.holidays_of or holidays_of,
            holidays=facts.holidays,
            consents=consents,
        )
        return HoursBody(timetable, zones, then, "outside permitted hours", notes)

    return bind


def inconvenient_body(then: Then, clock: str | None) -> MakeBody:
    """Compile the times that the person does not want."""

    def bind(question: Question) -> HoursBody | UnknownHour | None:
        closed = question.facts.debtor.inconvenient
        if not closed:
            return None
        zones = question.zones_for(clock)
        if zones is None:
            return UnknownHour()
        return HoursBody(Timetable(open=_ALL_DAY, closed=closed), zones, then, "a time the person does not want", ())

    return bind
