"""What takes a second look: a hold that protects somebody, a dispute and its answer, and the way to the court."""

import asyncio
import hashlib
from datetime import date

from db.refusals import CannotBeError
from desk import disputes, holds, legal
from domain.codes import HoldReason, LegalStage
from domain.money import format_amount
from domain.roles import NotAllowedError
from runtime.scenario.acts import MINUTES
from runtime.scenario.people import MORNING
from runtime.scenario.stage import ScenarioError, Stage, local

ANSWERED, UPHELD = date(2026, 2, 6), 12_000
NOTED, FILED, HEARD = date(2026, 2, 5), date(2026, 3, 9), date(2026, 3, 11)


async def hardship_lifted(stage: Stage) -> None:
    """Lift the hold for hardship, since a plan stands now: it protects the debtor, so an agent may not."""
    await stage.until(stage.now + 10 * MINUTES)
    case = stage.case("hard up")
    found = await asyncio.to_thread(holds.holds, stage.engine, stage.acting("ann"), case, stage.now)
    hold = next(one for one in found if one.reason is HoldReason.HARDSHIP)
    try:
        await asyncio.to_thread(holds.release, stage.engine, stage.acting("ann"), hold.key, stage.now)
    except NotAllowedError as refused:
        await stage.says("ann", f"tries to lift {hold.key} ({hold.reason})", f"refused: {refused}")
    else:
        raise ScenarioError("an agent could lift a hold that protects the debtor")
    await asyncio.to_thread(holds.release, stage.engine, stage.acting("sue"), hold.key, stage.now)
    await stage.says("sue", f"lifts {hold.key}", "the plan protects them from here on", case=case)


async def legal_review(stage: Stage) -> None:
    """Put the oldest debt forward for legal action; whoever did so cannot approve it."""
    await stage.until(local(MORNING, 14, 0))
    case = stage.case("refuses")
    limit = date(2031, 1, 8)
    matter = await _stage(stage, "sue", LegalStage.REVIEW, limitation_on=limit)
    missing = ", ".join(matter.missing) or "nothing: everything else was attempted"
    await stage.says(
        "sue", f"puts the debt of {stage.name('refuses')} forward for legal action",
        f"{matter.key}; time-barred from {limit:%d %b %Y}; still to be attempted: {missing}", case=case,
    )  # fmt: skip
    for who in ("ann", "sue"):
        try:
            await _stage(stage, who, LegalStage.APPROVED)
        except (NotAllowedError, CannotBeError) as refused:
            await stage.says(who, "tries to approve it", f"refused: {refused}")
        else:
            raise ScenarioError(f"{who} could approve the legal matter")
    await stage.until(stage.now + 30 * MINUTES)
    await _stage(stage, "tom", LegalStage.APPROVED)
    await stage.says("tom", "approves it", "a letter before action comes first", case=case)
    stage.expected["the legal matter was approved by somebody else than asked for it"] = (
        "SELECT asked_by <> approved_by FROM legal_matters"
    )


async def dispute_answered(stage: Stage) -> None:
    """Keep what the debtor sends, and uphold a part: that much is taken off the debt."""
    await stage.until(local(ANSWERED, 10, 0))
    part, case = "disputes", stage.case("disputes")
    digest = hashlib.sha256(b"bank statement of December").hexdigest()
    given = {"event_id": "story/dispute/paper", "document_ref": "papers/2026-02-06/4", "sha256": digest}
    await asyncio.to_thread(disputes.put_forward, stage.engine, stage.acting("ben"), case, stage.now, given)
    await stage.says("ben", f"keeps the bank statement of {stage.name(part)}", f"reference and hash {digest[:12]}...")
    answer = {
        "event_id": "story/dispute/answer", "result": "upheld_in_part", "upheld_amount": UPHELD, "currency": "GBP",
        "document_ref": "letters/2026-02-06/2",
    }  # fmt: skip
    try:
        await asyncio.to_thread(disputes.answer_dispute, stage.engine, stage.acting("ben"), case, stage.now, answer)
    except NotAllowedError as refused:
        await stage.says("ben", "tries to answer the dispute", f"refused: {refused}")
    else:
        raise ScenarioError("an agent could answer a dispute")
    await asyncio.to_thread(disputes.answer_dispute, stage.engine, stage.acting("sue"), case, stage.now, answer)
    taken_off = format_amount(UPHELD, "GBP")
    await stage.says("sue", "upholds it in part", f"{taken_off} is taken off; the rest is collected again", case=case)
    stage.expected["what was upheld was taken off the debt, once"] = (
        f"SELECT count(*) = 1 AND sum(amount) = {-UPHELD} FROM ledger_entries WHERE kind = 'adjustment'"
    )


async def notice(stage: Stage) -> None:
    """Record the notice that the ladder has sent; nothing is filed before its period is over."""
    case = stage.case("refuses")
    await stage.until(local(NOTED, 9, 30))
    matter = await _stage(stage, "ann", LegalStage.NOTICE)
    await stage.says(
        "ann", "records the letter before action that the ladder has sent",
        f"its period runs until {matter.notice_until:%d %b}", case=case,
    )  # fmt: skip
    try:
        await _stage(stage, "sue", LegalStage.FILED, document_ref="court/2026/118", cost=15_000)
    except CannotBeError as refused:
        await stage.says("sue", "wants to file the claim at once", f"refused: {refused}")
    else:
        raise ScenarioError("a claim could be filed before the end of its notice")


async def filed(stage: Stage) -> None:
    """File the claim when the notice is over, and note the hearing."""
    case = stage.case("refuses")
    await stage.until(local(FILED, 11, 0))
    await _stage(stage, "sue", LegalStage.FILED, document_ref="court/2026/118", cost=15_000)
    await stage.says("sue", "files the claim", "from here on only letters may be sent; the cost is noted", case=case)
    await stage.until(local(HEARD, 15, 0))
    matter = await _stage(stage, "ann", LegalStage.HEARING, document_ref="court/2026/118/2")
    stages = ", ".join(one.stage for one in matter.stages)
    await stage.says("ann", "notes the hearing with its papers", f"{matter.key}: {stages}", case=case)
    stage.expected["the matter went through every stage, in order"] = (
        "SELECT string_agg(stage, ' ' ORDER BY no) = 'review approved notice filed hearing' FROM legal_stages"
    )


async def _stage(stage: Stage, who: str, what: LegalStage, **given: object) -> legal.MatterView:
    event = f"story/legal/{what}/{stage.now:%m%d%H%M}/{who}"
    return await asyncio.to_thread(
        lambda: legal.record(
            stage.engine, stage.acting(who), stage.case("refuses"), what, stage.now, event_id=event, **given
        )
    )
