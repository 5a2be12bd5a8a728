"""Strategies as registered: every version a case was ever pinned to, by its digest, unchanged for ever."""

from datetime import datetime
from functools import lru_cache
from threading import Lock

from sqlalchemy import Connection, Engine

from db.engine import reading
from domain.strategy import Strategy
from domain.strategy_file import digest


class StrategyVersionError(ValueError):
    """A strategy was changed without a new version number."""


def register(connection: Connection, strategy: Strategy, at: datetime) -> str:
    """Keep a strategy and return its digest; StrategyVersionError if its version is taken by another text."""
    key = digest(strategy)
    connection.exec_driver_sql(
        "INSERT INTO strategies (digest, name, version, body, registered_at) VALUES (%s, %s, %s, %s::jsonb, %s) "
        "ON CONFLICT DO NOTHING",
        (key, strategy.name, strategy.version, strategy.model_dump_json(), at),
    )
    held = connection.exec_driver_sql(
        "SELECT digest FROM strategies WHERE name = %s AND version = %s", (strategy.name, strategy.version)
    ).scalar_one()
    if held != key:
        raise StrategyVersionError(
            f"strategy {strategy.name} version {strategy.version} is already registered with other contents; "
            f"raise its version"
        )
    return key


class StrategyBook:
    """Reads registered strategies, each once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._load = lru_cache(maxsize=256)(self._read)

    def by_digest(self, key: str) -> Strategy:
        """Return a registered strategy; LookupError when it is not registered here."""
        with self._lock:
            return self._load(key)

    def newest(self, name: str) -> tuple[str, Strategy] | None:
        """Return digest and strategy of the highest version of a name, or ``None``."""
        with reading(self._engine) as connection:
            key = connection.exec_driver_sql(
                "SELECT digest FROM strategies WHERE name = %s ORDER BY version DESC LIMIT 1", (name,)
            ).scalar_one_or_none()
        return None if key is None else (key, self.by_digest(key))

    def _read(self, key: str) -> Strategy:
        with reading(self._engine) as connection:
            body = connection.exec_driver_sql(
                "SELECT body::text FROM strategies WHERE digest = %s", (key,)
            ).scalar_one_or_none()
        if body is None:
            raise LookupError(f"no strategy with digest {key[:12]} is registered")
        return Strategy.model_validate_json(body)
