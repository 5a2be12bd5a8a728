"""Plans: offered for what somebody says they can pay, agreed with the case, kept or broken to the day."""

import asyncio
from collections.abc import Mapping
from datetime import date, timedelta

from db.statements import Statement
from desk import deciding, plans
from domain.approvals import Verdict
from domain.case import Agreed
from domain.money import format_amount
from domain.plan_file import parse_plans
from domain.plans import Offer, PlanBook
from domain.roles import NotAllowedError
from runtime.scenario.acts import MINUTES, pays
from runtime.scenario.people import MORNING
from runtime.scenario.stage import ScenarioError, Stage, local
from runtime.work import PLANS

FIRST_SMALL, FIRST_LARGE = date(2026, 2, 13), date(2026, 2, 17)
SECOND_SMALL = date(2026, 3, 13)


def _book() -> PlanBook:
    return parse_plans(PLANS.read_text(encoding="utf-8"), PLANS.name)


async def within_policy(stage: Stage) -> None:
    """Take a statement of income, offer what the policy allows for it, and agree."""
    await stage.until(local(MORNING, 13, 0))
    part = "hard up"
    statement = Statement(
        monthly=20_000,
        source="documents",
        income={"benefits": 95_000},
        spending={"rent": 52_000, "food": 20_000},
        evidence_ref="papers/2026-02-03/1",
    )
    chosen, key = await _offered(stage, "ann", part, statement, FIRST_SMALL)
    agreed = await _agreed(stage, "ann", part, chosen, key)
    await stage.says(
        "ann",
        f"agrees it with {stage.name(part)}",
        f"{agreed.arrangement} is {agreed.status}: within the policy nobody else is asked",
        case=stage.case(part),
    )


async def above_limit(stage: Stage) -> None:
    """Agree a plan that is above the limit: it waits for a second person, who is not the one who asked."""
    await stage.until(stage.now + 20 * MINUTES)
    part = "large debt"
    statement = Statement(
        monthly=170_000, source="self_declared", income={"wages": 420_000}, spending={"living": 240_000}
    )
    chosen, key = await _offered(stage, "sue", part, statement, FIRST_LARGE)
    agreed = await _agreed(stage, "sue", part, chosen, key)
    await stage.says(
        "sue",
        f"agrees it with {stage.name(part)}",
        f"{agreed.arrangement} is {agreed.status}: a second person must approve it ({agreed.approval})",
        case=stage.case(part),
    )
    question = str(stage.one("SELECT key FROM approvals WHERE subject_key = %s", agreed.arrangement))
    for who in ("ann", "sue"):
        try:
            await asyncio.to_thread(
                deciding.decide, stage.engine, stage.acting(who), question, Verdict.APPROVED, at=stage.now
            )
        except NotAllowedError as refused:
            await stage.says(who, f"tries to approve {question}", f"refused: {refused}")
        else:
            raise ScenarioError(f"{who} could approve {question}")
    await asyncio.to_thread(
        deciding.decide, stage.engine, stage.acting("tom"), question, Verdict.APPROVED, at=stage.now
    )
    await stage.says("tom", f"approves {question}", "the plan begins; outreach rests", case=stage.case(part))
    stage.expected["the large plan was approved by somebody else than asked for it"] = (
        f"SELECT asked_by = 'sue' AND decided_by = 'tom' FROM approvals WHERE key = '{question}'"
    )


async def _offered(stage: Stage, who: str, part: str, said: Statement, first_on: date) -> tuple[Offer, str]:
    """Keep a statement and tell what can be offered for it; return the shortest instalment plan."""
    currency = stage.debtors[part].currency
    offered = await asyncio.to_thread(
        plans.offer,
        stage.engine,
        stage.acting(who),
        stage.case(part),
        said,
        _book(),
        at=stage.now,
        event_id=f"story/offer/{part.replace(' ', '-')}",
        first_on=first_on,
    )
    left = "" if said.left is None else f", {format_amount(said.left, currency)} left a month by its own figures"
    await stage.says(
        who,
        f"writes down what {stage.name(part)} earns and spends",
        f"statement {offered.statement} ({said.source}){left}; can pay {format_amount(said.monthly, currency)} a month",
    )
    options = [one for one in offered.offers if one.proposal.kind == "instalments"]
    if not options:
        raise ScenarioError(f"{part}: no instalments can be offered")
    for one in options:
        lines = one.proposal.lines
        approval = "" if one.approval is None else f"; approval: {one.approval}"
        await stage.says(
            "the house",
            f"offers by policy {one.policy}",
            f"{len(lines)} lines from {lines[0].due_on:%d %b} to {lines[-1].due_on:%d %b}, "
            f"{format_amount(one.proposal.amount, currency)} in all{approval}",
        )
    return options[0], offered.statement


