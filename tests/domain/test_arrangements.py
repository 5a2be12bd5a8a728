"""Arrangements add up, and end in the right state, whatever the order in which their money became known."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.arrangements import (
    FAILED,
    FREQUENCIES,
    FULFILLED,
    PERFORMED,
    Agreement,
    ArrangementError,
    ArrangementKind,
    Credit,
    Line,
    Standing,
    changes_on,
    check_sums,
    days_past_due,
    due_days,
    lay_out,
    standing,
)
from domain.money import format_amount, minor_units, parse_amount

FIRST = date(2026, 4, 1)
CURRENCIES = st.sampled_from(["JPY", "KRW", "USD", "CNY", "EUR", "KWD", "BHD", "CLF"])


def days(number: int) -> timedelta:
    return timedelta(days=number)


def on(day: int, amount: int, returned: int | None = None) -> Credit:
    return Credit(amount, FIRST + days(day), None if returned is None else FIRST + days(returned))


THREE = Agreement(
    ArrangementKind.INSTALMENTS, (Line(1, FIRST, 100), Line(2, FIRST + days(30), 100), Line(3, FIRST + days(60), 50)), 3
)
PROMISE = Agreement(ArrangementKind.PROMISE, (Line(1, FIRST, 100),))
SETTLEMENT = Agreement(
    ArrangementKind.SETTLEMENT,
    (Line(1, FIRST, 60), Line(2, FIRST + days(30), 60)),
    grace_days=2,
    expires_on=FIRST + days(30),
)


# --- sums -----------------------------------------------------------------------------------------------------------


@given(
    amount=st.integers(1, 10**13),
    count=st.integers(1, 120),
    share=st.integers(0, 100),
    every=st.sampled_from(FREQUENCIES),
    currency=CURRENCIES,
    start=st.dates(date(2020, 1, 1), date(2080, 12, 31)),
)
def test_lines_sum_exactly_for_any_amount_currency_and_count(
    amount: int, count: int, share: int, every: str, currency: str, start: date
) -> None:
    dates = due_days(start, count, every)  # type: ignore[arg-type]
    assert len(dates) == count
    assert list(dates) == sorted(set(dates))
    first = amount * share // 100
    if amount < count or (count > 1 and first > -(-amount // count) and amount - first < count - 1):
        with pytest.raises(ArrangementError):
            lay_out(amount, dates, first=first)
        return
    lines = lay_out(amount, dates, first=first)
    assert sum(line.amount for line in lines) == amount
    assert all(line.amount > 0 for line in lines)
    rest = [line.amount for line in lines[1:]]
    assert not rest or max(rest) - min(rest) <= 1
    assert count == 1 or lines[0].amount >= min(first, amount)
    kind = ArrangementKind.PROMISE if count == 1 else ArrangementKind.INSTALMENTS
    check_sums(kind, lines, amount, 0)
    check_sums(ArrangementKind.SETTLEMENT, lines, amount + 7, 7)
    assert minor_units(currency) in {0, 2, 3, 4}
    shown = [format_amount(line.amount, currency).rpartition(" ")[0].replace(",", "") for line in lines]
    assert sum(parse_amount(text, currency) for text in shown) == amount


@given(amount=st.integers(2, 10**9), wrong=st.integers(-3, 3).filter(bool))
def test_what_does_not_add_up_is_refused(amount: int, wrong: int) -> None:
    lines = lay_out(amount, due_days(FIRST, 2, "month"))
    with pytest.raises(ArrangementError, match="not the"):
        check_sums(ArrangementKind.INSTALMENTS, lines, amount + wrong, 0)
    with pytest.raises(ArrangementError, match="discount"):
        check_sums(ArrangementKind.INSTALMENTS, lines, amount + 1, 1)
    with pytest.raises(ArrangementError, match="later day"):
        check_sums(ArrangementKind.INSTALMENTS, (lines[0], replace(lines[1], due_on=FIRST)), amount, 0)


def test_a_month_without_the_day_has_its_last_day_and_the_next_has_the_day_again() -> None:
    assert due_days(date(2026, 1, 31), 4, "month") == (
        date(2026, 1, 31),
        date(2026, 2, 28),
        date(2026, 3, 31),
        date(2026, 4, 30),
    )


# --- standing, one by one -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agreed", "money", "day", "expected"),
    [
        (PROMISE, [], -1, Standing.ON_TRACK),
        (PROMISE, [], 0, Standing.DUE),
        (PROMISE, [], 1, Standing.BROKEN),
        (PROMISE, [on(0, 100)], 0, Standing.KEPT),
        (PROMISE, [on(-1, 100)], 0, Standing.PAID_EARLY),
        (PROMISE, [on(0, 40)], 1, Standing.PARTIALLY_KEPT),
        (PROMISE, [on(1, 100)], 1, Standing.BROKEN),
        (THREE, [], 1, Standing.IN_GRACE),
        (THREE, [], 3, Standing.IN_GRACE),
        (THREE, [], 4, Standing.BROKEN),
        (THREE, [on(3, 100)], 4, Standing.ON_TRACK),
        (THREE, [on(4, 100)], 4, Standing.BROKEN),
        (THREE, [on(3, 100)], 30, Standing.DUE),
        (THREE, [on(3, 130)], 34, Standing.PARTIALLY_KEPT),
        (THREE, [on(0, 100), on(30, 100), on(60, 50)], 60, Standing.KEPT),
        (THREE, [on(0, 100), on(30, 100), on(63, 50)], 63, Standing.KEPT),
        (THREE, [on(5, 250)], 6, Standing.BROKEN),
        (THREE, [on(0, 250)], 0, Standing.PAID_EARLY),
        (THREE, [on(0, 9999)], 0, Standing.PAID_EARLY),
        (SETTLEMENT, [on(0, 60), on(30, 60)], 30, Standing.SETTLED),
        (SETTLEMENT, [on(0, 60)], 31, Standing.EXPIRED),
        (SETTLEMENT, [], 3, Standing.BROKEN),
        (SETTLEMENT, [on(0, 60), on(31, 60)], 32, Standing.EXPIRED),
    ],
)
def test_standing(agreed: Agreement, money: list[Credit], day: int, expected: Standing) -> None:
    assert standing(agreed, money, FIRST + days(day)).standing is expected


def test_money_goes_to_the_oldest_line_first() -> None:
    stands = standing(THREE, [on(-5, 130)], FIRST)
    assert [one.paid for one in stands.lines] == [100, 30, 0]
    assert [one.standing for one in stands.lines] == ["paid", "open", "open"]
    assert stands.next_line is not None
    assert stands.next_line.line.no == 2
    assert standing(THREE, [on(-5, 999)], FIRST).paid == 250


def test_it_breaks_on_the_day_after_grace_and_money_back_undoes_what_it_paid() -> None:
    assert standing(THREE, [], FIRST + days(9)).ended_on == FIRST + days(4)
    paid = [on(0, 100), on(30, 100), on(60, 50, returned=70)]
    assert standing(THREE, paid, FIRST + days(69)).standing is Standing.KEPT
    after = standing(THREE, paid, FIRST + days(75))
    assert (after.standing, after.ended_on) == (Standing.BROKEN, FIRST + days(70))
    replaced = [on(0, 100, returned=2), on(3, 100)]
    assert standing(THREE, replaced, FIRST + days(10)).standing is Standing.ON_TRACK


def test_money_that_was_in_time_but_became_known_late_mends_what_was_broken() -> None:
    assert standing(THREE, [], FIRST + days(5)).standing is Standing.BROKEN
    assert standing(THREE, [on(2, 100)], FIRST + days(5)).standing is Standing.ON_TRACK


def test_a_rest_within_tolerance_counts_as_paid_but_nothing_never_does() -> None:
    lenient = replace(THREE, tolerance=5)
    assert standing(lenient, [on(0, 95)], FIRST + days(4)).standing is Standing.ON_TRACK
    assert standing(lenient, [on(0, 94)], FIRST + days(4)).standing is Standing.PARTIALLY_KEPT
    assert standing(replace(PROMISE, tolerance=500), [], FIRST + days(1)).standing is Standing.BROKEN


# --- standing, whatever happens -------------------------------------------------------------------------------------

CREDITS = st.lists(
    st.builds(
        lambda day, amount, later: on(day, amount, None if later is None else day + later),
        st.integers(-20, 90),
        st.integers(1, 300),
        st.none() | st.integers(0, 40),
    ),
    max_size=8,
)
AGREED = st.builds(
    lambda amount, count, every, grace, tolerance: Agreement(
        ArrangementKind.INSTALMENTS if count > 1 else ArrangementKind.PROMISE,
        lay_out(amount, due_days(FIRST, count, every)),
        grace,
        tolerance,
    ),
    st.integers(40, 900),
    st.integers(1, 6),
    st.sampled_from(FREQUENCIES),
    st.integers(0, 7),
    st.integers(0, 3),
)


def by_hand(agreed: Agreement, money: list[Credit], today: date) -> tuple[Standing, date | None]:
    """Play an arrangement day by day, as somebody with a calendar would."""
    day = FIRST - days(30)
    ended: tuple[Standing, date | None] | None = None
    while day <= today and ended is None:
        needed = 0
        for line in agreed.lines:
            before, needed = needed, needed + line.amount
            last = line.due_on + days(agreed.grace_days)
            timely = sum(one.amount for one in money if one.value_on <= last and one.stands(day))
            if day > last and timely < max(needed - agreed.tolerance, before + 1):
                ended = (Standing.PARTIALLY_KEPT if timely > before else Standing.BROKEN, day)
                break
        day += days(1)
    if ended is not None:
        return ended
    paid = sum(one.amount for one in money if one.stands(today))
    last_before = agreed.amount - agreed.lines[-1].amount
    if paid >= max(agreed.amount - agreed.tolerance, last_before + 1):
        return Standing.KEPT, None
    return Standing.ON_TRACK, None


@given(agreed=AGREED, money=CREDITS, today=st.integers(-10, 200), seed=st.randoms(use_true_random=False))
def test_any_order_of_payments_ends_in_the_state_that_the_calendar_says(
    agreed: Agreement, money: list[Credit], today: int, seed: object
) -> None:
    day = FIRST + days(today)
    stands = standing(agreed, money, day)
    shuffled = list(money)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert standing(agreed, shuffled, day) == stands
    expected, broke_on = by_hand(agreed, money, day)
    if expected is Standing.ON_TRACK:
        assert stands.standing in PERFORMED
        assert stands.next_line is not None
    elif expected is Standing.KEPT:
        assert stands.standing in FULFILLED
    else:
        assert (stands.standing, stands.ended_on) == (expected, broke_on)
    assert stands.paid == min(sum(one.amount for one in money if one.stands(day)), agreed.amount)


@given(agreed=AGREED, money=CREDITS, today=st.integers(-10, 150), later=st.integers(1, 60))
def test_what_has_failed_stays_failed_and_nothing_changes_before_the_day_it_names(
    agreed: Agreement, money: list[Credit], today: int, later: int
) -> None:
    day, then = FIRST + days(today), FIRST + days(today + later)
    now, after = standing(agreed, money, day), standing(agreed, money, then)
    if now.standing in FAILED:
        assert (after.standing, after.ended_on) == (now.standing, now.ended_on)
    change = changes_on(agreed, money, day)
    if change is None:
        assert now.standing not in PERFORMED
        return
    assert change > day
    known = [one for one in money if one.value_on <= day]
    still = [
        one if one.returned_on is None or one.returned_on <= day else replace(one, returned_on=None) for one in known
    ]
    assert standing(agreed, still, change - days(1)).standing in PERFORMED
    assert standing(agreed, still, change).standing in FAILED


@given(agreed=AGREED, day=st.integers(0, 90))
def test_paying_each_line_on_its_last_day_of_grace_keeps_it_and_a_day_later_breaks_it(
    agreed: Agreement, day: int
) -> None:
    grace = days(agreed.grace_days)
    kept = [Credit(line.amount, line.due_on + grace) for line in agreed.lines]
    end = agreed.lines[-1].due_on + grace + days(day)
    assert standing(agreed, kept, end).standing in FULFILLED
    late = [*kept[:-1], replace(kept[-1], value_on=kept[-1].value_on + days(1))]
    if agreed.lines[-1].amount > agreed.tolerance:
        assert standing(agreed, late, end + days(1)).standing in FAILED


def test_days_past_due_are_frozen_or_counted_anew() -> None:
    oldest = date(2026, 1, 1)
    assert days_past_due(oldest, date(2026, 3, 2)) == 60
    assert days_past_due(oldest, date(2026, 3, 2), frozen_on=date(2026, 1, 31)) == 30
    assert days_past_due(oldest, date(2026, 3, 2), aged_from=date(2026, 3, 1)) == 1
    assert days_past_due(date(2026, 3, 1), date(2026, 3, 2), aged_from=date(2026, 2, 1)) == 1
    assert days_past_due(None, date(2026, 3, 2)) == 0
