"""What may be agreed: the policies of ``policies/plans.yaml``, typed, and what they say about one account.

A policy is read by a collections manager like a strategy: unknown keys are errors. It says for whom it is, how long,
in how many lines, with which discount, and from where on a second person must approve. Interest and fees are words
for people and for the lender's system: nothing of them is computed here.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import ceil
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from domain.arrangements import (
    MOST_LINES,
    ArrangementError,
    ArrangementKind,
    Covers,
    DpdEffect,
    Frequency,
    Line,
    check_sums,
    due_days,
    lay_out,
)
from domain.conditions import History, amount_in_minor, holds
from domain.facts import Facts
from domain.strategy import Amount, Between, Clause, Conditions

Channels = Literal["sms", "email", "voice", "letter"]
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
_DAYS_OF = {"month": 31, "two_weeks": 14, "week": 7}


class PlanError(ValueError):
    """An arrangement that cannot be offered, agreed, approved or found. One line: what, and how to mend."""


def _listed(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    return [value] if isinstance(value, str) else value


class Reminder(Clause):
    """The courtesy reminder before each line: the first channel on which the debtor can be reached."""

    days_before: Annotated[int, Field(ge=0, le=30)] = 2
    channels: Annotated[tuple[Channels, ...], BeforeValidator(_listed), Field(min_length=1)] = ("sms", "email")
    template: str = "plan-reminder"
    between: Between = Between()


class Count(Clause):
    """From how many to how many."""

    at_least: Annotated[int, Field(ge=1, le=MOST_LINES)] = 1
    at_most: Annotated[int, Field(ge=1, le=MOST_LINES)] = 1

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.at_least > self.at_most:
            message = "'at_least' is more than 'at_most'; exchange them"
            raise ValueError(message)
        return self


class Longest(Clause):
    """The last line comes at the latest so long after the agreement: ``months`` or ``days``."""

    months: Annotated[int, Field(ge=1, le=120)] | None = None
    days: Annotated[int, Field(ge=1, le=3660)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.months is None) == (self.days is None):
            message = "say either 'months' or 'days'; for example {months: 60}"
            raise ValueError(message)
        return self

    def last_day(self, today: date) -> date:
        """Return the last day a line may be due."""
        if self.days is not None:
            return today + timedelta(days=self.days)
        return due_days(today, (self.months or 1) + 1, "month")[-1]


class FirstPayment(Clause):
    """What must be paid first: at least a share of what is agreed, within some days."""

    percent: Annotated[int, Field(ge=0, le=100)] = 0
    within_days: Annotated[int, Field(ge=0, le=366)] = 31


class ReAge(Clause):
    """When days past due may be counted anew: after so many kept lines, and once in so many months."""

    after_lines: Annotated[int, Field(ge=0, le=120)] = 3
    once_in_months: Annotated[int, Field(ge=1, le=120)] = 12


class Approval(Clause):
    """Above what a second person must approve. What is not written needs no approval."""

    amount_above: Amount | None = None
    lines_above: Annotated[int, Field(ge=1)] | None = None
    discount_above_percent: Annotated[int, Field(ge=0, le=100)] | None = None
    always: bool = False
    meanwhile: Literal["continue", "rest"] = "continue"
    """Whether outreach goes on or rests until somebody has decided."""


class PlanPolicy(Clause):
    """What may be agreed with the accounts of one segment."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
    description: str = ""
    kind: ArrangementKind
    segment: Conditions
    covers: Annotated[tuple[Covers, ...], BeforeValidator(_listed), Field(min_length=1)] = (Covers.PAST_DUE,)
    lines: Count = Count()
    every: Annotated[tuple[Frequency, ...], BeforeValidator(_listed), Field(min_length=1)] = ("month",)
    first_payment: FirstPayment = FirstPayment()
    least_line: Amount = 0
    longest: Longest
    discount_at_most_percent: Annotated[int, Field(ge=0, le=99)] = 0
    interest: Word = "unchanged"
    fees: Word = "unchanged"
    dpd_effect: DpdEffect = DpdEffect.NONE
    re_age: ReAge = ReAge()
    grace_days: Annotated[int, Field(ge=0, le=31)] = 0
    reminder: Reminder | None = None
    resume: str = "strategy"
    """Where the ladder goes on when it fails: as the strategy says, ``next``, or a step of it by name."""
    approval: Approval = Approval()

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind is ArrangementKind.PROMISE and self.lines.at_most > 1:
            message = "a promise has one line; write lines: {at_least: 1, at_most: 1} or another kind"
            raise ValueError(message)
        if (self.discount_at_most_percent > 0) != (self.kind is ArrangementKind.SETTLEMENT):
            message = "'discount_at_most_percent' belongs to a settlement, which needs it"
            raise ValueError(message)
        return self


