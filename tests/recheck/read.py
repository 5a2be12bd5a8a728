"""Reads the rows, in one read-only transaction on one snapshot. What people said is turned into events here."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.recheck.model import (
    NEVER_MADE,
    Account,
    Arrangement,
    Attempt,
    Case,
    Consent,
    Decision,
    Due,
    Entry,
    Event,
    Feed,
    Hold,
    Link,
    Party,
    Placement,
    Point,
    Request,
    Role,
    World,
)

_Rows = list[dict[str, Any]]
_Link = psycopg.Connection[dict[str, Any]]

SAID_BY_AGENT = {
    "wrong_number": ("wrong_party", "number"),
    "deceased": ("deceased", "person"),
    "attorney": ("attorney_represented", "account"),
    "bankruptcy": ("bankruptcy_filed", "debtor"),
    "cease": ("channel_opt_out", "channel"),
}
"""Dispositions of calls that are state events, whether or not anybody entered them as such."""


def read_world(url: str) -> World:
    """Read everything the re-check needs from the database at ``url``."""
    plain = url.replace("+psycopg", "", 1)
    with psycopg.connect(plain, row_factory=dict_row) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return _read(connection)


def _rows(connection: _Link, query: str) -> _Rows:
    return connection.execute(query.encode()).fetchall()


def _grouped(rows: Iterable[dict[str, Any]], by: str) -> dict[str, _Rows]:
    groups: dict[str, _Rows] = defaultdict(list)
    for row in rows:
        groups[row.pop(by)].append(row)
    return groups


def _read(connection: _Link) -> World:
    statuses = {row["key"]: row["status"] for row in _rows(connection, "SELECT key, status FROM attempts")}
    attempts = tuple(_attempts(connection))
    points = {row["key"]: Point(**row) for row in _rows(connection, _POINTS)}
    accounts = _accounts(connection)
    events = [*_state_events(connection), *_replies(connection, attempts), *_reported(attempts, accounts, points)]
    return World(
        parties={row["key"]: Party(**row) for row in _rows(connection, _PARTIES)},
        points=points,
        accounts=accounts,
        roles=tuple(Role(**row) for row in _rows(connection, _ROLES)),
        attempts=attempts,
        statuses=statuses,
        cases={row["key"]: Case(**row) for row in _rows(connection, _CASES)},
        holds=tuple(Hold(**row) for row in _rows(connection, _HOLDS)),
        events=tuple(sorted(events, key=lambda event: (event.from_at, event.key))),
        consents=tuple(Consent(**row) for row in _rows(connection, _CONSENTS)),
        arrangements=tuple(_arrangements(connection)),
        feeds=tuple(Feed(row["kind"], row["as_of"], tuple(row["creditors"])) for row in _rows(connection, _FEEDS)),
        decisions=tuple(Decision(**row) for row in _rows(connection, _DECISIONS)),
        links=tuple(Link(**row) for row in _rows(connection, _LINKS)),
        requests=tuple(Request(**row) for row in _rows(connection, _REQUESTS)),
    )


_PARTIES = (
    "SELECT key, timezone AS zone, timezone_source AS zone_source, region, locality, born_on, deceased_on FROM parties"
)
_POINTS = "SELECT key, party_key, kind, value, consent FROM contact_points"
_ROLES = "SELECT account_key, party_key, role, valid_from, valid_to FROM account_parties"
_CASES = "SELECT key, account_key, collector, closed_at, chain_seq, chain_hash FROM cases"
_HOLDS = (
    "SELECT key, reason, scope, debtor_key, account_key, contact_point_key AS point_key, channel, "
    "coalesce(part_amount, 0) AS part_amount, from_at, until_at, released_at FROM holds ORDER BY from_at, key"
)
_CONSENTS = (
    "SELECT party_key, contact_point_key AS point_key, channel, state, scope, source, from_at, until_at "
    "FROM consents ORDER BY from_at, id"
)
_ARRANGEMENTS = "SELECT key, account_key, kind, status, agreed_at, starts_at, ended_at, grace_days, expires_on FROM arrangements ORDER BY key"
_LINES = "SELECT arrangement_key, due_on, amount FROM arrangement_lines ORDER BY arrangement_key, no"
_FEEDS = "SELECT kind, as_of, creditors FROM feeds ORDER BY as_of"
_DECISIONS = "SELECT attempt_key, number, decided_at, verdict FROM decisions ORDER BY attempt_key, number"
_LINKS = "SELECT case_key, seq, kind, at, body, previous_hash, hash FROM case_events ORDER BY case_key, seq"
_REQUESTS = "SELECT attempt_key, received_at FROM sandbox_requests ORDER BY id"
_ACCOUNTS = """
SELECT a.key, a.creditor, a.debtor_key, d.party_key AS debtor_party, a.product, a.collector, a.actor, a.debt_type,
       a.closing_at, c.region AS creditor_region, c.timezone AS creditor_zone, c.allocation,
       coalesce((c.tolerance ->> a.currency)::bigint, 0) AS tolerance, c.payment_feed_max_age_hours AS feed_hours
  FROM accounts a JOIN creditors c ON c.code = a.creditor JOIN debtors d ON d.key = a.debtor_key
