"""What operations does by hand: import files, open cases, look at them, send them a message."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import uuid4

import typer
import yaml
from rich.table import Table
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.catalogue import shipped
from activities.telling import tell_untold
from cli.acting import As, acting
from cli.costs import CaseCost, cost_of
from cli.say import MISTAKES_SHOWN, UserError, err, out, plainly, print_json
from db.engine import make_engine
from db.inbound import refusal_of_sender
from db.intake import Imported, Kind, Order, import_files, untold_cases
from db.work_outcomes import refusal_of_outcome
from domain.calendar import start_of_day
from domain.messages import MESSAGES, RefusedMessageError, parse_message
from domain.money import parse_amount
from domain.roles import SYSTEM, Act, require
from runtime.client import NotRunning, connect
from runtime.endpoints import Endpoints, running_endpoints
from runtime.logs import configure
from runtime.work import open_cases
from settings import Settings, load_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
cases_app = typer.Typer(no_args_is_help=True, help="Look at cases.")
T = TypeVar("T")
TOLD_AT_ONCE = 32


def _running() -> tuple[Settings, Endpoints]:
    settings = load_settings()
    configure("ERROR")
    endpoints = running_endpoints(settings)
    if endpoints is None:
        raise NotRunning("nothing is running; start it with `python starter.py up` in another terminal")
    return settings, endpoints


def with_engine(act: Callable[[Engine], T]) -> T:
    """Do something with the database of what is running."""
    _, endpoints = _running()
    engine = make_engine(endpoints.database_url)
    try:
        return act(engine)
    finally:
        engine.dispose()


def with_client(act: Callable[[Client], Awaitable[T]]) -> T:
    """Do something with a client of what is running."""
    settings, endpoints = _running()

    async def run() -> T:
        return await act(await connect(settings, endpoints))

    return asyncio.run(run())


@plainly
def import_lender_files(
    ledger: Annotated[Path | None, typer.Option(help="Accounts and their dues.")] = None,
    payments: Annotated[Path | None, typer.Option(help="Payments.")] = None,
    contacts: Annotated[Path | None, typer.Option(help="More contact points.")] = None,
    parties: Annotated[Path | None, typer.Option(help="Co-borrowers, guarantors and others.")] = None,
    recalls: Annotated[Path | None, typer.Option(help="Accounts taken back: their cases end.")] = None,
    chargeoffs: Annotated[Path | None, typer.Option(help="Accounts written off; they are collected on.")] = None,
    names: Annotated[Path | None, typer.Option("--map", help="YAML: our column: the file's column.")] = None,
    date_format: Annotated[str | None, typer.Option(help="How dates are written, e.g. %d/%m/%Y.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing if any row is wrong.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="The ledger file is complete: what is missing goes to review.")
    ] = False,
    total: Annotated[list[str] | None, typer.Option(help="Control total of the ledger, e.g. USD=1234.50.")] = None,
    rows: Annotated[int | None, typer.Option(help="Control count of the ledger's rows.")] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Import a lender's files: checked row by row, idempotent, every mistake named by line and column."""
    files: dict[Kind, Path | None] = {
        "ledger": ledger,
        "parties": parties,
        "contacts": contacts,
        "payments": payments,
        "recalls": recalls,
        "chargeoffs": chargeoffs,
    }
    if all(path is None for path in files.values()):
        raise UserError("import: name a file: --ledger, --payments, --contacts, --parties, --recalls or --chargeoffs")
    if ledger is None and (full or total or rows is not None):
        raise UserError("import: --full, --total and --rows speak of the ledger; name it with --ledger")
    mapping, totals = _mapping(names), _totals(total)
    orders = [
        Order(
            kind=kind,
            path=path,
            at=datetime.now(UTC),
            names=mapping,
            date_format=date_format,
            strict=strict,
            full=full and kind == "ledger",
            totals=totals if kind == "ledger" else {},
            rows=rows if kind == "ledger" else None,
        )
        for kind, path in files.items()
        if path is not None
    ]
    settings, endpoints = _running()
    engine = make_engine(endpoints.database_url)
    try:
        who = acting(engine, by, Act.IMPORT)
        if recalls is not None or chargeoffs is not None:
            require(who, Act.RECALL)
        imported = import_files(engine, orders)
        _report(imported, as_json=as_json)
        asyncio.run(_tell_untold(settings, endpoints, engine))
    finally:
        engine.dispose()
    if any(mistake.fatal for one in imported for mistake in one.mistakes):
        raise typer.Exit(1)


