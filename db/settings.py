"""What the processes of one installation share: the business clock, the strategies in force, and the like."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from db.strategies import register
from domain.clock import BusinessClock
from domain.strategy import Strategy

CLOCK = "clock"
STRATEGIES = "strategies"
SANDBOX_SEED = "sandbox_seed"


def put(connection: Connection, name: str, value: object) -> None:
    """Set one value."""
    connection.exec_driver_sql(
        "INSERT INTO runtime_settings (name, value) VALUES (%s, %s::jsonb) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, json.dumps(value, default=str)),
    )


def get(connection: Connection, name: str) -> Any:  # noqa: ANN401 - whatever was put
    """Return one value, or ``None``."""
    return connection.exec_driver_sql(
        "SELECT value FROM runtime_settings WHERE name = %s", (name,)
    ).scalar_one_or_none()


def read_clock(connection: Connection) -> BusinessClock:
    """Return the business clock of this installation; the wall clock unless one was set."""
    value = get(connection, CLOCK)
    return BusinessClock() if value is None else BusinessClock.model_validate(value)


def set_clock(connection: Connection, clock: BusinessClock) -> None:
    """Set the business clock that new cases get."""
    put(connection, CLOCK, clock.model_dump(mode="json"))


def put_in_force(connection: Connection, strategies: list[Strategy], at: datetime) -> list[str]:
    """Register strategies and make them the ones that new cases get, in order; a catch-all goes last."""
    ordered = sorted(strategies, key=lambda one: (not one.segment, one.name))
    digests = [register(connection, one, at) for one in ordered]
    put(connection, STRATEGIES, digests)
    return digests


def in_force(connection: Connection) -> list[str]:
    """Return the digests of the strategies in force, in the order they are tried."""
    return list(get(connection, STRATEGIES) or ())
