"""Zones, windows and business days: right in every zone, on every night the clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import (
    add_days,
    add_period,
    at_local,
    is_business_day,
    is_open,
    known_zone,
    local_date,
    next_opening,
    start_of_day,
)
from domain.strategy import WEEKDAYS, Between, Hours, Period

ZONES = (
    "America/Chicago",
    "Asia/Shanghai",
    "Asia/Kolkata",  # half an hour
    "Asia/Kathmandu",  # three quarters of an hour
    "Australia/Lord_Howe",  # DST of half an hour
    "America/Sao_Paulo",  # DST at midnight until 2019
    "Africa/Cairo",  # DST at midnight
    "America/St_Johns",
    "Pacific/Apia",  # a day that never was
    "Europe/Berlin",
    "Africa/Casablanca",
    "UTC",
)
zones = st.sampled_from(ZONES)
instants = st.datetimes(
    min_value=datetime(2011, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2031, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.just(UTC),
)
days = st.dates(min_value=date(2011, 1, 1), max_value=date(2031, 1, 1))


@st.composite
def windows(draw: st.DrawFn) -> Between:
    """Any window of the grammar."""
    opens = draw(st.integers(0, 23 * 60 + 58))
    closes = draw(st.none() | st.integers(opens + 1, 23 * 60 + 59))
    return Between(
        hours=Hours(
            opens=time(opens // 60, opens % 60), closes=None if closes is None else time(closes // 60, closes % 60)
        ),
        weekdays=tuple(sorted(draw(st.sets(st.sampled_from(WEEKDAYS), min_size=1)))),
        holidays=draw(st.sampled_from(["allowed", "avoided"])),
    )


@given(at=instants, between=windows(), zone=zones, region=st.sampled_from([None, "US-IL", "CN", "DE-BY", "XX"]))
def test_the_next_opening_is_open_and_not_before(at: datetime, between: Between, zone: str, region: str | None) -> None:
    opening = next_opening(at, between, zone, region)
    assert opening >= at
    assert opening.tzinfo is UTC
    assert is_open(opening, between, zone, region)
    assert next_opening(opening, between, zone, region) == opening


@given(at=instants, between=windows(), zone=zones, part=st.floats(0, 1, exclude_max=True))
def test_nothing_is_open_between_an_instant_and_its_next_opening(
    at: datetime, between: Between, zone: str, part: float
) -> None:
    opening = next_opening(at, between, zone, None)
    between_them = at + (opening - at) * part
    assert between_them >= opening or not is_open(between_them, between, zone, None)


@given(day=days, zone=zones)
def test_a_day_starts_with_its_first_instant(day: date, zone: str) -> None:
    start = start_of_day(day, zone)
    if local_date(start, zone) != day:  # the day that never was
        assert (zone, day) == ("Pacific/Apia", date(2011, 12, 30))
        return
    assert local_date(start - timedelta(microseconds=1), zone) < day


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00:00+00:00"),  # midnight skipped: 01:00 -02
        ("Africa/Cairo", date(2026, 4, 24), "2026-04-23T22:00:00+00:00"),  # midnight skipped: 01:00 +03
        ("Asia/Kolkata", date(2028, 2, 29), "2028-02-28T18:30:00+00:00"),
        ("America/Chicago", date(2026, 3, 8), "2026-03-08T06:00:00+00:00"),
    ],
)
def test_days_that_begin_oddly(zone: str, day: date, expected: str) -> None:
    assert start_of_day(day, zone).isoformat() == expected


def test_a_wall_time_in_the_gap_is_the_end_of_the_gap() -> None:
    assert at_local(date(2026, 3, 8), time(2, 30), "America/Chicago").isoformat() == "2026-03-08T08:00:00+00:00"


def test_a_window_that_opens_in_the_gap_opens_at_its_end() -> None:
    night = Between(hours=Hours(opens=time(2, 30), closes=time(4)))
    at = datetime(2026, 3, 8, 6, tzinfo=UTC)
    assert next_opening(at, night, "America/Chicago", None).isoformat() == "2026-03-08T08:00:00+00:00"


def test_a_window_in_the_repeated_hour_opens_twice() -> None:
    """In Chicago 01:30 comes twice on 1 November 2026: 06:30 and 07:30 UTC."""
    night = Between(hours=Hours(opens=time(1, 30), closes=time(1, 45)))
    first = next_opening(datetime(2026, 11, 1, 5, tzinfo=UTC), night, "America/Chicago", None)
    second = next_opening(datetime(2026, 11, 1, 6, 50, tzinfo=UTC), night, "America/Chicago", None)
    assert (first.hour, second.hour) == (6, 7)


def test_nine_o_clock_is_nine_o_clock_on_both_sides_of_dst() -> None:
    day = Between(hours=Hours(opens=time(9), closes=time(18)))
    for instant in (datetime(2026, 3, 7, 12, tzinfo=UTC), datetime(2026, 3, 8, 12, tzinfo=UTC)):
        opening = next_opening(instant, day, "America/Chicago", None)
        assert opening.astimezone(ZoneInfo("America/Chicago")).time() == time(9)


def test_windows_are_half_open() -> None:
    day = Between(hours=Hours(opens=time(9), closes=time(18)))
    assert is_open(datetime(2026, 1, 5, 9, tzinfo=UTC), day, "UTC", None)
    assert is_open(datetime(2026, 1, 5, 17, 59, 59, 999999, tzinfo=UTC), day, "UTC", None)
    assert not is_open(datetime(2026, 1, 5, 18, tzinfo=UTC), day, "UTC", None)
    assert not is_open(datetime(2026, 1, 5, 8, 59, 59, tzinfo=UTC), day, "UTC", None)


def test_holidays_are_avoided_only_where_the_window_says_so() -> None:
    christmas = datetime(2026, 12, 25, 15, tzinfo=UTC)
    avoiding = Between(holidays="avoided")
    assert is_open(christmas, Between(), "UTC", "US")
    assert not is_open(christmas, avoiding, "UTC", "US")
    assert is_open(christmas, avoiding, "UTC", None)
    assert next_opening(christmas, avoiding, "UTC", "US").date() == date(2026, 12, 26)


@given(day=days, count=st.integers(0, 60), region=st.sampled_from([None, "US", "CN", "DE-BY"]))
def test_business_days_land_on_business_days_and_pass_exactly_so_many(
    day: date, count: int, region: str | None
) -> None:
    landed = add_days(day, count, "business", region)
    passed = sum(is_business_day(day + timedelta(days=ahead), region) for ahead in range(1, (landed - day).days + 1))
    assert passed == count
    assert count == 0 or is_business_day(landed, region)


def test_business_days_know_weekends_holidays_and_regions() -> None:
    friday = date(2026, 7, 2)
    assert add_days(friday, 1, "business", "US") == date(2026, 7, 6)  # 3 July is observed for the 4th, a Saturday
    assert add_days(friday, 1, "business", None) == date(2026, 7, 3)
    assert is_business_day(date(2026, 8, 15) + timedelta(days=2), "DE-BY")
    assert not is_business_day(date(2026, 6, 4), "DE-BY")  # Corpus Christi, a holiday in Bavaria
    assert is_business_day(date(2026, 6, 4), "DE-BE")  # and none in Berlin
    assert is_business_day(date(2026, 12, 25), "XX-nowhere")  # unknown region: weekends only


@given(at=instants, count=st.integers(0, 400), zone=zones)
def test_days_keep_the_local_time_and_hours_are_elapsed(at: datetime, count: int, zone: str) -> None:
    assert add_period(at, Period(count=count, unit="hour"), zone, None) - at == timedelta(hours=count)
    later = add_period(at, Period(count=count, unit="day"), zone, None)
    target = local_date(at, zone) + timedelta(days=count)
    assert abs(later - at_local(target, at.astimezone(ZoneInfo(zone)).time(), zone)) <= timedelta(hours=1)


def test_leap_days_are_days() -> None:
    at = datetime(2028, 2, 28, 12, tzinfo=UTC)
    assert add_period(at, Period(count=1, unit="day"), "UTC", None).date() == date(2028, 2, 29)
    assert add_days(date(2028, 2, 28), 2, "calendar", None) == date(2028, 3, 1)


def test_zones_are_known_by_their_iana_names() -> None:
    assert known_zone("America/Chicago")
    assert not known_zone("Chicago")
    assert not known_zone("../../etc/passwd")
    assert not known_zone("")
