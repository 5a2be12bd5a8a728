"""What tests of the desk share: an empty ledger, and people with roles."""

from collections.abc import Callable

import pytest

from db.actors import Fitness, acting_as
from desk.actors import add_actor
from domain.roles import Acting, Role
from tests.db.conftest import AT, Ledger, ledger, module_engine

__all__ = ["ledger", "module_engine"]

People = Callable[..., Acting]
ADMIN = "root"


@pytest.fixture
def people(ledger: Ledger) -> People:
    """Register somebody in a role and say who acts; the admin comes first."""

    def register(code: str, role: Role = Role.AGENT, **fit: object) -> Acting:
        if not ledger.rows("SELECT 1 FROM actors WHERE role = 'admin' AND active"):
            add_actor(ledger.engine, None, ADMIN, Role.ADMIN, Fitness(), at=AT)
        if code != ADMIN:
            add_actor(ledger.engine, ADMIN, code, role, Fitness(**fit), at=AT)  # type: ignore[arg-type]
        with ledger.engine.connect() as connection:
            return acting_as(connection, code)

    return register
