"""The catalogue of outcomes is read strictly, and the documentation shows it as it is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.catalogue import DISPOSITIONS, shipped
from cli.dispositions import table_of
from cli.generated import with_block
from domain.best_hours import HOUR, best_hour, best_start
from domain.calendar import local_time
from domain.codes import Channel
from domain.dispositions import parse_dispositions
from domain.messages import RecordCallOutcome
from domain.strategy import Between
from domain.strategy_file import StrategyError, parse_strategy, read_places
from domain.strategy_lint import lint

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "dispositions.md"
ZONE = "America/Chicago"


def test_the_documentation_shows_the_catalogue() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    shown = with_block(text, "dispositions", table_of(shipped()))
    assert shown == text, "run: starter.py dispositions list --update docs/dispositions.md"


MISTAKES = [
    ("{code: busy, label: Busy, by: [call], reached: [no_one], retry: 1 hour}", "unknown key 'retry'"),
    ("{code: busy, label: Busy, by: [phone], reached: [no_one]}", "unknown word 'phone'"),
    ("{code: busy, label: Busy, by: [call], reached: [nobody]}", "unknown word 'nobody'"),
    ("{code: busy, label: Busy, by: [call], reached: []}", "an empty list"),
    ("{code: busy, label: Busy, by: [call], reached: [no_one], retry_after: soon}", "is not a period"),
    ("{code: busy, label: Busy, by: [call], reached: [no_one], step: next, retry_after: 1 day}", "needs step: stay"),
    ("{code: busy, label: Busy, by: [call], reached: [no_one], effective: true}", "reached the right party"),
    ("{code: busy, label: Busy, by: [call], reached: [no_one], callback: true}", "needs callback_at"),
    ("{code: busy, label: Busy, by: [call], reached: [right_party], arrange: promise}", "needs promised_on"),
    ("{code: busy, label: Busy, by: [call], reached: [no_one], close: paid}", "only the ledger closes"),
    ("{code: busy, label: Busy, by: [call], reached: [no_one], tell: {event: verification_sent}}", "does not end"),
    ("{code: busy, label: Busy, by: [call], reached: [no_one], hold: {reason: tired}}", "unknown word 'tired'"),
    ("{code: Busy, label: Busy, by: [call], reached: [no_one]}", "is not a name"),
]


@pytest.mark.parametrize(("row", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_line(row: str, said: str) -> None:
    fine = "{code: ok, label: It is fine, by: [call], reached: [no_one]}"
    text = f"version: 1\ndispositions:\n  - {fine}\n  - {row}\n"
    with pytest.raises(StrategyError) as error:
        parse_dispositions(text, "x.yaml")
    (mistake,) = error.value.mistakes
    assert mistake.line == 4
    assert said in str(mistake)


def test_a_code_stands_once() -> None:
    row = "  - {code: ok, label: It is fine, by: [call], reached: [no_one]}\n"
    with pytest.raises(StrategyError, match="'ok' is written twice"):
        parse_dispositions(f"version: 1\ndispositions:\n{row}{row}", "x.yaml")


def test_the_same_meaning_has_the_same_digest_and_another_one_another() -> None:
    text = DISPOSITIONS.read_text(encoding="utf-8")
    assert parse_dispositions(text.replace("\n\n", "\n"), "x.yaml").digest == shipped().digest
    assert (
        parse_dispositions(text.replace("retry_after: 1 hour", "retry_after: 2 hours", 1), "x").digest
        != shipped().digest
    )


@given(st.text(max_size=200))
def test_a_text_that_is_no_catalogue_is_refused_with_a_line(text: str) -> None:
    with pytest.raises(StrategyError) as error:
        parse_dispositions(text, "x.yaml")
    assert error.value.mistakes


def test_an_outcome_is_refused_for_what_contradicts_it() -> None:
    def why_not(**body: object) -> str | None:
        message = RecordCallOutcome.model_validate({"event_id": "e", "party_reached": "right_party", **body})
        return shipped().why_not(message, Channel.CALL)

    assert why_not(disposition="refused") is None
    assert "no outcome of a call" in str(why_not(disposition="not_home"))
    assert "cannot be third_party" in str(why_not(disposition="refused", party_reached="third_party"))
    assert "needs callback_at" in str(why_not(disposition="callback"))


STEPS = """
name: s
version: 1
segment: {}
at_end: wait
steps:
  - {id: a, task: call, start: {since: opened}, tries: 2, repeat_until: [%s], then: {%s: next}}
  - {id: b, task: visit, start: {since: step, days: 3}, only_if: {dispositions: {none_of: [%s]}}}
"""


@pytest.mark.parametrize(
    ("until", "then", "named", "wrong"),
    [
        ("rpc", "refused", "dispute", None),
        ("rpc", "refuses", "dispute", "no outcome is called 'refuses' (did you mean 'refused'?)"),
        ("promised", "refused", "dispute", "no outcome is called 'promised' (did you mean 'promise'?)"),
        ("rpc", "not_home", "dispute", "no outcome is called 'not_home'"),
        ("rpc", "refused", "disputed", "no outcome is called 'disputed' (did you mean 'dispute'?)"),
    ],
)
def test_a_strategy_names_outcomes_that_somebody_can_report(
    until: str, then: str, named: str, wrong: str | None
) -> None:
    text = STEPS % (until, then, named)
    outcomes = {"call": shipped().known(Channel.CALL), "visit": shipped().known(Channel.VISIT)}
    found = [
        one.said
        for one in lint(parse_strategy(text, "x"), places=read_places(text), outcomes=outcomes)
        if one.level == "error"
    ]
    assert len(found) == (wrong is not None)
    assert wrong is None or wrong in found[0]


# --- the best hour ------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 10, 15, 20, tzinfo=UTC)  # 10:20 in Chicago, a Tuesday
DAYTIME = Between.model_validate({"hours": "09:00-18:00", "weekdays": ["mon", "tue", "wed", "thu", "fri"]})


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        ({}, NOW),
        ({17: 2, 9: 1}, NOW.replace(hour=22, minute=0)),
        ({10: 3}, NOW),
        ({9: 3}, (NOW + timedelta(days=1)).replace(hour=14, minute=0)),
        ({20: 5}, NOW),
    ],
)
def test_a_call_is_offered_in_the_hour_in_which_they_were_reached_most(
    reached: dict[int, int], expected: datetime
) -> None:
    assert best_start(reached, NOW, DAYTIME, ZONE, None) == expected


def test_an_item_that_would_expire_before_its_best_hour_is_offered_at_once() -> None:
    assert best_start({17: 2}, NOW, DAYTIME, ZONE, None, before=NOW + timedelta(hours=2)) == NOW


@given(st.dictionaries(st.integers(0, 23), st.integers(1, 50)), st.integers(0, 10_000))
def test_the_best_hour_is_open_never_past_and_within_a_week(reached: dict[int, int], minutes: int) -> None:
    now = NOW + timedelta(minutes=minutes)
    start = best_start(reached, now, DAYTIME, ZONE, None)
    assert now <= start < now + timedelta(days=7) + HOUR
    if start != now:
        local = local_time(start, ZONE)
        assert local.hour == best_hour(reached)
        assert (9 <= local.hour < 18, local.weekday() < 5) == (True, True)
