"""Money as integer minor units beside an ISO 4217 code.

Amounts are parsed exactly or refused: nothing is rounded, and no float ever carries money.
"""

from decimal import Decimal, InvalidOperation

_EXPONENTS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
_TWO_DECIMALS = frozenset(
    [
        "AED",
        "AFN",
        "ALL",
        "AMD",
        "ANG",
        "AOA",
        "ARS",
        "AUD",
        "AWG",
        "AZN",
        "BAM",
        "BBD",
        "BDT",
        "BGN",
        "BMD",
        "BND",
        "BOB",
        "BRL",
        "BSD",
        "BTN",
        "BWP",
        "BYN",
        "BZD",
        "CAD",
        "CDF",
        "CHF",
        "CNY",
        "COP",
        "CRC",
        "CUP",
        "CVE",
        "CZK",
        "DKK",
        "DOP",
        "DZD",
        "EGP",
        "ERN",
        "ETB",
        "EUR",
        "FJD",
        "FKP",
        "GBP",
        "GEL",
        "GHS",
        "GIP",
        "GMD",
        "GTQ",
        "GYD",
        "HKD",
        "HNL",
        "HTG",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "IRR",
        "JMD",
        "KES",
        "KGS",
        "KHR",
        "KPW",
        "KYD",
        "KZT",
        "LAK",
        "LBP",
        "LKR",
        "LRD",
        "LSL",
        "MAD",
        "MDL",
        "MGA",
        "MKD",
        "MMK",
        "MNT",
        "MOP",
        "MRU",
        "MUR",
        "MVR",
        "MWK",
        "MXN",
        "MYR",
        "MZN",
        "NAD",
        "NGN",
        "NIO",
        "NOK",
        "NPR",
        "NZD",
        "PAB",
        "PEN",
        "PGK",
        "PHP",
        "PKR",
        "PLN",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "SAR",
        "SBD",
        "SCR",
        "SDG",
        "SEK",
        "SGD",
        "SHP",
        "SLE",
        "SOS",
        "SRD",
        "SSP",
        "STN",
        "SVC",
        "SYP",
        "SZL",
        "THB",
        "TJS",
        "TMT",
        "TOP",
        "TRY",
        "TTD",
        "TWD",
        "TZS",
        "UAH",
        "USD",
        "UYU",
        "UZS",
        "VES",
        "WST",
        "XCD",
        "YER",
        "ZAR",
        "ZMW",
        "ZWG",
    ]
)
LARGEST = 10**15
"""Largest amount accepted, in minor units."""


def minor_units(currency: str) -> int:
    """Return how many decimals a currency has (ISO 4217); ValueError for an unknown code."""
    if currency in _TWO_DECIMALS:
        return 2
    if currency in _EXPONENTS:
        return _EXPONENTS[currency]
    raise ValueError(f"unknown currency {currency[:8]!r}; use an ISO 4217 code such as USD")


def parse_amount(text: str, currency: str) -> int:
    """Read an amount in major units (``97.60``) into minor units, exactly; ValueError says what is wrong."""
    places = minor_units(currency)
    plain = text.strip()
    digits = plain.removeprefix("-").replace(".", "", 1)
    if not digits.isascii() or not digits.isdigit():
        raise ValueError("not a plain number; write for example 1234.50, without thousands separators")
    try:
        value = Decimal(plain).scaleb(places)
    except InvalidOperation as error:
        raise ValueError("not a plain number; write for example 1234.50") from error
    if value != value.to_integral_value():
        raise ValueError(f"more than {places} decimals; {currency} has {places}")
    if abs(value) > LARGEST:
        raise ValueError("amount too large")
    return int(value)


def format_amount(minor: int, currency: str) -> str:
    """Write minor units for people: ``1,234.50 USD``."""
    places = minor_units(currency)
    return f"{Decimal(minor).scaleb(-places):,.{places}f} {currency}"


def split_evenly(total: int, parts: int) -> tuple[int, ...]:
    """Split an amount into parts that differ by one minor unit at most and sum exactly; the larger ones first."""
    if parts < 1:
        raise ValueError("at least one part")
    base, rest = divmod(total, parts)
    return tuple(base + int(number < rest) for number in range(parts))
