"""Simulated people: the same seed tells the same story, whatever our own keys are and in whatever order things ran."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import local_date, local_time
from domain.codes import Channel, TaskKind
from domain.messages import parse_message
from domain.people import (
    TEMPERAMENTS,
    Chance,
    Debt,
    Planned,
    after_message,
    after_task,
    bad_contact_point,
    next_slot,
    temperament,
)

RECIPIENT = "+13125550100"
seeds = st.integers(0, 2**31)
zones = st.sampled_from(["America/Chicago", "Asia/Shanghai", "Pacific/Kiritimati", "Asia/Kathmandu", "UTC"])
instants = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
channels = st.sampled_from([Channel.SMS, Channel.VOICE, Channel.EMAIL, Channel.LETTER])
references = st.lists(st.from_regex(r"[0-9]{3}", fullmatch=True), min_size=1, max_size=4, unique=True)


def debts(names: Sequence[str], prefix: str = "A") -> list[Debt]:
    """Return one debt for each of the lender's numbers, under keys of our own."""
    return [Debt(f"{prefix}{name}/1", f"{prefix}{name}", name, 10_000 + int(name), "USD") for name in names]


def message(
    seed: int, owed: Sequence[Debt], channel: Channel, at: datetime, zone: str, *, key: str = "A1/1/1"
) -> list[Planned]:
    """Plan what follows from a message."""
    return after_message(
        seed, attempt_key=key, provider_id=f"SM{key}", channel=channel, step="one", try_no=1, party_key=f"P{key}",
        recipient=RECIPIENT, debts=owed, zone=zone, at=at,
    )  # fmt: skip


def task(seed: int, owed: Sequence[Debt], kind: TaskKind, at: datetime, zone: str, *, key: str = "W1") -> list[Planned]:
    """Plan what follows from a work item."""
    return after_task(
        seed, item_key=key, kind=kind, person="K1", party_key=f"P{key}", creditor="c", collector="", debts=owed, zone=zone, at=at
    )  # fmt: skip


def everything(plan: Sequence[Planned]) -> list[Planned]:
    """Return a plan with all that it causes."""
    return [one for planned in plan for one in (planned, *everything(planned.then))]


def story(plan: Sequence[Planned]) -> list[tuple[object, ...]]:
    """Return what happens and when, without our own keys."""
    told = ("status", "code", "amount", "currency", "value_on", "error_code", "reason", "outcome")
    return sorted(
        (one.kind, one.at, json.dumps({name: one.body[name] for name in told if name in one.body}, sort_keys=True))
        for one in everything(plan)
    )


@given(seeds, references, channels, instants, zones)
def test_a_message_has_the_same_consequences_in_any_order_and_under_any_keys(
    seed: int, names: list[str], channel: Channel, at: datetime, zone: str
) -> None:
    first = message(seed, debts(names), channel, at, zone)
    assert message(seed, debts(names), channel, at, zone) == first
    assert story(message(seed, debts(names[::-1]), channel, at, zone)) == story(first)
    assert story(message(seed, debts(names, "Z"), channel, at, zone, key="Z9/4/7")) == story(first)


@given(seeds, references, st.sampled_from([TaskKind.CALL, TaskKind.VISIT, TaskKind.LEGAL]), instants, zones)
def test_work_has_the_same_outcome_in_any_order_and_under_any_keys(
    seed: int, names: list[str], kind: TaskKind, at: datetime, zone: str
) -> None:
    first = task(seed, debts(names), kind, at, zone)
    assert task(seed, debts(names), kind, at, zone) == first
    assert story(task(seed, debts(names[::-1]), kind, at, zone)) == story(first)
    assert story(task(seed, debts(names, "Z"), kind, at, zone, key="W9")) == story(first)


@given(seeds, references, instants, zones)
def test_cases_that_ask_on_one_day_meet_in_the_same_outcome(
    seed: int, names: list[str], at: datetime, zone: str
) -> None:
    together = task(seed, debts(names), TaskKind.CALL, at, zone)
    if together:
        assert len({one.at for one in together}) == 1
        assert len({one.body["outcome"]["disposition"] for one in together}) == 1
        alone = task(seed, debts(names[:1]), TaskKind.CALL, at, zone)
        assert alone[0].at == together[0].at


