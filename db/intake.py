"""Brings a lender's files into the ledger: checked, staged by COPY, merged by a few statements.

Files that are given together are all checked before any of them is merged: a file that cannot be taken, wrong control
totals or ``strict`` leave everything as it was. Idempotent by key: the same file twice changes nothing, a later one may
change amounts and states. What concerns open cases is merged a chunk of persons at a time, under their locks; a
process killed in between leaves whole accounts behind, and the same file again does the rest. Memory does not grow with
the file.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine

from db import intake_ends
from db.intake_ends import END_OPTIONAL, END_REQUIRED, end_row
from db.intake_rows import (
    CONTACT_OPTIONAL,
    CONTACT_REQUIRED,
    DEFAULT_CREDITOR,
    LEDGER_OPTIONAL,
    LEDGER_REQUIRED,
    PARTY_OPTIONAL,
    PARTY_REQUIRED,
    PAYMENT_OPTIONAL,
    PAYMENT_REQUIRED,
    Checker,
    Columns,
    IntakeError,
    RowMistake,
    RowReader,
    check_date_format,
    check_names,
    contact_row,
    ledger_row,
    party_row,
    payment_row,
    read_rows,
)
from db.intake_sql import (
    CHUNKS,
    CONFLICTS,
    DISPUTED,
    MERGES,
    MISSING,
    MISSING_ACCOUNTS,
    OPEN_ACCOUNTS,
    STAGE,
    SUSPENDED,
    UNSTAGE,
    Merge,
    copy_into,
)
from db.locks import lock_persons
from db.record import append_events
from domain.codes import HoldScope
from domain.money import format_amount

Kind = Literal["ledger", "parties", "contacts", "payments", "recalls", "chargeoffs"]
KINDS: tuple[Kind, ...] = ("ledger", "parties", "contacts", "payments", "chargeoffs", "recalls")
"""In the order in which they are merged: each may name what an earlier one brought."""

_READERS: Mapping[Kind, tuple[RowReader, tuple[str, ...], tuple[str, ...]]] = {
    "ledger": (ledger_row, LEDGER_REQUIRED, LEDGER_OPTIONAL),
    "parties": (party_row, PARTY_REQUIRED, PARTY_OPTIONAL),
    "contacts": (contact_row, CONTACT_REQUIRED, CONTACT_OPTIONAL),
    "payments": (payment_row, PAYMENT_REQUIRED, PAYMENT_OPTIONAL),
    "recalls": (end_row, END_REQUIRED, END_OPTIONAL),
    "chargeoffs": (end_row, END_REQUIRED, END_OPTIONAL),
}
_CONFLICTS = {**CONFLICTS, **intake_ends.CONFLICTS}
_CHUNKS = {**CHUNKS, **intake_ends.CHUNKS}
_OPEN_ACCOUNTS = {**OPEN_ACCOUNTS, **intake_ends.OPEN_ACCOUNTS}
_MERGES = {**MERGES, **intake_ends.MERGES}
LOCKED_AT_ONCE = 500
"""Persons (payments: accounts) whose locks one transaction takes: PostgreSQL has room for some thousands in all."""
OPENED_MEANWHILE = 1000
MISTAKES_KEPT = 10_000
UNTOLD = "untold/"


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
    """What an import did. ``totals`` are the sums of the rows taken, in minor units by currency.

    ``changed`` are the keys of open cases whose ledger changed; they must be told (``untold_cases``). ``in_flight`` are
    attempts that had been admitted and not yet recorded when a payment for their account was posted.
    """

    kind: Kind
    rows: int = 0
    taken: int = 0
    mistakes: list[RowMistake] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    in_flight: list[str] = field(default_factory=list)


MANY_ROWS = 1000
"""From so many rows on PostgreSQL is told at once what its tables look like now, and drops the plans it kept."""
_LEARN = "ANALYZE parties, debtors, contact_points, accounts, account_parties, dues, ledger_entries"


def import_file(engine: Engine, order: Order) -> Imported:
    """Import one file. IntakeError, with nothing changed, if it cannot be read or fails a condition."""
    return import_files(engine, [order])[0]


def import_files(engine: Engine, orders: Sequence[Order]) -> list[Imported]:
    """Import files that belong together, at most one of a kind; results in the order ledger, parties, contacts, payments.

    IntakeError, with nothing changed by any of them, if one cannot be read or fails a condition.
    """
    for order in orders:
        check_names(order.names)
        check_date_format(order.date_format)
    in_order = sorted(orders, key=lambda order: KINDS.index(order.kind))
    with engine.connect() as connection:
        try:
            with _transaction(connection):
                results = _check(connection, in_order)
                feeds = [_feed(connection, order, result) for order, result in zip(in_order, results, strict=True)]
            for order, result, feed in zip(in_order, results, feeds, strict=True):
                _Merger(connection, order, result, feed).merge()
        finally:
            with connection.begin():
                _unstage(connection)
        if sum(result.rows for result in results) >= MANY_ROWS:
            with connection.begin():
                connection.exec_driver_sql(_LEARN)
    for result in results:
        result.mistakes.sort(key=lambda mistake: mistake.line)
        result.changed = sorted(set(result.changed))
    return results


def untold_cases(engine: Engine) -> dict[str, tuple[str, ...]]:
    """Return the open cases whose ledger was changed by imports and that were not told so yet, by import."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT name, value FROM runtime_settings WHERE starts_with(name, %s) ORDER BY name", (UNTOLD,)
        ).all()
    return {row.name: tuple(dict.fromkeys(row.value)) for row in rows}


