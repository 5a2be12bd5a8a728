"""The strategy grammar: every mistake is named where it stands, and what is read means what was written."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.codes import Channel, CloseReason, Flag, HoldReason, PartyRole, Purpose
from domain.strategy import WEEKDAYS, Strategy
from domain.strategy_file import StrategyError, digest, parse_strategy, read_places
from domain.strategy_lint import lint

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "policies" / "strategies").glob("*.yaml"))
TEMPLATES = frozenset(path.name.removesuffix(".j2") for path in (ROOT / "policies" / "templates" / "en").glob("*.j2"))
BASE = """\
name: x
version: 1
steps:
  - id: a
    channel: sms
    template: t
    start: {since: due, days: 1}
"""
WHOLE = """\
name: whole
version: 3
description: Every key of the grammar
segment: {product: [loan, card], region: US, past_due: {at_least: {USD: 10}}, score: {below: 700}}
min_past_due: {USD: 10, JPY: 1000}
late_start: first_step
holidays: US
validation_days: 35
at_end: wait
after_broken: after
ends:
  - {since: placed, days: 180, close: recalled}
  - {event: recall, close: recalled}
steps:
  - id: notice
    channel: letter
    purpose: required_notice
    template: validation-notice
    start: {since: opened}
    between: {hours: "08:00-24:00", weekdays: [mon, fri], holidays: avoided}
    only_if: {address_known: yes, email_known: false, dispositions: {none_of: [dispute]}, dpd: {at_least: 3, below: 90}}
    to: {role: co_borrower, order: [newest]}
    min_gap: 36 hours
  - id: call
    task: call
    start: {since: validation_end, days: 2, count: business}
    tries: 3
    every: 2 business days
    repeat_until: [rpc]
    requires: {attempts: 2, on_days: 2, channels: [letter], last_resort: no}
    expires: 4 days
    unworked: skip
    then: {promise: next, refused: same, dispute: {hold: dispute, days: 30}, deceased: {close: deceased}, bad: {handover: other}}
  - id: after
    channel: email
    template: t
    start: {since: event, event: promise_broken}
soften:
  - {when: [hardship, vulnerable], templates: {t: gentle}, leave_out: visit, offers: [deferral]}
