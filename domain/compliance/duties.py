"""Rules that need no clock of their own: facts that must hold, contacts that are barred, texts, records, terms."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from domain.calendar import add_days, start_of_day
from domain.compliance.conditions import Conditions, Predicate, compiled
from domain.compliance.content import ContentCheck
from domain.compliance.parts import Keep, Term, Then
from domain.compliance.question import ALL_DATES, Finding, MakeBody, Question
from domain.compliance.words import folded


@dataclass(frozen=True, slots=True)
class Fixed:
    """A body whose answer is the same at every instant."""

    finding: Finding | None
    notes: tuple[str, ...] = ()

    def judge(self, at: datetime) -> Finding | None:
        """Say the same at every instant."""
        del at
        return self.finding


def require_body(conditions: Conditions, then: Then) -> MakeBody:
    """Compile facts that must hold."""
    holds: Predicate = compiled(conditions)
    names = sorted({path for tests in conditions for path in tests})
    finding = Fixed(Finding(then, None, f"needs {', '.join(names)}"))
    fine = Fixed(None)
    return lambda question: fine if holds(question.facts) else finding


def barred_body(then: Then) -> MakeBody:
    """Compile a contact that is barred outright."""
    finding = Fixed(Finding(then, None, "barred"))
    return lambda _: finding


def content_body(check: ContentCheck, then: Then) -> MakeBody:
    """Compile what the text must and must not say. Without a text there is nothing to judge yet."""

    def bind(question: Question) -> Fixed:
        facts = question.facts
        if facts.content is None:
            return Fixed(None)
        hits = check.hits(folded(facts.content), facts.language)
        return Fixed(Finding(then, None, f"line {hits[0].line}: {hits[0].what}") if hits else None)

    return bind


@dataclass(frozen=True, slots=True)
class KeepBody:
    """A record that may not be deleted before an instant; ``None`` when that is not known."""

    until: datetime | None
    then: Then
    notes: tuple[str, ...] = ()

    def judge(self, at: datetime) -> Finding | None:
        """Refuse to delete before the time."""
        if self.until is not None and at >= self.until:
            return None
        return Finding(self.then, self.until, "must still be kept")


def keep_body(keep: Keep, then: Then, clock: str | None) -> MakeBody:
    """Compile how long a record is kept."""
    holds = compiled(keep.until) if keep.until else None

    def bind(question: Question) -> Fixed | KeepBody:
        facts = question.facts
        if holds is not None and not holds(facts):
            return Fixed(Finding(then, None, "must still be kept"))
        if keep.years is None:
            return Fixed(None)
        days = [day for day in (facts.recorded_on, facts.last_activity_on) if day is not None]
        if not days:
            return KeepBody(None, then)
        day = _years_later(max(days), keep.years)
        zones = question.zones_for(clock) or ALL_DATES
        return KeepBody(max(start_of_day(day, zone) for zone in zones), then)

    return bind


def _years_later(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return date(day.year + years, 3, 1)


@dataclass(frozen=True, slots=True)
class Computed:
    """A computed term: the day of assumed receipt, and its end."""

    assumed_receipt: date
    value: date


def compute_term(term: Term, question: Question) -> Computed | None:
    """Return the term, or ``None`` when the day it counts from is not known."""
    facts = question.facts
    if facts.compute != term.what or facts.sent_on is None:
        return None
    received = add_days(facts.sent_on, term.working_days, "business", term.holidays_of)
    return Computed(received, received + timedelta(days=term.then_days))
