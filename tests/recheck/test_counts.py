"""Each cap fails on one record and passes the next: the eighth date is free, the seventh is not."""

from datetime import datetime, timedelta

import pytest

from tests.recheck.small import Person, Small, utc

NEW_YORK = "America/New_York"
PACIFIC = "America/Los_Angeles"
SHANGHAI = "Asia/Shanghai"


def _calls(small: Small, one: Person, instants: list[datetime], channel: str = "call") -> list[str]:
    return [small.attempt(one, channel, at, status="undelivered") for at in instants]


def _hourly(start: str, count: int) -> list[datetime]:
    return [utc(start) + timedelta(hours=number / 2) for number in range(count)]


def test_the_eighth_call_in_seven_dates(small: Small) -> None:
    one, other = (small.person("US-PA", NEW_YORK, third_party=True) for _ in range(2))
    *_, eighth = _calls(small, one, _hourly("2026-11-17 15:00:00", 8))
    _calls(small, other, _hourly("2026-11-17 15:00:00", 7))
    seventh_date = small.attempt(other, "call", "2026-11-24 01:00:00")  # the evening of the 23rd: day 7
    small.attempt(other, "call", "2026-11-24 13:00:00")  # the 24th: day 8, though not yet 168 hours
    assert small.rules() == {key: {"us.fed.call-7in7"} for key in (eighth, seventh_date)}


def test_what_is_not_one_of_the_seven_calls(small: Small) -> None:
    hours = _hourly("2026-11-17 15:00:00", 7)
    one = small.person("US-PA", NEW_YORK, third_party=True)
    _calls(small, one, hours[:6])
    small.attempt(one, "call", "2026-11-18 15:00:00", status="undelivered", outcome="busy")
    small.attempt(one, "sms", "2026-11-18 16:00:00")
    small.attempt(one, "call", "2026-11-18 17:00:00")
    unknown = small.person("US-PA", NEW_YORK, third_party=True)
    _calls(small, unknown, hours[:6])
    small.attempt(unknown, "call", "2026-11-18 15:00:00", status="unknown")
    eighth = small.attempt(unknown, "call", "2026-11-18 17:00:00")
    creditor = small.person("US-PA", NEW_YORK)
    _calls(small, creditor, _hourly("2026-11-17 15:00:00", 9))
    signer = small.person("US-PA", NEW_YORK, third_party=True)
    _calls(small, signer, hours)
    small.attempt(signer, "call", "2026-11-18 15:00:00", party=small.party("CO", signer.account, "co_borrower"))
    assert small.rules() == {eighth: {"us.fed.call-7in7"}}


def test_a_call_about_two_debts_counts_for_both(small: Small) -> None:
    one = small.person("US-MA", NEW_YORK)
    other = small.second_debt(one)
    small.attempt(one, "call", "2026-11-19 15:00:00")
    small.attempt(one, "sms", "2026-11-21 15:00:00")
    small.attempt(other, "call", "2026-11-24 15:00:00")
    both = small.attempt(other, "call", "2026-11-24 16:00:00", accounts=(other.account, one.account))
    assert small.rules() == {both: {"us.ma.two-per-7d"}}


def test_seven_dates_of_quiet_after_a_conversation(small: Small) -> None:
    one, asked = (small.person("US-PA", NEW_YORK, third_party=True) for _ in range(2))
    small.worked(one, "call", "2026-11-17 14:00:00", reached="right_party", outcome="refused")
    day_seven = small.attempt(one, "call", "2026-11-24 01:30:00")
    small.attempt(one, "email", "2026-11-23 16:00:00")
    small.attempt(one, "call", "2026-11-24 13:00:00")
    small.worked(asked, "call", "2026-11-17 14:00:00", reached="right_party", outcome="callback")
    small.worked(asked, "call", "2026-11-18 14:00:00", reached="right_party", outcome="refused")
    used_up = small.worked(asked, "call", "2026-11-19 14:00:00")
    nobody = small.person("US-PA", NEW_YORK, third_party=True)
    small.worked(nobody, "call", "2026-11-17 14:00:00", reached="third_party", outcome="third_party")
    small.worked(nobody, "call", "2026-11-18 14:00:00")
    assert small.rules() == {key: {"us.fed.conversation-cooldown"} for key in (day_seven, used_up)}


