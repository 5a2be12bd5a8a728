"""The case on real parts: it climbs, it sleeps, it survives every message, and it stops when nothing is past due."""

from datetime import UTC, date, datetime, timedelta

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RawValue

from tests.workflows.conftest import LADDER, House, fast_clock

DUE = date(2026, 3, 2)
ORIGIN = datetime(2026, 3, 3, 6, tzinfo=UTC)
"""The start of the first day past due in Chicago."""


async def test_p1_contacts_fall_on_their_days_and_never_on_or_before_the_due_date(house: House) -> None:
    house.one_account(DUE)
    handle = await house.open(ORIGIN, clock=fast_clock(ORIGIN))
    await house.until("SELECT count(*) = 5 FROM attempts WHERE status = 'sent'")
    days = [row[0].date() - DUE for row in house.rows("SELECT sent_at FROM attempts ORDER BY seq")]
    assert days == [timedelta(days=days) for days in (1, 3, 7, 14, 30)]
    assert len(house.carrier.requests) == len(set(house.carrier.requests)) == 5
    events = [event async for event in handle.fetch_history_events()]
    upserts = sum(1 for event in events if event.HasField("upsert_workflow_search_attributes_event_attributes"))
    opening = 4  # started, and its first workflow task
    assert (len(events) - upserts - opening) / 5 <= 11


async def test_p1_a_payment_ends_the_case_on_its_day(house: House) -> None:
    house.one_account(DUE)
    house.ledger(
        "L1,K1,loan,USD,100.00,2026-03-02,Customer 1,+13125550100,c1@example.com,1 Example St,US-IL,America/Chicago,false\n",
        "P1,L1,100.00,USD,2026-03-09\n",
    )
    handle = await house.open(ORIGIN, clock=fast_clock(ORIGIN))
    end = await handle.result()
    assert end["reason"] == "paid"
    assert [row[0] for row in house.rows("SELECT step FROM attempts ORDER BY seq")] == ["one", "two"]
    assert house.rows("SELECT closed_at FROM cases")[0][0] == datetime(
        2026, 3, 9, 5, tzinfo=UTC
    )  # summer time has begun


async def test_a_disputed_account_is_held_and_never_contacted(house: House) -> None:
    house.one_account(DUE, disputed="true")
    handle = await house.open(ORIGIN, clock=fast_clock(ORIGIN))
    status = await handle.query("status")
    assert status["stage"] == "held"
    assert house.rows("SELECT count(*) FROM attempts")[0][0] == 0


async def test_p6_asleep_for_days_and_paid_it_closes_at_once(house: House) -> None:
    now = datetime.now(UTC)
    due = (now - timedelta(days=20)).date()
    house.one_account(due)
    only_the_last = "\n".join(line for line in LADDER.splitlines() if "id:" not in line or "days: 30" in line)
    handle = await house.open(now, strategy=only_the_last)  # whatever the hour: nothing is to be done for ten days
    await handle.signal("record_payment", {"event_id": "e1", "payment_id": "P1", "amount": 10_000, "currency": "USD"})
    end = await handle.result()
    assert end["reason"] == "paid"
    assert house.carrier.requests == []


async def test_instalments_part_payments_move_no_rung_and_clearing_what_is_past_due_cures(
    house: House,
) -> None:
    now = datetime.now(UTC)
    oldest, newer, later = (now.date() - timedelta(days=days) for days in (50, 20, -30))
    head = "L1,K1,loan,USD,100.00,{},Customer 1,+13125550100,c1@example.com,1 Example St,US-IL,America/Chicago,false\n"
    house.ledger("".join(head.format(day) for day in (oldest, newer, later)))
    handle = await house.open(now)

    async def pay(number: int, amount: int, currency: str = "USD") -> dict[str, object]:
        body = {"event_id": f"e{number}", "payment_id": f"P{number}", "amount": amount, "currency": currency}
        await handle.signal("record_payment", body)
        return await house.settled(handle, number)

    before = await handle.query("status")
    part = await pay(1, 4_000)
    assert (part["dpd"], part["past_due"]) == (before["dpd"], 16_000)
    other = await pay(2, 9_999, "EUR")
    assert other["past_due"] == 16_000
    assert house.rows("SELECT reason, external_id FROM suspense") == [("other_currency", "P2")]
    cleared = await pay(3, 6_000)
    assert isinstance(cleared["dpd"], int)
    assert cleared["dpd"] < before["dpd"]
    await handle.signal("record_payment", {"event_id": "e4", "payment_id": "P4", "amount": 10_000, "currency": "USD"})
    end = await handle.result()
    assert end["reason"] == "self_cure"


