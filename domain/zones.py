"""In which time zones a person may be: what a confirmed fact, an address and telephone numbers say together.

A confirmed fact decides alone. Otherwise every lawful hint is a candidate, and a contact must be at a proper hour in
all of them (the CFPB's Discover order of 2015 judged calls by the area code *and* by the address). A number that
tells only its country, as most mobile and toll-free numbers do, says no more than an address in that country.
No candidate means nobody is contacted. Zones of numbers: the tables of ``phonenumbers``; of regions: IANA ``zone.tab``.
"""

from collections.abc import Iterable
from functools import lru_cache

import phonenumbers
from phonenumbers import timezone as phone_zones

from domain.calendar import known_zone

UNKNOWN = "Etc/Unknown"

_EASTERN, _CENTRAL, _MOUNTAIN, _PACIFIC = "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"
_ONE_ZONE = {
    _EASTERN: "CT DC DE GA MA MD ME NC NH NJ NY OH PA RI SC VA VT WV",
    _CENTRAL: "AL AR IA IL LA MN MO MS OK WI",
    _MOUNTAIN: "CO MT NM UT WY",
    _PACIFIC: "CA WA",
}
_US: dict[str, tuple[str, ...]] = {
    **{state: (zone,) for zone, states in _ONE_ZONE.items() for state in states.split()},
    "AK": ("America/Anchorage", "America/Adak"),
    "AZ": ("America/Phoenix", _MOUNTAIN),
    "FL": (_EASTERN, _CENTRAL),
    "HI": ("Pacific/Honolulu",),
    "ID": ("America/Boise", _PACIFIC),
    "IN": ("America/Indiana/Indianapolis", _CENTRAL),
    "KS": (_CENTRAL, _MOUNTAIN),
    "KY": (_EASTERN, _CENTRAL),
    "MI": ("America/Detroit", _CENTRAL),
    "ND": (_CENTRAL, _MOUNTAIN),
    "NE": (_CENTRAL, _MOUNTAIN),
    "NV": (_PACIFIC, _MOUNTAIN),
    "OR": (_PACIFIC, "America/Boise"),
    "SD": (_CENTRAL, _MOUNTAIN),
    "TN": (_CENTRAL, _EASTERN),
    "TX": (_CENTRAL, _MOUNTAIN),
    "PR": ("America/Puerto_Rico",),
    "VI": ("America/St_Thomas",),
    "GU": ("Pacific/Guam",),
    "AS": ("Pacific/Pago_Pago",),
    "MP": ("Pacific/Saipan",),
}
_AU = {
    "NSW": ("Australia/Sydney", "Australia/Broken_Hill"),
    "ACT": ("Australia/Sydney",),
    "VIC": ("Australia/Melbourne",),
    "QLD": ("Australia/Brisbane",),
    "SA": ("Australia/Adelaide",),
    "WA": ("Australia/Perth", "Australia/Eucla"),
    "TAS": ("Australia/Hobart",),
    "NT": ("Australia/Darwin",),
}
_CA = {
    "ON": ("America/Toronto", "America/Winnipeg"),
    "QC": ("America/Toronto", "America/Halifax"),
    "BC": ("America/Vancouver", "America/Edmonton"),
    "AB": ("America/Edmonton",),
    "MB": ("America/Winnipeg",),
    "SK": ("America/Regina", "America/Edmonton"),
    "NS": ("America/Halifax",),
    "NB": ("America/Moncton",),
    "PE": ("America/Halifax",),
    "NL": ("America/St_Johns", "America/Goose_Bay"),
    "YT": ("America/Whitehorse",),
    "NT": ("America/Yellowknife",),
    "NU": ("America/Iqaluit", "America/Rankin_Inlet", "America/Cambridge_Bay"),
}
_BR = {
    **dict.fromkeys(("AC",), ("America/Rio_Branco",)),
    "AM": ("America/Manaus", "America/Eirunepe"),
    **dict.fromkeys(("RO", "RR"), ("America/Manaus",)),
    **dict.fromkeys(("MT",), ("America/Cuiaba",)),
    **dict.fromkeys(("MS",), ("America/Campo_Grande",)),
    **dict.fromkeys(
        ("AL", "AP", "BA", "CE", "DF", "ES", "GO", "MA", "MG", "PA", "PB", "PI", "PR", "RJ", "RN", "RS", "SC", "SE",
         "SP", "TO"),
        ("America/Sao_Paulo",),
    ),
    "PE": ("America/Sao_Paulo", "America/Noronha"),
}  # fmt: skip
_REGIONS = {"US": _US, "AU": _AU, "CA": _CA, "BR": _BR}
_COUNTRIES: dict[str, tuple[str, ...]] = {
    "CN": ("Asia/Shanghai",),  # one legal clock
    "GB": ("Europe/London",),
    "ES": ("Europe/Madrid", "Atlantic/Canary"),
    "US": tuple(dict.fromkeys(zone for zones in _US.values() for zone in zones)),
    "AU": tuple(dict.fromkeys(zone for zones in _AU.values() for zone in zones)),
    "CA": tuple(dict.fromkeys(zone for zones in _CA.values() for zone in zones)),
    "IN": ("Asia/Kolkata",),
}
_RENAMED = {"Asia/Calcutta": "Asia/Kolkata", "Asia/Saigon": "Asia/Ho_Chi_Minh", "Asia/Katmandu": "Asia/Kathmandu"}