def _mapping(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise UserError(f"--map {path}: no readable YAML file") from None
    if not isinstance(read, dict) or not all(isinstance(one, str) for pair in read.items() for one in pair):
        raise UserError(f"--map {path}: write lines such as `account_id: LoanNo`")
    return read


def _totals(given: list[str] | None) -> dict[str, int]:
    totals = {}
    for one in given or ():
        currency, _, amount = one.partition("=")
        try:
            totals[currency] = parse_amount(amount, currency)
        except ValueError as error:
            raise UserError(f"--total {one}: {error}; write for example USD=1234.50") from None
    return totals


async def _tell_untold(settings: Settings, endpoints: Endpoints, engine: Engine) -> None:
    """Tell open cases that their ledger changed, so that none sleeps on; also those that an earlier import left untold."""
    untold = await asyncio.to_thread(untold_cases, engine)
    if not untold:
        return
    try:
        await tell_untold(engine, await connect(settings, endpoints))
    except (NotRunning, RPCError):
        count = len({key for keys in untold.values() for key in keys})
        raise UserError(
            f"everything above is imported, but {count} open cases could not be told: Temporal does not answer; "
            f"`import` or `open` tells them when it does"
        ) from None


def _report(imported: list[Imported], *, as_json: bool) -> None:
    mistakes = [mistake for one in imported for mistake in one.mistakes]
    for mistake in mistakes[:MISTAKES_SHOWN]:
        err.print(str(mistake), markup=False)
    if len(mistakes) > MISTAKES_SHOWN:
        err.print(f"... and {len(mistakes) - MISTAKES_SHOWN} more")
    in_flight = sorted({key for one in imported for key in one.in_flight})
    if in_flight:
        err.print(f"in flight when payments were posted, so sent before: {', '.join(in_flight)}", markup=False)
    if as_json:
        print_json(
            [
                {
                    "kind": one.kind,
                    "rows": one.rows,
                    "taken": one.taken,
                    "totals": one.totals,
                    "counts": one.counts,
                    "in_flight": one.in_flight,
                    "mistakes": [asdict(mistake) for mistake in one.mistakes],
                }
                for one in imported
            ]
        )
        return
    for one in imported:
        out.print(f"{one.kind}: {one.taken} of {one.rows} rows taken", highlight=False)


@plainly
def open_overdue(
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="As of the start of this day, UTC.")
    ] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Open a case for every overdue account without one."""
    at = None if as_of is None else start_of_day(date(as_of.year, as_of.month, as_of.day), "UTC")
    with_engine(lambda engine: acting(engine, by, Act.OPEN))
    opened = with_client(lambda client: open_cases(client, at))
    settings, endpoints = _running()
    engine = make_engine(endpoints.database_url)
    try:
        asyncio.run(_tell_untold(settings, endpoints, engine))
    finally:
        engine.dispose()
    print_json({"opened": opened}) if as_json else out.print(f"{opened} cases opened")


def key_of(engine: Engine, key: str) -> str:
    """Return our case key for ours or the lender's: a case, an account, the lender's account number."""
    with engine.connect() as connection:
        found = (
            connection.exec_driver_sql(
                "SELECT DISTINCT ON (k.account_key) k.key FROM cases k JOIN accounts a ON a.key = k.account_key "
                "WHERE k.key = %(key)s OR a.key = %(key)s OR a.external_id = %(key)s "
                "ORDER BY k.account_key, k.key = %(key)s DESC, k.episode DESC",
                {"key": key},
            )
            .scalars()
            .all()
        )
    if not found:
        raise UserError(f"{key}: no case with this key or account number; `case list` shows all")
    if len(found) > 1:
        raise UserError(f"{key}: several creditors use this number; name one of {', '.join(found)}")
    return str(found[0])


@cases_app.command("list")
@plainly
def list_cases(
    stage: Annotated[str | None, typer.Option(help="Only this stage.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List cases: where each stands, when it acts next, what it waits for."""
    names = ("key", "account", "strategy", "stage", "step", "due_at", "waiting_for")

    def act(engine: Engine) -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT k.key, a.external_id, k.strategy, k.stage, k.step, nullif(k.due_at, '9999-12-31 00:00+00'), "
                "coalesce(k.close_reason, k.waiting_for) FROM cases k JOIN accounts a ON a.key = k.account_key "
                "WHERE %(stage)s::text IS NULL OR k.stage = %(stage)s ORDER BY k.status = 'closed', k.due_at, k.key LIMIT %(n)s",
                {"stage": stage, "n": limit},
            )
            return [tuple(row) for row in rows]

    rows = with_engine(act)
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    out.print(_table(names, rows))


