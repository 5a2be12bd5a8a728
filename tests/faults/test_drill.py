"""kill -9 between every two steps, on real processes; the judge is a provider outside of them.

`make drill` is the same with 200 cases at each place.
"""

from pathlib import Path

import pytest

from activities.checkpoints import Place
from tests.faults.drill import DROPPED, PROCESSED, STALLED, STOPPED, Drill
from tests.faults.installation import STEPS

CASES = 6


@pytest.mark.timeout(600)
async def test_p2_p5_p10_killed_between_any_two_steps_nothing_is_lost_or_repeated_and_unknowns_are_named(
    tmp_path: Path,
) -> None:
    verdict = await Drill(tmp_path, CASES).run(rounds=1)
    assert verdict.wrong == (), str(verdict)

    for place in (*Place, PROCESSED, STALLED):
        assert verdict.line(place).killed == CASES, f"not every case was hit at {place}\n{verdict}"
    # What was admitted by a process that died before its send stays unknown; so does what was not answered.
    for place in (Place.CONTACT_ADMITTED, STALLED, DROPPED):
        assert verdict.line(place).unknown >= CASES
    assert verdict.line(STALLED).requests <= CASES * (STEPS - 1)
    assert verdict.line(STOPPED).unknown == 0
