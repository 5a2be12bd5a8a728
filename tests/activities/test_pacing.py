"""After a night of deferrals nothing starts as a burst, and nothing starts when the gate would refuse it."""

from collections import Counter
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from activities.pacing import PACED, Pacing, share_of
from domain.codes import Channel, Verdict
from domain.gate import Decision
from tests.activities.cases import AT

OPENS = AT.replace(hour=14)


class Counted(Pacing):
    """Knows how many wait without asking."""

    def __init__(self, waiting: int, rate: float) -> None:
        super().__init__({Channel.SMS: rate})
        self._known[Channel.SMS] = (float("inf"), waiting)


def _spread(engine: Engine, pacing: Pacing, key: str, closes: datetime) -> Decision:
    decision = Decision(Verdict.DEFER, ("core.step-hours",), OPENS)
    with engine.connect() as connection:
        return pacing.spread(
            connection,
            decision,
            case_key=key,
            channel=Channel.SMS,
            allows=lambda at: Verdict.ALLOW if OPENS <= at < closes else Verdict.DEFER,
        )


def test_what_a_night_deferred_starts_at_the_channels_rate(engine: Engine) -> None:
    pacing, rate, count = Counted(3600, 2.0), 2.0, 3600
    starts = Counter[int]()
    for number in range(count):
        until = _spread(engine, pacing, f"A{number:09d}/1", OPENS + timedelta(hours=10)).defer_until
        assert until is not None
        starts[int((until - OPENS).total_seconds()) // 60] += 1
    assert max(starts) < count / rate / 60
    assert max(starts.values()) < rate * 60 * 1.5
    assert min(starts.values()) > rate * 60 * 0.5


def test_an_instant_belongs_to_its_case_and_the_record_says_why(engine: Engine) -> None:
    pacing = Counted(600, 1.0)
    first = _spread(engine, pacing, "A000000001/1", OPENS + timedelta(hours=1))
    assert first == _spread(engine, pacing, "A000000001/1", OPENS + timedelta(hours=1))
    assert first.rule_ids == ("core.step-hours", PACED)
    assert (
        first.reasons[-1].until == first.defer_until == OPENS + timedelta(seconds=int(600 * share_of("A000000001/1")))
    )


@pytest.mark.parametrize("minutes", [1, 7, 60])
def test_nothing_is_put_outside_of_the_permitted_hours(engine: Engine, minutes: int) -> None:
    pacing, closes = Counted(36_000, 1.0), OPENS + timedelta(minutes=minutes)
    for number in range(200):
        until = _spread(engine, pacing, f"A{number:09d}/1", closes).defer_until
        assert until is not None
        assert OPENS <= until < closes


def test_without_a_rate_nothing_is_moved(engine: Engine) -> None:
    assert _spread(engine, Pacing(), "A000000001/1", OPENS + timedelta(hours=1)).defer_until == OPENS