"""
_DUES = "SELECT account_key, ref, component, due_on, amount FROM dues"
_ENTRIES = (
    "SELECT account_key, kind, coalesce(component, '') AS component, amount, value_on, received_at, external_id, "
    "reverses FROM ledger_entries"
)
_PLACEMENTS = "SELECT account_key, collector, actor, placed_on, recalled_on FROM placements ORDER BY placed_on"
_ATTEMPTS = """
SELECT t.key, t.case_key, t.origin, t.purpose, t.channel, t.party_key, t.contact_point_key AS point_key, t.status,
       t.admitted_at AS at, t.sent_at, t.provider, lower(coalesce(t.outcome, t.error_code, '')) AS outcome,
       coalesce((SELECT array_agg(x.account_key ORDER BY x.account_key) FROM attempt_accounts x
                  WHERE x.attempt_key = t.key), '{}') AS accounts,
       coalesce((SELECT array_agg(x.case_key ORDER BY x.case_key) FROM attempt_accounts x
                  WHERE x.attempt_key = t.key AND x.case_key IS NOT NULL), '{}') AS cases
  FROM attempts t WHERE t.admitted_at IS NOT NULL ORDER BY t.admitted_at, t.key
"""
_WORKED = "SELECT body, case_key, at FROM case_events WHERE kind = 'worked' ORDER BY id"
_TOLD = """
SELECT case_key, received_at AS at, body FROM inbox
 WHERE name IN ('record_call_outcome', 'record_visit_outcome') AND status = 'applied'
"""
_REPLIES = """
SELECT external_id, at, body FROM sandbox_events
 WHERE kind = 'reply' AND delivered_at IS NOT NULL AND body ->> 'code' = 'stop'
