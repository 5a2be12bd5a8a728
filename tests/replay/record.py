"""Stores histories of the running demonstration for the replay tests: ``python -m tests.replay.record VERSION``.

Run it before a release, beside ``starter.py demo --stay``. Histories hold codes and keys only.
"""

import asyncio
import sys
from pathlib import Path

from runtime.client import connect
from runtime.endpoints import running_endpoints
from settings import load_settings

FOLDER = Path(__file__).parent / "histories"
KEPT = 8


async def record(version: str) -> int:
    """Store the longest histories and one run of the opener; return how many."""
    settings = load_settings()
    client = await connect(settings, running_endpoints(settings))
    found = [one async for one in client.list_workflows("WorkflowType = 'case'")]
    longest = sorted(found, key=lambda one: (-one.history_length, one.id))[:KEPT]
    opener = [one async for one in client.list_workflows("WorkflowType = 'open_cases'")][:1]
    for execution in (*longest, *opener):
        history = await client.get_workflow_handle(execution.id, run_id=execution.run_id).fetch_history()
        name = f"{version}-{execution.id.replace('/', '-')}.json"
        (FOLDER / name).write_text(history.to_json(), encoding="utf-8")
    return len(longest) + len(opener)


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(record(sys.argv[1]))} histories stored\n")
