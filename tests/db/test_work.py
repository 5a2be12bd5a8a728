"""What people are asked to do: one open call per person, creditor and collector; unworked is not worked."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from db.cases import close_case
from db.locks import lock_persons
from db.work import Order, Placed, abandon, accounts_of, place, read_item, requeue, settle
from domain.codes import CloseReason, TaskKind
from tests.db.conftest import AT, Ledger

LATER = AT + timedelta(days=3)


def order(ledger: Ledger, case: str, seq: int = 1, **changes: Any) -> Order:  # noqa: ANN401 - as an order has them
    """Return what a case asks for."""
    party = ledger.one("SELECT d.party_key FROM cases k JOIN debtors d ON d.key = k.debtor_key WHERE k.key = %s", case)
    given: dict[str, object] = {
        "kind": TaskKind.CALL, "case_key": case, "step": "call", "attempt_key": f"{case}/{seq}", "party_key": party,
        "creditor": "default", "collector": "", "reason": None, "at": AT, "expires_at": LATER,
    }  # fmt: skip
    return Order(**{**given, **changes})


def ask(ledger: Ledger, one: Order) -> Placed:
    """Place an order."""
    with ledger.engine.begin() as connection:
        return place(connection, one)


@pytest.fixture
def cases(ledger: Ledger) -> list[str]:
    """Open three cases: two of one person, one of another."""
    ledger.loan("L1", debtor="K1")
    ledger.loan("L2", debtor="K1")
    ledger.loan("L3", debtor="K2")
    return [case.state.case_key for case in ledger.open().cases]


def status(ledger: Ledger, item: str) -> tuple[str, datetime | None]:
    """Return how an item stands."""
    ((state, expires),) = ledger.rows("SELECT status, expires_at FROM work_items WHERE key = %s", item)
    return state, expires


def test_one_open_call_for_a_person_lists_all_its_cases(ledger: Ledger, cases: list[str]) -> None:
    first = ask(ledger, order(ledger, cases[0]))
    second = ask(ledger, order(ledger, cases[1], expires_at=LATER + timedelta(days=1)))
    other = ask(ledger, order(ledger, cases[2]))
    assert (first.created, second.created, other.created) == (True, False, True)
    assert second.key == first.key != other.key
    assert status(ledger, first.key) == ("open", LATER + timedelta(days=1))
    with ledger.engine.begin() as connection:
        item = read_item(connection, first.key)
        assert item is not None
        assert [case.case_key for case in item.cases] == cases[:2]
        assert len(accounts_of(connection, first.key)) == 2


@pytest.mark.parametrize("changes", [{"creditor": "other"}, {"collector": "agency"}, {"kind": TaskKind.VISIT}])
def test_another_creditor_collector_or_kind_is_another_item(
    ledger: Ledger, cases: list[str], changes: dict[str, Any]
) -> None:
    first = ask(ledger, order(ledger, cases[0]))
    assert ask(ledger, order(ledger, cases[1], **changes)).key != first.key


def test_the_same_order_twice_is_placed_once(ledger: Ledger, cases: list[str]) -> None:
    for kind in (TaskKind.CALL, TaskKind.VISIT, TaskKind.LEGAL):
        one = order(ledger, cases[0], seq=ord(kind[0]), kind=kind)
        first, second = ask(ledger, one), ask(ledger, one)
        assert second == Placed(first.key, created=False, joined=False)
    assert ledger.one("SELECT count(*) FROM work_items") == 3


def test_cases_of_one_person_that_ask_at_once_share_one_call(ledger: Ledger, cases: list[str]) -> None:
    accounts = [key.partition("/")[0] for key in cases[:2]]
    orders = [order(ledger, case) for case in cases[:2]] * 3
    ready = Barrier(len(orders))

    def one(number: int) -> str:
        with ledger.engine.begin() as connection:
            ready.wait(timeout=30)
            lock_persons(connection, [accounts[number % 2]])
            return place(connection, orders[number]).key

    with ThreadPoolExecutor(len(orders)) as pool:
        assert len(set(pool.map(one, range(len(orders))))) == 1
    assert ledger.one("SELECT count(*) FROM work_items") == 1
    assert ledger.one("SELECT count(*) FROM work_item_cases") == 2


def test_a_worked_item_is_settled_once_and_the_next_order_is_a_new_one(ledger: Ledger, cases: list[str]) -> None:
    first = ask(ledger, order(ledger, cases[0]))
    with ledger.engine.begin() as connection:
        assert settle(connection, first.key, "promise", {"event_id": "e1"}, AT)
        assert not settle(connection, first.key, "refused", {"event_id": "e2"}, AT)
        item = read_item(connection, first.key)
    assert item is not None
    assert (item.status, item.event_id) == ("done", "e1")
    assert ask(ledger, order(ledger, cases[0], seq=2)).key != first.key


def test_an_item_put_back_is_open_unclaimed_and_lives_longer(ledger: Ledger, cases: list[str]) -> None:
    first = ask(ledger, order(ledger, cases[0]))
    ledger.run("UPDATE work_items SET status = 'claimed', claimed_by = 'agent/1', lease_until = %s", AT)
    with ledger.engine.begin() as connection:
        requeue(connection, first.key, LATER + timedelta(days=3))
    assert status(ledger, first.key) == ("open", LATER + timedelta(days=3))
    assert ledger.rows("SELECT claimed_by, lease_until FROM work_items") == [(None, None)]
    with ledger.engine.begin() as connection:
        settle(connection, first.key, "promise", {}, AT)
        requeue(connection, first.key, LATER)
    assert status(ledger, first.key)[0] == "done"


def test_an_item_expires_with_its_last_case_and_not_before(ledger: Ledger, cases: list[str]) -> None:
    first = ask(ledger, order(ledger, cases[0]))
    ask(ledger, order(ledger, cases[1]))
    with ledger.engine.begin() as connection:
        abandon(connection, first.key, cases[0], LATER)
    assert status(ledger, first.key)[0] == "open"
    with ledger.engine.begin() as connection:
        abandon(connection, first.key, cases[1], LATER)
    assert status(ledger, first.key)[0] == "expired"
    assert ledger.one("SELECT count(*) FROM attempts") == 0


def test_closing_a_case_cancels_the_items_nobody_else_needs(ledger: Ledger, cases: list[str]) -> None:
    shared = ask(ledger, order(ledger, cases[0]))
    ask(ledger, order(ledger, cases[1]))
    own = ask(ledger, order(ledger, cases[0], seq=2, kind=TaskKind.VISIT))
    with ledger.engine.begin() as connection:
        close_case(connection, cases[0], CloseReason.CURE, LATER)
    assert (status(ledger, shared.key)[0], status(ledger, own.key)[0]) == ("open", "cancelled")
    with ledger.engine.begin() as connection:
        item = read_item(connection, shared.key)
        close_case(connection, cases[1], CloseReason.CURE, LATER)
    assert item is not None
    assert [case.case_key for case in item.cases] == [cases[1]]
    assert status(ledger, shared.key)[0] == "cancelled"


def test_an_unknown_item_is_none(ledger: Ledger) -> None:
    with ledger.engine.begin() as connection:
        assert read_item(connection, "W000000999") is None
