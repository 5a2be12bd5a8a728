"""A case for every overdue account and for no other, however often and from wherever somebody opens."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from db.cases import close_case
from db.ledger import post_payment, reverse_payment
from db.opening import mark_open, open_keys, open_page, pending_openings, restarts
from db.settings import put_in_force
from domain.clock import BusinessClock
from domain.codes import CloseReason
from domain.strategy_file import parse_strategy
from tests.db.conftest import AT, LADDER, Ledger

CHICAGO_MIDNIGHT = datetime(2026, 3, 10, 5, tzinfo=UTC)


def pay(ledger: Ledger, account: str, amount: int, number: str = "P1", **changes: object) -> None:
    """Post a payment."""
    given = {"value_on": AT.date(), "received_at": AT, **changes}
    with ledger.engine.begin() as connection:
        post_payment(
            connection,
            account_key=account,
            external_id=number,
            amount=amount,
            currency="USD",
            source="t",
            **given,  # type: ignore[arg-type]
        )


def close(ledger: Ledger, case: str, at: datetime = AT) -> None:
    """End a case."""
    with ledger.engine.begin() as connection:
        close_case(connection, case, CloseReason.CURE, at)


def opened(ledger: Ledger) -> set[str]:
    """Return the lender's numbers of the accounts that have an open case."""
    return {
        row[0]
        for row in ledger.rows(
            "SELECT a.external_id FROM cases k JOIN accounts a ON a.key = k.account_key WHERE k.status <> 'closed'"
        )
    }


def test_a_case_for_every_overdue_account_and_for_no_other(ledger: Ledger) -> None:
    zone = "America/Chicago"
    ledger.accounts(
        f"overdue,K1,loan,USD,10,2026-03-01,{zone}",
        f"part-paid,K2,loan,USD,10,2026-03-01,{zone}",
        f"paid,K3,loan,USD,10,2026-03-01,{zone}",
        f"due-today,K4,loan,USD,10,2026-03-10,{zone}",
        f"later,K5,loan,USD,10,2026-04-01,{zone}",
        f"nothing,K6,loan,USD,0,2026-03-01,{zone}",
        f"one-of-two,K7,loan,USD,10,2026-03-01,{zone}",
        f"one-of-two,K7,loan,USD,10,2026-04-01,{zone}",
        f"first-paid,K8,loan,USD,10,2026-03-01,{zone}",
        f"first-paid,K8,loan,USD,10,2026-04-01,{zone}",
        "no-zone,K9,loan,USD,10,2026-03-01,",
        f"returned,K10,loan,USD,10,2026-03-01,{zone}",
    )
    keys = dict(ledger.rows("SELECT external_id, key FROM accounts"))
    pay(ledger, keys["part-paid"], 999, "P1")
    pay(ledger, keys["paid"], 1_000, "P2")
    pay(ledger, keys["first-paid"], 1_000, "P3")
    pay(ledger, keys["returned"], 1_000, "P4")
    with ledger.engine.begin() as connection:
        reverse_payment(
            connection, account_key=keys["returned"], payment_id="P4", reason="r", received_at=AT, value_on=AT.date(), source="t"
        )  # fmt: skip
    ledger.open()
    assert opened(ledger) == {"overdue", "part-paid", "one-of-two", "no-zone", "returned"}


@pytest.mark.parametrize(("zone", "is_open"), [("Pacific/Kiritimati", True), ("Pacific/Pago_Pago", False)])
def test_a_due_is_past_when_its_day_is_over_where_the_debtor_lives(ledger: Ledger, zone: str, is_open: bool) -> None:
    ledger.accounts(f"L1,K1,loan,USD,10,2026-03-10,{zone}")
    ledger.open(datetime(2026, 3, 10, 10, 30, tzinfo=UTC))
    assert opened(ledger) == ({"L1"} if is_open else set())


def test_the_first_instant_of_the_next_day_opens(ledger: Ledger) -> None:
    ledger.loan(due_on="2026-03-09")
    ledger.open(CHICAGO_MIDNIGHT - timedelta(seconds=1))
    assert opened(ledger) == set()
    ledger.open(CHICAGO_MIDNIGHT)
    assert opened(ledger) == {"L1"}


def test_an_account_that_is_closing_or_missing_gets_no_case(ledger: Ledger) -> None:
    first, second = ledger.loan(), ledger.loan("L2")
    ledger.run("UPDATE accounts SET closing = 'recalled', closing_at = %s WHERE key = %s", AT, first)
    ledger.run("UPDATE accounts SET missing_since = %s WHERE key = %s", AT, second)
    ledger.open()
    assert opened(ledger) == set()


def test_opening_again_opens_nothing(ledger: Ledger) -> None:
    ledger.loan()
    assert len(ledger.open().cases) == 1
    assert ledger.open().cases == ()


def test_pages_cover_everything_once(ledger: Ledger) -> None:
    ledger.accounts(*(f"L{n},K{n},loan,USD,10,2026-03-01,UTC" for n in range(7)))
    after: str | None = ""
    sizes = []
    while after is not None:
        page = ledger.open(limit=3, after=after)
        sizes.append(len(page.cases))
        after = page.next_after
    assert sizes == [3, 3, 1]
    assert ledger.one("SELECT count(*) FROM cases") == 7


