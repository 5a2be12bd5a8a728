"""What a bulk operation does to the cases of one page, set by set. The caller holds the locks of their persons.

Each function changes the ledger, writes the record of every case it changed, and returns how much it changed by case.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from db.bulk import Item, Operation
from db.holds import OF_STATE_EVENT
from db.record import append_events
from domain.bulk import BulkAction
from domain.codes import HoldReason, HoldScope

Changed = Mapping[str, int]
"""Case -> how much was changed. A case that is missing was left as it was."""


@dataclass(frozen=True, slots=True)
class Page:
    """The open cases that one transaction is about. ``at`` is business time."""

    operation: Operation
    items: Sequence[Item]
    at: datetime

    @property
    def accounts(self) -> list[str]:
        """The accounts of the page."""
        return [one.account_key for one in self.items]

    def cases(self) -> dict[str, str]:
        """Return account -> case."""
        return {one.account_key: one.case_key for one in self.items}

    def body(self, **more: object) -> dict[str, object]:
        """Return the body of a record event: who, by which operation, and what."""
        return {"actor": self.operation.asked_by, "role": self.operation.asked_role, "bulk": self.operation.key, **more}

    def record(self, connection: Connection, kind: str, bodies: Mapping[str, Mapping[str, object]]) -> None:
        """Append one event to each of some cases."""
        append_events(connection, kind, self.at, [(case, bodies[case]) for case in sorted(bodies)])


def _hold(connection: Connection, page: Page) -> Changed:
    given = page.operation.parameters
    reason = given.get("hold_reason", HoldReason.PAUSED)
    rows = connection.exec_driver_sql(
        "INSERT INTO holds (reason, scope, account_key, from_at, until_at, placed_by, event_id) "
        "SELECT %(reason)s, %(scope)s, a, %(at)s, %(until)s::timestamptz, %(by)s, %(event)s || '/' || c "
        "FROM unnest(%(accounts)s::text[], %(cases)s::text[]) AS one(a, c) ORDER BY a "
        "ON CONFLICT (event_id) DO NOTHING RETURNING account_key, key",
        {
            "reason": reason,
            "scope": HoldScope.ACCOUNT,
            "at": page.at,
            "until": given.get("until"),
            "by": page.operation.asked_by,
            "event": page.operation.event_id,
            "accounts": page.accounts,
            "cases": [one.case_key for one in page.items],
        },
    ).all()
    cases = page.cases()
    placed = {cases[row.account_key]: row.key for row in rows}
    page.record(
        connection,
        "hold",
        {
            case: page.body(hold=key, reason=reason, scope=HoldScope.ACCOUNT, until=given.get("until"))
            for case, key in placed.items()
        },
    )
    return dict.fromkeys(placed, 1)


def _release(connection: Connection, page: Page) -> Changed:
    """End holds of the accounts themselves. Those of a debtor, or of a state event, are ended one by one."""
    given = page.operation.parameters
    of = given.get("of")
    rows = connection.exec_driver_sql(
        "UPDATE holds SET released_at = %(at)s, released_by = %(by)s WHERE account_key = ANY(%(accounts)s) "
        "AND released_at IS NULL AND (until_at IS NULL OR until_at > %(at)s) "
        "AND (%(reason)s::text IS NULL OR reason = %(reason)s) "
        "AND (%(of)s::text IS NULL OR starts_with(event_id, %(of)s)) "
        "AND NOT starts_with(coalesce(event_id, ''), %(state)s) RETURNING account_key, key",
        {
            "at": page.at,
            "by": page.operation.asked_by,
            "accounts": page.accounts,
            "reason": given.get("hold_reason", None if of else HoldReason.PAUSED),
            "of": None if of is None else f"bulk/{of}/",
            "state": OF_STATE_EVENT,
        },
    ).all()
    cases = page.cases()
    released: dict[str, list[str]] = {}
    for row in sorted(rows):
        released.setdefault(cases[row.account_key], []).append(row.key)
    page.record(connection, "released", {case: page.body(holds=keys) for case, keys in released.items()})
    return {case: len(keys) for case, keys in released.items()}


def _close(connection: Connection, page: Page) -> Changed:
    """Decide that the cases end; each ends itself when it is told."""
    reason = page.operation.parameters["close_reason"]
    rows = connection.exec_driver_sql(
        "UPDATE accounts SET closing = %s, closing_at = %s WHERE key = ANY(%s) AND closing IS NULL RETURNING key",
        (reason, page.at, page.accounts),
    ).scalars()
    cases = page.cases()
    closing = [cases[account] for account in rows]
    page.record(connection, "closing", {case: page.body(reason=reason) for case in closing})
    return dict.fromkeys(closing, 1)


def _assign(connection: Connection, page: Page) -> Changed:
    """Give the open items of the cases to somebody, until they are late; whoever has claimed one keeps it."""
    to = page.operation.parameters["assignee"]
    rows = connection.exec_driver_sql(
        "WITH given AS (UPDATE work_items w SET assigned_to = %(to)s WHERE w.status IN ('open', 'claimed') "
        "AND w.assigned_to IS DISTINCT FROM %(to)s AND w.key IN (SELECT x.item_key FROM work_item_cases x "
        "WHERE x.case_key = ANY(%(cases)s)) RETURNING w.key) "
        "SELECT x.case_key, x.item_key FROM given g JOIN work_item_cases x ON x.item_key = g.key "
        "WHERE x.case_key = ANY(%(cases)s) ORDER BY 1, 2",
        {"to": to, "cases": [one.case_key for one in page.items]},
    )
    items: dict[str, list[str]] = {}
    for row in rows:
        items.setdefault(row.case_key, []).append(row.item_key)
    page.record(connection, "assigned", {case: page.body(items=keys, to=to) for case, keys in items.items()})
    return {case: len(keys) for case, keys in items.items()}


def _adopt(connection: Connection, page: Page) -> Changed:
    """Order the cases to follow another strategy; each changes over when it is told, and writes that down."""
    digest = page.operation.parameters["strategy_digest"]
    cases = (
        connection.exec_driver_sql(
            "SELECT key FROM cases WHERE key = ANY(%s) AND strategy_digest <> %s",
            ([one.case_key for one in page.items], digest),
        )
        .scalars()
        .all()
    )
    page.record(connection, "adoption_ordered", {case: page.body(digest=digest) for case in cases})
    return dict.fromkeys(cases, 1)


ACTS: Mapping[BulkAction, Callable[[Connection, Page], Changed]] = {
    BulkAction.HOLD: _hold,
    BulkAction.PAUSE: _hold,
    BulkAction.RELEASE: _release,
    BulkAction.RESUME: _release,
    BulkAction.CLOSE: _close,
    BulkAction.ADOPT_STRATEGY: _adopt,
    BulkAction.ASSIGN: _assign,
}
LEFT: Mapping[BulkAction, str] = {
    BulkAction.HOLD: "held by this operation already",
    BulkAction.PAUSE: "paused by this operation already",
    BulkAction.RELEASE: "no such hold stands",
    BulkAction.RESUME: "not paused",
    BulkAction.CLOSE: "closing already",
    BulkAction.ADOPT_STRATEGY: "follows it already",
    BulkAction.ASSIGN: "no open item, or assigned already",
}
"""Action -> why a case was left as it was."""
