"""A small database for each test: one for the session, emptied in between."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from tests.recheck.small import Small


@pytest.fixture(scope="session")
def recheck_url(postgres_url: str, migrated_url: str) -> str:
    """Address of a migrated database of our own."""
    name = f"recheck_{uuid4().hex}"
    with psycopg.connect(postgres_url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_url.rpartition('/')[2]}".encode())
    return f"{postgres_url.rpartition('/')[0]}/{name}"


@pytest.fixture
def small(recheck_url: str) -> Iterator[Small]:
    small = Small(recheck_url)
    yield small
    small.close()
