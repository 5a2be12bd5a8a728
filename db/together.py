"""Several readings in one round trip.

An attempt reads a lot under its locks, and each statement of its own costs more in talking than in reading. A
``Reading`` is a query and what becomes of its rows; it can be read alone or together with others, as one statement.
Rows travel as JSON: instants and days arrive as ISO 8601 text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """A query with named parameters, and the value its rows become (no rows: an empty sequence)."""

    sql: str
    value: Callable[[Rows], T]

    def read(self, connection: Connection, values: Mapping[str, object]) -> T:
        """Run the query alone."""
        return self.value(_run(connection, (self.sql,), values)[0])


def read_together(
    connection: Connection, readings: Sequence[Reading[Any]], values: Mapping[str, object]
) -> tuple[Any, ...]:
    """Run several queries as one statement; return their values in the same order. All see the same instant."""
    found = _run(connection, tuple(one.sql for one in readings), values)
    return tuple(one.value(rows) for one, rows in zip(readings, found, strict=True))


def _run(connection: Connection, queries: tuple[str, ...], values: Mapping[str, object]) -> Sequence[Rows]:
    row = connection.exec_driver_sql(_statement(queries), dict(values)).one()
    return [rows or () for rows in row]


@cache
def _statement(queries: tuple[str, ...]) -> str:
    """Return one statement with a column for each query: the same text every time, so that it is planned once."""
    columns = (f"(SELECT json_agg(q{number}) FROM ({sql}) q{number})" for number, sql in enumerate(queries))
    return "SELECT " + ",\n".join(columns)
