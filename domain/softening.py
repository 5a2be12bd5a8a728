"""What a strategy does more gently while a flag stands on the person who owes: words, channels, offers. Pure."""

from collections.abc import Iterable

from domain.codes import Channel, Flag, Purpose
from domain.facts import Facts
from domain.strategy import Offer, Softening, Step, Strategy


def in_force(strategy: Strategy, flags: Iterable[Flag]) -> tuple[Softening, ...]:
    """Return the entries of ``soften`` that hold for these flags, in the order of the file."""
    standing = frozenset(flags)
    return tuple(one for one in strategy.soften if standing.intersection(one.when))


def left_out(strategy: Strategy, step: Step, flags: Iterable[Flag]) -> bool:
    """Whether a step is passed over for this person. A notice that the law requires never is."""
    if step.purpose is Purpose.REQUIRED_NOTICE:
        return False
    return any(step.via in one.leave_out for one in in_force(strategy, flags))


def gentler(strategy: Strategy, step: Step, flags: Iterable[Flag]) -> Step:
    """Return the step with the words this person gets: of several entries the first that names its template."""
    for one in in_force(strategy, flags):
        instead = one.templates.get(step.template or "")
        if instead is not None:
            return step.model_copy(update={"template": instead})
    return step


def offers(strategy: Strategy, flags: Iterable[Flag]) -> tuple[Offer, ...]:
    """Return the arrangements that should be offered, each once, in the order of the file."""
    return tuple(dict.fromkeys(offer for one in in_force(strategy, flags) for offer in one.offers))


def channels_left(strategy: Strategy, softening: Softening) -> frozenset[Channel]:
    """Return the channels of steps that collect which an entry leaves in the ladder."""
    return frozenset(step.via for step in strategy.steps if step.via not in softening.leave_out)


def unheard_flags(strategy: Strategy, heard: Facts, known: Facts) -> bool:
    """Whether the ledger knows of a flag that the case has not heard of, and that would change what it does."""
    return in_force(strategy, heard.flags) != in_force(strategy, known.flags)
