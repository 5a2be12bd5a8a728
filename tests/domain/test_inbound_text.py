"""What people text, in English and Chinese: one plain thing is understood, everything else is for a person."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.inbound_text import Understood, Wish, understand

TODAY = date(2026, 3, 4)
"""A Wednesday."""


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("PAID", Wish.PAID),
        ("I already paid this yesterday", Wish.PAID),
        ("Payment sent.", Wish.PAID),
        ("已经付了", Wish.PAID),
        ("我昨天已还款", Wish.PAID),
        ("I have not paid", Wish.OTHER),
        ("没付", Wish.OTHER),
        ("HELP", Wish.HELP),
        ("please call me", Wish.HELP),
        ("请联系我", Wish.HELP),
        ("人工", Wish.HELP),
        ("how much do I owe", Wish.QUESTION),
        ("Did you get my payment?", Wish.QUESTION),
        ("欠多少钱", Wish.QUESTION),
        ("怎么还", Wish.QUESTION),
        ("ok thanks", Wish.COURTESY),
        ("好的, 谢谢", Wish.COURTESY),
        ("收到", Wish.COURTESY),
        ("I lost my job and cannot pay", Wish.OTHER),
        ("blue elephants", Wish.OTHER),
        ("", Wish.OTHER),
        ("🙂", Wish.OTHER),
    ],
)
def test_wishes(text: str, wish: Wish) -> None:
    assert understand(text, TODAY, "USD").wish is wish


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("will pay tomorrow", date(2026, 3, 5)),
        ("Friday", date(2026, 3, 6)),
        ("I can pay on the 15th", date(2026, 3, 15)),
        ("I will pay by March 20", date(2026, 3, 20)),
        ("paying 2 April", date(2026, 4, 2)),
        ("I'll pay 2026-03-09", date(2026, 3, 9)),
        ("on the 1st", date(2026, 4, 1)),
        ("明天还", date(2026, 3, 5)),
        ("周五付", date(2026, 3, 6)),
        ("下周五还", date(2026, 3, 13)),
        ("15号还款", date(2026, 3, 15)),
        ("3月20日付", date(2026, 3, 20)),
        ("一定在后天处理", date(2026, 3, 6)),
    ],
)
def test_days(text: str, day: date) -> None:
    assert understand(text, TODAY, "USD") == Understood(Wish.DATE, day=day)


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("can pay $50", "USD", 5_000),
        ("I could send 1,200.50 dollars", "USD", 120_050),
        ("pay 200 now", "USD", 20_000),
        ("先付500元", "CNY", 50_000),
        ("还300块", "CNY", 30_000),
        ("I will pay 40 on Friday", "USD", 4_000),
    ],
)
def test_amounts(text: str, currency: str, amount: int) -> None:
    found = understand(text, TODAY, currency)
    assert (found.wish, found.amount) == (Wish.AMOUNT, amount)


@pytest.mark.parametrize("text", ["Friday or Monday I will pay", "pay 50 or maybe pay 100", "pay 30 February"])
def test_what_can_be_read_in_two_ways_is_not_guessed_at(text: str) -> None:
    assert understand(text, TODAY, "USD").wish in {Wish.OTHER, Wish.AMOUNT, Wish.QUESTION}
    assert understand(text, TODAY, "USD").day is None


@settings(deadline=None)
@given(st.text(max_size=400), st.sampled_from(["USD", "CNY", "JPY", "EUR"]))
def test_no_text_is_too_strange(text: str, currency: str) -> None:
    found = understand(text, TODAY, currency)
    assert (found.day is not None) or found.wish is not Wish.DATE
    assert (found.amount is not None) == (found.wish is Wish.AMOUNT)
