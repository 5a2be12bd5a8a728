"""What standing events and holds leave of a ladder, and how that is said in words."""

from domain.case import OpenItem
from domain.codes import Channel, Purpose
from domain.facts import Facts, Holding
from domain.softening import left_out
from domain.state_events import EVERYTHING, MEANINGS, WITHDRAWS_ITEMS, WORDS, bars
from domain.strategy import Step, Strategy


def barred_altogether(facts: Facts) -> bool:
    """Whether no step of any ladder may be made: the case waits in place, as under a hold."""
    return any(MEANINGS[kind].bars == EVERYTHING and not MEANINGS[kind].passes for kind in facts.stops)


def no_contact(facts: Facts) -> bool:
    """Whether nobody may be contacted to collect, whatever else is left."""
    return any(Channel.SMS in MEANINGS[kind].bars for kind in facts.stops)


def barred(facts: Facts, step: Step) -> bool:
    """Whether what happened to the person or the debt bars this step for as long as it stands."""
    if legal_bars(facts, step.via, step.purpose):
        return True
    return any(bars(kind, step.via, step.purpose) for kind in facts.stops)


def legal_bars(facts: Facts, channel: Channel, purpose: Purpose) -> bool:
    """Whether the stage of a legal matter leaves no contact of this kind."""
    return channel in facts.legal_bars and purpose in {Purpose.COLLECT, Purpose.LOCATE}


def withdrawn(facts: Facts, strategy: Strategy, item: OpenItem) -> bool:
    """Whether an open item must be taken back: nobody may call or visit on it any more."""
    if item.step is None:
        return False
    if facts.hold is not None and facts.hold.reason in WITHDRAWS_ITEMS:
        return True
    step = strategy.steps[strategy.index_of(item.step)]
    return barred(facts, step) or left_out(strategy, step, facts.flags)


def words_of_hold(hold: Holding) -> str:
    """Say in words what a hold waits for."""
    words = WORDS.get(hold.reason, f"on hold ({hold.reason})")
    if hold.until is not None:
        return f"{words.partition(': ')[0]}: no contact until {hold.until:%Y-%m-%d %H:%M} UTC"
    return words if hold.reason in WORDS else f"{words} until an event ends it"


def words_of_stops(facts: Facts) -> str:
    """Say in words what bars the ladder: the strongest of what stands."""
    strongest = max(facts.stops, key=lambda kind: (len(MEANINGS[kind].bars) - len(MEANINGS[kind].passes), kind))
    return WORDS[strongest]


def words_of_matter(stage: str) -> str:
    """Say in words what a case in legal hands waits for."""
    return f"legal action ({stage.replace('_', ' ')}): waiting for its next stage, a payment or a settlement"
