"""``bulk``: one act on many cases: shown, confirmed by its fingerprint, carried out with progress, reported."""

import csv
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import Engine

from cli.acting import As, acting
from cli.operations import AsJson, with_engine
from cli.say import err, load_strategy, out, plainly, print_json
from db.bulk import Operation
from db.strategies import register
from desk import bulk
from domain.bulk import BulkAction, BulkOrder, BulkStatus, ItemStatus
from domain.codes import CloseReason, HoldReason
from domain.money import format_amount
from domain.scope import parse_scope
from settings import load_settings

app = typer.Typer(no_args_is_help=True, help="One act on many cases: look, then confirm exactly what was shown.")

Where = Annotated[str, typer.Option("--where", help="Which open cases: 'creditor: bank, dpd: {at_least: 30}', or all.")]
Confirm = Annotated[str | None, typer.Option("--confirm", help="The fingerprint that the preview showed.")]
Note = Annotated[str, typer.Option("--note", help="Why, in words; stays in the database.")]
Until = Annotated[datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="First day without it, UTC.")]
PATIENCE = 30.0
"""Seconds without news after which the command no longer waits for the cases to be told."""
REPORTED = ("no", "case_key", "account", "creditor", "status", "why", "affected", "settled_at")


def _now() -> datetime:
    return datetime.now(UTC)


# --- the acts -------------------------------------------------------------------------------------------------------


@app.command()
@plainly
def hold(
    where: Where,
    reason: Annotated[HoldReason, typer.Option(help="Why outreach rests.")],
    until: Until = None,
    note: Note = "",
    confirm: Confirm = None,
    as_: As = None,
    as_json: AsJson = False,
) -> None:
    """Suspend outreach for a reason."""
    order = BulkOrder(BulkAction.HOLD, parse_scope(where), hold_reason=reason, until=_day(until), note=note)
    _do(order, confirm, as_, as_json=as_json)


@app.command()
@plainly
def release(
    where: Where,
    reason: Annotated[HoldReason | None, typer.Option(help="Which holds end: those of this reason.")] = None,
    of: Annotated[str | None, typer.Option("--of", help="Which holds end: those that this operation placed.")] = None,
    note: Note = "",
    confirm: Confirm = None,
    as_: As = None,
    as_json: AsJson = False,
) -> None:
    """End holds of the accounts themselves; those of a debtor or of an event are ended one by one."""
    order = BulkOrder(BulkAction.RELEASE, parse_scope(where), hold_reason=reason, of=of, note=note)
    _do(order, confirm, as_, as_json=as_json)


@app.command()
@plainly
def pause(
    where: Where,
    until: Until = None,
    note: Note = "",
    confirm: Confirm = None,
    as_: As = None,
    as_json: AsJson = False,
) -> None:
    """Pause outreach until resumed, or until a day."""
    order = BulkOrder(BulkAction.PAUSE, parse_scope(where), until=_day(until), note=note)
    _do(order, confirm, as_, as_json=as_json)


@app.command()
@plainly
def resume(where: Where, note: Note = "", confirm: Confirm = None, as_: As = None, as_json: AsJson = False) -> None:
    """End pauses. Nothing bursts: each case goes on where it belongs by now."""
    _do(BulkOrder(BulkAction.RESUME, parse_scope(where), note=note), confirm, as_, as_json=as_json)


@app.command()
@plainly
def close(
    where: Where,
    reason: Annotated[CloseReason, typer.Option(help="Why the cases end.")],
    note: Note = "",
    confirm: Confirm = None,
    as_: As = None,
    as_json: AsJson = False,
) -> None:
    """End cases for a reason other than payment. A supervisor's act."""
    order = BulkOrder(BulkAction.CLOSE, parse_scope(where), close_reason=reason, note=note)
    _do(order, confirm, as_, as_json=as_json)


