"""What tests of the ledger share: files to import, and cases to open, on a real database."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from db.engine import make_engine
from db.intake import Imported, Kind, Order, import_file
from db.locks import lock_contact
from db.opening import Page, mark_open, open_page
from db.settings import put_in_force
from domain.clock import BusinessClock
from domain.strategy import Strategy
from domain.strategy_file import parse_strategy
from tests.conftest import _create_database as create_database

AT = datetime(2026, 3, 10, 15, tzinfo=UTC)
LEDGER_HEAD = "account_id,debtor_id,product,currency,amount,due_date,timezone"
LADDER = """
name: ladder
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: sms, template: payment-reminder, start: {since: due, days: 1}}
  - {id: two, channel: email, template: invoice-overdue, start: {since: due, days: 7}}
"""


@dataclass
class Ledger:
    """A ledger to try things on."""

    engine: Engine
    folder: Path
    release: Callable[[], None] = lambda: None
    """Let go of what ``decides`` holds."""

    def file(self, name: str, text: str | bytes) -> Path:
        """Write a file as it stands."""
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def take(self, kind: Kind, text: str | bytes, **options: Any) -> Imported:  # noqa: ANN401 - as an order has them
        """Import a file of this text."""
        options = {"at": AT, **options}
        return import_file(self.engine, Order(kind=kind, path=self.file(f"{kind}.csv", text), **options))

    def accounts(self, *rows: str, head: str = LEDGER_HEAD, **options: Any) -> Imported:  # noqa: ANN401 - as above
        """Import ledger rows."""
        return self.take("ledger", "\n".join((head, *rows)) + "\n", **options)

    def loan(self, number: str = "L1", *, amount: str = "100.00", due_on: str = "2026-03-01", debtor: str = "") -> str:
        """Import one overdue loan; return its key."""
        self.accounts(f"{number},{debtor or 'K' + number},loan,USD,{amount},{due_on},America/Chicago")
        return str(self.one("SELECT key FROM accounts WHERE external_id = %s", number))

    def payments(
        self,
        *rows: str,
        head: str = "payment_id,account_id,amount,currency,paid_on",
        **options: Any,  # noqa: ANN401 - as above
    ) -> Imported:
        """Import payment rows."""
        return self.take("payments", "\n".join((head, *rows)) + "\n", **options)

    def open(
        self, at: datetime = AT, *, strategy: str = LADDER, limit: int = 100, after: str = "", mark: bool = True
    ) -> Page:
        """Open a page of cases."""
        digest, parsed = self.in_force(strategy)
        page = open_page(
            self.engine, as_of=at, strategies={digest: parsed}, clock=BusinessClock(), limit=limit, after=after
        )
        if mark:
            mark_open(self.engine, [case.state.case_key for case in page.cases])
        return page

    def in_force(self, strategy: str = LADDER) -> tuple[str, Strategy]:
        """Register a strategy."""
        parsed = parse_strategy(strategy, "test.yaml")
        with self.engine.begin() as connection:
            (digest,) = put_in_force(connection, [parsed], AT)
        return digest, parsed

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query, values or None)]

    def one(self, query: str, *values: object) -> Any:  # noqa: ANN401 - whatever stands there
        """Return the one value that a query finds."""
        ((value,),) = self.rows(query, *values)
        return value

    def run(self, statement: str, *values: object) -> None:
        """Change something as a test needs it."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement, values or None)

    @contextmanager
    def decides(self, account: str) -> Iterator[Callable[[], None]]:
        """Hold the locks of an account as an admission does; yields a wait for somebody who waits for them."""
        with self.engine.begin() as connection:
            lock_contact(connection, account, "phone")
            self.release = connection.commit

            def wait() -> None:
                query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
                deadline = time.monotonic() + 60
                while not self.one(query):
                    assert time.monotonic() < deadline, "nobody waits"

            yield wait

    def everything(self, *but: str) -> dict[str, Sequence[tuple[Any, ...]]]:
        """Return the whole database, to see that nothing changed; feeds are the diary of imports."""
        tables = [row[0] for row in self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]
        return {name: self.rows(f"SELECT * FROM {name} ORDER BY 1") for name in tables if name not in {"feeds", *but}}


_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    SET LOCAL session_replication_role = replica;  -- the record refuses to be deleted, and keys would be checked in vain
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE 'DELETE FROM ' || quote_ident(name);
    END LOOP;
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
        PERFORM setval(name::regclass, 1, false);
    END LOOP;
END $$
"""


@pytest.fixture(scope="module")
def module_engine(postgres_url: str, migrated_url: str) -> Iterator[Engine]:
    """Give an engine on a database that the tests of a module share: one for each takes longer than the tests."""
    url = create_database(postgres_url, f"test_{uuid4().hex}", template=migrated_url.rpartition("/")[2])
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(module_engine: Engine, tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty ledger."""
    yield Ledger(module_engine, tmp_path)
    with module_engine.begin() as connection:
        connection.exec_driver_sql(_EMPTY)
