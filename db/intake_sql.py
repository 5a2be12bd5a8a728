"""The statements that merge staged rows into the ledger."""

STAGE = {
    "ledger": (
        "CREATE TEMP TABLE staged_ledger (line int, account_id text, debtor_id text, product text, currency text, "
        "amount bigint, due_on date, issued_on date, name text, phone text, email text, address text, region text, "
        "locality text, timezone text, language text, disputed boolean, creditor text, collector text, actor text, "
        "debt_type text, ref text, component text, placed_on date, charged_off_on date, score int)"
    ),
    "payments": (
        "CREATE TEMP TABLE staged_payments (line int, payment_id text, account_id text, amount bigint, currency text, "
        "paid_on date, creditor text)"
    ),
    "contacts": (
        "CREATE TEMP TABLE staged_contacts (line int, person text, kind text, value text, source text, consent text)"
    ),
    "parties": (
        "CREATE TEMP TABLE staged_parties (line int, account text, person text, role text, name text, timezone text, "
        "region text, language text)"
    ),
}

LEDGER_CONFLICTS = (
    (
        "currency",
        "differs from what this account has; an account has one currency",
        "WITH wrong AS (SELECT s.line FROM staged_ledger s JOIN accounts a ON a.creditor = s.creditor "
        "AND a.external_id = s.account_id WHERE a.currency <> s.currency) "
        "DELETE FROM staged_ledger s USING wrong w WHERE s.line = w.line RETURNING s.line",
    ),
    (
        "account_id",
        "has another debtor or currency in an earlier row",
        "WITH first AS (SELECT DISTINCT ON (creditor, account_id) creditor, account_id, debtor_id, currency "
        "FROM staged_ledger ORDER BY creditor, account_id, line) "
        "DELETE FROM staged_ledger s USING first f WHERE s.creditor = f.creditor AND s.account_id = f.account_id "
        "AND (s.debtor_id <> f.debtor_id OR s.currency <> f.currency) RETURNING s.line",
    ),
    (
        "due_date",
        "repeats a due of this account; give instalment_no or component to tell them apart",
        "WITH n AS (SELECT line, row_number() OVER (PARTITION BY creditor, account_id, ref, component ORDER BY line) AS k "
        "FROM staged_ledger) DELETE FROM staged_ledger s USING n WHERE s.line = n.line AND n.k > 1 RETURNING s.line",
    ),
)

_FIRST = (
    "SELECT DISTINCT ON (s.creditor, s.account_id) s.* FROM staged_ledger s ORDER BY s.creditor, s.account_id, s.line"
)
_POINTS = """
INSERT INTO contact_points (party_key, kind, value, source)
SELECT DISTINCT p.key, one.kind, one.value, 'ledger'
  FROM staged_ledger s JOIN creditors c ON c.code = s.creditor
  JOIN parties p ON p.namespace = c.debtor_namespace AND p.external_id = s.debtor_id
  CROSS JOIN LATERAL (VALUES ('phone', s.phone), ('email', s.email), ('address', s.address)) AS one(kind, value)
 WHERE one.value IS NOT NULL
 ORDER BY 1, 2, 3
ON CONFLICT (party_key, kind, value) DO NOTHING
"""

