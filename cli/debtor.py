"""``debtor show``: one person over all accounts, roles and creditors."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.acting import As, acting, business_now
from cli.operations import AsJson, with_engine
from cli.say import out, plainly, print_json
from desk import debtor as desk

app = typer.Typer(no_args_is_help=True, help="One person over all accounts.")
_ACCOUNT = ("account", "creditor", "role", "stage", "past_due", "asked_for", "currency", "dpd", "waiting_for", "due_at")


@app.command("show")
@plainly
def show(
    person: Annotated[str, typer.Argument(help="Our key of the person or debtor, or the lender's number.")],
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Show what is owed, what rests and why, what was tried, and when the next contact is due. Amounts: minor units."""
    view = with_engine(lambda engine: desk.show(engine, acting(engine, by), person, business_now(engine)))
    if as_json:
        print_json(asdict(view))
        return
    flags = f", treated with care: {', '.join(view.flags)}" if view.flags else ""
    out.print(f"person {view.person}{flags}", highlight=False)
    _table("accounts", view.accounts, _ACCOUNT)
    _table("holds", view.holds, ("key", "reason", "scope", "account_key", "until_at", "review_at", "placed_by"))
    _table("what became of them", view.events, ("key", "kind", "scope", "from", "until"))
    _table("arrangements", view.arrangements, ("key", "account_key", "kind", "status", "covered_amount", "currency"))
    _table("legal matters", view.legal, ("key", "account_key", "stage", "ended_at"))
    _table("contact points", view.contact_points, ("key", "kind", "state", "consent", "tried", "last_tried_at"))
    counts = ", ".join(f"{channel} {count}" for channel, count in sorted(view.attempts.items())) or "none"
    out.print(f"contacts of the last seven days: {counts}", highlight=False)
    coming = view.next_contact
    said = (
        "none planned"
        if coming is None
        else f"{coming['next_channel']} on {coming['case_key']}, {_cell(coming['due_at'])}"
    )
    out.print(f"next contact: {said}", highlight=False)


def _table(title: str, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in names))
    out.print(table)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)
