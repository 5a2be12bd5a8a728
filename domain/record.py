"""The chain of the record: each event's hash covers the one before.

PostgreSQL computes the same hash when it appends (``append_case_event``); this is the other half, for whoever
verifies. Bodies hold codes, keys and amounts, never a name, a number or a text.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime


def canonical(body: Mapping[str, object]) -> str:
    """Return the one way to write a body: sorted keys, no spaces, ASCII."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)


def chain_hash(previous: str, case_key: str, seq: int, kind: str, at: datetime, body: str) -> str:
    """Return the hex SHA-256 over ``previous|case|seq|kind|at|body``, with the time in UTC microseconds."""
    moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return hashlib.sha256(f"{previous}|{case_key}|{seq}|{kind}|{moment}|{body}".encode()).hexdigest()
