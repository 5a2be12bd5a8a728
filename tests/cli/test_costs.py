"""What a case has cost: what was sent by its price, what was refused nothing, and what a court charged as it charged it."""

from pathlib import Path

from sqlalchemy import Engine

from cli.costs import cost_of
from db.record import append_event
from tests.activities.cases import AT, contact, contact_activities, open_cases, row
from tests.workflows.conftest import CountingCarrier

_OTHERS = """
INSERT INTO attempts (key, case_key, seq, channel, status, due_at, duration_seconds, contact_point_key)
SELECT %(case)s || '/' || n, %(case)s, n, channel, status, %(at)s, seconds,
       (SELECT key FROM contact_points WHERE kind = 'phone' LIMIT 1)
  FROM (VALUES (2, 'sms', 'refused', NULL::int), (3, 'voice', 'answered', 61), (4, 'call', 'failed', 0),
               (5, 'sms', 'unknown', NULL)) AS one(n, channel, status, seconds)
"""


def test_the_cost_of_a_case_is_what_its_contacts_cost(engine: Engine, tmp_path: Path) -> None:
    case = open_cases(engine, tmp_path, row("L1", "K1"))["L1"]
    contact(contact_activities(engine, CountingCarrier()), case)
    key = case.state.case_key
    with engine.begin() as connection:
        connection.exec_driver_sql(_OTHERS, {"case": key, "at": AT})
        append_event(connection, key, "legal", AT, {"stage": "filed", "cost": 15_000, "currency": "USD"})
        segments = connection.exec_driver_sql(
            "SELECT (body::jsonb ->> 'segments')::int FROM case_events WHERE kind = 'recorded'"
        ).scalar_one()
        cost = cost_of(connection, key)
    assert segments >= 1
    texts = 83 * segments + 30
    assert cost.by_attempt == {
        f"{key}/1": f"{texts / 10_000:.4f} USD",
        f"{key}/3": "0.0355 USD",
        f"{key}/4": "4.0000 USD",
        f"{key}/5": "0.0113 USD",
    }
    assert cost.contacts == f"{(texts + 355 + 40_000 + 113) / 10_000:.4f} USD"
    assert cost.charged == ("150.00 USD",)
