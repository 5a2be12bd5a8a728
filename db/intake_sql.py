"""The statements that check staged rows against each other and the ledger, and merge them into it.

Rows stand in ``staged_<kind>``. They are merged a chunk at a time from ``part_<kind>``: chunk 0 holds all that concerns
no open case, the others a bounded number of persons each, whose locks the transaction takes first. A statement that
can change what a case knows returns what it changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

_COLUMNS: Mapping[str, str] = {
    "ledger": (
        "line int, account_id text, debtor_id text, product text, currency text, amount bigint, due_on date, "
        "issued_on date, name text, phone text, email text, address text, region text, locality text, timezone text, "
        "language text, disputed boolean, creditor text, collector text, actor text, debt_type text, ref text, "
        "component text, placed_on date, charged_off_on date, score int"
    ),
    "payments": (
        "line int, payment_id text, account_id text, amount bigint, currency text, paid_on date, creditor text"
    ),
    "contacts": "line int, person text, kind text, value text, source text, consent text, creditor text",
    "parties": (
        "line int, account text, person text, role text, name text, timezone text, region text, language text, "
        "creditor text"
    ),
    "recalls": "line int, account_id text, reason text, on_day date, creditor text",
    "chargeoffs": "line int, account_id text, reason text, on_day date, creditor text",
}
STAGE = (
    "CREATE TEMP TABLE seen_accounts (creditor text, account_id text)",
    *(
        f"CREATE TEMP TABLE staged_{kind} ({columns}, newly_disputed boolean NOT NULL DEFAULT false, "
        f"chunk int NOT NULL DEFAULT 0)"
        for kind, columns in _COLUMNS.items()
    ),
)
"""``seen_accounts``: accounts that stand in the file though a row of theirs was left out; they are not missing."""

UNSTAGE = tuple(
    f"DROP TABLE IF EXISTS {name}"
    for name in (
        *(f"staged_{kind}" for kind in _COLUMNS),
        *(f"part_{kind}" for kind in _COLUMNS),
        "seen_accounts",
    )
)


def copy_into(kind: str) -> str:
    """Return the COPY that stages rows of a kind."""
    names = ", ".join(column.split()[0] for column in _COLUMNS[kind].split(", "))
    return f"COPY staged_{kind} ({names}) FROM STDIN"


# --- what contradicts another row or the ledger -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Conflict:
    """A statement that takes out staged rows and returns their lines, and what is wrong with them."""

    column: str
    what: str
    statement: str


_SEEN = (
    "WITH wrong AS ({wrong}), gone AS (DELETE FROM staged_ledger s USING wrong w WHERE s.line = w.line "
    "RETURNING s.line, s.creditor, s.account_id), noted AS (INSERT INTO seen_accounts SELECT creditor, account_id FROM gone) "
    "SELECT line FROM gone"
)
_KNOWN_ACCOUNTS = "SELECT creditor, external_id FROM accounts UNION SELECT creditor, account_id FROM staged_ledger"
_KNOWN_PEOPLE = (
    "SELECT namespace, external_id FROM parties "
    "UNION SELECT coalesce(c.debtor_namespace, ''), s.debtor_id FROM staged_ledger s LEFT JOIN creditors c ON c.code = s.creditor "
    "UNION SELECT coalesce(c.debtor_namespace, ''), s.person FROM staged_parties s "
    "JOIN known_accounts k ON k.external_id = s.account AND (s.creditor IS NULL OR s.creditor = k.creditor) "
    "LEFT JOIN creditors c ON c.code = k.creditor"
)


def how_many(rows: str, known: str, match: str, wanted: str) -> str:
    """Return the statement that takes out rows for which ``wanted`` does not hold of the number they match."""
    return (
        f"WITH known_accounts AS ({_KNOWN_ACCOUNTS}), known AS ({known}), "
        f"counted AS (SELECT s.line, count(k.external_id) AS n FROM {rows} s LEFT JOIN known k ON {match} GROUP BY s.line) "
        f"DELETE FROM {rows} s USING counted n WHERE s.line = n.line AND {wanted} RETURNING s.line"
    )


_OF_ACCOUNT = "k.external_id = s.account AND (s.creditor IS NULL OR s.creditor = k.creditor)"
_OF_PERSON = (
    "k.external_id = s.person AND (s.creditor IS NULL OR k.namespace = "
    "coalesce((SELECT debtor_namespace FROM creditors c WHERE c.code = s.creditor), ''))"
)
_POSTED = (
    f"WITH known AS ({_KNOWN_ACCOUNTS}), owned AS (SELECT s.*, k.creditor AS owner FROM staged_payments s "
    "JOIN known k ON k.external_id = s.account_id AND (s.creditor IS NULL OR s.creditor = k.creditor))"
)

CONFLICTS: Mapping[str, Sequence[Conflict]] = {
    "ledger": (
        Conflict(
            "currency",
            "differs from what this account has; an account has one currency",
            _SEEN.format(
                wrong="SELECT s.line FROM staged_ledger s JOIN accounts a ON a.creditor = s.creditor "
                "AND a.external_id = s.account_id WHERE a.currency <> s.currency"
            ),
        ),
        Conflict(
            "debtor_id",
            "differs from what this account has; an account has one debtor",
            _SEEN.format(
                wrong="SELECT s.line FROM staged_ledger s JOIN accounts a ON a.creditor = s.creditor "
                "AND a.external_id = s.account_id JOIN debtors d ON d.key = a.debtor_key WHERE d.external_id <> s.debtor_id"
            ),
        ),
        Conflict(
            "account_id",
            "has another debtor or currency in an earlier row",
            _SEEN.format(
                wrong="SELECT s.line FROM staged_ledger s JOIN (SELECT DISTINCT ON (creditor, account_id) creditor, "
                "account_id, debtor_id, currency FROM staged_ledger ORDER BY creditor, account_id, line) f "
                "ON s.creditor = f.creditor AND s.account_id = f.account_id "
                "WHERE s.debtor_id <> f.debtor_id OR s.currency <> f.currency"
            ),
        ),
        Conflict(
            "due_date",
            "repeats a due of this account; give instalment_no or component to tell them apart",
            _SEEN.format(
                wrong="SELECT n.line FROM (SELECT line, row_number() OVER (PARTITION BY creditor, account_id, ref, component "
                "ORDER BY line) AS k FROM staged_ledger) n WHERE n.k > 1"
            ),
        ),
    ),
    "parties": (
        Conflict(
            "account",
            "is not known; import it with --ledger first",
            how_many("staged_parties", "SELECT * FROM known_accounts", _OF_ACCOUNT, "n.n = 0"),
        ),
        Conflict(
            "account",
            "is a number of several creditors; add a column creditor_id",
            how_many("staged_parties", "SELECT * FROM known_accounts", _OF_ACCOUNT, "n.n > 1"),
        ),
    ),
    "contacts": (
        Conflict(
            "person",
            "is not known; import the account with --ledger or the role with --parties first",
            how_many("staged_contacts", _KNOWN_PEOPLE, _OF_PERSON, "n.n = 0"),
        ),
        Conflict(
            "person",
            "is a number of several people; add a column creditor_id",
            how_many("staged_contacts", _KNOWN_PEOPLE, _OF_PERSON, "n.n > 1"),
        ),
    ),
    "payments": (
        Conflict(
            "payment_id",
            "stands in an earlier row with another account, amount or day",
            f"{_POSTED}, wrong AS (SELECT DISTINCT s.line FROM owned s JOIN owned f ON f.owner = s.owner "
            "AND f.payment_id = s.payment_id AND f.line < s.line "
            "AND (f.account_id, f.amount, f.currency, f.paid_on) IS DISTINCT FROM (s.account_id, s.amount, s.currency, s.paid_on)) "
            "DELETE FROM staged_payments s USING wrong w WHERE s.line = w.line RETURNING s.line",
        ),
        Conflict(
            "payment_id",
            "is known with another account, amount or day",
            f"{_POSTED}, wrong AS (SELECT DISTINCT s.line FROM owned s JOIN ledger_entries e ON e.creditor = s.owner "
            "AND e.external_id = s.payment_id JOIN accounts a ON a.key = e.account_key "
            "WHERE (a.external_id, e.amount, e.currency, e.value_on, e.kind) "
            "IS DISTINCT FROM (s.account_id, s.amount, s.currency, s.paid_on, 'payment')) "
            "DELETE FROM staged_payments s USING wrong w WHERE s.line = w.line RETURNING s.line",
        ),
    ),
}

# --- in which chunk a row is merged -------------------------------------------------------------------------------

DISPUTED = (
    "UPDATE staged_ledger s SET disputed = true FROM staged_ledger o "
    "WHERE o.creditor = s.creditor AND o.account_id = s.account_id AND o.disputed AND NOT s.disputed",
    "UPDATE staged_ledger s SET newly_disputed = true WHERE s.disputed AND NOT EXISTS (SELECT 1 FROM accounts a "
    "WHERE a.creditor = s.creditor AND a.external_id = s.account_id AND a.disputed)",
)
"""One disputed row disputes the account; a dispute that was not known before is put on hold (again)."""

_NUMBERED = "(dense_rank() OVER (ORDER BY {key}) - 1) / %(size)s + 1"


def chunks(kind: str, busy: str, key: str) -> str:
    """Return the statement that numbers the rows that concern open cases, so many of a key to a chunk."""
    return (
        f"UPDATE staged_{kind} s SET chunk = n.chunk FROM (SELECT b.line, {_NUMBERED.format(key=key)} AS chunk "
        f"FROM ({busy}) b) n WHERE n.line = s.line"
    )


CHUNKS: Mapping[str, str] = {
    "ledger": chunks(
        "ledger",
        "SELECT s.line, d.key AS debtor FROM staged_ledger s JOIN creditors c ON c.code = s.creditor "
        "JOIN debtors d ON d.namespace = c.debtor_namespace AND d.external_id = s.debtor_id "
        "WHERE EXISTS (SELECT 1 FROM cases k WHERE k.debtor_key = d.key AND k.status <> 'closed')",
        "b.debtor",
    ),
    "payments": chunks(
        "payments",
        "SELECT s.line, s.account_id FROM staged_payments s WHERE EXISTS (SELECT 1 FROM accounts a "
        "JOIN cases k ON k.account_key = a.key AND k.status <> 'closed' WHERE a.external_id = s.account_id)",
        "b.account_id",
    ),
    "contacts": chunks(
        "contacts",
        "SELECT s.line, s.person FROM staged_contacts s WHERE EXISTS (SELECT 1 FROM parties p "
        "JOIN account_parties r ON r.party_key = p.key JOIN cases k ON k.account_key = r.account_key "
        "AND k.status <> 'closed' WHERE p.external_id = s.person)",
        "b.person",
    ),
    "parties": chunks(
        "parties",
        "SELECT s.line, s.account FROM staged_parties s WHERE EXISTS (SELECT 1 FROM accounts a "
        "JOIN cases k ON k.account_key = a.key AND k.status <> 'closed' WHERE a.external_id = s.account)",
        "b.account",
    ),
}

OPEN_ACCOUNTS: Mapping[str, str] = {
    "ledger": (
        "SELECT DISTINCT k.account_key FROM part_ledger s JOIN creditors c ON c.code = s.creditor "
        "JOIN debtors d ON d.namespace = c.debtor_namespace AND d.external_id = s.debtor_id "
        "JOIN cases k ON k.debtor_key = d.key AND k.status <> 'closed'"
    ),
    "payments": (
        "SELECT DISTINCT k.account_key FROM part_payments s JOIN accounts a ON a.external_id = s.account_id "
        "JOIN cases k ON k.account_key = a.key AND k.status <> 'closed'"
    ),
    "contacts": (
        "SELECT DISTINCT k.account_key FROM part_contacts s JOIN parties p ON p.external_id = s.person "
        "JOIN account_parties r ON r.party_key = p.key JOIN cases k ON k.account_key = r.account_key AND k.status <> 'closed'"
    ),
    "parties": (
        "SELECT DISTINCT k.account_key FROM part_parties s JOIN accounts a ON a.external_id = s.account "
        "JOIN cases k ON k.account_key = a.key AND k.status <> 'closed'"
    ),
}
"""Accounts with an open case that the part of a chunk may concern."""

# --- into the ledger --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Merge:
    """One statement. ``changed`` says whose key its RETURNING clause gives."""

    name: str
    statement: str
    changed: Literal["account", "party", "hold", "release", "payment", "recall", "charge_off"] | None = None
    returning: str = ""


_FIRST = (
    "SELECT DISTINCT ON (s.creditor, s.account_id) s.* FROM part_ledger s ORDER BY s.creditor, s.account_id, s.line"
)

LEDGER = (
    Merge(
        "creditors",
        "INSERT INTO creditors (code, name) SELECT DISTINCT creditor, creditor FROM part_ledger ORDER BY 1 "
        "ON CONFLICT DO NOTHING",
    ),
    Merge(
        "parties",
        "INSERT INTO parties (namespace, external_id, name, language, timezone, timezone_source, region, locality) "
        "SELECT DISTINCT ON (c.debtor_namespace, s.debtor_id) c.debtor_namespace, s.debtor_id, s.name, s.language, "
        "s.timezone, CASE WHEN s.timezone IS NOT NULL THEN 'ledger' END, s.region, s.locality "
        "FROM part_ledger s JOIN creditors c ON c.code = s.creditor "
        "ORDER BY c.debtor_namespace, s.debtor_id, s.line "
        "ON CONFLICT (namespace, external_id) DO UPDATE SET "
        "name = coalesce(nullif(excluded.name, ''), parties.name), language = coalesce(excluded.language, parties.language), "
        "timezone = CASE WHEN parties.timezone_source = 'confirmed' THEN parties.timezone "
        "ELSE coalesce(excluded.timezone, parties.timezone) END, "
        "timezone_source = CASE WHEN parties.timezone_source = 'confirmed' THEN 'confirmed' "
        "ELSE coalesce(excluded.timezone_source, parties.timezone_source) END, "
        "region = coalesce(excluded.region, parties.region), locality = coalesce(excluded.locality, parties.locality) "
        "WHERE (parties.name, parties.language, parties.timezone, parties.region, parties.locality) IS DISTINCT FROM "
        "(coalesce(nullif(excluded.name, ''), parties.name), coalesce(excluded.language, parties.language), "
        "CASE WHEN parties.timezone_source = 'confirmed' THEN parties.timezone ELSE coalesce(excluded.timezone, parties.timezone) END, "
        "coalesce(excluded.region, parties.region), coalesce(excluded.locality, parties.locality))",
        "party",
        "RETURNING key",
    ),
    Merge(
        "debtors",
        "INSERT INTO debtors (namespace, external_id, party_key) "
        "SELECT DISTINCT p.namespace, p.external_id, p.key FROM part_ledger s JOIN creditors c ON c.code = s.creditor "
        "JOIN parties p ON p.namespace = c.debtor_namespace AND p.external_id = s.debtor_id ORDER BY 1, 2 "
        "ON CONFLICT DO NOTHING",
    ),
    Merge(
        "accounts",
        "INSERT INTO accounts (creditor, external_id, debtor_key, product, currency, collector, actor, debt_type, "
        "issued_on, placed_on, charged_off_on, disputed, score, created_at) "
        "SELECT s.creditor, s.account_id, d.key, s.product, s.currency, coalesce(s.collector, c.collector), "
        "coalesce(s.actor, c.actor), coalesce(s.debt_type, c.debt_type), s.issued_on, s.placed_on, s.charged_off_on, "
        f"s.disputed, s.score, %(at)s FROM ({_FIRST}) s JOIN creditors c ON c.code = s.creditor "
        "JOIN debtors d ON d.namespace = c.debtor_namespace AND d.external_id = s.debtor_id "
        "ORDER BY s.creditor, s.line "
        "ON CONFLICT (creditor, external_id) DO UPDATE SET product = excluded.product, disputed = excluded.disputed, "
        "score = coalesce(excluded.score, accounts.score), placed_on = coalesce(excluded.placed_on, accounts.placed_on), "
        "charged_off_on = coalesce(excluded.charged_off_on, accounts.charged_off_on), missing_since = NULL "
        "WHERE (accounts.product, accounts.disputed, accounts.score, accounts.placed_on, accounts.charged_off_on, "
        "accounts.missing_since) IS DISTINCT FROM (excluded.product, excluded.disputed, coalesce(excluded.score, accounts.score), "
        "coalesce(excluded.placed_on, accounts.placed_on), coalesce(excluded.charged_off_on, accounts.charged_off_on), NULL)",
        "account",
        "RETURNING key",
    ),
    Merge(
        "roles",
        "INSERT INTO account_parties (account_key, party_key, role) "
        f"SELECT a.key, d.party_key, 'borrower' FROM ({_FIRST}) s "
        "JOIN accounts a ON a.creditor = s.creditor AND a.external_id = s.account_id "
        "JOIN debtors d ON d.key = a.debtor_key ON CONFLICT DO NOTHING",
    ),
    Merge(
        "dues taken back",
        "DELETE FROM dues u USING accounts a WHERE a.key = u.account_key AND u.ref = u.due_on::text "
        "AND EXISTS (SELECT 1 FROM part_ledger s WHERE s.creditor = a.creditor AND s.account_id = a.external_id "
        "AND s.ref = s.due_on::text) "
        "AND NOT EXISTS (SELECT 1 FROM part_ledger s WHERE s.creditor = a.creditor AND s.account_id = a.external_id "
        "AND s.ref = u.ref AND s.component = u.component) "
        "AND NOT EXISTS (SELECT 1 FROM seen_accounts n WHERE n.creditor = a.creditor AND n.account_id = a.external_id)",
        "account",
        "RETURNING u.account_key",
    ),
    Merge(
        "dues",
        "INSERT INTO dues (account_key, ref, component, due_on, amount) "
        "SELECT a.key, s.ref, s.component, s.due_on, s.amount FROM part_ledger s "
        "JOIN accounts a ON a.creditor = s.creditor AND a.external_id = s.account_id "
        "ON CONFLICT (account_key, ref, component) DO UPDATE SET due_on = excluded.due_on, amount = excluded.amount "
        "WHERE (dues.due_on, dues.amount) IS DISTINCT FROM (excluded.due_on, excluded.amount)",
        "account",
        "RETURNING account_key",
    ),
    Merge(
        "contact points",
        "INSERT INTO contact_points (party_key, kind, value, source) "
        "SELECT DISTINCT p.key, one.kind, one.value, 'ledger' "
        "FROM part_ledger s JOIN creditors c ON c.code = s.creditor "
        "JOIN parties p ON p.namespace = c.debtor_namespace AND p.external_id = s.debtor_id "
        "CROSS JOIN LATERAL (VALUES ('phone', s.phone), ('email', s.email), ('address', s.address)) AS one(kind, value) "
        "WHERE one.value IS NOT NULL ORDER BY 1, 2, 3 ON CONFLICT (party_key, kind, value) DO NOTHING",
        "party",
        "RETURNING party_key",
    ),
    Merge(
        "disputes",
        "INSERT INTO holds (reason, scope, account_key, from_at, placed_by, event_id) "
        f"SELECT 'dispute', 'account', a.key, %(at)s, 'import', 'dispute/' || a.key || '/' || %(feed)s FROM ({_FIRST}) s "
        "JOIN accounts a ON a.creditor = s.creditor AND a.external_id = s.account_id WHERE s.newly_disputed "
        "ORDER BY a.key ON CONFLICT (event_id) DO NOTHING",
        "hold",
        "RETURNING account_key, key, reason",
    ),
    Merge(
        "found again",
        "UPDATE holds h SET released_at = %(at)s, released_by = 'import' FROM accounts a "
        "WHERE a.key = h.account_key AND h.released_at IS NULL AND starts_with(h.event_id, 'missing/') "
        "AND EXISTS (SELECT 1 FROM part_ledger s WHERE s.creditor = a.creditor AND s.account_id = a.external_id)",
        "release",
        "RETURNING h.account_key, h.key, h.reason",
    ),
    Merge(
        "reviews settled",
        "UPDATE work_items w SET status = 'cancelled', done_at = %(at)s, disposition = 'found_again' FROM accounts a "
        "WHERE w.kind = 'review' AND w.reason = 'missing_from_file' AND w.status IN ('open', 'claimed') "
        "AND a.key = w.outcome ->> 'account' "
        "AND EXISTS (SELECT 1 FROM part_ledger s WHERE s.creditor = a.creditor AND s.account_id = a.external_id)",
    ),
)

MISSING_ACCOUNTS = (
    "SELECT a.key FROM accounts a WHERE a.missing_since IS NULL "
    "AND a.creditor IN (SELECT creditor FROM staged_ledger) "
    "AND NOT EXISTS (SELECT 1 FROM staged_ledger s WHERE s.creditor = a.creditor AND s.account_id = a.external_id) "
    "AND NOT EXISTS (SELECT 1 FROM seen_accounts n WHERE n.creditor = a.creditor AND n.account_id = a.external_id) "
    "ORDER BY a.key"
)
MISSING = (
    Merge(
        "missing",
        "UPDATE accounts a SET missing_since = %(at)s WHERE a.key = ANY(%(accounts)s) AND a.missing_since IS NULL",
    ),
    Merge(
        "held for review",
        "INSERT INTO holds (reason, scope, account_key, from_at, placed_by, event_id) "
        "SELECT 'review', 'account', key, %(at)s, 'import', 'missing/' || %(feed)s || '/' || key "
        "FROM unnest(%(accounts)s::text[]) AS key ORDER BY key ON CONFLICT DO NOTHING",
        "hold",
        "RETURNING account_key, key, reason",
    ),
    Merge(
        "reviews",
        "INSERT INTO work_items (kind, creditor, reason, created_at, due_at, outcome) "
        "SELECT 'review', a.creditor, 'missing_from_file', %(at)s, %(at)s, jsonb_build_object('account', a.key) "
        "FROM accounts a WHERE a.key = ANY(%(accounts)s) ORDER BY a.key",
    ),
)

CONTACTS = (
    Merge(
        "contact points",
        "INSERT INTO contact_points (party_key, kind, value, source, consent) "
        "SELECT DISTINCT ON (p.key, s.kind, s.value) p.key, s.kind, s.value, s.source, s.consent FROM part_contacts s "
        "LEFT JOIN creditors c ON c.code = s.creditor JOIN parties p ON p.external_id = s.person "
        "AND (s.creditor IS NULL OR p.namespace = coalesce(c.debtor_namespace, '')) "
        "ORDER BY p.key, s.kind, s.value, s.line DESC "
        "ON CONFLICT (party_key, kind, value) DO UPDATE SET consent = excluded.consent "
        "WHERE excluded.consent <> 'not_asked' AND contact_points.consent <> excluded.consent",
        "party",
        "RETURNING party_key",
    ),
)

_ACCOUNT_OF_PARTY = (
    "FROM part_parties s JOIN accounts a ON a.external_id = s.account AND (s.creditor IS NULL OR s.creditor = a.creditor) "
    "JOIN debtors d ON d.key = a.debtor_key JOIN parties p ON p.key = d.party_key"
)
PARTIES = (
    Merge(
        "parties",
        "INSERT INTO parties (namespace, external_id, name, timezone, timezone_source, region, language) "
        "SELECT DISTINCT ON (p.namespace, s.person) p.namespace, s.person, s.name, s.timezone, "
        "CASE WHEN s.timezone IS NOT NULL THEN 'parties' END, s.region, s.language "
        f"{_ACCOUNT_OF_PARTY} ORDER BY p.namespace, s.person, s.line ON CONFLICT DO NOTHING",
    ),
    Merge(
        "roles",
        "INSERT INTO account_parties (account_key, party_key, role) "
        f"SELECT DISTINCT a.key, q.key, s.role {_ACCOUNT_OF_PARTY} "
        "JOIN parties q ON q.namespace = p.namespace AND q.external_id = s.person ON CONFLICT DO NOTHING",
        "account",
        "RETURNING account_key",
    ),
)

_MATCHED = (
    "SELECT s.*, count(a.key) OVER (PARTITION BY s.line) AS found, a.key AS account_key, a.creditor AS account_creditor, "
    "a.currency AS account_currency, coalesce(p.timezone, c.timezone, 'UTC') AS zone FROM part_payments s "
    "LEFT JOIN accounts a ON a.external_id = s.account_id AND (s.creditor IS NULL OR s.creditor = a.creditor) "
    "LEFT JOIN creditors c ON c.code = a.creditor "
    "LEFT JOIN debtors d ON d.key = a.debtor_key LEFT JOIN parties p ON p.key = d.party_key"
)
_REASON = "CASE WHEN found = 0 THEN 'unknown_account' WHEN found > 1 THEN 'ambiguous_account' ELSE 'other_currency' END"
_UNMATCHED = "found <> 1 OR account_currency <> currency"

PAYMENTS = (
    Merge(
        "payments",
        f"WITH m AS ({_MATCHED}) INSERT INTO ledger_entries (account_key, creditor, kind, amount, currency, "
        "value_on, received_at, external_id, source, feed_id) "
        "SELECT account_key, account_creditor, 'payment', amount, currency, paid_on, "
        "CASE WHEN %(back)s THEN paid_on::timestamp AT TIME ZONE zone ELSE %(at)s END, payment_id, %(source)s, %(feed)s "
        "FROM m WHERE found = 1 AND account_currency = currency ORDER BY account_key, line "
        "ON CONFLICT (creditor, external_id) DO NOTHING",
        "payment",
        "RETURNING account_key, external_id, amount, currency, value_on",
    ),
    Merge(
        "taken from suspense",
        f"WITH m AS ({_MATCHED}) UPDATE suspense x SET state = 'applied' FROM m "
        "WHERE x.kind = 'payment' AND x.state = 'open' AND x.external_id = m.payment_id AND x.account_ref = m.account_id "
        "AND m.found = 1 AND m.account_currency = m.currency AND x.amount = m.amount AND x.currency = m.currency",
    ),
    Merge(
        "suspense",
        f"WITH m AS ({_MATCHED}) INSERT INTO suspense (kind, external_id, account_ref, amount, currency, value_on, "
        "received_at, reason) SELECT DISTINCT ON (payment_id, account_id) 'payment', payment_id, account_id, amount, currency, "
        f"paid_on, %(at)s, {_REASON} FROM m WHERE {_UNMATCHED} ORDER BY payment_id, account_id, line ON CONFLICT DO NOTHING",
    ),
)
SUSPENDED = f"WITH m AS ({_MATCHED}) SELECT DISTINCT line, {_REASON} AS reason FROM m WHERE {_UNMATCHED} ORDER BY line"
"""Rows whose money cannot be applied, and why."""

MERGES: Mapping[str, Sequence[Merge]] = {
    "ledger": LEDGER,
    "payments": PAYMENTS,
    "contacts": CONTACTS,
    "parties": PARTIES,
}
