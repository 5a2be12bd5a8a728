"""The queue: one item to one person, on loan, in a fair order, under the gate, with a fence."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.dialling import Dialled, Dialling
from activities.judging import Judge
from activities.rule_facts import Rules
from db.actors import Fitness
from db.cases import close_case
from db.holds import HoldOrder, place_hold
from db.ledger import post_payment
from db.queue import Wanted
from desk.finishing import finish
from desk.queue import (
    Desk,
    LeaseLostError,
    QueueError,
    claim,
    claim_next,
    escalate_item,
    queue,
    reassign,
    release,
    renew_lease,
    tend,
)
from domain.case import CaseInput
from domain.codes import CloseReason, HoldReason, TaskKind
from domain.roles import Acting, NotAllowedError, Role
from runtime.desk import desk_of, shipped_gate
from tests.activities.cases import AT, open_cases, row
from tests.desk.house import ANN, BEN, CALLS, EVE, HOUR, MINUTE, POLICY, call_item, staff, utc

GATE = shipped_gate()
NO_ANSWER = {"disposition": "no_answer", "party_reached": "no_one"}


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return desk_of(engine, gate=GATE)


@pytest.fixture
def cases(engine: Engine, tmp_path: Path) -> list[CaseInput]:
    """Four cases of four debtors in Chicago; it is nine o'clock there."""
    staff(engine)
    rows = "".join(row(f"L{n}", f"K{n}", phone=f"+1312555010{n}") for n in range(1, 5))
    return [case for _, case in sorted(open_cases(engine, tmp_path, rows, ladder=CALLS).items())]


def rows(engine: Engine, query: str, *values: object) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(one) for one in connection.exec_driver_sql(query, values or None)]


def run(engine: Engine, statement: str, *values: object) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement, values or None)


def test_an_item_is_lent_to_one_person_and_to_the_next_when_the_loan_runs_out(
    desk: Desk, cases: list[CaseInput]
) -> None:
    item = call_item(desk.engine, cases[0])
    lent = claim_next(desk, ANN, AT)
    assert lent is not None
    assert (lent.key, lent.lease_no, lent.lease_until) == (item, 1, AT + POLICY.lease.length)
    assert claim_next(desk, BEN, AT) is None
    with pytest.raises(QueueError, match="ann has it until"):
        claim(desk, BEN, item, AT)
    after = lent.lease_until
    taken = claim_next(desk, BEN, after)
    assert taken is not None
    assert (taken.key, taken.lease_no) == (item, 2)
    kinds = rows(desk.engine, "SELECT kind, actor, lease_no FROM work_events ORDER BY id")
    assert kinds == [("claimed", "ann", 1), ("lapsed", "ann", 1), ("claimed", "ben", 2)]


def test_who_lost_the_loan_can_neither_renew_nor_release_nor_finish(desk: Desk, cases: list[CaseInput]) -> None:
    item = call_item(desk.engine, cases[0])
    lent = claim(desk, ANN, item, AT)
    later = AT + 2 * POLICY.lease.length
    claim(desk, BEN, item, later)
    for act in (
        lambda: renew_lease(desk, ANN, item, lent.lease_no, later),
        lambda: release(desk, ANN, item, lent.lease_no, later),
        lambda: finish(desk, ANN, item, lent.lease_no, NO_ANSWER, later, logical=True),
    ):
        with pytest.raises(LeaseLostError, match="lease 1 is over, somebody else has it"):
            act()
    assert rows(desk.engine, "SELECT count(*) FROM signals") == [(0,)]


def test_an_old_number_of_ones_own_is_no_good_either(desk: Desk, cases: list[CaseInput]) -> None:
    item = call_item(desk.engine, cases[0])
    first = claim(desk, ANN, item, AT)
    release(desk, ANN, item, first.lease_no, AT)
    second = claim(desk, ANN, item, AT)
    assert second.lease_no == 2
    with pytest.raises(LeaseLostError, match="you have it under lease 2"):
        finish(desk, ANN, item, first.lease_no, NO_ANSWER, AT, logical=True)


def test_who_comes_late_but_before_anybody_else_has_taken_it_is_heard(desk: Desk, cases: list[CaseInput]) -> None:
    item = call_item(desk.engine, cases[0])
    lent = claim(desk, ANN, item, AT)
    finish(desk, ANN, item, lent.lease_no, NO_ANSWER, AT + 3 * POLICY.lease.length, logical=True)
    assert rows(desk.engine, "SELECT status FROM work_items") == [("reported",)]


