"""How simulated carriers and people behave: a plan of everything that follows from one contact.

Used by the sandbox provider only, never in production decisions. Each chance is a hash of the seed and of identifiers
from outside (the lender's account number, the recipient, the step, the instant), never of the order in which things
ran, so the same seed gives the same world. It must never look at a clock, and plans hold codes and keys, no names.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

from domain.calendar import at_local, known_zone, local_date
from domain.codes import AttemptStatus, Channel, Reached, TaskKind

EventKind = Literal["receipt", "callback", "reply", "payment", "return", "call", "visit", "legal"]
SATURDAY = 5
VISITORS = 2
"""How many people go together."""
_DAY = timedelta(days=1)
_SCALE = float(2**53)


@dataclass(frozen=True, slots=True)
class Debt:
    """One account as a contact names it: amount past due in minor units, the lender's reference seeds its owner."""

    case_key: str
    account_key: str
    reference: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing that will happen. ``case_key`` is set when the case is told of it, and so must wait for it."""

    external_id: str
    kind: EventKind
    at: datetime
    case_key: str | None
    party_key: str | None
    body: Mapping[str, Any]
    then: tuple["Planned", ...] = field(default=())
    """What this causes: it is planned for real when this has happened, and never if it does not."""

    def as_row(self) -> dict[str, Any]:
        """Return it as JSON values, consequences included in ``body`` under ``then``."""
        body = dict(self.body)
        if self.then:
            body["then"] = [one.as_row() for one in self.then]
        return {
            "external_id": self.external_id,
            "kind": self.kind,
            "at": self.at.isoformat(),
            "case_key": self.case_key,
            "party_key": self.party_key,
            "body": body,
        }


class Chance:
    """Numbers that depend on the seed and the subject alone; each name draws its own, in any order."""

    __slots__ = ("_prefix",)

    def __init__(self, seed: int, *subject: str) -> None:
        self._prefix = "\x1f".join((str(seed), *subject, ""))

    def unit(self, name: str) -> float:
        """Return a number from 0 to below 1."""
        digest = hashlib.sha256((self._prefix + name).encode()).digest()
        return (int.from_bytes(digest[:8]) >> 11) / _SCALE

    def happens(self, name: str, probability: float) -> bool:
        """Say yes with a probability."""
        return self.unit(name) < probability

    def between(self, name: str, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""
        return low + int(self.unit(name) * (high - low + 1))

    def pick(self, name: str, weights: Mapping[str, float]) -> str:
        """Choose one of the keys by its weight."""
        left = self.unit(name) * sum(weights.values())
        for key, weight in weights.items():
            left -= weight
            if left < 0:
                return key
        return list(weights)[-1]


@dataclass(frozen=True, slots=True)
class Temperament:
    """How the owner of a debt reacts. All numbers are probabilities."""

    pays: float
    pays_in_full: float
    promises: float
    keeps_promise: float
    replies: float
    payment_returns: float


TEMPERAMENTS: Mapping[str, Temperament] = {
    "forgetful": Temperament(0.45, 0.90, 0.60, 0.85, 0.10, 0.02),
    "strapped": Temperament(0.20, 0.40, 0.55, 0.55, 0.20, 0.10),
    "avoiding": Temperament(0.06, 0.60, 0.25, 0.40, 0.04, 0.08),
    "refusing": Temperament(0.02, 0.50, 0.05, 0.30, 0.12, 0.05),
}
_SHARES = {"forgetful": 0.45, "strapped": 0.27, "avoiding": 0.17, "refusing": 0.11}


def temperament(seed: int, reference: str) -> str:
    """Name the temperament behind a debt; it stays the same for the whole life of the debt."""
    return Chance(seed, "temperament", reference).pick("kind", _SHARES)


# --- messages ----------------------------------------------------------------------------------------------

_EFFECT = {Channel.SMS: 0.8, Channel.EMAIL: 0.7, Channel.VOICE: 0.9, Channel.LETTER: 0.6}
_BAD_POINT = {Channel.SMS: 0.05, Channel.VOICE: 0.05, Channel.EMAIL: 0.04, Channel.LETTER: 0.03}
_REPLIES = {"paid": 0.25, "question": 0.40, "promise": 0.25, "stop": 0.10}
_BAD_CODE = {
    Channel.SMS: "30005",
    Channel.VOICE: "no_route",
    Channel.EMAIL: "bounce",
    Channel.LETTER: "returned",
}


def bad_contact_point(seed: int, channel: Channel, recipient: str) -> bool:
    """Whether nothing ever arrives there. A phone is bad for text and voice alike, and stays bad."""
    kind = "phone" if channel in {Channel.SMS, Channel.VOICE} else channel.value
    return Chance(seed, "point", kind, recipient).happens("bad", _BAD_POINT.get(channel, 0.0))


def after_message(
    seed: int,
    *,
    attempt_key: str,
    provider_id: str,
    channel: Channel,
    step: str,
    try_no: int,
    party_key: str,
    recipient: str,
    debts: Sequence[Debt],
    zone: str,
    at: datetime,
) -> list[Planned]:
    """Plan what follows from one message that the carrier took: receipt, reply, payments and their return."""
    debts = sorted(debts, key=lambda debt: debt.reference)
    subject = debts[0].reference if debts else recipient
    chance = Chance(seed, "message", subject, channel.value, step, str(try_no), at.astimezone(UTC).isoformat())
    status, code = _receipt(seed, chance, channel, recipient)
    case_key = debts[0].case_key if debts else None
    owner = attempt_key.rpartition("/")[0]
    receipt_at = at + _receipt_delay(chance, channel)
    body = {"attempt": attempt_key, "status": status.value, "provider_id": provider_id}
    if code:
        body["error_code"] = code
    told = owner if status is not AttemptStatus.DELIVERED else None
    plan = [Planned(f"receipt/{attempt_key}", "receipt", receipt_at, told, party_key, body)]
    if status not in {AttemptStatus.DELIVERED, AttemptStatus.ANSWERED}:
        return plan
    if debts and chance.happens("reply", TEMPERAMENTS[temperament(seed, subject)].replies):
        reply_at = odd(receipt_at + timedelta(minutes=chance.between("reply after", 2, 600)))
        reply = {"attempt": attempt_key, "case": case_key, "code": chance.pick("reply code", _REPLIES)}
        plan.append(Planned(f"reply/{attempt_key}", "reply", reply_at, None, party_key, reply))
    effect = _EFFECT.get(channel, 0.5) * 0.85 ** (try_no - 1)
    for debt in debts:
        mine = Chance(seed, "pays", debt.reference, channel.value, step, str(try_no), at.isoformat())
        traits = TEMPERAMENTS[temperament(seed, debt.reference)]
        if debt.amount > 0 and mine.happens("pays", traits.pays * effect):
            amount = _amount(mine, traits, debt.amount)
            paid_at = odd(receipt_at + timedelta(minutes=_payment_delay(mine)))
            name = f"{attempt_key}/{debt.account_key}"
            plan.append(_payment(mine, traits, name, debt, amount, paid_at, party_key, zone))
    return plan


def _receipt(seed: int, chance: Chance, channel: Channel, recipient: str) -> tuple[AttemptStatus, str]:
    if bad_contact_point(seed, channel, recipient):
        lost = AttemptStatus.UNDELIVERED if channel is Channel.LETTER else AttemptStatus.FAILED
        return lost, _BAD_CODE.get(channel, "failed")
    if channel is Channel.VOICE:
        outcome = chance.pick("voice", {"answered": 0.40, "voicemail": 0.25, "no_answer": 0.35})
        if outcome == "answered":
            return AttemptStatus.ANSWERED, ""
        return (AttemptStatus.DELIVERED, "") if outcome == "voicemail" else (AttemptStatus.UNDELIVERED, outcome)
    if channel is Channel.SMS and chance.happens("unreachable", 0.04):
        return AttemptStatus.UNDELIVERED, "30003"
    return AttemptStatus.DELIVERED, ""


def _receipt_delay(chance: Chance, channel: Channel) -> timedelta:
    if channel is Channel.LETTER:
        return timedelta(days=chance.between("post", 2, 5), hours=3, seconds=1)
    return timedelta(seconds=2 * chance.between("receipt", 1, 20) + 1)


def _payment_delay(chance: Chance) -> int:
    """Return minutes: half pay within hours, the others within three days."""
    soon = chance.happens("soon", 0.5)
    return chance.between("hours", 20, 600) if soon else chance.between("days", 600, 4300)


def _amount(chance: Chance, traits: Temperament, past_due: int) -> int:
    if chance.happens("in full", traits.pays_in_full):
        return past_due + (chance.between("too much", 1, 500) if chance.happens("overpays", 0.03) else 0)
    return max(1, past_due * chance.between("percent", 20, 80) // 100)


# --- payments ----------------------------------------------------------------------------------------------


def odd(at: datetime) -> datetime:
    """Return the instant with an odd second: steps are due on even ones, so the two never fall together."""
    at = at.replace(microsecond=0)
    return at if at.second % 2 else at + timedelta(seconds=1)


def _day_in(zone: str, at: datetime) -> str:
    return (local_date(at, zone) if known_zone(zone) else at.date()).isoformat()


def _payment(
    chance: Chance,
    traits: Temperament,
    name: str,
    debt: Debt,
    amount: int,
    at: datetime,
    party_key: str | None,
    zone: str,
) -> Planned:
    """Plan a payment, and sometimes its return some days later."""
    payment_id = f"SBP/{name}"
    told = debt.case_key or None
    body = {
        "payment_id": payment_id,
        "account": debt.account_key,
        "amount": amount,
        "currency": debt.currency,
        "value_on": _day_in(zone, at),
    }
    then: tuple[Planned, ...] = ()
    if chance.happens("returns", traits.payment_returns):
        back_at = odd(at + timedelta(days=chance.between("return after", 2, 6), minutes=37))
        back = {
            "payment_id": payment_id,
            "account": debt.account_key,
            "reason": "returned",
            "value_on": _day_in(zone, back_at),
        }
        then = (Planned(f"return/{name}", "return", back_at, told, party_key, back),)
    return Planned(f"payment/{name}", "payment", at, told, party_key, body, then)


# --- work of people of ours --------------------------------------------------------------------------------

_CALL = {"answered": 0.45, "no_answer": 0.25, "voicemail": 0.15, "third_party": 0.08, "wrong_number": 0.07}
_ANSWERED = {
    "refused": 0.30,
    "callback": 0.15,
    "dispute": 0.05,
    "hardship": 0.07,
    "paid_already": 0.03,
}
_VISIT = {"met": 0.50, "not_home": 0.38, "moved": 0.12}
_WORKED = {TaskKind.CALL: 0.88, TaskKind.VISIT: 0.80, TaskKind.LEGAL: 0.95}
_SLOTS_LATER = {TaskKind.CALL: (0, 2), TaskKind.VISIT: (1, 5), TaskKind.LEGAL: (2, 6)}
_SLOT_HOUR = 17


def next_slot(seed: int, subject: Sequence[str], zone: str, at: datetime, *, later: int = 0) -> datetime:
    """Return the first instant after ``at`` at which this person is worked: a weekday, 17:mm:ss local.

    One fixed instant for each day and subject, so that all cases of the day meet in it; ``later`` skips days of work.
    """
    where = zone if known_zone(zone) else "UTC"
    day = local_date(at, where)
    while True:
        if day.weekday() < SATURDAY:
            slot = Chance(seed, "slot", *subject, day.isoformat())
            clock = time(_SLOT_HOUR, slot.between("minute", 0, 59), 2 * slot.between("second", 0, 29) + 1)
            instant = at_local(day, clock, where)
            if instant > at:
                if later == 0:
                    return instant
                later -= 1
        day += _DAY


def after_task(
    seed: int,
    *,
    item_key: str,
    kind: TaskKind,
    person: str,
    party_key: str,
    creditor: str,
    collector: str,
    debts: Sequence[Debt],
    zone: str,
    at: datetime,
) -> list[Planned]:
    """Plan how a work item ends for each case on it, or nothing when nobody will ever work it.

    ``person`` is the lender's identifier of the person. Cases planned on the same day get the same outcome.
    """
    if kind not in _WORKED or not debts:
        return []
    subject = (kind.value, person, creditor, collector)
    first = next_slot(seed, subject, zone, at)
    chance = Chance(seed, "work", *subject, first.isoformat())
    if not chance.happens("worked", _WORKED[kind]):
        return []
    low, high = _SLOTS_LATER[kind]
    later = 0 if kind is TaskKind.CALL and chance.happens("at once", 0.7) else chance.between("later", low, high)
    slot = next_slot(seed, subject, zone, at, later=later)
    if kind is TaskKind.LEGAL:
        return [_legal(chance, item_key, party_key, debt, slot) for debt in debts]
    outcome = _outcome(chance, kind, TEMPERAMENTS[temperament(seed, person)])
    if outcome["disposition"] == "callback":
        outcome["callback_at"] = next_slot(seed, subject, zone, slot).isoformat()
    alone = len(debts) == 1
    return [
        _worked(seed, chance, kind, item_key, party_key, debt, dict(outcome), zone, slot, alone=alone) for debt in debts
    ]


def _outcome(chance: Chance, kind: TaskKind, traits: Temperament) -> dict[str, Any]:
    """Choose who was reached and what came of it, as the fields of the outcome signal."""
    first = chance.pick("reached", _VISIT if kind is TaskKind.VISIT else _CALL)
    if first in {"answered", "met"}:
        if chance.happens("promise", traits.promises):
            said = "promise"
        else:
            said = "met" if first == "met" else chance.pick("said", _ANSWERED)
        reached = Reached.RIGHT_PARTY
    else:
        said = first
        reached = Reached.THIRD_PARTY if first in {"third_party", "wrong_number", "moved"} else Reached.NO_ONE
    outcome: dict[str, Any] = {"party_reached": reached.value, "disposition": said}
    if kind is TaskKind.VISIT:
        outcome["visitors"] = VISITORS
    if kind is TaskKind.CALL:
        spoke = reached is not Reached.NO_ONE
        outcome["duration_seconds"] = chance.between("seconds", 30, 600) if spoke else chance.between("ring", 0, 45)
    return outcome


def _worked(
    seed: int,
    chance: Chance,
    kind: TaskKind,
    item_key: str,
    party_key: str,
    debt: Debt,
    outcome: dict[str, Any],
    zone: str,
    slot: datetime,
    *,
    alone: bool,
) -> Planned:
    """Plan the outcome for one case of the item, and whether the promise in it is kept."""
    then: tuple[Planned, ...] = ()
    name = f"{item_key}/{debt.case_key}"
    if outcome["disposition"] == "promise":
        traits = TEMPERAMENTS[temperament(seed, debt.reference)]
        paid_at = odd(slot + timedelta(days=chance.between("promised", 2, 8)) - timedelta(hours=6))
        outcome["promised_on"] = _day_in(zone, paid_at)
        if alone and debt.amount > 0:
            outcome |= {"amount": debt.amount, "currency": debt.currency}
        mine = Chance(seed, "keeps", debt.reference, slot.isoformat())
        if debt.amount > 0 and mine.happens("keeps", traits.keeps_promise):
            then = (_payment(mine, traits, name, debt, debt.amount, paid_at, party_key, zone),)
    body = {"item": item_key, "reference": debt.reference, "outcome": outcome}
    event_kind: EventKind = "visit" if kind is TaskKind.VISIT else "call"
    return Planned(f"work/{name}", event_kind, slot, debt.case_key, party_key, body, then)


_TO_THE_NOTICE, _NOTICE_RUNS, _YEARS_LEFT = 1, 32, 2


def _legal(chance: Chance, item_key: str, party_key: str, debt: Debt, slot: datetime) -> Planned:
    """Plan what the legal department does: one puts it forward, another returns it, or approves, warns and files."""
    name = f"{item_key}/{debt.case_key}"

    def stage(word: str, days: int, who: int, more: dict[str, str], then: tuple[Planned, ...] = ()) -> Planned:
        at = slot if days == 0 else odd(slot + timedelta(days=days))
        outcome = {"stage": word, "actor": f"legal/{who}", **more}
        body = {"item": item_key, "reference": debt.reference, "outcome": outcome}
        key = f"work/{name}" if days == 0 else f"{word}/{name}"
        return Planned(key, "legal", at, debt.case_key, party_key, body, then)

    if chance.happens("approved", 0.75):
        waits = _NOTICE_RUNS + chance.between("filed after", 7, 21)
        filed = stage("filed", waits, 2, {"document_ref": f"court/{debt.reference}"})
        notice = stage("notice", _TO_THE_NOTICE + 1, 1, {"document_ref": f"notice/{debt.reference}"}, (filed,))
        then = (stage("approved", _TO_THE_NOTICE, 2, {}, (notice,)),)
    else:
        then = (stage("returned", 1, 2, {"reason": "no_papers"}),)
    too_late = (slot + timedelta(days=365 * _YEARS_LEFT)).date().isoformat()
    return stage("review", 0, 1, {"limitation_on": too_late}, then)
