"""Money in and money back: applied once for ever, whole, and said when it cannot be applied."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Connection

from db.facts import read_account
from db.ledger import Posted, post_payment, record_receipt, reverse_payment
from domain.facts import Facts
from tests.db.conftest import AT, Ledger

DAY = date(2026, 3, 9)
AT_ONCE = 8


def pay(ledger: Ledger, account: str, number: str = "P1", amount: int = 10_000, **changes: Any) -> Posted:  # noqa: ANN401
    """Post a payment."""
    given = {"currency": "USD", "value_on": DAY, "received_at": AT, "source": "test", **changes}
    with ledger.engine.begin() as connection:
        return post_payment(connection, account_key=account, external_id=number, amount=amount, **given)


def take_back(ledger: Ledger, account: str, number: str = "P1") -> Posted:
    """Reverse a payment."""
    with ledger.engine.begin() as connection:
        return reverse_payment(
            connection,
            account_key=account,
            payment_id=number,
            reason="returned",
            received_at=AT,
            value_on=DAY,
            source="test",
        )


def facts(ledger: Ledger, account: str) -> Facts:
    """Read what is owed."""
    with ledger.engine.connect() as connection:
        return read_account(connection, account, AT, logical=False).facts


def test_a_payment_counts_once_by_the_creditors_number(ledger: Ledger) -> None:
    account = ledger.loan(amount="300.00")
    assert pay(ledger, account).outcome == "applied"
    assert pay(ledger, account).outcome == "repeated"
    assert facts(ledger, account).past_due == 20_000
    assert ledger.one("SELECT count(*) FROM ledger_entries") == 1


def test_creditors_number_their_payments_for_themselves(ledger: Ledger) -> None:
    head = "account_id,debtor_id,product,currency,amount,due_date,creditor_id"
    ledger.accounts("L1,K1,loan,USD,1,2026-03-01,c1", "L1,K1,loan,USD,1,2026-03-01,c2", head=head)
    outcomes = [pay(ledger, key).outcome for (key,) in ledger.rows("SELECT key FROM accounts ORDER BY key")]
    assert outcomes == ["applied", "applied"]


@pytest.mark.parametrize(
    ("account", "changes", "reason"),
    [(None, {"currency": "EUR"}, "other_currency"), ("A999999999", {}, "unknown_account")],
)
def test_money_that_cannot_be_applied_waits_in_suspense_once(
    ledger: Ledger, account: str | None, changes: dict[str, Any], reason: str
) -> None:
    own = ledger.loan()
    posted = pay(ledger, account or own, **changes)
    assert (posted.outcome, posted.reason) == ("suspense", reason)
    assert pay(ledger, account or own, **changes).outcome == "repeated"
    assert ledger.rows("SELECT external_id, amount, reason, state FROM suspense") == [("P1", 10_000, reason, "open")]
    assert facts(ledger, own).past_due == 10_000


def test_money_in_suspense_is_settled_by_the_payment_that_is_applied(ledger: Ledger) -> None:
    ledger.payments("P1,L1,100.00,USD,2026-03-05")
    account = ledger.loan()
    pay(ledger, account)
    assert ledger.one("SELECT state FROM suspense") == "applied"


def test_overpayment_leaves_a_negative_balance_and_no_debt(ledger: Ledger) -> None:
    account = ledger.loan()
    pay(ledger, account, amount=12_500)
    after = facts(ledger, account)
    assert (after.past_due, after.balance) == (0, -2_500)


def test_a_reversal_takes_the_whole_payment_back_once(ledger: Ledger) -> None:
    account = ledger.loan()
    pay(ledger, account)
    assert take_back(ledger, account).outcome == "applied"
    assert take_back(ledger, account).outcome == "repeated"
    after = facts(ledger, account)
    assert (after.past_due, after.balance) == (10_000, 10_000)
    assert pay(ledger, account).outcome == "repeated", "a payment that was taken back does not come again by itself"


def test_a_reversal_that_arrives_before_its_payment_is_not_lost(ledger: Ledger) -> None:
    account = ledger.loan()
    early = take_back(ledger, account)
    assert (early.outcome, early.reason) == ("suspense", "unknown_payment")
    pay(ledger, account)
    assert facts(ledger, account).past_due == 10_000
    assert ledger.one("SELECT state FROM suspense") == "applied"
    assert take_back(ledger, account).outcome == "repeated"


def test_a_reversal_of_another_accounts_payment_changes_nothing(ledger: Ledger) -> None:
    first, second = ledger.loan(), ledger.loan("L2")
    pay(ledger, first)
    assert take_back(ledger, second).reason == "unknown_payment"
    assert facts(ledger, first).past_due == 0


def at_once(ledger: Ledger, act: Callable[[Connection], Posted]) -> list[str]:
    """Do the same from several threads at the same moment."""
    ready = Barrier(AT_ONCE)

    def one(_: int) -> str:
        with ledger.engine.begin() as connection:
            ready.wait(timeout=30)
            return act(connection).outcome

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sorted(pool.map(one, range(AT_ONCE)))


def test_the_same_payment_from_everywhere_at_once_counts_once(ledger: Ledger) -> None:
    account = ledger.loan(amount="300.00")
    ledger.open()
    given = {"amount": 10_000, "currency": "USD", "value_on": DAY, "received_at": AT, "source": "test"}

    def act(connection: Connection) -> Posted:
        return post_payment(connection, account_key=account, external_id="P1", **given)  # type: ignore[arg-type]

    assert at_once(ledger, act) == ["applied"] + ["repeated"] * (AT_ONCE - 1)
    assert ledger.one("SELECT count(*) FROM case_events WHERE kind = 'payment'") == 1


def test_the_same_reversal_from_everywhere_at_once_counts_once(ledger: Ledger) -> None:
    account = ledger.loan()
    ledger.open()
    pay(ledger, account)

    def act(connection: Connection) -> Posted:
        return reverse_payment(
            connection, account_key=account, payment_id="P1", reason="r", received_at=AT, value_on=DAY, source="test"
        )

    assert at_once(ledger, act) == ["applied"] + ["repeated"] * (AT_ONCE - 1)
    assert facts(ledger, account).past_due == 10_000


@pytest.mark.parametrize("act", [pay, take_back])
def test_money_waits_for_a_contact_that_is_being_decided(ledger: Ledger, act: Callable[..., Posted]) -> None:
    account = ledger.loan()
    (case,) = ledger.open().cases
    if act is take_back:
        pay(ledger, account)
    entries = ledger.one("SELECT count(*) FROM ledger_entries")
    with ledger.decides(account) as waiting, ThreadPoolExecutor(1) as pool:
        posting = pool.submit(act, ledger, account)
        waiting()
        assert ledger.one("SELECT count(*) FROM ledger_entries") == entries
        ledger.release()
        assert posting.result(timeout=60).case_key == case.state.case_key


def test_whoever_posts_is_told_what_is_in_flight(ledger: Ledger) -> None:
    account, other = ledger.loan(), ledger.loan("L2")
    cases = [case.state.case_key for case in ledger.open().cases]
    for number, (case, whose, status) in enumerate(
        [(cases[0], account, "dispatching"), (cases[0], account, "sent"), (cases[1], other, "dispatching")], start=1
    ):
        key = f"{case}/{number}"
        ledger.run(
            "INSERT INTO attempts (key, case_key, seq, channel, status, due_at) VALUES (%s, %s, %s, 'sms', %s, %s)",
            key, case, number, status, AT,
        )  # fmt: skip
        ledger.run("INSERT INTO attempt_accounts (attempt_key, account_key) VALUES (%s, %s)", key, whose)
    posted = pay(ledger, account)
    assert posted.case_key == cases[0]
    assert posted.in_flight == (f"{cases[0]}/1",)
    assert pay(ledger, other, "P2").in_flight == (f"{cases[1]}/3",)


@pytest.mark.parametrize(
    ("held", "said", "left"),
    [
        ("dispatching", "sent", "sent"),
        ("dispatching", "delivered", "delivered"),
        ("unknown", "delivered", "delivered"),
        ("unknown", "failed", "failed"),
        ("sent", "undelivered", "undelivered"),
        ("sent", "sent", "sent"),
        ("delivered", "failed", "delivered"),
        ("delivered", "undelivered", "undelivered"),
        ("failed", "delivered", "delivered"),
        ("failed", "sent", "failed"),
        ("answered", "undelivered", "answered"),
        ("retryable", "sent", "sent"),
        ("refused", "delivered", "refused"),
        ("deferred", "sent", "deferred"),
    ],
)
def test_a_status_never_goes_back_and_unknown_becomes_known(ledger: Ledger, held: str, said: Any, left: str) -> None:  # noqa: ANN401
    ledger.loan()
    (case,) = ledger.open().cases
    key = f"{case.state.case_key}/1"
    ledger.run(
        "INSERT INTO attempts (key, case_key, seq, channel, status, due_at) VALUES (%s, %s, 1, 'sms', %s, %s)",
        key, case.state.case_key, held, AT,
    )  # fmt: skip
    with ledger.engine.begin() as connection:
        changed = record_receipt(connection, key, said, datetime(2026, 3, 11, tzinfo=UTC), "SM1", None)
    assert ledger.one("SELECT status FROM attempts") == left
    assert (changed is not None) is (held != left)
    assert ledger.one("SELECT count(*) FROM case_events WHERE kind = 'receipt'") == int(changed is not None)
