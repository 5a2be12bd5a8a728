"""Contact points learn: who answered where, and when, decides which number is called next and at which hour."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from db.attempts import Point, choose_point
from db.contact_points import hours_reached
from tests.workflows.conftest import House

ZONE = "America/Chicago"
NOW = datetime.now(UTC)
LADDER = """
name: by-hand
version: 1
segment: {}
at_end: wait
steps:
  - {id: first, task: call, start: {since: opened}, between: {hours: "00:00-24:00"}, tries: 9, every: 1 hour, expires: 60 days}
"""
PHONES = ("+13125550100", "+13125550101")


async def test_a_number_learns_from_who_answered_and_unlearns_what_was_not_so(house: House) -> None:
    house.one_account((NOW - timedelta(days=20)).date())
    with house.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO contact_points (party_key, kind, value) SELECT party_key, 'phone', %s FROM debtors",
            (PHONES[1],),
        )
    handle = await house.open(NOW, strategy=LADDER)
    points = dict(house.rows("SELECT value, key FROM contact_points WHERE kind = 'phone'"))
    hour = (NOW.astimezone(ZoneInfo(ZONE)) + timedelta(hours=4)).hour
    at = NOW - timedelta(days=1) + timedelta(hours=4)

    async def called(number: int, phone: str, **outcome: Any) -> dict[str, Any]:  # noqa: ANN401 - as messages have them
        await house.until("SELECT count(*) = 1 FROM work_items WHERE status = 'open' AND kind = 'call'")
        ((item,),) = house.rows("SELECT key FROM work_items WHERE status = 'open' AND kind = 'call'")
        body = {"event_id": f"call/{number}", "work_item": item, "contact_point": points[phone], "actor": "agent/7"}
        await handle.signal("record_call_outcome", {**body, **outcome, "at": at.isoformat()})
        return await house.settled(handle, number)

    reached = {"party_reached": "right_party", "disposition": "undecided"}
    await called(1, PHONES[1], **reached)
    assert house.rows("SELECT value, state, reached FROM contact_points WHERE kind = 'phone' ORDER BY value") == [
        (PHONES[0], "unconfirmed", 0),
        (PHONES[1], "confirmed", 1),
    ]
    with house.engine.connect() as connection:
        assert hours_reached(connection, points[PHONES[1]], ZONE) == {hour: 1}
        assert hours_reached(connection, points[PHONES[0]], ZONE) == {}
    wrong = {"event_id": "right/1", "corrects": "call/1", "party_reached": "no_one", "disposition": "no_answer"}
    await handle.signal("correct_outcome", wrong)
    await house.settled(handle, 2)
    assert house.rows("SELECT state, reached FROM contact_points WHERE value = %s", PHONES[1]) == [("unconfirmed", 0)]
    with house.engine.connect() as connection:
        assert hours_reached(connection, points[PHONES[1]], ZONE) == {}, "what was not so teaches nothing"
    await handle.terminate()


async def test_the_next_call_waits_for_the_best_hour(house: House) -> None:
    house.one_account((NOW - timedelta(days=20)).date())
    ladder = LADDER.replace('hours: "00:00-24:00"', 'hours: "00:00-24:00"').replace(
        "tries: 9", "tries: 9, min_gap: 0 hours"
    )
    handle = await house.open(NOW, strategy=ladder)
    await house.until("SELECT count(*) = 1 FROM work_items WHERE kind = 'call'")
    ((first, due),) = house.rows("SELECT key, due_at FROM work_items")
    assert abs(due - datetime.now(UTC)) < timedelta(minutes=5), "nothing is known yet"
    ((point,),) = house.rows("SELECT key FROM contact_points WHERE kind = 'phone'")
    at = NOW - timedelta(hours=30)
    body = {"event_id": "call/1", "work_item": first, "contact_point": point, "at": at.isoformat()}
    await handle.signal("record_call_outcome", {**body, "party_reached": "right_party", "disposition": "bad_moment"})
    await house.settled(handle, 1)
    await house.until("SELECT count(*) = 2 FROM work_items")
    ((due,),) = house.rows("SELECT due_at FROM work_items WHERE status = 'open'")
    local = due.astimezone(ZoneInfo(ZONE))
    assert local.hour == at.astimezone(ZoneInfo(ZONE)).hour
    assert NOW <= due < datetime.now(UTC) + timedelta(days=1)
    await handle.terminate()


def test_of_confirmed_numbers_the_one_that_reached_them_most_comes_first() -> None:
    def point(key: str, state: str, reached: int) -> Point:
        return Point(key, "x", state, "not_asked", 5 - reached, "P1", "", None, held=False, reached=reached)

    order = ("confirmed", "least_tried", "oldest")
    points = [point("N1", "unconfirmed", 0), point("N2", "confirmed", 1), point("N3", "confirmed", 4)]
    chosen = choose_point(points, order)
    assert chosen is not None
    assert chosen.key == "N3"
    left = choose_point(points[:2], order)
    assert left is not None
    assert left.key == "N2"
