"""Every outcome of an arrangement, from the event to the case's next act, on real parts and skipped time."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError

from domain.calendar import local_time
from tests.workflows.conftest import LADDER, House, fast_clock
from tests.workflows.plans import arrange

DUE = date(2026, 3, 2)
ORIGIN = datetime(2026, 3, 3, 6, tzinfo=UTC)
"""The start of the first day past due in Chicago."""
ROW = (
    "L1,K1,loan,USD,100.00,2026-03-02,Customer 1,+13125550100,c1@example.com,1 Example St,US-IL,America/Chicago,false\n"
)


def day(month: int, number: int) -> date:
    return date(2026, month, number)


def contacts(house: House, purpose: str = "collect") -> list[tuple[str, str]]:
    """Return what was sent: step, and local day and hour in Chicago."""
    query = "SELECT step, sent_at FROM attempts WHERE purpose = %s AND sent_at IS NOT NULL ORDER BY sent_at"
    return [(step, f"{local_time(at, 'America/Chicago'):%m-%d %H:%M}") for step, at in house.rows(query, purpose)]


def status(house: House) -> tuple[Any, ...]:
    return house.rows("SELECT status, ended_at FROM arrangements ORDER BY key DESC LIMIT 1")[0]


def paying(house: House, *payments: tuple[str, str]) -> None:
    """Import the account with payments of (day, amount)."""
    house.ledger(ROW, "".join(f"P{no},L1,{amount},USD,{on}\n" for no, (on, amount) in enumerate(payments)))


def midnight(month: int, number: int) -> datetime:
    """Return the start of a day in Chicago; summer time begins on 8 March."""
    return datetime(2026, month, number, 6 if (month, number) < (3, 9) else 5, tzinfo=UTC)


async def run(house: House, ladder: str = LADDER) -> dict[str, Any]:
    """Run the case to its end."""
    handle = await house.open(ORIGIN, clock=fast_clock(ORIGIN), strategy=ladder)
    end: dict[str, Any] = await handle.result()
    return end


async def climb(house: House, ladder: str = LADDER, *, last: str = "five") -> None:
    """Run the case until its last step has been sent."""
    await house.open(ORIGIN, clock=fast_clock(ORIGIN), strategy=ladder)
    await house.until(f"SELECT count(*) = 1 FROM attempts WHERE step = '{last}' AND status = 'sent'", seconds=60)


# --- kept -----------------------------------------------------------------------------------------------------------


async def test_a_promise_that_is_kept_is_reminded_of_once_and_ends_the_case(house: House) -> None:
    paying(house, ("2026-03-06", "100.00"))
    arrange(house, ORIGIN, "promise", (day(3, 6), 10_000))
    end = await run(house)
    assert end["reason"] == "paid"
    assert contacts(house) == []
    assert contacts(house, "service") == [("plan-reminder", "03-05 09:00")]
    assert status(house) == ("kept", midnight(3, 6))
    assert house.rows("SELECT origin, quoted_amount FROM attempts") == [("reminder", 10_000)]


async def test_instalments_are_kept_line_by_line_each_with_its_reminder(house: House) -> None:
    paying(house, ("2026-03-10", "50.00"), ("2026-04-13", "50.00"))
    arrange(house, ORIGIN, "instalments", (day(3, 10), 5_000), (day(4, 10), 5_000))
    end = await run(house)
    assert end["reason"] == "paid"
    assert contacts(house) == []
    assert [at for _, at in contacts(house, "service")] == ["03-07 09:00", "04-07 09:00"]
    assert status(house) == ("kept", midnight(4, 13))


async def test_paid_early_needs_no_more_reminders(house: House) -> None:
    paying(house, ("2026-03-05", "100.00"))
    arrange(house, ORIGIN, "instalments", (day(3, 10), 5_000), (day(4, 10), 5_000))
    end = await run(house)
    assert end["reason"] == "paid"
    assert contacts(house, "service") == contacts(house) == []
    assert status(house) == ("paid_early", midnight(3, 5))


async def test_a_part_that_was_promised_and_kept_leaves_the_rest_to_the_ladder_from_the_day_after(house: House) -> None:
    paying(house, ("2026-03-06", "40.00"))
    arrange(house, ORIGIN, "promise", (day(3, 6), 4_000), covers="part")
    await climb(house)
    assert status(house) == ("kept", midnight(3, 6))
    assert contacts(house)[0] == ("one", "03-07 09:00")


async def test_a_settlement_that_is_paid_waives_the_rest_and_settles_the_account(house: House) -> None:
    paying(house, ("2026-03-20", "60.00"))
    arrange(house, ORIGIN, "settlement", (day(3, 20), 6_000), discount=4_000, covers="balance")
    end = await run(house)
    assert end["reason"] == "settled"
    assert status(house) == ("settled", midnight(3, 20))
    assert house.rows("SELECT kind, amount FROM ledger_entries ORDER BY id")[-1] == ("waiver", 4_000)
    assert house.rows("SELECT closing FROM accounts") == [("settled",)]
    assert contacts(house) == []


# --- broken ---------------------------------------------------------------------------------------------------------


async def test_a_broken_promise_resumes_the_ladder_on_the_day_after_and_not_a_minute_before(house: House) -> None:
    paying(house)
    arrange(house, ORIGIN, "promise", (day(3, 6), 10_000))
    await climb(house)
    assert status(house) == ("broken", midnight(3, 7))
    assert contacts(house) == [
        ("one", "03-07 09:00"),
        ("two", "03-09 09:00"),
        ("three", "03-13 09:00"),
        ("four", "03-20 09:00"),
        ("five", "04-05 09:00"),
    ]


async def test_a_broken_promise_resumes_at_the_step_that_the_strategy_names(house: House) -> None:
    paying(house)
    arrange(house, ORIGIN, "promise", (day(3, 6), 10_000))
    await climb(house, LADDER.replace("at_end: wait", "at_end: wait\nafter_broken: three"))
    assert contacts(house) == [("three", "03-07 09:00"), ("four", "03-16 09:00"), ("five", "04-01 09:00")]


async def test_a_promise_paid_in_part_is_partially_kept_and_what_is_left_is_collected(house: House) -> None:
    paying(house, ("2026-03-05", "40.00"))
    arrange(house, ORIGIN, "promise", (day(3, 6), 10_000))
    await climb(house)
    assert status(house) == ("partially_kept", midnight(3, 7))
    assert contacts(house)[0] == ("one", "03-07 09:00")
    assert house.rows("SELECT quoted_amount FROM attempts WHERE step = 'one'") == [(6_000,)]


async def test_a_line_may_be_paid_in_grace_and_the_one_that_is_not_breaks_the_plan_after_it(house: House) -> None:
    paying(house, ("2026-03-13", "50.00"))
    arrange(house, ORIGIN, "instalments", (day(3, 10), 5_000), (day(4, 10), 5_000))
    await climb(house)
    assert status(house) == ("broken", midnight(4, 14))
    assert contacts(house)[0] == ("one", "04-14 09:00")


async def test_money_a_day_after_grace_comes_too_late(house: House) -> None:
    paying(house, ("2026-03-14", "50.00"))
    arrange(house, ORIGIN, "instalments", (day(3, 10), 5_000), (day(4, 10), 5_000))
    await climb(house)
    assert status(house) == ("broken", midnight(3, 14))
    assert contacts(house)[0] == ("one", "03-14 09:00")


async def test_a_settlement_that_expires_waives_nothing(house: House) -> None:
    paying(house, ("2026-03-10", "30.00"))
    arrange(house, ORIGIN, "settlement", (day(3, 20), 6_000), discount=4_000, covers="balance")
    await climb(house)
    assert status(house) == ("expired", midnight(3, 21))
    assert house.rows("SELECT count(*) FROM ledger_entries WHERE kind = 'waiver'") == [(0,)]
    assert house.rows("SELECT quoted_amount FROM attempts WHERE step = 'one'") == [(7_000,)]
    record = house.rows("SELECT body FROM case_events WHERE kind = 'arrangement'")[-1][0]
    assert '"restored":4000' in record


async def test_days_past_due_stand_still_while_a_deferral_is_performed_and_count_again_when_it_breaks(
    house: House,
) -> None:
    paying(house)
    arrange(house, ORIGIN, "deferral", (day(4, 20), 10_000))
    long = LADDER.replace(
        "start: {since: due, days: 30}", "start: {since: due, days: 30}, only_if: {dpd: {at_least: 50}}"
    )
    await climb(house, long)
    assert status(house) == ("broken", midnight(4, 24))
    assert contacts(house)[0] == ("one", "04-24 09:00")
    assert contacts(house)[-1][0] == "five"


async def test_a_proposal_that_nobody_approves_in_time_expires_and_the_ladder_goes_on(house: House) -> None:
    paying(house)
    lines = [(day(3, 10), 2_500), (day(3, 20), 2_500), (day(3, 30), 2_500), (day(4, 9), 2_500)]
    made = arrange(house, ORIGIN, "instalments", *lines)
    assert (made.status, made.approval) == ("proposed", "lines")
    await climb(house)
    assert status(house) == ("expired", midnight(3, 11))
    assert contacts(house)[0] == ("three", "03-11 09:00")


# --- agreeing, by Update --------------------------------------------------------------------------------------------


def wish(event: str, on: date, **more: object) -> dict[str, object]:
    lines = [{"due_on": on.isoformat(), "amount": 10_000}]
    return {"event_id": event, "kind": "promise", "lines": lines, "currency": "USD", **more}


async def test_p6_an_agreed_promise_rests_the_case_at_once_and_the_same_event_gets_the_same_answer(
    house: House,
) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    only_the_last = "\n".join(line for line in LADDER.splitlines() if "id:" not in line or "days: 30" in line)
    handle = await house.open(now, strategy=only_the_last)
    soon = now.date() + timedelta(days=5)
    first = await handle.execute_update("agree_arrangement", wish("w1", soon))
    again = await handle.execute_update("agree_arrangement", wish("w1", soon))
    assert first["arrangement"] == again["arrangement"] == "R000000001"
    assert (first["status"], first["refusal"]) == ("active", None)
    assert house.rows("SELECT count(*) FROM arrangements") == [(1,)]
    view = await handle.query("status")
    assert view["stage"] == "arranged"
    assert "R000000001" in view["waiting_for"]
    second = await handle.execute_update("agree_arrangement", wish("w2", soon))
    assert (second["arrangement"], second["refusal"]) == (None, "stands_already")
    await handle.signal("cancel_arrangement", {"event_id": "c1", "arrangement": "R000000001"})
    await house.until("SELECT status = 'cancelled' FROM arrangements")
    third = await handle.execute_update("agree_arrangement", wish("w3", soon + timedelta(days=1)))
    assert third["arrangement"] == "R000000002"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [{}],
        [[1]],
        [wish("w", date(2026, 4, 1)), {}],
        [wish("w", date(2026, 4, 1), discount=5)],
        [wish("w", date(2026, 4, 1), colour="red")],
        [{**wish("w", date(2026, 4, 1)), "lines": []}],
        [{**wish("w", date(2026, 4, 1)), "kind": "gift"}],
    ],
)
async def test_what_cannot_be_agreed_is_rejected_to_whoever_asked_and_the_case_lives(
    house: House, arguments: list[object]
) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("agree_arrangement", args=arguments)
    assert (await handle.query("status"))["stage"] != "held"
    assert house.rows("SELECT count(*) FROM arrangements") == [(0,)]


async def test_what_the_policy_does_not_allow_is_answered_with_the_reason(house: House) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now)
    answer = await handle.execute_update("agree_arrangement", wish("w1", now.date() + timedelta(days=90)))
    assert (answer["arrangement"], answer["refusal"]) == (None, "breach")
    assert "after" in answer["reason"]
    euros = await handle.execute_update("agree_arrangement", wish("w2", now.date(), currency="EUR"))
    assert euros["refusal"] == "other_currency"


async def test_a_payment_breaks_the_rest_of_a_promise_and_the_case_closes_at_once(house: House) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now)
    await handle.execute_update("agree_arrangement", wish("w1", now.date() + timedelta(days=9)))
    await handle.signal("record_payment", {"event_id": "p", "payment_id": "P", "amount": 10_000, "currency": "USD"})
    end = await handle.result()
    assert end["reason"] == "paid"
    assert status(house)[0] == "paid_early"


async def test_a_case_asked_while_it_closes_still_answers(house: House) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now)
    pay = {"event_id": "p", "payment_id": "P", "amount": 10_000, "currency": "USD"}
    await handle.signal("record_payment", pay)
    asked = await handle.execute_update("agree_arrangement", wish("w1", now.date() + timedelta(days=3)))
    assert asked["refusal"] == "nothing_owed"
    assert (await handle.result())["reason"] == "paid"
