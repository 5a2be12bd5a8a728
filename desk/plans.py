"""Arrangements with debtors: what can be offered, agreeing it, showing, approving, cancelling.

An offer begins with what the debtor says they can pay, which is kept first. Agreeing is an Update of the case: whoever
speaks with the debtor waits for the ledger's answer. All else is written to the ledger first, and the case is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from db import arrangements
from db.approvals import Approval, ApprovalError, read_approval
from db.facts import read_account
from db.locks import lock_persons
from db.settings import read_clock
from db.signals import tell
from db.statements import Statement, keep_statement
from desk.approvals import decide_in
from domain.approvals import SubjectKind, Verdict
from domain.arrangements import ACTIVE, ArrangementKind, Covers, Stands
from domain.calendar import local_date
from domain.case import Agreed
from domain.messages import AGREE
from domain.plans import Before, Offer, PlanBook, PlanError, offers
from domain.roles import Act, Acting, require

DECIDED = "ledger_changed"


_SHOWN = """
SELECT key, status, kind, policy, covered_amount AS covered, discount, currency, dpd_effect, agreed_at, agreed_by,
       approval, approved_by, ended_at, end_reason
  FROM arrangements WHERE account_key = %s ORDER BY agreed_at DESC, key DESC
"""


@dataclass(frozen=True, slots=True)
class Offered:
    """The statement that was kept, and the options within the policies for it."""

    statement: str
    currency: str
    past_due: int
    balance: int
    offers: Sequence[Offer]


@dataclass(frozen=True, slots=True)
class Shown:
    """One arrangement as it is written, and where its lines stand today by the money that counts for it."""

    key: str
    status: str
    kind: str
    policy: str
    covered: int
    discount: int
    currency: str
    dpd_effect: str
    agreed_at: datetime
    agreed_by: str
    approval: str | None
    approved_by: str | None
    ended_at: datetime | None
    end_reason: str | None
    stands: Stands


def offer(
    engine: Engine,
    acting: Acting,
    case_key: str,
    statement: Statement,
    book: PlanBook,
    *,
    at: datetime,
    event_id: str,
    first_on: date | None = None,
) -> Offered:
    """Keep what the debtor says, and return what can be offered for it, the shortest first."""
    require(acting, Act.OFFER_PLAN)
    if statement.monthly <= 0:
        raise PlanError("--monthly: what the debtor can pay a month is more than nothing")
    with engine.begin() as connection:
        account_key, logical = _account_of(connection, case_key), read_clock(connection).is_logical
        lock_persons(connection, [account_key])
        reading = read_account(connection, account_key, at, logical=logical)
        key = keep_statement(connection, account_key, statement, by=acting.actor, at=at, event_id=event_id)
        before = Before(re_aged_on=reading.facts.aged_from)
    facts = reading.facts
    today = local_date(at, facts.zone or "UTC")
    found = offers(book, facts, today, monthly=statement.monthly, first_on=first_on, before=before)
    return Offered(key, facts.currency, facts.past_due, facts.balance, found)


async def agree(client: Client, acting: Acting, case_key: str, wish: Mapping[str, Any]) -> Agreed:
    """Agree an arrangement with the case and return the ledger's answer; PlanError when it cannot be understood."""
    require(acting, Act.AGREE_PLAN)
    handle = client.get_workflow_handle(f"case/{case_key}")
    body = {**wish, "actor": acting.actor}
    try:
        answer: Agreed = await handle.execute_update(AGREE, body, id=f"{wish['event_id']}", result_type=Agreed)
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        why = cause.message if isinstance(cause, ApplicationError) else "the case could not take it in"
        raise PlanError(f"{case_key}: {why}") from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise PlanError(f"{case_key}: the case is closed; `case show {case_key}` says why") from None
        raise
    return answer


def cancel(engine: Engine, acting: Acting, arrangement: str, *, reason: str, at: datetime) -> bool:
    """End an arrangement before its time; false when it has ended already. The ladder goes on the day after."""
    require(acting, Act.CANCEL_PLAN)
    account_key = _owner_of(engine, arrangement)
    with engine.begin() as connection:
        lock_persons(connection, [account_key])
        done = arrangements.cancel(connection, arrangement, account_key, by=acting.actor, at=at, reason=reason)
        if done:
            _tell(connection, account_key, f"plan/{arrangement}/cancelled", acting, at)
    return done


