"""Each rule about hours fails on one record and passes the next, at the second."""

import pytest

from tests.recheck.small import Person, Small, utc

NEW_YORK = "America/New_York"


def _person(small: Small, region: str, zone: str, *, third_party: bool) -> Person:
    return small.person(region, zone, third_party=third_party)


# rule, region, zone, placed with a collector, channel, broken at (UTC), kept at (UTC)
EDGES = [
    ("us.fed.time-window", "US-PA", NEW_YORK, True, "sms", "2026-11-25 02:00:00", "2026-11-25 01:59:59"),
    ("us.fed.time-window", "US-PA", NEW_YORK, True, "call", "2026-11-24 12:59:59", "2026-11-24 13:00:00"),
    # the night the clocks go back: 12:30 UTC is 07:30, on the day before it was 08:30
    ("us.fed.time-window", "US-PA", NEW_YORK, True, "email", "2026-11-01 12:30:00", "2026-10-31 12:30:00"),
    # the night the clocks go forward
    ("us.fed.time-window", "US-PA", NEW_YORK, True, "email", "2026-03-07 12:00:00", "2026-03-08 12:00:00"),
    # Arizona has no summer time
    ("us.fed.time-window", "US-AZ", "America/Phoenix", True, "call", "2027-07-01 14:30:00", "2027-07-01 15:00:00"),
    ("us.ca.rosenthal", "US-CA", "America/Los_Angeles", False, "sms", "2026-06-02 04:00:00", "2026-06-02 03:59:59"),
    ("us.ma.hours-visit", "US-MA", NEW_YORK, False, "visit", "2026-06-02 01:00:00", "2026-06-02 00:59:59"),
    ("us.wa.hours", "US-WA", "America/Los_Angeles", True, "sms", "2026-06-02 14:29:59", "2026-06-02 15:00:00"),
    ("cn.quiet-hours", "CN", "Asia/Shanghai", False, "sms", "2026-11-24 14:00:00", "2026-11-24 13:59:59"),
    ("cn.quiet-hours", "CN", "Asia/Shanghai", False, "voice", "2026-11-24 23:59:59", "2026-11-25 00:00:00"),
    ("uk.reasonable-time", "GB", "Europe/London", False, "email", "2026-07-01 06:59:59", "2026-07-01 07:00:00"),
    ("uk.reasonable-time", "GB-ENG", "Europe/London", False, "email", "2026-12-01 21:00:00", "2026-12-01 20:59:59"),
    ("in.hours", "IN", "Asia/Kolkata", False, "call", "2026-11-24 13:30:00", "2026-11-24 13:29:59"),
    ("in.hours", "IN", "Asia/Kolkata", False, "voice", "2026-11-24 02:29:59", "2026-11-24 02:30:00"),
    ("id.hours", "ID", "Asia/Jakarta", False, "sms", "2026-11-29 03:00:00", "2026-11-30 03:00:00"),
    ("id.hours", "ID", "Asia/Jakarta", False, "call", "2026-12-25 04:00:00", "2026-12-26 04:00:00"),
    ("id.hours", "ID", "Asia/Jayapura", False, "call", "2026-11-24 11:00:00", "2026-11-24 10:59:59"),
    ("au.hours", "AU", "Australia/Sydney", False, "call", "2026-11-27 21:30:00", "2026-11-27 22:00:00"),
    ("au.hours", "AU", "Australia/Sydney", False, "voice", "2026-11-25 20:29:59", "2026-11-25 20:30:00"),
    ("au.hours", "AU", "Australia/Sydney", False, "visit", "2026-11-25 21:30:00", "2026-11-25 22:00:00"),
    ("au.hours", "AU", "Australia/Sydney", False, "call", "2026-01-26 02:00:00", "2026-01-27 02:00:00"),
    ("br.sp.hours", "BR-SP", "America/Sao_Paulo", False, "call", "2026-11-28 17:00:00", "2026-11-28 16:59:59"),
    ("br.sp.hours", "BR-SP", "America/Sao_Paulo", False, "call", "2026-11-29 15:00:00", "2026-11-30 15:00:00"),
    ("br.sp.hours", "BR-SP", "America/Sao_Paulo", False, "call", "2026-07-09 15:00:00", "2026-07-08 15:00:00"),
]


@pytest.mark.parametrize(("rule", "region", "zone", "third_party", "channel", "broken", "kept"), EDGES)
def test_an_hour_is_seen_at_the_second(
    small: Small, rule: str, region: str, zone: str, third_party: bool, channel: str, broken: str, kept: str
) -> None:
    bad = small.attempt(_person(small, region, zone, third_party=third_party), channel, broken)
    small.attempt(_person(small, region, zone, third_party=third_party), channel, kept)
    assert {key: rules & {rule} for key, rules in small.rules().items()} == {bad: {rule}}


