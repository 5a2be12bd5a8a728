"""``strategy check`` and ``strategy show``: is a strategy file right, and what does it do when?"""

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from activities.catalogue import shipped
from activities.wording import FALLBACK_LANGUAGE
from cli.say import TEMPLATES, UserError, err, load_strategy, out, plainly, print_json
from domain.calendar import known_zone, local_date, local_time, start_of_day
from domain.codes import Channel, Purpose
from domain.schedule import Anchors, step_due
from domain.strategy import Strategy, Test
from domain.strategy_file import Mistake, StrategyError, digest, read_places
from domain.strategy_lint import lint

app = typer.Typer(no_args_is_help=True, help="Check and show strategy files.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
@plainly
def check(files: Annotated[list[Path], typer.Argument(help="Strategy files.")], as_json: AsJson = False) -> None:
    """Name every mistake by line; exit code 1 if there is one. Warnings alone leave it at 0."""
    good: list[dict[str, object]] = []
    found: list[dict[str, object]] = []
    for path in files:
        mistakes, strategy = examine(path)
        for one in mistakes:
            err.print(
                f"{path}:{one}" if one.level == "error" else f"{path}:{one} [warning]", markup=False, soft_wrap=True
            )
            found.append({"file": str(path), **asdict(one)})
        if strategy is not None and all(one.level == "warning" for one in mistakes):
            good.append(
                {"file": str(path), "name": strategy.name, "version": strategy.version, "digest": digest(strategy)[:12]}
            )
    if as_json:
        print_json({"good": good, "mistakes": found})
    else:
        for fine in good:
            out.print(f"{fine['file']}: {fine['name']} v{fine['version']} is right", highlight=False, soft_wrap=True)
    if len(good) < len(files):
        raise typer.Exit(1)


def examine(path: Path) -> tuple[list[Mistake], Strategy | None]:
    """Return what is wrong with one file, and the strategy if it can be read."""
    try:
        strategy = load_strategy(path)
    except StrategyError as error:
        return error.mistakes, None
    places = read_places(path.read_text(encoding="utf-8"))
    known = frozenset(file.name.removesuffix(".j2") for file in (TEMPLATES / FALLBACK_LANGUAGE).glob("*.j2"))
    outcomes = {str(by): shipped().known(by) for by in (Channel.CALL, Channel.VISIT)}
    return lint(strategy, places=places, templates=known, outcomes=outcomes), strategy


@app.command()
@plainly
def show(
    file: Annotated[Path, typer.Argument(help="A strategy file.")],
    due_on: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The example's due date.")] = datetime(
        2026, 1, 5, tzinfo=UTC
    ),
    zone: Annotated[str, typer.Option(help="The example's time zone.")] = "America/Chicago",
    placed_on: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day of its placement; default: the due date.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the ladder with dates for an example account on which every step is due and nobody answers."""
    strategy = load_strategy(file)
    if not known_zone(zone):
        raise UserError(f"--zone {zone}: no IANA time zone such as America/Chicago")
    rows = ladder(strategy, due_on.date(), zone, placed_on=None if placed_on is None else placed_on.date())
    if as_json:
        print_json({"name": strategy.name, "version": strategy.version, "steps": rows})
        return
    out.print(f"[bold]{strategy.name}[/bold] v{strategy.version}: {strategy.description}")
    table = Table()
    for name in ("step", "by", "when", "hours", "tries", "only if", "then"):
        table.add_column(name, no_wrap=name in {"step", "by", "when", "hours"})
    for row in rows:
        table.add_row(*(str(row[name]) for name in ("step", "by", "when", "hours", "tries", "only_if", "then")))
    out.print(table)


def ladder(strategy: Strategy, due_on: date, zone: str, *, placed_on: date | None = None) -> list[dict[str, object]]:
    """Return each step with the local time of its first try, if it is reached with nothing in between."""
    opened = start_of_day((placed_on or due_on) + timedelta(days=1), zone)
    done, last = opened, None
    validation_end: date | None = None
    due_on = _moved_due_date(strategy, due_on, opened, zone)
    rows: list[dict[str, object]] = []
    for step in strategy.steps:
        anchors = Anchors(
            zone=zone,
            holidays_of=strategy.holidays,
            opened_at=opened,
            step_done_at=done,
            due_on=due_on,
            placed_on=placed_on or due_on,
            validation_end=validation_end,
            last_contact_at=last,
        )
        due = step_due(step, anchors)
        if due is not None:
            done = last = due
            if step.purpose is Purpose.REQUIRED_NOTICE and strategy.validation_days and validation_end is None:
                validation_end = local_date(due, zone) + timedelta(days=strategy.validation_days)
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
                "only_if": "; ".join(f"{fact} {_in_words(test)}" for fact, test in step.only_if.items()),
                "then": leads,
            }
        )
    return rows


def _moved_due_date(strategy: Strategy, due_on: date, opened: datetime, zone: str) -> date:
    """Return the day a late starter's ladder counts from, as a case would."""
    if strategy.late_start != "first_step":
        return due_on
    first = strategy.steps[0].start
    return max(due_on, local_date(opened, zone) - timedelta(days=first.days if first.since == "due" else 0))


def _in_words(test: Test) -> str:
    parts = []
    for name, value in test.model_dump(exclude_none=True).items():
        if name == "yes":
            parts.append("yes" if value else "no")
        elif isinstance(value, dict):
            parts.append(f"{name} {', '.join(f'{amount} {currency}' for currency, amount in value.items())}")
        elif isinstance(value, tuple):
            parts.append(f"{name} {', '.join(value)}")
        else:
            parts.append(f"{name} {value}")
    return " and ".join(parts).replace("_", " ")