def mark_told(engine: Engine, name: str, keys: Iterable[str]) -> None:
    """Say that these cases of an import have been told. What came in the meantime stays untold."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE runtime_settings SET value = value - %s::text[] WHERE name = %s", (list(keys), name)
        )
        connection.exec_driver_sql("DELETE FROM runtime_settings WHERE name = %s AND value = '[]'::jsonb", (name,))


def _transaction(connection: Connection) -> Any:  # noqa: ANN401 - SQLAlchemy's own
    """Begin a transaction whose statements may take as long as the file is."""
    begun = connection.begin()
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    return begun


def _unstage(connection: Connection) -> None:
    for statement in UNSTAGE:
        connection.exec_driver_sql(statement)


# --- checks, before anything is changed -------------------------------------------------------------------------


def _check(connection: Connection, orders: Sequence[Order]) -> list[Imported]:
    _unstage(connection)
    for statement in STAGE:
        connection.exec_driver_sql(statement)
    results = [_stage(connection, order) for order in orders]
    for order, result in zip(orders, results, strict=True):
        _drop_conflicts(connection, order, result)
    for order, result in zip(orders, results, strict=True):
        _check_conditions(order, result)
    fatal = [mistake for result in results for mistake in result.mistakes if mistake.fatal]
    if fatal and any(order.strict for order in orders):
        names = ", ".join(dict.fromkeys(mistake.file for mistake in fatal))
        raise IntakeError(f"{names}: nothing imported (--strict): {len(fatal)} rows are wrong", fatal)
    for order in orders:
        if order.kind == "ledger":
            for statement in DISPUTED:
                connection.exec_driver_sql(statement)
        connection.exec_driver_sql(_CHUNKS[order.kind], {"size": LOCKED_AT_ONCE})
        connection.exec_driver_sql(f"CREATE INDEX ON staged_{order.kind} (chunk)")
        connection.exec_driver_sql(f"ANALYZE staged_{order.kind}")
        connection.exec_driver_sql(f"CREATE TEMP TABLE part_{order.kind} (LIKE staged_{order.kind})")
    return results


def _stage(connection: Connection, order: Order) -> Imported:
    """Check every row and copy the good ones into a table of this session."""
    result = Imported(order.kind)
    seen: set[tuple[str, str]] = set()
    driver = connection.connection.driver_connection
    if driver is None:
        raise IntakeError("the database connection was lost")
    with driver.cursor() as cursor:
        with cursor.copy(copy_into(order.kind)) as copy:
            for row in _good_rows(order, result, seen):
                copy.write_row(row)
        if seen:
            cursor.executemany("INSERT INTO seen_accounts VALUES (%s, %s)", sorted(seen))
    connection.exec_driver_sql(f"ANALYZE staged_{order.kind}")
    return result


def _good_rows(order: Order, result: Imported, seen: set[tuple[str, str]]) -> Iterator[tuple[Any, ...]]:
    reader, required, optional = _READERS[order.kind]
    check = Checker(order.path.name, order.date_format, result.mistakes, today=order.at.date())
    for line, row, wrong in read_rows(order.path, Columns(required, optional, order.names)):
        result.rows += 1
        check.begin(line, row)
        if wrong is None:
            values = reader(check)
        else:
            check.wrong("row", wrong)
        if len(result.mistakes) > MISTAKES_KEPT:
            raise IntakeError(
                f"{order.path.name}: nothing imported: more than {MISTAKES_KEPT} mistakes", result.mistakes
            )
        if not check.bad:
            yield values
        elif order.kind == "ledger":
            seen.add(
                (row.get("creditor_id", "").strip() or DEFAULT_CREDITOR, row["account_id"].strip().replace("\0", ""))
            )


def _drop_conflicts(connection: Connection, order: Order, result: Imported) -> None:
    """Leave out rows that contradict another row or what is known, and say so."""
    for conflict in _CONFLICTS[order.kind]:
        for line in connection.exec_driver_sql(conflict.statement).scalars():
            result.mistakes.append(RowMistake(order.path.name, line, conflict.column, conflict.what))
    result.taken = connection.exec_driver_sql(f"SELECT count(*) FROM staged_{order.kind}").scalar_one()
    if order.kind in {"ledger", "payments"}:
        sums = connection.exec_driver_sql(
            f"SELECT currency, sum(amount)::text FROM staged_{order.kind} GROUP BY 1 ORDER BY 1"
        )
        result.totals = {currency: int(amount) for currency, amount in sums}


def _check_conditions(order: Order, result: Imported) -> None:
    fatal = [mistake for mistake in result.mistakes if mistake.fatal]
    if order.rows is not None and order.rows != result.rows:
        raise IntakeError(f"{order.path.name}: nothing imported: {result.rows} rows, {order.rows} announced", fatal)
    for currency, wanted in order.totals.items():
        found = result.totals.get(currency, 0)
        if found != wanted:
            raise IntakeError(
                f"{order.path.name}: nothing imported: the {result.taken} rows that can be taken sum to "
                f"{format_amount(found, currency)}, {format_amount(wanted, currency)} announced",
                fatal,
            )


def _feed(connection: Connection, order: Order, result: Imported) -> int:
    """Note the file. One of payments is as old as can be until all of it is posted: nobody may count on it before."""
    digest = hashlib.sha256()
    with order.path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    creditors = {
        "ledger": "SELECT coalesce(array_agg(DISTINCT creditor), '{}') FROM staged_ledger",
        "payments": "SELECT CASE WHEN bool_and(creditor IS NOT NULL) THEN array_agg(DISTINCT creditor) ELSE '{}' END "
        "FROM staged_payments",
    }.get(order.kind, "SELECT '{}'::text[]")
    as_of = "%(at)s::timestamptz - interval '100 years'" if order.kind == "payments" else "%(at)s"
    return int(
        connection.exec_driver_sql(
            f"INSERT INTO feeds (kind, source, digest, as_of, imported_at, rows, control_total, is_full, creditors) "
            f"VALUES (%(kind)s, %(source)s, %(digest)s, {as_of}, %(at)s, %(rows)s, %(totals)s::jsonb, %(full)s, "
            f"({creditors})) RETURNING id",
            {
                "kind": order.kind,
                "source": order.path.name,
                "digest": digest.hexdigest(),
                "at": order.at,
                "rows": result.rows,
                "totals": json.dumps(result.totals, sort_keys=True),
                "full": order.full,
            },
        ).scalar_one()
    )


# --- into the ledger --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Merger:
    """Merges one staged file, chunk by chunk."""

    connection: Connection
    order: Order
    result: Imported
    feed: int

    def merge(self) -> None:
        kind = self.order.kind
        last = self.connection.exec_driver_sql(f"SELECT coalesce(max(chunk), 0) FROM staged_{kind}").scalar_one()
        self.connection.rollback()
        for chunk in range(last + 1):
            with _transaction(self.connection):
                self._take(chunk)
                if chunk == 0:
                    self._merge_without_cases()
                else:
                    self._merge_with_cases()
        if kind == "ledger" and self.order.full:
            self._missing()
        if kind == "payments":
            with self.connection.begin():
                self.connection.exec_driver_sql("UPDATE feeds SET as_of = imported_at WHERE id = %s", (self.feed,))

    def _take(self, chunk: int) -> None:
        part = f"part_{self.order.kind}"
        self.connection.exec_driver_sql(f"TRUNCATE {part}")
        self.connection.exec_driver_sql(
            f"INSERT INTO {part} SELECT * FROM staged_{self.order.kind} WHERE chunk = %s", (chunk,)
        )
        self.connection.exec_driver_sql(f"ANALYZE {part}")

    def _merge_without_cases(self) -> None:
        """Merge in bulk. Cases that were opened meanwhile are locked before the commit, and told whatever changed."""
        for merge in _MERGES[self.order.kind]:
            self._count(merge, self._run(merge.statement).rowcount)
        self._say_suspended()
        late = self._open_accounts()
        if len(late) > OPENED_MEANWHILE:
            raise IntakeError(f"{self.order.path.name}: cases are being opened at this moment; import it again")
        if late:
            lock_persons(self.connection, late)
            self._tell(self._cases_of(late).values())

    def _merge_with_cases(self) -> None:
        lock_persons(self.connection, self._open_accounts())
        self._merge_locked(_MERGES[self.order.kind])
        self._say_suspended()

    def _merge_locked(self, merges: Sequence[Merge], accounts: Sequence[str] = ()) -> None:
        """Run statements under locks; record what they changed, and note the cases that must be told."""
        touched: set[str] = set()
        parties: set[str] = set()
        done: dict[str, list[Any]] = {"hold": [], "release": [], "payment": [], "recall": [], "charge_off": []}
        for merge in merges:
            rows = self._run(f"{merge.statement} {merge.returning}", accounts)
            self._count(merge, rows.rowcount)
            if merge.changed is None:
                continue
            changed = rows.all()
            if merge.changed == "party":
                parties.update(row[0] for row in changed)
                continue
            touched.update(row[0] for row in changed)
            if merge.changed in done:
                done[merge.changed] += changed
        if parties:
            touched.update(
                self.connection.exec_driver_sql(
                    "SELECT account_key FROM account_parties WHERE party_key = ANY(%s)", (sorted(parties),)
                ).scalars()
            )
        cases = self._cases_of(touched)
        self._record(cases, done)
        self._tell(cases.values())

    def _record(self, cases: Mapping[str, str], done: Mapping[str, Sequence[Any]]) -> None:
        at, connection = self.order.at, self.connection
        flying = self._in_flight([row.account_key for row in done["payment"]])
        payments = [
            (
                cases[row.account_key],
                {
                    "payment": row.external_id,
                    "amount": row.amount,
                    "currency": row.currency,
                    "value_on": row.value_on,
                    "source": "file",
                    "in_flight": flying.get(row.account_key, []),
                },
            )
            for row in done["payment"]
            if row.account_key in cases
        ]
        holds = [
            (
                cases[row.account_key],
                {"hold": row.key, "reason": row.reason, "scope": HoldScope.ACCOUNT, "until": None, "actor": "import"},
            )
            for row in done["hold"]
            if row.account_key in cases
        ]
        releases = [
            (cases[row.account_key], {"holds": [row.key], "actor": "import"})
            for row in done["release"]
            if row.account_key in cases
        ]
        append_events(connection, "payment", at, payments)
        append_events(connection, "hold", at, holds)
        append_events(connection, "released", at, releases)
        self._record_ends(cases, done)
        if self.order.kind != "payments":
            append_events(connection, "imported", at, [(key, {"feed": self.feed}) for key in sorted(cases.values())])
        self.result.in_flight += sorted({key for keys in flying.values() for key in keys})

    def _record_ends(self, cases: Mapping[str, str], done: Mapping[str, Sequence[Any]]) -> None:
        """Write recalls and charge-offs into the record of the cases they concern."""
        recalls = [
            (cases[key], {"reason": "recalled", "why": reason, "on": on, "actor": "import"})
            for key, reason, on in sorted(done["recall"])
            if key in cases
        ]
        written_off = [
            (cases[key], {"amount": amount, "currency": currency, "on": on, "actor": "import"})
            for key, amount, currency, on in sorted(done["charge_off"])
            if key in cases
        ]
        append_events(self.connection, "closing", self.order.at, recalls)
        append_events(self.connection, "charge_off", self.order.at, written_off)

    def _missing(self) -> None:
        """Hold the accounts of these creditors that a full file does not name, and ask a person about each."""
        with _transaction(self.connection):
            missing = self.connection.exec_driver_sql(MISSING_ACCOUNTS).scalars().all()
        for start in range(0, len(missing), LOCKED_AT_ONCE):
            some = missing[start : start + LOCKED_AT_ONCE]
            with _transaction(self.connection):
                lock_persons(self.connection, some)
                self._merge_locked(MISSING, some)

    def _run(self, statement: str, accounts: Sequence[str] = ()) -> Any:  # noqa: ANN401 - SQLAlchemy's own
        values = {
            "at": self.order.at,
            "feed": self.feed,
            "back": self.order.received == "paid_on",
            "source": self.order.path.name,
            "accounts": list(accounts),
        }
        return self.connection.exec_driver_sql(statement, values if "%(" in statement else None)

    def _count(self, merge: Merge, rows: int) -> None:
        self.result.counts[merge.name] = self.result.counts.get(merge.name, 0) + rows

    def _say_suspended(self) -> None:
        if self.order.kind != "payments":
            return
        for line, reason in self.connection.exec_driver_sql(SUSPENDED):
            self.result.counts[reason] = self.result.counts.get(reason, 0) + 1
            if len(self.result.mistakes) < MISTAKES_KEPT:
                column, what = _SUSPENDED_AS[reason]
                self.result.mistakes.append(RowMistake(self.order.path.name, line, column, what, "kept in suspense"))

    def _open_accounts(self) -> Sequence[str]:
        return self.connection.exec_driver_sql(_OPEN_ACCOUNTS[self.order.kind]).scalars().all()

    def _cases_of(self, accounts: Iterable[str]) -> dict[str, str]:
        rows = self.connection.exec_driver_sql(
            "SELECT account_key, key FROM cases WHERE account_key = ANY(%s) AND status <> 'closed'", (sorted(accounts),)
        )
        return {row.account_key: row.key for row in rows}

    def _in_flight(self, accounts: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        if accounts:
            rows = self.connection.exec_driver_sql(
                "SELECT x.account_key, t.key FROM attempts t JOIN attempt_accounts x ON x.attempt_key = t.key "
                "WHERE x.account_key = ANY(%s) AND t.status = 'dispatching' ORDER BY t.key",
                (list(accounts),),
            )
            for account, key in rows:
                found.setdefault(account, []).append(key)
        return found

    def _tell(self, keys: Iterable[str]) -> None:
        """Note, in the same transaction, that these cases must be told: whoever imports may be killed before it does."""
        untold = sorted(set(keys))
        if untold:
            self.result.changed += untold
            self.connection.exec_driver_sql(
                "INSERT INTO runtime_settings (name, value) VALUES (%s, %s::jsonb) "
                "ON CONFLICT (name) DO UPDATE SET value = runtime_settings.value || excluded.value",
                (f"{UNTOLD}{self.feed}", json.dumps(untold)),
            )


_SUSPENDED_AS = {
    "unknown_account": ("account_id", "is not known"),
    "ambiguous_account": ("account_id", "is a number of several creditors; add a column creditor_id"),
    "other_currency": ("currency", "is not the currency of the account"),
}
