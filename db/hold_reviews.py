"""Who looks at a hold before it ends: a review item, created by the case that wakes for it; nothing polls.

``holds.review_at`` is when that is due. It is one of the instants at which the facts of an account change, so the case's
own timer is set for it. The caller holds the locks of the persons.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from db.policies import hold_kinds
from db.record import append_events
from domain.codes import HoldReason, HoldScope, TaskKind

HOLD_REVIEW = "hold_review"
"""Reason of the work item; its ``note_ref`` is the key of the hold."""

_DUE = """
SELECT h.key, h.reason, h.scope, h.until_at, h.review_at,
       EXISTS (SELECT 1 FROM work_items w WHERE w.note_ref = h.key AND w.reason = %(review)s
                AND w.status IN ('open', 'claimed')) AS asked
  FROM holds h
 WHERE (h.account_key = %(account)s OR (h.debtor_key = %(debtor)s AND h.scope = 'debtor'))
   AND h.review_at <= %(now)s AND (h.released_at IS NULL OR h.released_at > %(now)s)
   AND (h.until_at IS NULL OR h.until_at > %(now)s)
 ORDER BY h.key FOR UPDATE OF h
"""

_CASES = """
SELECT k.key FROM cases k
 WHERE k.status <> 'closed' AND (k.account_key = %(account)s OR (%(wide)s AND k.debtor_key = %(debtor)s)) ORDER BY k.key
"""

_ITEM = """
INSERT INTO work_items (kind, party_key, creditor, collector, reason, created_at, due_at, expires_at, note_ref)
SELECT %(kind)s, d.party_key, a.creditor, a.collector, %(review)s, %(now)s, coalesce(%(until)s, %(now)s), NULL, %(hold)s
  FROM accounts a JOIN debtors d ON d.key = a.debtor_key WHERE a.key = %(account)s RETURNING key
"""


def ask_for_reviews(connection: Connection, account_key: str, debtor_key: str, now: datetime) -> int:
    """Ask a person to look at every hold that is due for it, once for each time; return how many were asked for.

    A hold without an end comes up again after the days of its kind, for as long as it stands.
    """
    whose = {"account": account_key, "debtor": debtor_key}
    due = connection.exec_driver_sql(_DUE, {**whose, "review": HOLD_REVIEW, "now": now}).all()
    asked = 0
    for hold in due:
        again = None
        if hold.until_at is None:
            again = now + timedelta(days=hold_kinds().of(HoldReason(hold.reason)).review_every)
        connection.exec_driver_sql("UPDATE holds SET review_at = %s WHERE key = %s", (again, hold.key))
        if hold.asked:
            continue
        asked += 1
        item = connection.exec_driver_sql(
            _ITEM,
            {
                "kind": TaskKind.REVIEW, "review": HOLD_REVIEW, "now": now, "until": hold.until_at, "hold": hold.key,
                "account": account_key,
            },
        ).scalar_one()  # fmt: skip
        wide = hold.scope == HoldScope.DEBTOR
        cases = connection.exec_driver_sql(_CASES, {**whose, "wide": wide}).scalars().all()
        connection.exec_driver_sql(
            "INSERT INTO work_item_cases (item_key, case_key, asked_at) SELECT %s, c, %s FROM unnest(%s::text[]) c",
            (item, now, list(cases)),
        )
        body = {"item": item, "kind": TaskKind.REVIEW, "reason": HOLD_REVIEW, "hold": hold.key, "until": hold.until_at}
        append_events(connection, "review_asked", now, [(case, body) for case in cases])
    return asked


def end_reviews(connection: Connection, hold_keys: Sequence[str], at: datetime) -> None:
    """Settle the reviews of holds that were lifted or extended: there is nothing to look at any more."""
    if not hold_keys:
        return
    connection.exec_driver_sql(
        "UPDATE work_items SET status = 'done', done_at = %s, disposition = 'decided' "
        "WHERE note_ref = ANY(%s) AND reason = %s AND status IN ('open', 'claimed')",
        (at, list(hold_keys), HOLD_REVIEW),
    )
