"""State events on real parts: told to one case they reach every case concerned, and an end lets the ladder go on."""

from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import Client, WorkflowHandle

from tests.workflows.conftest import House

ROW = "L{n},{who},loan,USD,100.00,{due},Customer {n},+1312555010{phone},c{n}@example.com,{n} Example St,US-IL,America/Chicago,false\n"
NEVER_YET = """
name: not-yet
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: sms, template: payment-reminder, start: {since: opened, days: 30}}
  - {id: two, channel: email, template: invoice-overdue, start: {since: opened, days: 60}}
  - {id: court, task: legal, start: {since: opened, days: 90}}
"""


def _handles(client: Client, count: int) -> list[WorkflowHandle[Any, Any]]:
    return [client.get_workflow_handle(f"case/A{number:09}/1") for number in range(1, count + 1)]


async def _open(house: House, *rows: tuple[str, int], strategy: str = NEVER_YET) -> list[WorkflowHandle[Any, Any]]:
    """Open a case for each (debtor, last digit of the phone)."""
    now = datetime.now(UTC)
    due = now.date() - timedelta(days=5)
    house.ledger("".join(ROW.format(n=n, who=who, due=due, phone=phone) for n, (who, phone) in enumerate(rows, 1)))
    await house.open(now, strategy=strategy)
    return _handles(house.client, len(rows))


async def test_a_debtor_wide_event_told_to_one_case_rests_all_of_the_debtor_at_once_and_nobody_else(
    house: House,
) -> None:
    first, second, third, other = await _open(house, ("K1", 0), ("K1", 0), ("K1", 0), ("K2", 1))
    await first.signal("bankruptcy_filed", {"event_id": "scrub/1", "court_ref": "nyeb/1"})
    await house.until(
        "SELECT count(*) = 3 FROM cases WHERE starts_with(waiting_for, 'bankruptcy: no contact until it is lifted')"
    )
    for handle in (first, second, third):
        status = await handle.query("status")
        assert status["stage"] == "held"
        assert status["waiting_for"].startswith("bankruptcy: no contact until it is lifted")
    assert (await other.query("status"))["stage"] != "held"
    assert house.rows("SELECT count(*) FROM state_events")[0][0] == 1
    assert house.rows("SELECT count(*) FROM case_events WHERE kind = 'state_event'")[0][0] == 3
    assert house.rows("SELECT count(*) FROM work_items WHERE reason = 'bankruptcy'")[0][0] == 1
    await second.signal("bankruptcy_dismissed", {"event_id": "scrub/2"})
    await house.until("SELECT count(*) = 0 FROM cases WHERE stage = 'held'")
    for handle in (first, second, third):
        assert (await handle.query("status"))["step"] == "one"
    assert house.carrier.requests == []


async def test_the_same_event_sent_to_every_case_is_one_event(house: House) -> None:
    handles = await _open(house, ("K1", 0), ("K1", 0))
    for handle in (*handles, *handles):
        await handle.signal("deceased", {"event_id": "registry/1", "died_on": "2026-01-02"})
    await house.until("SELECT count(*) = 2 FROM cases WHERE starts_with(waiting_for, 'deceased')")
    await house.until("SELECT count(*) = 2 FROM inbox WHERE name = 'deceased' AND status = 'applied'")
    assert house.rows("SELECT kind, debtor_key FROM state_events") == [("deceased", "D000000001")]
    assert house.rows("SELECT reason, skill FROM work_items") == [("estate", "estates")]


async def test_a_stop_at_a_shared_number_stands_for_both_debtors_and_rests_neither(house: House) -> None:
    first, second = await _open(house, ("K1", 0), ("K2", 0))
    point = house.rows("SELECT min(key) FROM contact_points WHERE kind = 'phone'")[0][0]
    await first.signal("opt_out", {"event_id": "sms/1", "contact_point": point, "source": "carrier"})
    await house.until("SELECT count(*) = 2 FROM case_events WHERE kind = 'state_event'")
    for handle in (first, second):
        assert (await handle.query("status"))["stage"] != "held"
    assert house.rows("SELECT count(*) FROM holds")[0][0] == 0


