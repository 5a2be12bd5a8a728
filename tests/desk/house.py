"""A desk to try things at: a real ledger with open cases, call items of them, people with roles, the real gate."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from db.actors import Fitness, register
from db.work import Order, place
from domain.case import CaseInput
from domain.codes import TaskKind
from domain.roles import SYSTEM, Acting, Role
from runtime.desk import work_policy
from tests.activities.cases import AT

POLICY = work_policy()
CALLS = """
name: calls
version: 1
segment: {}
at_end: wait
steps:
  - {id: call, task: call, start: {since: opened}, between: {hours: "00:00-24:00"}}
"""
ANN, BEN, EVE = Acting("ann", Role.AGENT), Acting("ben", Role.AGENT), Acting("eve", Role.SUPERVISOR)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def staff(engine: Engine, people: Sequence[Acting] = (ANN, BEN, EVE), fit: Fitness | None = None) -> None:
    """Register people."""
    with engine.begin() as connection:
        for one in people:
            register(connection, one.actor, one.role, fit or Fitness(), by=SYSTEM, at=AT)


def call_item(
    engine: Engine, case: CaseInput, *, at: datetime = AT, kind: TaskKind = TaskKind.CALL, reason: str | None = None
) -> str:
    """Place an item as a case does; return its key."""
    state = case.state
    with engine.begin() as connection:
        row = connection.exec_driver_sql(
            "SELECT d.party_key, k.creditor, k.collector FROM cases k JOIN debtors d ON d.key = k.debtor_key WHERE k.key = %s",
            (state.case_key,),
        ).one()
        order = Order(
            kind=kind, case_key=state.case_key, step="call" if kind is TaskKind.CALL else None,
            attempt_key=state.attempt_key(1) if kind is TaskKind.CALL else f"{kind}/{state.attempt_key(1)}",
            party_key=row.party_key, creditor=row.creditor, collector=row.collector, reason=reason, at=at,
            expires_at=at + timedelta(days=3),
        )  # fmt: skip
        return place(connection, order).key


def utc(hour: int, minute: int = 0) -> datetime:
    """Return an instant of the day on which everything here happens."""
    return datetime(2026, 3, 3, hour, minute, tzinfo=UTC)
