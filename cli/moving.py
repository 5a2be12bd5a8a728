"""``case forecast`` and ``case adopt``: what a case will do and when, and moving it to another strategy."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.acting import As, acting
from cli.operations import AsJson, key_of, with_client, with_engine
from cli.say import load_strategy, out, plainly, print_json
from desk import moving

Key = Annotated[str, typer.Argument(help="Ours or the lender's.")]


@plainly
def forecast(key: Key, as_json: AsJson = False) -> None:
    """Show what a case will do and when, if nobody answers and nothing comes in."""
    case_key = with_engine(lambda engine: key_of(engine, key))
    found = with_client(lambda client: moving.outlook(client, case_key))
    print_json(asdict(found)) if as_json else _show(found)


@plainly
def adopt(
    key: Key,
    strategy: Annotated[Path, typer.Option(help="The file of the strategy that it follows from now on.")],
    confirm: Annotated[str | None, typer.Option("--confirm", help="The position that the preview showed.")] = None,
    as_: As = None,
    as_json: AsJson = False,
) -> None:
    """Move one case to another strategy: first shown with dates, then with --confirm done. A supervisor's act."""
    loaded = load_strategy(strategy)
    case_key = with_engine(lambda engine: key_of(engine, key))
    who = with_engine(lambda engine: acting(engine, as_))
    if confirm is None:
        move = with_client(lambda client: moving.preview(client, who, case_key, loaded))
        if as_json:
            print_json(asdict(move))
            return
        _show(move.now, "now")
        _show(move.then, "then")
        out.print(f"To do this: the same with --confirm {move.now.position}", highlight=False)
        return
    position = confirm
    found = with_engine(
        lambda engine: with_client(
            lambda client: moving.adopt(engine, client, who, case_key, loaded, position, now=datetime.now(UTC))
        )
    )
    print_json(asdict(found)) if as_json else _show(found, "adopted")


def _show(found: moving.Outlook, what: str = "") -> None:
    table = Table("when", "step", "by", "what", title=f"{what} {found.case}: {found.strategy} ({found.zone})".strip())
    for row in found.coming:
        table.add_row(row["when"] or "-", row["step"] or "", row["by"] or "", row["what"] or "")
    out.print(table)
