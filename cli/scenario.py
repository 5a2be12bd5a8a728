"""``demo --scenario people``: a day of agents and supervisors, told line by line, on servers of its own."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any

import typer
from rich.text import Text
from temporalio.client import Client

from cli.say import ROOT, out
from db.engine import make_engine
from db.migrate import upgrade
from runtime.client import connect
from runtime.scenario.play import play, prepare
from runtime.scenario.stage import Line
from runtime.servers import Servers
from settings import Settings
from web.counters import Counters
from web.delivering import Deliverer

WORKER = [sys.executable, str(ROOT / "worker.py")]


async def run_scenario(
    settings: Settings, seed: int, stop: asyncio.Event, *, stay: bool, as_json: bool
) -> tuple[str, ...]:
    """Play the scenario on a worker in a process of its own, and say what holds at the end; return what does not."""
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(Servers(settings))
        await asyncio.to_thread(upgrade, servers.database_url)
        engine = make_engine(servers.database_url)
        stack.callback(engine.dispose)
        await asyncio.to_thread(prepare, engine)
        env = {**os.environ, "DUNLIN_STATE_DIR": str(settings.state_folder), "DUNLIN_PROVIDERS": "sandbox"}
        await servers.add_child("worker-1", WORKER, env)
        client = await connect(settings, servers.endpoints)

        async def same() -> Client:
            return client

        deliverer = Deliverer(engine, same, Counters())
        playing = asyncio.ensure_future(
            play(engine, client, settings.state_folder, seed, deliverer.deliver_some, _teller(as_json=as_json))
        )
        stopping = asyncio.ensure_future(stop.wait())
        ends: set[asyncio.Future[Any]] = {playing, stopping, servers.failed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if servers.failed.done():
            servers.failed.result()
        if not playing.done():
            playing.cancel()
            out.print("stopped")
            raise typer.Exit(130)
        found = playing.result()
        _end(found, as_json=as_json)
        if stay and not stop.is_set():
            if not as_json:
                out.print(f"Still up: {servers.ui_url} . Ctrl-C stops.")
            ends = {stopping, servers.failed}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        return tuple(name for name, holds in found.items() if not holds)


def _end(found: Mapping[str, bool], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"checks": found}))
        return
    out.print()
    out.rule(Text("Does it add up? Asked of the database", style="bold"), align="left")
    for name, holds in found.items():
        out.print(Text(f"  {'yes' if holds else 'NO '}  {name}", style="green" if holds else "bold red"))


def _teller(*, as_json: bool) -> Callable[[Line], None]:
    """Return what shows a line as soon as it is told: words for people, one JSON object a line for programs."""
    shown = ["", ""]

    def as_object(line: Line) -> None:
        typer.echo(json.dumps(asdict(line), default=str, ensure_ascii=False))

    def in_words(line: Line) -> None:
        if line.chapter != shown[0]:
            out.print()
            out.rule(Text(line.chapter, style="bold"), align="left")
            shown[0] = line.chapter
        head = Text(f"{line.at:%a %d %b %H:%M} ", style="dim")
        head.append(line.who, style="bold cyan").append(f" {line.did}")
        if head.plain != shown[1]:
            out.print(head)
            shown[1] = head.plain
        out.print(Text(f"    -> {line.answer}"))
        if line.rules:
            out.print(Text(f"    rule: {', '.join(line.rules)}", style="yellow"))
        if line.waits:
            out.print(Text(f"    {line.case} now: {line.waits}", style="green"))

    return as_object if as_json else in_words
