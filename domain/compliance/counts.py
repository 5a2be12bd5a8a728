"""Rules that count: at most so many of something, for somebody, in a window.

An entry takes a place until an instant that follows from its own, and a later entry never frees its place earlier. So
the places are full until the end of the entry that took the last of them, counted from the latest back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from domain.calendar import local_date
from domain.compliance.facts import Facts, Past
from domain.compliance.parts import Count, Exclusion, Key, Then, Window
from domain.compliance.question import FAIL_CLOSED, Finding, MakeBody, Question, end_of_days, is_talk
from domain.compliance.timetable import NEVER
from domain.compliance.vocabulary import ANSWERED_RESULTS, CONNECTED_RESULTS, OWN_SIDE, PAST_GROUPS

Entry = Callable[[Past], bool]
_WEEK = 7
_KEYS = ("collector", "creditor", "institution", "number", "product", "purpose", "notice")
_SAME: Mapping[str, Callable[[Facts | Past], str | None]] = {
    "person": attrgetter("to"),
    **{key: attrgetter(key) for key in _KEYS},
}


@dataclass(frozen=True, slots=True)
class CountBody:
    """The instants until which all places are taken, one for each debt that is counted by itself."""

    full_until: tuple[datetime, ...]
    then: Then
    what: str
    notes: tuple[str, ...]

    def judge(self, at: datetime) -> Finding | None:
        """Say when a place is free again, if all are taken."""
        until = max((end for end in self.full_until if end > at), default=None)
        if until is None:
            return None
        return Finding(self.then, None if until >= NEVER else until, self.what, notes=self.notes)


def count_body(count: Count, then: Then, clock: str | None) -> MakeBody:
    """Compile a count; ``clock`` is the legal clock of the place, ``None`` for the debtor's."""
    types = frozenset().union(*(PAST_GROUPS.get(word, frozenset({word})) for word in count.of))
    belongs, span, limit = _outcome(count), _span(count.window), count.limit
    what = f"{limit} of {', '.join(count.of)} in {_in_words(count.window)}"

    def bind(question: Question) -> CountBody:
        facts, notes = question.facts, set[str]()
        oldest = _oldest(count.window, span, question)
        by_debt = "debt" in count.same and len(facts.debts) > 1
        full_until = []
        for debts in [(debt,) for debt in facts.debts] if by_debt else [facts.debts]:
            taken = 0
            for past in question.latest_first:
                if oldest is not None and past.t < oldest:
                    break
                if past.type not in types or not belongs(past) or not _concerns(past, facts, debts, count.same):
                    continue
                if count.exclude and _excluded(past, count.exclude, notes):
                    continue
                if past.result == "unknown":
                    notes.add(FAIL_CLOSED)
                taken += 1
                if taken == limit:
                    full_until.append(_end(past.t, count.window, question, clock))
                    break
        return CountBody(tuple(full_until), then, what, tuple(sorted(notes)))

    return bind


def _outcome(count: Count) -> Entry:
    """Return which entries of the right type count, by what became of them and by what they were."""
    only, least = count.only, count.min_seconds
    tests: list[Entry] = []
    match count.outcome:
        case "talk":
            tests.append(is_talk)
        case "connected":
            tests.append(lambda past: _ours(past) and _connected(past))
        case "effective":
            tests.append(lambda past: _ours(past) and _effective(past, least))
        case "attempt":
            tests.append(_ours)
    if only.modes:
        tests.append(lambda past: past.mode is None or past.mode in only.modes)
    if only.purposes:
        tests.append(lambda past: past.purpose in only.purposes)
    if only.number_types:
        tests.append(lambda past: past.number_type is None or past.number_type in only.number_types)
    if len(tests) == 1:
        return tests[0]
    return lambda past: all(test(past) for test in tests)


def _ours(past: Past) -> bool:
    return past.initiated_by is None or past.initiated_by in OWN_SIDE


def _connected(past: Past) -> bool:
    return past.type == "conversation" or past.result is None or past.result in CONNECTED_RESULTS


def _effective(past: Past, least: int) -> bool:
    if past.effective is False or (past.duration_s is not None and past.duration_s < least):
        return False
    return past.type in {"conversation", "visit"} or past.result is None or past.result in ANSWERED_RESULTS


def _concerns(past: Past, facts: Facts, debts: tuple[str, ...], same: tuple[Key, ...]) -> bool:
    """Whether an entry is about the same as this contact. What is not said on either side may be the same."""
    for key in same:
        if key == "debt":
            if past.debts and debts and set(past.debts).isdisjoint(debts):
                return False
            continue
        mine, theirs = _SAME[key](facts), _SAME[key](past)
        if mine is not None and theirs is not None and mine != theirs:
            return False
    return True


def _excluded(past: Past, exclude: tuple[Exclusion, ...], notes: set[str]) -> bool:
    """Whether an entry is not counted; the rule that says so is noted."""
    for one in exclude:
        if (
            (not one.results or past.result in one.results)
            and (not one.initiated_by or past.initiated_by in one.initiated_by)
            and (not one.purposes or past.purpose in one.purposes)
            and (one.with_consent is None or past.with_consent)
        ):
            notes |= {one.id} if one.id is not None else set()
            return True
    return False


def _span(window: Window) -> timedelta | None:
    """Return how far back an entry can still matter, with two days to spare for zones."""
    if window.calendar_days is not None:
        return timedelta(days=window.calendar_days + 2)
    if window.hours is not None:
        return timedelta(hours=window.hours)
    return timedelta(days=_WEEK + 2) if window.week is not None else None


def _oldest(window: Window, span: timedelta | None, question: Question) -> datetime | None:
    """Return the instant before which entries do not matter."""
    if window.since is not None:
        begun = [event.t for event in question.facts.events if event.type in window.since and event.t is not None]
        return max(begun, default=None)
    return None if span is None else question.now - span


def _end(at: datetime, window: Window, question: Question, clock: str | None) -> datetime:
    """Return the instant from which an entry no longer takes a place. The later the entry, the later its end."""
    if window.hours is not None:
        return at + timedelta(hours=window.hours)
    if window.since is not None or window.ever is not None:
        return NEVER
    return max(_end_in(at, window, zone) for zone in question.dates_for(clock))


def _end_in(at: datetime, window: Window, zone: str) -> datetime:
    day = local_date(at, zone)
    if window.calendar_days is not None:
        return end_of_days(day, window.calendar_days, (zone,))
    from_monday, from_sunday = _WEEK - day.weekday(), _WEEK - (day.weekday() + 1) % _WEEK
    days = {"from_monday": from_monday, "from_sunday": from_sunday}.get(window.week or "", _WEEK)
    return end_of_days(day, days, (zone,))


def _in_words(window: Window) -> str:
    if window.calendar_days is not None:
        return "a day" if window.calendar_days == 1 else f"{window.calendar_days} days"
    if window.hours is not None:
        return f"{window.hours} hours"
    if window.week is not None:
        return "a week"
    return "all" if window.ever is not None else f"all since {', '.join(window.since or ())}"