def test_renewing_keeps_the_item_and_a_claim_of_ones_own_is_the_same_loan(desk: Desk, cases: list[CaseInput]) -> None:
    item = call_item(desk.engine, cases[0])
    lent = claim(desk, ANN, item, AT)
    half = AT + POLICY.lease.length / 2
    until = renew_lease(desk, ANN, item, lent.lease_no, half)
    assert until == half + POLICY.lease.length
    assert claim_next(desk, BEN, AT + POLICY.lease.length) is None
    assert claim(desk, ANN, item, half).lease_no == lent.lease_no


def test_finishing_tells_the_case_once_and_repeating_it_is_harmless(desk: Desk, cases: list[CaseInput]) -> None:
    item = call_item(desk.engine, cases[0])
    lent = claim(desk, ANN, item, AT)
    done = finish(desk, ANN, item, lent.lease_no, NO_ANSWER, AT, logical=True, note_text="asked for a call on Friday")
    again = finish(desk, ANN, item, lent.lease_no, NO_ANSWER, AT + HOUR, logical=True)
    assert (done.case_key, done.again, again.again) == (cases[0].state.case_key, False, True)
    ((case, name, event, body),) = rows(desk.engine, "SELECT case_key, name, event_id, body FROM signals")
    assert (case, name, event) == (cases[0].state.case_key, "record_call_outcome", f"work/{item}/1")
    assert isinstance(body, dict)
    assert body["actor"] == "ann"
    assert body["note_ref"] == f"inbox/desk/work/{item}/1"
    assert "Friday" not in str(body)
    with pytest.raises(LeaseLostError, match="finished it already, as no_answer"):
        finish(desk, ANN, item, lent.lease_no, {**NO_ANSWER, "disposition": "refused"}, AT, logical=True)
    with pytest.raises(QueueError, match="has finished it"):
        claim(desk, BEN, item, AT + HOUR)


def test_an_outcome_that_does_not_fit_is_refused_by_field_and_the_loan_stays(
    desk: Desk, cases: list[CaseInput]
) -> None:
    item = call_item(desk.engine, cases[0])
    lent = claim(desk, ANN, item, AT)
    with pytest.raises(QueueError, match="party_reached"):
        finish(desk, ANN, item, lent.lease_no, {"disposition": "x", "party_reached": "Mrs Doe"}, AT, logical=True)
    assert finish(desk, ANN, item, lent.lease_no, NO_ANSWER, AT, logical=True).disposition == "no_answer"


# --- order --------------------------------------------------------------------------------------------------------


def test_what_is_urgent_goes_first_and_what_has_waited_long_enough_goes_before_it(
    desk: Desk, cases: list[CaseInput]
) -> None:
    old = call_item(desk.engine, cases[0], at=AT - 16 * HOUR)
    recent = call_item(desk.engine, cases[1], at=AT - 14 * HOUR)
    complaint = call_item(desk.engine, cases[2], kind=TaskKind.REVIEW, reason="complaint")
    patient = replace(desk, policy=POLICY.model_copy(update={"escalation_points": 0}))
    order = [claim_next(patient, ANN, AT) for _ in range(3)]
    assert [one.key for one in order if one is not None] == [old, complaint, recent]


def test_none_starves_while_urgent_work_keeps_coming(desk: Desk, cases: list[CaseInput]) -> None:
    plain = call_item(desk.engine, cases[0])
    now, taken = AT, 0
    for number in range(60):
        run(
            desk.engine,
            "INSERT INTO work_items (kind, reason, created_at, due_at) VALUES ('review', 'complaint', %s, %s)",
            now, now,
        )  # fmt: skip
        lent = claim_next(desk, ANN, now)
        assert lent is not None
        if lent.key == plain:
            taken = number
            break
        finish(desk, ANN, lent.key, lent.lease_no, {"disposition": "done"}, now, logical=True)
        now += 20 * MINUTE
        run(desk.engine, "UPDATE work_items SET not_before = NULL")
    bound = (90 - 30) * POLICY.minutes_per_point / 20
    assert 0 < taken <= bound


def test_nothing_is_offered_before_it_is_due_nor_after_it_expired(desk: Desk, cases: list[CaseInput]) -> None:
    call_item(desk.engine, cases[0], at=AT + HOUR)
    assert claim_next(desk, ANN, AT) is None
    assert claim_next(desk, ANN, AT + HOUR) is not None
    item = call_item(desk.engine, cases[1])
    with pytest.raises(QueueError, match="has expired"):
        claim(desk, ANN, item, AT + timedelta(days=3))


