"""``up`` and ``demo``: the servers, the worker, and for a demonstration a portfolio that plays."""

import asyncio
import gc
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from cli.portfolio import write_portfolio
from cli.rehearsal import Carriers, start_carriers
from cli.rules import RULES, book_of
from cli.say import ROOT, UserError, err, out, plainly, print_json, shipped_strategies
from cli.scenario import run_scenario
from db.engine import make_engine
from db.intake import Order, import_file
from db.migrate import upgrade
from db.settings import SANDBOX_SEED, get, put, put_in_force, set_clock
from domain.clock import BusinessClock
from domain.gate import CORE_RULES
from runtime.endpoints import Ownership
from runtime.logs import configure
from runtime.servers import Servers
from runtime.summary import Summary, summarise
from runtime.world import DONE, OPENED_UNTIL
from settings import Settings, load_settings

DEMO_START = date(2026, 1, 5)
DEMO_SECONDS_PER_DAY = 0.9
DEMO_MARKER = "demonstration"
WORKER = [sys.executable, str(ROOT / "worker.py")]
WEB = [sys.executable, str(ROOT / "webserver.py")]


class Choice(StrEnum):
    """Who carries the messages of a demonstration."""

    SANDBOX = "sandbox"
    FAKE = "fake"


class Scenario(StrEnum):
    """Stories that can be told instead."""

    PEOPLE = "people"


@plainly
def up() -> None:
    """Run the servers and the worker in the foreground; Ctrl-C stops them cleanly."""
    settings = load_settings()
    configure(settings.log_level)
    asyncio.run(_up(settings))
    gc.collect()


async def _up(settings: Settings) -> None:
    stop = _stop_event()
    async with Servers(settings) as servers:
        await asyncio.to_thread(_prepare, servers.database_url)
        port, env = _web(servers, settings)
        await servers.add_child("web", WEB, env, port=port)
        await _start_workers(servers, settings, env)
        out.print(f"Webhooks and payments: http://{settings.web_host}:{port}")
        out.print(f"Dunlin is up. Cases in Temporal's web UI: {servers.ui_url or servers.temporal_address}")
        out.print("Next: `python starter.py import --ledger FILE`, then `python starter.py open`. Ctrl-C stops.")
        await _until(stop, servers)
    out.print("stopped")


def _prepare(url: str) -> None:
    """Bring the schema up to date; a fresh installation gets the shipped strategies."""
    upgrade(url)
    engine = make_engine(url)
    with engine.begin() as connection:
        put_in_force(connection, shipped_strategies(), datetime.now(UTC))
    engine.dispose()


def _web(servers: Servers, settings: Settings) -> tuple[int, dict[str, str]]:
    """Return the port of the web part, and what workers and it must know of it."""
    port = servers.port_for("the web part", settings.web_port, "DUNLIN_WEB_PORT")
    return port, {**os.environ, "DUNLIN_STATE_DIR": str(settings.state_folder), "DUNLIN_WEB_PORT": str(port)}


async def _start_workers(servers: Servers, settings: Settings, env: Mapping[str, str]) -> None:
    for number in range(settings.workers):
        await servers.add_child(f"worker-{number + 1}", WORKER, env)


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _until(stop: asyncio.Event, servers: Servers) -> None:
    """Wait to be stopped; ServerFailed if something cannot be kept up."""
    waiting, failed = asyncio.ensure_future(stop.wait()), servers.failed
    both: set[asyncio.Future[Any]] = {waiting, failed}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        waiting.cancel()
        failed.result()


