"""Holds: outreach suspended, with a reason, a scope and an end. The caller holds the locks of the persons."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from domain.codes import HoldReason, HoldScope


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
    """Place a hold once (by event id); return its key, or ``None`` if it stood already or would be over at once."""
    if order.until_at is not None and order.until_at <= order.from_at:
        return None
    whose_debtor = order.scope is HoldScope.DEBTOR
    return connection.exec_driver_sql(
        "INSERT INTO holds (reason, scope, debtor_key, account_key, contact_point_key, channel, part_amount, from_at, "
        "until_at, placed_by, note_ref, event_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (event_id) DO NOTHING RETURNING key",
        (
            order.reason,
            order.scope,
            order.debtor_key if whose_debtor else None,
            None if whose_debtor else order.account_key,
            order.contact_point_key,
            order.channel,
            order.part_amount,
            order.from_at,
            order.until_at,
            order.placed_by,
            order.note_ref,
            order.event_id,
        ),
    ).scalar_one_or_none()


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
    return tuple(sorted(rows))