"""


def mistakes(text: str) -> list[str]:
    """Return the mistakes of a text as lines, none when it is right."""
    try:
        parse_strategy(text, "test.yaml")
    except StrategyError as error:
        return [str(mistake) for mistake in error.mistakes]
    return []


def places(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:  # noqa: ANN401 - values of YAML
    """Return the paths of all mappings in a value whose keys the grammar knows; facts and outcomes have free names."""
    if isinstance(node, list):
        return [found for number, one in enumerate(node) for found in places(one, (*path, number))]
    if not isinstance(node, dict):
        return []
    free = bool(path) and path[-1] in {"then", "at_least", "min_past_due", "templates"}
    return ([] if free else [path]) + [found for key, one in node.items() for found in places(one, (*path, key))]


def at(node: Any, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401 - values of YAML
    """Return what stands at a path."""
    for part in path:
        node = node[part]
    return node


@pytest.mark.parametrize("path", places(yaml.safe_load(WHOLE)), ids=str)
def test_an_unknown_key_is_an_error_wherever_it_stands(path: tuple[str | int, ...]) -> None:
    values = yaml.safe_load(WHOLE)
    at(values, path)["surprise"] = 1
    text = yaml.safe_dump(values, sort_keys=False)
    line = next(number for number, one in enumerate(text.splitlines(), 1) if "surprise" in one)
    found = mistakes(text)
    assert any("surprise" in one and one.startswith(f"{line}:") for one in found), found


def test_a_key_added_later_changes_no_digest_until_it_is_used() -> None:
    older = WHOLE.partition("soften:")[0]
    without = older.replace("after_broken: after\n", "")
    default = older.replace("after_broken: after\n", "after_broken: next\n")
    digests = [digest(parse_strategy(text, "test.yaml")) for text in (without, default, older, WHOLE)]
    assert digests[0] == digests[1] == "526b59a6ef3a451aec816ab2f597b2c20294f61e50c5d07ff0bf2c7adaccddf4"
    assert len({*digests}) == 3


def test_the_step_after_a_broken_arrangement_must_exist() -> None:
    found = mistakes(WHOLE.replace("after_broken: after\n", "after_broken: aftr\n"))
    assert any("aftr" in one and "'after'" in one for one in found), found


def test_every_key_of_the_grammar_is_read() -> None:
    strategy = parse_strategy(WHOLE, "test.yaml")
    written = strategy.model_dump(exclude_unset=True)
    assert set(written) == set(Strategy.model_fields)
    assert strategy.steps[1].requires.last_resort is False
    assert strategy.steps[0].only_if["address_known"].yes is True
    assert str(strategy.steps[0].between.hours) == "08:00-24:00"
    assert str(strategy.steps[1].every) == "2 business days"


BAD_LINES: list[tuple[str, str]] = [
    ("    start2: x", "8:5: steps[1].start2: unknown key 'start2' (did you mean 'start'?)"),
    ("    every: 0 days", "8:5: steps[1].every: '0 days' is no time at all"),
    ("    every: often", "8:5: steps[1].every: 'often' is not a period (write for example '4 hours'"),
    ("    expires: 0 hours", "8:5: steps[1].expires: '0 hours' is no time at all"),
    ("    min_gap: 3", "8:5: steps[1].min_gap: "),
    ("    between: {hours: 18:00-09:00}", "8:15: steps[1].between.hours: hours must open before they close"),
    ("    between: {hours: 9-18}", "8:15: steps[1].between.hours: '9-18' is not a window of hours"),
    ("    between: {hours: 10:00-24:30}", "8:15: steps[1].between.hours: '10:00-24:30' ends after midnight"),
    ("    between: {weekdays: []}", "8:15: steps[1].between.weekdays: an empty list (write at least one)"),
    (
        "    between: {weekdays: [monday]}",
        "8:26: steps[1].between.weekdays[1]: unknown word 'monday' (did you mean 'mon'?)",
    ),
    ("    between: {holidays: ignored}", "8:15: steps[1].between.holidays: unknown word 'ignored'"),
    (
        "    only_if: {pastdue: {at_least: 3}}",
        "8:15: steps[1].only_if.pastdue: unknown fact 'pastdue' (did you mean 'past_due'?)",
    ),
    ("    only_if: {past_due: {atleast: 3}}", "8:26: steps[1].only_if.past_due.atleast: unknown key 'atleast'"),
    ("    only_if: {past_due: {at_least: -3}}", "8:26: steps[1].only_if.past_due.at_least: not an amount"),
    ("    only_if: {past_due: {at_least: {XXQ: 3}}}", "8:26: steps[1].only_if.past_due.at_least: not an amount"),
    ("    only_if: {dpd: {at_least: {USD: 3}}}", "8:5: steps[1].only_if: 'dpd' is a number and has no currency"),
    ("    only_if: {dpd: {}}", "8:5: steps[1].only_if: 'dpd' is tested with at_least or below"),
    ("    only_if: {email_known: maybe}", "8:5: steps[1].only_if: 'email_known' is tested with yes"),
    ("    to: {role: uncle}", "8:10: steps[1].to.role: unknown word 'uncle'"),
    ("    to: {order: [best]}", "8:18: steps[1].to.order[1]: unknown word 'best'"),
    ("    tries: 0", "8:5: steps[1].tries: '0': input should be greater than or equal to 1"),
    ("    tries: three", "8:5: steps[1].tries: 'three' is not a whole number"),
    ("    tries: 1.5", "8:5: steps[1].tries: '1.5' is not a whole number"),
    ("    repeat_until: rpc", "8:5: steps[1].repeat_until: not a list"),
    ("    requires: {attempts: -1}", "8:16: steps[1].requires.attempts: '-1': input should be greater than"),
    ("    requires: {channels: [pigeon]}", "8:27: steps[1].requires.channels[1]: unknown word 'pigeon'"),
    (
        "    requires: {last_resort: perhaps}",
        "8:16: steps[1].requires.last_resort: 'perhaps' is neither true nor false",
    ),
    ("    unworked: drop", "8:5: steps[1].unworked: unknown word 'drop' (use one of: requeue, skip)"),
    ("    purpose: fun", "8:5: steps[1].purpose: unknown word 'fun'"),
    ("    then: {sent: nowhere}", "8:12: steps[1].then.sent: leads to the unknown step 'nowhere'"),
    ("    then: {sent: {close: gone}}", "8:19: steps[1].then.sent.close: unknown word 'gone'"),
    ("    then: {sent: {hold: dispute, close: paid}}", "8:12: steps[1].then.sent: say exactly one of"),
    ("    then: {sent: {close: paid, days: 3}}", "8:12: steps[1].then.sent: 'days' belongs to a hold"),
    ("    task: call", "4:5: steps[1]: a step has either 'channel' (sms, voice, email, letter) or 'task'"),
    ("    template: other", "8:5: steps[1].template: 'template' is written twice (keep one of them)"),
    ("ends: never", "8:1: ends: not a list"),
    ("ends: [{event: flood, close: recalled}]", "8:9: ends[1].event: unknown word 'flood'"),
    ("ends: [{since: due, close: recalled}]", "8:8: ends[1]: an end is either an 'event' or 'since' with 'days'"),
    ("late_start: maybe", "8:1: late_start: unknown word 'maybe' (use one of: first_step, join)"),
    ("min_past_due: lots", "8:1: min_past_due: not an amount"),
    ("min_past_due: {USD: 1e3}", "8:1: min_past_due: not an amount"),
    ("holidays: [US]", "8:1: holidays: '['US']' is not text"),
    ("validation_days: 999", "8:1: validation_days: '999': input should be less than or equal to 120"),
    ("at_end: die", "8:1: at_end: unknown word 'die' (use one of: review, wait)"),
    ("segment: {product: }", "8:11: segment.product: not a list of keys and values"),
    ("\tq: 1", "8:1: found character '\\t' that cannot start any token (indent with spaces)"),
    ("a: *b", "8:4: a reference (*name) is not allowed (write it out again)"),
    ("- x", "8:1: expected <block end>, but found '-'"),
]


@pytest.mark.parametrize(("line", "text"), BAD_LINES)
def test_a_bad_line_is_named_with_its_place_and_how_to_mend_it(line: str, text: str) -> None:
    (found,) = mistakes(f"{BASE}{line}\n")
    assert found.startswith(text)
    assert found.endswith(")")
    assert "\n" not in found


BAD_TEXTS: list[tuple[str, list[str]]] = [
    ("", ["1:1: no strategy in this file"]),
    ("[]", ["1:1: no strategy in this file"]),
    ("\x00", ["1:1: a character that text may not hold"]),
    ("x" * 262_145, ["1:1: the file is too long"]),
    ("name: X\n", ["1:1: 'version' is missing", "1:1: 'steps' is missing", "1:1: name: 'X' is not a name"]),
    ("name: x\nversion: 1\nsteps: []\n", ["3:1: steps: no steps that can be used"]),
    ("steps: 5\nname: x\nversion: 1\n", ["1:1: steps: not a list"]),
    (BASE.replace("version: 1", "version: 0"), ["2:1: version: '0': input should be greater"]),
    (BASE.replace("version: 1", "version: 3000000000"), ["2:1: version: '3000000000': input should be less"]),
    (BASE.replace("id: a", "id: next"), ["4:5: steps[1].id: 'next' has a meaning of its own"]),
    (BASE.replace("id: a", "id: A b"), ["4:5: steps[1].id: 'A b' is not a name"]),
    (BASE.replace("    template: t\n", ""), ["4:5: steps[1]: a sms step needs a 'template'"]),
    (BASE.replace("since: due", "since: birth"), ["7:13: steps[1].start.since: unknown word 'birth'"]),
    (BASE.replace("days: 1", "days: -1"), ["7:25: steps[1].start.days: '-1': input"]),
    (BASE.replace("{since: due, days: 1}", "{since: event}"), ["7:5: steps[1].start: 'event' names the event"]),
    (BASE.replace("{since: due, days: 1}", "{since: due, event: x}"), ["7:5: steps[1].start: 'event' names"]),
    (BASE + BASE[BASE.index("  - id") :], ["8:5: steps[2].id: step id 'a' used twice"]),
    (
        BASE.replace("sms", "fax").replace("due", "birth") + "nope: 1\n",
        ["5:5: steps[1].channel: unknown word 'fax'", "7:13: steps[1].start.since: unknown", "8:1: nope: unknown key"],
    ),
]


@pytest.mark.parametrize(("text", "starts"), BAD_TEXTS)
def test_all_mistakes_of_a_file_are_named_in_the_order_of_their_lines(text: str, starts: list[str]) -> None:
    found = mistakes(text)
    assert len(found) == len(starts), found
    for one, start in zip(found, starts, strict=True):
        assert one.startswith(start)


def test_traps_of_yaml_are_no_traps() -> None:
    strategy = parse_strategy(
        BASE
        + '    between: {hours: 09:00-18:00}\n    only_if: {region: [NO, "US"], language: no, product: [on, 1.0]}\n',
        "t",
    )
    conditions = strategy.steps[0].only_if
    assert conditions["region"].one_of == ("NO", "US")
    assert conditions["language"].one_of == ("no",)
    assert conditions["product"].one_of == ("on", "1.0")
    assert str(strategy.steps[0].between.hours) == "09:00-18:00"


# --- what is shipped ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_strategy_is_right_and_nobody_can_object_to_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    strategy = parse_strategy(text, path.name)
    assert strategy.name == path.stem
    assert lint(strategy, places=read_places(text), templates=TEMPLATES) == []


LINTED: list[tuple[str, str, str]] = [
    ("    task: legal", "error", "legal action that is not the last resort"),
    ("    channel: sms\n    template: none", "error", "there is no template none.sms.j2"),
    ("    channel: sms\n    template: t\n    then: {failed: b}", "error", "would be repeated at once"),
    ("    channel: sms\n    template: t\n    repeat_until: [delivered]", "warning", "one try is never repeated"),
]


@pytest.mark.parametrize(("lines", "level", "what"), LINTED)
def test_what_the_grammar_allows_and_nobody_can_want_is_said_with_its_line(lines: str, level: str, what: str) -> None:
    text = f"{BASE}  - id: b\n    start: {{since: due, days: 3}}\n{lines}\n"
    strategy = parse_strategy(text, "t")
    found = lint(strategy, places=read_places(text), templates=frozenset({"t.sms"}))
    assert [(one.level, what in one.what, one.line >= 8) for one in found if what in one.what] == [(level, True, True)]


# --- any strategy -------------------------------------------------------------------------------------------------

names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
periods = st.builds(
    lambda n, unit: f"{n} {unit}s", st.integers(1, 90), st.sampled_from(["hour", "day", "business day"])
)
amounts = st.one_of(
    st.integers(0, 10**6), st.dictionaries(st.sampled_from(["USD", "JPY", "KWD"]), st.integers(0, 10**6), min_size=1)
)
words = st.lists(names, min_size=1, max_size=3)
conditions = st.fixed_dictionaries(
    {},
    optional={
        "past_due": st.fixed_dictionaries({"at_least": amounts}),
        "balance": st.fixed_dictionaries({"below": amounts}),
        "tries": st.fixed_dictionaries({"at_least": st.integers(0, 9)}),
        "region": words,
        "dispositions": st.fixed_dictionaries({"none_of": words}),
        "email_known": st.booleans(),
        "bucket": st.fixed_dictionaries({"none_of": words}),
    },
)
hours = st.tuples(st.integers(0, 11), st.integers(12, 24)).map(lambda pair: f"{pair[0]:02d}:00-{pair[1]:02d}:00")
go_to = st.one_of(
    st.sampled_from(["next", "same"]),
    st.fixed_dictionaries({"close": st.sampled_from([str(one) for one in CloseReason])}),
    st.fixed_dictionaries(
        {"hold": st.sampled_from([str(one) for one in HoldReason])}, optional={"days": st.integers(1, 90)}
    ),
    st.fixed_dictionaries({"handover": names}),
)


@st.composite
def steps(draw: st.DrawFn, number: int) -> dict[str, Any]:
    """Draw a step as a file writes it."""
    own = draw(
        st.one_of(
            st.fixed_dictionaries({"task": st.sampled_from(["call", "visit", "legal"])}),
            st.fixed_dictionaries({"channel": st.sampled_from(["sms", "voice", "email", "letter"]), "template": names}),
        )
    )
    start = draw(
        st.one_of(
            st.fixed_dictionaries(
                {"since": st.sampled_from(["due", "opened", "placed", "validation_end", "step"])},
                optional={"days": st.integers(0, 400), "count": st.sampled_from(["calendar", "business"])},
            ),
            st.fixed_dictionaries({"since": st.just("event"), "event": names}),
        )
    )
    more = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "purpose": st.sampled_from([str(one) for one in Purpose]),
                "between": st.fixed_dictionaries(
                    {"hours": hours}, optional={"weekdays": st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=4)}
                ),
                "only_if": conditions,
                "to": st.fixed_dictionaries({"role": st.sampled_from([str(one) for one in PartyRole])}),
                "tries": st.integers(1, 9),
                "every": periods,
                "repeat_until": words,
                "min_gap": periods,
                "requires": st.fixed_dictionaries(
                    {"attempts": st.integers(0, 9)},
                    optional={"channels": st.lists(st.sampled_from([str(one) for one in Channel]), max_size=2)},
                ),
                "expires": periods,
                "unworked": st.sampled_from(["requeue", "skip"]),
                "then": st.dictionaries(names, go_to, max_size=3),
            },
        )
    )
    return {"id": f"step-{number}", "start": start, **own, **more}


@st.composite
def ladders(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a strategy as a file writes it."""
    head = draw(
        st.fixed_dictionaries(
            {"name": names, "version": st.integers(1, 99)},
            optional={
                "description": st.text("äöü xyz:#'\"\n-", max_size=20),
                "segment": conditions,
                "min_past_due": amounts,
                "late_start": st.sampled_from(["join", "first_step"]),
                "at_end": st.sampled_from(["review", "wait"]),
                "soften": st.lists(
                    st.fixed_dictionaries(
                        {"when": st.sampled_from([str(one) for one in Flag])},
                        optional={
                            "templates": st.dictionaries(names, names, max_size=2),
                            "leave_out": st.just("visit"),
                        },
                    ),
                    max_size=2,
                ),
                "validation_days": st.integers(0, 120),
            },
        )
    )
    return {**head, "steps": [draw(steps(number)) for number in range(draw(st.integers(1, 4)))]}


