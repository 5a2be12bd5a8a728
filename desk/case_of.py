"""Which case somebody at the desk means, locked, and how the cases of a debtor hear of what was done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from db.locks import lock_persons
from db.settings import read_clock
from db.signals import tell
from desk.errors import DeskError


@dataclass(frozen=True, slots=True)
class OfCase:
    """A case and whose it is. ``zone`` is where the debtor's days are counted, as far as the ledger states it."""

    case_key: str
    account_key: str
    debtor_key: str
    party_key: str
    creditor: str
    collector: str
    status: str
    currency: str


_CASE = """
SELECT k.key, k.account_key, k.debtor_key, d.party_key, k.creditor, k.collector, k.status, a.currency
  FROM cases k JOIN debtors d ON d.key = k.debtor_key JOIN accounts a ON a.key = k.account_key WHERE k.key = %s
"""


def locked_case(connection: Connection, case_key: str) -> OfCase:
    """Lock the persons of a case and return it. The first call of a transaction. DeskError for an unknown one."""
    account = connection.exec_driver_sql(
        "SELECT account_key FROM cases WHERE key = %s", (case_key,)
    ).scalar_one_or_none()
    if account is None:
        raise DeskError(f"{case_key}: no such case; `case list` shows all")
    lock_persons(connection, [account])
    return read_case_of(connection, case_key)


def read_case_of(connection: Connection, case_key: str) -> OfCase:
    """Return a case without locking anybody; DeskError for an unknown one."""
    row = connection.exec_driver_sql(_CASE, (case_key,)).one_or_none()
    if row is None:
        raise DeskError(f"{case_key}: no such case; `case list` shows all")
    return OfCase(*row)


def is_logical(connection: Connection) -> bool:
    """Whether this installation runs on a logical clock."""
    return read_clock(connection).is_logical


def tell_ledger_changed(connection: Connection, case_keys: Sequence[str], event_id: str, at: datetime) -> None:
    """Have open cases read the ledger again; queued with the change, delivered whatever is down."""
    tell(connection, case_keys, "ledger_changed", {"event_id": event_id}, at, logical=is_logical(connection))


def open_cases_of_debtor(connection: Connection, debtor_key: str) -> tuple[str, ...]:
    """Return every open case of a debtor."""
    keys = connection.exec_driver_sql(
        "SELECT key FROM cases WHERE debtor_key = %s AND status <> 'closed' ORDER BY key", (debtor_key,)
    ).scalars()
    return tuple(keys)
