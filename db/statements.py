"""What debtors say they earn, spend and can pay a month. Personal data: read by people, and never leaves the database."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: amounts a month in minor units by code (``wages``, ``rent``); ``monthly`` is what they can pay.

    ``source`` says how it is known: ``self_declared``, ``documents``, ``employer``. ``evidence_ref`` names papers.
    """

    monthly: int
    source: str
    income: Mapping[str, int] = field(default_factory=dict, repr=False)
    spending: Mapping[str, int] = field(default_factory=dict, repr=False)
    evidence_ref: str | None = None

    @property
    def left(self) -> int | None:
        """What is left a month by its own figures; ``None`` where they were not given."""
        if not self.income and not self.spending:
            return None
        return sum(self.income.values()) - sum(self.spending.values())


def keep_statement(
    connection: Connection, account_key: str, statement: Statement, *, by: str, at: datetime, event_id: str
) -> str:
    """Keep a statement about the debtor of an account, once by event id; return its key."""
    connection.exec_driver_sql(
        "INSERT INTO income_statements (party_key, account_key, source, taken_by, taken_at, currency, income, spending, "
        "monthly, evidence_ref, event_id) "
        "SELECT d.party_key, a.key, %s, %s, %s, a.currency, %s::jsonb, %s::jsonb, %s, %s, %s "
        "FROM accounts a JOIN debtors d ON d.key = a.debtor_key WHERE a.key = %s ON CONFLICT (event_id) DO NOTHING",
        (
            statement.source,
            by,
            at,
            json.dumps(dict(statement.income)),
            json.dumps(dict(statement.spending)),
            statement.monthly,
            statement.evidence_ref,
            event_id,
            account_key,
        ),
    )
    query = "SELECT key FROM income_statements WHERE event_id = %s"
    return str(connection.exec_driver_sql(query, (event_id,)).scalar_one())
