"""Arrangements at the gate: asked under the lock, against the ledger, whatever the case believed when it decided."""

from datetime import date, timedelta
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.cases import CaseActivities
from activities.judging import Judge
from db.arrangements import cancel
from db.facts import read_account
from db.ledger import post_payment
from db.locks import lock_persons
from domain.case import Ask, AskReport, AskRequest, ContactReport, ContactRequest
from domain.codes import AttemptStatus, Channel, TaskKind
from domain.gate import LedgerGate
from tests.activities.cases import AT, contact, contact_activities, open_cases, row
from tests.workflows.conftest import CountingCarrier, House
from tests.workflows.plans import arrange

CALL = """
name: call
version: 1
segment: {}
steps:
  - {id: call, task: call, start: {since: opened}, between: {hours: "00:00-24:00"}}
"""


def house(engine: Engine, folder: Path) -> House:
    """Return what an arrangement needs of a house: its ledger."""
    return House(engine, cast("Client", None), CountingCarrier(), folder)


def test_p1_an_arrangement_agreed_after_the_case_decided_stops_the_message(engine: Engine, tmp_path: Path) -> None:
    case = open_cases(engine, tmp_path, row("L1", "K1"))["L1"]
    carrier = CountingCarrier()
    arrange(house(engine, tmp_path), AT, "promise", (date(2026, 3, 9), 10_000))
    report = contact(contact_activities(engine, carrier), case)
    assert (report.status, report.rule_ids) == (AttemptStatus.REFUSED, ("core.arrangement",))
    assert carrier.requests == []
    assert report.facts.plan is not None


def test_p1_no_person_is_asked_to_call_while_an_arrangement_stands(engine: Engine, tmp_path: Path) -> None:
    case = open_cases(engine, tmp_path, row("L1", "K1"), ladder=CALL)["L1"]
    arrange(house(engine, tmp_path), AT, "promise", (date(2026, 3, 9), 10_000))
    ask = Ask(kind=TaskKind.CALL, step="call", seq=1)
    request = AskRequest(state=case.state, strategy_digest=case.strategy_digest, ask=ask)
    judge = Judge(LedgerGate(), None)
    report = ActivityEnvironment().run(CaseActivities(engine, None, judge).ask, request)
    assert isinstance(report, AskReport)
    assert (report.item, report.rule_ids) == (None, ("core.arrangement",))


def test_p1_after_it_was_cancelled_the_ladder_may_go_on(engine: Engine, tmp_path: Path) -> None:
    case = open_cases(engine, tmp_path, row("L1", "K1"))["L1"]
    made = arrange(house(engine, tmp_path), AT, "promise", (date(2026, 3, 9), 10_000))
    with engine.begin() as connection:
        lock_persons(connection, [case.state.account_key])
        assert cancel(connection, str(made.key), case.state.account_key, by="test", at=AT, reason="withdrawn")
    assert contact(contact_activities(engine, CountingCarrier()), case).status is AttemptStatus.SENT


@pytest.mark.parametrize("what", ["nothing", "paid", "cancelled", "another line"])
def test_a_reminder_is_sent_only_for_what_is_still_to_be_paid(engine: Engine, tmp_path: Path, what: str) -> None:
    case = open_cases(engine, tmp_path, row("L1", "K1"))["L1"]
    account, due = case.state.account_key, date(2026, 3, 10)
    made = arrange(house(engine, tmp_path), AT, "instalments", (due, 5_000), (date(2026, 4, 9), 5_000))
    at = AT + timedelta(days=5)
    with engine.connect() as connection:
        facts = read_account(connection, account, at, logical=True).facts
    assert facts.plan is not None
    assert facts.plan.reminder is not None
    with engine.begin() as connection:
        if what == "paid":
            post_payment(
                connection, account_key=account, external_id="P", amount=5_000, currency="USD",
                value_on=date(2026, 3, 7), received_at=AT + timedelta(days=4), source="test",
            )  # fmt: skip
        if what == "cancelled":
            lock_persons(connection, [account])
            cancel(connection, str(made.key), account, by="test", at=AT, reason="withdrawn")
    mark = f"{made.key}/2" if what == "another line" else facts.plan.mark
    carrier = CountingCarrier()
    state = case.state.model_copy(update={"now": at, "facts": facts})
    request = ContactRequest(
        state=state,
        strategy_digest=case.strategy_digest,
        step="plan-reminder",
        seq=1,
        reminder=mark,
        channel=Channel.SMS,
    )
    report = ActivityEnvironment().run(contact_activities(engine, carrier).contact, request)
    assert isinstance(report, ContactReport)
    if what == "nothing":
        assert (report.status, len(carrier.requests)) == (AttemptStatus.SENT, 1)
    else:
        assert (report.status, carrier.requests) == (AttemptStatus.REFUSED, [])
        assert "core.nothing-to-remind" in report.rule_ids
    assert report.reminder == mark