def test_runs_that_overlap_open_each_case_once(ledger: Ledger) -> None:
    ledger.accounts(*(f"L{n},K{n},loan,USD,10,2026-03-01,UTC" for n in range(40)))
    digest, strategy = ledger.in_force()
    ready = Barrier(6)

    def run(_: int) -> list[str]:
        ready.wait(timeout=30)
        found, after = [], ""
        while True:
            page = open_page(
                ledger.engine, as_of=AT, strategies={digest: strategy}, clock=BusinessClock(), limit=7, after=after
            )
            found += [case.state.case_key for case in page.cases]
            if page.next_after is None:
                return found
            after = page.next_after

    with ThreadPoolExecutor(6) as pool:
        started = [key for keys in pool.map(run, range(6)) for key in keys]
    assert len(started) == len(set(started)) == 40
    assert ledger.one("SELECT count(*) FROM case_events WHERE kind = 'opened'") == 40


def test_overdue_again_after_cure_is_a_new_linked_episode(ledger: Ledger) -> None:
    ledger.accounts("L1,K1,loan,USD,10,2026-03-01,UTC", "L1,K1,loan,USD,10,2026-04-01,UTC")
    (first,) = ledger.open().cases
    pay(ledger, first.state.account_key, 1_000)
    close(ledger, first.state.case_key)
    assert ledger.open(datetime(2026, 4, 1, 12, tzinfo=UTC)).cases == ()
    (second,) = ledger.open(datetime(2026, 4, 2, 12, tzinfo=UTC)).cases
    assert (first.state.case_key, second.state.case_key) == ("A000000001/1", "A000000001/2")
    assert ledger.rows("SELECT key, previous_key, episode, status FROM cases ORDER BY key") == [
        ("A000000001/1", None, 1, "closed"),
        ("A000000001/2", "A000000001/1", 2, "open"),
    ]


def test_a_row_whose_workflow_was_never_started_is_started_by_the_next_run(ledger: Ledger) -> None:
    ledger.loan()
    page = ledger.open(mark=False)
    assert pending_openings(ledger.engine, 10) == page.cases
    assert open_keys(ledger.engine) == []
    mark_open(ledger.engine, [page.cases[0].state.case_key])
    assert pending_openings(ledger.engine, 10) == ()
    assert open_keys(ledger.engine) == [page.cases[0].state.case_key]


def test_a_lost_workflow_goes_on_with_the_ledgers_numbers(ledger: Ledger) -> None:
    ledger.loan()
    (case,) = ledger.open().cases
    key = case.state.case_key
    ledger.run(
        "INSERT INTO attempts (key, case_key, seq, channel, status, due_at) VALUES (%s, %s, 4, 'sms', 'sent', %s)",
        f"{key}/4", key, AT,
    )  # fmt: skip
    (again,) = restarts(ledger.engine, [key, "A9/1"], AT + timedelta(days=1))
    assert (again.state.case_key, again.state.seq, again.strategy_digest) == (key, 4, case.strategy_digest)
    close(ledger, key)
    assert restarts(ledger.engine, [key], AT) == ()


def test_the_case_is_pinned_to_the_strategy_in_force_when_it_opened(ledger: Ledger) -> None:
    ledger.loan()
    (case,) = ledger.open(mark=False).cases
    ledger.in_force(LADDER.replace("version: 1", "version: 2"))
    assert pending_openings(ledger.engine, 10)[0].strategy.version == case.strategy.version == 1


@pytest.mark.parametrize(("amount", "is_open"), [("9.99", False), ("10.00", True)])
def test_small_amounts_are_left_alone(ledger: Ledger, amount: str, is_open: bool) -> None:
    ledger.loan(amount=amount)
    ledger.open(strategy=LADDER + "min_past_due: {USD: 10, EUR: 500}\n")
    assert (opened(ledger) == {"L1"}) is is_open


def test_the_first_strategy_whose_segment_holds_is_taken_and_one_without_a_segment_is_last(ledger: Ledger) -> None:
    ledger.accounts("L1,K1,loan,USD,10,2026-03-01,UTC", "C1,K2,card,USD,10,2026-03-01,UTC")
    texts = {
        "aaa-everything": "{}",
        "cards": "{product: [card]}",
    }
    strategies = [
        parse_strategy(
            LADDER.replace("name: ladder", f"name: {name}").replace("segment: {}", f"segment: {segment}"), name
        )
        for name, segment in texts.items()
    ]
    with ledger.engine.begin() as connection:
        digests = put_in_force(connection, strategies, AT)
    by_digest = dict(zip(digests, sorted(strategies, key=lambda one: not one.segment), strict=True))
    open_page(ledger.engine, as_of=AT, strategies=by_digest, clock=BusinessClock(), limit=10)
    assert dict(
        ledger.rows("SELECT a.external_id, k.strategy FROM cases k JOIN accounts a ON a.key = k.account_key")
    ) == {"L1": "aaa-everything", "C1": "cards"}


def test_an_account_no_strategy_is_for_gets_no_case(ledger: Ledger) -> None:
    ledger.loan()
    ledger.open(strategy=LADDER.replace("segment: {}", "segment: {product: [card]}"))
    assert opened(ledger) == set()


def test_looking_back_only_what_was_known_then_counts(ledger: Ledger) -> None:
    account = ledger.loan()
    pay(ledger, account, 10_000, received_at=AT + timedelta(days=1))
    digest, strategy = ledger.in_force()
    clock = BusinessClock(kind="logical", origin=AT, epoch=AT, speed=1.0)
    page = open_page(ledger.engine, as_of=AT, strategies={digest: strategy}, clock=clock, limit=10)
    assert len(page.cases) == 1
