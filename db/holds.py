"""Holds: outreach suspended, with a reason, a scope and an end. The caller holds the locks of the persons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from db.hold_reviews import end_reviews
from db.policies import hold_kinds
from db.record import append_event
from domain.codes import HoldReason, HoldScope

OF_STATE_EVENT = "state/"
"""Prefix of the event id of a hold that a state event placed; its key follows."""


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """A hold to place. ``part_amount`` in minor units of the account's currency."""

    account_key: str
    debtor_key: str
    reason: HoldReason
    from_at: datetime
    event_id: str
    scope: HoldScope = HoldScope.ACCOUNT
    until_at: datetime | None = None
    channel: str | None = None
    contact_point_key: str | None = None
    part_amount: int | None = None
    placed_by: str = "system"
    note_ref: str | None = None


def place_hold(connection: Connection, order: HoldOrder) -> str | None:
    """Place a hold once (by event id); return its key, or ``None`` if it stood already or would be over at once.

    A hold on a contact point that nobody knows holds the account: it was asked for, and where is not guessed.
    """
    if order.until_at is not None and order.until_at <= order.from_at:
        return None
    whose_debtor = order.scope is HoldScope.DEBTOR
    point = connection.exec_driver_sql(
        "SELECT key FROM contact_points WHERE key = %s", (order.contact_point_key,)
    ).scalar_one_or_none()
    scope = HoldScope.ACCOUNT if order.scope is HoldScope.NUMBER and point is None else order.scope
    return connection.exec_driver_sql(
        "INSERT INTO holds (reason, scope, debtor_key, account_key, contact_point_key, channel, part_amount, from_at, "
        "until_at, review_at, placed_by, note_ref, event_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (event_id) DO NOTHING RETURNING key",
        (
            order.reason,
            scope,
            order.debtor_key if whose_debtor else None,
            None if whose_debtor else order.account_key,
            point,
            order.channel,
            order.part_amount,
            order.from_at,
            order.until_at,
            hold_kinds().of(order.reason).review_at(order.from_at, order.until_at),
            order.placed_by,
            order.note_ref,
            order.event_id,
        ),
    ).scalar_one_or_none()


def hold_case(connection: Connection, case_key: str, order: HoldOrder) -> None:
    """Place a hold and write it into the record of the case that asked for it."""
    key = place_hold(connection, order)
    if key is not None:
        body = {
            "hold": key,
            "reason": order.reason,
            "scope": order.scope,
            "until": order.until_at,
            "actor": order.placed_by,
        }
        append_event(connection, case_key, "hold", order.from_at, body)


def release_holds(
    connection: Connection,
    *,
    account_key: str,
    debtor_key: str,
    at: datetime,
    by: str,
    key: str | None = None,
    reason: HoldReason | None = None,
) -> tuple[str, ...]:
    """End standing holds of an account and its debtor: the one named, or all of a reason. Returns their keys."""
    rows = connection.exec_driver_sql(
        "UPDATE holds SET released_at = %(at)s, released_by = %(by)s "
        "WHERE (account_key = %(account)s OR debtor_key = %(debtor)s) AND released_at IS NULL "
        "AND (until_at IS NULL OR until_at > %(at)s) AND (key = %(key)s OR reason = %(reason)s) RETURNING key",
        {"at": at, "by": by, "account": account_key, "debtor": debtor_key, "key": key, "reason": reason},
    ).scalars()
    keys = tuple(sorted(rows))
    _end_state_events(connection, keys, at, by)
    end_reviews(connection, keys, at)
    return keys


def release_holds_of_events(connection: Connection, event_keys: Sequence[str], at: datetime, by: str) -> None:
    """End the holds that state events placed, as of an instant that may lie ahead."""
    rows = connection.exec_driver_sql(
        "UPDATE holds SET released_at = %s, released_by = %s "
        "WHERE event_id = ANY(%s) AND (released_at IS NULL OR released_at > %s) RETURNING key",
        (at, by, [f"{OF_STATE_EVENT}{key}" for key in event_keys], at),
    ).scalars()
    end_reviews(connection, tuple(rows), at)


def _end_state_events(connection: Connection, hold_keys: Sequence[str], at: datetime, by: str) -> None:
    """End the state events whose holds a person has lifted, with what was asked because of them."""
    if not hold_keys:
        return
    connection.exec_driver_sql(
        "WITH ended AS (UPDATE state_events s SET ended_at = %(at)s, ended_by = %(by)s FROM holds h "
        "WHERE h.key = ANY(%(holds)s) AND h.event_id = %(prefix)s || s.key AND (s.ended_at IS NULL OR s.ended_at > %(at)s) "
        "RETURNING s.key) "
        "UPDATE work_items w SET status = 'done', done_at = %(at)s, disposition = 'released' FROM ended e "
        "WHERE w.state_event_key = e.key AND w.status IN ('open', 'claimed')",
        {"at": at, "by": by, "holds": list(hold_keys), "prefix": OF_STATE_EVENT},
    )


@dataclass(frozen=True, slots=True)
class Extended:
    """A hold that lasts longer now."""

    key: str
    reason: HoldReason
    from_until: datetime | None
    until: datetime


def extend_holds(
    connection: Connection,
    *,
    account_key: str,
    debtor_key: str,
    until: datetime,
    at: datetime,
    key: str | None = None,
    reason: HoldReason | None = None,
) -> tuple[Extended, ...]:
    """Let standing holds with an end last until later: the one named, or all of a reason. Never makes one shorter.

    The state event that placed a hold lasts as long. A person is asked to look at it again before the new end.
    """
    rows = connection.exec_driver_sql(
        "SELECT key, reason, until_at, event_id FROM holds "
        "WHERE (account_key = %(account)s OR debtor_key = %(debtor)s) AND released_at IS NULL AND until_at > %(at)s "
        "AND until_at < %(until)s AND (key = %(key)s OR reason = %(reason)s) ORDER BY key FOR UPDATE",
        {"account": account_key, "debtor": debtor_key, "at": at, "until": until, "key": key, "reason": reason},
    ).all()
    extended = tuple(Extended(row.key, HoldReason(row.reason), row.until_at, until) for row in rows)
    for one in extended:
        connection.exec_driver_sql(
            "UPDATE holds SET until_at = %s, review_at = %s WHERE key = %s",
            (until, hold_kinds().of(one.reason).review_at(at, until), one.key),
        )
    events = [
        row.event_id.removeprefix(OF_STATE_EVENT) for row in rows if (row.event_id or "").startswith(OF_STATE_EVENT)
    ]
    connection.exec_driver_sql(
        "UPDATE state_events SET until_at = %s WHERE key = ANY(%s) AND until_at < %s", (until, events, until)
    )
    end_reviews(connection, [one.key for one in extended], at)
    return extended


def cases_beside(connection: Connection, case_key: str) -> tuple[str, ...]:
    """Return the other open cases of a debtor on whom a hold is, or was, that is on all of their debts."""
    keys = connection.exec_driver_sql(
        "SELECT o.key FROM cases k JOIN cases o ON o.debtor_key = k.debtor_key AND o.key <> k.key AND o.status <> 'closed' "
        "WHERE k.key = %s AND EXISTS (SELECT 1 FROM holds h WHERE h.debtor_key = k.debtor_key AND h.scope = 'debtor') "
        "ORDER BY o.key",
        (case_key,),
    ).scalars()
    return tuple(keys)
