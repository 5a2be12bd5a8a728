"""A case moves to another strategy when somebody with the right to says so: previewed, at once, and never by itself."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from db.strategies import register
from desk import moving
from domain.roles import Acting, NotAllowedError, Role
from domain.strategy import Strategy
from runtime.worker import WORKFLOWS, sandbox
from tests.workflows.conftest import House, fast_clock

DUE = date(2026, 3, 2)
ORIGIN = datetime(2026, 3, 3, 6, tzinfo=UTC)
LEAD, OPS = Acting("lead/1", Role.SUPERVISOR), Acting("ops/1", Role.OPS)
HOURS = 'between: {hours: "09:00-18:00"}'
OLD = f"""
name: old
version: 1
segment: {{}}
at_end: wait
steps:
  - {{id: one, channel: sms, template: payment-reminder, start: {{since: due, days: 1}}, {HOURS}}}
  - {{id: two, channel: email, template: invoice-overdue, start: {{since: due, days: 3}}, {HOURS}}}
  - {{id: far, channel: email, template: invoice-overdue, start: {{since: due, days: 300}}, {HOURS}}}
"""
NEW = f"""
name: new
version: 1
segment: {{}}
at_end: wait
steps:
  - {{id: early, channel: sms, template: payment-reminder, start: {{since: due, days: 2}}, {HOURS}}}
  - {{id: two, channel: email, template: invoice-overdue, start: {{since: due, days: 9}}, {HOURS}}}
  - {{id: later, channel: sms, template: payment-overdue, start: {{since: due, days: 12}}, {HOURS}}}
  - {{id: last, channel: letter, template: account-statement, start: {{since: due, days: 20}}, {HOURS}}}
"""
FAR = f"""
name: far
version: 1
segment: {{}}
at_end: wait
steps:
  - {{id: far, channel: email, template: invoice-overdue, start: {{since: due, days: 300}}, {HOURS}}}
"""
CALL = """
name: call-first
version: 1
segment: {}
at_end: wait
steps:
  - {id: call, task: call, start: {since: opened}, between: {hours: "00:00-24:00"}}
