"""A correction is an event of its own: it undoes what followed, lets follow what it was, and edits nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from temporalio.client import WorkflowHandle

from db.actors import Fitness
from desk.actors import add_actor
from domain.roles import Role
from tests.workflows.conftest import House

NOW = datetime.now(UTC)
LADDER = """
name: by-hand
version: 1
segment: {}
at_end: wait
steps:
  - {id: first, task: call, start: {since: opened}, between: {hours: "00:00-24:00"}, tries: 3, every: 5 days, repeat_until: [rpc], expires: 60 days}
  - {id: after, channel: letter, template: account-statement, start: {since: step, days: 10}, between: {hours: "00:00-24:00"}}
"""
ROW = "L{n},K1,loan,USD,100.00,{due},Customer 1,+13125550100,c1@example.com,1 Example St,US-IL,America/Chicago,false\n"
Handle = WorkflowHandle[Any, Any]
POINT, ITEM = "N000000001", "W000000001"


async def _called(house: House, outcome: dict[str, Any], *, accounts: int = 1, actor: str = "agent/7") -> Handle:
    due = (NOW - timedelta(days=20)).date()
    house.ledger("".join(ROW.format(n=n, due=due) for n in range(accounts)))
    handle = await house.open(NOW, strategy=LADDER)
    await house.until(f"SELECT count(*) = {accounts} FROM work_item_cases WHERE item_key = '{ITEM}'")
    body = {"event_id": "call/1", "work_item": ITEM, "contact_point": POINT, "actor": actor, **outcome}
    await handle.signal("record_call_outcome", body)
    await house.settled(handle, 1)
    return handle


async def _correct(house: House, handle: Handle, count: int, **body: object) -> dict[str, Any]:
    whole = {"event_id": "right/1", "corrects": "call/1", "actor": "agent/7", **body}
    await handle.signal("correct_outcome", whole)
    return await house.settled(handle, count)


NOBODY = {"party_reached": "no_one", "disposition": "no_answer"}
DISPUTE = {"party_reached": "right_party", "disposition": "dispute"}


async def test_a_number_that_was_called_invalid_is_valid_again_and_called_again(house: House) -> None:
    handle = await _called(house, {"party_reached": "no_one", "disposition": "invalid_number"})
    assert house.rows("SELECT state FROM contact_points WHERE key = %s", POINT) == [("invalid",)]
    status = await _correct(house, handle, 2, **NOBODY)
    assert house.rows("SELECT state FROM contact_points WHERE key = %s", POINT) == [("unconfirmed",)]
    assert house.rows("SELECT outcome, status FROM attempts") == [("no_answer", "failed")]
    assert status["step"] == "first"
    assert abs(datetime.fromisoformat(status["next_at"]) - datetime.now(UTC) - timedelta(days=5)) < timedelta(minutes=5)
    said = house.rows(
        "SELECT kind, body::jsonb ->> 'disposition' FROM case_events WHERE kind IN ('worked', 'corrected') ORDER BY seq"
    )
    assert said == [("worked", "invalid_number"), ("corrected", "no_answer")], "what was said first still stands there"


async def test_a_dispute_that_was_none_lets_go_and_the_ladder_goes_where_the_right_outcome_leads(house: House) -> None:
    handle = await _called(house, DISPUTE)
    assert (await handle.query("status"))["stage"] == "held"
    status = await _correct(house, handle, 2, party_reached="right_party", disposition="refused")
    assert status["stage"] != "held"
    assert house.rows("SELECT count(*) FROM holds WHERE released_at IS NULL") == [(0,)]
    assert house.rows("SELECT ended_at IS NOT NULL FROM state_events WHERE kind = 'dispute'") == [(True,)]
    assert house.rows("SELECT status FROM work_items WHERE kind = 'review'") == [("done",)]
    assert status["step"] == "after"


async def test_a_promise_that_was_none_is_taken_back_and_the_step_is_tried_again(house: House) -> None:
    promised = (NOW + timedelta(days=9)).date().isoformat()
    promise = {"party_reached": "right_party", "disposition": "promise", "promised_on": promised}
    handle = await _called(house, promise)
    assert house.rows("SELECT kind, status FROM arrangements") == [("promise", "active")]
    status = await _correct(house, handle, 2, **NOBODY)
    assert house.rows("SELECT kind, status FROM arrangements") == [("promise", "cancelled")]
    assert house.rows("SELECT count(*) FROM holds WHERE released_at IS NULL") == [(0,)]
    assert status["step"] == "first", "nobody was reached after all, and two tries are left"
    assert abs(datetime.fromisoformat(status["next_at"]) - datetime.now(UTC) - timedelta(days=5)) < timedelta(minutes=5)


async def test_what_was_nothing_becomes_a_dispute(house: House) -> None:
    handle = await _called(house, NOBODY)
    status = await _correct(house, handle, 2, **DISPUTE)
    assert status["stage"] == "held"
    assert house.rows("SELECT kind FROM state_events") == [("dispute",)]
    assert house.rows("SELECT outcome, party_reached, status FROM attempts") == [("dispute", "right_party", "answered")]


async def test_a_correction_can_be_corrected_and_each_outcome_only_once(house: House) -> None:
    handle = await _called(house, NOBODY)
    await _correct(house, handle, 2, **DISPUTE)
    again = await _correct(house, handle, 3, event_id="right/2", party_reached="right_party", disposition="met")
    assert again["refused_total"] == 1, "call/1 was corrected already"
    assert again["stage"] == "held"
    last = await _correct(house, handle, 4, event_id="right/3", corrects="right/1", **NOBODY)
    assert (last["refused_total"], last["stage"]) == (1, "calling")
    unknown = await _correct(house, handle, 5, event_id="right/4", corrects="call/77", **NOBODY)
    assert "no outcome" in unknown["refused"][-1]["reason"]
    chain = house.rows("SELECT event_id, corrects, disposition FROM outcomes ORDER BY id")
    assert chain == [
        ("call/1", None, "no_answer"),
        ("right/1", "call/1", "dispute"),
        ("right/3", "right/1", "no_answer"),
    ]
    for statement in ("UPDATE outcomes SET disposition = 'met'", "DELETE FROM outcomes", "TRUNCATE outcomes"):
        with pytest.raises(DBAPIError, match="append-only"), house.engine.begin() as connection:
            connection.exec_driver_sql(statement)


async def test_all_cases_that_heard_of_an_outcome_hear_of_its_correction(house: House) -> None:
    handle = await _called(house, {"party_reached": "third_party", "disposition": "deceased"}, accounts=2)
    await house.until("SELECT count(*) = 2 FROM outcomes")
    await house.until("SELECT count(*) = 2 FROM cases WHERE stage = 'held'")
    await _correct(house, handle, 2, party_reached="third_party", disposition="third_party")
    await house.until("SELECT count(*) = 4 FROM outcomes")
    await house.until("SELECT count(*) = 0 FROM cases WHERE stage = 'held'")
    assert house.rows("SELECT kind, ended_at IS NOT NULL FROM state_events WHERE kind = 'deceased'") == [
        ("deceased", True)
    ]
    assert house.rows("SELECT count(*) FROM inbox WHERE status = 'refused'") == [(0,)]


async def test_an_agent_corrects_their_own_outcomes_and_a_supervisor_anybody_s(house: House) -> None:
    add_actor(house.engine, None, "root", Role.ADMIN, Fitness(), at=NOW)
    for code, role in (("ann", Role.AGENT), ("bob", Role.AGENT), ("sue", Role.SUPERVISOR)):
        add_actor(house.engine, "root", code, role, Fitness(), at=NOW)
    handle = await _called(house, NOBODY, actor="ann")
    refused = await _correct(house, handle, 2, actor="bob", **DISPUTE)
    assert "may not correct any outcome; supervisor" in refused["refused"][-1]["reason"]
    assert (await _correct(house, handle, 3, event_id="right/2", actor="ann", **DISPUTE))["stage"] == "held"
    last = await _correct(house, handle, 4, event_id="right/3", corrects="right/2", actor="sue", **NOBODY)
    assert (last["stage"], last["refused_total"]) == ("calling", 1)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (
            {"party_reached": "third_party", "disposition": "met"},
            "means right_party, so party_reached cannot be third_party",
        ),
        ({"party_reached": "right_party", "disposition": "fell_in_love"}, "known are no_answer, busy, dropped,"),
        ({"party_reached": "no_one", "disposition": "not_home"}, "is no outcome of a call"),
        ({"party_reached": "right_party", "disposition": "callback"}, "needs callback_at"),
    ],
)
async def test_an_outcome_that_cannot_be_is_refused_and_kept(house: House, outcome: dict[str, Any], said: str) -> None:
    handle = await _called(house, outcome)
    status = await handle.query("status")
    assert said in status["refused"][-1]["reason"]
    assert house.rows("SELECT status FROM inbox") == [("refused",)]
    assert house.rows("SELECT status FROM work_items") == [("open",)], "the item waits for an outcome that can be"
    await handle.signal("record_call_outcome", {"event_id": "call/2", "work_item": ITEM, **NOBODY})
    assert (await house.settled(handle, 2))["open_item"] is None