LEDGER = (
    (
        "creditors",
        "INSERT INTO creditors (code, name) SELECT DISTINCT creditor, creditor FROM staged_ledger ORDER BY 1 "
        "ON CONFLICT DO NOTHING",
    ),
    (
        "parties",
        "INSERT INTO parties (namespace, external_id, name, language, timezone, timezone_source, region, locality) "
        "SELECT DISTINCT ON (c.debtor_namespace, s.debtor_id) c.debtor_namespace, s.debtor_id, s.name, s.language, "
        "s.timezone, CASE WHEN s.timezone IS NOT NULL THEN 'ledger' END, s.region, s.locality "
        "FROM staged_ledger s JOIN creditors c ON c.code = s.creditor "
        "ORDER BY c.debtor_namespace, s.debtor_id, s.line "
        "ON CONFLICT (namespace, external_id) DO UPDATE SET "
        "name = coalesce(nullif(excluded.name, ''), parties.name), language = coalesce(excluded.language, parties.language), "
        "timezone = coalesce(excluded.timezone, parties.timezone), "
        "timezone_source = coalesce(excluded.timezone_source, parties.timezone_source), "
        "region = coalesce(excluded.region, parties.region), locality = coalesce(excluded.locality, parties.locality)",
    ),
    (
        "debtors",
        "INSERT INTO debtors (namespace, external_id, party_key) "
        "SELECT DISTINCT p.namespace, p.external_id, p.key FROM staged_ledger s JOIN creditors c ON c.code = s.creditor "
        "JOIN parties p ON p.namespace = c.debtor_namespace AND p.external_id = s.debtor_id ORDER BY 1, 2 "
        "ON CONFLICT DO NOTHING",
    ),
    (
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
        "charged_off_on = coalesce(excluded.charged_off_on, accounts.charged_off_on), missing_since = NULL",
    ),
    (
        "roles",
        "INSERT INTO account_parties (account_key, party_key, role) "
        f"SELECT a.key, d.party_key, 'borrower' FROM ({_FIRST}) s "
        "JOIN accounts a ON a.creditor = s.creditor AND a.external_id = s.account_id "
        "JOIN debtors d ON d.key = a.debtor_key ON CONFLICT DO NOTHING",
    ),
    (
        "dues",
        "INSERT INTO dues (account_key, ref, component, due_on, amount) "
        "SELECT a.key, s.ref, s.component, s.due_on, s.amount FROM staged_ledger s "
        "JOIN accounts a ON a.creditor = s.creditor AND a.external_id = s.account_id "
        "ON CONFLICT (account_key, ref, component) DO UPDATE SET due_on = excluded.due_on, amount = excluded.amount "
        "WHERE (dues.due_on, dues.amount) IS DISTINCT FROM (excluded.due_on, excluded.amount)",
    ),
    ("contact points", _POINTS),
    (
        "disputes",
        "INSERT INTO holds (reason, scope, account_key, from_at, placed_by, event_id) "
        f"SELECT 'dispute', 'account', a.key, %(at)s, 'import', 'dispute/' || a.key FROM ({_FIRST}) s "
        "JOIN accounts a ON a.creditor = s.creditor AND a.external_id = s.account_id WHERE s.disputed "
        "ORDER BY a.key ON CONFLICT (event_id) DO NOTHING",
    ),
    (
        "found again",
        "UPDATE holds h SET released_at = %(at)s, released_by = 'import' FROM staged_ledger s "
        "JOIN accounts a ON a.creditor = s.creditor AND a.external_id = s.account_id "
        "WHERE h.account_key = a.key AND h.released_at IS NULL AND h.event_id LIKE 'missing/%%' AND %(feed)s > 0",
    ),
)

MISSING = (
    (
        "missing",
        "UPDATE accounts a SET missing_since = %(at)s WHERE a.missing_since IS NULL "
        "AND a.creditor IN (SELECT creditor FROM staged_ledger) AND NOT EXISTS (SELECT 1 FROM staged_ledger s "
        "WHERE s.creditor = a.creditor AND s.account_id = a.external_id)",
    ),
    (
        "held for review",
        "INSERT INTO holds (reason, scope, account_key, from_at, placed_by, event_id) "
        "SELECT 'review', 'account', a.key, %(at)s, 'import', 'missing/' || %(feed)s || '/' || a.key FROM accounts a "
        "WHERE a.missing_since = %(at)s ON CONFLICT DO NOTHING",
    ),
    (
        "reviews",
        "INSERT INTO work_items (kind, creditor, reason, created_at, due_at, outcome) "
        "SELECT 'review', a.creditor, 'missing_from_file', %(at)s, %(at)s, jsonb_build_object('account', a.key) "
        "FROM accounts a WHERE a.missing_since = %(at)s ORDER BY a.key",
    ),
)

