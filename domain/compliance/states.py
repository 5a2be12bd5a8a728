"""Rules about what we were told: a stop, a hold, a dispute, an opt-out word in a reply.

What we know binds at once, whatever its date says; what ends it must have happened. A reply that may mean a stop binds
too, and a person decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from domain.calendar import local_date, start_of_day
from domain.compliance.conditions import compiled
from domain.compliance.facts import Event, Facts
from domain.compliance.parts import Fresh, State, Then
from domain.compliance.question import HARDNESS, Finding, MakeBody, Question, end_of_days
from domain.compliance.timetable import NEVER
from domain.compliance.vocabulary import MEDIUM_OF_CHANNEL, MEDIUM_OF_EVENT, PHONE_CHANNELS
from domain.compliance.words import WordList

Lists = Mapping[str, WordList]
_READ = frozenset({"reply_reviewed"})
"""What ends the doubt about a reply: a person has read it, and recorded what it meant."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """One event that binds between two instants; ``end`` is ``NEVER`` when nothing is known to end it."""

    begin: datetime | None
    end: datetime
    then: Then
    since: datetime | None
    said: str


@dataclass(frozen=True, slots=True)
class StateBody:
    """What stands now and later, from what is known."""

    standing: tuple[_Standing, ...]
    notes: tuple[str, ...] = ()

    def judge(self, at: datetime) -> Finding | None:
        """Say what stands at an instant: the hardest of it, and the last end."""
        on = [one for one in self.standing if (one.begin is None or one.begin <= at) and at < one.end]
        if not on:
            return None
        hardest = max(on, key=lambda one: (HARDNESS[one.then], one.end, one.said))
        last = max(one.end for one in on)
        return Finding(hardest.then, None if last >= NEVER else last, hardest.said, hardest.since)


def state_body(state: State, then: Then, clock: str | None, lists: Lists) -> MakeBody:
    """Compile a state."""
    types, endings = frozenset(state.events), frozenset(state.ended_by)
    words = None if state.reply is None else lists[state.reply]
    reopening = None if state.ended_by_reply is None else lists[state.ended_by_reply]
    ended_if = compiled(state.ended_if) if state.ended_if else None
    decision = state.then or then

    def bind(question: Question) -> StateBody | None:
        facts = question.facts
        told = [event for event in facts.events if event.type in types]
        if not told:
            return None
        if ended_if is not None and ended_if(facts):
            return StateBody(())
        standing = []
        for event in told:
            sure = _means(event, words, facts)
            if sure is None or not _binds(event, state, question, clock):
                continue
            begin, end = _begin(event, state, question, clock), _end(event, state, question, clock)
            ended = _ended(event, facts, endings if sure else endings | _READ, reopening, state)
            standing.append(
                _Standing(begin, min(end, ended), decision if sure else "review", event.t, event.type.replace("_", " "))
            )
        return StateBody(tuple(standing))

    return bind


def _means(event: Event, words: WordList | None, facts: Facts) -> bool | None:
    """Return whether an event means this for sure, perhaps (False), or not at all (None)."""
    if not event.type.startswith("inbound_"):
        return True
    if words is None:
        return True
    if event.text is None:
        return None
    read = words.read(event.text, facts.last_template.type, facts.last_template.codes)
    return None if read is None else read == "sure"


def _binds(event: Event, state: State, question: Question, clock: str | None) -> bool:
    """Whether what an event is about is what this contact is about. What is not said may be the same."""
    facts = question.facts
    if state.forms and event.form is not None and event.form not in state.forms:
        return False
    if state.kinds and event.kind is not None and event.kind not in state.kinds:
        return False
    if state.no_later_than is not None:
        last = facts.validation.period_end
        zones = question.dates_for(clock)
        if last is not None and event.t is not None and all(local_date(event.t, zone) > last for zone in zones):
            return False
    return all(_shares(event, scope, facts) for scope in state.scope)


def _shares(event: Event, scope: str, facts: Facts) -> bool:
    match scope:
        case "debt":
            return not event.debts or not facts.debts or not set(event.debts).isdisjoint(facts.debts)
        case "person":
            return event.to is None or facts.to is None or event.to == facts.to
        case "number":
            if event.number is None or facts.number is None:
                return event.number is None or facts.channel in PHONE_CHANNELS
            return event.number == facts.number
        case _:
            medium = event.medium or MEDIUM_OF_EVENT.get(event.type)
            return medium is None or medium == MEDIUM_OF_CHANNEL.get(facts.channel)


def _begin(event: Event, state: State, question: Question, clock: str | None) -> datetime | None:
    """Return the instant from which an event binds; ``None`` is always."""
    if state.after_days is None or event.t is None:
        return None
    zones = question.dates_for(clock)
    days = timedelta(days=state.after_days + 1)
    return min(start_of_day(local_date(event.t, zone) + days, zone) for zone in zones)


def _end(event: Event, state: State, question: Question, clock: str | None) -> datetime:
    """Return the instant at which a state ends by itself."""
    zones = question.dates_for(clock)
    if event.until is not None:
        return end_of_days(event.until, 1, zones)
    if state.lasts is None:
        return NEVER
    days = state.lasts.days
    counted: date | None
    match state.lasts.since:
        case "start":
            counted = event.start
        case "treatment_ended":
            counted, days = event.treatment_ended, days + 1
        case "t":
            counted = None
    if counted is not None:
        return end_of_days(counted, days, zones)
    if event.t is None or state.lasts.since == "treatment_ended":
        return NEVER
    return max(end_of_days(local_date(event.t, zone), days, (zone,)) for zone in zones)


def _ended(event: Event, facts: Facts, endings: frozenset[str], reopening: WordList | None, state: State) -> datetime:
    """Return when something that ends a state happened after it."""
    ends = [
        other.t
        for other in facts.events
        if other.t is not None
        and (event.t is None or other.t >= event.t)
        and other is not event
        and _covers(other, facts)
        and (other.type in endings or _reopens(other, reopening, state))
    ]
    return min(ends, default=NEVER)


def _reopens(event: Event, reopening: WordList | None, state: State) -> bool:
    if reopening is None or event.text is None or event.type not in state.events:
        return False
    return reopening.read(event.text, None, ()) == "sure"


def _covers(ending: Event, facts: Facts) -> bool:
    """Whether an ending is about all that this contact is about. One that does not say is about everything."""
    return (
        (not ending.debts or (bool(facts.debts) and set(facts.debts) <= set(ending.debts)))
        and (ending.number is None or ending.number == facts.number)
        and (ending.to is None or ending.to == facts.to)
        and (ending.medium is None or ending.medium == MEDIUM_OF_CHANNEL.get(facts.channel))
    )


@dataclass(frozen=True, slots=True)
class FreshBody:
    """The instants at which it was said, and how long that is fresh."""

    said_at: tuple[datetime, ...]
    minutes: int
    then: Then
    what: str
    notes: tuple[str, ...] = ()

    def judge(self, at: datetime) -> Finding | None:
        """Refuse when nothing was said recently enough."""
        length = timedelta(minutes=self.minutes)
        if any(timedelta(0) <= at - said <= length for said in self.said_at):
            return None
        return Finding(self.then, None, f"no {self.what} within {self.minutes} minutes")


def fresh_body(fresh: Fresh, then: Then, lists: Lists) -> MakeBody:
    """Compile the duty that something was said recently."""
    words = None if fresh.reply is None else lists[fresh.reply]

    def bind(question: Question) -> FreshBody:
        facts = question.facts
        said = tuple(
            event.t
            for event in facts.events
            if event.t is not None and event.type in fresh.events and _means(event, words, facts)
        )
        return FreshBody(said, fresh.minutes, then, " or ".join(fresh.events).replace("_", " "))

    return bind