@app.command("adopt-strategy")
@plainly
def adopt_strategy(
    where: Where,
    strategy: Annotated[Path, typer.Option(help="The file of the strategy that they follow from now on.")],
    note: Note = "",
    confirm: Confirm = None,
    as_: As = None,
    as_json: AsJson = False,
) -> None:
    """Move cases to another strategy. A supervisor's act; no step is repeated, nothing bursts."""
    loaded = load_strategy(strategy)

    def known(engine: Engine) -> str:
        with engine.begin() as connection:
            return register(connection, loaded, _now())

    digest = with_engine(known)
    order = BulkOrder(BulkAction.ADOPT_STRATEGY, parse_scope(where), strategy_digest=digest, note=note)
    _do(order, confirm, as_, as_json=as_json)


@app.command()
@plainly
def assign(
    where: Where,
    to: Annotated[str, typer.Option(help="An agent's code, or a skill that a team shares.")],
    note: Note = "",
    confirm: Confirm = None,
    as_: As = None,
    as_json: AsJson = False,
) -> None:
    """Give the open work items of cases to an agent or a team; whoever has claimed one keeps it."""
    _do(BulkOrder(BulkAction.ASSIGN, parse_scope(where), assignee=to, note=note), confirm, as_, as_json=as_json)


def _day(until: datetime | None) -> datetime | None:
    return None if until is None else until.replace(tzinfo=UTC)


def _do(order: BulkOrder, fingerprint: str | None, code: str | None, *, as_json: bool) -> None:
    """Show what would be done; with the fingerprint of what was shown, do it."""
    above = load_settings().bulk_approval_above

    def act(engine: Engine) -> None:
        who = acting(engine, code)
        if fingerprint is None:
            _show(bulk.preview(engine, who, order, _now(), approval_above=above), as_json=as_json)
            return
        operation = bulk.confirm(engine, who, order, fingerprint, _now(), approval_above=above)
        if operation.status is BulkStatus.WAITING:
            if as_json:
                print_json(_as_dict(operation))
                return
            out.print(
                f"{operation.key} waits for a second person: a supervisor lets it run with "
                f"`bulk approve {operation.key}`, then `bulk run {operation.key}`",
                highlight=False,
            )
            return
        _run(engine, operation.key, code, as_json=as_json)

    with_engine(act)


def _show(shown: bulk.Preview, *, as_json: bool) -> None:
    if as_json:
        plain = asdict(shown)
        plain["order"] = {"action": shown.order.action, **shown.order.parameters}
        print_json(plain)
        return
    out.print(f"bulk {shown.order.action}: {shown.cases} cases", highlight=False)
    for currency, amount in shown.money.items():
        out.print(f"  past due {format_amount(amount, currency)}", highlight=False)
    table = Table("by", "", "cases")
    for what, counts in shown.by.items():
        for value, count in counts.items():
            table.add_row(what, value, str(count))
    out.print(table)
    for one in shown.sample:
        out.print(f"  for example {one.key} ({one.creditor}, {one.stage}, {one.strategy})", highlight=False)
    if not shown.cases:
        return
    if shown.needs_second:
        out.print("A second person will have to approve it: so many cases at once.")
    out.print(f"To do exactly this: the same with --confirm {shown.fingerprint}", highlight=False, soft_wrap=True)


# --- carrying out and looking ---------------------------------------------------------------------------------------


@app.command()
@plainly
def run(
    key: Annotated[str, typer.Argument(help="The operation, e.g. B000000001.")],
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also try again what failed.")] = False,
    as_: As = None,
    as_json: AsJson = False,
) -> None:
    """Go on with an operation: after a kill, an outage, or an approval."""
    with_engine(lambda engine: _run(engine, key, as_, as_json=as_json, retry_failed=retry_failed))


def _run(engine: Engine, key: str, code: str | None, *, as_json: bool, retry_failed: bool = False) -> None:
    who = acting(engine, code)
    with _bar(shown=not as_json) as bar:
        doing = bar.add_task("in the ledger", total=None)

        def progress(done: int, everything: int) -> None:
            bar.update(doing, completed=done, total=everything)

        operation = bulk.run(engine, who, key, _now, progress=progress, retry_failed=retry_failed)
        _await_told(engine, operation, bar)
    _report(bulk.report(engine, key), as_json=as_json)


