"""How it begins: the lender's files, the people of the house, and the weeks before the day of the story."""

import asyncio
from datetime import date, datetime

from db.actors import Fitness
from desk.actors import add_actor
from domain.roles import NotAllowedError, Role
from runtime.scenario.acts import call_by_name
from runtime.scenario.people import CAST, bring_in, hire
from runtime.scenario.stage import ScenarioError, Stage, local

SHANGHAI = "Asia/Shanghai"
NO_ANSWER: dict[str, object] = {"party_reached": "no_one", "disposition": "no_answer"}
REFUSED: dict[str, object] = {"party_reached": "right_party", "disposition": "refused"}


async def people_and_files(stage: Stage) -> None:
    """People are registered by an admin; operations imports what the lender sent."""
    await asyncio.to_thread(hire, stage.engine, stage.now)
    for code, role, what in CAST:
        await stage.says("ada", f"registers {code}", f"{code} is {role}: {what}")
    try:
        await asyncio.to_thread(add_actor, stage.engine, "ann", "carl", Role.AGENT, Fitness(), at=stage.now)
    except NotAllowedError as refused:
        await stage.says("ann", "tries to register somebody", f"refused: {refused}")
    else:
        raise ScenarioError("an agent could register somebody")
    folder = stage.folder / "portfolio"
    imported = await asyncio.to_thread(bring_in, stage.engine, folder, stage.debtors, stage.now)
    rows = ", ".join(f"{one.rows} rows of {one.kind}" for one in imported if one.rows)
    mistakes = sum(len(one.mistakes) for one in imported)
    await stage.says("olga", "imports the lender's files", f"{rows}; {mistakes} mistakes")


_BEFORE: tuple[tuple[datetime, str, str, dict[str, object], str], ...] = (
    (local(date(2026, 1, 12), 10, 0), "ben", "refuses", NO_ANSWER, "nobody answers; the step has two tries left"),
    (local(date(2026, 1, 13), 10, 30), "ben", "refuses", NO_ANSWER, "nobody answers"),
    (local(date(2026, 1, 14), 11, 0), "ann", "refuses", REFUSED, "refuses to pay: so nobody will be sent there"),
    (local(date(2026, 1, 19), 10, 30, SHANGHAI), "ann", "not at home", NO_ANSWER, "nobody answers"),
    (local(date(2026, 1, 20), 11, 0, SHANGHAI), "ann", "not at home", NO_ANSWER, "nobody answers"),
    (local(date(2026, 1, 20), 10, 0), "ben", "refuses", NO_ANSWER, "nobody answers; what is left is legal review"),
    (local(date(2026, 1, 21), 11, 30, SHANGHAI), "ben", "not at home", NO_ANSWER, "nobody answers, the third time"),
    (local(date(2026, 1, 26), 10, 30, SHANGHAI), "ann", "not at home", NO_ANSWER, "nobody answers; a visit is next"),
)
"""When, who, whom, what came of it, and in words."""


async def weeks_before(stage: Stage) -> None:
    """Two debts are older: their ladders have been climbed for weeks, hour by hour of where each of them lives."""
    for at, agent, part, outcome, words in _BEFORE:
        await stage.until(at)
        call = await call_by_name(stage, agent, part, outcome)
        await stage.says(agent, f"calls {stage.name(part)}", words, case=call.case)