# --- for whom -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unfit", "fit", "demand"),
    [
        (Fitness(languages=("es",)), Fitness(languages=("en", "es")), "UPDATE parties SET language = 'en-US'"),
        (Fitness(regions=("US-NY",)), Fitness(regions=("US",)), "SELECT 1"),
        (Fitness(), Fitness(licences=("ny-dca",)), "UPDATE creditors SET licences = '{ny-dca}'"),
        (Fitness(), Fitness(skills=("complaints",)), "UPDATE work_items SET skill = 'complaints'"),
    ],
)
def test_an_item_goes_to_who_is_fit_for_it(
    desk: Desk, cases: list[CaseInput], unfit: Fitness, fit: Fitness, demand: str
) -> None:
    item = call_item(desk.engine, cases[0])
    run(desk.engine, demand)
    staff(desk.engine, (ANN,), unfit)
    staff(desk.engine, (BEN,), fit)
    assert claim_next(desk, ANN, AT) is None
    with pytest.raises(QueueError, match="is not for ann: it takes"):
        claim(desk, ANN, item, AT)
    lent = claim_next(desk, BEN, AT)
    assert lent is not None
    assert lent.key == item


def test_who_was_involved_never_gets_the_complaint_not_even_from_a_supervisor(
    desk: Desk, cases: list[CaseInput]
) -> None:
    item = call_item(desk.engine, cases[0], kind=TaskKind.REVIEW, reason="complaint")
    run(desk.engine, "UPDATE work_items SET not_for = '{ann,eve}'")
    assert claim_next(desk, ANN, AT) is None
    assert claim_next(desk, EVE, AT) is None
    with pytest.raises(QueueError, match="who was not involved"):
        reassign(desk, EVE, item, "ann", AT)
    reassign(desk, EVE, item, "ben", AT)
    assert claim_next(desk, BEN, AT) is not None


def test_a_list_is_by_kind_area_time_and_priority(desk: Desk, cases: list[CaseInput]) -> None:
    call = call_item(desk.engine, cases[0])
    complaint = call_item(desk.engine, cases[1], kind=TaskKind.REVIEW, reason="complaint")

    def listed(wanted: Wanted) -> list[str]:
        return [one.key for one in queue(desk, ANN, AT, wanted)]

    assert listed(Wanted()) == [complaint, call]
    assert listed(Wanted(kinds=(TaskKind.CALL,))) == [call]
    assert listed(Wanted(at_least=90)) == [complaint]
    assert listed(Wanted(area="US")) == listed(Wanted(area="US-IL")) == [complaint, call]
    assert listed(Wanted(area="US-I")) == []
    assert listed(Wanted(due_before=AT)) == []


# --- roles --------------------------------------------------------------------------------------------------------


def test_an_agent_cannot_do_what_a_supervisor_must_and_an_auditor_takes_nothing(
    desk: Desk, cases: list[CaseInput]
) -> None:
    item = call_item(desk.engine, cases[0])
    with pytest.raises(NotAllowedError, match="supervisor"):
        reassign(desk, ANN, item, "ben", AT)
    with pytest.raises(NotAllowedError):
        claim_next(desk, Acting("aud", Role.AUDITOR), AT)
    claim(desk, BEN, item, AT)
    with pytest.raises(QueueError, match="is not yours"):
        escalate_item(desk, ANN, item, AT)


def test_reassigning_takes_the_item_at_once_and_gives_it_to_one_person_only(desk: Desk, cases: list[CaseInput]) -> None:
    item = call_item(desk.engine, cases[0])
    lent = claim(desk, ANN, item, AT)
    reassign(desk, EVE, item, "ben", AT)
    with pytest.raises(LeaseLostError, match="it is back in the queue"):
        finish(desk, ANN, item, lent.lease_no, NO_ANSWER, AT, logical=True)
    with pytest.raises(QueueError, match="given to ben"):
        claim(desk, ANN, item, AT)
    assert claim_next(desk, BEN, AT) is not None
    assert rows(desk.engine, "SELECT kind FROM case_events WHERE kind LIKE 'work%%'") == [("work_reassigned",)]


# --- escalation ---------------------------------------------------------------------------------------------------


