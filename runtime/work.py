"""What a worker process does: wires the parts, works, and in a demonstration plays the world."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Engine
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.common import WorkflowIDConflictPolicy

from activities.dialling import Dialling
from activities.judging import Judge
from activities.looking_up import LookUps
from activities.providers.errors import ErrorTable
from activities.providers.identity import Identities
from activities.providers.sandbox import SandboxTasks
from activities.rule_facts import Rules
from activities.rulebook import read_rulebook
from activities.signatures import CASES_QUEUE
from activities.wording import Wording
from db.engine import make_engine
from db.settings import SANDBOX_SEED, get, read_clock
from domain.clock import BusinessClock
from domain.opening import OpenRequest
from domain.plan_file import parse_plans
from domain.rule_gate import RuleGate
from runtime.channels import ERRORS, IDENTITY, providers_of, rates_of
from runtime.client import NotRunning, connect
from runtime.endpoints import running_endpoints
from runtime.looking_up import keep_looking
from runtime.rehearsing import PeoplesDoors
from runtime.worker import Parts, Workers
from runtime.world import World
from settings import Settings

POLICIES = Path(__file__).resolve().parent.parent / "policies"
TEMPLATES, RULES = POLICIES / "templates", POLICIES / "rules"
PLANS = POLICIES / "plans.yaml"
HOURLY = "open-cases-hourly"

log = structlog.get_logger(__name__)


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Work until ``stop`` is set; what is under way is finished first."""
    endpoints = running_endpoints(settings)
    if endpoints is None:
        raise NotRunning("no servers are running; start them with `python starter.py up`")
    client = await connect(settings, endpoints)
    engine = make_engine(endpoints.database_url, pool_size=30, steady=True)
    try:
        clock, seed = await asyncio.to_thread(_installation, engine)
        parts = parts_of(engine, settings, seed)
        async with Workers(client, parts):
            log.info("working", clock=clock.kind)
            if not clock.is_logical:
                await ensure_hourly(client)
            dialling = Dialling(engine, Judge(parts.gate, parts.rules))
            doors = None if settings.rehearsal_url is None else PeoplesDoors(engine, settings)
            world = World(engine, client, clock, dialling, lambda at: open_cases(client, at), doors)
            looking = asyncio.create_task(
                keep_looking(LookUps(engine, parts.providers, ErrorTable.load(ERRORS)), stop), name="look-ups"
            )
            if seed is None:
                await stop.wait()
            else:
                await world.run(stop)
            await looking
    finally:
        engine.dispose()


def _installation(engine: Engine) -> tuple[BusinessClock, int | None]:
    with engine.connect() as connection:
        return read_clock(connection), get(connection, SANDBOX_SEED)


def parts_of(engine: Engine, settings: Settings, seed: int | None) -> Parts:
    """Return what the activities are made of.

    With a seed people are simulated. Without one, what is not set up to reach somebody only lands in the sandbox's
    outbox, and letters become print files.
    """
    return Parts(
        engine=engine,
        providers=providers_of(engine, settings, seed),
        rates=rates_of(settings),
        gate=RuleGate(read_rulebook(RULES)),
        rules=Rules(),
        wording=Wording(TEMPLATES),
        identities=Identities.load(IDENTITY),
        planner=None if seed is None else SandboxTasks(seed),
        plans=parse_plans(PLANS.read_text(encoding="utf-8"), PLANS.name),
    )


async def open_cases(client: Client, at: datetime | None) -> int:
    """Open a case for every overdue account without one; ``None`` means now. Returns how many were started."""
    name = "now" if at is None else f"{at:%Y-%m-%dT%H%M%SZ}"
    handle = await client.start_workflow(
        "open_cases",
        OpenRequest(as_of=at, restart_missing=at is None),
        id=f"open/{name}",
        task_queue=CASES_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        result_type=int,
    )
    return int(await handle.result())


async def ensure_hourly(client: Client) -> None:
    """Have cases opened every hour; a run that takes longer is never overlapped by the next."""
    with suppress(ScheduleAlreadyRunningError):
        await client.create_schedule(
            HOURLY,
            Schedule(
                action=ScheduleActionStartWorkflow(
                    "open_cases", OpenRequest(), id="open/hourly", task_queue=CASES_QUEUE
                ),
                spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(hours=1))]),
                policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=10)),
            ),
        )
