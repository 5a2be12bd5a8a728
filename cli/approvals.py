"""``approval``: what waits for a second person, and what they say."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy import Engine

from cli.acting import As, acting, business_now
from cli.operations import AsJson, with_engine
from cli.say import out, plainly, print_json
from db.approvals import Approval
from desk import approvals as desk
from desk.deciding import decide
from domain.approvals import Verdict
from domain.roles import Acting

app = typer.Typer(no_args_is_help=True, help="What takes a second person.")
Key = Annotated[str, typer.Argument(help="Its key, from `approval list`.")]


@app.command("list")
@plainly
def show(
    decided: Annotated[bool, typer.Option("--all", help="Also what is decided.")] = False,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Show what waits for a second person, the oldest first."""
    found = with_engine(lambda engine: desk.questions(engine, acting(engine, by), decided=decided))
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table()
    for column in ("key", "about", "case", "content", "asked by", "asked at", "decided"):
        table.add_column(column)
    for one in found:
        decision = "" if one.decision is None else f"{one.decision} by {one.decided_by}"
        names = ", ".join(one.touched_by)
        about = f"{one.kind} {one.subject}"
        table.add_row(one.key, about, one.case_key or "", one.digest[:12], names, f"{one.asked_at:%F %H:%M}", decision)
    out.print(table)


@app.command("approve")
@plainly
def approve(
    key: Key,
    seen: Annotated[
        str | None, typer.Option(help="Digest of the content you looked at; refused if it changed since.")
    ] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Approve, as somebody who neither asked nor changed it."""
    _decide(lambda engine, who, at: decide(engine, who, key, Verdict.APPROVED, at=at, seen=seen), by, as_json=as_json)


@app.command("return")
@plainly
def return_(
    key: Key,
    reason: Annotated[str | None, typer.Option(help="A code that says why: too_long, no_papers.")] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Return it: not like this. It may be asked anew."""
    _decide(
        lambda engine, who, at: decide(engine, who, key, Verdict.RETURNED, at=at, reason=reason), by, as_json=as_json
    )


def _decide(act: Callable[[Engine, Acting, datetime], Approval], by: str | None, *, as_json: bool) -> None:
    said = with_engine(lambda engine: act(engine, acting(engine, by), business_now(engine)))
    if as_json:
        print_json(asdict(said))
    else:
        out.print(f"{said.key} ({said.kind} {said.subject}) is {said.decision} by {said.decided_by}", highlight=False)