"""
_HAS_EVENTS = "SELECT to_regclass('state_events') IS NOT NULL AS there"
_STATE_EVENTS = "SELECT to_jsonb(s) AS whole, s.from_at, s.until_at, s.ended_at FROM state_events s ORDER BY s.from_at"


def _accounts(connection: _Link) -> dict[str, Account]:
    dues = _grouped(_rows(connection, _DUES), "account_key")
    entries = _grouped(_rows(connection, _ENTRIES), "account_key")
    placements = _grouped(_rows(connection, _PLACEMENTS), "account_key")
    return {
        row["key"]: Account(
            **row,
            dues=tuple(Due(**due) for due in dues.get(row["key"], ())),
            entries=tuple(Entry(**entry) for entry in entries.get(row["key"], ())),
            placements=tuple(Placement(**placement) for placement in placements.get(row["key"], ())),
        )
        for row in _rows(connection, _ACCOUNTS)
    }


def _arrangements(connection: _Link) -> Iterable[Arrangement]:
    lines = _grouped(_rows(connection, _LINES), "arrangement_key")
    for row in _rows(connection, _ARRANGEMENTS):
        agreed = tuple((line["due_on"], line["amount"]) for line in lines.get(row["key"], ()))
        yield Arrangement(**row, lines=agreed)


def _attempts(connection: _Link) -> Iterable[Attempt]:
    reports = _reports(connection)
    for row in _rows(connection, _ATTEMPTS):
        if row["status"] in NEVER_MADE:
            continue
        accounts, cases = tuple(row.pop("accounts")), tuple(row.pop("cases"))
        yield Attempt(**row, accounts=accounts, cases=cases, talk=reports.get(row["key"], {}))


def _reports(connection: _Link) -> dict[str, Mapping[str, Any]]:
    """Return what agents said of their attempts: the record's event, and the message it came from."""
    told = {(row["case_key"], row["at"]): _object(row["body"]) for row in _rows(connection, _TOLD)}
    reports: dict[str, Mapping[str, Any]] = {}
    for row in _rows(connection, _WORKED):
        body = _object(row["body"])
        if "attempt" in body:
            message = told.get((row["case_key"], row["at"]), {})
            fields: dict[str, Any] = {
                name: message[name] for name in ("duration_seconds", "visitors") if name in message
            }
            first = reports.get(body["attempt"])
            reports[body["attempt"]] = first or {**body, **fields}
    return reports


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _state_events(connection: _Link) -> Iterable[Event]:
    if not _rows(connection, _HAS_EVENTS)[0]["there"]:
        return
    for number, row in enumerate(_rows(connection, _STATE_EVENTS)):
        whole = row["whole"]
        detail = whole.get("detail")
        yield Event(
            key=str(whole.get("key") or whole.get("id") or number),
            kind=str(whole["kind"]).lower().replace("-", "_"),
            scope=str(whole["scope"]).lower(),
            debtor_key=whole.get("debtor_key"),
            party_key=whole.get("party_key"),
            account_key=whole.get("account_key"),
            point_key=whole.get("contact_point_key"),
            channel=whole.get("channel"),
            from_at=row["from_at"],
            until_at=row["until_at"],
            ended_at=row["ended_at"],
            detail=detail if isinstance(detail, dict) else {},
        )


def _event(key: str, kind: str, scope: str, attempt: Attempt, **of: str | None) -> Event:
    return Event(
        key=key,
        kind=kind,
        scope=scope,
        debtor_key=of.get("debtor"),
        party_key=of.get("party", attempt.party_key),
        account_key=of.get("account"),
        point_key=of.get("point"),
        channel=attempt.channel,
        from_at=attempt.at,
        until_at=None,
        ended_at=None,
        detail={},
    )


def _replies(connection: _Link, attempts: Iterable[Attempt]) -> Iterable[Event]:
    """Return the stops that simulated people sent back, whatever was made of them."""
    by_key = {attempt.key: attempt for attempt in attempts}
    for row in _rows(connection, _REPLIES):
        attempt = by_key.get(row["body"].get("attempt", ""))
        if attempt is not None:
            kind = "opt_out" if attempt.channel == "sms" else "channel_opt_out"
            said = _event(row["external_id"], kind, "number", attempt, point=attempt.point_key)
            yield Event(**{**_fields(said), "from_at": row["at"]})


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in Event.__slots__}


def _reported(
    attempts: Iterable[Attempt], accounts: Mapping[str, Account], points: Mapping[str, Point]
) -> Iterable[Event]:
    """Return the state events that agents reported as the disposition of a call or visit."""
    phones: dict[str, list[str]] = defaultdict(list)
    for point in points.values():
        if point.kind == "phone":
            phones[point.party_key].append(point.key)
    for attempt in attempts:
        if not attempt.by_agent or attempt.outcome not in SAID_BY_AGENT:
            continue
        kind, scope = SAID_BY_AGENT[attempt.outcome]
        owner = attempt.party_key or next((accounts[key].debtor_party for key in attempt.accounts), "")
        only = phones[owner][0] if len(phones[owner]) == 1 and attempt.channel == "call" else None
        number = attempt.point_key or only
        if scope == "number" and number is None:
            continue
        for place, key in enumerate(attempt.accounts or ("",)):
            account = accounts.get(key)
            yield _event(
                f"{attempt.key}#{place}",
                kind,
                scope,
                attempt,
                point=number,
                account=key or None,
                debtor=None if account is None else account.debtor_key,
                party=owner or None,
            )
            if scope != "account":
                break
