"""The desk and a running case: what an agent reports reaches the case, whoever was away meanwhile."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from temporalio.client import Client

from db.cases import close_case
from db.locks import lock_persons
from desk.finishing import finish
from desk.queue import Desk, LeaseLostError, QueueError, claim_next
from desk.repairing import Repair, repair
from desk.showing import show
from domain.codes import CloseReason
from domain.gate import LedgerGate
from runtime.desk import desk_of
from tests.desk.house import ANN, BEN, CALLS, EVE, staff
from tests.workflows.conftest import House, house
from web.counters import Counters
from web.delivering import Deliverer

__all__ = ["house"]
NO_ANSWER = {"disposition": "no_answer", "party_reached": "no_one"}
HEAD = "Customer 1,+13125550100,c1@example.com,1 Example St"


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return desk_of(engine, gate=LedgerGate())


@pytest.fixture
async def calling(house: House) -> House:
    """Open a case that has asked for a call."""
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=3)).date())
    staff(house.engine)
    await house.open(now, strategy=CALLS)
    await house.until("SELECT count(*) = 1 FROM work_items")
    return house


async def deliver(house: House) -> None:
    """Deliver what the desk has queued, as the web part does."""

    async def connect() -> Client:
        return house.client

    await Deliverer(house.engine, connect, Counters()).deliver_some()


async def test_p5_what_is_reported_while_temporal_is_away_is_kept_and_the_case_records_it_when_it_is_told(
    calling: House, desk: Desk
) -> None:
    now = datetime.now(UTC)
    lent = claim_next(desk, ANN, now)
    assert lent is not None
    finish(desk, ANN, lent.key, lent.lease_no, {**NO_ANSWER, "duration_seconds": 12}, now, logical=False)
    assert calling.rows("SELECT status FROM work_items") == [("reported",)]
    assert calling.rows("SELECT count(*) FROM attempts") == [(0,)]
    await deliver(calling)
    await calling.until("SELECT status = 'done' FROM work_items ORDER BY key LIMIT 1")
    assert calling.rows("SELECT key, channel, outcome, duration_seconds FROM attempts") == [
        ("A000000001/1/1", "call", "no_answer", 12)
    ]
    actors = calling.rows("SELECT body::jsonb ->> 'actor' FROM case_events WHERE kind = 'worked'")
    assert actors == [("ann",)]
    again = finish(desk, ANN, lent.key, lent.lease_no, {**NO_ANSWER, "duration_seconds": 12}, now, logical=False)
    assert again.again
    await deliver(calling)
    assert calling.rows("SELECT count(*) FROM attempts") == [(1,)]


async def test_p5_a_case_that_closes_before_it_is_told_leaves_the_report_in_the_record(
    calling: House, desk: Desk
) -> None:
    now = datetime.now(UTC)
    lent = claim_next(desk, ANN, now)
    assert lent is not None
    finish(desk, ANN, lent.key, lent.lease_no, NO_ANSWER, now, logical=False)
    await calling.client.get_workflow_handle("case/A000000001/1").terminate()
    with calling.engine.begin() as connection:
        lock_persons(connection, ["A000000001"])
        close_case(connection, "A000000001/1", CloseReason.RECALLED, now)
    await deliver(calling)
    assert calling.rows("SELECT status, disposition FROM work_items") == [("done", "no_answer")]
    ((body,),) = calling.rows("SELECT body::jsonb FROM case_events WHERE kind = 'reported_after_close'")
    assert (body["work_item"], body["disposition"], body["actor"]) == (lent.key, "no_answer", "ann")


async def test_a_repaired_zone_lets_the_case_go_on(house: House, desk: Desk) -> None:
    now = datetime.now(UTC)
    house.ledger(
        f"L1,K1,loan,USD,100.00,{(now - timedelta(days=3)).date()},Customer 1,,c1@example.com,1 Example St,,,false\n"
    )
    staff(house.engine)
    await house.open(now, strategy=CALLS.replace("task: call", "channel: email, template: invoice-overdue"))
    await house.until("SELECT count(*) = 1 FROM work_items WHERE kind = 'data_repair'")
    lent = claim_next(desk, ANN, datetime.now(UTC))
    assert lent is not None
    for wrong in (Repair(), Repair(zone="Chicago"), Repair(phone="555"), Repair(email="nobody")):
        with pytest.raises(QueueError):
            repair(desk, ANN, lent.key, lent.lease_no, wrong, now, logical=False)
    with pytest.raises(LeaseLostError):
        repair(desk, BEN, lent.key, lent.lease_no, Repair(zone="America/Chicago"), now, logical=False)
    found = Repair(zone="America/Chicago", phone="+13125550100")
    assert repair(desk, ANN, lent.key, lent.lease_no, found, now, logical=False) == ("A000000001/1",)
    await deliver(house)
    await house.until("SELECT count(*) = 1 FROM attempts WHERE status = 'sent'")
    assert house.rows("SELECT status, disposition FROM work_items") == [("done", "repaired")]
    ((body,),) = house.rows("SELECT body FROM case_events WHERE kind = 'repaired'")
    assert "+1312" not in body


async def test_p8_an_item_is_whole_to_who_has_it_and_bare_to_everybody_else(
    calling: House, desk: Desk, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    del tmp_path
    now = datetime.now(UTC)
    lent = claim_next(desk, ANN, now)
    assert lent is not None
    whole = show(desk, ANN, lent.key, now, logical=False)
    assert (whole.name, [one.value for one in whole.points]) == ("Customer 1", ["+13125550100"])
    assert [one.past_due for one in whole.accounts] == ["100.00 USD"]
    assert "no_answer" in whole.outcomes
    opening, talk = whole.script
    assert "recorded" in opening
    assert "100.00" not in opening
    assert "100.00 USD is past due" in talk
    bare = show(desk, BEN, lent.key, now, logical=False)
    assert (bare.name, bare.points, bare.accounts, bare.script) == ("", (), (), ())
    assert show(desk, EVE, lent.key, now, logical=False).name == "Customer 1"
    assert calling.rows("SELECT actor FROM work_events WHERE kind = 'shown'") == [("eve",)]
    logged = "".join(capfd.readouterr())
    assert "Customer 1" not in logged
    assert "3125550100" not in logged