async def test_after_a_cease_only_the_legal_step_is_left(house: House) -> None:
    (handle,) = await _open(house, ("K1", 0))
    await handle.signal("cease_communication", {"event_id": "letter/1", "form": "letter"})
    await house.until("SELECT count(*) = 1 FROM case_events WHERE kind = 'state_event'")
    await house.until("SELECT starts_with(waiting_for, 'step court') FROM cases")
    opened, due = house.rows("SELECT opened_at, due_at FROM cases")[0]
    assert (due.date() - opened.date()).days in {89, 90, 91}


async def test_an_unclear_reply_rests_the_case_and_asks_a_person_and_the_answer_lets_it_go_on(house: House) -> None:
    (handle,) = await _open(house, ("K1", 0))
    point = house.rows("SELECT min(key) FROM contact_points WHERE kind = 'phone'")[0][0]
    await handle.signal("unclear_reply", {"event_id": "sms/2", "contact_point": point, "note_ref": "inbox/2"})
    await house.until("SELECT count(*) = 1 FROM cases WHERE stage = 'held'")
    key = house.rows("SELECT key FROM state_events")[0][0]
    assert house.rows("SELECT reason, status FROM work_items") == [("unclear_reply", "open")]
    await handle.signal("end_state_event", {"event_id": "ops/1", "event": key, "reason": "answered"})
    await house.until("SELECT count(*) = 1 FROM cases WHERE stage <> 'held'")
    assert house.rows("SELECT status FROM work_items") == [("done",)]


async def test_an_open_call_is_taken_back_while_a_complaint_stands_and_asked_anew_afterwards(house: House) -> None:
    call = """
name: call-first
version: 1
segment: {}
at_end: wait
steps:
  - {id: call, task: call, start: {since: opened}, between: {hours: "00:00-24:00"}}
"""
    (handle,) = await _open(house, ("K1", 0), strategy=call)
    await house.until("SELECT count(*) = 1 FROM work_items WHERE kind = 'call' AND status = 'open'")
    await handle.signal("complaint", {"event_id": "regulator/1", "about": "call_times"})
    await house.until("SELECT count(*) = 1 FROM work_items WHERE kind = 'call' AND status = 'expired'")
    await house.until("SELECT count(*) = 1 FROM cases WHERE stage = 'held'")
    await handle.signal("complaint_closed", {"event_id": "regulator/2"})
    await house.until("SELECT count(*) = 1 FROM work_items WHERE kind = 'call' AND status = 'open'")
    assert house.rows("SELECT count(*) FROM attempts")[0][0] == 0


async def test_an_end_that_arrives_before_its_event_holds_nothing(house: House) -> None:
    (handle,) = await _open(house, ("K1", 0))
    now = datetime.now(UTC)
    later, earlier = (now - timedelta(minutes=minutes) for minutes in (1, 2))
    await handle.signal("verification_sent", {"event_id": "post/1", "at": later.isoformat()})
    await handle.signal("dispute", {"event_id": "portal/1", "form": "portal", "at": earlier.isoformat()})
    await house.until("SELECT count(*) = 2 FROM state_events")
    assert (await handle.query("status"))["stage"] != "held"
    assert house.rows("SELECT count(*) FROM work_items WHERE status = 'open'")[0][0] == 0


async def test_a_discharge_closes_the_case_for_good(house: House) -> None:
    (handle,) = await _open(house, ("K1", 0))
    await handle.signal("bankruptcy_discharged", {"event_id": "scrub/9"})
    assert (await handle.result())["reason"] == "discharged"
    await house.open(datetime.now(UTC), strategy=NEVER_YET)
    assert house.rows("SELECT count(*) FROM cases")[0][0] == 1


async def test_a_death_told_by_an_agent_is_one_event_for_all_cases_of_the_item(house: House) -> None:
    call = """
name: call-first
version: 1
segment: {}
at_end: wait
steps:
  - {id: call, task: call, start: {since: opened}, between: {hours: "00:00-24:00"}}
"""
    first, second = await _open(house, ("K1", 0), ("K1", 0), strategy=call)
    await house.until("SELECT count(*) = 2 FROM work_item_cases")
    item = house.rows("SELECT key FROM work_items")[0][0]
    body = {"event_id": "call/1", "work_item": item, "party_reached": "third_party", "disposition": "deceased"}
    await first.signal("record_call_outcome", body)
    await house.until("SELECT count(*) = 2 FROM cases WHERE starts_with(waiting_for, 'deceased')")
    assert house.rows("SELECT count(*) FROM state_events")[0][0] == 1
    assert (await house.settled(second, 1))["stage"] == "held"
