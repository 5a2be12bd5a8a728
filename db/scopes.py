"""Chooses the cases of a condition: what stands in columns by one statement, what must be reckoned by the facts themselves.

Names and operators come from closed lists here; every value is bound.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from db.facts import reach_of, read_facts
from domain.codes import COUNTS_AS_CONTACT, bucket_of
from domain.conditions import History, holds
from domain.facts import Facts
from domain.scope import SCOPE_FACTS, Scope

READ_AT_ONCE = 500

_STANDING_HOLD = (
    "((h.account_key = a.key AND h.scope IN ('account', 'part')) OR (h.debtor_key = a.debtor_key AND h.scope = 'debtor')) "
    "AND h.from_at <= %(reach)s AND (h.until_at IS NULL OR h.until_at > %(now)s) "
    "AND (h.released_at IS NULL OR h.released_at > %(now)s)"
)
_KNOWN_POINT = (
    "EXISTS (SELECT 1 FROM contact_points n WHERE n.party_key = p.key AND n.kind = '{kind}' "
    "AND n.state IN ('unconfirmed', 'confirmed') AND n.consent <> 'withdrawn')"
)
_COLUMN: Mapping[str, str] = {
    "case": "k.key",
    "account": "a.external_id",
    "debtor": "d.external_id",
    "creditor": "k.creditor",
    "collector": "k.collector",
    "product": "a.product",
    "currency": "a.currency",
    "actor": "a.actor",
    "debt_type": "a.debt_type",
    "region": "coalesce(p.region, c.region)",
    "language": "coalesce(p.language, c.language)",
    "strategy": "k.strategy",
    "stage": "k.stage",
    "step": "k.step",
    "next_channel": "k.next_channel",
    "strategy_version": "s.version",
    "score": "a.score",
    "tries": "(SELECT count(*) FROM attempts t WHERE t.case_key = k.key AND t.status = ANY(%(counts)s))",
    "days_open": "floor(extract(epoch FROM %(now)s - k.opened_at) / 86400)",
    "held": f"EXISTS (SELECT 1 FROM holds h WHERE {_STANDING_HOLD})",
    "disputed": "a.disputed",
    "item_open": "EXISTS (SELECT 1 FROM work_item_cases x JOIN work_items w ON w.key = x.item_key "
    "WHERE x.case_key = k.key AND w.status IN ('open', 'claimed'))",
    "email_known": _KNOWN_POINT.format(kind="email"),
    "phone_known": _KNOWN_POINT.format(kind="phone"),
    "address_known": _KNOWN_POINT.format(kind="address"),
}
_MEMBER: Mapping[str, str] = {
    "hold": f"EXISTS (SELECT 1 FROM holds h WHERE {_STANDING_HOLD} AND h.reason = ANY({{words}}))",
    "dispositions": "EXISTS (SELECT 1 FROM attempts t WHERE t.case_key = k.key AND t.outcome = ANY({words}))",
}
_CASES = """
SELECT k.key, k.account_key, k.creditor, k.stage, k.strategy || ' v' || s.version AS strategy, a.currency, a.external_id
  FROM cases k
  JOIN strategies s ON s.digest = k.strategy_digest
  JOIN accounts a ON a.key = k.account_key
  JOIN creditors c ON c.code = a.creditor
  JOIN debtors d ON d.key = a.debtor_key
  JOIN parties p ON p.key = d.party_key
 WHERE k.status <> 'closed'{where}
 ORDER BY k.key
"""


@dataclass(frozen=True, slots=True)
class ScopedCase:
    """One case of a scope, with what a preview shows of it. ``past_due`` in minor units, ``None`` if it was not read."""

    key: str
    account_key: str
    creditor: str
    stage: str
    strategy: str
    currency: str
    external_id: str
    past_due: int | None = None
    bucket: str | None = None


def choose(connection: Connection, scope: Scope, now: datetime, *, logical: bool, with_money: bool) -> list[ScopedCase]:
    """Return the open cases that fulfil a condition as of ``now``, in the order of their keys.

    ``with_money`` reads what each owes even where the condition does not ask.
    """
    clauses, values = compile_scope(scope)
    values |= {"now": now, "reach": reach_of(now, logical=logical), "counts": sorted(COUNTS_AS_CONTACT)}
    where = "".join(f"\n   AND {clause}" for clause in clauses)
    found = [ScopedCase(*row) for row in connection.exec_driver_sql(_CASES.format(where=where), values)]
    if not with_money and not scope.reckoned:
        return found
    return list(_reckon(connection, found, scope, now, logical=logical))


def _reckon(
    connection: Connection, found: Sequence[ScopedCase], scope: Scope, now: datetime, *, logical: bool
) -> Iterator[ScopedCase]:
    for start in range(0, len(found), READ_AT_ONCE):
        page = found[start : start + READ_AT_ONCE]
        readings = read_facts(connection, [one.account_key for one in page], now, logical=logical)
        for one in page:
            facts = readings[one.account_key].facts
            if holds(scope.reckoned, facts, History()):
                yield _with_money(one, facts)


def _with_money(one: ScopedCase, facts: Facts) -> ScopedCase:
    return ScopedCase(
        one.key,
        one.account_key,
        one.creditor,
        one.stage,
        one.strategy,
        one.currency,
        one.external_id,
        facts.past_due,
        bucket_of(facts.dpd),
    )


# --- from a condition to SQL ----------------------------------------------------------------------------------------


def compile_scope(scope: Scope) -> tuple[list[str], dict[str, object]]:
    """Return the clauses of the tests that the database makes, and the values they bind.

    What is not known fulfils no test but ``none_of``.
    """
    clauses: list[str] = []
    values: dict[str, object] = {}
    for fact, test in scope.in_columns.items():
        for name in sorted(test.written):
            given = getattr(test, name)
            parameter = f"{fact}_{name}"
            values[parameter] = list(given) if isinstance(given, tuple) else given
            clauses.append(_clause(fact, name, f"%({parameter})s"))
    return clauses, values


def _clause(fact: str, test: str, bound: str) -> str:
    match SCOPE_FACTS[fact]:
        case "yes":
            return f"({_COLUMN[fact]}) = {bound}"
        case "number":
            return f"{_COLUMN[fact]} {'>=' if test == 'at_least' else '<'} {bound}::numeric"
        case "set":
            among = _MEMBER[fact].format(words=bound)
        case _ if fact == "region":
            among = f"({_COLUMN[fact]} = ANY({bound}) OR split_part({_COLUMN[fact]}, '-', 1) = ANY({bound}))"
        case _:
            among = f"{_COLUMN[fact]} = ANY({bound})"
    return f"NOT coalesce({among}, false)" if test == "none_of" else f"({among})"
