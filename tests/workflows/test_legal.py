"""Every stage of a legal matter, from the signal to what the case does next, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from activities.wording import Wording
from cli.generated import with_block
from cli.legal import legal_table
from db.policies import legal_policy
from domain.codes import AUTOMATED_CHANNELS, IN_COURT, Channel, LegalStage
from domain.gate import LedgerGate
from runtime.worker import Parts, Workers
from tests.workflows.conftest import TEMPLATES, CountingCarrier, House

DAY = timedelta(days=1)
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "legal.md"
LADDER = """
name: to-court
version: 1
segment: {}
at_end: wait
steps:
  - {id: text, channel: sms, template: payment-overdue, start: {since: opened}, between: {hours: "00:00-24:00"}}
  - {id: court, task: legal, start: {since: opened, days: 1}, between: {hours: "00:00-24:00"}, expires: 90 days, requires: {attempts: 1, last_resort: true}}
  - {id: warning, channel: letter, template: notice-before-action, purpose: required_notice, start: {since: event, event: legal_approved}, between: {hours: "00:00-24:00"}}
  - {id: text-later, channel: sms, template: payment-overdue, start: {since: step, days: 20}, between: {hours: "00:00-24:00"}}
  - {id: letter-later, channel: letter, template: account-statement, start: {since: opened, days: 75}, between: {hours: "00:00-24:00"}}
"""
ORDER = (LegalStage.REVIEW, LegalStage.APPROVED, LegalStage.NOTICE, LegalStage.FILED)


@pytest.fixture
async def sleeper(engine: Engine, temporal_env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[House]:
    carrier = CountingCarrier()
    parts = Parts(engine, dict.fromkeys(AUTOMATED_CHANNELS, carrier), LedgerGate(), Wording(TEMPLATES))
    async with Workers(temporal_env.client, parts):
        yield House(engine, temporal_env.client, carrier, tmp_path)


def test_the_table_in_the_documentation_is_the_policy() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == with_block(text, "legal", legal_table(legal_policy())), "legal stages --update docs/legal.md"


def test_after_filing_nobody_is_called_texted_or_visited() -> None:
    for stage in IN_COURT:
        allowed = set(legal_policy().stages[stage].outreach)
        assert allowed <= {Channel.LETTER, Channel.EMAIL}, stage


class Matter:
    """One case on its way to court."""

    def __init__(self, house: House, env: WorkflowEnvironment, handle: WorkflowHandle[Any, Any], now: datetime) -> None:
        self.house, self.env, self.handle, self.now, self.told = house, env, handle, now, 0

    async def tell(self, stage: LegalStage, **more: object) -> dict[str, Any]:
        """Send a stage as the right person would, and return the case's status once it has handled it."""
        usual: dict[LegalStage, dict[str, object]] = {
            LegalStage.REVIEW: {"actor": "ann", "limitation_on": "2199-01-01"},
            LegalStage.APPROVED: {"actor": "sue"},
            LegalStage.NOTICE: {"actor": "ann", "document_ref": "letter/1"},
            LegalStage.RETURNED: {"actor": "sue", "reason": "no_papers"},
            LegalStage.WITHDRAWN: {"actor": "sue", "reason": "settled"},
        }
        self.told += 1
        body = {"event_id": f"legal/{self.told}", "stage": str(stage), "actor": "sue", **usual.get(stage, {}), **more}
        await self.handle.signal("record_legal_update", body)
        return await self.house.settled(self.handle, self.told)

    async def reach(self, stage: LegalStage) -> None:
        """Go through the stages up to one, waiting where the policy has the case wait."""
        way = [*ORDER[: ORDER.index(stage) + 1]] if stage in ORDER else [*ORDER]
        if stage is LegalStage.RETURNED:
            way = [LegalStage.REVIEW]
        if stage is LegalStage.ENFORCEMENT:
            way.append(LegalStage.JUDGMENT)
        if stage not in way:
            way.append(stage)
        for one in way:
            if one is LegalStage.FILED:
                await self.env.fast_forward(self.handle, 16 * DAY)
            item = self.house.rows("SELECT key FROM work_items WHERE kind = 'legal' AND status = 'open'")
            more = {"work_item": item[0][0]} if item and one in {LegalStage.APPROVED, LegalStage.RETURNED} else {}
            assert (await self.tell(one, **more))["refused_total"] == 0, one

    def stage(self) -> str:
        return str(self.house.rows("SELECT stage FROM legal_matters ORDER BY key DESC LIMIT 1")[0][0])

    def sent(self) -> list[str]:
        return [row[0] for row in self.house.rows("SELECT step FROM attempts WHERE status = 'sent' ORDER BY seq")]


@pytest.fixture
async def matter(sleeper: House, temporal_env: WorkflowEnvironment) -> AsyncIterator[Matter]:
    now = datetime.now(UTC)
    sleeper.one_account((now - 20 * DAY).date())
    handle = await sleeper.open(now, strategy=LADDER)
    await sleeper.until("SELECT count(*) = 1 FROM attempts WHERE status = 'sent'")
    await temporal_env.fast_forward(handle, 1.5 * DAY)
    await sleeper.until("SELECT count(*) = 1 FROM work_items WHERE kind = 'legal' AND status = 'open'")
    yield Matter(sleeper, temporal_env, handle, now)
    with suppress(RPCError):  # it may have closed
        await handle.terminate()


