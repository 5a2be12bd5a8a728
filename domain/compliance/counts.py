"""Rules that count: at most so many of something, for somebody, in a window.

Every counted entry holds its place until an instant that can be computed beforehand, so judging a later instant is a
look into a sorted list.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.calendar import local_date
from domain.compliance.facts import Facts, Past
from domain.compliance.parts import Count, Exclusion, Key, Then, Window
from domain.compliance.question import FAIL_CLOSED, Finding, MakeBody, Question, end_of_days, is_talk
from domain.compliance.timetable import NEVER
from domain.compliance.vocabulary import ANSWERED_RESULTS, CONNECTED_RESULTS, OWN_SIDE, PAST_GROUPS

Entry = Callable[[Past], bool]
_WEEK = 7


@dataclass(frozen=True, slots=True)
class CountBody:
    """Sorted ends of the places taken, one list for each debt that is counted by itself."""

    ends: tuple[tuple[datetime, ...], ...]
    limit: int
    then: Then
    what: str
    notes: tuple[str, ...]

    def judge(self, at: datetime) -> Finding | None:
        """Say when enough places are free again, if they are all taken."""
        until = None
        for ends in self.ends:
            taken = len(ends) - bisect_right(ends, at)
            if taken >= self.limit:
                free = ends[len(ends) - self.limit]
                until = free if until is None else max(until, free)
        if until is None:
            return None
        said = f"{self.limit} {self.what}"
        return Finding(self.then, None if until >= NEVER else until, said, notes=self.notes)


def count_body(count: Count, then: Then, clock: str | None) -> MakeBody:
    """Compile a count; ``clock`` is the legal clock of the place, ``None`` for the debtor's."""
    types = frozenset().union(*(PAST_GROUPS.get(word, frozenset({word})) for word in count.of))
    belongs = _outcome(count)
    span = _span(count.window)
    what = f"of {', '.join(count.of)} in {_in_words(count.window)}"

    def bind(question: Question) -> CountBody:
        oldest = None if span is None else question.now - span
        entries = [
            past
            for past in question.facts.history
            if past.type in types and (oldest is None or past.t > oldest) and belongs(past)
        ]
        notes: list[str] = []
        if entries:
            entries = [past for past in entries if _concerns(past, question.facts, count.same)]
            entries = _without_excluded(entries, count.exclude, notes)
            if any(past.result == "unknown" for past in entries):
                notes.append(FAIL_CLOSED)
        ends = _ends(entries, count.window, question, clock)
        per_debt = "debt" in count.same and len(question.facts.debts) > 1
        groups = (
            [[end for past, end in ends if not past.debts or debt in past.debts] for debt in question.facts.debts]
            if per_debt
            else [[end for _, end in ends]]
        )
        return CountBody(tuple(tuple(sorted(group)) for group in groups), count.limit, then, what, tuple(notes))

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


def _concerns(past: Past, facts: Facts, same: tuple[Key, ...]) -> bool:
    """Whether an entry is about the same as this contact. What is not said on either side may be the same."""
    return all(_same(past, facts, key) for key in same)


def _same(past: Past, facts: Facts, key: Key) -> bool:
    mine: str | None
    theirs: str | None
    match key:
        case "debt":
            return not past.debts or not facts.debts or not set(past.debts).isdisjoint(facts.debts)
        case "person":
            mine, theirs = facts.to, past.to
        case "collector":
            mine, theirs = facts.collector, past.collector
        case "creditor":
            mine, theirs = facts.creditor, past.creditor
        case "institution":
            mine, theirs = facts.institution, past.institution
        case "number":
            mine, theirs = facts.number, past.number
        case "product":
            mine, theirs = facts.product, past.product
        case "purpose":
            mine, theirs = facts.purpose, past.purpose
        case "notice":
            mine, theirs = facts.notice, past.notice
    return mine is None or theirs is None or mine == theirs


def _without_excluded(entries: list[Past], exclude: tuple[Exclusion, ...], notes: list[str]) -> list[Past]:
    for exclusion in exclude:
        kept = [past for past in entries if not _excluded(past, exclusion)]
        if len(kept) < len(entries) and exclusion.id is not None:
            notes.append(exclusion.id)
        entries = kept
    return entries


def _excluded(past: Past, exclusion: Exclusion) -> bool:
    return (
        (not exclusion.results or past.result in exclusion.results)
        and (not exclusion.initiated_by or past.initiated_by in exclusion.initiated_by)
        and (not exclusion.purposes or past.purpose in exclusion.purposes)
        and (exclusion.with_consent is None or past.with_consent)
    )


def _span(window: Window) -> timedelta | None:
    """Return how far back an entry can still matter, with two days to spare for zones."""
    if window.calendar_days is not None:
        return timedelta(days=window.calendar_days + 2)
    if window.hours is not None:
        return timedelta(hours=window.hours)
    return timedelta(days=_WEEK + 2) if window.week is not None else None


def _ends(entries: list[Past], window: Window, question: Question, clock: str | None) -> list[tuple[Past, datetime]]:
    """Return for each entry the instant from which it no longer takes a place."""
    if window.hours is not None:
        length = timedelta(hours=window.hours)
        return [(past, past.t + length) for past in entries]
    if window.since is not None:
        begun = [event.t for event in question.facts.events if event.type in window.since and event.t is not None]
        last = max(begun, default=None)
        return [(past, NEVER) for past in entries if last is None or past.t >= last]
    if window.ever is not None:
        return [(past, NEVER) for past in entries]
    zones = question.dates_for(clock)
    return [(past, max(_end_in(past.t, window, zone) for zone in zones)) for past in entries]


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
