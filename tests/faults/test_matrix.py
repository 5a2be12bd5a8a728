"""A slice of the fault matrix: answers and requests lost on every channel while worker and web part are killed.

`make matrix` is all of it.
"""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.faults.matrix import Matrix
from tests.faults.matrix_verdict import complaint_about


@pytest.mark.timeout(900)
async def test_p2_p10_whatever_goes_wrong_and_whoever_is_killed_nothing_is_done_twice_or_lost_unnamed(
    tmp_path: Path,
) -> None:
    verdict = await Matrix(tmp_path, 2, ("answer lost", "503, not done", "callbacks first")).run(
        ("worker", "web"), ours=False
    )
    assert verdict.wrong == (), str(verdict)
    rows = verdict.table
    assert sum(row.hit for row in rows.values()) > 0, str(verdict)
    assert verdict.restarts["worker"] > 0
    assert verdict.restarts["web"] > 0
    for (fault, _, _), row in rows.items():
        assert (row.unknown == row.cases) if fault == "503, not done" else (row.done + row.unknown == row.cases)


@pytest.mark.parametrize(
    ("status", "own", "asked", "done", "provider_id", "words"),
    [
        ("delivered", 1, 1, 1, "SM1", None),
        ("unknown", 1, 1, 0, None, None),
        ("unknown", 1, 0, 0, None, None),
        (None, 0, 1, 1, None, "was lost"),
        ("delivered", 2, 1, 1, "SM1", "one of 2 attempts"),
        ("delivered", 1, 2, 1, "SM1", "asked for 2 times"),
        ("unknown", 1, 1, 1, None, "was done and is unknown"),
        ("dispatching", 1, 1, 1, None, "was done and is dispatching"),
        ("sent", 1, 1, 0, "SM1", "was not done and is sent"),
        ("retryable", 1, 1, 0, None, "was not done and is retryable"),
        ("delivered", 1, 1, 1, "SM2", "name of another"),
    ],
)
def test_the_judge_sees_what_is_lost_repeated_guessed_or_left(
    status: str | None, own: int, asked: int, done: int, provider_id: str | None, words: str | None
) -> None:
    one = None if status is None else SimpleNamespace(status=status, own=own, provider_id=provider_id)
    said = complaint_about(one, asked=asked, most=1, done=done, ids={"SM1"})
    assert said is None if words is None else words in (said or "")
