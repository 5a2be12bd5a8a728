"""Plays the scenario chapter by chapter, and checks at the end that its figures add up."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine
from temporalio.client import Client

from activities.dialling import Dialling
from activities.judging import Judge
from activities.rule_facts import Rules
from db.settings import put_in_force, read_clock, set_clock
from domain.strategy import Strategy
from domain.strategy_file import parse_strategy
from runtime.desk import desk_of, shipped_gate
from runtime.scenario import beginning, calls, looking_back, matters, planning, visiting
from runtime.scenario.checks import check
from runtime.scenario.people import cast_of
from runtime.scenario.stage import Line, Stage, clock_of

LADDER = Path(__file__).with_name("ladder.yaml")
ORIGIN = datetime(2026, 1, 5, 6, tzinfo=UTC)
HORIZON = datetime(2026, 12, 31, tzinfo=UTC)
Chapter = Callable[[Stage], Awaitable[None]]

CHAPTERS: tuple[tuple[str, Chapter], ...] = (
    ("The people and the files", beginning.people_and_files),
    ("The weeks before", beginning.weeks_before),
    ("Tuesday morning: the gate says not yet", calls.too_early),
    ("Tuesday morning: the queue", calls.agents_take_calls),
    ("One person, all debts", looking_back.one_person),
    ("Tuesday noon: the other number", calls.the_other_number),
    ("A plan within the policy", planning.within_policy),
    ("A plan above the limit: four eyes", planning.above_limit),
    ("A hold that is not needed any more", matters.hardship_lifted),
    ("Legal review: a second person approves", matters.legal_review),
    ("Tuesday afternoon: Chicago is awake", calls.awake_by_now),
    ("Operations: many cases at once", looking_back.bulk_hold),
    ("A visit in Shanghai: two people, everything confirmed", visiting.planned),
    ("A visit in Shanghai: at the door", visiting.made),
    ("The letter before action", matters.notice),
    ("A dispute is answered", matters.dispute_answered),
    ("The days pass: a promise is kept", planning.promise_kept),
    ("The days pass: a first line is paid", planning.first_line),
    ("The days pass: a plan is broken", planning.plan_broken),
    ("The court", matters.filed),
    ("The days pass: a plan is kept", planning.plan_kept),
    ("The auditor", looking_back.auditor_reads),
)


def ladder() -> Strategy:
    """Return the strategy of the scenario."""
    return parse_strategy(LADDER.read_text(encoding="utf-8"), LADDER.name)


def prepare(engine: Engine) -> None:
    """Give an installation the clock and the ladder of the scenario, before its worker starts."""
    with engine.begin() as connection:
        put_in_force(connection, [ladder()], ORIGIN)
        set_clock(connection, clock_of(ORIGIN, HORIZON))


async def play(
    engine: Engine,
    client: Client,
    folder: Path,
    seed: int,
    deliver: Callable[[], Awaitable[int]],
    tell: Callable[[Line], None],
) -> dict[str, bool]:
    """Play the whole story; return sentences about its end, and whether they hold. A worker must be running.

    ``deliver`` tells cases what is queued for them.
    """
    stage = await asyncio.to_thread(_stage, engine, client, folder, seed, deliver, tell)
    for title, chapter in CHAPTERS:
        stage.chapter = title
        await chapter(stage)
    return await asyncio.to_thread(check, stage)


def _stage(
    engine: Engine,
    client: Client,
    folder: Path,
    seed: int,
    deliver: Callable[[], Awaitable[int]],
    tell: Callable[[Line], None],
) -> Stage:
    with engine.connect() as connection:
        clock = read_clock(connection)
    gate = shipped_gate()
    return Stage(
        engine=engine,
        client=client,
        desk=desk_of(engine, gate=gate),
        dialling=Dialling(engine, Judge(gate, Rules())),
        folder=folder,
        clock=clock,
        debtors=cast_of(seed),
        deliver=deliver,
        tell=tell,
        now=ORIGIN,
    )
