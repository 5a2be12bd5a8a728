"""What a portfolio looks like now, and whether the figures add up: each account, attempt and payment is somewhere."""

from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of one installation. ``wrong`` names every sum that does not add up."""

    accounts: dict[str, int]
    stages: dict[str, int]
    closed: dict[str, int]
    contacts: dict[str, dict[str, int]]
    refusals: dict[str, int]
    work: dict[str, int]
    payments: dict[str, int]
    paid: dict[str, int]
    coming: tuple[tuple[str, str, str], ...]
    wrong: tuple[str, ...]
    carriers: dict[str, dict[str, int]] = field(default_factory=dict)
    """By provider: what carriers outside say of themselves, beside our own figures."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def summarise(engine: Engine, *, coming: int = 0) -> Summary:
    """Read one consistent picture."""
    with (
        engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        connection.begin(),
    ):
        return _summarise(connection, coming)


def _pairs(connection: Connection, query: str) -> dict[str, int]:
    return {str(key): int(value) for key, value in connection.exec_driver_sql(query)}


def _one(connection: Connection, query: str) -> int:
    return int(connection.exec_driver_sql(query).scalar_one())


def _summarise(connection: Connection, coming: int) -> Summary:
    accounts = _pairs(
        connection,
        "SELECT CASE WHEN k.key IS NULL THEN 'never overdue' WHEN k.status = 'closed' THEN 'closed' ELSE 'open' END, count(*) "
        "FROM accounts a LEFT JOIN LATERAL (SELECT key, status FROM cases WHERE account_key = a.key "
        "ORDER BY episode DESC LIMIT 1) k ON true GROUP BY 1 ORDER BY 1",
    )
    stages = _pairs(connection, "SELECT stage, count(*) FROM cases WHERE status <> 'closed' GROUP BY 1 ORDER BY 1")
    closed = _pairs(
        connection, "SELECT close_reason, count(*) FROM cases WHERE status = 'closed' GROUP BY 1 ORDER BY 1"
    )
    contacts: dict[str, dict[str, int]] = {}
    rows = connection.exec_driver_sql("SELECT channel, status, count(*) FROM attempts GROUP BY 1, 2 ORDER BY 1, 2")
    for channel, status, count in rows:
        contacts.setdefault(channel, {})[status] = count
    payments = {
        "posted": _one(connection, "SELECT count(*) FROM ledger_entries WHERE kind = 'payment'"),
        "returned": _one(connection, "SELECT count(*) FROM ledger_entries WHERE kind = 'reversal'"),
        "suspense": _one(connection, "SELECT count(*) FROM suspense"),
    }
    return Summary(
        accounts=accounts,
        stages=stages,
        closed=closed,
        contacts=contacts,
        refusals=_pairs(
            connection,
            "SELECT r, count(*) FROM decisions, unnest(rule_ids) r WHERE verdict <> 'allow' GROUP BY 1 ORDER BY 1",
        ),
        work=_pairs(connection, "SELECT kind || ' ' || status, count(*) FROM work_items GROUP BY 1 ORDER BY 1"),
        payments=payments,
        paid=_pairs(
            connection,
            "SELECT currency, sum(CASE kind WHEN 'payment' THEN amount ELSE -amount END) FROM ledger_entries "
            "WHERE kind IN ('payment', 'reversal') GROUP BY 1 ORDER BY 1",
        ),
        coming=tuple(
            (row[0], f"{row[1]:%m-%d %H:%M}", row[2])
            for row in connection.exec_driver_sql(
                "SELECT key, due_at, waiting_for FROM cases WHERE status = 'open' AND due_at < '9000-01-01' "
                "ORDER BY due_at, key LIMIT %s",
                (coming,),
            )
        ),
        wrong=_check(connection, accounts, contacts),
    )


_SUMS = {
    "cases opened and cases in the record": (
        "SELECT count(*) FROM cases",
        "SELECT count(*) FROM case_events WHERE kind = 'opened'",
    ),
    "cases closed and closings in the record": (
        "SELECT count(*) FROM cases WHERE status = 'closed'",
        "SELECT count(*) FROM case_events WHERE kind = 'closed'",
    ),
    "requests to the carrier and attempts sent": (
        "SELECT count(*) FROM sandbox_requests",
        "SELECT count(*) FROM attempts WHERE provider = 'sandbox' AND provider_id IS NOT NULL",
    ),
    "requests to the carrier and different attempts": (
        "SELECT count(*) FROM sandbox_requests",
        "SELECT count(DISTINCT attempt_key) FROM sandbox_requests",
    ),
    "attempts and attempts with a decision or an agent's word": (
        "SELECT count(*) FROM attempts",
        "SELECT count(*) FROM attempts t WHERE provider = 'agent' "
        "OR EXISTS (SELECT 1 FROM decisions d WHERE d.attempt_key = t.key)",
    ),
    "payments people made and payments posted": (
        "SELECT count(*) FROM sandbox_events WHERE kind = 'payment' AND delivered_at IS NOT NULL",
        "SELECT count(*) FROM ledger_entries WHERE kind = 'payment' AND source IN ('sandbox', 'api')",
    ),
    "payments returned and reversals posted": (
        "SELECT count(*) FROM sandbox_events WHERE kind = 'return' AND delivered_at IS NOT NULL",
        "SELECT count(*) FROM ledger_entries WHERE kind = 'reversal' AND source IN ('sandbox', 'api')",
    ),
    "attempts in flight": ("SELECT 0", "SELECT count(*) FROM attempts WHERE status = 'dispatching'"),
}


def _check(connection: Connection, accounts: dict[str, int], contacts: dict[str, dict[str, int]]) -> tuple[str, ...]:
    wrong = []
    for name, (left, right) in _SUMS.items():
        one, other = _one(connection, left), _one(connection, right)
        if one != other:
            wrong.append(f"{name}: {one} and {other}")
    if sum(accounts.values()) != _one(connection, "SELECT count(*) FROM accounts"):
        wrong.append("accounts by state do not sum to all accounts")
    if sum(sum(one.values()) for one in contacts.values()) != _one(connection, "SELECT count(*) FROM attempts"):
        wrong.append("attempts by channel do not sum to all attempts")
    return tuple(wrong)
