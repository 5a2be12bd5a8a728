"""What is owed: properties of the position, whatever order the entries arrived in."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.codes import EntryKind
from domain.position import Due, Entry, position

TODAY = date(2026, 6, 1)
KNOWN = datetime(2026, 1, 1, tzinfo=UTC)

dues = st.lists(
    st.builds(
        lambda number, days, amount: Due(f"{number}-{days}", "principal", TODAY + timedelta(days=days), amount),
        st.integers(0, 10_000),
        st.integers(-100, 100),
        st.integers(1, 100_000),
    ),
    max_size=8,
    unique_by=lambda due: due.ref,
)
amounts = st.lists(st.integers(1, 50_000), max_size=6)


def _payments(values: list[int]) -> list[Entry]:
    return [
        Entry(EntryKind.PAYMENT, amount, TODAY - timedelta(days=number), KNOWN, f"P{number}")
        for number, amount in enumerate(values)
    ]


@given(dues, amounts, st.randoms())
def test_the_order_of_entries_never_matters(owed: list[Due], values: list[int], chance: object) -> None:
    entries = _payments(values)
    shuffled = list(entries)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert position(owed, entries, today=TODAY) == position(list(reversed(owed)), shuffled, today=TODAY)


@given(dues, amounts, st.integers(1, 50_000))
def test_a_payment_never_raises_past_due_or_days_past_due(owed: list[Due], values: list[int], more: int) -> None:
    before = position(owed, _payments(values), today=TODAY)
    after = position(owed, _payments([*values, more]), today=TODAY)
    assert after.past_due <= before.past_due
    assert after.dpd <= before.dpd
    assert after.balance == before.balance - more


@given(dues, amounts.filter(bool))
def test_a_reversal_restores_exactly(owed: list[Due], values: list[int]) -> None:
    entries = _payments(values)
    last = entries[-1]
    back = Entry(EntryKind.REVERSAL, last.amount, TODAY, KNOWN, "R", reverses=last.external_id)
    assert position(owed, [*entries, back], today=TODAY) == position(owed, entries[:-1], today=TODAY)


@given(dues, amounts, st.integers(1, 50_000))
def test_a_waiver_taken_back_restores_exactly(owed: list[Due], values: list[int], waived: int) -> None:
    waiver = Entry(EntryKind.WAIVER, waived, TODAY, KNOWN, "W")
    back = Entry(EntryKind.REVERSAL, waived, TODAY, KNOWN, "R", reverses="W")
    entries = _payments(values)
    assert position(owed, [*entries, waiver, back], today=TODAY) == position(owed, entries, today=TODAY)


@given(dues, amounts)
def test_paying_all_that_is_past_due_cures_and_leaves_the_rest(owed: list[Due], values: list[int]) -> None:
    before = position(owed, _payments(values), today=TODAY)
    if before.past_due == 0:
        return
    cured = position(owed, _payments([*values, before.past_due]), today=TODAY)
    assert (cured.past_due, cured.dpd, cured.oldest_due_on) == (0, 0, None)
    assert cured.balance == before.balance - before.past_due


def test_a_part_payment_keeps_the_oldest_due_and_clearing_it_lowers_the_days() -> None:
    owed = [
        Due("1", "principal", TODAY - timedelta(days=40), 100),
        Due("2", "principal", TODAY - timedelta(days=10), 100),
    ]
    assert position(owed, _payments([99]), today=TODAY).dpd == 40
    assert position(owed, _payments([100]), today=TODAY).dpd == 10


def test_tolerance_a_small_rest_counts_as_paid() -> None:
    owed = [Due("1", "principal", TODAY - timedelta(days=40), 100)]
    assert position(owed, _payments([98]), today=TODAY, tolerance=2).past_due == 0
    assert position(owed, _payments([97]), today=TODAY, tolerance=2).past_due == 3


def test_a_due_is_not_past_due_on_its_own_day() -> None:
    owed = [Due("1", "principal", TODAY, 100)]
    assert position(owed, [], today=TODAY).past_due == 0
    assert position(owed, [], today=TODAY + timedelta(days=1)).past_due == 100
