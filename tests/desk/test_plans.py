"""Plans at the desk: offered, approved by a second person, renegotiated, settled and taken back, in the real ledger."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from db.arrangements import Agreed, PlanOrder, agree, promise, promise_order, write_news
from db.facts import AccountReading, read_account
from db.ledger import post_payment, reverse_payment
from db.locks import lock_persons
from db.statements import Statement
from desk import approvals, deciding, plans
from domain.approvals import Verdict
from domain.arrangements import ArrangementKind, Covers, Line, Standing
from domain.plan_file import parse_plans
from domain.plans import PlanBook, PlanError, Proposal
from domain.roles import Acting, NotAllowedError, Role
from tests.db.conftest import AT, Ledger
from tests.desk.conftest import People
from tests.workflows.plans import POLICIES

BOOK = parse_plans(
    POLICIES
    + """
  - name: re-aged
    kind: instalments
    segment: {}
    covers: [past_due]
    lines: {at_least: 2, at_most: 12}
    longest: {months: 12}
    dpd_effect: re-age
    re_age: {after_lines: 1, once_in_months: 12}
""",
    "plans.yaml",
)
SYSTEM = Acting("system", Role.SYSTEM)
ACCOUNT, CASE = "A000000001", "A000000001/1"
TODAY = date(2026, 3, 10)


class Desk:
    """One account with a case, and what may be done to it at an instant."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.engine = ledger, ledger.engine
        self._numbers = 0
        ledger.loan()
        ledger.open()

    def number(self) -> str:
        self._numbers += 1
        return f"test/{self._numbers}"

    def reading(self, at: datetime) -> AccountReading:
        """Read the account as a case does: how arrangements stand is written first."""
        with self.engine.begin() as connection:
            lock_persons(connection, [ACCOUNT])
            found = read_account(connection, ACCOUNT, at, logical=False)
            write_news(connection, CASE, found, at)
            return read_account(connection, ACCOUNT, at, logical=False)

    def agree(self, kind: str, *lines: tuple[date, int], at: datetime = AT, **more: Any) -> Agreed:  # noqa: ANN401
        numbered = tuple(Line(no, on, amount) for no, (on, amount) in enumerate(lines, start=1))
        discount = more.pop("discount", 0)
        covers = Covers(more.pop("covers", "past_due"))
        covered = sum(amount for _, amount in lines) + discount
        proposal = Proposal(ArrangementKind(kind), covers, covered, numbered, discount)
        order = PlanOrder(CASE, ACCOUNT, proposal, more.pop("event_id", self.number()), at, **more)
        with self.engine.begin() as connection:
            lock_persons(connection, [ACCOUNT])
            return agree(connection, order, BOOK, read_account(connection, ACCOUNT, at, logical=False))

    def pay(self, amount: int, on: date, *, at: datetime, name: str = "P1") -> None:
        with self.engine.begin() as connection:
            post_payment(
                connection, account_key=ACCOUNT, external_id=name, amount=amount, currency="USD", value_on=on,
                received_at=at, source="test",
            )  # fmt: skip

    def give_back(self, on: date, *, at: datetime, name: str = "P1") -> None:
        with self.engine.begin() as connection:
            reverse_payment(
                connection, account_key=ACCOUNT, payment_id=name, reason="returned", received_at=at, value_on=on,
                source="test",
            )  # fmt: skip


@pytest.fixture
def desk(ledger: Ledger) -> Desk:
    return Desk(ledger)


def later(days: int) -> datetime:
    return AT + timedelta(days=days)


def on(days: int) -> date:
    return TODAY + timedelta(days=days)


# --- offers ---------------------------------------------------------------------------------------------------------


def test_what_the_debtor_says_is_kept_with_its_source_and_offers_follow(desk: Desk, people: People) -> None:
    ann = people("ann")
    said = Statement(3_400, "documents", {"wages": 200_000}, {"rent": 90_000, "food": 60_000}, "papers/7")
    found = plans.offer(desk.engine, ann, CASE, said, BOOK, at=AT, event_id="o1")
    rows = desk.ledger.rows(
        "SELECT key, source, taken_by, taken_at, currency, income, spending, monthly, evidence_ref FROM income_statements"
    )
    assert rows == [
        (
            found.statement, "documents", "ann", AT, "USD", {"wages": 200_000}, {"rent": 90_000, "food": 60_000}, 3_400,
            "papers/7",
        )
    ]  # fmt: skip
    watched = next(one for one in found.offers if one.policy == "watched")
    assert [line.amount for line in watched.proposal.lines] == [3_334, 3_333, 3_333]
    assert said.left == 50_000
    assert "200" not in repr(said)
    with pytest.raises(PlanError, match="more than nothing"):
        plans.offer(desk.engine, ann, CASE, Statement(0, "self_declared"), BOOK, at=AT, event_id="o2")
    with pytest.raises(NotAllowedError):
        plans.offer(desk.engine, people("olga", Role.OPS), CASE, said, BOOK, at=AT, event_id="o3")


# --- four eyes ------------------------------------------------------------------------------------------------------


