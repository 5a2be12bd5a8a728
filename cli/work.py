"""``work``: what people are asked to do. Claim, see, renew, give back, finish; a supervisor gives it to somebody."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table
from sqlalchemy import Engine

from cli.acting import As, acting, business_now
from cli.operations import AsJson, with_engine
from cli.say import UserError, out, plainly, print_json
from db.queue import Queued, Wanted
from db.settings import read_clock
from desk.finishing import finish
from desk.queue import (
    Desk,
    claim,
    claim_next,
    escalate_item,
    queue,
    reassign,
    release,
    renew_lease,
    show_one,
)
from desk.repairing import Repair, repair
from desk.showing import Shown, show
from domain.codes import TaskKind
from domain.money import parse_amount
from domain.roles import Acting
from runtime.desk import desk_of

app = typer.Typer(no_args_is_help=True, help="Work for people: calls, visits, reviews, repairs.")
T = TypeVar("T")
Key = Annotated[str, typer.Argument(help="The item, such as W000000017.")]
Lease = Annotated[int | None, typer.Option("--lease", min=1, help="The number it was lent under. Default: your own.")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help="call, visit, legal, data_repair or review.")]
Skill = Annotated[str | None, typer.Option(help="Only what asks for this skill.")]
Area = Annotated[str | None, typer.Option(help="Only this region (US, US-NY) or locality.")]
Priority = Annotated[int | None, typer.Option("--priority", min=0, max=100, help="Only from so many points up.")]
DueWithin = Annotated[float | None, typer.Option("--due-within", min=0, help="Only what is due within so many hours.")]


def _at_desk(by: str | None, act: Callable[[Desk, Acting, datetime, bool], T]) -> T:
    def with_it(engine: Engine) -> T:
        with engine.connect() as connection:
            logical = read_clock(connection).is_logical
        return act(desk_of(engine), acting(engine, by), business_now(engine), logical)

    return with_engine(with_it)


@app.command("list")
@plainly
def list_queue(
    kind: Kinds = None,
    skill: Skill = None,
    area: Area = None,
    priority: Priority = None,
    due_within: DueWithin = None,
    mine: Annotated[bool, typer.Option("--mine", help="What you have on loan.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also what is for others.")] = False,
    escalated: Annotated[bool, typer.Option("--escalated", help="What a supervisor has to look at.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Show the queue in its order, without anything about persons."""

    def act(desk: Desk, who: Acting, now: datetime, logical: bool) -> list[Queued]:  # noqa: ARG001 - as all
        wanted = _wanted(kind, skill, area, priority, due_within, now)
        return queue(
            desk, who, now, wanted, mine=mine, everything=everything or escalated, escalated=escalated, limit=limit
        )

    found = _at_desk(by, act)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table()
    for column in ("item", "kind", "why", "points", "due", "late from", "not before", "who has it", "for", "escalated"):
        table.add_column(column)
    for one in found:
        holder = "" if one.claimed_by is None else f"{one.claimed_by} until {_when(one.lease_until)}"
        for_whom = one.assigned_to or one.skill or one.language or ""
        why = one.reason or ""
        table.add_row(
            one.key, one.kind, why, str(one.priority), _when(one.due_at), _when(one.late_at), _when(one.not_before),
            holder, for_whom, one.escalation or "",
        )  # fmt: skip
    out.print(table)


