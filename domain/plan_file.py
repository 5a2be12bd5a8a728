"""Reads the text of ``plans.yaml`` and names every mistake in it by line, in the way of strategy files."""

from typing import cast

from domain.plans import Approval, Count, FirstPayment, Longest, PlanBook, PlanPolicy, ReAge, Reminder
from domain.strategy import Between, Hours, Test
from domain.strategy_file import Grammar, parse_by

PLANS = Grammar(
    root=PlanBook,
    parts={
        "policies": PlanPolicy,
        "lines": Count,
        "first_payment": FirstPayment,
        "longest": Longest,
        "re_age": ReAge,
        "approval": Approval,
        "reminder": Reminder,
        "between": Between,
        "hours": Hours,
    },
    named={"segment": Test},
    doc="docs/plans.md",
)


def parse_plans(text: str, source: str) -> PlanBook:
    """Read the policies of arrangements; StrategyError holds every mistake. ``source`` names the file in messages."""
    return cast("PlanBook", parse_by(PLANS, text, source))
