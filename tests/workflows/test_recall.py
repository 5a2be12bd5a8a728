"""A recall by file reaches the case, which ends; a charge-off does not end it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from activities.telling import tell_untold
from db.intake import Kind, Order, import_file
from tests.workflows.conftest import House

FAR = """
name: far
version: 1
segment: {}
at_end: wait
steps:
  - {id: far, channel: email, template: invoice-overdue, start: {since: due, days: 300}}
"""


async def test_a_recalled_account_closes_its_case_and_is_not_opened_again(house: House, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now, strategy=FAR)

    async def told(kind: Kind) -> None:
        path = tmp_path / f"{kind}.csv"
        path.write_text(f"account_id,reason,on\nL1,client_request,{now:%Y-%m-%d}\n", encoding="utf-8")
        assert import_file(house.engine, Order(kind, path, now)).mistakes == []
        await tell_untold(house.engine, house.client)

    await told("chargeoffs")
    status = await house.settled(handle, 1)
    assert (status["past_due"], status["waiting_for"].split(",")[0]) == (10_000, "step far (email) is due")
    await told("recalls")
    end = await handle.result()
    assert end["reason"] == "recalled"
    assert house.rows("SELECT status, close_reason FROM cases") == [("closed", "recalled")]
    await house.open(datetime.now(UTC), strategy=FAR)
    assert house.rows("SELECT count(*) FROM cases") == [(1,)]