class PlanBook(Clause):
    """All policies, in the order in which they are looked through. Empty: a promise is kept or not, without grace."""

    version: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    policies: tuple[PlanPolicy, ...] = ()

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        names = [one.name for one in self.policies]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            message = f"policy name used twice: {', '.join(twice)}; rename one"
            raise ValueError(message)
        return self

    def of(self, facts: Facts, *, kind: ArrangementKind | None = None, name: str | None = None) -> list[PlanPolicy]:
        """Return the policies for an account, in order: of a kind, or the one named."""
        return [
            one
            for one in self.policies
            if (kind is None or one.kind is kind)
            and (name is None or one.name == name)
            and holds(one.segment, facts, History())
        ]


BARE_PROMISE = PlanPolicy(
    name="bare-promise", kind=ArrangementKind.PROMISE, segment={}, covers=tuple(Covers), longest=Longest(days=366)
)
"""What a promise is where no policy speaks of one: outreach rests until the day after it."""


def digest_of(policy: PlanPolicy) -> str:
    """Return the SHA-256 of the policy's canonical JSON, in hex."""
    canonical = json.dumps(policy.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


# --- one proposal ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody wants to agree: amounts in minor units of the account's currency."""

    kind: ArrangementKind
    covers: Covers
    covered: int
    lines: tuple[Line, ...]
    discount: int = 0
    dpd_effect: DpdEffect | None = None
    """``None``: what the policy says."""

    @property
    def amount(self) -> int:
        """What is to be paid."""
        return sum(line.amount for line in self.lines)


@dataclass(frozen=True, slots=True)
class Before:
    """What earlier arrangements of the account bear on a new one."""

    re_aged_on: date | None = None


def covered_amount(covers: Covers, facts: Facts, part: int | None = None) -> int:
    """Return what an arrangement about this much of the debt covers; ArrangementError for a part that is none."""
    if covers is Covers.PAST_DUE:
        return facts.past_due
    if covers is Covers.BALANCE:
        return facts.balance
    if part is None or not 0 < part <= max(facts.balance, facts.past_due):
        raise ArrangementError("a part is more than nothing and no more than the balance")
    return part


def breaches(
    policy: PlanPolicy, proposal: Proposal, facts: Facts, today: date, before: Before | None = None
) -> Iterator[str]:
    """Say in words what of a proposal the policy does not allow."""
    try:
        check_sums(proposal.kind, proposal.lines, proposal.covered, proposal.discount)
    except ArrangementError as error:
        yield str(error)
        return
    if proposal.covers not in policy.covers:
        yield f"covers {proposal.covers}; allowed: {', '.join(policy.covers)}"
    if proposal.covers is not Covers.PART and proposal.covered != covered_amount(proposal.covers, facts):
        yield f"covers {proposal.covered}, but {proposal.covers} is {covered_amount(proposal.covers, facts)}"
    if proposal.covers is Covers.PART and not 0 < proposal.covered <= max(facts.balance, facts.past_due):
        yield "covers more than the balance"
    yield from _breaches_of_time(policy, proposal, today)
    yield from _breaches_of_money(policy, proposal, facts)
    effect = proposal.dpd_effect or policy.dpd_effect
    if effect is not policy.dpd_effect and effect is not DpdEffect.NONE:
        yield f"days past due: {effect}; allowed: {policy.dpd_effect}"
    if effect is DpdEffect.RE_AGE and before is not None and before.re_aged_on is not None:
        free_on = due_days(before.re_aged_on, policy.re_age.once_in_months + 1, "month")[-1]
        if today < free_on:
            yield f"it was re-aged on {before.re_aged_on}: not again before {free_on}"


def _breaches_of_time(policy: PlanPolicy, proposal: Proposal, today: date) -> Iterator[str]:
    lines, count = proposal.lines, len(proposal.lines)
    if not policy.lines.at_least <= count <= policy.lines.at_most:
        yield f"{count} lines; allowed: {policy.lines.at_least} to {policy.lines.at_most}"
    if lines[0].due_on < today:
        yield "the first line is due in the past"
    latest = today + timedelta(days=policy.first_payment.within_days)
    if proposal.kind is not ArrangementKind.PROMISE and lines[0].due_on > latest:
        yield f"the first line is due after {latest}"
    if lines[-1].due_on > policy.longest.last_day(today):
        yield f"the last line is due after {policy.longest.last_day(today)}"
    longest_gap = max(_DAYS_OF[every] for every in policy.every)
    if any((later.due_on - line.due_on).days > longest_gap for line, later in itertools.pairwise(lines)):
        yield f"more than {longest_gap} days lie between two lines"


def _breaches_of_money(policy: PlanPolicy, proposal: Proposal, facts: Facts) -> Iterator[str]:
    least_first = _share(policy.first_payment.percent, proposal.amount)
    if proposal.lines[0].amount < least_first:
        yield f"the first line is less than {least_first} minor units"
    least = amount_in_minor(policy.least_line, facts.currency) or 0
    if any(line.amount < min(least, proposal.amount) for line in proposal.lines[:-1]):
        yield f"a line is less than {least} minor units"
    if proposal.discount * 100 > policy.discount_at_most_percent * proposal.covered:
        yield f"the discount is more than {policy.discount_at_most_percent} percent"


def _share(percent: int, amount: int) -> int:
    """Return so many percent of an amount, rounded up to a whole minor unit."""
    return -(-amount * percent // 100)


def needs_approval(policy: PlanPolicy, proposal: Proposal, facts: Facts) -> str | None:
    """Say why a second person must approve a proposal; ``None`` if nobody must."""
    asked = policy.approval
    if asked.always:
        return "always"
    if asked.amount_above is not None:
        limit = amount_in_minor(asked.amount_above, facts.currency)
        if limit is None or proposal.covered > limit:
            return "amount"
    if asked.lines_above is not None and len(proposal.lines) > asked.lines_above:
        return "lines"
    if asked.discount_above_percent is not None and (
        proposal.discount * 100 > asked.discount_above_percent * proposal.covered
    ):
        return "discount"
    return None


# --- offers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """One option within the policies. ``approval``: why a second person would have to approve it."""

    policy: str
    proposal: Proposal
    every: Frequency
    interest: str
    fees: str
    dpd_effect: DpdEffect
    approval: str | None


def offers(
    book: PlanBook,
    facts: Facts,
    today: date,
    *,
    monthly: int,
    first_on: date | None = None,
    before: Before | None = None,
) -> list[Offer]:
    """Return what can be offered to somebody who can pay ``monthly`` (minor units) a month, the shortest first.

    A policy that cannot be met with this money offers nothing. A settlement is offered with the least discount that
    brings it within reach, and never with more than its policy allows.
    """
    found = []
    for policy in book.of(facts):
        for covers in policy.covers:
            if covers is Covers.PART:
                continue
            covered = covered_amount(covers, facts)
            same = covers is Covers.BALANCE and Covers.PAST_DUE in policy.covers and covered == facts.past_due
            if covered <= 0 or same:
                continue
            offer = _offer(policy, covers, covered, facts, today, monthly, first_on, before)
            if offer is not None:
                found.append(offer)
    return sorted(found, key=lambda offer: (offer.proposal.discount, offer.proposal.lines[-1].due_on, offer.policy))


def _offer(
    policy: PlanPolicy,
    covers: Covers,
    covered: int,
    facts: Facts,
    today: date,
    monthly: int,
    first_on: date | None,
    before: Before | None,
) -> Offer | None:
    for every in policy.every:
        rate = {"month": monthly, "two_weeks": monthly * 12 // 26, "week": monthly * 12 // 52}[every]
        for amount in _amounts(policy, covered):
            lines = _lines_within(policy, amount, rate, every, first_on or _usual_first(policy, today), today)
            if lines is None:
                continue
            proposal = Proposal(policy.kind, covers, covered, lines, covered - amount)
            if not any(breaches(policy, proposal, facts, today, before)):
                why = needs_approval(policy, proposal, facts)
                return Offer(policy.name, proposal, every, policy.interest, policy.fees, policy.dpd_effect, why)
    return None


def _amounts(policy: PlanPolicy, covered: int) -> Sequence[int]:
    """Return the amounts to try, the largest first: a settlement gives away as little as it can."""
    if policy.kind is not ArrangementKind.SETTLEMENT:
        return (covered,)
    percents = range(1, policy.discount_at_most_percent + 1)
    return [covered - covered * percent // 100 for percent in percents if covered * percent // 100 > 0]


def _usual_first(policy: PlanPolicy, today: date) -> date:
    """Return when a first line is due where nobody says: within a month, as soon as the policy wants it."""
    latest = policy.longest.last_day(today) if policy.kind is ArrangementKind.PROMISE else date.max
    return min(today + timedelta(days=min(policy.first_payment.within_days, 30)), latest)


def _lines_within(
    policy: PlanPolicy, amount: int, rate: int, every: Frequency, first_on: date, today: date
) -> tuple[Line, ...] | None:
    """Return the fewest lines that need no more than ``rate`` each; ``None`` if the policy has not so many."""
    if rate <= 0:
        return None
    first = _share(policy.first_payment.percent, amount)
    count = max(ceil(Decimal(amount) / rate), policy.lines.at_least)
    if count > policy.lines.at_most or amount < count or (first > rate and count > 1):
        return None
    lines = lay_out(amount, due_days(first_on, count, every), first=first)
    too_long = lines[-1].due_on > policy.longest.last_day(today)
    return None if too_long or max(line.amount for line in lines) > rate else lines
