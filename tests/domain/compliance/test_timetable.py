"""Hours: midnight, nights on which clocks change, zones with half hours, holidays; against a search minute by minute."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.compliance.facts import Consent, Inconvenient
from domain.compliance.timetable import NEVER, Timetable, holidays_in

ZONES = (
    "America/New_York", "America/Sao_Paulo", "America/Havana", "America/St_Johns", "Asia/Kolkata", "Asia/Kathmandu",
    "Asia/Shanghai", "Asia/Beirut", "Australia/Lord_Howe", "Australia/Adelaide", "Europe/London", "Pacific/Chatham",
    "Pacific/Honolulu", "Africa/Cairo", "America/Santiago", "Asia/Tehran",
)  # fmt: skip
DST_DAYS = (
    date(2026, 3, 8), date(2026, 11, 1), date(2026, 3, 29), date(2026, 10, 25), date(2026, 4, 5), date(2026, 10, 4),
    date(2026, 4, 24), date(2026, 10, 30), date(2028, 2, 29), date(2026, 12, 31), date(2026, 9, 6), date(2026, 9, 27),
)  # fmt: skip
MINUTE = timedelta(minutes=1)


def _naive_search(table: Timetable, at: datetime, zone: str) -> datetime | None:
    for ahead in range(3 * 24 * 60):
        moment = at + ahead * MINUTE
        if table.is_open(moment, zone):
            return moment
    return None


@st.composite
def tables(draw: st.DrawFn) -> Timetable:
    quarter = st.integers(0, 95)
    start, end = sorted((draw(quarter), draw(quarter)))
    span = ((start * 900.0, (end + 1) * 900.0),)
    days = draw(st.sets(st.integers(0, 6), min_size=2))
    clocks = st.builds(time, st.integers(0, 23), st.sampled_from((0, 15, 30)))
    consents = draw(st.lists(st.builds(Consent, st.just("time"), opens=clocks, closes=clocks), max_size=1))
    closed = draw(st.lists(st.builds(Inconvenient, opens=clocks, closes=clocks), max_size=1))
    return Timetable(open=dict.fromkeys(days, span), consents=tuple(consents), closed=tuple(closed))


@settings(max_examples=120, deadline=None)
@given(
    table=tables(),
    zone=st.sampled_from(ZONES),
    day=st.sampled_from(DST_DAYS),
    minutes=st.integers(-12 * 60, 30 * 60),
)
def test_the_next_opening_is_the_first_open_minute(table: Timetable, zone: str, day: date, minutes: int) -> None:
    at = datetime.combine(day, time(0), UTC) + minutes * MINUTE
    found, searched = table.next_open(at, zone), _naive_search(table, at, zone)
    if searched is None:
        assert found > at + 2 * timedelta(days=1)
    else:
        assert found == searched


DAILY = Timetable(open=dict.fromkeys(range(7), ((8 * 3600.0, 21 * 3600.0),)))


@pytest.mark.parametrize(
    ("zone", "at", "opens"),
    [
        ("America/New_York", "2026-11-01T12:30:00", "2026-11-01T13:00:00"),  # clocks went back: 07:30, not 08:30
        ("America/New_York", "2026-03-08T11:30:00", "2026-03-08T12:00:00"),  # clocks went forward
        ("Asia/Kolkata", "2026-11-24T02:29:59", "2026-11-24T02:30:00"),
        ("Asia/Kathmandu", "2026-11-24T02:14:59", "2026-11-24T02:15:00"),
        ("Australia/Lord_Howe", "2026-04-04T21:00:00", "2026-04-04T21:30:00"),  # half an hour of summer time
        ("America/New_York", "2028-02-29T04:59:59", "2028-02-29T13:00:00"),
        ("America/New_York", "2026-11-25T02:00:00", "2026-11-25T13:00:00"),  # 21:00:00 is closed
    ],
)
def test_opening_times_of_the_zones_that_surprise(zone: str, at: str, opens: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert DAILY.next_open(moment, zone) == datetime.fromisoformat(opens).replace(tzinfo=UTC)


def test_an_hour_that_is_skipped_opens_at_the_end_of_the_gap() -> None:
    night = Timetable(open=dict.fromkeys(range(7), ((2.5 * 3600, 4 * 3600.0),)))
    at = datetime(2026, 3, 8, 6, 0, tzinfo=UTC)  # 01:00 in New York; 02:00 becomes 03:00 at 07:00Z
    assert night.next_open(at, "America/New_York") == datetime(2026, 3, 8, 7, 0, tzinfo=UTC)


def test_an_hour_that_is_repeated_is_open_twice() -> None:
    night = Timetable(open=dict.fromkeys(range(7), ((3600.0, 1.5 * 3600),)))
    between = datetime(2026, 11, 1, 5, 45, tzinfo=UTC)  # 01:45 the first time
    assert night.next_open(between, "America/New_York") == datetime(2026, 11, 1, 6, 0, tzinfo=UTC)


def test_holidays_of_a_country_and_of_the_facts_are_both_kept() -> None:
    table = Timetable(
        open=dict.fromkeys(range(6), ((8 * 3600.0, 20 * 3600.0),)),
        on_holidays=(),
        holidays_of="ID",
        holidays=frozenset({date(2026, 12, 26)}),
    )
    christmas = datetime(2026, 12, 25, 4, 0, tzinfo=UTC)
    assert table.next_open(christmas, "Asia/Jakarta") == datetime(2026, 12, 28, 1, 0, tzinfo=UTC)


def test_a_timetable_that_never_opens_says_so() -> None:
    assert Timetable(open={}).next_open(datetime(2026, 1, 1, tzinfo=UTC), "UTC") == NEVER


def test_a_region_without_a_calendar_has_no_holidays() -> None:
    assert holidays_in("XX", 2026) == frozenset()


def test_consent_over_midnight_opens_both_sides_of_it() -> None:
    consent = Consent("time", opens=time(22), closes=time(1), on=date(2026, 11, 24))
    table = Timetable(open={}, consents=(consent,))
    for hour, expected in ((14, True), (16, True), (17, False)):  # 22:00, 00:00 and 01:00 in Shanghai
        assert table.is_open(datetime(2026, 11, 24, hour, tzinfo=UTC), "Asia/Shanghai") is expected
    assert not table.is_open(datetime(2026, 11, 25, 14, tzinfo=UTC), "Asia/Shanghai")


def test_hours_open_again_at_the_instant_the_clocks_go_back_into_them() -> None:
    night = Timetable(open=dict.fromkeys(range(7), ((0.0, 1.5 * 3600),)))
    late = datetime(2026, 11, 1, 5, 45, tzinfo=UTC)  # 01:45 the first time; at 06:00Z it is 01:00 again
    assert night.next_open(late, "America/New_York") == datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
