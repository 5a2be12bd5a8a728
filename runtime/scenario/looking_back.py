"""The end: operations rest many cases and lift it again, the auditor reads, and the figures are reckoned anew."""

import asyncio
from datetime import timedelta

from db.bulk import Operation
from db.engine import reading
from desk import bulk, debtor, holds
from domain.bulk import BulkAction, BulkError, BulkOrder
from domain.codes import HoldReason, HoldScope
from domain.money import format_amount
from domain.roles import NotAllowedError
from domain.scope import parse_scope
from runtime.scenario.people import MORNING
from runtime.scenario.stage import ScenarioError, Stage, local

ABOVE = 1_000
_WORDS = {
    "dispatching": "the gate let a contact pass",
    "recorded": "the contact was made",
    "asked": "a person was asked",
    "worked": "an outcome was recorded",
    "contact_point": "a number or address was learnt",
    "released": "a hold ended",
}


async def bulk_hold(stage: Stage) -> None:
    """Rest every British case while the bank's payments are late: exactly those that the preview showed."""
    await stage.until(local(MORNING, 16, 30))
    olga = stage.acting("olga")
    where = "creditor: riverside-bank, region: GB"
    order = BulkOrder(
        BulkAction.HOLD, parse_scope(where), hold_reason=HoldReason.OTHER, until=stage.now + timedelta(days=2),
        note="the bank's payment file is late",
    )  # fmt: skip
    try:
        await asyncio.to_thread(
            bulk.preview, stage.engine, stage.acting("ann"), order, stage.engine_now(), approval_above=ABOVE
        )
    except NotAllowedError as refused:
        await stage.says("ann", "tries a bulk hold", f"refused: {refused}")
    else:
        raise ScenarioError("an agent could preview a bulk hold")
    shown = await asyncio.to_thread(bulk.preview, stage.engine, olga, order, stage.engine_now(), approval_above=ABOVE)
    await stage.says(
        "olga", f"previews a hold of everything where {where}", f"{shown.cases} cases, fingerprint {shown.fingerprint}"
    )
    try:
        await asyncio.to_thread(
            bulk.confirm, stage.engine, olga, order, "0" * 16, stage.engine_now(), approval_above=ABOVE
        )
    except BulkError as refused:
        await stage.says("olga", "confirms with another fingerprint", f"refused: {refused}")
    else:
        raise ScenarioError("a bulk hold could be confirmed with another fingerprint")
    held = await _carry_out(stage, order, shown.fingerprint)
    await stage.says(
        "olga", "confirms what was shown", f"{held.key}: {_counts(stage, held.key)}", case=stage.case("moved number")
    )
    stage.expected["the bulk hold did what its preview said"] = (
        f"SELECT count(*) = {shown.cases} FROM bulk_items WHERE bulk_key = '{held.key}'"
    )
    await stage.until(stage.now + timedelta(minutes=40))
    lift = BulkOrder(BulkAction.RELEASE, parse_scope(where), of=held.key, note="the file has come")
    again = await asyncio.to_thread(bulk.preview, stage.engine, olga, lift, stage.engine_now(), approval_above=ABOVE)
    lifted = await _carry_out(stage, lift, again.fingerprint)
    await stage.says(
        "olga", f"lifts what {held.key} placed, 40 minutes later", f"{lifted.key}: {_counts(stage, lifted.key)}",
        case=stage.case("moved number"),
    )  # fmt: skip


async def _carry_out(stage: Stage, order: BulkOrder, fingerprint: str) -> Operation:
    olga = stage.acting("olga")
    operation = await asyncio.to_thread(
        bulk.confirm, stage.engine, olga, order, fingerprint, stage.engine_now(), approval_above=ABOVE
    )
    return await asyncio.to_thread(bulk.run, stage.engine, olga, operation.key, stage.engine_now)


def _counts(stage: Stage, key: str) -> str:
    standing = bulk.standing_of(stage.engine, bulk.read(stage.engine, key))
    return ", ".join(f"{count} {what}" for what, count in standing.items.items() if count)


async def one_person(stage: Stage) -> None:
    """Look at a person over all their debts: what rests, and why."""
    part = "two debts"
    named = f"P{list(stage.debtors).index(part) + 1:03d}"
    seen = await asyncio.to_thread(debtor.show, stage.engine, stage.acting("sue"), named, stage.now)
    rests = ", ".join(f"{one['reason']} over every debt" for one in seen.holds if one["scope"] == HoldScope.DEBTOR)
    accounts = "; ".join(
        f"{one['account']}: {format_amount(one['past_due'], one['currency'])} past due, {one['waiting_for']}"
        for one in seen.accounts
    )
    await stage.says("sue", f"looks at {stage.name(part)} over all debts", f"{rests}; {accounts}")
    if seen.next_contact is not None and seen.next_contact["due_at"] < stage.now + timedelta(days=28):
        raise ScenarioError(f"{part}: a contact is planned within the time of rest")


async def auditor_reads(stage: Stage) -> None:
    """Read the record of one case: who did what, in which role, and what was decided."""
    case = stage.case("large debt")
    try:
        wanted = holds.Wanted(HoldReason.OTHER, until=stage.now + timedelta(days=1))
        await asyncio.to_thread(holds.place, stage.engine, stage.acting("max"), case, wanted, stage.now)
    except NotAllowedError as refused:
        await stage.says("max", f"tries to hold {case}", f"refused: {refused}")
    else:
        raise ScenarioError("an auditor could place a hold")
    with reading(stage.engine) as connection:
        rows = connection.exec_driver_sql(
            "SELECT kind, at, body::jsonb ->> 'actor' AS actor, body::jsonb ->> 'role' AS role FROM case_events "
            "WHERE case_key = %s ORDER BY seq",
            (case,),
        ).all()
    for row in rows:
        what = _WORDS.get(row.kind, row.kind.replace("_", " "))
        by = "" if row.actor is None else f" by {row.actor}" + ("" if row.role is None else f" ({row.role})")
        await stage.says("max", f"reads in the record of {case}", f"{row.at:%d %b %H:%M} {what}{by}")
