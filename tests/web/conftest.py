"""Doors and one case with an attempt that was sent, for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from domain.case import CaseInput
from tests.activities.cases import contact, contact_activities, open_cases, row
from tests.web.house import House, open_house
from tests.workflows.conftest import CountingCarrier


@pytest.fixture
def carrier() -> CountingCarrier:
    """Carries the answers to texts."""
    return CountingCarrier()


@pytest.fixture
def house(engine: Engine, carrier: CountingCarrier) -> Iterator[House]:
    with open_house(engine, provider=carrier) as house:
        yield house


@pytest.fixture
def case(engine: Engine, tmp_path: Path) -> CaseInput:
    return open_cases(engine, tmp_path, row("L1", "K1", email="pat.doe@example.org"))["L1"]


@pytest.fixture
def attempt(engine: Engine, case: CaseInput) -> str:
    """Return the key of an attempt that its carrier took."""
    report = contact(contact_activities(engine, CountingCarrier()), case)
    return case.state.attempt_key(report.seq)
