"""``dispositions``: what may come of a call or a visit, and what follows from it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from activities.catalogue import DISPOSITIONS, load_catalogue
from cli.generated import markdown, update
from cli.operations import AsJson
from cli.say import UserError, err, out, plainly, print_json
from domain.dispositions import Catalogue
from domain.strategy_file import StrategyError

app = typer.Typer(no_args_is_help=True, help="The catalogue of outcomes of calls and visits.")
File = Annotated[Path, typer.Argument(help="A catalogue; default: the one that is shipped.")]


def _load(path: Path) -> Catalogue:
    try:
        return load_catalogue(path)
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path}: no readable catalogue; the shipped one is policies/dispositions.yaml") from None


@app.command()
@plainly
def check(file: File = DISPOSITIONS, as_json: AsJson = False) -> None:
    """Name every mistake by line; exit code 1 if there is one."""
    try:
        catalogue = _load(file)
    except StrategyError as error:
        if as_json:
            print_json({"good": False, "mistakes": [asdict(one) for one in error.mistakes]})
        for one in error.mistakes:
            err.print(f"{file}:{one}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    count = len(catalogue.dispositions)
    if as_json:
        print_json({"good": True, "version": catalogue.version, "outcomes": count, "digest": catalogue.digest[:12]})
    else:
        out.print(f"{file.name}: version {catalogue.version} with {count} outcomes is right", highlight=False)


@app.command("list")
@plainly
def show(
    file: File = DISPOSITIONS,
    by: Annotated[str | None, typer.Option(help="Only call, or only visit.")] = None,
    into: Annotated[Path | None, typer.Option("--update", help="Write the table into this document.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show every outcome: whom it reached, and what follows."""
    catalogue = _load(file)
    if into is not None:
        changed = update(into, "dispositions", table_of(catalogue))
        out.print(f"{into} is changed" if changed else f"{into} is right", highlight=False)
        return
    rows = [one for one in catalogue.dispositions if by is None or by in one.by]
    if not rows:
        raise UserError(f"--by {by}: is not one of call, visit")
    if as_json:
        print_json([{**one.model_dump(mode="json"), "follows": list(one.follows)} for one in rows])
        return
    table = Table()
    for column in ("code", "of a", "reached", "effective", "what follows"):
        table.add_column(column, no_wrap=column == "code")
    for one in rows:
        effective = "yes" if one.effective else ""
        table.add_row(one.code, ", ".join(one.by), ", ".join(one.reached), effective, "; ".join(one.follows))
    out.print(table)


def table_of(catalogue: Catalogue) -> str:
    """Return the catalogue as a Markdown table."""
    rows = [
        [
            f"`{one.code}`",
            one.label,
            ", ".join(one.by),
            ", ".join(one.reached),
            "yes" if one.effective else "",
            ", ".join(one.needs),
            "; ".join(one.follows) or "tried again after the step's own pause",
        ]
        for one in catalogue.dispositions
    ]
    return markdown(["code", "meaning", "of a", "reached", "effective", "needs", "what follows"], rows)
