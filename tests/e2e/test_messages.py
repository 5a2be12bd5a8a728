"""Every message of docs/messages.md works from the server's own command line, and reaches the ledger."""

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.messages import MESSAGES
from domain.state_messages import STATE_MESSAGES
from runtime.servers import Servers
from runtime.temporal_server import binary
from tests.workflows.conftest import House, house

__all__ = ["house"]
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "messages.md"
PRECEDED_BY = {"correct_outcome": "record_call_outcome"}
"""Messages that are about another one."""
EXAMPLES = dict(re.findall(r"```json (\w+)\n(.+?)\n```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL))


ABOUT_WHAT_STANDS = frozenset({"extend_hold", "dispute_evidence", "dispute_answered"})
"""Messages about a hold or a dispute: where none stands they are kept as refused, with the reason."""


def test_every_message_of_the_contract_is_documented() -> None:
    assert set(EXAMPLES) == set(MESSAGES)


@pytest.mark.parametrize("name", sorted(MESSAGES))
async def test_a_message_sent_by_the_command_line_reaches_the_ledger(
    house: House, temporal_server: Servers, name: str
) -> None:
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date(), amount="500.00")
    handle = await house.open(now)
    command = [
        str(binary(None)), "workflow", "signal", "--address", temporal_server.temporal_address,
        "--namespace", temporal_server.namespace, "--workflow-id", handle.id, "--name", name, "--input", EXAMPLES[name],
    ]  # fmt: skip
    first = PRECEDED_BY.get(name)
    if first is not None:
        await handle.signal(first, json.loads(EXAMPLES[first]))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    expected = 1 if first is None else 2
    taken = "refused" if name in ABOUT_WHAT_STANDS else "applied"
    await house.until(f"SELECT count(*) = {expected} FROM inbox WHERE status = '{taken}'")
    effects = {
        "record_payment": "SELECT count(*) = 1 FROM ledger_entries WHERE kind = 'payment'",
        "reverse_payment": "SELECT count(*) = 1 FROM suspense WHERE reason = 'unknown_payment'",
        "record_call_outcome": "SELECT count(*) = 1 FROM attempts WHERE channel = 'call' AND outcome = 'callback'",
        "correct_outcome": "SELECT count(*) = 1 FROM attempts WHERE channel = 'call' AND outcome = 'no_answer'",
        "record_visit_outcome": "SELECT count(*) = 1 FROM attempts WHERE channel = 'visit'",
        "record_legal_update": "SELECT count(*) = 1 FROM case_events WHERE kind = 'legal'",
        "pause": "SELECT count(*) = 1 FROM holds WHERE reason = 'paused'",
        "place_hold": "SELECT count(*) = 1 FROM holds WHERE reason = 'hardship'",
        "skip_step": "SELECT count(*) = 1 FROM case_events WHERE kind = 'skip_asked'",
        "close_case": "SELECT count(*) = 1 FROM cases WHERE close_reason = 'recalled'",
    }
    if name in STATE_MESSAGES:
        effects[name] = f"SELECT count(*) = 1 FROM state_events WHERE kind = '{name}'"
    await house.until(effects.get(name, "SELECT true"))
