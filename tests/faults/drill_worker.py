"""A worker that dies, or stands still, where a plan says. ``python -m tests.faults.drill_worker PLAN``.

It is the worker of production with the judge for a provider and a checkpoint of its own: whoever comes to a place in
the plan is held there, and when all have come the process goes down with all of them at once.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel

from activities.checkpoints import Place
from activities.wording import Wording
from db.engine import make_engine
from domain.codes import AUTOMATED_CHANNELS
from domain.gate import LedgerGate
from runtime.client import connect
from runtime.endpoints import running_endpoints
from runtime.work import TEMPLATES
from runtime.worker import Parts, Workers
from settings import load_settings
from tests.faults.judge import JudgedProvider

ON_THE_LOOP = frozenset({Place.OPENING_ROWS, Place.OPENING_STARTING, Place.OPENING_STARTED, Place.OPENING_MARKING, Place.OPENING_MARKED})  # fmt: skip
"""Places passed on the event loop: holding somebody there would hold everybody."""


class Plan(BaseModel):
    """``victims``: place -> keys; when all of them are there the process gets ``how``.

    ``bystanders`` are held at their places too, until the process goes down by that or by SIGUSR1. ``report`` gets a
    line "place key" for each that was there then.
    """

    victims: dict[Place, set[str]] = {}
    bystanders: dict[Place, set[str]] = {}
    how: int = signal.SIGKILL
    report: Path
    judge_port: int
    threads: int = 48
    connections: int = 60
    page_size: int = 100


class Trap:
    """The checkpoint of a drill."""

    def __init__(self, plan: Plan) -> None:
        self._wanted = {(place, key) for place, keys in plan.victims.items() for key in keys}
        self._waited = {(place, key) for place, keys in plan.bystanders.items() for key in keys}
        self._how, self._report = plan.how, plan.report
        self._there: set[tuple[Place, str]] = set()
        self._lock = threading.Lock()
        self._released = threading.Event()

    def __call__(self, place: Place, key: str) -> None:
        if (place, key) not in self._wanted and (place, key) not in self._waited:
            return
        with self._lock:
            if self._released.is_set():
                return
            self._there.add((place, key))
            if self._wanted and self._wanted <= self._there:
                self.go_down()
                self._released.set()
        if place not in ON_THE_LOOP:
            self._released.wait()

    def go_down(self) -> None:
        """Say who is here, and go down."""
        with self._report.open("a", encoding="utf-8") as file:
            file.writelines(f"{place} {key}\n" for place, key in sorted(self._there))
            file.flush()
            os.fsync(file.fileno())
        os.kill(os.getpid(), self._how)


async def main(plan: Plan) -> None:
    """Work until asked to stop, or until the plan comes true."""
    settings = load_settings()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    trap = Trap(plan)
    loop.add_signal_handler(signal.SIGUSR1, trap.go_down)
    loop.set_default_executor(ThreadPoolExecutor(plan.threads))
    endpoints = running_endpoints(settings)
    if endpoints is None:
        raise RuntimeError("no servers are running")
    client = await connect(settings, endpoints)
    engine = make_engine(endpoints.database_url, pool_size=plan.connections)
    parts = Parts(
        engine=engine,
        providers=dict.fromkeys(AUTOMATED_CHANNELS, JudgedProvider(plan.judge_port)),
        gate=LedgerGate(),
        wording=Wording(TEMPLATES),
        threads_per_channel=plan.threads,
        ledger_threads=plan.threads,
        page_size=plan.page_size,
        checkpoint=trap,
    )
    try:
        async with Workers(client, parts):
            await stop.wait()
    finally:
        engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(Plan.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    gc.collect()