@plainly
def demo(
    stay: Annotated[bool, typer.Option("--stay", help="Keep everything up at the end, to look around.")] = False,
    accounts: Annotated[int, typer.Option(min=1, max=20_000, help="Accounts of the sample portfolio.")] = 200,
    days: Annotated[int, typer.Option(min=1, max=720, help="Days to play.")] = 120,
    seed: Annotated[int, typer.Option(help="Same seed, same story.")] = 7,
    providers: Annotated[
        Choice, typer.Option(help="sandbox, or fake: real requests to a fake of the carriers, with callbacks.")
    ] = Choice.SANDBOX,
    scenario: Annotated[
        Scenario | None,
        typer.Option(help="people: agents and others at work, told line by line. Its own portfolio and days."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary, or the story by line, as JSON.")] = False,
) -> None:
    """Play the main job on a sample portfolio, days in seconds, and print a summary that adds up."""
    settings = load_settings()
    if scenario is not None and providers is not Choice.SANDBOX:
        raise UserError("demo --scenario: its people are played, not simulated; leave --providers out")
    if settings.database_url is not None or settings.external_temporal:
        raise UserError("demo: runs on servers of its own; unset DUNLIN_DATABASE_URL and TEMPORAL_ADDRESS for it")
    configure("WARNING")
    _start_over(settings.state_folder)
    if scenario is Scenario.PEOPLE:
        _tell_story(settings, seed, stay=stay, as_json=as_json)
        return
    summary = asyncio.run(_demo(settings, accounts, days, seed, providers, stay=stay, quiet=as_json))
    gc.collect()
    if as_json:
        print_json(summary.as_dict())
    else:
        out.print(_final(summary))
    if summary.wrong:
        raise UserError(f"the summary does not add up: {'; '.join(summary.wrong)}")


def _tell_story(settings: Settings, seed: int, *, stay: bool, as_json: bool) -> None:
    async def told() -> tuple[str, ...]:
        return await run_scenario(settings, seed, _stop_event(), stay=stay, as_json=as_json)

    wrong = asyncio.run(told())
    gc.collect()
    if wrong:
        raise UserError(f"the story does not add up: {'; '.join(wrong)}")


async def _demo(
    settings: Settings, accounts: int, days: int, seed: int, providers: Choice, *, stay: bool, quiet: bool
) -> Summary:
    stop = _stop_event()
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(Servers(settings))
        await asyncio.to_thread(upgrade, servers.database_url)
        engine = make_engine(servers.database_url)
        stack.callback(engine.dispose)
        clock = await asyncio.to_thread(_load_portfolio, engine, settings.state_folder, accounts, days, seed)
        carriers = await _start_processes(servers, settings, providers, seed)
        if not quiet:
            out.print(f"Every case in Temporal's web UI: {servers.ui_url}")
        await _watch(engine, clock, stop, servers, quiet=quiet)
        if not quiet:
            out.print(f"{days} days in {time.monotonic() - began:.0f} s; restarts of servers: {_restarts(servers)}")
        summary = await asyncio.to_thread(summarise, engine)
        if carriers is not None:
            figures, wrong = await asyncio.to_thread(carriers.compare, engine)
            summary = replace(summary, carriers=figures, wrong=(*summary.wrong, *wrong))
        if stay and not stop.is_set():
            out.print(f"Still up: {servers.ui_url} . Ctrl-C stops.")
            await _until(stop, servers)
    return summary


async def _start_processes(servers: Servers, settings: Settings, providers: Choice, seed: int) -> Carriers | None:
    """Start what a demonstration needs besides the servers. It never reaches a real carrier, whatever is set."""
    port, env = _web(servers, settings)
    env |= {"DUNLIN_PROVIDERS": "sandbox", "DUNLIN_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    carriers = None
    if providers is Choice.FAKE:
        carriers = await start_carriers(servers, seed)
        env |= await asyncio.to_thread(carriers.environment, env["DUNLIN_PUBLIC_URL"])
        await servers.add_child("web", WEB, env, port=port)
    await _start_workers(servers, settings, env)
    return carriers


def _restarts(servers: Servers) -> str:
    return ", ".join(f"{name} {count}" for name, count in servers.restarts.items() if count) or "none"


def _start_over(folder: Path) -> None:
    """Clear what an earlier demonstration left. A folder with anything else in it is never touched."""
    with Ownership(folder):
        marker = folder / DEMO_MARKER
        if (folder / "postgres").exists() and not marker.exists():
            raise UserError(
                f"demo: {folder} holds an installation that is no demonstration; "
                f"set DUNLIN_STATE_DIR to another folder for the demo"
            )
        for name in ("postgres", "temporal", "portfolio", "letters"):
            shutil.rmtree(folder / name, ignore_errors=True)
        marker.write_text("a demonstration may clear this folder\n", encoding="utf-8")


def _load_portfolio(engine: Engine, folder: Path, accounts: int, days: int, seed: int) -> BusinessClock:
    files = write_portfolio(folder / "portfolio", accounts=accounts, seed=seed, start=DEMO_START, days=days)
    origin = datetime(DEMO_START.year, DEMO_START.month, DEMO_START.day, 6, tzinfo=UTC)
    before = origin - timedelta(days=1)
    for kind, path in (("ledger", files.ledger), ("contacts", files.contacts), ("parties", files.parties)):
        import_file(engine, Order(kind, path, before))  # type: ignore[arg-type]
    import_file(engine, Order("payments", files.payments, before))
    clock = BusinessClock(
        kind="logical",
        origin=origin,
        epoch=datetime.now(UTC) + timedelta(seconds=2),
        speed=86_400 / DEMO_SECONDS_PER_DAY,
        in_turns=True,
        horizon=origin + timedelta(days=days),
    )
    with engine.begin() as connection:
        put_in_force(connection, shipped_strategies(), origin)
        set_clock(connection, clock)
        put(connection, SANDBOX_SEED, seed)
    return clock


async def _watch(engine: Engine, clock: BusinessClock, stop: asyncio.Event, servers: Servers, *, quiet: bool) -> None:
    """Show what happens until the last day is done or somebody stops it."""
    terminal = out.is_terminal and not quiet
    shown = -1
    with (
        Live(console=out, transient=True, refresh_per_second=4, auto_refresh=False) if terminal else _Nothing() as live
    ):
        while not stop.is_set():
            try:
                done, day, summary = await asyncio.to_thread(_look, engine, clock)
            except Exception as error:  # noqa: BLE001 - the servers may be restarting: the view waits for them
                done, day, summary = False, shown, None
                err.print(f"waiting for a server ({type(error).__name__})", style="dim")
            if summary is not None and live is not None:
                live.update(_view(day, summary, servers.ui_url), refresh=True)
            elif summary is not None and not quiet and day // 10 != shown // 10:
                out.print(
                    f"day {day}: {sum(summary.stages.values())} cases open, {sum(summary.closed.values())} closed"
                )
            shown = day
            if done:
                return
            if servers.failed.done():
                servers.failed.result()
            await asyncio.sleep(0.5)


class _Nothing:
    """No live view: output goes to a file or a program."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _look(engine: Engine, clock: BusinessClock) -> tuple[bool, int, Summary]:
    with engine.connect() as connection:
        done = bool(get(connection, DONE))
        opened = get(connection, OPENED_UNTIL)
    origin = clock.origin or datetime.now(UTC)
    day = 0 if opened is None else (datetime.fromisoformat(opened) - origin).days
    return done, day, summarise(engine, coming=6)


def _view(day: int, summary: Summary, ui_url: str | None) -> Group:
    return Group(
        Text(f"day {day}   {ui_url or ''}", style="bold"),
        _counts("open cases by stage", summary.stages),
        _contacts(summary),
        _refusals(summary),
        _counts("paid, minor units", summary.paid),
        _coming(summary),
    )


def _counts(title: str, counts: dict[str, int]) -> Table:
    table = Table(title=title, title_justify="left", show_header=True, expand=False)
    for name in counts or {"none yet": 0}:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_row(*(f"{count:,}" for count in (counts or {"": 0}).values()))
    return table


def _refusals(summary: Summary) -> Table:
    """Return what was put off or refused, most first, in words."""
    table = Table(title="put off or refused, by rule", title_justify="left")
    for name in ("rule", "why", "times"):
        table.add_column(name, justify="right" if name == "times" else "left", no_wrap=name == "rule")
    words = _rule_titles()
    for rule, times in sorted(summary.refusals.items(), key=lambda one: (-one[1], one[0])):
        table.add_row(rule, words.get(rule, ""), str(times))
    return table


@lru_cache(maxsize=1)
def _rule_titles() -> dict[str, str]:
    book = book_of(RULES)
    return {rule.id: rule.title for pack in book.packs.values() for rule in pack.rules} | CORE_RULES


def _work(summary: Summary) -> Table:
    """Return work items by kind and state."""
    kinds = sorted({name.rpartition(" ")[0] for name in summary.work})
    states = sorted({name.rpartition(" ")[2] for name in summary.work})
    table = Table(title="work items", title_justify="left")
    table.add_column("kind")
    for state in states:
        table.add_column(state, justify="right")
    for kind in kinds:
        table.add_row(kind.replace("_", " "), *(str(summary.work.get(f"{kind} {state}", "")) for state in states))
    return table


def _contacts(summary: Summary) -> Table:
    statuses = sorted({status for by_status in summary.contacts.values() for status in by_status})
    table = Table(title="contacts by channel", title_justify="left")
    table.add_column("channel")
    for status in statuses:
        table.add_column(status, justify="right")
    for channel, by_status in summary.contacts.items():
        table.add_row(channel, *(str(by_status.get(status, "")) for status in statuses))
    return table


def _coming(summary: Summary) -> Table:
    table = Table(title="what happens next", title_justify="left")
    for name in ("case", "when (UTC)", "waits for"):
        table.add_column(name)
    for row in summary.coming:
        table.add_row(*row)
    return table


def _final(summary: Summary) -> Group:
    return Group(
        _counts("accounts", summary.accounts),
        _counts("open cases by stage", summary.stages),
        _counts("closed cases by reason", summary.closed),
        _contacts(summary),
        _refusals(summary),
        _work(summary),
        _counts("payments", summary.payments),
        _counts("paid, minor units", summary.paid),
        *(_counts(provider, figures) for provider, figures in summary.carriers.items()),
        Text("everything adds up" if not summary.wrong else f"DOES NOT ADD UP: {'; '.join(summary.wrong)}"),
    )
