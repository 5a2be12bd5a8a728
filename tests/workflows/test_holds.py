"""Every kind of hold, from its event to what the case does next, in virtual time; and what hardship and disputes change."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.wording import Wording
from cli.generated import with_block
from cli.holds import holds_table
from db.policies import hold_kinds
from domain.codes import AUTOMATED_CHANNELS, HoldReason
from domain.gate import LedgerGate
from domain.message_acts import UNPROTECTED
from domain.state_events import MEANINGS, WITHDRAWS_ITEMS
from runtime.worker import Parts, Workers
from tests.workflows.conftest import TEMPLATES, CountingCarrier, House

DAY = timedelta(days=1)
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "holds.md"
LADDER = """
name: tomorrow
version: 1
segment: {}
at_end: wait
soften:
  - {when: hardship, templates: {payment-overdue: payment-reminder}, leave_out: [email], offers: [deferral]}
steps:
  - {id: mail, channel: email, template: invoice-overdue, start: {since: opened, days: 1}, between: {hours: "00:00-24:00"}}
  - {id: text, channel: sms, template: payment-overdue, start: {since: opened, days: 3}, between: {hours: "00:00-24:00"}}
"""
ONE_TEXT = """
name: one-text
version: 1
segment: {}
at_end: wait
steps:
  - {id: text, channel: sms, template: payment-overdue, start: {since: opened, days: 1}, between: {hours: "00:00-24:00"}}
