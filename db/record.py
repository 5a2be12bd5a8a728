"""Appends to the record. Called inside the transaction whose act it records, under its locks.

Beside every actor stands the role they acted in.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from db.actors import role_in_record
from domain.record import canonical


def append_event(connection: Connection, case_key: str, kind: str, at: datetime, body: Mapping[str, object]) -> None:
    """Append one event to a case's chain. The body holds codes, keys, amounts and dates only."""
    text = canonical(_with_role(connection, body))
    connection.exec_driver_sql("SELECT append_case_event(%s, %s, %s, %s)", (case_key, kind, at, text))


def append_events(
    connection: Connection, kind: str, at: datetime, bodies: Sequence[tuple[str, Mapping[str, object]]]
) -> None:
    """Append one event to each of several cases, in the order given."""
    connection.exec_driver_sql(
        "SELECT append_case_event(k, %(kind)s, %(at)s, b) "
        "FROM unnest(%(cases)s::text[], %(bodies)s::text[]) WITH ORDINALITY AS one(k, b, n)",
        {
            "kind": kind,
            "at": at,
            "cases": [case_key for case_key, _ in bodies],
            "bodies": [canonical(_with_role(connection, body)) for _, body in bodies],
        },
    )


def _with_role(connection: Connection, body: Mapping[str, object]) -> Mapping[str, object]:
    actor = body.get("actor")
    if not isinstance(actor, str) or "role" in body:
        return body
    return {**body, "role": role_in_record(connection, actor)}


def case_of_account(connection: Connection, account_key: str) -> str | None:
    """Return the latest case of an account, open or closed; ``None`` when it never had one."""
    return connection.exec_driver_sql(
        "SELECT key FROM cases WHERE account_key = %s ORDER BY episode DESC LIMIT 1", (account_key,)
    ).scalar_one_or_none()