@given(seeds, references, channels, instants, zones)
def test_consequences_come_afterwards_and_add_up(
    seed: int, names: list[str], channel: Channel, at: datetime, zone: str
) -> None:
    plan = message(seed, debts(names), channel, at, zone)
    (receipt,) = [one for one in plan if one.kind == "receipt"]
    assert all(one.at > at for one in everything(plan))
    assert all(one.at >= receipt.at for one in plan)
    assert all(one.at.second % 2 for one in everything(plan) if one.kind != "receipt")
    for payment in (one for one in plan if one.kind == "payment"):
        assert payment.body["amount"] > 0
        assert payment.body["value_on"] == local_date(payment.at, zone).isoformat()
        assert all(back.kind == "return" and back.at > payment.at for back in payment.then)
    if receipt.body["status"] in {"failed", "undelivered"}:
        assert plan == [receipt]


@given(seeds, references, channels, instants)
def test_plans_hold_codes_and_keys_and_nobodys_number(
    seed: int, names: list[str], channel: Channel, at: datetime
) -> None:
    rows = json.dumps([one.as_row() for one in message(seed, debts(names), channel, at, "UTC")])
    assert RECIPIENT not in rows


@given(seeds, instants, zones, st.integers(0, 4))
def test_people_are_worked_on_weekdays_at_five_in_the_afternoon_where_they_live(
    seed: int, at: datetime, zone: str, later: int
) -> None:
    slot = next_slot(seed, ("call", "K1"), zone, at, later=later)
    local = local_time(slot, zone)
    assert slot > at
    assert (local.hour, local.weekday() < 5, local.second % 2) == (17, True, 1)
    assert slot - at <= timedelta(days=4 + later + 2 * (later // 5 + 1))
    if later:
        assert slot > next_slot(seed, ("call", "K1"), zone, at, later=later - 1)


MESSAGE_OF = {"call": "record_call_outcome", "visit": "record_visit_outcome", "legal": "record_legal_update"}


@pytest.mark.parametrize("kind", [TaskKind.CALL, TaskKind.VISIT, TaskKind.LEGAL])
def test_every_outcome_is_a_message_of_the_contract(kind: TaskKind) -> None:
    at = datetime(2026, 3, 3, 15, tzinfo=UTC)
    seen: Counter[str] = Counter()
    for seed in range(300):
        for one in everything(task(seed, debts(["001"]), kind, at, "America/Chicago")):
            if one.kind in MESSAGE_OF:
                body: dict[str, Any] = {"event_id": one.external_id, "work_item": "W1", **one.body["outcome"]}
                parse_message(MESSAGE_OF[one.kind], body)
                seen[body.get("disposition") or body["stage"]] += 1
    assert len(seen) >= 3
    assert task(1, [], kind, at, "UTC") == []


def test_nobody_works_other_items() -> None:
    assert task(1, debts(["001"]), TaskKind.REVIEW, datetime(2026, 3, 3, tzinfo=UTC), "UTC") == []


def test_a_bad_phone_is_bad_for_text_and_voice_and_other_seeds_are_other_worlds() -> None:
    numbers = [f"+1312555{number:04d}" for number in range(2_000)]
    bad = {number for number in numbers if bad_contact_point(7, Channel.SMS, number)}
    assert bad == {number for number in numbers if bad_contact_point(7, Channel.VOICE, number)}
    assert bad != {number for number in numbers if bad_contact_point(8, Channel.SMS, number)}
    assert 0.03 < len(bad) / len(numbers) < 0.07


def test_chances_are_what_they_say() -> None:
    kinds = Counter(temperament(7, f"{number:05d}") for number in range(4_000))
    assert set(kinds) == set(TEMPERAMENTS)
    assert kinds.most_common(1)[0][0] == "forgetful"
    draws = [Chance(7, "x", str(number)).between("n", 1, 6) for number in range(6_000)]
    assert sorted(set(draws)) == [1, 2, 3, 4, 5, 6]
    assert all(850 < count < 1_150 for count in Counter(draws).values())
    assert Chance(7, "a", "b").unit("c") != Chance(7, "a").unit("b")