def _bar(*, shown: bool) -> Progress:
    columns = (TextColumn("{task.description:>14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, disable=not shown)


def _await_told(engine: Engine, operation: Operation, bar: Progress) -> None:
    """Watch the cases being told; not for longer than there is news."""
    telling = bar.add_task("cases told", total=None)
    last, since = -1, time.monotonic()
    while True:
        standing = bulk.standing_of(engine, operation)
        bar.update(telling, completed=standing.told, total=standing.to_tell)
        if standing.told >= standing.to_tell:
            return
        if standing.told != last:
            last, since = standing.told, time.monotonic()
        if time.monotonic() - since > PATIENCE:
            err.print(
                f"the ledger is done; {standing.to_tell - standing.told} cases are told when Temporal and the web "
                f"part answer (`bulk status {operation.key}`)"
            )
            return
        time.sleep(0.5)


@app.command()
@plainly
def status(key: Annotated[str, typer.Argument(help="The operation.")], as_json: AsJson = False) -> None:
    """Say how far an operation is."""
    _report(with_engine(lambda engine: bulk.report(engine, key)), as_json=as_json)


@app.command()
@plainly
def report(
    key: Annotated[str, typer.Argument(help="The operation.")],
    to: Annotated[Path | None, typer.Option("--out", help="A CSV file with one line for each case.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what became of every case of an operation."""
    found = with_engine(lambda engine: bulk.report(engine, key))
    if to is not None:
        with to.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(REPORTED)
            writer.writerows([getattr(row, name) for name in REPORTED] for row in found.rows)
    elif as_json:
        print_json({**_standing(found), "rows": [dict(row._mapping) for row in found.rows]})  # noqa: SLF001 - public in SQLAlchemy
        return
    else:
        writer = csv.writer(sys.stdout)
        writer.writerow(REPORTED)
        writer.writerows([getattr(row, name) for name in REPORTED] for row in found.rows)
        return
    _report(found, as_json=as_json)


def _as_dict(operation: Operation) -> dict[str, Any]:
    return asdict(operation)


def _standing(found: bulk.Report) -> dict[str, Any]:
    return {**_as_dict(found.operation), **asdict(found.standing), "why": dict(found.why)}


def _report(found: bulk.Report, *, as_json: bool) -> None:
    if as_json:
        print_json(_standing(found))
        return
    operation, standing = found.operation, found.standing
    out.print(f"{operation.key} {operation.action}: {operation.status}, {operation.cases} cases", highlight=False)
    for name in ItemStatus:
        if standing.items.get(name):
            out.print(f"  {standing.items[name]:>7} {name}", highlight=False)
    for why, count in found.why.items():
        out.print(f"          {why}: {count}", highlight=False)
    if standing.to_tell:
        out.print(f"  told {standing.told} of {standing.to_tell}, {standing.heard} have acted on it", highlight=False)


@app.command("list")
@plainly
def show_all(as_json: AsJson = False) -> None:
    """Show the latest operations."""
    found = with_engine(bulk.operations)
    if as_json:
        print_json([_as_dict(one) for one in found])
        return
    table = Table("key", "what", "cases", "status", "asked by", "asked at", "approved by")
    for one in found:
        asked_at = f"{one.asked_at:%Y-%m-%d %H:%M}"
        table.add_row(one.key, one.action, str(one.cases), one.status, one.asked_by, asked_at, one.approved_by or "")
    out.print(table)


@app.command()
@plainly
def approve(
    key: Annotated[str, typer.Argument(help="The operation.")], as_: As = None, as_json: AsJson = False
) -> None:
    """Let a large operation run: a second person's decision."""
    _changed(key, as_, bulk.approve, as_json=as_json, then=f"carry it out with `bulk run {key}`")


@app.command()
@plainly
def cancel(key: Annotated[str, typer.Argument(help="The operation.")], as_: As = None, as_json: AsJson = False) -> None:
    """Cancel an operation: what is not done stays undone, what is done stays done."""
    _changed(key, as_, bulk.cancel, as_json=as_json, then=f"what it did: `bulk status {key}`")


def _changed(key: str, code: str | None, act: Callable[..., Operation], *, as_json: bool, then: str) -> None:
    operation = with_engine(lambda engine: act(engine, acting(engine, code), key, _now()))
    if as_json:
        print_json(_as_dict(operation))
    else:
        out.print(f"{key} is {operation.status}; {then}", highlight=False)
