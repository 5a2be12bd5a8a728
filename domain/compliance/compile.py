"""Turns rows of a pack into rules that can be judged: conditions become predicates, parts become bodies.

This happens once, when a rule book is made; judging a contact then only binds bodies to its facts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from domain.calendar import local_date, start_of_day
from domain.compliance.conditions import Predicate, both, compiled
from domain.compliance.content import ContentCheck, content_check
from domain.compliance.counts import count_body
from domain.compliance.duties import barred_body, content_body, keep_body, require_body
from domain.compliance.grammar import Pack, Rule, expand
from domain.compliance.hours import hours_body, inconvenient_body
from domain.compliance.parts import ByConsent, Term, Then
from domain.compliance.question import MakeBody
from domain.compliance.states import fresh_body, state_body
from domain.compliance.words import WordList, word_list


@dataclass(frozen=True, slots=True)
class Lift:
    """What lifts a rule: facts, a consent, or both; ``rule_id`` names the rule that grants it."""

    holds: Predicate
    consent: ByConsent | None
    rule_id: str | None


@dataclass(frozen=True, slots=True)
class LiveRule:
    """A rule that is on, ready to be judged. ``clock`` is the legal clock of its place, ``None`` the debtor's."""

    id: str
    pack: str
    channels: frozenset[str]
    applies: Predicate
    clock: str | None
    bodies: tuple[MakeBody, ...]
    lifts: tuple[Lift, ...]
    since: date | None
    to: date | None
    approvable: bool
    content: ContentCheck | None
    term: Term | None

    def in_force(self, at: datetime, zones: tuple[str, ...]) -> bool:
        """Whether the rule is in force at an instant, in any of the zones the person may be in."""
        if self.since is None and self.to is None:
            return True
        days = [local_date(at, zone) for zone in zones]
        return (self.since is None or max(days) >= self.since) and (self.to is None or min(days) <= self.to)

    def lapses(self, zones: tuple[str, ...]) -> datetime | None:
        """Return the instant from which the rule is no longer in force; ``None`` if no end is known."""
        if self.to is None:
            return None
        return max(start_of_day(self.to + timedelta(days=1), zone) for zone in zones)


def compile_rule(rule: Rule, lender: Pack, pack: Pack) -> LiveRule:
    """Compile a rule of ``lender`` as it holds in ``pack``, which is the same pack unless the rule is borrowed."""
    clock = lender.zone
    lists = {
        name: word_list(one.whole, one.inside, one.codes, one.code_templates) for name, one in lender.words.items()
    }
    applies = compiled(rule.when)
    if pack.applies_if and not (rule.everyone and lender is pack):
        applies = both(compiled(pack.applies_if), applies)
    check = None if rule.content is None else content_check(rule.id, rule.title, rule.content)
    return LiveRule(
        id=rule.id,
        pack=pack.pack,
        channels=expand(rule.channels),
        applies=applies,
        clock=clock,
        bodies=tuple(_bodies(rule, lender, lists, check)),
        lifts=tuple(Lift(compiled(one.when), one.consent, one.id) for one in rule.except_),
        since=rule.effective.since,
        to=rule.effective.to,
        approvable=rule.override == "approval",
        content=check,
        term=rule.term,
    )


def _bodies(rule: Rule, lender: Pack, lists: Mapping[str, WordList], check: ContentCheck | None) -> Iterable[MakeBody]:
    clock = lender.zone
    in_time: Then = rule.then or "defer"
    at_once: Then = rule.then or "block"
    if rule.hours is not None:
        yield hours_body(rule.hours, in_time, clock, lender.holidays_of)
    if rule.inconvenient:
        yield inconvenient_body(in_time, clock)
    for count in rule.count:
        yield count_body(count, in_time, clock)
    for state in rule.state:
        yield state_body(state, at_once, clock, lists)
    if rule.fresh is not None:
        yield fresh_body(rule.fresh, at_once, lists)
    if rule.require:
        yield require_body(rule.require, at_once)
    if rule.barred:
        yield barred_body(at_once)
    if check is not None:
        yield content_body(check, at_once)
    if rule.keep is not None:
        yield keep_body(rule.keep, at_once, clock)
