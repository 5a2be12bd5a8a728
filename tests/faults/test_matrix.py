"""A slice of the fault matrix: answers and requests lost on every channel while worker and web part are killed.

`make matrix` is all of it.
"""

from pathlib import Path

import pytest

from tests.faults.matrix import Matrix


@pytest.mark.timeout(900)
async def test_p2_p10_whatever_goes_wrong_and_whoever_is_killed_nothing_is_done_twice_or_lost_unnamed(
    tmp_path: Path,
) -> None:
    verdict = await Matrix(tmp_path, 2, ("answer lost", "503, not done", "callbacks first")).run(("worker", "web"))
    assert verdict.wrong == (), str(verdict)
    rows = verdict.table
    assert sum(row.hit for row in rows.values()) > 0, str(verdict)
    assert verdict.restarts["worker"] > 0
    assert verdict.restarts["web"] > 0
    for (fault, _, _), row in rows.items():
        assert (row.unknown == row.cases) if fault == "503, not done" else (row.done + row.unknown == row.cases)
