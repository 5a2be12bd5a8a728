"""Money is exact: parsed or refused, never rounded, split without a remainder."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import LARGEST, format_amount, minor_units, parse_amount, split_evenly

currencies = st.sampled_from(["USD", "EUR", "CNY", "JPY", "KRW", "KWD", "BHD", "CLF"])
amounts = st.integers(-LARGEST, LARGEST)


@given(minor=amounts, currency=currencies)
def test_what_is_written_is_read_back(minor: int, currency: str) -> None:
    written = format_amount(minor, currency).removesuffix(f" {currency}").replace(",", "")
    assert parse_amount(written, currency) == minor
    assert Decimal(written).scaleb(minor_units(currency)) == minor


@given(total=amounts, parts=st.integers(1, 400))
def test_parts_sum_to_the_whole_and_differ_by_one_unit(total: int, parts: int) -> None:
    split = split_evenly(total, parts)
    assert len(split) == parts
    assert sum(split) == total
    assert max(split) - min(split) <= 1
    assert list(split) == sorted(split, reverse=True)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("97.60", "USD", 9760),
        ("97.6", "USD", 9760),
        ("97.600", "USD", 9760),
        (" 5000 ", "CNY", 500_000),
        ("-3.5", "EUR", -350),
        ("500", "JPY", 500),
        ("1.234", "KWD", 1234),
        ("007", "USD", 700),
    ],
)
def test_plain_amounts_are_read(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    "text",
    [
        "97.605",
        "1,000.00",
        "1 000",
        "1.000,00",
        "NaN",
        "inf",
        "1e3",
        "",
        ".",
        "-",
        "--1",
        "+5",
        "$5",
        "٣",
        "5.0.0",
        "1_0",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimals|plain number"):
        parse_amount(text, "USD")


def test_a_currency_has_the_decimals_of_iso_4217() -> None:
    assert [minor_units(code) for code in ("JPY", "KWD", "USD", "CLF")] == [0, 3, 2, 4]
    with pytest.raises(ValueError, match="more than 0 decimals"):
        parse_amount("500.5", "JPY")
    for unknown in ("usd", "US", "XXQ", ""):
        with pytest.raises(ValueError, match="unknown currency"):
            minor_units(unknown)


def test_an_amount_nobody_owes_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        parse_amount(str(LARGEST), "USD")


def test_nothing_is_split_into_no_parts() -> None:
    with pytest.raises(ValueError, match="at least one"):
        split_evenly(100, 0)


def test_amounts_for_people() -> None:
    assert format_amount(123_450, "USD") == "1,234.50 USD"
    assert format_amount(-5, "EUR") == "-0.05 EUR"
    assert format_amount(1500, "JPY") == "1,500 JPY"