def test_what_no_clock_binds(small: Small) -> None:
    night = "2026-11-25 06:00:00"
    small.attempt(small.person("US-PA", NEW_YORK, third_party=True), "letter", night)
    small.attempt(small.person("US-PA", NEW_YORK, third_party=True), "sms", night, purpose="reply")
    small.attempt(small.person("US-PA", NEW_YORK), "sms", night)  # the creditor itself: not covered
    small.attempt(
        small.person("US-PA", NEW_YORK, third_party=True, account={"debt_type": "business"}, noticed=False),
        "sms",
        night,
    )
    small.attempt(small.person("DE", "Europe/Berlin"), "sms", "2026-11-24 23:00:00")
    assert small.rules() == {}


def test_the_philippine_night_is_free_after_fifteen_days(small: Small) -> None:
    late = utc("2026-11-24 14:30:00")
    tenth = small.person("PH", "Asia/Manila", due_on=late.date().replace(day=14))
    fifteenth = small.person("PH", "Asia/Manila", due_on=late.date().replace(day=9))
    sixteenth = small.person("PH", "Asia/Manila", due_on=late.date().replace(day=8))
    bad = {small.attempt(tenth, "call", late), small.attempt(fifteenth, "call", late)}
    small.attempt(sixteenth, "call", late)
    small.attempt(
        small.person("PH", "Asia/Manila", due_on=late.date().replace(day=14)), "call", utc("2026-11-24 13:59:59")
    )
    assert small.rules() == {key: {"ph.hours"} for key in bad}


def test_every_zone_that_may_be_theirs_counts(small: Small) -> None:
    """A New York number and a home in Hawaii: 12:30 there and 07:30 here."""
    at = "2026-11-24 17:30:00"
    torn = small.person("US-HI", None, phone="+12125550101", third_party=True)
    at_home = small.person("US-HI", "Pacific/Honolulu", phone="+12125550101", third_party=True)
    told = {"timezone_source": "confirmed"}
    confirmed = small.person("US-HI", "Pacific/Honolulu", phone="+12125550101", third_party=True, party=told)
    bad = {small.attempt(torn, "call", at), small.attempt(at_home, "call", at)}
    small.attempt(confirmed, "call", "2026-11-25 02:30:00")  # 16:30 in Hawaii, 21:30 in New York
    late = small.attempt(at_home, "call", "2026-11-25 02:30:00")
    assert small.rules() == {key: {"us.fed.time-window"} for key in bad | {late}}


def test_nothing_known_of_a_place_is_no_place_to_contact(small: Small) -> None:
    lost = small.attempt(small.person(None, None), "sms", "2026-11-24 12:00:00")
    small.attempt(small.person(None, None), "letter", "2026-11-24 12:00:00")
    small.attempt(small.person(None, None, phone="+442079460000"), "sms", "2026-11-24 12:00:00")
    late = small.attempt(small.person(None, None, phone="+442079460000"), "sms", "2026-11-24 22:00:00")
    assert small.rules() == {lost: {"core.fail-closed"}, late: {"uk.reasonable-time"}}


def test_an_agreed_time_lifts_hours_and_nothing_else(small: Small) -> None:
    one, other = small.person("CN", "Asia/Shanghai"), small.person("CN", "Asia/Shanghai")
    detail = {"consent": "time", "starts": "22:00", "ends": "23:00"}
    small.event("consent_given", "person", "2026-11-24 07:00:00", one, detail=detail)
    small.attempt(one, "call", "2026-11-24 14:30:00")
    too_late = small.attempt(one, "call", "2026-11-24 15:00:00")
    unasked = small.attempt(other, "call", "2026-11-24 14:30:00")
    assert small.rules() == {key: {"cn.quiet-hours"} for key in (too_late, unasked)}


def test_an_inconvenient_time_is_kept(small: Small) -> None:
    one = small.person("US-PA", NEW_YORK, third_party=True)
    detail = {"starts": "00:00", "ends": "12:00"}
    small.attempt(one, "call", "2026-11-20 15:30:00")
    small.event("inconvenient_time", "person", "2026-11-21 15:00:00", one, detail=detail)
    early = small.attempt(one, "sms", "2026-11-24 16:59:59")
    small.attempt(one, "sms", "2026-11-24 17:00:00")
    assert small.rules() == {early: {"us.fed.known-inconvenient"}}