def _table(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    table = Table()
    for name in names:
        table.add_column(name.replace("_", " "), no_wrap=name in {"key", "attempt"}, overflow="fold")
    for row in rows:
        table.add_row(
            *(
                "" if cell is None else f"{cell:%Y-%m-%d %H:%M}" if isinstance(cell, datetime) else str(cell)
                for cell in row
            )
        )
    return table


@cases_app.command("show")
@plainly
def show_case(key: Annotated[str, typer.Argument(help="Ours or the lender's.")], as_json: AsJson = False) -> None:
    """Show one case: what the workflow itself says, its attempts, and what it has cost."""
    case_key = with_engine(lambda engine: key_of(engine, key))

    async def ask(client: Client) -> dict[str, Any]:
        answer: dict[str, Any] = await client.get_workflow_handle(f"case/{case_key}").query("status")
        return answer

    status = with_client(ask)

    def act(engine: Engine) -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT t.key, t.channel, t.step, t.status, coalesce(t.sent_at, t.due_at), t.outcome, "
                "array_to_string((SELECT d.rule_ids FROM decisions d WHERE d.attempt_key = t.key ORDER BY number DESC LIMIT 1), ', ') "
                "FROM attempts t WHERE t.case_key = %s ORDER BY t.seq",
                (case_key,),
            )
            return [tuple(row) for row in rows]

    names = ("attempt", "channel", "step", "status", "at", "outcome", "rules", "cost")
    cost = with_engine(lambda engine: _cost(engine, case_key))
    attempts = [(*row, cost.by_attempt.get(row[0])) for row in with_engine(act)]
    if as_json:
        shown = [dict(zip(names, row, strict=True)) for row in attempts]
        print_json({**status, "attempts": shown, "cost": cost.contacts, "charged": cost.charged})
        return
    for name, value in (*status.items(), ("cost", cost.contacts), *(("charged", one) for one in cost.charged)):
        out.print(f"{name.replace('_', ' '):>14}  {value}", highlight=False)
    out.print(_table(names, attempts))


def _cost(engine: Engine, case_key: str) -> CaseCost:
    with engine.connect() as connection:
        return cost_of(connection, case_key)


@cases_app.command("history")
@plainly
def history(key: Annotated[str, typer.Argument(help="Ours or the lender's.")], as_json: AsJson = False) -> None:
    """Print the record of a case, oldest first."""

    def act(engine: Engine) -> list[tuple[Any, ...]]:
        case_key = key_of(engine, key)
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT seq, at, kind, body, hash FROM case_events WHERE case_key = %s ORDER BY seq",
                (case_key,),
            )
            return [tuple(row) for row in rows]

    rows = with_engine(act)
    if as_json:
        print_json([{"seq": s, "at": at, "kind": k, "body": json.loads(b), "hash": h} for s, at, k, b, h in rows])
        return
    out.print(_table(("no", "at", "what", "details", "hash"), [(*row[:4], row[4][:12]) for row in rows]))


def _sign(engine: Engine, name: str, body: dict[str, Any], by: str | None, case_key: str) -> None:
    """Write who acts into a message, and check that they may send it and that its outcome is one.

    Once somebody is registered, a message names whoever sends it and nobody else.
    """
    who = acting(engine, by)
    if who != SYSTEM and body.setdefault("actor", who.actor) != who.actor:
        raise UserError(f"--data: actor is not {who.actor}, who acts; leave it out")
    with engine.connect() as connection:
        message = parse_message(name, body)
        reason = refusal_of_sender(connection, message, case_key) or refusal_of_outcome(
            connection, message, case_key, shipped()
        )
    if reason is not None:
        raise UserError(f"{name}: {reason}")


@plainly
def signal(
    name: Annotated[str, typer.Argument(help="A message of docs/messages.md.")],
    key: Annotated[str, typer.Argument(help="Ours or the lender's.")],
    data: Annotated[str, typer.Option(help="JSON, or @file.")],
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Send a message to a case; it is checked before it is sent."""
    if name not in MESSAGES:
        raise UserError(f"{name}: no such message; one of {', '.join(MESSAGES)}")
    try:
        text = Path(data[1:]).read_text(encoding="utf-8") if data.startswith("@") else data
        body = json.loads(text)
    except OSError as error:
        raise UserError(f"--data {data}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"--data {data}: is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise UserError(f"--data: not JSON ({error.msg} at character {error.pos})") from None
    if isinstance(body, dict):
        body.setdefault("event_id", f"cli/{uuid4()}")
    try:
        parse_message(name, body)
    except RefusedMessageError as error:
        raise UserError(f"--data: {error}; docs/messages.md has an example of {name}") from None

    def address(engine: Engine) -> str:
        case_key = key_of(engine, key)
        _sign(engine, name, body, by, case_key)
        return case_key

    case_key = with_engine(address)

    async def send(client: Client) -> None:
        try:
            await client.get_workflow_handle(f"case/{case_key}").signal(name, body)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise UserError(f"{case_key}: the case is closed; `case show {case_key}` says why") from None
            raise

    with_client(send)
    sent = {"sent": name, "case": case_key, "event_id": body["event_id"]}
    print_json(sent) if as_json else out.print(f"sent {name} to {case_key}", highlight=False)
