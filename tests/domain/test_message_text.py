"""Segments are counted as the network cuts them; HTML is read as its reader sees it."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from domain.message_text import beyond_gsm7, on_one_line, segments, visible_text

# The two tables of 3GPP TS 23.038 once more, row by row as they are printed there.
ROWS = (
    "@Δ 0¡P¿p", "£_!1AQaq", '$Φ"2BRbr', "¥Γ#3CScs", "èΛ¤4DTdt", "éΩ%5EUeu", "ùΠ&6FVfv", "ìΨ'7GWgw",
    "òΣ(8HXhx", "ÇΘ)9IYiy", "\nΞ*:JZjz", "Ø+;KÄkä", "øÆ,<LÖlö", "\ræ-=MÑmñ", "Åß.>NÜnü", "åÉ/?O§oà",
)  # fmt: skip
ONE = frozenset("".join(ROWS))
TWO = frozenset("\f^{}\\[~]|€")
SIGNS = st.sampled_from([*sorted(ONE), *sorted(TWO) * 4])
TEXTS = st.text(SIGNS, max_size=500) | st.text(max_size=300) | st.text(st.sampled_from("字a😀€"), max_size=300)


def _units(text: str) -> list[list[int]]:
    """Return the units of each sign, in the alphabet the network would choose."""
    if all(sign in ONE or sign in TWO for sign in text):
        return [[27, 0] if sign in TWO else [0] for sign in text]
    return [list(sign.encode("utf-16-be", "surrogatepass")[::2]) for sign in text]


def _fewest(units: list[list[int]], room: int) -> int:
    """Cut from the back: how few parts hold all signs, none of them split."""
    best = [0] * (len(units) + 1)
    for start in range(len(units) - 1, -1, -1):
        used, end = 0, start
        while end < len(units) and used + len(units[end]) <= room:
            used += len(units[end])
            end += 1
        best[start] = 1 + best[end]
    return best[0]


@given(TEXTS)
@example("a" * 160)
@example("a" * 161)
@example("a" * 159 + "€")
@example("a" * 152 + "€" + "a" * 10)
@example("字" * 70)
@example("字" * 71)
@example("字" * 66 + "😀" + "字" * 3)
def test_segments_are_those_of_an_independent_count(text: str) -> None:
    units = _units(text)
    gsm7 = not any(sign not in ONE and sign not in TWO for sign in text)
    total = sum(map(len, units))
    alone, joined = (160, 153) if gsm7 else (70, 67)
    counted = segments(text)
    assert counted.encoding == ("gsm7" if gsm7 else "ucs2")
    assert counted.units == total
    assert counted.count == ((1 if text else 0) if total <= alone else _fewest(units, joined))


@given(TEXTS)
def test_segments_are_whole_and_full_and_none_splits_a_sign(text: str) -> None:
    counted, units = segments(text), _units(text)
    room = {"gsm7": (160, 153), "ucs2": (70, 67)}[counted.encoding][counted.count > 1]
    ends = (*counted.starts[1:], len(text))
    for start, end in zip(counted.starts, ends, strict=False):
        size = sum(map(len, units[start:end]))
        assert 0 < size <= room
        if end < len(text):
            assert size + len(units[end]) > room


def test_the_tables_have_127_and_10_signs() -> None:
    assert len(ONE) == 127
    assert beyond_gsm7("".join([*ONE, *TWO])) == ()
    assert beyond_gsm7("Olá, ação") == ("á", "ç", "ã")


@given(st.text(st.sampled_from("ab 字。\n\t \u3000"), max_size=60))
def test_on_one_line_keeps_every_word_at_its_place(text: str) -> None:
    flat, places = on_one_line(text)
    assert len(flat) == len(places)
    assert re.sub(r"\s+", "", flat) == re.sub(r"\s+", "", text)
    assert all(
        text[place] == sign or (sign == " " and text[place].isspace()) for sign, place in zip(flat, places, strict=True)
    )
    assert "\n" not in flat
    assert "  " not in flat
    assert flat == flat.strip()


def test_a_line_break_in_chinese_is_no_blank() -> None:
    assert on_one_line("您好。\n请回电。\n call\nus")[0] == "您好。请回电。call us"


@given(st.text(st.sampled_from("<>/ab\"'=&;!- #x1\n"), max_size=80))
def test_visible_text_keeps_every_offset(markup: str) -> None:
    assert len(visible_text(markup)) == len(markup)


def test_a_reader_of_html_sees_neither_comments_nor_scripts_nor_tags() -> None:
    markup = "<p>Dear&nbsp;A &amp; B</p><!-- secret --><script>hidden()</script>deb<b>t</b> <a href='x>y'>link</a>"
    seen = " ".join(visible_text(markup).replace("\u200b", "").split())
    assert seen == "Dear A & B debt link"
    assert "tail" not in visible_text("<!-- open tail")
