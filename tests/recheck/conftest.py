"""A small database for each test."""

from collections.abc import Iterator

import pytest

from tests.recheck.small import Small


@pytest.fixture
def small(database_url: str) -> Iterator[Small]:
    small = Small(database_url)
    yield small
    small.close()
