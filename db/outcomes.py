"""Outcomes of calls and visits as they were recorded: append-only, each with what followed and the catalogue it was judged by.

A correction is a row of its own that names the one it corrects; the row in force is the last of such a chain.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from db.consequences import FAN_OUT, Followed
from domain.dispositions import Catalogue
from domain.record import canonical

_COLUMNS = (
    "case_key, event_id, corrects, at, channel, disposition, party_reached, actor, attempt_key, item_key, "
    "contact_point_key, followed"
)


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """One row of ``outcomes``."""

    case_key: str
    event_id: str
    corrects: str | None
    at: datetime
    channel: str
    disposition: str
    party_reached: str
    actor: str
    attempt_key: str | None
    item_key: str | None
    contact_point_key: str | None
    followed: Sequence[Followed]


def keep_catalogue(connection: Connection, catalogue: Catalogue, at: datetime) -> None:
    """Keep the text of a catalogue under its digest, once."""
    connection.exec_driver_sql(
        "INSERT INTO catalogues (digest, version, body, registered_at) VALUES (%s, %s, %s::jsonb, %s) "
        "ON CONFLICT (digest) DO NOTHING",
        (catalogue.digest, catalogue.version, catalogue.model_dump_json(exclude_defaults=True), at),
    )


def add_outcome(connection: Connection, row: OutcomeRow, catalogue: Catalogue) -> None:
    """Append an outcome; the same event of the same case is appended once."""
    keep_catalogue(connection, catalogue, row.at)
    values: tuple[Any, ...] = (
        row.case_key, row.event_id, row.corrects, row.at, row.channel, row.disposition, row.party_reached,
        catalogue.by_code[row.disposition].effective, row.actor, row.attempt_key, row.item_key,
        row.contact_point_key, catalogue.digest, canonical_list(row.followed),
    )  # fmt: skip
    connection.exec_driver_sql(
        "INSERT INTO outcomes (case_key, event_id, corrects, at, channel, disposition, party_reached, effective, actor, "
        "attempt_key, item_key, contact_point_key, catalogue, followed) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, "
        "(SELECT key FROM attempts WHERE key = %s), %s, (SELECT key FROM contact_points WHERE key = %s), %s, %s::jsonb) "
        "ON CONFLICT (case_key, event_id) DO NOTHING",
        values,
    )


def canonical_list(followed: Sequence[Followed]) -> str:
    """Return what followed as JSON."""
    return json.dumps([json.loads(canonical(one)) for one in followed])


def read_outcome(connection: Connection, case_key: str, event_id: str) -> OutcomeRow | None:
    """Return the outcome that an event of this case reported, also when it was passed on from another case."""
    row = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM outcomes WHERE case_key = %s AND event_id IN (%s, %s) ORDER BY id LIMIT 1",
        (case_key, event_id, f"{event_id}{FAN_OUT}{case_key}"),
    ).one_or_none()
    return None if row is None else OutcomeRow(*row)


def is_corrected(connection: Connection, row: OutcomeRow) -> bool:
    """Whether a later event says that this outcome was wrong."""
    found = connection.exec_driver_sql(
        "SELECT EXISTS (SELECT 1 FROM outcomes WHERE case_key = %s AND corrects = %s)", (row.case_key, row.event_id)
    )
    return bool(found.scalar_one())


def still_said(connection: Connection, row: OutcomeRow) -> bool:
    """Whether another outcome of the case that stands has the same code."""
    found = connection.exec_driver_sql(
        "SELECT EXISTS (SELECT 1 FROM outcomes o WHERE o.case_key = %s AND o.disposition = %s AND o.event_id <> %s "
        "AND NOT EXISTS (SELECT 1 FROM outcomes c WHERE c.case_key = o.case_key AND c.corrects = o.event_id))",
        (row.case_key, row.disposition, row.event_id),
    )
    return bool(found.scalar_one())


def cases_told(connection: Connection, event_id: str, case_key: str) -> list[str]:
    """Return the other open cases to which an outcome was passed on."""
    rows = connection.exec_driver_sql(
        "SELECT o.case_key FROM outcomes o JOIN cases k ON k.key = o.case_key WHERE o.case_key <> %s "
        "AND o.event_id = %s || o.case_key AND k.status <> 'closed' ORDER BY o.case_key",
        (case_key, f"{event_id}{FAN_OUT}"),
    )
    return [row.case_key for row in rows]