@pytest.mark.parametrize(
    "bodies", [(), ({}, {}), ("text",), ({"event_id": "x"},), ({"event_id": "x", "amount": "a lot"},)]
)
async def test_p5_a_message_that_cannot_be_understood_is_kept_and_named(
    house: House, bodies: tuple[object, ...]
) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now)
    await handle.signal("record_payment", args=list(bodies))
    await house.until("SELECT count(*) = 1 FROM inbox WHERE status = 'refused'")
    status = await handle.query("status")
    assert status["refused_total"] == 1
    assert status["refused"][0]["name"] == "record_payment"


async def test_p5_broken_bytes_and_unknown_names_leave_the_case_alive(house: House) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now)
    broken = RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b"\xff\xfe{"))
    await handle.signal("record_payment", broken)
    await handle.signal("sing_a_song", {"event_id": "s"})
    await house.until("SELECT count(*) = 2 FROM inbox WHERE status = 'refused'")
    await handle.signal("pause", {"event_id": "p1"})
    await house.until("SELECT count(*) = 1 FROM holds WHERE reason = 'paused'")
    status = await house.settled(handle, 3)
    assert status["stage"] == "held"
    assert {one["name"] for one in status["refused"]} == {"record_payment", "sing_a_song"}


async def test_a_message_repeated_is_applied_once(house: House) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now)
    for _ in range(3):
        await handle.signal("record_payment", {"event_id": "e", "payment_id": "P", "amount": 5_000, "currency": "USD"})
    status = await house.settled(handle, 1)
    assert status["past_due"] == 5_000


async def test_a_reversal_while_the_case_closes_is_not_lost(house: House) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now)
    await handle.signal("record_payment", {"event_id": "e", "payment_id": "P", "amount": 10_000, "currency": "USD"})
    await handle.signal("reverse_payment", {"event_id": "r", "payment_id": "P"})
    await house.until("SELECT count(*) = 2 FROM ledger_entries")
    if house.rows("SELECT status FROM cases WHERE episode = 1")[0][0] == "closed":
        await house.open(datetime.now(UTC))
    assert house.rows("SELECT count(*) FROM cases WHERE status = 'open'")[0][0] == 1


async def test_an_agent_works_an_item_and_every_case_of_it_hears(house: House) -> None:
    now = datetime.now(UTC)
    due = now.date() - timedelta(days=5)
    rows = "".join(
        f"L{number},K1,loan,USD,100.00,{due},Customer 1,+13125550100,c1@example.com,1 Example St,US-IL,America/Chicago,false\n"
        for number in (1, 2)
    )
    house.ledger(rows)
    call = """
name: call-first
version: 1
segment: {}
at_end: wait
steps:
  - {id: call, task: call, start: {since: opened}, between: {hours: "00:00-24:00"}}
"""
    handle = await house.open(now, strategy=call)
    await house.until("SELECT count(*) = 2 FROM work_item_cases")
    assert house.rows("SELECT count(*) FROM work_items")[0][0] == 1
    item = house.rows("SELECT key FROM work_items")[0][0]
    promised = (now + timedelta(days=3)).date().isoformat()
    await handle.signal(
        "record_call_outcome",
        {
            "event_id": "call-1",
            "work_item": item,
            "party_reached": "right_party",
            "disposition": "promise",
            "promised_on": promised,
        },
    )
    await house.until("SELECT count(*) = 2 FROM arrangements WHERE kind = 'promise' AND status = 'active'")
    assert house.rows("SELECT count(*) FROM holds")[0][0] == 0
    assert house.rows("SELECT count(*) FROM attempts WHERE channel = 'call'")[0][0] == 1
    assert house.rows("SELECT count(*) FROM attempt_accounts")[0][0] == 2


async def test_p8_no_personal_data_in_a_history(house: House, client: Client) -> None:
    house.one_account(DUE)
    handle: WorkflowHandle[object, object] = await house.open(ORIGIN, clock=fast_clock(ORIGIN))
    await house.until("SELECT count(*) = 5 FROM attempts WHERE status = 'sent'")
    text = (await handle.fetch_history()).to_json()
    assert client.namespace
    for secret in ("Customer 1", "3125550100", "c1@example.com", "Example St"):
        assert secret not in text