async def _agreed(stage: Stage, who: str, part: str, offer: Offer, statement: str) -> Agreed:
    proposal = offer.proposal
    wish: Mapping[str, object] = plans.wish_of(
        f"story/agree/{part.replace(' ', '-')}",
        proposal.kind,
        proposal.covers,
        stage.debtors[part].currency,
        [(line.due_on, line.amount) for line in proposal.lines],
        policy=offer.policy,
        statement=statement,
        at=stage.now.isoformat(),
    )
    agreed = await plans.agree(stage.client, stage.acting(who), stage.case(part), wish)
    if agreed.refusal is not None:
        raise ScenarioError(f"{part}: the plan was refused: {agreed.refusal} {agreed.reason}")
    return agreed


async def promise_kept(stage: Stage) -> None:
    """Remind of a promise the day before, and close the case when the money is there."""
    part, day = "promises", MORNING + timedelta(days=7)
    await stage.until(local(day, 8, 0))
    await _reminded(stage, part)
    await stage.until(local(day, 11, 0))
    amount = await pays(stage, part, stage.debtors[part].debts[0].amount, day)
    await stage.says(
        stage.name(part), f"pays {amount}", "the promise is kept, the debt is cleared", case=stage.case(part)
    )
    stage.expected["the promise was kept and its case is closed as paid"] = _closed(stage, part)


async def plan_broken(stage: Stage) -> None:
    """Wait for the first line of the large plan in vain: after its grace the ladder goes on."""
    part = "large debt"
    await stage.until(local(date(2026, 2, 20), 18, 0))
    await stage.says(
        "the house", "has waited three days of grace for the first line", "nothing came", case=stage.case(part)
    )
    await stage.until(local(date(2026, 2, 21), 8, 0))
    status = stage.one("SELECT status FROM arrangements WHERE account_key = %s", stage.case(part).partition("/")[0])
    await stage.says(
        "the house", "looks at the plan on the day after", f"it is {status}; the ladder goes on", case=stage.case(part)
    )
    stage.expected["the broken plan is called broken, and nothing was collected while it stood"] = (
        "SELECT a.status = 'broken' AND NOT EXISTS (SELECT 1 FROM attempts t WHERE t.case_key = "
        f"'{stage.case(part)}' AND t.purpose = 'collect' AND t.status NOT IN ('refused', 'deferred') "
        "AND t.admitted_at >= a.agreed_at AND t.admitted_at < '2026-02-21') "
        f"FROM arrangements a WHERE a.account_key = '{stage.case(part).partition('/')[0]}'"
    )


async def plan_kept(stage: Stage) -> None:
    """Let both lines of the small plan come in time; the second closes the case."""
    part = "hard up"
    await stage.until(local(SECOND_SMALL, 9, 30))
    await _reminded(stage, part)
    rest = int(stage.one("SELECT amount FROM arrangement_lines WHERE due_on = %s", SECOND_SMALL))
    amount = await pays(stage, part, rest, SECOND_SMALL)
    await stage.says(
        stage.name(part), f"pays the second line, {amount}", "the plan is kept to its end", case=stage.case(part)
    )
    stage.expected["the small plan was kept and its case is closed as paid"] = _closed(stage, part)


async def first_line(stage: Stage) -> None:
    """Pay the first line of the small plan on its day."""
    part = "hard up"
    await stage.until(local(FIRST_SMALL, 9, 30))
    await _reminded(stage, part)
    due = int(stage.one("SELECT amount FROM arrangement_lines WHERE due_on = %s", FIRST_SMALL))
    amount = await pays(stage, part, due, FIRST_SMALL)
    await stage.says(
        stage.name(part), f"pays the first line, {amount}", "it counts for the oldest line", case=stage.case(part)
    )


async def _reminded(stage: Stage, part: str) -> None:
    sent = stage.one(
        "SELECT channel || ' of ' || to_char(sent_at, 'DD Mon HH24:MI') FROM attempts WHERE case_key = %s "
        "AND origin = 'reminder' AND sent_at IS NOT NULL ORDER BY sent_at DESC LIMIT 1",
        stage.case(part),
    )
    await stage.says(
        "the house",
        f"has reminded {stage.name(part)} of the line",
        "by no channel" if sent is None else f"by {sent} UTC, a courtesy that asks for nothing else",
    )


def _closed(stage: Stage, part: str) -> str:
    return f"SELECT status = 'closed' AND close_reason = 'paid' FROM cases WHERE key = '{stage.case(part)}'"
