"""What a contact costs, as the prices say."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.providers.costs import CostError, CostTable, segments_of
from domain.codes import Channel
from tests.fakes.twilio_answers import segments_of as segments_at_the_fake

PRICES = CostTable.load(Path(__file__).resolve().parents[2] / "policies" / "channels" / "costs.yaml")
PERSON = "+13125550100"


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("€" * 153, 3),
        ("您" * 70, 1),
        ("您" * 71, 2),
        ("您" * 134, 2),
        ("您" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 67, 3),
        ("\t", 1),
    ],
)
def test_a_text_is_cut_as_carriers_cut_it(text: str, segments: int) -> None:
    assert segments_of(text) == segments


@given(st.text("aé您 ", max_size=400))
def test_another_count_agrees_where_nothing_is_torn_apart(text: str) -> None:
    assert segments_of(text) == segments_at_the_fake(text)


def test_the_longest_prefix_decides_and_every_channel_has_a_price() -> None:
    assert PRICES.estimate(Channel.SMS, PERSON, text="a" * 161) == 2 * 8_300 + 3_000
    assert PRICES.estimate(Channel.SMS, "+8613912345678", text="您") == 50_000
    assert PRICES.estimate(Channel.SMS, "+4915112345678", text="x") == 80_000
    assert PRICES.estimate(Channel.VOICE, PERSON, seconds=61) == 2 * 14_000 + 7_500
    assert PRICES.estimate(Channel.VOICE, PERSON) == 7_500
    assert all(PRICES.estimate(channel, PERSON) is not None for channel in Channel)


def test_what_has_no_price_is_not_called_free(tmp_path: Path) -> None:
    path = tmp_path / "costs.yaml"
    path.write_text("{version: 1, currency: USD, rows: []}", encoding="utf-8")
    assert CostTable.load(path).estimate(Channel.SMS, PERSON) is None
    path.write_text("{version: 1, currency: dollars, rows: []}", encoding="utf-8")
    with pytest.raises(CostError, match=r"costs.yaml: currency"):
        CostTable.load(path)
