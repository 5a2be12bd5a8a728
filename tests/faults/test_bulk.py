"""A bulk hold of half of the cases, killed in between: exactly these, each once. The full size is a module of its own."""

from pathlib import Path

import pytest

from tests.faults.bulk import run

CASES = 400


@pytest.mark.timeout(600)
def test_p10_exactly_the_cases_that_were_shown_are_held_whatever_is_killed(tmp_path: Path) -> None:
    figures = run(tmp_path, CASES, servers=False)
    assert figures.wrong == [], str(figures)
    assert figures.previewed == CASES // 2