# rule, region, zone, placed, locality, channels of the lawful ones, channel of one more, first at, barred at, free at
CAPS = [
    ("us.ma.two-per-7d", "US-MA", NEW_YORK, False, None, "call sms", "voice"),
    ("us.dc.calls-4", "US-DC", NEW_YORK, False, None, "call voice call voice", "call"),
    ("us.nyc.three-per-7d", "US-NY", NEW_YORK, False, "New York", "call letter visit", "call"),
    ("us.wa.three-per-week", "US-WA", PACIFIC, True, None, "letter sms call", "email"),
]


@pytest.mark.parametrize(("rule", "region", "zone", "third_party", "locality", "before", "more"), CAPS)
def test_one_more_in_a_week(
    small: Small, rule: str, region: str, zone: str, third_party: bool, locality: str | None, before: str, more: str
) -> None:
    home = {"locality": locality}
    one, other = (small.person(region, zone, third_party=third_party, party=home) for _ in range(2))
    for person in (one, other):
        for number, channel in enumerate(before.split()):
            small.attempt(person, channel, utc("2026-11-17 20:00:00") + timedelta(minutes=number), status="undelivered")
    barred = small.attempt(one, more, "2026-11-24 01:00:00")
    small.attempt(other, more, "2026-11-24 20:30:00")
    assert small.rules() == {barred: {rule}}


def test_a_rolling_week_is_longer_than_seven_dates(small: Small) -> None:
    """Washington: the eighth date, but not yet 168 hours."""
    one = small.person("US-WA", PACIFIC, third_party=True)
    for number in range(3):
        small.attempt(one, "letter", utc("2026-11-17 20:00:00") + timedelta(minutes=number))
    barred = small.attempt(one, "sms", "2026-11-24 19:59:59")
    assert small.rules() == {barred: {"us.wa.three-per-week"}}


def test_new_york_city_counts_from_september(small: Small) -> None:
    home = {"locality": "Brooklyn"}
    before, after = (small.person("US-NY", NEW_YORK, party=home) for _ in range(2))
    upstate = small.person("US-NY", NEW_YORK, party={"locality": "Albany"})
    for person, start in (
        (before, "2026-08-30 15:00:00"),
        (after, "2026-09-01 15:00:00"),
        (upstate, "2026-09-01 15:00:00"),
    ):
        *_, last = _calls(small, person, _hourly(start, 4))
        if person is after:
            fourth = last
    assert small.rules() == {fourth: {"us.nyc.three-per-7d"}}


def test_district_of_columbia_counts_electronic_messages_apart(small: Small) -> None:
    one, other = (small.person("US-DC", NEW_YORK) for _ in range(2))
    for person in (one, other):
        detail = {"consent": "channel", "written": True}
        small.event("consent_given", "person", "2026-01-01 00:00:00", person, detail=detail)
    *_, sixth = _calls(small, one, _hourly("2026-11-17 15:00:00", 6), "sms")
    _calls(small, other, _hourly("2026-11-17 15:00:00", 5), "email")
    _calls(small, other, _hourly("2026-11-17 15:00:00", 4), "call")
    assert small.rules() == {sixth: {"us.dc.emsg-5"}}


def test_a_visit_in_massachusetts_each_thirty_days(small: Small) -> None:
    one = small.person("US-MA", NEW_YORK)
    small.attempt(one, "visit", "2026-10-01 15:00:00")
    second = small.attempt(one, "visit", "2026-10-30 15:00:00")
    small.attempt(one, "visit", "2026-11-29 15:00:00")
    assert small.rules() == {second: {"us.ma.hours-visit"}}


