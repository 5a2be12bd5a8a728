"""One person over all accounts, roles and creditors: what is owed, what rests, what was tried, who may be reached next.

For people at the desk only. What is sent is never put together from here: each message speaks for one creditor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from db.facts import read_facts
from db.state_reading import read_active
from db.strategies import StrategyBook
from desk.case_of import is_logical
from desk.errors import DeskError
from domain.roles import Act, Acting, require
from domain.softening import offers

LOOK_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class DebtorView:
    """``accounts``: each with its role, case and position (minor units). Contact points are named by key, not value.

    ``attempts``: contacts of the last seven days by channel, over all creditors, as caps count them.
    """

    person: str
    at: datetime
    flags: tuple[str, ...]
    accounts: Sequence[Mapping[str, Any]]
    holds: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]
    arrangements: Sequence[Mapping[str, Any]]
    legal: Sequence[Mapping[str, Any]]
    contact_points: Sequence[Mapping[str, Any]]
    attempts: Mapping[str, int]
    next_contact: Mapping[str, Any] | None


_PERSON = """
SELECT p.key FROM parties p LEFT JOIN debtors d ON d.party_key = p.key
 WHERE %(named)s IN (p.key, d.key, p.external_id) ORDER BY p.key LIMIT 2
"""
_ACCOUNTS = """
SELECT a.key, a.external_id AS account, a.creditor, a.collector, a.product, a.currency, r.role, k.key AS case_key,
       k.status, k.stage, k.step, nullif(k.due_at, '9999-12-31 00:00+00') AS due_at, k.next_channel, k.waiting_for,
       k.strategy_digest
  FROM account_parties r JOIN accounts a ON a.key = r.account_key
  LEFT JOIN LATERAL (SELECT * FROM cases c WHERE c.account_key = a.key ORDER BY c.episode DESC LIMIT 1) k ON true
 WHERE r.party_key = %s ORDER BY a.creditor, a.key, r.role
"""
_HOLDS = """
SELECT h.key, h.reason, h.scope, h.account_key, h.channel, h.part_amount, h.from_at, h.until_at, h.review_at,
       h.placed_by
  FROM holds h WHERE (h.account_key = ANY(%(accounts)s)
        OR h.debtor_key IN (SELECT key FROM debtors WHERE party_key = %(party)s))
   AND h.from_at <= %(at)s AND (h.released_at IS NULL OR h.released_at > %(at)s)
   AND (h.until_at IS NULL OR h.until_at > %(at)s) ORDER BY h.from_at, h.key
"""
_ARRANGEMENTS = """
SELECT key, account_key, kind, status, currency, covered_amount, discount, agreed_at
  FROM arrangements WHERE account_key = ANY(%(accounts)s) ORDER BY agreed_at, key
"""
_LEGAL = (
    "SELECT key, account_key, stage, ended_at FROM legal_matters WHERE account_key = ANY(%(accounts)s) ORDER BY key"
)
_POINTS = """
SELECT key, kind, state, consent, unfit, tried, last_tried_at
  FROM contact_points WHERE party_key = %(party)s ORDER BY key
"""
_ATTEMPTS = """
SELECT t.channel, count(*) AS n FROM attempts t
 WHERE t.party_key = %(party)s AND t.admitted_at > %(since)s AND t.admitted_at <= %(at)s
   AND t.status NOT IN ('refused', 'deferred', 'retryable', 'unsent', 'covered') GROUP BY t.channel
"""


def show(engine: Engine, acting: Acting, named: str, at: datetime) -> DebtorView:
    """Return everything about a person, named by our key, the debtor's key or the lender's number."""
    require(acting, Act.SEE)
    book = StrategyBook(engine)
    with engine.connect() as connection:
        party = _party(connection, named)
        accounts = _rows(connection, _ACCOUNTS, (party,))
        keys = [one["key"] for one in accounts]
        values = {"accounts": keys, "party": party, "at": at, "since": at - LOOK_BACK}
        logical = is_logical(connection)
        readings = read_facts(connection, keys, at, logical=logical)
        points = _rows(connection, _POINTS, values)
        told = read_active(
            connection, account_keys=keys, party_keys=[party], point_keys=[one["key"] for one in points], now=at
        )
        flags = sorted({str(flag) for one in readings.values() for flag in one.facts.flags})
        whole = []
        for one in accounts:
            facts, digest = readings[one["key"]].facts, one.pop("strategy_digest")
            suggested = () if digest is None else offers(book.by_digest(digest), facts.flags)
            owed = {
                "past_due": facts.past_due,
                "asked_for": facts.asked_for,
                "balance": facts.balance,
                "dpd": facts.dpd,
            }
            whole.append({**one, **owed, "offers": list(suggested)})
        coming = [one for one in whole if one["status"] == "open" and one["next_channel"] and one["due_at"]]
        first = min(coming, key=lambda one: (one["due_at"], one["key"]), default=None)
        return DebtorView(
            person=party,
            at=at,
            flags=tuple(flags),
            accounts=whole,
            holds=_rows(connection, _HOLDS, values),
            events=[
                {
                    "key": one.key,
                    "kind": str(one.kind),
                    "scope": str(one.scope),
                    "from": one.from_at,
                    "until": one.until_at,
                }
                for one in told
            ],
            arrangements=_rows(connection, _ARRANGEMENTS, values),
            legal=_rows(connection, _LEGAL, values),
            contact_points=points,
            attempts={row["channel"]: row["n"] for row in _rows(connection, _ATTEMPTS, values)},
            next_contact=None
            if first is None
            else {name: first[name] for name in ("case_key", "creditor", "next_channel", "due_at")},
        )


def _party(connection: Connection, named: str) -> str:
    found = connection.exec_driver_sql(_PERSON, {"named": named}).scalars().all()
    if not found:
        raise DeskError(f"{named}: no person with this key or number; `case list` shows accounts")
    if len(found) > 1:
        raise DeskError(f"{named}: several people have this number; name one by key: {', '.join(found)}")
    return str(found[0])


def _rows(connection: Connection, query: str, values: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - parameters
    return [dict(row) for row in connection.exec_driver_sql(query, values).mappings()]
