"""The check of legal action and visits finds what it must, and nothing else."""

from datetime import datetime

import pytest

from tests.recheck.model import Violation
from tests.recheck.small import Person, Small, utc

SHANGHAI = "Asia/Shanghai"


def _stages(small: Small, one: Person, *stages: tuple[str, str, str]) -> None:
    for stage, at, actor in stages:
        small.append(one.case, "legal", small_at(at), {"stage": stage, "actor": actor})


def small_at(text: str) -> datetime:

    return utc(text)


@pytest.mark.parametrize(
    ("stage", "channel", "broken"),
    [
        ("filed", "call", True),
        ("filed", "sms", True),
        ("filed", "visit", True),
        ("filed", "letter", False),
        ("hearing", "email", True),
        ("judgment", "email", False),
        ("enforcement", "letter", True),
        ("notice", "letter", False),
        ("withdrawn", "letter", False),
    ],
)
def test_no_collect_contact_in_court_but_what_is_permitted(
    small: Small, stage: str, channel: str, *, broken: bool
) -> None:
    one = small.person("CN", SHANGHAI)
    _stages(small, one, (stage, "2026-01-05 01:00:00", "sue"))
    attempt = small.attempt(one, channel, "2026-01-06 02:00:00")
    small.attempt(one, "letter", "2026-01-20 02:00:00", purpose="required_notice")
    rules = small.rules().get(attempt, set())
    assert ("legal.contact-in-court" in rules) is broken


@pytest.mark.parametrize(
    ("stages", "broken"),
    [
        (("review", "approved", "notice", "filed"), False),
        (("review", "notice", "filed"), True),
        (("filed",), True),
        (("review", "approved", "returned", "review", "filed"), True),
    ],
)
def test_no_filing_without_a_second_persons_approval(small: Small, stages: tuple[str, ...], *, broken: bool) -> None:
    one = small.person("US-TX", "America/Chicago")
    who = {"review": "ann", "approved": "sue"}
    _stages(
        small, one, *((stage, f"2026-01-0{n} 15:00:00", who.get(stage, "ann")) for n, stage in enumerate(stages, 1))
    )
    assert (
        Violation(one.case, "legal.four-eyes", small.found()[-1].why) in small.found() if broken else not small.found()
    )


def test_one_person_alone_is_no_second_person(small: Small) -> None:
    one = small.person("US-TX", "America/Chicago")
    _stages(
        small,
        one,
        *((stage, f"2026-01-0{n} 15:00:00", "ann") for n, stage in enumerate(("review", "approved", "filed"), 1)),
    )
    assert {found.rule for found in small.found()} == {"legal.four-eyes"}


def test_no_visit_with_fewer_people_than_demanded(small: Small) -> None:
    one = small.person("US-TX", "America/Chicago")
    for persons, broken in ((["ann", "bob"], False), (["ann", "ann"], True), (["ann"], True)):
        at = "2026-01-06 17:00:00"
        attempt = small.attempt(one, "visit", at)
        small.append(one.case, "visit_set_out", small_at(at), {"attempt": attempt, "persons": persons})
        assert ("visit.people" in small.rules().get(attempt, set())) is broken
