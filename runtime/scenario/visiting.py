"""A field visit: planned with enough people, every requirement confirmed, admitted at the door, recorded."""

import asyncio
import hashlib
from datetime import UTC, date, datetime

from desk import visits
from desk.errors import DeskError
from runtime.desk import AtTheDoor, door_of
from runtime.scenario.stage import ScenarioError, Stage, local

SHANGHAI = "Asia/Shanghai"
DAY = date(2026, 2, 4)
PART = "not at home"


async def planned(stage: Stage) -> None:
    """Plan the visit for the next morning there; one person alone is refused, and so is setting out too soon."""
    await stage.until(local(DAY, 8, 30, SHANGHAI))
    door = door_of(stage.engine)
    item = stage.item_of(stage.case(PART), "visit")
    window = local(DAY, 10, 0, SHANGHAI), local(DAY, 12, 0, SHANGHAI)
    try:
        await _plan(stage, door, str(item), window, 1)
    except DeskError as refused:
        least = await asyncio.to_thread(door.least, str(item), window[0])
        await stage.says(
            "lin",
            f"plans to go to {stage.name(PART)} alone",
            f"refused: {refused}; the rules of the place alone would demand {least}",
        )
    else:
        raise ScenarioError("one person alone could plan a visit")
    visit = await _plan(stage, door, str(item), window, 2)
    await stage.says(
        "lin", "plans it for two people, 10:00 to 12:00 in Shanghai",
        f"{visit.key}; to be confirmed before they set out: {', '.join(visit.open)}", case=stage.case(PART),
    )  # fmt: skip
    await stage.until(local(DAY, 10, 10, SHANGHAI))
    try:
        await _set_out(stage, door, visit.key)
    except DeskError as refused:
        await stage.says("lin", "wants to set out", f"refused: {refused}")
    else:
        raise ScenarioError("a visit set out with nothing confirmed")


async def made(stage: Stage) -> None:
    """Confirm everything, set out as two, and record what came of it with the hash of the recording."""
    await stage.until(local(DAY, 10, 20, SHANGHAI))
    door = door_of(stage.engine)
    key = str(stage.one("SELECT key FROM visits"))
    lin = stage.acting("lin")
    visit = await asyncio.to_thread(visits.visits, stage.engine, lin, team="shanghai")
    await asyncio.to_thread(visits.confirm, stage.engine, lin, key, visit[0].requirements, stage.now)
    await stage.says("lin", "confirms each requirement under her name", ", ".join(visit[0].requirements))
    out = await _set_out(stage, door, key)
    await stage.says(
        "lin", "sets out with mei", f"the gate allows it now; from here it counts: attempt {out.attempt_key}"
    )
    await stage.until(local(DAY, 11, 5, SHANGHAI))
    digest = hashlib.sha256(f"recording of {key}".encode()).hexdigest()
    outcome = visits.Made(
        "met", "right_party", latitude=31.2304, longitude=121.4737, evidence=((f"recordings/{key}", digest),)
    )
    await asyncio.to_thread(visits.record, stage.engine, lin, key, outcome, stage.now)
    await stage.says(
        "lin", "records that they met, where, and the recording",
        f"the file stays outside, its hash {digest[:12]}... is kept; the place never leaves the database",
        case=stage.case(PART),
    )  # fmt: skip
    stage.expected["two people made the visit, and every requirement was confirmed before"] = (
        "SELECT status = 'done' AND (SELECT count(*) FROM visit_people p WHERE p.visit_key = v.key) = 2 AND "
        "(SELECT count(*) FROM visit_checks c WHERE c.visit_key = v.key) = cardinality(requirements) FROM visits v"
    )


async def _plan(
    stage: Stage, door: AtTheDoor, item: str, window: tuple[datetime, datetime], people: int
) -> visits.Visit:
    wanted = visits.Plan(item, "shanghai", window[0], window[1], people)
    return await asyncio.to_thread(visits.plan, stage.engine, door, stage.acting("lin"), wanted, stage.now)


async def _set_out(stage: Stage, door: AtTheDoor, key: str) -> visits.Visit:
    return await asyncio.to_thread(
        visits.set_out, stage.engine, door, stage.acting("lin"), key, ("lin", "mei"), stage.now, datetime.now(UTC)
    )