def test_above_the_limit_it_begins_when_a_second_person_approves_and_not_before(desk: Desk, people: People) -> None:
    ann, sue, sam = people("ann"), people("sue", Role.SUPERVISOR), people("sam", Role.SUPERVISOR)
    made = desk.agree("instalments", *((on(5 + 20 * no), 2_500) for no in range(4)), by="sue")
    assert (made.status, made.approval) == ("proposed", "lines")
    facts = desk.reading(later(1)).facts
    assert facts.plan is not None
    assert (facts.plan.standing, facts.plan.rests) == (Standing.PROPOSED, True)
    (key,) = [one.key for one in approvals.questions(desk.engine, sue)]
    for who in (ann, sue):
        with pytest.raises(NotAllowedError):
            deciding.decide(desk.engine, who, key, Verdict.APPROVED, at=later(1))
    assert desk.ledger.one("SELECT status FROM arrangements") == "proposed"
    deciding.decide(desk.engine, sam, key, Verdict.APPROVED, at=later(1))
    assert desk.ledger.rows("SELECT status, approved_by, starts_at FROM arrangements") == [("active", "sam", later(1))]
    assert desk.ledger.one("SELECT count(*) FROM signals WHERE name = 'ledger_changed'") == 1
    facts = desk.reading(later(1)).facts
    assert facts.plan is not None
    assert facts.plan.standing is Standing.ON_TRACK


def test_what_is_returned_is_refused_and_the_ladder_goes_on(desk: Desk, people: People) -> None:
    sam = people("sam", Role.SUPERVISOR)
    desk.agree("instalments", *((on(5 + 20 * no), 2_500) for no in range(4)), by="ann")
    (key,) = [one.key for one in approvals.questions(desk.engine, sam)]
    deciding.decide(desk.engine, sam, key, Verdict.RETURNED, at=later(1), reason="too_long")
    assert desk.ledger.rows("SELECT status, end_reason FROM arrangements") == [("refused", "too_long")]
    assert desk.reading(later(1)).facts.plan is None


def test_an_undecided_proposal_that_expired_is_approved_by_nobody(desk: Desk, people: People) -> None:
    sam = people("sam", Role.SUPERVISOR)
    desk.agree("instalments", *((on(5 + 20 * no), 2_500) for no in range(4)), by="ann")
    assert desk.reading(later(6)).facts.plan is None
    (key,) = [one.key for one in approvals.questions(desk.engine, sam)]
    with pytest.raises(ValueError, match="no more"):
        deciding.decide(desk.engine, sam, key, Verdict.APPROVED, at=later(6))
    assert desk.ledger.one("SELECT status FROM arrangements") == "expired"
    assert desk.ledger.one("SELECT count(*) FROM approvals WHERE decided_at IS NULL") == 1


# --- money ----------------------------------------------------------------------------------------------------------


def test_a_settlement_waives_when_it_is_paid_and_takes_the_waiver_back_when_its_money_comes_back(desk: Desk) -> None:
    desk.agree("settlement", (on(10), 6_000), discount=4_000, covers="balance")
    assert desk.reading(later(1)).facts.balance == 10_000
    desk.pay(6_000, on(9), at=later(9))
    paid = desk.reading(later(9)).facts
    assert (paid.balance, paid.past_due, str(paid.closing)) == (0, 0, "settled")
    assert desk.ledger.one("SELECT status FROM arrangements") == "settled"
    desk.give_back(on(12), at=later(12))
    back = desk.reading(later(12)).facts
    assert (back.balance, back.past_due, back.closing) == (10_000, 10_000, None)
    assert desk.ledger.one("SELECT status FROM arrangements") == "expired"
    kinds = desk.ledger.rows("SELECT kind, amount FROM ledger_entries ORDER BY id")
    assert kinds == [("payment", 6_000), ("waiver", 4_000), ("reversal", 6_000), ("reversal", 4_000)]
    desk.pay(6_000, on(10), at=later(13), name="P2")
    again = desk.reading(later(13)).facts
    assert (again.balance, desk.ledger.one("SELECT status FROM arrangements")) == (0, "settled")


def test_money_in_time_that_becomes_known_late_mends_a_broken_promise(desk: Desk) -> None:
    desk.agree("promise", (on(3), 10_000))
    broken = desk.reading(later(4)).facts
    assert broken.plan_end is not None
    assert broken.plan_end.standing is Standing.BROKEN
    assert desk.ledger.one("SELECT status FROM arrangements") == "broken"
    desk.pay(10_000, on(3), at=later(5))
    assert desk.reading(later(5)).facts.past_due == 0
    assert desk.ledger.one("SELECT status FROM arrangements") == "kept"
    desk.give_back(on(8), at=later(8))
    desk.reading(later(8))
    assert desk.ledger.one("SELECT status FROM arrangements") == "broken"


def test_money_that_was_known_before_does_not_count_for_what_is_agreed_after(desk: Desk) -> None:
    desk.pay(4_000, on(-2), at=AT - timedelta(hours=1))
    assert desk.agree("promise", (on(3), 6_000)).status == "active"
    assert desk.reading(later(4)).plans.end is not None
    assert desk.ledger.one("SELECT status FROM arrangements") == "broken"