"""


def registered(house: House, text: str) -> tuple[str, Strategy]:
    strategy = house.strategy(text)
    with house.engine.begin() as connection:
        return register(connection, strategy, ORIGIN), strategy


async def waiting_far(house: House) -> WorkflowHandle[Any, Any]:
    """Open a case that has made its first two contacts and then waits beyond the end of its world."""
    house.one_account(DUE)
    handle = await house.open(ORIGIN, clock=fast_clock(ORIGIN, days=60), strategy=OLD)
    await house.until("SELECT count(*) = 2 FROM attempts WHERE status = 'sent'")
    while (await handle.query("status"))["attempts"] != 2:
        pass
    return handle


def steps(house: House) -> list[tuple[Any, ...]]:
    return house.rows("SELECT step, due_at::date FROM attempts ORDER BY seq")


async def test_a_case_is_previewed_and_then_does_exactly_that(house: House) -> None:
    handle = await waiting_far(house)
    digest, new = registered(house, NEW)
    move = await moving.preview(house.client, LEAD, "A000000001/1", new)
    assert [(row["step"], row["when"]) for row in move.now.coming] == [("far", "2026-12-27 09:00"), (None, None)]
    expected = [("later", "2026-03-14 09:00"), ("last", "2026-03-22 09:00")]
    assert [(row["step"], row["when"]) for row in move.then.coming][:2] == expected
    assert house.rows("SELECT strategy FROM cases") == [("old",)], "a preview changes nothing"
    told = await moving.adopt(
        house.engine, house.client, LEAD, "A000000001/1", new, move.now.position, now=datetime.now(UTC)
    )
    assert told.strategy == "new v1"
    await house.until("SELECT count(*) = 4 FROM attempts WHERE status = 'sent'")
    assert [row[0] for row in steps(house)] == ["one", "two", "later", "last"]
    assert house.rows("SELECT strategy, strategy_digest FROM cases") == [("new", digest)]
    record = house.rows(
        "SELECT kind, body::jsonb ->> 'actor' FROM case_events WHERE kind IN ('adoption_ordered', 'strategy_adopted') ORDER BY seq"
    )
    assert record == [("adoption_ordered", "lead/1"), ("strategy_adopted", None)]
    replayer = Replayer(workflows=list(WORKFLOWS), data_converter=pydantic_data_converter, workflow_runner=sandbox())
    await replayer.replay_workflow(await handle.fetch_history())


async def test_p7_nobody_moves_a_case_who_may_not_or_on_an_old_preview(house: House) -> None:
    handle = await waiting_far(house)
    _, new = registered(house, NEW)
    with pytest.raises(NotAllowedError):
        await moving.preview(house.client, OPS, "A000000001/1", new)
    with pytest.raises(NotAllowedError):
        await moving.adopt(house.engine, house.client, OPS, "A000000001/1", new, "0" * 12, now=ORIGIN)
    with pytest.raises(moving.MovingError, match="has moved on since"):
        await moving.adopt(house.engine, house.client, LEAD, "A000000001/1", new, "0" * 12, now=ORIGIN)
    old = house.strategy(OLD)
    with pytest.raises(moving.MovingError, match="follows this strategy already"):
        await moving.adopt(house.engine, house.client, LEAD, "A000000001/1", old, "0" * 12, now=ORIGIN)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("adopt_strategy", {"event_id": "x", "digest": "not one"})
    assert house.rows("SELECT strategy FROM cases") == [("old",)]


async def test_the_same_order_twice_is_done_once(house: House) -> None:
    handle = await waiting_far(house)
    digest, _ = registered(house, NEW)
    order = {"event_id": "adopt/1", "digest": digest, "actor": "lead/1"}
    first = await handle.execute_update("adopt_strategy", order)
    again = await handle.execute_update("adopt_strategy", order)
    assert first["adopted"] is again["adopted"] is True
    assert house.rows("SELECT count(*) FROM case_events WHERE kind = 'strategy_adopted'") == [(1,)]


async def test_a_strategy_that_nobody_registered_is_not_adopted(house: House) -> None:
    handle = await waiting_far(house)
    told = await handle.execute_update("adopt_strategy", {"event_id": "adopt/1", "digest": "0" * 64, "actor": "lead/1"})
    assert (told["adopted"], told["strategy"]) == (False, "old v1")
    assert house.rows("SELECT count(*) FROM case_events WHERE kind = 'adoption_failed'") == [(1,)]


async def test_an_open_item_is_taken_back_before_a_case_changes_over(house: House) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now, strategy=CALL)
    await house.until("SELECT count(*) = 1 FROM work_item_cases")
    digest, _ = registered(house, FAR)
    await handle.signal("adopt_strategy", {"event_id": "bulk/B1", "digest": digest, "actor": "lead/1"})
    await house.until("SELECT strategy = 'far' FROM cases")
    assert house.rows("SELECT status FROM work_items") == [("expired",)]
    kinds = [row[0] for row in house.rows("SELECT kind FROM case_events ORDER BY seq")]
    assert kinds == ["opened", "asked", "withdrawn", "strategy_adopted"]
    status = await handle.query("status")
    assert (status["strategy"], status["open_item"], status["step"]) == ("far v1", None, "far")
    assert house.rows("SELECT next_step FROM cases") == [("far",)]


async def test_a_paid_case_closes_and_says_so_to_who_would_move_it(house: House) -> None:
    handle = await waiting_far(house)
    _, new = registered(house, NEW)
    await handle.signal(
        "record_payment",
        {"event_id": "p", "payment_id": "P", "amount": 10_000, "currency": "USD", "at": "2026-03-06T15:00:00+00:00"},
    )
    await handle.result()
    with pytest.raises(moving.MovingError, match="the case is closed"):
        await moving.adopt(house.engine, house.client, LEAD, "A000000001/1", new, "0" * 12, now=ORIGIN)
    assert [row["what"] for row in (await moving.outlook(house.client, "A000000001/1")).coming] == ["closed"]