# --- China -------------------------------------------------------------------------------------------------------


def test_three_connected_notifications_a_day_for_an_institution(small: Small) -> None:
    one = small.person("CN", SHANGHAI)
    other = small.person("CN", SHANGHAI)
    for person in (one, other):
        for number in range(3):
            small.attempt(person, "voice", utc("2026-11-24 01:00:00") + timedelta(hours=number), status="answered")
    fourth = small.attempt(one, "voice", "2026-11-24 08:00:00", status="unknown")
    small.attempt(other, "voice", "2026-11-24 08:00:00", status="undelivered", outcome="no_answer")
    small.attempt(other, "voice", "2026-11-25 00:00:00", status="answered")
    assert small.rules() == {fourth: {"cn.voice-notify-3"}}


def test_three_effective_calls_a_day(small: Small) -> None:
    one, other = small.person("CN", SHANGHAI), small.person("CN", SHANGHAI)
    said = {"reached": "right_party", "outcome": "refused"}
    for person in (one, other):
        for number in range(3):
            small.worked(
                person, "call", utc("2026-11-24 01:00:00") + timedelta(hours=number), **said, duration_seconds=60
            )
    fourth = small.worked(one, "call", "2026-11-24 08:00:00", **said, duration_seconds=6)
    small.worked(other, "call", "2026-11-24 08:00:00", **said, duration_seconds=5)
    small.worked(other, "call", "2026-11-24 09:00:00", reached="third_party", outcome="third_party")
    assert small.rules() == {fourth: {"cn.voice-interactive-3"}}


def test_six_unanswered_dials_of_one_number(small: Small) -> None:
    one = small.person("CN", SHANGHAI, phone="+8613800130001")
    sharing = small.person("CN", SHANGHAI, phone="+8613800130001", creditor="shop")
    other = small.person("CN", SHANGHAI, phone="+8613800130002")
    _calls(small, one, _hourly("2026-11-24 01:00:00", 6))
    _calls(small, other, _hourly("2026-11-24 01:00:00", 6), "voice")
    seventh = small.attempt(sharing, "voice", "2026-11-24 08:00:00", status="undelivered")
    small.attempt(other, "call", "2026-11-25 00:00:00", status="undelivered")
    assert small.rules() == {seventh: {"cn.dial-6"}}


def test_visits_in_china(small: Small) -> None:
    one, other = small.person("CN", SHANGHAI), small.person("CN", SHANGHAI)
    small.worked(one, "visit", "2026-11-24 02:00:00", reached="right_party", outcome="met", visitors=2)
    second = small.worked(one, "visit", "2026-11-24 09:00:00", reached="right_party", outcome="met", visitors=2)
    small.worked(one, "visit", "2026-11-25 02:00:00", reached="right_party", outcome="met", visitors=2)
    small.worked(other, "visit", "2026-11-24 02:00:00", outcome="not_home", visitors=2)
    small.worked(other, "visit", "2026-11-24 09:00:00", reached="right_party", outcome="met", visitors=2)
    alone = small.worked(other, "visit", "2026-11-25 09:00:00", outcome="not_home", visitors=1)
    unsaid = small.worked(other, "visit", "2026-11-26 09:00:00", outcome="not_home")
    small.worked(other, "visit", "2026-01-29 09:00:00", outcome="not_home")  # the day before the guideline
    assert small.rules() == {second: {"cn.visit-1perday"}, alone: {"cn.visit-two"}, unsaid: {"cn.visit-two"}}


def test_seven_days_between_letters(small: Small) -> None:
    one = small.person("CN", SHANGHAI)
    other = small.second_debt(one)
    small.attempt(one, "letter", "2028-02-25 02:00:00")
    sixth = small.attempt(one, "letter", "2028-03-02 02:00:00")
    small.attempt(other, "letter", "2028-03-02 02:00:00")
    small.attempt(other, "letter", "2028-03-09 01:00:00")
    assert small.rules() == {sixth: {"cn.letter-7d"}}
