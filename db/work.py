"""Work items: what people are asked to do, one open call per person, creditor and collector.

An item that nobody worked never becomes an attempt. The caller holds the locks of the persons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from domain.codes import TaskKind
from domain.record import canonical


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: by which case and step, of whom. ``attempt_key`` is what it becomes when worked."""

    kind: TaskKind
    case_key: str
    step: str | None
    attempt_key: str
    party_key: str
    creditor: str
    collector: str
    reason: str | None
    at: datetime
    expires_at: datetime | None
    due_at: datetime | None = None
    """When it is best worked; ``None``: at once."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The item that now holds the order. ``created`` is false when it joined one that was open."""

    key: str
    created: bool
    joined: bool


def place(connection: Connection, order: Order) -> Placed:
    """Create an item or join the open one. The same order twice is placed once."""
    held = connection.exec_driver_sql(
        "SELECT item_key FROM work_item_cases WHERE case_key = %s AND attempt_key = %s",
        (order.case_key, order.attempt_key),
    ).scalar_one_or_none()
    if held is not None:
        return Placed(held, created=False, joined=False)
    key: str | None = None
    if order.kind is TaskKind.CALL:
        key = connection.exec_driver_sql(
            "UPDATE work_items SET expires_at = greatest(expires_at, %s) WHERE kind = 'call' AND party_key = %s "
            "AND creditor = %s AND collector = %s AND status IN ('open', 'claimed') RETURNING key",
            (order.expires_at, order.party_key, order.creditor, order.collector),
        ).scalar_one_or_none()
    created = key is None
    if key is None:
        key = connection.exec_driver_sql(
            "INSERT INTO work_items (kind, party_key, creditor, collector, reason, created_at, due_at, expires_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING key",
            (
                order.kind,
                order.party_key,
                order.creditor,
                order.collector,
                order.reason,
                order.at,
                order.due_at or order.at,
                order.expires_at,
            ),
        ).scalar_one()
    connection.exec_driver_sql(
        "INSERT INTO work_item_cases (item_key, case_key, step, asked_at, attempt_key) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT (item_key, case_key) DO UPDATE SET step = excluded.step, attempt_key = excluded.attempt_key",
        (key, order.case_key, order.step, order.at, order.attempt_key),
    )
    return Placed(key, created=created, joined=True)


def ask_about_person(
    connection: Connection, *, party_key: str, creditor: str, collector: str, reason: str, note_ref: str, at: datetime
) -> None:
    """Have a person read what somebody wrote of whom no case is open; what ``note_ref`` names is asked about once."""
    connection.exec_driver_sql(
        "INSERT INTO work_items (kind, party_key, creditor, collector, reason, created_at, due_at, note_ref) "
        "SELECT 'review', %(party)s, %(creditor)s, %(collector)s, %(reason)s, %(at)s, %(at)s, %(note)s "
        "WHERE NOT EXISTS (SELECT 1 FROM work_items WHERE party_key = %(party)s AND note_ref = %(note)s)",
        {
            "party": party_key,
            "creditor": creditor,
            "collector": collector,
            "reason": reason,
            "at": at,
            "note": note_ref,
        },
    )


@dataclass(frozen=True, slots=True)
class ItemCase:
    """One open case of an item, with the number its attempt would get."""

    case_key: str
    account_key: str
    step: str | None
    attempt_key: str | None
    strategy_digest: str


@dataclass(frozen=True, slots=True)
class Item:
    """A work item as it stands. ``event_id`` is the message that reported its outcome."""

    key: str
    kind: TaskKind
    status: str
    party_key: str | None
    event_id: str | None
    cases: tuple[ItemCase, ...]


def read_item(connection: Connection, item_key: str) -> Item | None:
    """Return an item with its cases that are not closed, in the order of their keys."""
    row = connection.exec_driver_sql(
        "SELECT key, kind, status, party_key, outcome ->> 'event_id' AS event_id FROM work_items WHERE key = %s",
        (item_key,),
    ).one_or_none()
    if row is None:
        return None
    cases = connection.exec_driver_sql(
        "SELECT x.case_key, k.account_key, x.step, x.attempt_key, k.strategy_digest "
        "FROM work_item_cases x JOIN cases k ON k.key = x.case_key "
        "WHERE x.item_key = %s AND k.status <> 'closed' ORDER BY x.case_key",
        (item_key,),
    )
    return Item(
        key=row.key,
        kind=TaskKind(row.kind),
        status=row.status,
        party_key=row.party_key,
        event_id=row.event_id,
        cases=tuple(ItemCase(*case) for case in cases),
    )


def accounts_of(connection: Connection, item_key: str) -> Sequence[str]:
    """Return the accounts whose persons must be locked before the item is settled."""
    return (
        connection.exec_driver_sql(
            "SELECT DISTINCT k.account_key FROM work_item_cases x JOIN cases k ON k.key = x.case_key WHERE x.item_key = %s",
            (item_key,),
        )
        .scalars()
        .all()
    )


def settle(
    connection: Connection, item_key: str, disposition: str, outcome: Mapping[str, object], at: datetime
) -> bool:
    """Mark an item done with its outcome; false if it was settled before."""
    row = connection.exec_driver_sql(
        "UPDATE work_items SET status = 'done', done_at = %s, disposition = %s, outcome = %s::jsonb "
        "WHERE key = %s AND status IN ('open', 'claimed', 'reported') RETURNING key",
        (at, disposition, canonical(outcome), item_key),
    ).one_or_none()
    return row is not None


def settle_reported(connection: Connection, item_key: str) -> None:
    """Mark an item done whose outcome is kept and whose case is not there to hear it."""
    connection.exec_driver_sql(
        "UPDATE work_items SET status = 'done' WHERE key = %s AND status = 'reported'", (item_key,)
    )


def requeue(connection: Connection, item_key: str, until: datetime) -> None:
    """Put an unworked item back into the queue."""
    connection.exec_driver_sql(
        "UPDATE work_items SET status = 'open', claimed_by = NULL, lease_until = NULL, "
        "expires_at = greatest(expires_at, %s) WHERE key = %s AND status IN ('open', 'claimed')",
        (until, item_key),
    )


def abandon(connection: Connection, item_key: str, case_key: str, at: datetime) -> None:
    """Take a case out of an unworked item; the item expires when it was the last."""
    connection.exec_driver_sql(
        "DELETE FROM work_item_cases WHERE item_key = %s AND case_key = %s", (item_key, case_key)
    )
    connection.exec_driver_sql(
        "UPDATE work_items w SET status = 'expired', done_at = %s WHERE w.key = %s AND w.status IN ('open', 'claimed') "
        "AND NOT EXISTS (SELECT 1 FROM work_item_cases x JOIN cases k ON k.key = x.case_key "
        "WHERE x.item_key = w.key AND k.status <> 'closed')",
        (at, item_key),
    )