# --- what stands beside it ------------------------------------------------------------------------------------------


def test_renegotiated_the_new_one_stands_and_what_was_paid_stays(desk: Desk) -> None:
    first = desk.agree("instalments", (on(5), 5_000), (on(30), 5_000))
    assert desk.agree("promise", (on(9), 10_000)).refusal == "stands_already"
    desk.pay(5_000, on(5), at=later(5))
    second = desk.agree("instalments", (on(20), 2_500), (on(45), 2_500), at=later(10), renegotiates=True)
    assert desk.ledger.rows("SELECT key, status, replaces FROM arrangements ORDER BY key") == [
        (first.key, "replaced", None),
        (second.key, "active", first.key),
    ]
    shown = plans.show(desk.engine, SYSTEM, CASE, at=later(11))
    assert [(one.key, one.stands.paid) for one in shown] == [(second.key, 0), (first.key, 5_000)]
    plan = desk.reading(later(11)).facts.plan
    assert plan is not None
    assert (plan.key, plan.amount, plan.due_on) == (second.key, 2_500, on(20))
    desk.pay(5_000, on(19), at=later(19), name="P2")
    desk.reading(later(19))
    assert desk.ledger.one("SELECT status FROM arrangements WHERE key = %s", second.key) == "paid_early"
    assert desk.ledger.one("SELECT status FROM arrangements WHERE key = %s", first.key) == "replaced"


def test_the_same_event_agrees_once(desk: Desk) -> None:
    one = desk.agree("promise", (on(3), 10_000), event_id="same")
    two = desk.agree("promise", (on(4), 10_000), event_id="same")
    assert one == two
    assert desk.ledger.one("SELECT count(*) FROM arrangements") == 1


def test_cancelled_the_ladder_goes_on_the_day_after_and_a_second_cancel_does_nothing(desk: Desk) -> None:
    made = desk.agree("promise", (on(9), 10_000))
    assert made.key is not None
    assert plans.cancel(desk.engine, SYSTEM, made.key, reason="debtor_asked", at=later(2))
    assert not plans.cancel(desk.engine, SYSTEM, made.key, reason="debtor_asked", at=later(2))
    end = desk.reading(later(2)).facts.plan_end
    assert end is not None
    assert (end.standing, end.at) == (Standing.CANCELLED, datetime(2026, 3, 13, 5, tzinfo=UTC))
    with pytest.raises(PlanError, match="no arrangement"):
        plans.cancel(desk.engine, SYSTEM, "R999", reason="x", at=later(2))


def test_days_past_due_stand_still_under_a_deferral_and_jump_when_it_breaks(desk: Desk) -> None:
    before = desk.reading(AT).facts.dpd
    desk.agree("deferral", (on(60), 10_000))
    assert desk.reading(later(40)).facts.dpd == before
    assert desk.reading(later(63)).facts.dpd == before
    assert desk.reading(later(64)).facts.dpd == before + 64


def test_re_aged_after_a_kept_line_and_not_again_within_the_year(desk: Desk) -> None:
    made = desk.agree("instalments", (on(5), 5_000), (on(30), 5_000), policy="re-aged")
    assert made.status == "active"
    assert desk.reading(later(4)).facts.dpd == 9 + 4
    desk.pay(5_000, on(5), at=later(5))
    assert desk.reading(later(8)).facts.dpd == 3
    broken = desk.reading(later(31)).facts
    assert (broken.dpd, desk.ledger.one("SELECT status FROM arrangements")) == (26, "broken")
    again = desk.agree("instalments", (on(40), 2_500), (on(65), 2_500), at=later(32), policy="re-aged")
    assert (again.refusal, "re-aged on 2026-03-15" in again.reason) == ("breach", True)


def test_a_promise_is_written_down_as_it_was_said_and_beyond_the_policy_a_second_person_looks(desk: Desk) -> None:
    with desk.engine.begin() as connection:
        lock_persons(connection, [ACCOUNT])
        reading = read_account(connection, ACCOUNT, AT, logical=False)
        case = desk.ledger.open().cases
        assert case == ()
        state = _state(reading)
        far = promise_order(state, amount=10_000, on=on(90), event_id="far", at=AT, by="ann")
        assert promise(connection, far, BOOK, reading).approval == "policy"
        gone = promise_order(state, amount=10_000, on=on(-1), event_id="gone", at=AT, by="ann")
        assert promise(connection, gone, PlanBook(), reading).refusal == "stands_already"
    assert desk.ledger.rows("SELECT status, approval FROM arrangements") == [("proposed", "policy")]


def _state(reading: AccountReading) -> Any:  # noqa: ANN401 - only what a promise needs of it
    from domain.case import CaseState, Cursor

    return CaseState(
        case_key=CASE, account_key=ACCOUNT, now=AT, opened_at=AT, facts=reading.facts, cursor=Cursor(step_done_at=AT)
    )
