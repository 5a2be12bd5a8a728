"""Puts the rules and the record together."""

from tests.recheck import china, counts, court, hours, owing, people, stops
from tests.recheck.book import RULES, Book
from tests.recheck.court import check_legal
from tests.recheck.model import Violation
from tests.recheck.read import read_world
from tests.recheck.record import check_record

PARTS = (owing, hours, counts, china, stops, people, court)
"""The modules whose rules are entered by importing them."""


def recheck(url: str) -> list[Violation]:
    """Return every violation in the database at ``url``, in the order of time, those of the record last."""
    world = read_world(url)
    book = Book(world)
    found = [
        Violation(attempt.key, rule.id, why)
        for attempt in sorted(world.attempts, key=lambda one: one.order)
        for rule in RULES
        for why in rule.check(attempt, book)
    ]
    return [*dict.fromkeys(found), *check_record(world), *check_legal(world)]


def rule_ids() -> tuple[str, ...]:
    """Return the ids of all rules about attempts that are checked."""
    return tuple(dict.fromkeys(rule.id for rule in RULES))
