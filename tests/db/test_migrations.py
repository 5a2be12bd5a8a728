"""The schema: migrations and tables agree, and the record cannot be changed."""

from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError

import db.bulk_tables
import db.matter_tables  # noqa: F401 - their tables belong to the same metadata
from db.migrate import upgrade
from db.tables import metadata
from domain.record import canonical, chain_hash

AT = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


def test_migrated_database_is_what_the_tables_say(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    upgrade(database_url)


def _a_case(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO creditors (code) VALUES ('C')",
            "INSERT INTO parties (key, external_id) VALUES ('P1', 'x')",
            "INSERT INTO debtors (key, external_id, party_key) VALUES ('D1', 'x', 'P1')",
            "INSERT INTO accounts (key, creditor, external_id, debtor_key, product, currency, created_at) "
            "VALUES ('A1', 'C', 'x', 'D1', 'loan', 'USD', now())",
            "INSERT INTO strategies VALUES ('d', 's', 1, '{}', now())",
            "INSERT INTO cases (key, account_key, episode, debtor_key, creditor, strategy_digest, strategy, opened_at) "
            "VALUES ('A1/1', 'A1', 1, 'D1', 'C', 'd', 's', now())",
        ):
            connection.execute(text(statement))


def test_database_and_domain_compute_the_same_chain(engine: Engine) -> None:
    _a_case(engine)
    bodies = [canonical({"amount": 5, "b": "ü"}), canonical({})]
    with engine.begin() as connection:
        for body in bodies:
            connection.execute(
                text("SELECT append_case_event('A1/1', 'payment', :at, :body)"), {"at": AT, "body": body}
            )
        rows = connection.execute(text("SELECT seq, previous_hash, hash, body FROM case_events ORDER BY seq")).all()
    previous = ""
    for number, (row, body) in enumerate(zip(rows, bodies, strict=True), start=1):
        assert (row.seq, row.previous_hash, row.body) == (number, previous, body)
        previous = chain_hash(previous, "A1/1", number, "payment", AT, body)
        assert row.hash == previous


@pytest.mark.parametrize(
    "statement", ["UPDATE case_events SET body = ''", "DELETE FROM case_events", "TRUNCATE case_events"]
)
def test_the_record_refuses_change(engine: Engine, statement: str) -> None:
    with engine.begin() as connection, pytest.raises(DatabaseError, match="append-only"):
        connection.execute(text(statement))
