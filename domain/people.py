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

EventKind = Literal["receipt", "reply", "payment", "return", "call", "visit", "legal"]
SATURDAY = 5
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
        return next(reversed(weights))


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


# --- messages -------------------------------------------------------------------------------------------------

_EFFECT = {Channel.SMS: 0.8, Channel.EMAIL: 0.7, Channel.VOICE: 0.9, Channel.LETTER: 0.6}
_BAD_POINT = {Channel.SMS: 0.05, Channel.VOICE: 0.05, Channel.EMAIL: 0.04, Channel.LETTER: 0.03}
_REPLIES = {"paid": 0.25, "question": 0.40, "promise": 0.25, "stop": 0.10}
_BAD_CODE = {Channel.SMS: "30005", Channel.VOICE: "no_route", Channel.EMAIL: "bounce", Channel.LETTER: "returned"}


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
            plan.append(_payment(mine, traits, f"{attempt_key}/{debt.account_key}", debt, amount, paid_at, party_key, zone))
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
