"""``plan``: arrangements with debtors. Offer, agree, show, renegotiate, cancel; and check the policies."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.table import Table
from sqlalchemy import Engine

from activities.wording import FALLBACK_LANGUAGE
from cli.acting import As, acting, business_now
from cli.operations import AsJson, _running, key_of, with_engine
from cli.say import ROOT, TEMPLATES, UserError, err, out, plainly, print_json
from db.engine import make_engine
from db.statements import Statement
from desk import plans as desk
from domain.arrangements import (
    FREQUENCIES,
    ArrangementError,
    ArrangementKind,
    Covers,
    DpdEffect,
    Frequency,
    check_sums,
    due_days,
    lay_out,
)
from domain.case import Agreed
from domain.money import format_amount, parse_amount
from domain.plan_file import parse_plans
from domain.plans import Offer, PlanBook
from domain.roles import Act
from domain.strategy_file import StrategyError
from runtime.client import connect

app = typer.Typer(no_args_is_help=True, help="Arrangements: promises, instalments, deferrals, settlements.")
PLANS = ROOT / "policies" / "plans.yaml"
Key = Annotated[str, typer.Argument(help="The case or account: ours or the lender's.")]
Event = Annotated[str | None, typer.Option(help="Id of this event; the same id is agreed once.")]


def read_book(path: Path = PLANS) -> PlanBook:
    """Read the policies; StrategyError names every mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path}: no readable file of plan policies; the one shipped is policies/plans.yaml") from None
    return parse_plans(text, path.name)


@app.command()
@plainly
def check(
    file: Annotated[Path, typer.Argument(help="A file of plan policies.")] = PLANS, as_json: AsJson = False
) -> None:
    """Name every mistake by line; exit code 1 if there is one."""
    mistakes: list[str] = []
    names: list[str] = []
    try:
        book = read_book(file)
        names = [one.name for one in book.policies]
        known = {path.name.removesuffix(".j2") for path in (TEMPLATES / FALLBACK_LANGUAGE).glob("*.j2")}
        for policy in book.policies:
            for channel in policy.reminder.channels if policy.reminder else ():
                wanted = f"{policy.reminder.template if policy.reminder else ''}.{channel}"
                if wanted not in known:
                    mend = "add it under policies/templates/en"
                    mistakes.append(f"{policy.name}: reminder: there is no template {wanted}.j2 ({mend})")
    except StrategyError as error:
        mistakes = [str(one) for one in error.mistakes]
    for one in mistakes:
        err.print(f"{file}:{one}", markup=False, soft_wrap=True)
    if as_json:
        print_json({"file": str(file), "policies": names, "mistakes": mistakes})
    elif not mistakes:
        out.print(f"{file}: {len(names)} policies are right: {', '.join(names)}", highlight=False, soft_wrap=True)
    if mistakes:
        raise typer.Exit(1)


