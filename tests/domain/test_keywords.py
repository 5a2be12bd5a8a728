"""A refusal is understood however it is typed; what is not sure goes to a person and is never guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.keywords import WORDS, LastTemplate, Reading, read_text

ALL = [(word, reading) for reading, words in WORDS.items() for word in words]
WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
SPACES = st.text(st.sampled_from(" \t\n\u3000\u200b.!。\uff01-"), max_size=4)


@given(
    st.sampled_from(ALL), st.booleans(), st.sampled_from([str.upper, str.lower, str.title, str.swapcase]),
    SPACES, SPACES,
)  # fmt: skip
def test_case_width_spaces_and_punctuation_never_change_the_reading(
    pair: tuple[str, Reading], wide: bool, case: object, before: str, after: str
) -> None:
    word, reading = pair
    typed = case(word)  # type: ignore[operator]
    if wide:
        typed = typed.translate(WIDE)
    assert read_text(before + typed + after) is reading
    assert read_text(before + " ".join(typed) + after) is reading


@given(st.text(max_size=200))
def test_any_text_gets_a_reading_and_reading_is_stable(text: str) -> None:
    assert read_text(text) is read_text(text.translate(WIDE)) or not text.isascii()
    assert read_text(text) in Reading


@pytest.mark.parametrize(
    "text",
    [
        "I will quit my job Friday and can pay then",
        "我没收到退订短信啊\uff0c账单对吗",
        "please STOP texting me",
        "Don't contact me again",
        "wrong number",
        "no me llamen más",
        "Número equivocado",
        "别再发了",
        "I have an attorney",
        "T",
        "n",
    ],
)
def test_a_keyword_in_a_sentence_and_other_refusals_go_to_a_person(text: str) -> None:
    assert read_text(text) is Reading.UNCLEAR


@pytest.mark.parametrize(
    "text", ["", "ok", "I will send it to a friend on Friday", "明天还款", "1", "Y", "📅", "gracias"]
)
def test_what_carries_no_wish_is_left_alone(text: str) -> None:
    assert read_text(text) is Reading.OTHER


def test_one_letter_codes_mean_what_the_last_template_offered() -> None:
    offered = LastTemplate("reminder", frozenset({"T"}))
    assert read_text("\uff54", offered) is Reading.STOP
    assert read_text("R", offered) is Reading.UNCLEAR
    check = LastTemplate("right_party_check", frozenset({"Y", "N"}))
    assert read_text("N", check) is Reading.NOT_ME
    assert read_text("y", check) is Reading.OTHER
