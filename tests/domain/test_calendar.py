"""Windows and days in every zone: DST nights, half hours, leap days."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import add_days, at_local, is_open, local_date, next_opening, start_of_day
from domain.strategy import Between, Hours, Weekday

ZONES = (
    "America/Chicago",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Europe/London",
    "Asia/Kathmandu",
)
WEEK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri")
windows = st.builds(
    lambda opens, length, weekdays: Between(
        hours=Hours(opens=time(opens), closes=time(opens + length) if opens + length < 24 else None), weekdays=weekdays
    ),
    st.integers(0, 22),
    st.integers(1, 12),
    st.sampled_from([WEEK, ("sun",), ("mon", "sat")]),
)
instants = st.datetimes(datetime(2018, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(instants, windows, st.sampled_from(ZONES))
def test_the_next_opening_is_open_and_nothing_before_it_was(at: datetime, between: Between, zone: str) -> None:
    opening = next_opening(at, between, zone, None)
    assert opening >= at
    assert is_open(opening, between, zone, None)
    assert next_opening(opening, between, zone, None) == opening
    step = (opening - at) / 40
    for number in range(40):
        probe = at + step * number
        assert probe == opening or not is_open(probe, between, zone, None)


@given(instants, st.sampled_from(ZONES))
def test_the_start_of_a_day_is_its_first_instant(at: datetime, zone: str) -> None:
    day = local_date(at, zone)
    start = start_of_day(day, zone)
    assert local_date(start, zone) == day
    assert local_date(start - timedelta(seconds=1), zone) < day


def test_a_midnight_that_does_not_exist_begins_an_hour_later() -> None:
    assert start_of_day(date(2018, 11, 4), "America/Sao_Paulo") == datetime(2018, 11, 4, 3, tzinfo=UTC)


def test_a_wall_time_in_the_gap_is_the_end_of_the_gap() -> None:
    assert at_local(date(2026, 3, 8), time(2, 30), "America/Chicago") == datetime(2026, 3, 8, 8, tzinfo=UTC)


@pytest.mark.parametrize(("days", "expected"), [(0, date(2026, 7, 2)), (1, date(2026, 7, 6)), (2, date(2026, 7, 7))])
def test_business_days_pass_over_weekends_and_holidays(days: int, expected: date) -> None:
    assert add_days(date(2026, 7, 2), days, "business", "US") == expected
