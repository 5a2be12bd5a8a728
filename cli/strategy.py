"""``strategy check`` and ``strategy show``: is a strategy file right, and what does it do when?"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.say import UserError, err, load_strategy, out, plainly, print_json
from domain.calendar import known_zone, local_time, start_of_day
from domain.schedule import Anchors, step_due
from domain.strategy import Strategy
from domain.strategy_file import StrategyError, digest

app = typer.Typer(no_args_is_help=True, help="Check and show strategy files.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
@plainly
def check(files: Annotated[list[Path], typer.Argument(help="Strategy files.")], as_json: AsJson = False) -> None:
    """Name every mistake by line; exit code 1 if there is one."""
    good: list[dict[str, object]] = []
    bad: list[str] = []
    for path in files:
        try:
            strategy = load_strategy(path)
        except StrategyError as error:
            bad += [f"{mistake}" for mistake in error.mistakes]
        else:
            good.append(
                {
                    "file": str(path),
                    "name": strategy.name,
                    "version": strategy.version,
                    "digest": digest(strategy)[:12],
                }
            )
    for line in bad:
        err.print(line, markup=False)
    if as_json:
        print_json({"good": good, "mistakes": bad})
    else:
        for one in good:
            out.print(f"{one['file']}: {one['name']} v{one['version']} is right", highlight=False)
    if bad:
        raise typer.Exit(1)


@app.command()
@plainly
def show(
    file: Annotated[Path, typer.Argument(help="A strategy file.")],
    due_on: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The example's due date.")] = datetime(
        2026, 1, 5, tzinfo=UTC
    ),
    zone: Annotated[str, typer.Option(help="The example's time zone.")] = "America/Chicago",
    as_json: AsJson = False,
) -> None:
    """Print the ladder with dates for an example account on which every step is due and nobody answers."""
    strategy = load_strategy(file)
    if not known_zone(zone):
        raise UserError(f"--zone {zone}: no IANA time zone such as America/Chicago")
    rows = ladder(strategy, due_on.date(), zone)
    if as_json:
        print_json({"name": strategy.name, "version": strategy.version, "steps": rows})
        return
    out.print(f"[bold]{strategy.name}[/bold] v{strategy.version}: {strategy.description}")
    table = Table()
    for name in ("step", "by", "when", "hours", "tries", "only if", "then"):
        table.add_column(name)
    for row in rows:
        table.add_row(*(str(row[name]) for name in ("step", "by", "when", "hours", "tries", "only_if", "then")))
    out.print(table)


def ladder(strategy: Strategy, due_on: date, zone: str) -> list[dict[str, object]]:
    """Return each step with the local time of its first try, if it is reached with nothing in between."""
    opened = start_of_day(due_on + timedelta(days=1), zone)
    done, last = opened, None
    rows: list[dict[str, object]] = []
    for step in strategy.steps:
        anchors = Anchors(
            zone=zone,
            holidays_of=strategy.holidays,
            opened_at=opened,
            step_done_at=done,
            due_on=due_on,
            placed_on=due_on,
            validation_end=due_on + timedelta(days=strategy.validation_days + 10),
            last_contact_at=last,
        )
        due = step_due(step, anchors)
        if due is not None:
            done = last = due
        leads = "; ".join(
            f"{outcome} -> {goto.step or goto.close or goto.handover or goto.hold}"
            for outcome, goto in step.then.items()
        )
        rows.append(
            {
                "step": step.id,
                "by": str(step.via),
                "when": "when it happens" if due is None else f"{local_time(due, zone):%a %Y-%m-%d %H:%M}",
                "hours": str(step.between.hours),
                "tries": f"{step.tries} every {step.every}" if step.tries > 1 else "1",
                "only_if": ", ".join(step.only_if) or "",
                "then": leads,
            }
        )
    return rows