"""


@pytest.fixture
async def sleeper(engine: Engine, temporal_env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[House]:
    carrier = CountingCarrier()
    parts = Parts(engine, dict.fromkeys(AUTOMATED_CHANNELS, carrier), LedgerGate(), Wording(TEMPLATES))
    async with Workers(temporal_env.client, parts):
        yield House(engine, temporal_env.client, carrier, tmp_path)


async def _open(house: House, strategy: str = ONE_TEXT) -> tuple[WorkflowHandle[Any, Any], datetime]:
    now = datetime.now(UTC)
    house.one_account((now - 20 * DAY).date())
    return await house.open(now, strategy=strategy), now


def _sent(house: House) -> int:
    return int(house.rows("SELECT count(*) FROM attempts WHERE status = 'sent'")[0][0])


def test_the_catalogue_says_what_the_house_does() -> None:
    kinds = hold_kinds().kinds
    assert {reason for reason, kind in kinds.items() if not kind.protects} == UNPROTECTED
    assert {reason for reason, kind in kinds.items() if kind.withdraws} == WITHDRAWS_ITEMS
    for kind, meaning in MEANINGS.items():
        if meaning.hold is not None and meaning.days is not None:
            longest = kinds[meaning.hold].longest
            assert longest == "event" or meaning.days <= longest, kind


def test_the_table_in_the_documentation_is_the_catalogue() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == with_block(text, "holds", holds_table(hold_kinds())), (
        "python starter.py hold kinds --update docs/holds.md"
    )


@pytest.mark.parametrize("reason", list(HoldReason))
async def test_every_kind_of_hold_rests_the_case_is_looked_at_in_time_and_ends(
    sleeper: House, temporal_env: WorkflowEnvironment, reason: HoldReason
) -> None:
    kind = hold_kinds().of(reason)
    handle, now = await _open(sleeper)
    lasts = 45 if kind.longest == "event" else kind.longest
    open_ended = kind.review_before is None
    body: dict[str, Any] = {"event_id": "hold/1", "reason": str(reason)}
    if not open_ended:
        body["until"] = (now + lasts * DAY).isoformat()
    await handle.signal("place_hold", body)
    assert (await sleeper.settled(handle, 1))["stage"] == "held"
    looked_at = kind.review_every if open_ended else lasts - (kind.review_before or 0)
    if kind.longest != "event" and open_ended:
        looked_at = kind.longest  # it was told without an end, which its kind may not have
    await temporal_env.fast_forward(handle, (looked_at - 0.5) * DAY)
    assert sleeper.rows("SELECT count(*) FROM work_items") == [(0,)]
    await temporal_env.fast_forward(handle, DAY)
    await sleeper.until("SELECT count(*) = 1 FROM work_items WHERE reason = 'hold_review' AND status = 'open'")
    assert sleeper.rows("SELECT w.note_ref = h.key FROM work_items w, holds h") == [(True,)]
    assert (await handle.query("status"))["stage"] == "held"
    assert _sent(sleeper) == 0
    if open_ended:
        await handle.signal("release_hold", {"event_id": "lift/1", "reason": str(reason)})
        await sleeper.until("SELECT count(*) = 1 FROM work_items WHERE status = 'done'")
    else:
        await temporal_env.fast_forward(handle, (lasts - looked_at) * DAY)
    await sleeper.until("SELECT count(*) = 1 FROM attempts WHERE status = 'sent'")
    over, sent = sleeper.rows("SELECT coalesce(h.released_at, h.until_at), t.sent_at FROM holds h, attempts t")[0]
    assert over <= sent < over + DAY
    await handle.terminate()


async def test_an_extension_is_an_act_of_its_own_and_moves_end_and_review(
    sleeper: House, temporal_env: WorkflowEnvironment
) -> None:
    handle, now = await _open(sleeper)
    until, later = now + 10 * DAY, now + 30 * DAY
    await handle.signal("place_hold", {"event_id": "h/1", "reason": "other", "until": until.isoformat()})
    await temporal_env.fast_forward(handle, 8 * DAY)
    await sleeper.until("SELECT count(*) = 1 FROM work_items WHERE reason = 'hold_review'")
    extension = {"event_id": "x/1", "reason": "other", "until": later.isoformat(), "actor": "sue"}
    await handle.signal("extend_hold", extension)
    await sleeper.until("SELECT count(*) = 1 FROM case_events WHERE kind = 'hold_extended'")
    assert sleeper.rows("SELECT until_at, review_at FROM holds") == [(later, later - 3 * DAY)]
    assert sleeper.rows("SELECT status FROM work_items") == [("done",)]
    await temporal_env.fast_forward(handle, 15 * DAY)
    assert _sent(sleeper) == 0
    await handle.signal("extend_hold", {"event_id": "x/2", "reason": "other", "until": until.isoformat()})
    await sleeper.until("SELECT count(*) = 1 FROM inbox WHERE status = 'refused'")
    await temporal_env.fast_forward(handle, 10 * DAY)
    await sleeper.until("SELECT count(*) = 1 FROM attempts WHERE status = 'sent'")
    await handle.terminate()


async def test_hardship_softens_words_and_channels_after_its_rest_until_it_is_ended(
    sleeper: House, temporal_env: WorkflowEnvironment
) -> None:
    handle, _ = await _open(sleeper, LADDER)
    await handle.signal("hardship", {"event_id": "call/1"})
    assert (await sleeper.settled(handle, 1))["stage"] == "held"
    await temporal_env.fast_forward(handle, 33 * DAY)
    await sleeper.until("SELECT count(*) = 1 FROM attempts WHERE status = 'sent'")
    assert sleeper.rows("SELECT step, template FROM attempts") == [("text", "payment-reminder")]
    await handle.terminate()


async def test_vulnerability_holds_nothing_and_one_told_in_the_last_moment_still_changes_the_message(
    sleeper: House, temporal_env: WorkflowEnvironment
) -> None:
    handle, _ = await _open(sleeper, LADDER.replace("when: hardship", "when: vulnerable"))
    with sleeper.engine.begin() as connection:  # the ledger knows, the case has not heard
        connection.exec_driver_sql("UPDATE parties SET vulnerable = true")
    await temporal_env.fast_forward(handle, 4 * DAY)
    await sleeper.until("SELECT count(*) = 1 FROM attempts WHERE status = 'sent'")
    assert sleeper.rows("SELECT step, template, status FROM attempts ORDER BY seq") == [
        ("mail", "invoice-overdue", "refused"),
        ("text", "payment-reminder", "sent"),
    ]
    assert sleeper.rows("SELECT rule_ids FROM decisions ORDER BY id LIMIT 1") == [(["core.softened"],)]
    await handle.terminate()


@pytest.mark.parametrize(
    ("result", "upheld", "left"),
    [("rejected", None, 10_000), ("upheld_in_part", 1_500, 8_500), ("upheld", 4_000, 6_000)],
)
async def test_a_part_under_dispute_is_not_asked_for_and_an_answer_settles_it(
    sleeper: House, temporal_env: WorkflowEnvironment, result: str, upheld: int | None, left: int
) -> None:
    handle, _ = await _open(sleeper, LADDER)
    await handle.signal("dispute", {"event_id": "d/1", "form": "portal", "part_amount": 4_000})
    await temporal_env.fast_forward(handle, 1.5 * DAY)
    await sleeper.until("SELECT count(*) = 1 FROM attempts WHERE status = 'sent'")
    assert sleeper.rows("SELECT quoted_amount FROM attempts") == [(6_000,)]
    scan = {"event_id": "d/1/scan", "document_ref": "scan/1", "sha256": "ab" * 32}
    await handle.signal("dispute_evidence", scan)
    body: dict[str, Any] = {"event_id": "d/1/answer", "result": result, "document_ref": "scan/2"}
    if result == "upheld_in_part":
        body |= {"upheld_amount": upheld, "currency": "USD"}
    await handle.signal("dispute_answered", body)
    await handle.signal("dispute_answered", {**body, "event_id": "d/1/again"})
    status = await sleeper.settled(handle, 4)
    assert status["past_due"] == left
    assert [one["name"] for one in status["refused"]] == ["dispute_answered"]
    entries = [] if upheld is None else [("adjustment", -upheld)]
    assert sleeper.rows("SELECT kind, amount FROM ledger_entries") == entries
    await temporal_env.fast_forward(handle, 2 * DAY)
    await sleeper.until("SELECT count(*) = 2 FROM attempts WHERE status = 'sent'")
    assert sleeper.rows("SELECT quoted_amount FROM attempts ORDER BY seq DESC LIMIT 1") == [(left,)]
    await handle.terminate()


async def test_a_debt_disputed_and_wholly_upheld_closes_as_an_error(sleeper: House) -> None:
    handle, _ = await _open(sleeper)
    await handle.signal("dispute", {"event_id": "d/1", "form": "letter"})
    await handle.signal("dispute_answered", {"event_id": "d/2", "result": "upheld"})
    assert (await handle.result())["reason"] == "error"