@given(ladders(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_any_strategy_reads_back_as_it_was_and_keeps_its_digest(values: dict[str, Any], chance: Any) -> None:  # noqa: ANN401
    first = parse_strategy(yaml.safe_dump(values, allow_unicode=True), "t")
    again = parse_strategy(yaml.safe_dump(first.model_dump(mode="json", exclude_none=True)), "t")
    stored = Strategy.model_validate_json(first.model_dump_json())
    assert first == again == stored
    keys = list(values)
    chance.shuffle(keys)
    shuffled = parse_strategy(yaml.safe_dump({key: values[key] for key in keys}, sort_keys=False), "t")
    assert digest(first) == digest(again) == digest(stored) == digest(shuffled)


@given(ladders())
@settings(max_examples=40)
def test_what_means_something_else_has_another_digest(values: dict[str, Any]) -> None:
    first = parse_strategy(yaml.safe_dump(values), "t")
    longer = parse_strategy(yaml.safe_dump({**values, "at_end": "wait" if first.at_end == "review" else "review"}), "t")
    assert digest(first) != digest(longer)


LINES = WHOLE.splitlines()


@given(
    st.lists(
        st.tuples(st.integers(0, len(LINES) - 1), st.text("abz:{}[],-'\" \t#&*!|>%@0\n", max_size=12), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=150)
def test_whatever_is_typed_it_is_read_or_its_mistakes_are_named_inside_the_file(
    edits: list[tuple[int, str, bool]],
) -> None:
    lines = list(LINES)
    for number, text, whole in edits:
        lines[number] = text if whole else lines[number][: len(lines[number]) // 2] + text
    text = "\n".join(lines)
    found = mistakes(text)
    last = len(text.splitlines()) + 1
    assert all(1 <= int(one.partition(":")[0]) <= last and "\n" not in one for one in found)
    if not found:
        assert parse_strategy(text, "t").steps
