"""Agents in processes of their own, some killed with an item on loan: each item is worked once, and none is lost.

``python -m tests.faults.agents`` is the same with 20 agents and 5,000 items.
"""

from pathlib import Path

import pytest

from tests.faults.agents import AgentsDrill


@pytest.mark.timeout(300)
async def test_p10_agents_killed_with_an_item_on_loan_each_item_is_worked_once_and_none_is_lost(
    database_url: str, tmp_path: Path
) -> None:
    drill = AgentsDrill(tmp_path, database_url, agents=3, items=60, killed=1, stopped=1, lease_seconds=3.0)
    verdict = await drill.run()
    assert verdict.wrong == [], str(verdict)
    assert (verdict.items, len(verdict.killed), verdict.taken_over) == (60, 1, 1)
    assert verdict.refused >= 1
