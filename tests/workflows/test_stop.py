"""The stop: nothing leaves any more, everything stays due, and lifted it comes one by one, each once."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from desk import stops
from domain.roles import Acting, NotAllowedError, Role
from tests.workflows.conftest import House
from web.counters import Counters
from web.delivering import Deliverer

OPS, LEAD, AGENT = Acting("olga", Role.OPS), Acting("sue", Role.SUPERVISOR), Acting("ann", Role.AGENT)
ALWAYS = """
name: always
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: sms, template: payment-reminder, start: {since: due, days: 1}, between: {hours: "00:00-24:00"}}
  - {id: two, channel: sms, template: payment-overdue, start: {since: due, days: 3}, between: {hours: "00:00-24:00"}}
"""


def portfolio(house: House) -> None:
    due = datetime.now(UTC).date() - timedelta(days=20)
    house.ledger(
        "".join(
            f"L{n},K{n},loan,USD,100.00,{due},Customer {n},+1312555010{n},c{n}@example.com,1 Example St,US-IL,"
            "America/Chicago,false\n"
            for n in range(3)
        )
    )


async def delivered(house: House) -> None:
    async def connected() -> object:
        return house.client

    deliverer = Deliverer(house.engine, connected, Counters())  # type: ignore[arg-type]
    while await deliverer.deliver_some():
        pass


@pytest.mark.parametrize("creditor", [None, "default"])
async def test_a_stop_keeps_everything_due_and_lifted_nothing_bursts(house: House, creditor: str | None) -> None:
    portfolio(house)
    assert stops.stop(house.engine, OPS, creditor, "a wrong template", datetime.now(UTC))
    assert not stops.stop(house.engine, OPS, creditor, "again", datetime.now(UTC))
    await house.open(datetime.now(UTC), strategy=ALWAYS)
    await house.until("SELECT count(*) = 3 FROM attempts WHERE status = 'deferred'")
    rules = house.rows("SELECT DISTINCT rule_ids FROM decisions")
    assert rules == [(["core.switched-off"],)]
    assert house.carrier.requests == []
    (waiting,) = stops.due(house.engine, creditor)
    assert (waiting.creditor, waiting.channel, waiting.attempts) == ("default", "sms", 3)

    now = datetime.now(UTC)
    for who in (OPS, AGENT):
        with pytest.raises(NotAllowedError):
            stops.lift(house.engine, who, creditor, now, {})
    lifted = stops.lift(house.engine, LEAD, creditor, now, {"sms": 2.0})
    assert [one.attempts for one in lifted.due] == [3]
    assert lifted.last_at == now + timedelta(seconds=1)
    await delivered(house)
    await house.until("SELECT count(*) = 3 FROM attempts WHERE status = 'sent'")
    assert sorted(house.carrier.requests) == ["A000000001/1/1", "A000000002/1/1", "A000000003/1/1"]
    steps = house.rows("SELECT DISTINCT step FROM attempts")
    assert steps == [("two",)], "of all that was missed one step, once"
    with pytest.raises(stops.StopError, match="is stopped"):
        stops.lift(house.engine, LEAD, creditor, now, {})


async def test_a_stop_of_one_creditor_leaves_the_others_alone(house: House) -> None:
    portfolio(house)
    with house.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO creditors (code) VALUES ('other')")
    stops.stop(house.engine, LEAD, "other", "their feed is late", datetime.now(UTC))
    await house.open(datetime.now(UTC), strategy=ALWAYS)
    await house.until("SELECT count(*) = 3 FROM attempts WHERE status = 'sent'")
    with pytest.raises(stops.StopError, match="no creditor has this code"):
        stops.stop(house.engine, LEAD, "nobody", "x", datetime.now(UTC))
    with pytest.raises(NotAllowedError):
        stops.stop(house.engine, AGENT, None, "x", datetime.now(UTC))
    with pytest.raises(IntegrityError), house.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO switches (scope, name, reason, off_by, off_at) VALUES ('some', 'x', 'x', 'x', '2026-01-01')"
        )
