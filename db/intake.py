"""Brings a lender's files into the ledger: checked, staged by COPY, merged by a few statements.

Idempotent by key: the same file twice changes nothing, a later one may change amounts and states. With ``strict`` or
wrong control totals nothing is imported. Memory does not grow with the file.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine

from db.intake_rows import (
    CONTACT_REQUIRED,
    LEDGER_REQUIRED,
    PARTY_REQUIRED,
    PAYMENT_REQUIRED,
    Checker,
    IntakeError,
    RowMistake,
    RowReader,
    contact_row,
    ledger_row,
    party_row,
    payment_row,
    read_rows,
)
from db.intake_sql import CONTACTS, LEDGER, LEDGER_CONFLICTS, MISSING, PARTIES, PAYMENTS, STAGE
from db.locks import lock_persons
from db.record import append_events

Kind = Literal["ledger", "payments", "contacts", "parties"]
_READERS: Mapping[Kind, tuple[RowReader, tuple[str, ...]]] = {
    "ledger": (ledger_row, LEDGER_REQUIRED),
    "payments": (payment_row, PAYMENT_REQUIRED),
    "contacts": (contact_row, CONTACT_REQUIRED),
    "parties": (party_row, PARTY_REQUIRED),
}
LOCKED_AT_ONCE = 500
MISTAKES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Order:
    """What to import and how. ``totals``: expected sum in minor units by currency; ``received``: when money is known.

    ``received="paid_on"`` is for looking back: each payment was known from the start of its own local day.
    """

    kind: Kind
    path: Path
    at: datetime
    names: Mapping[str, str] = field(default_factory=dict)
    date_format: str | None = None
    strict: bool = False
    full: bool = False
    totals: Mapping[str, int] = field(default_factory=dict)
    rows: int | None = None
    received: Literal["now", "paid_on"] = "now"


@dataclass
class Imported:
    """What an import did. ``changed`` are the keys of open cases whose ledger changed: they must be told."""

    kind: Kind
    rows: int = 0
    taken: int = 0
    mistakes: list[RowMistake] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)


def import_file(engine: Engine, order: Order) -> Imported:
    """Import one file. IntakeError, with nothing changed, if it cannot be read or fails a condition."""
    result = Imported(order.kind)
    with engine.connect() as connection:
        with connection.begin():
            _stage(connection, order, result)
            _check_conditions(order, result)
            if order.kind == "ledger":
                _drop_conflicts(connection, order, result)
            if order.strict and any(mistake.fatal for mistake in result.mistakes):
                raise IntakeError(
                    f"{order.path.name}: nothing imported, {len(result.mistakes)} mistakes; first: {result.mistakes[0]}"
                )
            feed = _feed(connection, order, result)
            if order.kind != "payments":
                _merge(connection, order, result, feed)
        if order.kind == "payments":
            _merge_payments(connection, order, result, feed)
    return result


def _stage(connection: Connection, order: Order, result: Imported) -> None:
    """Check every row and copy the good ones into a table of this session."""
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS staged_{order.kind}")
    connection.exec_driver_sql(STAGE[order.kind])
    driver = connection.connection.driver_connection
    if driver is None:
        raise IntakeError("the database connection was lost")
    with driver.cursor() as cursor, cursor.copy(f"COPY staged_{order.kind} FROM STDIN") as copy:
        for row in _good_rows(order, result):
            copy.write_row(row)
    connection.exec_driver_sql(f"ANALYZE staged_{order.kind}")


def _good_rows(order: Order, result: Imported) -> Iterator[tuple[Any, ...]]:
    reader, required = _READERS[order.kind]
    check = Checker(order.path.name, order.date_format, result.mistakes)
    for line, row in read_rows(order.path, required, order.names):
        result.rows += 1
        check.begin(line, row)
        values = reader(check)
        if len(result.mistakes) > MISTAKES_KEPT:
            raise IntakeError(f"{order.path.name}: more than {MISTAKES_KEPT} mistakes; first: {result.mistakes[0]}")
        if check.bad:
            continue
        result.taken += 1
        if order.kind in {"ledger", "payments"}:
            amount, currency = (values[5], values[4]) if order.kind == "ledger" else (values[3], values[4])
            result.totals[currency] = result.totals.get(currency, 0) + amount
        yield values


def _check_conditions(order: Order, result: Imported) -> None:
    if order.rows is not None and order.rows != result.rows:
        raise IntakeError(f"{order.path.name}: nothing imported: {result.rows} rows, {order.rows} announced")
    for currency, expected in order.totals.items():
        found = result.totals.get(currency, 0)
        if found != expected:
            raise IntakeError(
                f"{order.path.name}: nothing imported: rows sum to {found} minor units of {currency}, "
                f"{expected} announced"
            )


def _drop_conflicts(connection: Connection, order: Order, result: Imported) -> None:
    """Leave out rows that contradict another row or what is known, and say so."""
    for column, what, statement in LEDGER_CONFLICTS:
        for line in connection.exec_driver_sql(statement).scalars():
            result.mistakes.append(RowMistake(order.path.name, line, column, what))
            result.taken -= 1


def _feed(connection: Connection, order: Order, result: Imported) -> int:
    digest = hashlib.sha256()
    with order.path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    creditors = (
        "SELECT DISTINCT creditor FROM staged_ledger" if order.kind == "ledger" else "SELECT NULL::text WHERE false"
    )
    return int(
        connection.exec_driver_sql(
            f"INSERT INTO feeds (kind, source, digest, as_of, imported_at, rows, control_total, is_full, creditors) "
            f"VALUES (%(kind)s, %(source)s, %(digest)s, %(at)s, %(at)s, %(rows)s, %(totals)s::jsonb, %(full)s, "
            f"ARRAY({creditors})) RETURNING id",
            {
                "kind": order.kind,
                "source": order.path.name,
                "digest": digest.hexdigest(),
                "at": order.at,
                "rows": result.rows,
                "totals": _json(result.totals),
                "full": order.full,
            },
        ).scalar_one()
    )


def _json(value: object) -> str:
    import json

    return json.dumps(value, sort_keys=True)


def _merge(connection: Connection, order: Order, result: Imported, feed: int) -> None:
    statements = {"ledger": LEDGER, "contacts": CONTACTS, "parties": PARTIES}[order.kind]
    values = {"at": order.at, "feed": feed}
    if order.kind == "ledger":
        open_cases = connection.exec_driver_sql(
            "SELECT DISTINCT a.key, k.key AS case_key FROM staged_ledger s JOIN accounts a ON a.creditor = s.creditor "
            "AND a.external_id = s.account_id JOIN cases k ON k.account_key = a.key AND k.status <> 'closed'"
        ).all()
        for some in _chunks([row.key for row in open_cases], LOCKED_AT_ONCE):
            lock_persons(connection, some)
        result.changed += [row.case_key for row in open_cases]
    for name, statement in statements:
        changed = connection.exec_driver_sql(statement, values if "%(" in statement else None).rowcount
        result.counts[name] = result.counts.get(name, 0) + changed
    if order.kind == "ledger" and order.full:
        for name, statement in MISSING:
            result.counts[name] = connection.exec_driver_sql(statement, values).rowcount
    for column, what, line in _left_over(connection, order):
        result.mistakes.append(RowMistake(order.path.name, line, column, what))
        result.taken -= 1


def _left_over(connection: Connection, order: Order) -> Iterable[tuple[str, str, int]]:
    """Rows of contacts and parties that name an account or a person nobody knows."""
    if order.kind == "contacts":
        query = "SELECT line FROM staged_contacts s WHERE NOT EXISTS (SELECT 1 FROM parties p WHERE p.external_id = s.person)"
        return [("person", "is not known", line) for line in connection.exec_driver_sql(query).scalars()]
    if order.kind == "parties":
        query = (
            "SELECT line FROM staged_parties s "
            "WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.external_id = s.account)"
        )
        return [("account", "is not known", line) for line in connection.exec_driver_sql(query).scalars()]
    return ()


def _merge_payments(connection: Connection, order: Order, result: Imported, feed: int) -> None:
    """Post payments in chunks, each in a transaction that begins with the locks of the persons it concerns."""
    with connection.begin():
        accounts = (
            connection.exec_driver_sql("SELECT DISTINCT account_id FROM staged_payments ORDER BY 1").scalars().all()
        )
    values = {"at": order.at, "feed": feed, "back": order.received == "paid_on", "source": order.path.name}
    for some in _chunks(accounts, LOCKED_AT_ONCE):
        with connection.begin():
            keys = (
                connection.exec_driver_sql(
                    "SELECT a.key FROM accounts a JOIN cases k ON k.account_key = a.key AND k.status <> 'closed' "
                    "WHERE a.external_id = ANY(%s)",
                    (list(some),),
                )
                .scalars()
                .all()
            )
            if keys:
                lock_persons(connection, keys)
            for name, statement in PAYMENTS:
                rows = connection.exec_driver_sql(statement, {**values, "accounts": list(some)})
                result.counts[name] = result.counts.get(name, 0) + rows.rowcount
                if name != "payments":
                    continue
                told = [row for row in rows.all() if row.case_key is not None]
                bodies = [
                    (
                        row.case_key,
                        {
                            "payment": row.external_id,
                            "amount": row.amount,
                            "currency": row.currency,
                            "value_on": row.value_on,
                            "source": "file",
                        },
                    )
                    for row in told
                ]
                append_events(connection, "payment", order.at, bodies)
                result.changed += sorted({row.case_key for row in told})


def _chunks(items: list[str] | Any, size: int) -> Iterator[list[str]]:  # noqa: ANN401 - any sequence of keys
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
