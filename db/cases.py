"""The row of a case for lists, and the end of an episode."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from db.record import append_event
from domain.codes import CloseReason
from domain.outlook import Outlook


@dataclass(frozen=True, slots=True)
class CaseRow:
    """What the ledger says about a case."""

    status: str
    close_reason: CloseReason | None
    closed_at: datetime | None


def read_case(connection: Connection, case_key: str) -> CaseRow:
    """Return a case's row; KeyError when there is none."""
    row = connection.exec_driver_sql(
        "SELECT status, close_reason, closed_at FROM cases WHERE key = %s", (case_key,)
    ).one_or_none()
    if row is None:
        raise KeyError(case_key)
    reason = None if row.close_reason is None else CloseReason(row.close_reason)
    return CaseRow(status=row.status, close_reason=reason, closed_at=row.closed_at)


SHOW_CASE = (
    "UPDATE cases SET stage = %(stage)s, step = %(step)s, due_at = %(due_at)s, waiting_for = %(waiting_for)s, "
    "next_step = %(next_step)s, next_channel = %(next_channel)s "
    "WHERE key = %(case)s AND status <> 'closed'"
)


def show_case(connection: Connection, case_key: str, view: Outlook) -> None:
    """Write what lists show about a case."""
    connection.exec_driver_sql(SHOW_CASE, shown(case_key, view))


def rouse(connection: Connection, case_keys: Sequence[str], at: datetime) -> None:
    """Say that cases have something to hear of, so that nothing overtakes it: until then they have to act at ``at``."""
    if case_keys:
        connection.exec_driver_sql(
            "UPDATE cases SET due_at = least(due_at, %s) WHERE key = ANY(%s) AND status = 'open'", (at, list(case_keys))
        )


def shown(case_key: str, view: Outlook) -> dict[str, object]:
    """Return the values of ``SHOW_CASE``."""
    return {
        "case": case_key,
        "stage": view.stage,
        "step": view.step,
        "due_at": view.due_at,
        "waiting_for": view.waiting_for[:300],
        "next_step": view.next_step,
        "next_channel": view.next_channel,
    }


def close_case(connection: Connection, case_key: str, reason: CloseReason, at: datetime) -> None:
    """End an episode: its row, its open work items, its record. The caller has made sure that it may end."""
    connection.exec_driver_sql(
        "UPDATE cases SET status = 'closed', stage = 'closed', step = NULL, due_at = NULL, waiting_for = '', "
        "next_step = NULL, next_channel = NULL, "
        "closed_at = %s, close_reason = %s WHERE key = %s AND status <> 'closed'",
        (at, reason, case_key),
    )
    cancel_items(connection, case_key, at)
    append_event(connection, case_key, "closed", at, {"reason": reason})


def cancel_items(connection: Connection, case_key: str, at: datetime) -> Sequence[str]:
    """Cancel the open work items that no other open case still needs; return their keys."""
    return (
        connection.exec_driver_sql(
            "UPDATE work_items w SET status = 'cancelled', done_at = %(at)s "
            "WHERE w.status IN ('open', 'claimed') "
            "AND EXISTS (SELECT 1 FROM work_item_cases x WHERE x.item_key = w.key AND x.case_key = %(case)s) "
            "AND NOT EXISTS (SELECT 1 FROM work_item_cases x JOIN cases k ON k.key = x.case_key "
            "WHERE x.item_key = w.key AND x.case_key <> %(case)s AND k.status <> 'closed') RETURNING w.key",
            {"at": at, "case": case_key},
        )
        .scalars()
        .all()
    )