@lru_cache(maxsize=2048)
def zones_of_region(region: str | None) -> tuple[str, ...]:
    """Return the zones of an ISO 3166 code such as ``US-TX`` or ``CN``; all of its country for an unknown part."""
    if not region:
        return ()
    country, _, part = region.upper().partition("-")
    listed = _REGIONS.get(country, {}).get(part) or _COUNTRIES.get(country)
    return listed if listed is not None else _zones_of_code(phonenumbers.country_code_for_region(country))


@lru_cache(maxsize=512)
def _zones_of_code(code: int) -> tuple[str, ...]:
    from phonenumbers.tzdata import TIMEZONE_DATA

    return _clean(TIMEZONE_DATA.get(str(code), ()))


def _clean(zones: Iterable[str]) -> tuple[str, ...]:
    named = (_RENAMED.get(zone, zone) for zone in zones)
    return tuple(sorted({zone for zone in named if zone != UNKNOWN and known_zone(zone)}))


@lru_cache(maxsize=65_536)
def zones_of_phone(number: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what an E.164 number says: the zones of its area, or else, second, those of its whole country."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return (), ()
    country = _zones_of_code(parsed.country_code or 0)
    area = _clean(phone_zones.time_zones_for_geographical_number(parsed))
    if len(country) > 1 and (len(area) >= len(country) or not _is_geographic(parsed)):
        return (), country
    return area or country, ()


def _is_geographic(number: phonenumbers.PhoneNumber) -> bool:
    kind = phonenumbers.number_type(number)
    if kind in {phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE}:
        return True
    return kind is phonenumbers.PhoneNumberType.UNKNOWN and number.country_code == 1


def candidate_zones(
    *,
    confirmed: str | None,
    stated: str | None,
    region: str | None,
    phones: Iterable[str],
    otherwise: str | None = None,
) -> tuple[str, ...]:
    """Return every zone a person may be in, the likeliest first; empty when nothing is known.

    ``confirmed``: told by the person, decides alone. ``stated``: the lender's word about this person, a candidate like
    the others. ``otherwise``: what the creditor's settings say of everybody, where nothing else is known.
    """
    if confirmed and known_zone(confirmed):
        return (confirmed,)
    found: dict[str, None] = {}
    of_region = zones_of_region(region)
    if stated and known_zone(stated):
        found[stated] = None
    if not found.keys() & set(of_region):
        found |= dict.fromkeys(of_region)
    whole: list[tuple[str, ...]] = []
    for phone in phones:
        area, country = zones_of_phone(phone)
        found |= dict.fromkeys(area)
        whole.append(country)
    for country in whole:
        if country and not found.keys() & set(country):
            found |= dict.fromkeys(country)
    if not found and otherwise and known_zone(otherwise):
        return (otherwise,)
    return tuple(found)