def decide(
    engine: Engine,
    acting: Acting,
    approval_key: str,
    verdict: Verdict,
    *,
    at: datetime,
    seen: str | None = None,
    reason: str | None = None,
) -> Approval:
    """Approve a proposal, which begins by it, or return it, as the second person; ApprovalError, NotAllowedError."""
    with engine.connect() as connection:
        held = read_approval(connection, approval_key)
    if held is None or held.kind is not SubjectKind.PLAN:
        raise ApprovalError(
            f"{approval_key}: no such question about an arrangement; `approval list` shows the open ones"
        )
    account_key = _owner_of(engine, held.subject)
    with engine.begin() as connection:
        lock_persons(connection, [account_key])
        decided = decide_in(connection, acting, approval_key, verdict, at=at, seen=seen, reason=reason)
        if verdict is Verdict.APPROVED:
            begun = arrangements.approve(connection, held.subject, by=acting.actor, at=at)
            if begun.status != ACTIVE:
                raise ApprovalError(f"{held.subject}: waits for approval no more; `plan show` says how it ended")
        else:
            why = reason or "returned"
            arrangements.refuse(connection, held.subject, by=acting.actor, at=at, reason=why)
        _tell(connection, account_key, f"plan/{held.subject}/{verdict}", acting, at)
    return decided


def show(engine: Engine, acting: Acting, case_key: str, *, at: datetime) -> Sequence[Shown]:
    """Return all arrangements of the account of a case, the newest first, each with where it stands on the day."""
    require(acting, Act.SEE)
    with engine.connect() as connection:
        account_key, logical = _account_of(connection, case_key), read_clock(connection).is_logical
        reading = read_account(connection, account_key, at, logical=logical)
        rows = connection.exec_driver_sql(_SHOWN, (account_key,)).mappings().all()
    return [Shown(**row, stands=reading.plans.standings[row["key"]][1]) for row in rows]


def wish_of(
    event_id: str,
    kind: ArrangementKind,
    covers: Covers,
    currency: str,
    lines: Sequence[tuple[date, int]],
    **more: object,
) -> dict[str, object]:
    """Return the message that agrees these lines (minor units)."""
    given = {name: value for name, value in more.items() if value not in {None, False}}
    return {
        "event_id": event_id,
        "kind": str(kind),
        "covers": str(covers),
        "currency": currency,
        "lines": [{"due_on": on.isoformat(), "amount": amount} for on, amount in lines],
        **given,
    }


def covered(engine: Engine, case_key: str, covers: Covers, *, at: datetime) -> tuple[int, date]:
    """Return what an arrangement would cover, in minor units, and the debtor's local day."""
    with engine.connect() as connection:
        account_key, logical = _account_of(connection, case_key), read_clock(connection).is_logical
        facts = read_account(connection, account_key, at, logical=logical).facts
    amount = facts.balance if covers is Covers.BALANCE else facts.past_due
    return amount, local_date(at, facts.zone or "UTC")


# --- small things ---------------------------------------------------------------------------------------------------


def _account_of(connection: Connection, case_key: str) -> str:
    found = connection.exec_driver_sql("SELECT account_key FROM cases WHERE key = %s", (case_key,)).scalar_one_or_none()
    if found is None:
        raise PlanError(f"{case_key}: no case with this key; `case list` shows all")
    return str(found)


def _owner_of(engine: Engine, arrangement: str) -> str:
    with engine.connect() as connection:
        query = "SELECT account_key FROM arrangements WHERE key = %s"
        found = connection.exec_driver_sql(query, (arrangement,)).scalar_one_or_none()
    if found is None:
        raise PlanError(f"{arrangement}: no arrangement with this key; `plan show ACCOUNT` lists them")
    return str(found)


def _tell(connection: Connection, account_key: str, event_id: str, acting: Acting, at: datetime) -> None:
    query = "SELECT key FROM cases WHERE account_key = %s AND status <> 'closed'"
    cases = connection.exec_driver_sql(query, (account_key,)).scalars().all()
    body = {"event_id": event_id, "actor": acting.actor}
    tell(connection, list(cases), DECIDED, body, at, logical=read_clock(connection).is_logical)