@pytest.mark.parametrize("stage", list(LegalStage))
async def test_every_stage_is_reached_in_order_and_changes_whom_one_may_contact(
    matter: Matter, temporal_env: WorkflowEnvironment, stage: LegalStage
) -> None:
    await matter.reach(stage)
    assert matter.stage() == stage
    before = len(matter.sent())
    status = await matter.handle.query("status")
    if stage in IN_COURT:
        assert status["stage"] == "legal"
    await temporal_env.fast_forward(matter.handle, 90 * DAY)
    later = matter.sent()[before:]
    rule = legal_policy().stages[stage]
    if stage is LegalStage.REVIEW:  # the item is still with whoever decides
        assert later == []
        return
    assert ("text-later" in later) is (Channel.SMS in rule.outreach)
    assert ("letter-later" in later) is (Channel.LETTER in rule.outreach)
    if stage in IN_COURT:
        waiting = (await matter.handle.query("status"))["waiting_for"]
        assert waiting.startswith(f"legal action ({stage.replace('_', ' ')})")


async def test_the_ladder_sends_the_notice_and_a_claim_is_filed_when_it_has_run(
    matter: Matter, temporal_env: WorkflowEnvironment
) -> None:
    await matter.reach(LegalStage.APPROVED)
    await matter.house.until("SELECT count(*) = 1 FROM attempts WHERE step = 'warning' AND status = 'sent'")
    await matter.tell(LegalStage.NOTICE, document_ref="A000000001/1/3")
    status = await matter.tell(LegalStage.FILED)
    assert status["refused"][0]["reason"].startswith("the notice before action runs until")
    await temporal_env.fast_forward(matter.handle, 14 * DAY)
    assert (await matter.tell(LegalStage.FILED))["refused_total"] == 2
    await temporal_env.fast_forward(matter.handle, 2 * DAY)
    await matter.tell(LegalStage.FILED)
    assert matter.stage() == LegalStage.FILED


@pytest.mark.parametrize(
    ("way", "wanted", "why"),
    [
        ((), LegalStage.FILED, "filed comes after notice, and there is no legal matter"),
        ((), LegalStage.APPROVED, "approved comes after review, and there is no legal matter"),
        ((LegalStage.REVIEW,), LegalStage.NOTICE, "notice comes after approved, and the matter is at review"),
        (ORDER[:2], LegalStage.HEARING, "hearing comes after filed or asset_preservation or hearing"),
        (ORDER, LegalStage.ENFORCEMENT, "enforcement comes after judgment or enforcement"),
        (ORDER, LegalStage.RETURNED, "returned comes after review or approved or notice"),
    ],
)
async def test_a_stage_out_of_order_is_refused_with_the_reason_and_changes_nothing(
    matter: Matter, way: tuple[LegalStage, ...], wanted: LegalStage, why: str
) -> None:
    if way:
        await matter.reach(way[-1])
    before = matter.house.rows("SELECT stage, count(*) OVER () FROM legal_stages ORDER BY id")
    status = await matter.tell(wanted)
    assert status["refused"][-1]["reason"].startswith(why)
    assert matter.house.rows("SELECT stage, count(*) OVER () FROM legal_stages ORDER BY id") == before


async def test_whoever_asked_never_approves_and_a_program_never_asks(matter: Matter) -> None:
    for actor in ("system", "sandbox"):
        status = await matter.tell(LegalStage.REVIEW, actor=actor)
        assert "by a person" in status["refused"][-1]["reason"]
    await matter.tell(LegalStage.REVIEW, actor="ann")
    for actor in ("ann", "system"):
        status = await matter.tell(LegalStage.APPROVED, actor=actor)
        assert "a second person must" in status["refused"][-1]["reason"]
    assert matter.stage() == LegalStage.REVIEW


async def test_a_claim_that_comes_too_late_is_refused_at_every_step_of_the_way(matter: Matter) -> None:
    yesterday = (date.today() - DAY).isoformat()  # noqa: DTZ011 - any zone will do
    status = await matter.tell(LegalStage.REVIEW, limitation_on=yesterday)
    assert "time-barred since" in status["refused"][-1]["reason"]
    await matter.tell(LegalStage.REVIEW)
    await matter.handle.signal("time_barred", {"event_id": "limits/1"})
    matter.told += 1
    status = await matter.tell(LegalStage.APPROVED)
    assert status["refused"][-1]["reason"] == "the debt is recorded as time-barred"


async def test_legal_action_is_refused_while_anything_else_is_left_to_attempt(matter: Matter) -> None:
    await matter.tell(LegalStage.REVIEW)
    with matter.house.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE attempts SET status = 'deferred' WHERE step = 'text'")
    status = await matter.tell(LegalStage.APPROVED)
    assert "0 of 1 attempts; step text was never tried" in status["refused"][-1]["reason"]


async def test_a_payment_settles_a_case_in_court(matter: Matter) -> None:
    await matter.reach(LegalStage.HEARING)
    body = {"event_id": "pay/1", "payment_id": "P1", "amount": 10_000, "currency": "USD"}
    await matter.handle.signal("record_payment", body)
    assert (await matter.handle.result())["reason"] == "paid"
