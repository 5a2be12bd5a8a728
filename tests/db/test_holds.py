"""Holds: placed once, over when they say, lifted by reason; what is asked for is never lost."""

from datetime import timedelta
from typing import Any

import pytest

from db.facts import read_account
from db.holds import HoldOrder, place_hold, release_holds
from domain.codes import HoldReason, HoldScope
from domain.facts import Holding
from tests.db.conftest import AT, Ledger

DAY = timedelta(days=1)


def place(ledger: Ledger, account: str, event: str = "e1", **changes: Any) -> str | None:  # noqa: ANN401 - as an order has them
    """Place a hold."""
    debtor = ledger.one("SELECT debtor_key FROM accounts WHERE key = %s", account)
    given = {"reason": HoldReason.OTHER, "from_at": AT, **changes}
    with ledger.engine.begin() as connection:
        return place_hold(connection, HoldOrder(account_key=account, debtor_key=debtor, event_id=event, **given))


def held(ledger: Ledger, account: str, later: timedelta = timedelta(0)) -> Holding | None:
    """Return what holds an account after a while."""
    with ledger.engine.connect() as connection:
        return read_account(connection, account, AT + later, logical=False).facts.hold


def test_a_hold_is_placed_once_by_its_event(ledger: Ledger) -> None:
    account = ledger.loan()
    assert place(ledger, account) is not None
    assert place(ledger, account) is None
    assert ledger.one("SELECT count(*) FROM holds") == 1


def test_a_hold_ends_by_itself_when_it_says(ledger: Ledger) -> None:
    account = ledger.loan()
    place(ledger, account, until_at=AT + DAY)
    assert held(ledger, account, DAY - timedelta(seconds=1)) == Holding(reason=HoldReason.OTHER, until=AT + DAY)
    assert held(ledger, account, DAY) is None


def test_a_hold_that_would_be_over_is_none(ledger: Ledger) -> None:
    account = ledger.loan()
    assert place(ledger, account, until_at=AT) is None
    assert held(ledger, account) is None


@pytest.mark.parametrize(
    ("scope", "first", "second"),
    [(HoldScope.DEBTOR, True, True), (HoldScope.ACCOUNT, True, False), (HoldScope.CHANNEL, False, False)],
)
def test_a_hold_covers_what_its_scope_says(ledger: Ledger, scope: HoldScope, *, first: bool, second: bool) -> None:
    one, other = ledger.loan("L1", debtor="K1"), ledger.loan("L2", debtor="K1")
    place(ledger, one, scope=scope, channel="sms" if scope is HoldScope.CHANNEL else None)
    assert (held(ledger, one) is not None, held(ledger, other) is not None) == (first, second)


@pytest.mark.parametrize(("part", "whole"), [(9_999, False), (10_000, True)])
def test_a_part_in_dispute_holds_the_account_only_when_nothing_else_is_past_due(
    ledger: Ledger, part: int, *, whole: bool
) -> None:
    account = ledger.loan()
    place(ledger, account, scope=HoldScope.PART, part_amount=part)
    assert (held(ledger, account) is not None) is whole


def test_a_hold_on_a_number_nobody_knows_holds_the_account(ledger: Ledger) -> None:
    account = ledger.loan()
    assert place(ledger, account, scope=HoldScope.NUMBER, contact_point_key="N999999999") is not None
    assert held(ledger, account) is not None


def test_a_hold_on_a_known_number_holds_the_number(ledger: Ledger) -> None:
    account = ledger.loan()
    ledger.take("contacts", "person,kind,value\nKL1,phone,+13125550100\n")
    point = ledger.one("SELECT key FROM contact_points")
    place(ledger, account, scope=HoldScope.NUMBER, contact_point_key=point)
    assert ledger.rows("SELECT scope, contact_point_key FROM holds") == [("number", point)]
    assert held(ledger, account) is None


def test_the_hold_that_stands_longest_is_named(ledger: Ledger) -> None:
    account = ledger.loan()
    place(ledger, account, "e1", until_at=AT + DAY)
    place(ledger, account, "e2", reason=HoldReason.DISPUTE)
    place(ledger, account, "e3", until_at=AT + 2 * DAY)
    assert held(ledger, account) == Holding(reason=HoldReason.DISPUTE)


def test_holds_are_lifted_by_reason_or_by_key_and_no_others(ledger: Ledger) -> None:
    account, other = ledger.loan(), ledger.loan("L2")
    debtor = ledger.one("SELECT debtor_key FROM accounts WHERE key = %s", account)
    dispute = place(ledger, account, "e1", reason=HoldReason.DISPUTE)
    pause = place(ledger, account, "e2", reason=HoldReason.PAUSED, scope=HoldScope.DEBTOR)
    place(ledger, other, "e3", reason=HoldReason.PAUSED)

    def lift(**what: Any) -> tuple[str, ...]:  # noqa: ANN401 - a key or a reason
        with ledger.engine.begin() as connection:
            return release_holds(connection, account_key=account, debtor_key=debtor, at=AT + DAY, by="ops", **what)

    assert lift(reason=HoldReason.PAUSED) == (pause,)
    assert held(ledger, account, DAY) == Holding(reason=HoldReason.DISPUTE)
    assert lift(key=dispute) == (dispute,)
    assert lift(key=dispute) == ()
    assert held(ledger, account, DAY) is None
    assert held(ledger, other, DAY) is not None
