"""Where a person lives in the eyes of the law, and which clocks may be theirs.

Rules follow residence (core.pack-selection); clocks are the intersection of every candidate (us.fed.tz-ambiguity).
"""

from collections.abc import Iterable
from datetime import datetime, time
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers import timezone

CONFIRMED = frozenset({"confirmed", "debtor", "debtor_told", "location_confirmed"})
"""Sources of a stated zone that settle the question alone: the person said where they are."""

_ET, _CT, _MT, _PT = "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"
_STATES: dict[tuple[str, ...], str] = {
    (_ET,): "CT DC DE GA MA MD ME NC NH NJ NY OH PA RI SC VA VT WV",
    (_CT,): "AL AR IA IL LA MN MO MS OK WI",
    (_MT,): "CO MT NM UT WY",
    (_PT,): "CA NV WA",
    (_ET, _CT): "FL IN KY MI TN",
    (_CT, _MT): "KS ND NE SD TX",
    (_MT, _PT): "ID OR",
    ("America/Phoenix",): "AZ",
    ("America/Anchorage", "America/Adak"): "AK",
    ("Pacific/Honolulu",): "HI",
    ("America/Puerto_Rico",): "PR",
}
_REGION_ZONES: dict[str, tuple[str, ...]] = {
    **{f"US-{state}": zones for zones, states in _STATES.items() for state in states.split()},
    "CN": ("Asia/Shanghai",),
    "HK": ("Asia/Hong_Kong",),
    "GB": ("Europe/London",),
    "IN": ("Asia/Kolkata",),
    "PH": ("Asia/Manila",),
    "ID": ("Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura"),
    "BR-SP": ("America/Sao_Paulo",),
    "DE": ("Europe/Berlin",),
    "ES": ("Europe/Madrid", "Atlantic/Canary"),
    "US": (_ET, _CT, _MT, _PT, "America/Phoenix", "America/Anchorage", "Pacific/Honolulu"),
    "AU": ("Australia/Sydney", "Australia/Brisbane", "Australia/Adelaide", "Australia/Darwin", "Australia/Perth"),
    "AU-NSW": ("Australia/Sydney",),
    "AU-ACT": ("Australia/Sydney",),
    "AU-VIC": ("Australia/Melbourne",),
    "AU-TAS": ("Australia/Hobart",),
    "AU-QLD": ("Australia/Brisbane",),
    "AU-SA": ("Australia/Adelaide",),
    "AU-NT": ("Australia/Darwin",),
    "AU-WA": ("Australia/Perth",),
}
_NYC = frozenset({"nyc", "new york", "new york city", "manhattan", "brooklyn", "queens", "bronx", "the bronx"}) | {
    "staten island"
}
_OVERLAYS = {"US-MA": "us-ma", "US-WA": "us-wa", "US-DC": "us-dc", "US-CA": "us-ca"}
_COUNTRIES = {
    "US": "us",
    "CN": "cn",
    "HK": "hk",
    "GB": "uk",
    "UK": "uk",
    "IN": "in",
    "ID": "id",
    "PH": "ph",
    "AU": "au",
}
_MANY = 12
"""A number that could be in more zones than this says nothing about a place (a toll-free number)."""


def lands(region: str | None, locality: str | None) -> frozenset[str]:
    """Return the jurisdictions of a residence: the country's, and the state's and the city's that add to it."""
    if not region:
        return frozenset()
    code = region.upper()
    found = {_COUNTRIES.get(code.partition("-")[0], ""), _OVERLAYS.get(code, "")}
    if code in {"US-NYC", "US-NY-NYC"} or (code == "US-NY" and (locality or "").strip().lower() in _NYC):
        found.add("us-nyc")
    if code == "BR-SP":
        found.add("br-sp")
    return frozenset(found - {""})


def lands_of_numbers(values: Iterable[str]) -> frozenset[str]:
    """Return the countries that phone numbers point to, for somebody whose residence is not known."""
    codes = {phonenumbers.region_code_for_number(number) for number in _parsed(values)}
    return frozenset(_COUNTRIES[code] for code in codes if code in _COUNTRIES)


def candidates(stated: str | None, source: str | None, region: str | None, numbers: Iterable[str]) -> tuple[str, ...]:
    """Return every zone the person may be in: what is stated, where the residence is, what each number says.

    A confirmed statement decides alone. A region of several zones is narrowed by a stated zone that is one of them.
    """
    known = stated if stated and _is_zone(stated) else None
    if known is not None and source in CONFIRMED:
        return (known,)
    zones = [known] if known is not None else []
    code = (region or "").upper()
    of_region = _REGION_ZONES.get(code) or _REGION_ZONES.get(code.partition("-")[0], ())
    if known is None or not any(_same(known, zone) for zone in of_region):
        zones += of_region
    for number in _parsed(numbers):
        if not phonenumbers.is_number_geographical(number):
            continue
        of_number = timezone.time_zones_for_number(number)
        if len(of_number) <= _MANY and not any(_same(zone, other) for zone in zones for other in of_number):
            zones += [zone for zone in of_number if _is_zone(zone)]
    return tuple(dict.fromkeys(zones))


def _parsed(values: Iterable[str]) -> Iterable[phonenumbers.PhoneNumber]:
    for value in values:
        try:
            number = phonenumbers.parse(value, None)
        except phonenumbers.NumberParseException:
            continue
        yield number


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _same(one: str, other: str) -> bool:
    """Whether two zones show the same time in January and in July."""
    moments = (datetime(2026, 1, 15, tzinfo=ZoneInfo("UTC")), datetime(2026, 7, 15, tzinfo=ZoneInfo("UTC")))
    if not (_is_zone(one) and _is_zone(other)):
        return one == other
    return all(at.astimezone(ZoneInfo(one)).utcoffset() == at.astimezone(ZoneInfo(other)).utcoffset() for at in moments)


def outside(at: datetime, zones: Iterable[str], opens: time, closes: time) -> str | None:
    """Return the first zone whose clock is not within [opens, closes), ``None`` when it is within in all."""
    for zone in zones:
        if not opens <= at.astimezone(ZoneInfo(zone)).time() < closes:
            return zone
    return None


def clock(at: datetime, zone: str) -> str:
    """Return an instant as a local time for people to read."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M:%S} {zone}"
