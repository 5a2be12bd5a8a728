"""The rule packs inside admission, on a real database: what commits first wins, and what is refused is recorded."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from activities.contact import ContactActivities
from activities.providers.base import Outbound, SendResult
from activities.rule_facts import Rules
from activities.rulebook import read_rulebook
from db.ledger import post_payment
from db.locks import lock_persons
from db.state_events import concern_of, record_state_event
from domain.case import CaseInput, ContactReport
from domain.codes import AttemptStatus
from domain.rule_gate import RuleGate
from domain.state_messages import STATE_MESSAGES, StateEvent
from tests.activities.cases import AT, contact, contact_activities, open_cases, row
from tests.workflows.conftest import CountingCarrier

BOOK = read_rulebook(Path(__file__).resolve().parents[2] / "policies" / "rules")
NEIGHBOURS = row("L1", "K1") + row("L2", "K2")
"""Two debtors who share a telephone."""


def _activities(engine: Engine, carrier: CountingCarrier) -> ContactActivities:
    return contact_activities(engine, carrier, gate=RuleGate(BOOK), rules=Rules())


def _point_of(connection: Connection, case: CaseInput) -> str:
    return str(
        connection.exec_driver_sql(
            "SELECT n.key FROM contact_points n JOIN debtors d ON d.party_key = n.party_key "
            "WHERE d.key = %s AND n.kind = 'phone'",
            (case.debtor_key,),
        ).scalar_one()
    )


def _tell(connection: Connection, case: CaseInput, name: str, **body: str) -> None:
    message = STATE_MESSAGES[name].model_validate({"event_id": f"test/{name}", **body})
    assert isinstance(message, StateEvent)
    record_state_event(connection, message.told(case.state.account_key, AT), zone="America/Chicago")


def _stop(connection: Connection, case: CaseInput) -> None:
    _tell(connection, case, "opt_out", contact_point=_point_of(connection, case))


def _bankruptcy(connection: Connection, case: CaseInput) -> None:
    _tell(connection, case, "bankruptcy_filed")


def _cease(connection: Connection, case: CaseInput) -> None:
    _tell(connection, case, "cease_communication", form="letter")


def _payment(connection: Connection, case: CaseInput) -> None:
    post_payment(
        connection,
        account_key=case.state.account_key,
        external_id="P1",
        amount=10_000,
        currency="USD",
        value_on=AT.date(),
        received_at=AT,
        source="test",
    )


@pytest.mark.parametrize(
    ("happens", "rule"),
    [
        (_payment, "core.not-past-due"),
        (_stop, "house.opt-out"),
        (_bankruptcy, "core.hold"),
        (_cease, "core.stopped"),
    ],
)
def test_p4_what_commits_while_admission_waits_for_the_lock_wins(
    engine: Engine, tmp_path: Path, happens: Callable[[Connection, CaseInput], None], rule: str
) -> None:
    carrier = CountingCarrier()
    case = open_cases(engine, tmp_path, row("L1", "K1"))["L1"]
    reports: list[ContactReport] = []
    with engine.begin() as connection:
        lock_persons(connection, [case.state.account_key], [_point_of(connection, case)])
        thread = threading.Thread(target=lambda: reports.append(contact(_activities(engine, carrier), case)))
        thread.start()
        _until_somebody_waits(engine)
        happens(connection, case)
    thread.join(30)
    assert carrier.requests == []
    assert reports[0].status is AttemptStatus.REFUSED
    assert rule in reports[0].rule_ids


def _until_somebody_waits(engine: Engine) -> None:
    for _ in range(400):
        with engine.connect() as connection:
            if connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one():
                return
        time.sleep(0.02)
    raise AssertionError("nobody waited for the lock")


def test_p4_a_stop_told_by_one_debtor_stops_the_other_who_shares_the_phone(engine: Engine, tmp_path: Path) -> None:
    carrier = CountingCarrier()
    cases = open_cases(engine, tmp_path, NEIGHBOURS)
    reports: list[ContactReport] = []
    with engine.begin() as connection:
        message = STATE_MESSAGES["opt_out"].model_validate(
            {"event_id": "test/opt_out", "contact_point": _point_of(connection, cases["L1"])}
        )
        assert isinstance(message, StateEvent)
        concern = concern_of(connection, message.told(cases["L1"].state.account_key, AT))
    with engine.begin() as connection:
        lock_persons(connection, concern.accounts, concern.points)
        thread = threading.Thread(target=lambda: reports.append(contact(_activities(engine, carrier), cases["L2"])))
        thread.start()
        _until_somebody_waits(engine)
        _stop(connection, cases["L1"])
    thread.join(30)
    assert carrier.requests == []
    assert reports[0].status is AttemptStatus.REFUSED


def test_what_lands_between_commit_and_socket_is_recorded_as_after_it(engine: Engine, tmp_path: Path) -> None:
    case = open_cases(engine, tmp_path, row("L1", "K1"))["L1"]
    told: list[tuple[str, ...]] = []

    class PaidMeanwhile(CountingCarrier):
        def send(self, message: Outbound) -> SendResult:
            with engine.begin() as connection:
                posted = post_payment(
                    connection,
                    account_key=case.state.account_key,
                    external_id="P1",
                    amount=10_000,
                    currency="USD",
                    value_on=AT.date(),
                    received_at=AT,
                    source="test",
                )
            told.append(posted.in_flight)
            return super().send(message)

    assert contact(_activities(engine, PaidMeanwhile()), case).status is AttemptStatus.SENT
    assert told == [(case.state.attempt_key(1),)]
    with engine.connect() as connection:
        kinds = connection.exec_driver_sql(
            "SELECT kind FROM case_events WHERE case_key = %s ORDER BY seq", (case.state.case_key,)
        )
        assert kinds.scalars().all() == ["opened", "dispatching", "payment", "recorded"]


def test_p3_every_refusal_is_a_row_with_its_rules_packs_and_reasons(engine: Engine, tmp_path: Path) -> None:
    early = datetime(2026, 3, 3, 12, 30, tzinfo=UTC)  # half past six in Chicago
    case = open_cases(engine, tmp_path, row("L1", "K1"))["L1"]
    report = contact(_activities(engine, CountingCarrier()), case, at=early)
    assert report.status is AttemptStatus.DEFERRED
    with engine.connect() as connection:
        row_ = connection.exec_driver_sql("SELECT verdict, rule_ids, packs, reasons, defer_until FROM decisions").one()
    assert row_.verdict == "defer"
    assert "house.hours" in row_.rule_ids
    assert {"house", "us-creditors"} <= set(row_.packs)
    assert {one["rule"] for one in row_.reasons} == set(row_.rule_ids)
    assert report.not_before == row_.defer_until == AT


def test_p4_a_country_without_a_pack_and_an_unknown_residence_are_not_contacted(engine: Engine, tmp_path: Path) -> None:
    carrier = CountingCarrier()
    rows = row("L1", "K1", region="CH", phone="+41790001234", timezone="Europe/Zurich")
    case = open_cases(engine, tmp_path, rows)["L1"]
    report = contact(_activities(engine, carrier), case)
    assert report.status is AttemptStatus.REFUSED
    assert "core.pack-selection" in report.rule_ids
    assert carrier.requests == []


def test_a_deferred_attempt_is_judged_again_when_it_is_taken_up(engine: Engine, tmp_path: Path) -> None:
    carrier = CountingCarrier()
    early = AT - timedelta(hours=3)
    case = open_cases(engine, tmp_path, row("L1", "K1"))["L1"]
    activities = _activities(engine, carrier)
    assert contact(activities, case, at=early).status is AttemptStatus.DEFERRED
    with engine.begin() as connection:
        lock_persons(connection, [case.state.account_key])
        _stop(connection, case)
    assert contact(activities, case).status is AttemptStatus.REFUSED
    assert carrier.requests == []