def test_what_nobody_worked_in_time_goes_forward_and_before_a_supervisor_once(
    desk: Desk, cases: list[CaseInput]
) -> None:
    item = call_item(desk.engine, cases[0])
    late = AT + timedelta(hours=POLICY.kinds[TaskKind.CALL].within_hours)
    assert tend(desk, late - MINUTE) == 0
    assert tend(desk, late) == 1
    assert tend(desk, late + HOUR) == 0
    (shown,) = queue(desk, EVE, late, escalated=True)
    assert (shown.key, shown.escalation, shown.priority) == (item, "late", 30 + POLICY.escalation_points)
    assert rows(desk.engine, "SELECT body::jsonb ->> 'why' FROM case_events WHERE kind = 'work_escalated'") == [
        ("late",)
    ]


def test_an_item_that_everybody_loses_is_a_supervisors(desk: Desk, cases: list[CaseInput]) -> None:
    item = call_item(desk.engine, cases[0])
    now = AT
    for _ in range(POLICY.lease.lapses):
        assert claim_next(desk, ANN, now) is not None
        now += POLICY.lease.length
    assert claim_next(desk, ANN, now) is None
    with pytest.raises(QueueError, match="a supervisor has it"):
        claim(desk, ANN, item, now)
    (shown,) = queue(desk, EVE, now, escalated=True)
    assert (shown.key, shown.escalation, shown.lapses) == (item, "lapsed", POLICY.lease.lapses)
    assert rows(desk.engine, "SELECT count(*) FROM work_events WHERE kind = 'lapsed'") == [(POLICY.lease.lapses,)]
    reassign(desk, EVE, item, None, now)
    assert claim_next(desk, ANN, now) is not None


def test_an_agent_hands_up_what_they_cannot_do(desk: Desk, cases: list[CaseInput]) -> None:
    item = call_item(desk.engine, cases[0])
    claim(desk, ANN, item, AT)
    escalate_item(desk, ANN, item, AT)
    assert claim_next(desk, ANN, AT) is None
    lent = claim_next(desk, EVE, AT)
    assert lent is not None
    reassign(desk, EVE, item, "ben", AT)
    assert claim_next(desk, BEN, AT) is not None


# --- the gate -----------------------------------------------------------------------------------------------------


def test_p4_a_call_is_offered_only_in_the_persons_own_hours(desk: Desk, cases: list[CaseInput]) -> None:
    item = call_item(desk.engine, cases[0], at=utc(12))
    early = utc(12, 30)
    assert claim_next(desk, ANN, early) is None
    assert rows(desk.engine, "SELECT not_before FROM work_items") == [(utc(14),)]
    with pytest.raises(QueueError, match="may be worked from 2026-03-03 14:00 UTC"):
        claim(desk, ANN, item, early)
    assert claim_next(desk, ANN, utc(14) - MINUTE) is None
    assert claim_next(desk, ANN, utc(14)) is not None


def test_p1_an_item_of_a_case_that_was_held_paid_or_closed_is_not_lent(desk: Desk, cases: list[CaseInput]) -> None:
    held, paid, closed, left = (call_item(desk.engine, case) for case in cases)
    order = HoldOrder(cases[0].state.account_key, "", HoldReason.DISPUTE, AT, "hold/1")
    with desk.engine.begin() as connection:
        place_hold(connection, order)
        post_payment(
            connection, account_key=cases[1].state.account_key, external_id="P1", amount=10_000, currency="USD",
            value_on=AT.date(), received_at=AT, source="test",
        )  # fmt: skip
        close_case(connection, cases[2].state.case_key, CloseReason.RECALLED, AT)
    lent = claim_next(desk, ANN, AT)
    assert lent is not None
    assert lent.key == left
    assert claim_next(desk, ANN, AT) is None
    for item in (held, paid, closed):
        with pytest.raises(QueueError):
            claim(desk, ANN, item, AT)


def test_p5_what_came_of_a_call_dialled_before_its_case_closed_is_kept(desk: Desk, cases: list[CaseInput]) -> None:
    item = call_item(desk.engine, cases[0])
    lent = claim(desk, ANN, item, AT)
    assert isinstance(Dialling(desk.engine, Judge(GATE, Rules())).admit(item, lambda: AT, AT, logical=True), Dialled)
    with desk.engine.begin() as connection:
        close_case(connection, cases[0].state.case_key, CloseReason.RECALLED, AT)
    done = finish(desk, ANN, item, lent.lease_no, NO_ANSWER, AT, logical=True)
    assert done.after_close
    assert finish(desk, ANN, item, lent.lease_no, NO_ANSWER, AT, logical=True).again
    assert rows(desk.engine, "SELECT status, outcome FROM attempts") == [("failed", "no_answer")]
    with pytest.raises(LeaseLostError, match="its case is closed"):
        finish(desk, BEN, item, lent.lease_no, NO_ANSWER, AT, logical=True)
