"""Conditions of bulk operations: what can be written, and what is said about what cannot."""

import pytest

from db.scopes import compile_scope
from domain.scope import SCOPE_FACTS, ScopeError, parse_scope


def test_a_condition_is_written_in_the_words_of_strategies() -> None:
    scope = parse_scope("creditor: bank, bucket: [M1, M2], past_due: {at_least: {USD: 500}}, held: no, account: 007")
    assert scope.canonical == (
        '{"account":{"one_of":["007"]},"bucket":{"one_of":["M1","M2"]},"creditor":{"one_of":["bank"]},'
        '"held":{"yes":false},"past_due":{"at_least":{"USD":500}}}'
    )
    assert set(scope.reckoned) == {"bucket", "past_due"}
    assert parse_scope("{creditor: bank}") == parse_scope("creditor: bank") == parse_scope("creditor:\n  - bank")
    assert parse_scope("all").tests == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("{}", "is empty"),
        ("colour: red", "no fact is called 'colour'; known are account, "),
        ("creditor", "no fact is called 'creditor'" if "creditor" not in SCOPE_FACTS else "'creditor' is tested with"),
        ("dpd: 30", "'dpd' is tested with at_least or below; write for example dpd: {at_least: 30, below: 60}"),
        ("dpd: {at_least: -1}", "'dpd' is tested with"),
        ("dpd: {at_least: 1.5}", "'dpd' is a whole number"),
        ("past_due: {at_least: 500}", "'past_due' is money of a currency"),
        ("past_due: {at_least: {XXXX: 5}}", "'past_due' is tested with"),
        ("held: perhaps", "'held' is tested with yes"),
        ("stage: {at_least: 3}", "'stage' is tested with one_of or none_of"),
        ("stage: {none_of: [leagl]}", "'leagl' is no stage; one of arranged, calling, "),
        ("hold: disputed", "'disputed' is no hold; one of "),
        ("bucket: M01", "'bucket' is M0, M1"),
        ("creditor: [a", "--where: "),
        ("creditor: &x a, product: *x", "a reference"),
        ("creditor: a, creditor: b", "written twice"),
        ("creditor: " + "a" * 5000, "longer than"),
    ],
)
def test_what_cannot_be_meant_is_one_line(text: str, said: str) -> None:
    with pytest.raises(ScopeError) as error:
        parse_scope(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_values_are_bound_and_never_part_of_a_statement() -> None:
    evil = "x'; DROP TABLE cases; --"
    scope = parse_scope(f'creditor: "{evil}", hold: {{none_of: [dispute]}}, tries: {{at_least: 3}}')
    clauses, values = compile_scope(scope)
    assert evil not in " ".join(clauses)
    assert values == {"creditor_one_of": [evil], "hold_none_of": ["dispute"], "tries_at_least": 3}
