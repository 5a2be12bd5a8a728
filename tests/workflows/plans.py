"""What tests of arrangements share: policies, and arrangements that are agreed in the ledger before a case opens."""

from datetime import date, datetime
from typing import Any

from db.arrangements import Agreed, PlanOrder, agree
from db.facts import read_account
from db.locks import lock_persons
from domain.arrangements import ArrangementKind, Covers, DpdEffect, Line
from domain.plan_file import parse_plans
from domain.plans import Proposal
from tests.workflows.conftest import House

POLICIES = """
version: 1
policies:
  - name: promise
    kind: promise
    segment: {}
    covers: [past_due, part]
    longest: {days: 30}
    reminder: {days_before: 1, channels: [sms, email]}
  - name: watched
    kind: instalments
    segment: {}
    covers: [past_due]
    lines: {at_least: 2, at_most: 12}
    longest: {months: 12}
    grace_days: 3
    reminder: {days_before: 3, channels: [email]}
    approval: {lines_above: 3, meanwhile: rest}
  - name: frozen
    kind: deferral
    segment: {}
    covers: [past_due]
    lines: {at_least: 1, at_most: 2}
    first_payment: {within_days: 92}
    longest: {days: 120}
    dpd_effect: freeze
    grace_days: 3
    approval: {always: false, amount_above: {USD: 500}}
  - name: settlement
    kind: settlement
    segment: {}
    covers: [balance]
    lines: {at_least: 1, at_most: 3}
    longest: {days: 92}
    discount_at_most_percent: 40
"""
BOOK = parse_plans(POLICIES, "plans.yaml")


def arrange(
    house: House,
    at: datetime,
    kind: str,
    *lines: tuple[date, int],
    discount: int = 0,
    covers: str = "past_due",
    **more: Any,  # noqa: ANN401 - as an order has them
) -> Agreed:
    """Agree an arrangement about the first account in the ledger."""
    numbered = tuple(Line(no, due_on, amount) for no, (due_on, amount) in enumerate(lines, start=1))
    covered = sum(amount for _, amount in lines) + discount
    effect: DpdEffect | None = more.pop("dpd_effect", None)
    proposal = Proposal(ArrangementKind(kind), Covers(covers), covered, numbered, discount, effect)
    account = "A000000001"
    order = PlanOrder(None, account, proposal, more.pop("event_id", f"test/{at:%m%dT%H%M%S}"), at, **more)
    with house.engine.begin() as connection:
        lock_persons(connection, [account])
        return agree(connection, order, BOOK, read_account(connection, account, at, logical=True))
