"""Who is locked before anything about a person is read or written.

Every transaction that decides about a contact, or changes what such a decision reads, takes advisory locks first:
all persons of the accounts concerned and, for a contact, their contact points. One statement, sorted, so that
nobody waits in a circle; released by commit. The reads must be later statements: only they see what the one we
waited for has committed.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

_LOCK_ACCOUNTS = """
SELECT count(pg_advisory_xact_lock(k)) FROM (
    SELECT DISTINCT k FROM (
        SELECT hashtextextended('person:' || ap.party_key, 0) AS k
          FROM account_parties ap WHERE ap.account_key = ANY(%(accounts)s)
        UNION ALL
        SELECT hashtextextended('account:' || a, 0) FROM unnest(%(accounts)s::text[]) a
        UNION ALL
        SELECT hashtextextended('point:' || kind || ':' || value, 0) FROM contact_points WHERE key = ANY(%(points)s)
    ) one ORDER BY k OFFSET 0
) sorted
"""

_LOCK_CONTACT = """
SELECT count(pg_advisory_xact_lock(k)) FROM (
    SELECT DISTINCT k FROM (
        SELECT hashtextextended('person:' || ap.party_key, 0) AS k
          FROM account_parties ap WHERE ap.account_key = %(account)s
        UNION ALL
        SELECT hashtextextended('point:' || cp.kind || ':' || cp.value, 0)
          FROM account_parties ap JOIN contact_points cp ON cp.party_key = ap.party_key AND cp.kind = %(kind)s
         WHERE ap.account_key = %(account)s
        UNION ALL
        SELECT hashtextextended('account:' || %(account)s, 0)
    ) one ORDER BY k OFFSET 0
) sorted
"""

_LOCK_ITEM = """
SELECT count(pg_advisory_xact_lock(k)) FROM (
    SELECT DISTINCT k FROM (
        SELECT hashtextextended('person:' || ap.party_key, 0) AS k
          FROM work_item_cases x JOIN cases c ON c.key = x.case_key JOIN account_parties ap ON ap.account_key = c.account_key
         WHERE x.item_key = %(item)s
        UNION ALL
        SELECT hashtextextended('point:' || cp.kind || ':' || cp.value, 0)
          FROM work_item_cases x JOIN cases c ON c.key = x.case_key JOIN account_parties ap ON ap.account_key = c.account_key
          JOIN contact_points cp ON cp.party_key = ap.party_key
         WHERE x.item_key = %(item)s
        UNION ALL
        SELECT hashtextextended('account:' || c.account_key, 0)
          FROM work_item_cases x JOIN cases c ON c.key = x.case_key WHERE x.item_key = %(item)s
    ) one ORDER BY k OFFSET 0
) sorted
"""

_LOCK_POINTS = """
SELECT count(pg_advisory_xact_lock(k)) FROM (
    SELECT DISTINCT hashtextextended('point:' || kind || ':' || value, 0) AS k
      FROM contact_points WHERE key = ANY(%(points)s) ORDER BY k OFFSET 0
) sorted
"""


def lock_persons(connection: Connection, account_keys: Sequence[str], point_keys: Sequence[str] = ()) -> None:
    """Lock the accounts, every person with a role on them, and contact points by their value.

    Must be the transaction's first statement. A contact point is locked when what is known about it changes, so that
    everybody who shares the number waits.
    """
    connection.exec_driver_sql(_LOCK_ACCOUNTS, {"accounts": list(account_keys), "points": list(point_keys)})


def lock_contact(connection: Connection, account_key: str, kind: str) -> None:
    """Lock an account, its persons, and all their contact points of a kind. Must be the first statement."""
    connection.exec_driver_sql(_LOCK_CONTACT, {"account": account_key, "kind": kind})


def lock_item(connection: Connection, item_key: str) -> None:
    """Lock the accounts of a work item, their persons, and where its person is reached. Must be the first statement."""
    connection.exec_driver_sql(_LOCK_ITEM, {"item": item_key})


def lock_contact_points(connection: Connection, point_keys: Sequence[str]) -> None:
    """Lock contact points by their value, so that two debtors who share a number wait for each other."""
    connection.exec_driver_sql(_LOCK_POINTS, {"points": list(point_keys)})
