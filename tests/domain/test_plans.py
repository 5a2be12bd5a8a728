"""Plan policies: mistakes are named by line, offers keep to the policy, and limits hold to the unit and the day."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.arrangements import ArrangementKind, Covers, DpdEffect, Line, due_days, lay_out
from domain.facts import Facts
from domain.plan_file import parse_plans
from domain.plans import Before, PlanBook, PlanPolicy, Proposal, breaches, needs_approval, offers
from domain.strategy_file import StrategyError

FILE = Path(__file__).resolve().parents[2] / "policies" / "plans.yaml"
BOOK = parse_plans(FILE.read_text(encoding="utf-8"), "plans.yaml")
TODAY = date(2026, 3, 10)


def facts(*, past_due: int = 60_000, balance: int = 200_000, dpd: int = 45, **more: object) -> Facts:
    values = {
        "as_of": datetime(2026, 3, 10, 15, tzinfo=UTC), "currency": "USD", "past_due": past_due, "balance": balance,
        "oldest_due_on": TODAY - timedelta(days=dpd), "dpd": dpd, "zone": "America/Chicago", "region": "US-IL",
        "product": "loan",
    }  # fmt: skip
    return Facts.model_validate({**values, **more})


def policy(name: str) -> PlanPolicy:
    return next(one for one in BOOK.policies if one.name == name)


# --- the file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "line", "said"),
    [
        ("colour: red", 5, "unknown key 'colour'"),
        ("longest: {years: 5}", 5, "unknown key 'years'"),
        ("longest: {months: 5, days: 3}", 5, "either 'months' or 'days'"),
        ("longest: {months: 500}", 5, "500"),
        ("discount_at_most_percent: 20", 4, "settlement"),
        ("dpd_effect: melt", 5, "melt"),
        ("least_line: {DOLLARS: 5}", 5, "not an amount"),
        ("approval: {amount_above: lots}", 5, "not an amount"),
        ("reminder: {days_before: 2, chanels: [sms]}", 5, "did you mean 'channels'"),
        ("segment: {colour: red}", 5, "unknown fact"),
    ],
)
def test_a_mistake_is_named_by_line(wrong: str, line: int, said: str) -> None:
    text = f"version: 1\npolicies:\n\n  - name: one\n    {wrong}\n    kind: instalments\n"
    for key, value in {"segment": "{}", "longest": "{days: 30}"}.items():
        text += "" if wrong.startswith(f"{key}:") else f"    {key}: {value}\n"
    with pytest.raises(StrategyError) as raised:
        parse_plans(text, "plans.yaml")
    found = str(raised.value)
    assert f"plans.yaml:{line}:" in found
    assert said in found


def test_chinese_credit_cards_may_be_given_sixty_months() -> None:
    card = facts(region="CN", product="credit_card", currency="CNY", balance=6_000_000, past_due=900_000)
    found = offers(BOOK, card, TODAY, monthly=100_000)
    personalised = next(one for one in found if one.policy == "cn-card-personalised")
    assert len(personalised.proposal.lines) == 60
    assert personalised.proposal.lines[-1].due_on <= date(2031, 3, 10)
    assert (personalised.interest, personalised.dpd_effect) == ("suspended", DpdEffect.FREEZE)
    assert personalised.approval == "always"
    assert not [one for one in offers(BOOK, card, TODAY, monthly=99_999) if one.policy == "cn-card-personalised"]


# --- offers ---------------------------------------------------------------------------------------------------------


@given(
    past_due=st.integers(1, 3_000_000),
    more=st.integers(0, 3_000_000),
    dpd=st.integers(1, 400),
    monthly=st.integers(1, 400_000),
    currency=st.sampled_from(["USD", "JPY", "CNY", "KWD"]),
)
def test_every_offer_is_within_its_policy_and_the_debtors_means(
    past_due: int, more: int, dpd: int, monthly: int, currency: str
) -> None:
    account = facts(past_due=past_due, balance=past_due + more, dpd=dpd, currency=currency)
    for offer in offers(BOOK, account, TODAY, monthly=monthly):
        proposal = offer.proposal
        assert not list(breaches(policy(offer.policy), proposal, account, TODAY))
        assert proposal.amount + proposal.discount == proposal.covered
        assert max(line.amount for line in proposal.lines) <= monthly
        assert offer.approval == needs_approval(policy(offer.policy), proposal, account)


def test_somebody_who_can_pay_a_little_gets_more_lines_and_who_can_pay_nothing_gets_no_offer() -> None:
    quick = next(one for one in offers(BOOK, facts(), TODAY, monthly=30_000) if one.policy == "instalments")
    slow = next(one for one in offers(BOOK, facts(), TODAY, monthly=6_000) if one.policy == "instalments")
    assert len(quick.proposal.lines) == 2
    assert len(slow.proposal.lines) == 10
    assert offers(BOOK, facts(), TODAY, monthly=0) == []
    assert offers(PlanBook(), facts(), TODAY, monthly=30_000) == []


# --- limits ---------------------------------------------------------------------------------------------------------


def proposal(
    lines: tuple[Line, ...], *, kind: str = "instalments", covers: str = "past_due", discount: int = 0
) -> Proposal:
    amount = sum(line.amount for line in lines)
    return Proposal(ArrangementKind(kind), Covers(covers), amount + discount, lines, discount)


def test_limits_hold_to_the_unit_and_the_day() -> None:
    def why(one: Proposal, name: str = "instalments", **of: int) -> list[str]:
        return list(breaches(policy(name), one, facts(**of), TODAY))

    assert why(proposal(lay_out(60_000, due_days(TODAY, 12, "month")), kind="instalments")) == [
        "the first line is less than 6000 minor units"
    ]
    assert why(proposal(lay_out(60_000, due_days(TODAY, 12, "month"), first=6_000))) == []
    assert "lines" in why(proposal(lay_out(60_000, due_days(TODAY, 13, "month"), first=6_000)))[0]
    assert why(proposal(lay_out(60_000, due_days(TODAY - timedelta(days=1), 3, "month"))))
    assert why(proposal(lay_out(60_000, due_days(TODAY + timedelta(days=31), 3, "month")))) == []
    assert why(proposal(lay_out(60_000, due_days(TODAY + timedelta(days=32), 3, "month"))))
    assert why(proposal(lay_out(59_999, due_days(TODAY, 3, "month"))))
    gap = (Line(1, TODAY, 30_000), Line(2, TODAY + timedelta(days=32), 30_000))
    assert "31 days" in why(proposal(gap))[0]
    least = (Line(1, TODAY, 58_001), Line(2, TODAY + timedelta(days=20), 1_999))
    assert why(proposal(least)) == []
    small = (
        Line(1, TODAY, 38_001),
        Line(2, TODAY + timedelta(days=20), 1_999),
        Line(3, TODAY + timedelta(days=40), 20_000),
    )
    assert "2000" in why(proposal(small))[0]
    deal = lay_out(120_000, due_days(TODAY, 1, "month"))
    assert why(proposal(deal, kind="settlement", covers="balance", discount=80_000), "settlement", dpd=150) == []
    less = lay_out(119_999, due_days(TODAY, 1, "month"))
    assert "40 percent" in why(proposal(less, kind="settlement", covers="balance", discount=80_001), "settlement")[0]


def test_approval_begins_above_the_limit_and_not_at_it() -> None:
    rules = policy("instalments")
    at = facts(past_due=1_000_000)
    six = due_days(TODAY, 6, "month")
    assert needs_approval(rules, proposal(lay_out(1_000_000, six)), at) is None
    assert needs_approval(rules, proposal(lay_out(1_000_001, six)), at) == "amount"
    assert needs_approval(rules, proposal(lay_out(60_000, due_days(TODAY, 7, "month"))), facts()) == "lines"
    other = facts(currency="JPY")
    assert needs_approval(rules, proposal(lay_out(60_000, six)), other) == "amount"  # no limit is named for it
    deal = policy("settlement")
    pay = lay_out(90_000, due_days(TODAY, 1, "month"))
    assert needs_approval(deal, proposal(pay, kind="settlement", discount=10_000), facts()) is None
    assert needs_approval(deal, proposal(pay, kind="settlement", discount=10_001), facts()) == "discount"


def test_re_aging_is_allowed_once_in_so_many_months() -> None:
    rules, account = policy("instalments-long"), facts(dpd=70)
    long = proposal(lay_out(60_000, due_days(TODAY, 12, "month")))
    assert list(breaches(rules, long, account, TODAY)) == []
    assert list(breaches(rules, long, account, TODAY, Before(re_aged_on=date(2025, 3, 10)))) == []
    assert "2025-03-11" in next(breaches(rules, long, account, TODAY, Before(re_aged_on=date(2025, 3, 11))))