@app.command()
@plainly
def offer(
    key: Key,
    monthly: Annotated[str, typer.Option(help="What the debtor can pay a month, e.g. 120.00.")],
    source: Annotated[str, typer.Option(help="How it is known: self_declared, documents, employer.")] = "self_declared",
    income: Annotated[list[str] | None, typer.Option(help="A month: wages=1800.00; may be repeated.")] = None,
    spending: Annotated[list[str] | None, typer.Option(help="A month: rent=900.00; may be repeated.")] = None,
    evidence: Annotated[str | None, typer.Option(help="Reference of papers seen.")] = None,
    first: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First payment on.")] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Keep what the debtor says they can pay, and list what can be offered within the policies."""
    book = read_book()

    def act(engine: Engine) -> desk.Offered:
        case_key = key_of(engine, key)
        currency = _currency(engine, case_key)
        statement = Statement(
            monthly=_amount("--monthly", monthly, currency),
            source=source,
            income=_figures("--income", income, currency),
            spending=_figures("--spending", spending, currency),
            evidence_ref=evidence,
        )
        who, at = acting(engine, by, Act.OFFER_PLAN), business_now(engine)
        on = None if first is None else first.date()
        return desk.offer(engine, who, case_key, statement, book, at=at, event_id=f"cli/{uuid4()}", first_on=on)

    found = with_engine(act)
    if as_json:
        print_json(asdict(found))
        return
    past_due, balance = (format_amount(one, found.currency) for one in (found.past_due, found.balance))
    out.print(f"{past_due} past due, {balance} in all; statement {found.statement}", highlight=False)
    if not found.offers:
        out.print("no policy can be met with this; a supervisor can look at it", highlight=False)
        return
    out.print(_offers(found.offers, found.currency))
    out.print(f"agree one with: plan agree {key} --kind KIND --lines N --first DAY --statement {found.statement}")


def _offers(offers: Sequence[Offer], currency: str) -> Table:
    table = Table()
    for name in (
        "policy",
        "kind",
        "covers",
        "lines",
        "from",
        "to",
        "discount",
        "interest",
        "fees",
        "days past due",
        "approval",
    ):
        table.add_column(name)
    for one in offers:
        lines = one.proposal.lines
        each = format_amount(lines[0].amount, currency)
        amounts = (
            each if len(lines) == 1 else f"{len(lines)} x {format_amount(lines[-1].amount, currency)}, first {each}"
        )
        discount = format_amount(one.proposal.discount, currency) if one.proposal.discount else ""
        table.add_row(
            one.policy, one.proposal.kind, one.proposal.covers, amounts, str(lines[0].due_on), str(lines[-1].due_on),
            discount, one.interest, one.fees, one.dpd_effect, one.approval or "",
        )  # fmt: skip
    return table


@app.command()
@plainly
def agree(
    key: Key,
    kind: Annotated[ArrangementKind, typer.Option(help="What is agreed.")],
    amount: Annotated[str | None, typer.Option(help="What is to be paid; default: what is covered.")] = None,
    lines: Annotated[int, typer.Option(min=1, max=600, help="How many payments.")] = 1,
    first: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day of the first payment.")] = None,
    every: Annotated[str, typer.Option(help="month, two_weeks or week.")] = "month",
    first_amount: Annotated[str | None, typer.Option(help="The first payment, if it is larger.")] = None,
    line: Annotated[list[str] | None, typer.Option(help="Instead: DAY=AMOUNT for each payment.")] = None,
    covers: Annotated[Covers, typer.Option(help="Which part of the debt.")] = Covers.PAST_DUE,
    discount: Annotated[str | None, typer.Option(help="What is given away in a settlement.")] = None,
    policy: Annotated[str | None, typer.Option(help="A policy by name; default: the first that fits.")] = None,
    dpd_effect: Annotated[DpdEffect | None, typer.Option(help="Less than the policy gives: none.")] = None,
    statement: Annotated[str | None, typer.Option(help="The statement it rests on, from `plan offer`.")] = None,
    event_id: Event = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Agree an arrangement; the case answers with its key, or says why not."""
    wish = _Wish(kind, amount, lines, first, every, first_amount, line, covers, discount)
    more = {"policy": policy, "dpd_effect": dpd_effect, "statement": statement}
    _agree(key, wish, event_id, by, as_json=as_json, **more)


@app.command()
@plainly
def renegotiate(
    key: Key,
    kind: Annotated[ArrangementKind, typer.Option(help="What is agreed instead.")],
    amount: Annotated[str | None, typer.Option(help="What is to be paid; default: what is covered.")] = None,
    lines: Annotated[int, typer.Option(min=1, max=600, help="How many payments.")] = 1,
    first: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day of the first payment.")] = None,
    every: Annotated[str, typer.Option(help="month, two_weeks or week.")] = "month",
    line: Annotated[list[str] | None, typer.Option(help="Instead: DAY=AMOUNT for each payment.")] = None,
    covers: Annotated[Covers, typer.Option(help="Which part of the debt.")] = Covers.PAST_DUE,
    discount: Annotated[str | None, typer.Option(help="What is given away in a settlement.")] = None,
    statement: Annotated[str | None, typer.Option(help="The statement it rests on.")] = None,
    event_id: Event = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Replace the arrangement that stands by another one; what was paid stays paid."""
    wish = _Wish(kind, amount, lines, first, every, None, line, covers, discount)
    _agree(key, wish, event_id, by, as_json=as_json, statement=statement, renegotiate=True)


@app.command()
@plainly
def cancel(
    arrangement: Annotated[str, typer.Argument(help="Its key, from `plan show`.")],
    reason: Annotated[str, typer.Option(help="A code that says why: debtor_asked, wrong_account.")] = "withdrawn",
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """End an arrangement before its time; the ladder goes on the day after."""

    def act(engine: Engine) -> bool:
        who = acting(engine, by, Act.CANCEL_PLAN)
        return desk.cancel(engine, who, arrangement, reason=reason, at=business_now(engine))

    done = with_engine(act)
    if not done:
        raise UserError(f"{arrangement}: has ended already; `plan show` says how")
    print_json({"arrangement": arrangement, "status": "cancelled"}) if as_json else out.print(
        f"{arrangement} is cancelled"
    )


@app.command()
@plainly
def show(key: Key, by: As = None, as_json: AsJson = False) -> None:
    """Show the arrangements of an account, the newest first, line by line."""

    def act(engine: Engine) -> Sequence[desk.Shown]:
        who = acting(engine, by, Act.SEE)
        return desk.show(engine, who, key_of(engine, key), at=business_now(engine))

    found = with_engine(act)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        out.print("no arrangement", highlight=False)
    for one in found:
        currency = one.currency
        now = one.stands.standing if one.status == "active" else one.status
        discount = f", {format_amount(one.discount, currency)} less" if one.discount else ""
        head = f"{one.key}  {one.kind} ({one.policy}): {now}; covers {format_amount(one.covered, currency)}{discount}"
        out.print(head, highlight=False)
        table = Table()
        for name in ("no", "due on", "amount", "paid", "paid on", ""):
            table.add_column(name)
        for line in one.stands.lines:
            cells = (str(line.line.no), str(line.line.due_on), format_amount(line.line.amount, currency))
            paid = format_amount(line.paid, currency)
            table.add_row(*cells, paid, "" if line.paid_on is None else str(line.paid_on), line.standing)
        out.print(table)


# --- small things ---------------------------------------------------------------------------------------------------


class _Wish:
    """What the options of ``agree`` say, before amounts can be read in the account's currency."""

    def __init__(
        self,
        kind: ArrangementKind,
        amount: str | None,
        count: int,
        first: datetime | None,
        every: str,
        first_amount: str | None,
        lines: list[str] | None,
        covers: Covers,
        discount: str | None,
    ) -> None:
        self.kind, self.amount, self.count, self.first, self.every = kind, amount, count, first, every
        self.first_amount, self.lines, self.covers, self.discount = first_amount, lines, covers, discount

    def dated(self, currency: str, owed: int, today: date) -> tuple[list[tuple[date, int]], int]:
        """Return the lines and the discount, in minor units."""
        discount = 0 if self.discount is None else _amount("--discount", self.discount, currency)
        if self.lines:
            return [_line(one, currency) for one in self.lines], discount
        amount = owed - discount if self.amount is None else _amount("--amount", self.amount, currency)
        every = _frequency(self.every)
        more = 0 if self.first_amount is None else _amount("--first-amount", self.first_amount, currency)
        days = due_days(today if self.first is None else self.first.date(), self.count, every)
        lines = lay_out(amount, days, first=more)
        check_sums(self.kind, lines, amount + discount, discount)
        return [(one.due_on, one.amount) for one in lines], discount


def _agree(key: str, wish: _Wish, event_id: str | None, by: str | None, *, as_json: bool, **more: object) -> None:
    settings, endpoints = _running()
    engine = make_engine(endpoints.database_url)
    try:
        case_key = key_of(engine, key)
        who, currency = acting(engine, by, Act.AGREE_PLAN), _currency(engine, case_key)
        owed, today = _owed(engine, case_key, wish.covers)
        try:
            lines, discount = wish.dated(currency, owed, today)
        except ArrangementError as error:
            raise UserError(str(error)) from None
        body = desk.wish_of(
            event_id or f"cli/{uuid4()}", wish.kind, wish.covers, currency, lines, discount=discount, **more
        )

        async def ask() -> Agreed:
            return await desk.agree(await connect(settings, endpoints), who, case_key, body)

        answer = asyncio.run(ask())
    finally:
        engine.dispose()
    if answer.arrangement is None:
        raise UserError(f"{case_key}: not agreed ({answer.refusal}): {answer.reason}")
    if as_json:
        print_json(answer.model_dump())
        return
    waits = "" if answer.approval is None else f"; a second person must approve it ({answer.approval}): approval list"
    out.print(f"{answer.arrangement} is {answer.status}{waits}", highlight=False)


def _owed(engine: Engine, case_key: str, covers: Covers) -> tuple[int, date]:
    """Return what is covered, in minor units, and the debtor's local day."""
    return desk.covered(engine, case_key, covers, at=business_now(engine))


def _currency(engine: Engine, case_key: str) -> str:
    with engine.connect() as connection:
        query = "SELECT a.currency FROM accounts a JOIN cases k ON k.account_key = a.key WHERE k.key = %s"
        return str(connection.exec_driver_sql(query, (case_key,)).scalar_one())


def _amount(name: str, text: str, currency: str) -> int:
    try:
        return parse_amount(text, currency)
    except ValueError as error:
        raise UserError(f"{name} {text}: {error}") from None


def _figures(name: str, given: list[str] | None, currency: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in given or ():
        code, sign, amount = one.partition("=")
        if not sign or not code.replace("_", "").isalnum():
            raise UserError(f"{name} {one}: write CODE=AMOUNT, for example rent=900.00")
        found[code] = _amount(name, amount, currency)
    return found


def _line(text: str, currency: str) -> tuple[date, int]:
    day, sign, amount = text.partition("=")
    try:
        on = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise UserError(f"--line {text}: write DAY=AMOUNT, for example 2026-04-01=50.00") from None
    return on, _amount("--line", amount if sign else "", currency)


def _frequency(text: str) -> Frequency:
    for one in FREQUENCIES:
        if text == one:
            return one
    raise UserError(f"--every {text}: is not one of month, two_weeks, week")
