"""Recalls and charge-offs by file: what ends a placement and its case, and what is written off and goes on being collected.

Rows hold codes and days; why in words stays with the lender. The same file twice changes nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from db.intake_rows import Checker
from db.intake_sql import Conflict, Merge, chunks, how_many

END_REQUIRED = ("account_id", "reason", "on")
END_OPTIONAL = ("creditor_id",)
_CODE = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,79}")


def end_row(check: Checker) -> tuple[Any, ...]:
    """Return one recall or charge-off as it is staged."""
    reason = check.text("reason", required=True)
    if reason and not _CODE.fullmatch(reason):
        check.wrong("reason", "is no code such as client_request: lower-case letters, digits and _.:-")
    on = check.day("on", required=True)
    if on is not None and check.today is not None and on > check.today:
        check.wrong("on", "lies in the future; import it when it has come")
    return check.line, check.text("account_id", required=True), reason, on, check.text("creditor_id") or None


_MATCH = "k.external_id = s.account_id AND (s.creditor IS NULL OR s.creditor = k.creditor)"
_OF = "a.external_id = s.account_id AND (s.creditor IS NULL OR s.creditor = a.creditor)"


def _conflicts(kind: str) -> tuple[Conflict, ...]:
    staged = f"staged_{kind}"
    known = "SELECT * FROM known_accounts"
    return (
        Conflict("account_id", "is not known", how_many(staged, known, _MATCH, "n.n = 0")),
        Conflict(
            "account_id",
            "is a number of several creditors; add a column creditor_id",
            how_many(staged, known, _MATCH, "n.n > 1"),
        ),
        Conflict(
            "account_id",
            "stands in an earlier row",
            f"DELETE FROM {staged} s USING {staged} f WHERE f.account_id = s.account_id "
            "AND f.creditor IS NOT DISTINCT FROM s.creditor AND f.line < s.line RETURNING s.line",
        ),
    )


_CLOSING = Conflict(
    "account_id",
    "is closing for another reason already",
    f"DELETE FROM staged_recalls s USING accounts a WHERE {_OF} AND a.closing <> 'recalled' RETURNING s.line",
)
_OWED = (
    "((SELECT coalesce(sum(u.amount), 0) FROM dues u WHERE u.account_key = a.key) "
    "+ (SELECT coalesce(sum(CASE WHEN e.kind IN ('charge', 'interest', 'fee', 'adjustment') THEN e.amount "
    "WHEN e.kind IN ('payment', 'waiver') THEN -e.amount ELSE 0 END), 0) FROM ledger_entries e "
    "WHERE e.account_key = a.key AND e.value_on <= s.on_day AND NOT (e.kind = 'payment' AND EXISTS (SELECT 1 "
    "FROM ledger_entries r WHERE r.creditor = e.creditor AND r.reverses = e.external_id AND r.value_on <= s.on_day))))"
)
"""The balance as of the day: all dues, and what was entered until then."""
_WRITTEN_OFF = "EXISTS (SELECT 1 FROM ledger_entries e WHERE e.account_key = a.key AND e.kind = 'charge_off'{more})"

CONFLICTS: Mapping[str, Sequence[Conflict]] = {
    "recalls": (*_conflicts("recalls"), _CLOSING),
    "chargeoffs": (
        *_conflicts("chargeoffs"),
        Conflict(
            "on",
            "is another day than the account was charged off on before",
            f"DELETE FROM staged_chargeoffs s USING accounts a WHERE {_OF} "
            f"AND {_WRITTEN_OFF.format(more=' AND e.value_on <> s.on_day')} RETURNING s.line",
        ),
        Conflict(
            "account_id",
            "owes nothing that could be charged off",
            f"DELETE FROM staged_chargeoffs s USING accounts a WHERE {_OF} AND {_OWED} <= 0 "
            f"AND NOT {_WRITTEN_OFF.format(more='')} RETURNING s.line",
        ),
    ),
}

CHUNKS: Mapping[str, str] = {
    kind: chunks(
        kind,
        f"SELECT s.line, s.account_id FROM staged_{kind} s WHERE EXISTS (SELECT 1 FROM accounts a "
        "JOIN cases k ON k.account_key = a.key AND k.status <> 'closed' WHERE a.external_id = s.account_id)",
        "b.account_id",
    )
    for kind in ("recalls", "chargeoffs")
}
OPEN_ACCOUNTS: Mapping[str, str] = {
    kind: f"SELECT DISTINCT k.account_key FROM part_{kind} s JOIN accounts a ON a.external_id = s.account_id "
    "JOIN cases k ON k.account_key = a.key AND k.status <> 'closed'"
    for kind in ("recalls", "chargeoffs")
}

MERGES: Mapping[str, Sequence[Merge]] = {
    "recalls": (
        Merge(
            "placements ended",
            "INSERT INTO placements (account_key, collector, actor, placed_on, recalled_on) "
            "SELECT a.key, a.collector, a.actor, coalesce(a.placed_on, s.on_day), s.on_day "
            f"FROM part_recalls s JOIN accounts a ON {_OF} ORDER BY a.key "
            "ON CONFLICT (account_key, collector, placed_on) DO UPDATE SET recalled_on = excluded.recalled_on "
            "WHERE placements.recalled_on IS NULL",
        ),
        Merge(
            "recalls",
            "UPDATE accounts a SET closing = 'recalled', closing_at = %(at)s FROM part_recalls s "
            f"WHERE {_OF} AND a.closing IS NULL",
            "recall",
            "RETURNING a.key, s.reason, s.on_day",
        ),
    ),
    "chargeoffs": (
        Merge(
            "charge-offs",
            "INSERT INTO ledger_entries (account_key, creditor, kind, amount, currency, value_on, received_at, external_id, "
            f"source, feed_id) SELECT a.key, a.creditor, 'charge_off', {_OWED}, a.currency, s.on_day, %(at)s, "
            f"'charge-off/' || a.key, %(source)s, %(feed)s FROM part_chargeoffs s JOIN accounts a ON {_OF} "
            f"WHERE {_OWED} > 0 ORDER BY a.key ON CONFLICT (creditor, external_id) DO NOTHING",
            "charge_off",
            "RETURNING account_key, amount, currency, value_on",
        ),
        Merge(
            "accounts",
            "UPDATE accounts a SET charged_off_on = s.on_day FROM part_chargeoffs s "
            f"WHERE {_OF} AND a.charged_off_on IS NULL",
            "account",
            "RETURNING a.key",
        ),
    ),
}
"""A recall decides that the case ends; the case ends itself when it is told. A charge-off leaves it as it is."""