CONTACTS = (
    (
        "contact points",
        "INSERT INTO contact_points (party_key, kind, value, source, consent) "
        "SELECT DISTINCT ON (p.key, s.kind, s.value) p.key, s.kind, s.value, s.source, s.consent "
        "FROM staged_contacts s JOIN parties p ON p.external_id = s.person ORDER BY p.key, s.kind, s.value, s.line DESC "
        "ON CONFLICT (party_key, kind, value) DO UPDATE SET "
        "consent = CASE WHEN excluded.consent = 'not_asked' THEN contact_points.consent ELSE excluded.consent END",
    ),
)

PARTIES = (
    (
        "parties",
        "INSERT INTO parties (namespace, external_id, name, timezone, region, language) "
        "SELECT DISTINCT ON (p.namespace, s.person) p.namespace, s.person, s.name, s.timezone, s.region, s.language "
        "FROM staged_parties s JOIN accounts a ON a.external_id = s.account JOIN debtors d ON d.key = a.debtor_key "
        "JOIN parties p ON p.key = d.party_key ORDER BY p.namespace, s.person, s.line ON CONFLICT DO NOTHING",
    ),
    (
        "roles",
        "INSERT INTO account_parties (account_key, party_key, role) "
        "SELECT DISTINCT a.key, q.key, s.role FROM staged_parties s JOIN accounts a ON a.external_id = s.account "
        "JOIN debtors d ON d.key = a.debtor_key JOIN parties p ON p.key = d.party_key "
        "JOIN parties q ON q.namespace = p.namespace AND q.external_id = s.person ON CONFLICT DO NOTHING",
    ),
)

_MATCHED = """
    SELECT s.*, count(a.key) OVER w AS found, a.key AS account_key, a.creditor AS account_creditor,
           a.currency AS account_currency, coalesce(p.timezone, c.timezone, 'UTC') AS zone
      FROM staged_payments s
      LEFT JOIN accounts a ON a.external_id = s.account_id AND (s.creditor IS NULL OR s.creditor = a.creditor)
      LEFT JOIN creditors c ON c.code = a.creditor
      LEFT JOIN debtors d ON d.key = a.debtor_key LEFT JOIN parties p ON p.key = d.party_key
     WHERE s.account_id = ANY(%(accounts)s)
    WINDOW w AS (PARTITION BY s.line)
"""

PAYMENTS = (
    (
        "payments",
        f"WITH m AS ({_MATCHED}), posted AS (INSERT INTO ledger_entries (account_key, creditor, kind, amount, currency, "
        "value_on, received_at, external_id, source, feed_id) "
        "SELECT account_key, account_creditor, 'payment', amount, currency, paid_on, "
        "CASE WHEN %(back)s THEN paid_on::timestamp AT TIME ZONE zone ELSE %(at)s END, payment_id, %(source)s, %(feed)s "
        "FROM m WHERE found = 1 AND account_currency = currency ORDER BY account_key, line "
        "ON CONFLICT (creditor, external_id) DO NOTHING RETURNING account_key, external_id, amount, currency, value_on) "
        "SELECT posted.*, k.key AS case_key FROM posted LEFT JOIN cases k ON k.account_key = posted.account_key "
        "AND k.status <> 'closed'",
    ),
    (
        "suspense",
        f"WITH m AS ({_MATCHED}) INSERT INTO suspense (kind, external_id, account_ref, amount, currency, value_on, "
        "received_at, reason) SELECT DISTINCT ON (payment_id) 'payment', payment_id, account_id, amount, currency, paid_on, "
        "%(at)s, CASE WHEN found = 0 THEN 'unknown_account' WHEN found > 1 THEN 'ambiguous_account' "
        "ELSE 'other_currency' END FROM m WHERE found <> 1 OR account_currency <> currency ORDER BY payment_id "
        "ON CONFLICT (kind, external_id) DO NOTHING",
    ),
)
