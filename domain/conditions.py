"""Does a condition of a strategy hold for these facts?

A fact that is not known fails every test but ``none_of``: what we do not know never makes us firmer.
"""

from dataclasses import dataclass
from decimal import Decimal

from domain.codes import bucket_of
from domain.facts import Facts
from domain.money import minor_units
from domain.strategy import Amount, FactName, Strategy, Test


@dataclass(frozen=True, slots=True)
class History:
    """What was tried so far in this episode."""

    tries: int = 0
    rpcs: int = 0
    dispositions: frozenset[str] = frozenset()


def amount_in_minor(amount: Amount, currency: str) -> int | None:
    """Return an amount of a strategy file in minor units; ``None`` when it does not name the currency."""
    if isinstance(amount, dict):
        named = amount.get(currency)
        return None if named is None else amount_in_minor(named, currency)
    scaled = Decimal(str(amount)).scaleb(minor_units(currency))
    return int(scaled.to_integral_value(rounding="ROUND_CEILING"))


def min_past_due_of(strategy: Strategy, currency: str) -> int:
    """Return the least past due, in minor units, that opens a case; 0 for a currency that is not named."""
    return amount_in_minor(strategy.min_past_due, currency) or 0


def _money_holds(value: int, test: Test, currency: str) -> bool:
    if test.at_least is not None:
        least = amount_in_minor(test.at_least, currency)
        if least is None or value < least:
            return False
    if test.below is not None:
        bound = amount_in_minor(test.below, currency)
        return bound is None or value < bound
    return True


def _number_holds(value: int | None, test: Test) -> bool:
    if value is None:
        return False
    if test.at_least is not None and value < Decimal(str(test.at_least)):
        return False
    return test.below is None or value < Decimal(str(test.below))


def _region_in(region: str, words: tuple[str, ...]) -> bool:
    """Say whether a region or its country is named: ``US-IL`` is one of ``US``."""
    return region in words or region.partition("-")[0] in words


def _word_holds(fact: FactName, value: str | None, test: Test) -> bool:
    def among(words: tuple[str, ...]) -> bool:
        if not value:
            return False
        return _region_in(value, words) if fact == "region" else value in words

    if test.one_of is not None and not among(test.one_of):
        return False
    return test.none_of is None or not among(test.none_of)


def _set_holds(values: frozenset[str], test: Test) -> bool:
    if test.any_of is not None and not values.intersection(test.any_of):
        return False
    return test.none_of is None or not values.intersection(test.none_of)


def fact_holds(fact: FactName, test: Test, facts: Facts, history: History) -> bool:
    """Whether one test holds."""
    match fact:
        case "past_due" | "balance":
            return _money_holds(getattr(facts, fact), test, facts.currency)
        case "dpd" | "score":
            return _number_holds(getattr(facts, fact), test)
        case "tries" | "rpcs":
            return _number_holds(getattr(history, fact), test)
        case "dispositions":
            return _set_holds(history.dispositions, test)
        case "email_known" | "phone_known" | "address_known":
            return test.yes is None or getattr(facts, fact) is test.yes
        case "bucket":
            return _word_holds(fact, bucket_of(facts.dpd), test)
        case _:
            return _word_holds(fact, getattr(facts, fact), test)


def why_not(conditions: dict[FactName, Test], facts: Facts, history: History) -> str | None:
    """Return the name of the first fact whose test fails, or ``None`` when all hold."""
    return next((fact for fact, test in conditions.items() if not fact_holds(fact, test, facts, history)), None)


def holds(conditions: dict[FactName, Test], facts: Facts, history: History) -> bool:
    """Whether every test of a condition holds."""
    return why_not(conditions, facts, history) is None