@app.command("next")
@plainly
def take_next(
    kind: Kinds = None,
    skill: Skill = None,
    area: Area = None,
    priority: Priority = None,
    due_within: DueWithin = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Claim the next item that fits and show it. Exit code 0 also when there is none."""

    def act(desk: Desk, who: Acting, now: datetime, logical: bool) -> Shown | None:
        lent = claim_next(desk, who, now, _wanted(kind, skill, area, priority, due_within, now))
        return None if lent is None else show(desk, who, lent.key, now, logical=logical)

    shown = _at_desk(by, act)
    if shown is None:
        print_json(None) if as_json else out.print("there is nothing to do now")
        return
    _print_shown(shown, as_json=as_json)


@app.command("claim")
@plainly
def take(key: Key, by: As = None, as_json: AsJson = False) -> None:
    """Claim the item named and show it."""

    def act(desk: Desk, who: Acting, now: datetime, logical: bool) -> Shown:
        claim(desk, who, key, now)
        return show(desk, who, key, now, logical=logical)

    _print_shown(_at_desk(by, act), as_json=as_json)


@app.command("show")
@plainly
def show_item(key: Key, by: As = None, as_json: AsJson = False) -> None:
    """Show an item: whole to who has it on loan, else without anything about a person."""
    _print_shown(
        _at_desk(by, lambda desk, who, now, logical: show(desk, who, key, now, logical=logical)), as_json=as_json
    )


@app.command("renew")
@plainly
def renew(key: Key, lease: Lease = None, by: As = None, as_json: AsJson = False) -> None:
    """Keep an item for another while."""
    until = _at_desk(by, lambda desk, who, now, _: renew_lease(desk, who, key, _number(desk, who, key, lease), now))
    print_json({"item": key, "lease_until": until}) if as_json else out.print(
        f"{key} is yours until {_when(until)} UTC"
    )


@app.command("release")
@plainly
def give_back(key: Key, lease: Lease = None, by: As = None, as_json: AsJson = False) -> None:
    """Give an item back to the queue."""
    _at_desk(by, lambda desk, who, now, _: release(desk, who, key, _number(desk, who, key, lease), now))
    _said(key, "released", as_json=as_json)


@app.command("reassign")
@plainly
def give_to(
    key: Key,
    to: Annotated[str | None, typer.Option(help="A code of `actor list`; without it whoever comes next.")] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """As a supervisor: take an item from who has it, and give it to somebody else."""
    _at_desk(by, lambda desk, who, now, _: reassign(desk, who, key, to, now))
    _said(key, f"given to {to}" if to else "back in the queue", as_json=as_json)


@app.command("escalate")
@plainly
def hand_up(key: Key, by: As = None, as_json: AsJson = False) -> None:
    """Hand an item to the supervisors."""
    _at_desk(by, lambda desk, who, now, _: escalate_item(desk, who, key, now))
    _said(key, "escalated", as_json=as_json)


@app.command("finish")
@plainly
def done(
    key: Key,
    disposition: Annotated[str | None, typer.Option(help="What came of it, as a code.")] = None,
    reached: Annotated[str | None, typer.Option(help="right_party, third_party or no_one.")] = None,
    stage: Annotated[str | None, typer.Option(help="Of legal work: approved, returned, filed, ...")] = None,
    promised_on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day promised.")] = None,
    amount: Annotated[str | None, typer.Option(help="As 120.50 USD.")] = None,
    callback_at: Annotated[str | None, typer.Option(help="When to call again, ISO 8601 with offset.")] = None,
    contact_point: Annotated[str | None, typer.Option(help="Key of the number or address used.")] = None,
    seconds: Annotated[int | None, typer.Option(min=0, help="How long the call lasted.")] = None,
    visitors: Annotated[int | None, typer.Option(min=1, help="How many went.")] = None,
    note: Annotated[str | None, typer.Option(help="Free text; kept in the database only.")] = None,
    data: Annotated[str | None, typer.Option(help="More fields of the message, as JSON.")] = None,
    lease: Lease = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Record what came of an item; repeating it is harmless."""
    fields: dict[str, Any] = {
        "disposition": disposition, "party_reached": reached, "stage": stage, "callback_at": callback_at,
        "promised_on": None if promised_on is None else f"{promised_on:%Y-%m-%d}", "contact_point": contact_point,
        "duration_seconds": seconds, "visitors": visitors, **_money(amount), **_json(data),
    }  # fmt: skip
    outcome = {name: value for name, value in fields.items() if value is not None}
    finished = _at_desk(
        by,
        lambda desk, who, now, logical: finish(
            desk, who, key, _number(desk, who, key, lease), outcome, now, logical=logical, note_text=note
        ),
    )
    if as_json:
        print_json(asdict(finished))
        return
    told = f", {finished.case_key} is told" if finished.case_key else ""
    out.print(f"{key} {'was' if finished.again else 'is'} finished as {finished.disposition}{told}", highlight=False)


@app.command("repair")
@plainly
def mend(
    key: Key,
    zone: Annotated[str | None, typer.Option(help="Where the person is, as told: America/Chicago.")] = None,
    phone: Annotated[str | None, typer.Option(help="A number, as +13125550100.")] = None,
    email: Annotated[str | None, typer.Option(help="An e-mail address.")] = None,
    address: Annotated[str | None, typer.Option(help="A postal address on one line.")] = None,
    lease: Lease = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Finish a data repair with what was found; the cases that waited for it go on."""
    found = Repair(zone, phone, email, address)
    cases = _at_desk(
        by,
        lambda desk, who, now, logical: repair(
            desk, who, key, _number(desk, who, key, lease), found, now, logical=logical
        ),
    )
    print_json({"item": key, "cases": cases}) if as_json else out.print(
        f"{key} is repaired; {len(cases)} cases are told"
    )


# --- small things -------------------------------------------------------------------------------------------------


def _number(desk: Desk, who: Acting, key: str, given: int | None) -> int:
    """Return the number of the loan: the one given, else that of the loan one has or had last."""
    return given if given is not None else show_one(desk, who, key).lease_no


def _wanted(
    kinds: list[str] | None,
    skill: str | None,
    area: str | None,
    priority: int | None,
    due_within: float | None,
    now: datetime,
) -> Wanted:
    for one in kinds or ():
        if one not in set(TaskKind):
            raise UserError(f"--kind {one}: is not one of {', '.join(TaskKind)}")
    before = None if due_within is None else now + timedelta(hours=due_within)
    return Wanted(tuple(TaskKind(one) for one in kinds or ()), skill, area, before, priority)


def _money(text: str | None) -> dict[str, object]:
    if text is None:
        return {}
    amount, _, currency = text.partition(" ")
    try:
        return {"amount": parse_amount(amount, currency), "currency": currency}
    except ValueError as error:
        raise UserError(f"--amount {text}: {error}; write for example '120.50 USD'") from None


def _json(text: str | None) -> dict[str, object]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--data: not JSON ({error.msg} at character {error.pos})") from None
    if not isinstance(found, dict):
        raise UserError("--data: must be one JSON object")
    return found


def _when(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _said(key: str, what: str, *, as_json: bool) -> None:
    print_json({"item": key, "state": what}) if as_json else out.print(f"{key} is {what}", highlight=False)


def _print_shown(shown: Shown, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(shown))
        return
    item = shown.item
    head = f"[bold]{item.key}[/bold] {item.kind} {item.reason or ''}"
    lent = f"lease {item.lease_no} until {_when(item.lease_until)} UTC" if shown.mine else item.status
    out.print(f"{head}, {lent}", highlight=False)
    if not shown.name and not shown.accounts:
        if not shown.mine:
            out.print("claim it to see more", highlight=False)
        return
    out.print(f"{shown.name} ({shown.language or 'language unknown'}), {shown.local_time or ''}", markup=False)
    if shown.refused_by:
        when = f"may be worked from {_when(shown.from_at)} UTC" if shown.from_at else "may not be worked now"
        out.print(f"{when} ({', '.join(shown.refused_by)})", markup=False)
    for point in shown.points:
        out.print(f"  {point.value} ({point.state}, {point.key})", markup=False, highlight=False)
    table = Table(title=f"as of {_when(shown.as_of)} UTC")
    for column in ("account", "past due", "balance", "days", "held"):
        table.add_column(column)
    for one in shown.accounts:
        table.add_row(one.reference, one.past_due, one.balance, str(one.days_past_due), one.held or "")
    out.print(table)
    for title, words in zip(("before they have confirmed who they are", "afterwards"), shown.script, strict=False):
        out.print(f"[bold]{title}[/bold]")
        out.print(words, markup=False, highlight=False)
    if shown.outcomes:
        out.print(f"outcomes: {', '.join(shown.outcomes)}", markup=False, highlight=False)
    if shown.text is not None:
        out.print("[bold]to read[/bold]")
        out.print(shown.text, markup=False, highlight=False)
    for past in shown.history:
        out.print(
            f"  {_when(past.at)} {past.channel} {past.status} {past.outcome or ''}", markup=False, highlight=False
        )
