"""Bulk operations: exactly what was shown, for exactly these cases, whatever happens in between."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from db.bulk import Operation
from db.signals import due
from desk import bulk
from domain.bulk import BulkAction, BulkError, BulkOrder, BulkStatus
from domain.codes import CloseReason, HoldReason
from domain.roles import Acting, NotAllowedError, Role
from domain.scope import parse_scope
from tests.db.conftest import AT, Ledger
from tests.desk.conftest import People

OPS, LEAD, OTHER, AGENT = (
    Acting("ops/1", Role.OPS),
    Acting("lead/1", Role.SUPERVISOR),
    Acting("lead/2", Role.SUPERVISOR),
    Acting("agent/1", Role.AGENT),
)
HEAD = "account_id,debtor_id,product,currency,amount,due_date,timezone,creditor_id,region"
NOW = AT + timedelta(minutes=1)


@pytest.fixture
def portfolio(ledger: Ledger, people: People) -> Ledger:
    """Open 60 cases: 40 of a bank (20 in dollars, 20 in euros), 20 of a shop; each third debtor has two."""
    rows = []
    for number in range(60):
        creditor = "bank" if number < 40 else "shop"
        currency = "USD" if number % 2 else "EUR"
        amount, due_on = 100 + number, "2026-03-01" if number % 4 else "2026-01-20"
        debtor = number - number % 3
        rows.append(f"L{number},K{debtor},loan,{currency},{amount},{due_on},America/Chicago,{creditor},US-IL")
    ledger.accounts(*rows, head=HEAD)
    ledger.open()
    for one in (OPS, LEAD, OTHER, AGENT):
        people(one.actor, one.role)
    people("agent/2", skills=("north",))
    return ledger


def _order(where: str = "creditor: bank", action: BulkAction = BulkAction.HOLD, **more: Any) -> BulkOrder:  # noqa: ANN401
    if action is BulkAction.HOLD:
        more = {"hold_reason": HoldReason.OTHER, **more}
    return BulkOrder(action, parse_scope(where), **more)


def _confirmed(engine: Engine, order: BulkOrder, acting: Acting = OPS, above: int = 1000) -> Operation:
    shown = bulk.preview(engine, acting, order, NOW, approval_above=above)
    return bulk.confirm(engine, acting, order, shown.fingerprint, NOW, approval_above=above)


def _done(engine: Engine, order: BulkOrder, acting: Acting = OPS) -> Operation:
    operation = _confirmed(engine, order, acting)
    return bulk.run(engine, acting, operation.key, lambda: NOW, at_once=7)


# --- what is shown --------------------------------------------------------------------------------------------------


def test_a_preview_counts_and_sums_what_it_would_concern(portfolio: Ledger) -> None:
    shown = bulk.preview(portfolio.engine, OPS, _order(), NOW, approval_above=39)
    assert shown.cases == 40
    assert shown.by["creditor"] == {"bank": 40}
    assert shown.by["currency"] == {"EUR": 20, "USD": 20}
    assert shown.by["bucket"] == {"M1": 30, "M2": 10}
    assert shown.money == {
        "EUR": 100 * sum(100 + n for n in range(0, 40, 2)),
        "USD": 100 * sum(100 + n for n in range(1, 40, 2)),
    }
    assert len(shown.sample) == 5
    assert shown.needs_second


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("all", range(60)),
        ("creditor: shop, currency: USD", range(41, 60, 2)),
        ("creditor: {none_of: shop}", range(40)),
        ("bucket: M2", range(0, 60, 4)),
        ("dpd: {at_least: 40}", range(0, 60, 4)),
        ("past_due: {at_least: {USD: 150}}", range(51, 60, 2)),
        ("past_due: {below: {USD: 103, EUR: 103}}", (0, 1, 2)),
        ("account: [L7, L59, nobody]", (7, 59)),
        ("debtor: K0", (0, 1, 2)),
        ("region: US, held: no, currency: EUR, creditor: shop", range(40, 60, 2)),
        ("score: {below: 500}", ()),
        ("stage: {none_of: [writing]}", ()),
        ("days_open: {below: 1}, tries: {below: 1}, item_open: no, email_known: no", range(60)),
        ("strategy: ladder, strategy_version: {at_least: 1}, next_channel: email", range(60)),
    ],
)
def test_a_condition_chooses_exactly_these(portfolio: Ledger, where: str, numbers: Any) -> None:  # noqa: ANN401
    found = bulk.preview(portfolio.engine, OPS, _order(where), NOW, approval_above=1000)
    operation = None
    if found.cases:
        operation = bulk.confirm(portfolio.engine, OPS, _order(where), found.fingerprint, NOW, approval_above=1000)
    rows = bulk.report(portfolio.engine, operation.key).rows if operation else []
    assert {row.account for row in rows} == {f"L{number}" for number in numbers}
    assert found.cases == len(rows)


# --- what is confirmed ----------------------------------------------------------------------------------------------


def test_exactly_what_was_shown_is_held_and_told(portfolio: Ledger) -> None:
    operation = _done(portfolio.engine, _order())
    assert operation.status is BulkStatus.DONE
    held = portfolio.rows(
        "SELECT k.creditor, count(*) FROM holds h JOIN cases k ON k.account_key = h.account_key GROUP BY 1"
    )
    assert held == [("bank", 40)]
    events = portfolio.rows(
        "SELECT body::jsonb ->> 'actor', body::jsonb ->> 'role', body::jsonb ->> 'bulk' FROM case_events WHERE kind = 'hold'"
    )
    assert events == [("ops/1", "ops", operation.key)] * 40
    with portfolio.engine.connect() as connection:
        told = due(connection, NOW, 1000)
    assert {(one.name, one.body["event_id"]) for one in told} == {("ledger_changed", f"bulk/{operation.key}")}
    assert len({one.case_key for one in told}) == 40


def test_a_scope_that_changed_since_is_refused(portfolio: Ledger) -> None:
    order = _order("creditor: bank, held: no")
    shown = bulk.preview(portfolio.engine, OPS, order, NOW, approval_above=1000)
    _done(portfolio.engine, _order("account: L3"))
    with pytest.raises(BulkError, match="not what would be done now \\(39 cases\\)"):
        bulk.confirm(portfolio.engine, OPS, order, shown.fingerprint, NOW, approval_above=1000)
    assert portfolio.one("SELECT count(*) FROM bulk_operations") == 1


@pytest.mark.parametrize(
    "other",
    [
        _order(hold_reason=HoldReason.DISPUTE),
        _order(until=NOW + timedelta(days=3)),
        _order("creditor: shop"),
        _order(action=BulkAction.PAUSE),
    ],
)
def test_a_fingerprint_confirms_nothing_else(portfolio: Ledger, other: BulkOrder) -> None:
    shown = bulk.preview(portfolio.engine, OPS, _order(), NOW, approval_above=1000)
    with pytest.raises(BulkError, match="not what would be done now"):
        bulk.confirm(portfolio.engine, OPS, other, shown.fingerprint, NOW, approval_above=1000)


def test_confirmed_twice_it_is_done_once_and_a_new_preview_is_a_new_operation(portfolio: Ledger) -> None:
    order = _order()
    shown = bulk.preview(portfolio.engine, OPS, order, NOW, approval_above=1000)
    first = bulk.confirm(portfolio.engine, OPS, order, shown.fingerprint, NOW, approval_above=1000)
    bulk.run(portfolio.engine, OPS, first.key, lambda: NOW)
    again = bulk.confirm(portfolio.engine, OPS, order, shown.fingerprint, NOW, approval_above=1000)
    assert again.key == first.key
    bulk.run(portfolio.engine, OPS, again.key, lambda: NOW)
    assert portfolio.one("SELECT count(*) FROM holds") == 40
    second = _confirmed(portfolio.engine, order)
    assert second.key != first.key


# --- what happens in between ----------------------------------------------------------------------------------------


def test_a_run_that_is_cut_off_goes_on_where_it_stood(portfolio: Ledger) -> None:
    operation = _confirmed(portfolio.engine, _order())

    class CutOffError(Exception):
        pass

    def cut(done: int, _all: int) -> None:
        if done >= 14:
            raise CutOffError

    with pytest.raises(CutOffError):
        bulk.run(portfolio.engine, OPS, operation.key, lambda: NOW, progress=cut, at_once=7)
    standing = bulk.standing_of(portfolio.engine, operation)
    assert standing.items == {"done": 14, "pending": 26}
    assert portfolio.one("SELECT count(*) FROM holds") == 14, "a page is whole or not at all"
    done = bulk.run(portfolio.engine, OPS, operation.key, lambda: NOW, at_once=7)
    assert done.status is BulkStatus.DONE
    assert portfolio.one("SELECT count(DISTINCT account_key) FROM holds") == 40
    assert portfolio.one("SELECT count(*) FROM holds") == 40


def test_a_case_that_closed_meanwhile_is_left_and_named(portfolio: Ledger) -> None:
    operation = _confirmed(portfolio.engine, _order())
    portfolio.run(
        "UPDATE cases SET status = 'closed', stage = 'closed', closed_at = opened_at, close_reason = 'paid' "
        "WHERE account_key IN (SELECT key FROM accounts WHERE external_id = 'L5')"
    )
    bulk.run(portfolio.engine, OPS, operation.key, lambda: NOW)
    report = bulk.report(portfolio.engine, operation.key)
    assert report.standing.items == {"done": 39, "skipped": 1}
    assert report.why == {"skipped: closed meanwhile": 1}
    assert [row.account for row in report.rows if row.status == "skipped"] == ["L5"]
    assert portfolio.one("SELECT count(*) FROM holds") == 39, "a closed case is left as it is"


def test_a_case_that_resists_is_named_and_leaves_the_others_alone(portfolio: Ledger) -> None:
    portfolio.run(
        "CREATE FUNCTION resist() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.account_key = (SELECT key FROM accounts WHERE external_id = 'L9') THEN RAISE EXCEPTION 'no'; END IF; "
        "RETURN NEW; END $$"
    )
    portfolio.run("CREATE TRIGGER resist BEFORE INSERT ON holds FOR EACH ROW EXECUTE FUNCTION resist()")
    operation = _done(portfolio.engine, _order())
    report = bulk.report(portfolio.engine, operation.key)
    assert report.standing.items == {"done": 39, "failed": 1}
    assert report.why == {"failed: RaiseException": 1}
    assert operation.status is BulkStatus.DONE
    portfolio.run("DROP TRIGGER resist ON holds")
    bulk.run(portfolio.engine, OPS, operation.key, lambda: NOW, retry_failed=True)
    assert bulk.standing_of(portfolio.engine, operation).items == {"done": 40}
    assert portfolio.one("SELECT count(*) FROM holds") == 40


def test_two_who_run_it_at_once_do_it_once(portfolio: Ledger) -> None:
    operation = _confirmed(portfolio.engine, _order())

    def other(done: int, _all: int) -> None:
        if done == 7:
            bulk.run(portfolio.engine, LEAD, operation.key, lambda: NOW, at_once=5)

    bulk.run(portfolio.engine, OPS, operation.key, lambda: NOW, progress=other, at_once=7)
    assert portfolio.one("SELECT count(*) FROM holds") == 40
    assert bulk.standing_of(portfolio.engine, operation).items == {"done": 40}


def test_cancelled_it_stops_and_what_was_done_can_be_taken_back(portfolio: Ledger) -> None:
    operation = _confirmed(portfolio.engine, _order())

    def stop(done: int, _all: int) -> None:
        if done == 14:
            bulk.cancel(portfolio.engine, OPS, operation.key, NOW)

    after = bulk.run(portfolio.engine, OPS, operation.key, lambda: NOW, progress=stop, at_once=7)
    assert (after.status, after.cancelled_by) == (BulkStatus.CANCELLED, "ops/1")
    assert bulk.standing_of(portfolio.engine, operation).items == {"cancelled": 26, "done": 14}
    _done(portfolio.engine, _order("all", BulkAction.RELEASE, of=operation.key))
    assert portfolio.one("SELECT count(*) FROM holds WHERE released_at IS NULL") == 0
    assert portfolio.one("SELECT count(*) FROM case_events WHERE kind = 'released'") == 14
    with pytest.raises(BulkError, match="is over"):
        bulk.cancel(portfolio.engine, OPS, operation.key, NOW)


def test_a_page_waits_for_an_admission_and_then_holds(portfolio: Ledger) -> None:
    """The page and an admission take the same locks: a contact is before the hold, or it is not made."""
    operation = _confirmed(portfolio.engine, _order("account: [L3, L4]"))
    account = portfolio.one("SELECT key FROM accounts WHERE external_id = 'L3'")
    with ThreadPoolExecutor(1) as thread:
        with portfolio.decides(account) as somebody_waits:
            running = thread.submit(bulk.run, portfolio.engine, OPS, operation.key, lambda: NOW)
            somebody_waits()
            assert portfolio.one("SELECT count(*) FROM holds") == 0
        assert running.result().status is BulkStatus.DONE
    assert portfolio.one("SELECT count(*) FROM holds") == 2


# --- each action ----------------------------------------------------------------------------------------------------


def test_pause_and_resume_are_each_others_end(portfolio: Ledger) -> None:
    _done(portfolio.engine, _order("creditor: shop", BulkAction.PAUSE))
    assert portfolio.rows("SELECT reason, count(*) FROM holds WHERE released_at IS NULL GROUP BY 1") == [("paused", 20)]
    _done(portfolio.engine, _order("held: yes", BulkAction.RESUME))
    assert portfolio.one("SELECT count(*) FROM holds WHERE released_at IS NULL") == 0


def test_closing_is_decided_for_the_account_and_the_case_is_told(portfolio: Ledger) -> None:
    order = _order("creditor: shop", BulkAction.CLOSE, close_reason=CloseReason.UNCOLLECTABLE)
    operation = _done(portfolio.engine, order, LEAD)
    assert portfolio.rows("SELECT closing, count(*) FROM accounts WHERE closing IS NOT NULL GROUP BY 1") == [
        ("uncollectable", 20)
    ]
    assert portfolio.one("SELECT count(*) FROM case_events WHERE kind = 'closing'") == 20
    again = _done(portfolio.engine, order, LEAD)
    assert bulk.report(portfolio.engine, again.key).why == {"skipped: closing already": 20}
    assert operation.cases == 20


def test_a_hold_that_a_state_event_placed_is_not_released_in_bulk(portfolio: Ledger) -> None:
    portfolio.run(
        "INSERT INTO holds (reason, scope, account_key, from_at, event_id) "
        "SELECT 'other', 'account', key, created_at, 'state/' || key FROM accounts WHERE external_id = 'L1'"
    )
    operation = _done(portfolio.engine, _order("account: L1", BulkAction.RELEASE, hold_reason=HoldReason.OTHER))
    assert bulk.report(portfolio.engine, operation.key).why == {"skipped: no such hold stands": 1}


def test_open_items_are_assigned_and_a_claim_is_left_alone(portfolio: Ledger) -> None:
    portfolio.run(
        "INSERT INTO work_items (kind, status, claimed_by, lease_until, created_at) "
        "VALUES ('review', 'claimed', 'agent/9', %s, %s), ('review', 'done', NULL, NULL, %s)",
        AT,
        AT,
        AT,
    )
    portfolio.run(
        "INSERT INTO work_item_cases (item_key, case_key, asked_at) SELECT w.key, k.key, %s FROM work_items w, cases k "
        "JOIN accounts a ON a.key = k.account_key WHERE a.external_id = 'L1'",
        AT,
    )
    operation = _done(portfolio.engine, _order("account: [L1, L2]", BulkAction.ASSIGN, assignee="north"))
    assert portfolio.rows("SELECT status, assigned_to, claimed_by FROM work_items ORDER BY key") == [
        ("claimed", "north", "agent/9"),
        ("done", None, None),
    ]
    assert bulk.standing_of(portfolio.engine, operation).items == {"done": 1, "skipped": 1}
    assert portfolio.one("SELECT count(*) FROM signals") == 0


# --- who may --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acting", "order"),
    [
        (AGENT, _order()),
        (OPS, _order(action=BulkAction.CLOSE, close_reason=CloseReason.RECALLED)),
        (OPS, _order(action=BulkAction.ADOPT_STRATEGY, strategy_digest="d")),
        (OPS, _order(action=BulkAction.RELEASE, hold_reason=HoldReason.DISPUTE)),
    ],
)
def test_who_may_not_is_refused_before_anything_is_read(portfolio: Ledger, acting: Acting, order: BulkOrder) -> None:
    for act in (
        lambda: bulk.preview(portfolio.engine, acting, order, NOW, approval_above=9),
        lambda: bulk.confirm(portfolio.engine, acting, order, "f", NOW, approval_above=9),
    ):
        with pytest.raises(NotAllowedError):
            act()


def test_above_the_limit_a_second_person_decides(portfolio: Ledger) -> None:
    operation = _confirmed(portfolio.engine, _order(), LEAD, above=39)
    assert operation.status is BulkStatus.WAITING
    refused: list[Callable[[], object]] = [
        lambda: bulk.approve(portfolio.engine, LEAD, operation.key, NOW),
        lambda: bulk.approve(portfolio.engine, OPS, operation.key, NOW),
    ]
    for act in refused:
        with pytest.raises(NotAllowedError):
            act()
    with pytest.raises(BulkError, match="waits for a second person"):
        bulk.run(portfolio.engine, LEAD, operation.key, lambda: NOW)
    assert portfolio.one("SELECT count(*) FROM holds") == 0
    bulk.approve(portfolio.engine, OTHER, operation.key, NOW)
    assert bulk.run(portfolio.engine, LEAD, operation.key, lambda: NOW).status is BulkStatus.DONE
    assert portfolio.one("SELECT count(*) FROM holds") == 40


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (BulkOrder(BulkAction.HOLD, parse_scope("all")), "bulk hold needs --reason"),
        (_order(until=datetime(2020, 1, 1, tzinfo=UTC)), "lies in the past"),
        (_order("account: nobody"), "nothing to do"),
        (_order(action=BulkAction.ASSIGN, assignee="south"), "no agent has this code or skill"),
        (_order(action=BulkAction.RELEASE, of="B000000099"), "no bulk operation"),
        (_order(action=BulkAction.CLOSE, close_reason=CloseReason.PAID), "only the ledger can say"),
    ],
)
def test_an_order_that_cannot_be_says_how_to_mend_it(portfolio: Ledger, order: BulkOrder, words: str) -> None:
    with pytest.raises(BulkError, match=words):
        _confirmed(portfolio.engine, order, LEAD)
