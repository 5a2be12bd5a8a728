"""``backtest``: what a strategy would have done over a past ledger."""

import asyncio
import gc
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.rules import RULES, book_of
from cli.say import TEMPLATES, UserError, err, load_strategy, out, plainly, print_json
from domain.compliance import RuleBook
from runtime.backtest import Backtest, Result, run
from runtime.logs import configure
from settings import load_settings


@plainly
def backtest(
    ledger: Annotated[Path, typer.Option(help="The ledger, as for import.")],
    payments: Annotated[Path, typer.Option(help="The payments, as for import.")],
    strategy: Annotated[Path, typer.Option(help="The strategy file to try.")],
    to: Annotated[Path, typer.Option("--out", help="Where to write the contacts, as CSV.")],
    rules: Annotated[
        str,
        typer.Option(
            help="'off': only the ledger's own rules; 'on': packs by residence; or packs by name: us-federal,house"
        ),
    ] = "off",
    consolidate: Annotated[
        str, typer.Option(help="'on': one message per debtor and day, listing the accounts; 'off': one per account.")
    ] = "off",
    date_format: Annotated[str | None, typer.Option(help="How dates are written, e.g. %d/%m/%Y.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the real workflow over a past ledger in virtual time and write every contact it would have made."""
    if consolidate not in {"on", "off"}:
        raise UserError(f"--consolidate {consolidate}: is neither 'on' nor 'off'")
    for name, path in (("--ledger", ledger), ("--payments", payments)):
        if not path.is_file():
            raise UserError(f"{name} {path}: no such file")
    if to.is_dir():
        raise UserError(f"--out {to}: is a folder; name a file")
    if not to.parent.is_dir():
        raise UserError(f"--out {to}: there is no folder {to.parent}")
    settings = load_settings()
    configure("ERROR")
    book, packs = _rules(rules)
    test = Backtest(
        ledger, payments, load_strategy(strategy), to, TEMPLATES, consolidate == "on", date_format, book, packs
    )
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("starting", total=None)

        def say(what: str, done: int, total: int) -> None:
            count = f" {done}/{total}" if total else f" {-done}" if done else ""
            bar.update(task, description=f"{what}{count}")

        result = asyncio.run(run(settings, test, say))
    gc.collect()  # the engine's threads must be gone before the interpreter ends
    _tell(result, to, as_json=as_json)


def _rules(said: str) -> tuple[RuleBook | None, tuple[str, ...] | None]:
    """Return the rule book and the packs by name; no book when the packs are off."""
    if said == "off":
        return None, None
    book = book_of(RULES)
    if said == "on":
        return book, None
    packs = tuple(name.strip() for name in said.split(",") if name.strip())
    unknown = [name for name in packs if name not in book.packs]
    if unknown or not packs:
        named = ", ".join(unknown) or "nothing"
        raise UserError(f"--rules {said}: no pack called {named}; there are {', '.join(sorted(book.packs))}")
    return book, packs


def _tell(result: Result, to: Path, *, as_json: bool) -> None:
    mistakes = [str(mistake) for imported in result.imports for mistake in imported.mistakes]
    figures = {
        "accounts": result.accounts,
        "cases": result.cases,
        "closed": result.closed,
        "on_hold": result.on_hold,
        "contacts": result.sends,
        "rows_left_out": len(mistakes),
        "out": str(to),
    }
    for mistake in mistakes[:20]:
        err.print(mistake, markup=False)
    if as_json:
        print_json(figures)
        return
    for name, value in figures.items():
        out.print(f"{name.replace('_', ' '):>14}  {value}", highlight=False)
