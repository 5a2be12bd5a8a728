"""What was spent on a case: each contact that cost something, as a price list asks for it. Recipients are personal data."""

from dataclasses import dataclass, field

from sqlalchemy import Connection

from domain.codes import Channel

_SPENT = """
SELECT t.key, t.channel, coalesce(n.value, '') AS recipient, coalesce(t.duration_seconds, 0) AS seconds,
       (SELECT max((e.body::jsonb ->> 'segments')::int) FROM case_events e WHERE e.case_key = t.case_key
           AND e.kind = 'recorded' AND e.body::jsonb ->> 'attempt' = t.key) AS segments
  FROM attempts t LEFT JOIN contact_points n ON n.key = t.contact_point_key
 WHERE t.case_key = %(case)s
   AND (t.status IN ('sent', 'delivered', 'answered', 'undelivered', 'unknown')
        OR (t.status IN ('dispatching', 'failed') AND t.channel IN ('call', 'visit')))
 ORDER BY t.seq
"""
_CHARGED = """
SELECT e.body::jsonb ->> 'currency' AS currency, sum((e.body::jsonb ->> 'cost')::bigint)::bigint AS cost
  FROM case_events e WHERE e.case_key = %s AND e.kind = 'legal' AND e.body::jsonb ->> 'cost' IS NOT NULL
 GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact that cost something. ``segments`` of a text message; 1 where nobody counted them."""

    attempt_key: str
    channel: Channel
    recipient: str = field(repr=False)
    seconds: int
    segments: int


def read_spent(connection: Connection, case_key: str) -> list[Contact]:
    """Return the contacts of a case that cost something; one whose fate is not known may have."""
    return [
        Contact(row.key, Channel(row.channel), row.recipient, row.seconds, row.segments or 1)
        for row in connection.exec_driver_sql(_SPENT, {"case": case_key})
    ]


def read_charged(connection: Connection, case_key: str) -> dict[str, int]:
    """Return what courts and counsel charged, by currency, in minor units."""
    return {row.currency: row.cost for row in connection.exec_driver_sql(_CHARGED, (case_key,))}
