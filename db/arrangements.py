"""Writes arrangements: agree, approve, cancel, and write down how they ended. The caller holds the locks of the persons.

Everything is done once by event id and stands in the record of the case. What was paid stays with the arrangement it was
paid on. A discount is granted when a settlement is fulfilled, and taken back when money of it is returned: nothing is
waived before.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row

from db.approvals import ask_approval
from db.facts import AccountReading
from db.plan_reading import News
from db.record import append_event
from domain.approvals import Subject, SubjectKind
from domain.arrangements import ACTIVE, FAILED, ArrangementKind, Covers, Line, Standing
from domain.calendar import local_date
from domain.case import CaseState
from domain.codes import EntryKind
from domain.plans import BARE_PROMISE, Before, PlanBook, PlanPolicy, Proposal, breaches, digest_of, needs_approval
from domain.record import canonical
from domain.roles import Acting, Role

Refusal = Literal["no_policy", "breach", "nothing_owed", "stands_already", "closing", "nothing_to_replace"]


@dataclass(frozen=True, slots=True)
class PlanOrder:
    """An arrangement to agree. ``policy``: the one by name; ``None``: the first that fits."""

    case_key: str | None
    account_key: str
    proposal: Proposal
    event_id: str
    at: datetime
    by: str = "system"
    policy: str | None = None
    renegotiates: bool = False
    expires_on: date | None = None
    statement: str | None = None
    note_ref: str | None = None


def promise_order(
    state: CaseState,
    *,
    amount: int,
    on: date,
    event_id: str,
    at: datetime,
    by: str,
    note_ref: str | None = None,
) -> PlanOrder:
    """Return a promise to pay an amount (minor units) on a day, as one line."""
    covers = Covers.PAST_DUE if amount == state.facts.past_due else Covers.PART
    proposal = Proposal(ArrangementKind.PROMISE, covers, amount, (Line(1, on, amount),))
    return PlanOrder(state.case_key, state.account_key, proposal, event_id, at, by, note_ref=note_ref)


@dataclass(frozen=True, slots=True)
class Agreed:
    """What was agreed, or why it was not. ``approval``: why a second person is asked, ``None`` if nobody is."""

    key: str | None
    status: str
    approval: str | None = None
    refusal: Refusal | None = None
    reason: str = ""


def agree(connection: Connection, order: PlanOrder, book: PlanBook, reading: AccountReading) -> Agreed:
    """Agree an arrangement under the policies, once by event id. ``reading`` was read under the locks."""
    known = _by_event(connection, order.event_id)
    if known is not None:
        return known
    facts, proposal = reading.facts, order.proposal
    today = local_date(order.at, facts.zone or "UTC")
    if facts.closing is not None:
        return _refused("closing", "the account is being closed")
    if facts.past_due <= 0 and facts.balance <= 0:
        return _refused("nothing_owed", "nothing is owed")
    standing_key = _standing(connection, order.account_key)
    if standing_key is not None and not order.renegotiates:
        return _refused("stands_already", f"{standing_key} stands; renegotiate it or cancel it first")
    if standing_key is None and order.renegotiates:
        return _refused("nothing_to_replace", "there is no arrangement to renegotiate")
    policy, why = _policy(order, book, reading, today, _before(connection, order.account_key))
    if policy is None:
        return _refused("breach" if why else "no_policy", why or "no policy for this account and kind")
    approval = needs_approval(policy, proposal, facts)
    return _write(connection, order, policy, reading, approval, standing_key)


def promise(connection: Connection, order: PlanOrder, book: PlanBook, reading: AccountReading) -> Agreed:
    """Write down that the debtor promised a payment: what was said is a fact, whatever the policies say of it.

    One that goes beyond them waits for a second person like any other; a promise beside an arrangement changes nothing.
    """
    known = _by_event(connection, order.event_id)
    if known is not None:
        return known
    if _standing(connection, order.account_key) is not None:
        return _refused("stands_already", "an arrangement stands")
    facts = reading.facts
    today = local_date(order.at, facts.zone or "UTC")
    if order.proposal.lines[0].due_on < today or order.proposal.covered <= 0:
        return _refused("breach", "a promise for a day that has gone by, or of nothing")
    found = book.of(facts, kind=ArrangementKind.PROMISE)
    policy = next(iter(found), BARE_PROMISE)
    wrong = next(breaches(policy, order.proposal, facts, today), None)
    approval = needs_approval(policy, order.proposal, facts) or ("policy" if wrong is not None else None)
    return _write(connection, order, policy, reading, approval, None)


def _policy(
    order: PlanOrder, book: PlanBook, reading: AccountReading, today: date, before: Before
) -> tuple[PlanPolicy | None, str]:
    """Return the first policy that allows a proposal, or what the nearest one has against it."""
    against = ""
    for policy in book.of(reading.facts, kind=order.proposal.kind, name=order.policy):
        wrong = next(breaches(policy, order.proposal, reading.facts, today, before), None)
        if wrong is None:
            return policy, ""
        against = against or f"{policy.name}: {wrong}"
    return None, against


def _write(
    connection: Connection,
    order: PlanOrder,
    policy: PlanPolicy,
    reading: AccountReading,
    approval: str | None,
    standing_key: str | None,
) -> Agreed:
    proposal, facts = order.proposal, reading.facts
    status = ACTIVE if approval is None else str(Standing.PROPOSED)
    if approval is None and standing_key is not None:
        _end(connection, standing_key, Standing.REPLACED, order.at, order.by, "renegotiated")
    last = proposal.lines[-1].due_on
    expires_on = (order.expires_on or last) if proposal.kind is ArrangementKind.SETTLEMENT else None
    effect = proposal.dpd_effect or policy.dpd_effect
    digest = digest_of(policy)
    key = str(
        connection.exec_driver_sql(
            "INSERT INTO arrangements (account_key, case_key, kind, status, currency, covers, covered_amount, discount, "
            "dpd_effect, grace_days, expires_on, policy, policy_digest, terms, agreed_at, agreed_by, approval, starts_at, "
            "replaces, statement_key, note_ref, event_id) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s, %s, %s, %s) "
            "RETURNING key",
            (
                order.account_key, order.case_key, proposal.kind, status, facts.currency, proposal.covers,
                proposal.covered, proposal.discount, effect, policy.grace_days, expires_on, policy.name, digest,
                policy.model_dump_json(exclude_defaults=True), order.at, order.by, approval,
                order.at if approval is None else None, standing_key, order.statement, order.note_ref, order.event_id,
            ),
        ).scalar_one()
    )  # fmt: skip
    connection.exec_driver_sql(
        "INSERT INTO arrangement_lines (arrangement_key, no, due_on, amount) SELECT %s, * FROM unnest(%s::int[], %s::date[], %s::bigint[])",
        (
            key,
            [line.no for line in proposal.lines],
            [line.due_on for line in proposal.lines],
            [line.amount for line in proposal.lines],
        ),
    )
    body = {
        "arrangement": key, "kind": proposal.kind, "status": status, "covers": proposal.covers,
        "covered": proposal.covered, "discount": proposal.discount, "lines": _lines(proposal.lines),
        "policy": policy.name, "policy_digest": digest, "dpd_effect": effect, "approval": approval,
        "replaces": standing_key, "statement": order.statement, "actor": order.by,
    }  # fmt: skip
    _event(connection, order.case_key, "arranged", order.at, body)
    if approval is not None:
        content = hashlib.sha256(canonical(body).encode()).hexdigest()
        subject = Subject(SubjectKind.PLAN, key, content, order.case_key)
        ask_approval(connection, subject, by=Acting(order.by, Role.AGENT), at=order.at, note_ref=order.note_ref)
    return Agreed(key, status, approval)


# --- afterwards -----------------------------------------------------------------------------------------------------


def approve(connection: Connection, key: str, *, by: str, at: datetime) -> Agreed:
    """Have a proposal begin, as the second person decided. What it renegotiates ends with it."""
    row = connection.exec_driver_sql(
        "SELECT account_key, case_key, status, replaces FROM arrangements WHERE key = %s FOR UPDATE", (key,)
    ).one_or_none()
    if row is None or row.status != Standing.PROPOSED:
        return _refused("nothing_to_replace", f"{key} is not waiting for approval")
    standing_key = _standing(connection, row.account_key, status=ACTIVE)
    if standing_key is not None:
        _end(connection, standing_key, Standing.REPLACED, at, by, "renegotiated")
    connection.exec_driver_sql(
        "UPDATE arrangements SET status = %s, starts_at = %s, approved_by = %s, replaces = %s WHERE key = %s",
        (ACTIVE, at, by, standing_key, key),
    )
    _event(connection, row.case_key, "arrangement_begins", at, {"arrangement": key, "actor": by})
    return Agreed(key, ACTIVE)


def refuse(connection: Connection, key: str, *, by: str, at: datetime, reason: str) -> bool:
    """Write down that a proposal was returned by the second person; false if it does not wait any more."""
    return _end(connection, key, Standing.REFUSED, at, by, reason, only=(Standing.PROPOSED,))


def cancel(connection: Connection, key: str, account_key: str, *, by: str, at: datetime, reason: str) -> bool:
    """End an arrangement or proposal of an account before its time; false if there is none to end."""
    owner = connection.exec_driver_sql("SELECT account_key FROM arrangements WHERE key = %s", (key,)).scalar()
    if owner != account_key:
        return False
    return _end(connection, key, Standing.CANCELLED, at, by, reason, only=(ACTIVE, Standing.PROPOSED))


def write_news(connection: Connection, case_key: str, reading: AccountReading, now: datetime) -> bool:
    """Write how arrangements stand where that differs from what is written; true if money changed by it."""
    money = False
    today = local_date(now, reading.facts.zone or "UTC")
    for one in reading.plans.news:
        row = connection.exec_driver_sql(
            "UPDATE arrangements SET status = %s, ended_at = %s, re_aged_on = %s WHERE key = %s AND status = %s "
            "RETURNING account_key, covers, covered_amount, discount, waivers, case_key",
            (one.status, one.at, one.re_aged_on, one.row.key, one.row.status),
        ).one_or_none()
        if row is None:
            continue
        if one.status != one.row.status:
            body = {
                "arrangement": one.row.key, "standing": one.status, "since": one.at, "paid": one.stands.paid,
                "agreed": one.row.agreed.amount, "discount": row.discount,
            }  # fmt: skip
            if one.stands.standing in FAILED and row.discount:
                body["restored"] = row.discount
            append_event(connection, case_key, "arrangement", now, body)
        granted = row.waivers % 2 == 1
        if (one.status == Standing.SETTLED) != granted:
            _waive(connection, one, row, now, one.stands.ended_on or today)
            money = True
    return money


def _waive(connection: Connection, one: News, row: Row[Any], now: datetime, value_on: date) -> None:
    """Grant the discount of a settlement that is fulfilled, or take it back; the account is settled, or is not."""
    grants = row.waivers % 2 == 0
    name = f"arrangement/{one.row.key}"
    connection.exec_driver_sql(
        "INSERT INTO ledger_entries (account_key, creditor, kind, amount, currency, value_on, received_at, external_id, "
        "reverses, source) "
        "SELECT a.key, a.creditor, %s, %s, a.currency, %s, %s, %s, %s, 'arrangement' FROM accounts a WHERE a.key = %s",
        (
            EntryKind.WAIVER if grants else EntryKind.REVERSAL,
            row.discount,
            value_on,
            now,
            f"{name}/{row.waivers + 1}",
            None if grants else f"{name}/{row.waivers}",
            row.account_key,
        ),
    )
    connection.exec_driver_sql("UPDATE arrangements SET waivers = waivers + 1 WHERE key = %s", (one.row.key,))
    if row.covers != Covers.BALANCE:
        return
    if grants:
        closes = "UPDATE accounts SET closing = 'settled', closing_at = %s WHERE key = %s AND closing IS NULL"
        connection.exec_driver_sql(closes, (now, row.account_key))
    else:
        reopens = "UPDATE accounts SET closing = NULL, closing_at = NULL WHERE key = %s AND closing = 'settled'"
        connection.exec_driver_sql(reopens, (row.account_key,))


# --- small things ---------------------------------------------------------------------------------------------------


def _standing(connection: Connection, account_key: str, *, status: str | None = None) -> str | None:
    """Return the arrangement of an account that is performed or waits for approval."""
    return connection.exec_driver_sql(
        "SELECT key FROM arrangements WHERE account_key = %s AND status = ANY(%s) ORDER BY status, agreed_at LIMIT 1",
        (account_key, [ACTIVE, Standing.PROPOSED] if status is None else [status]),
    ).scalar_one_or_none()


def _before(connection: Connection, account_key: str) -> Before:
    query = "SELECT max(re_aged_on) FROM arrangements WHERE account_key = %s"
    return Before(re_aged_on=connection.exec_driver_sql(query, (account_key,)).scalar_one())


def _end(
    connection: Connection,
    key: str,
    standing: Standing,
    at: datetime,
    by: str,
    reason: str,
    *,
    only: tuple[str, ...] = (ACTIVE, Standing.PROPOSED),
) -> bool:
    row = connection.exec_driver_sql(
        "UPDATE arrangements SET status = %s, ended_at = %s, ended_by = %s, end_reason = %s "
        "WHERE key = %s AND status = ANY(%s) RETURNING case_key",
        (standing, at, by, reason, key, list(only)),
    ).one_or_none()
    if row is None:
        return False
    body = {"arrangement": key, "standing": standing, "reason": reason, "actor": by}
    _event(connection, row.case_key, "arrangement", at, body)
    return True


def _by_event(connection: Connection, event_id: str) -> Agreed | None:
    row = connection.exec_driver_sql(
        "SELECT key, status, approval FROM arrangements WHERE event_id = %s", (event_id,)
    ).one_or_none()
    return None if row is None else Agreed(row.key, row.status, row.approval)


def _event(connection: Connection, case_key: str | None, kind: str, at: datetime, body: Mapping[str, object]) -> None:
    if case_key is not None:
        append_event(connection, case_key, kind, at, body)


def _lines(lines: tuple[Line, ...]) -> list[list[object]]:
    return [[line.no, line.due_on, line.amount] for line in lines]


def _refused(refusal: Refusal, reason: str) -> Agreed:
    return Agreed(None, "refused", refusal=refusal, reason=reason)
