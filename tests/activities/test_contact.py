"""One attempt on a real database: at most one request, and a payment that commits first wins."""

import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from temporalio.testing import ActivityEnvironment

from activities.contact import ContactActivities
from activities.providers.base import AmbiguousSendError, NotProcessed, Outbound, SendResult
from activities.wording import Wording
from db.intake import Order, import_file
from db.ledger import post_payment
from db.locks import lock_persons
from db.opening import open_page
from db.settings import put_in_force
from domain.case import CaseInput, ContactReport, ContactRequest
from domain.clock import BusinessClock
from domain.codes import AUTOMATED_CHANNELS, AttemptStatus
from domain.gate import LedgerGate
from domain.strategy_file import parse_strategy
from tests.workflows.conftest import LADDER, TEMPLATES, CountingCarrier

AT = datetime(2026, 3, 3, 15, tzinfo=UTC)
CLOCK = BusinessClock(kind="logical", origin=AT, epoch=datetime(2000, 1, 1, tzinfo=UTC), speed=1e12)


@pytest.fixture
def case(engine: Engine, tmp_path: Path) -> CaseInput:
    path = tmp_path / "ledger.csv"
    path.write_text(
        "account_id,debtor_id,product,currency,amount,due_date,phone,timezone\n"
        "L1,K1,loan,USD,100.00,2026-03-02,+13125550100,America/Chicago\n",
        encoding="utf-8",
    )
    import_file(engine, Order("ledger", path, AT - timedelta(days=30)))
    strategy = parse_strategy(LADDER, "test.yaml")
    with engine.begin() as connection:
        (digest,) = put_in_force(connection, [strategy], AT)
    page = open_page(engine, as_of=AT, strategies={digest: strategy}, clock=CLOCK, limit=10)
    return page.cases[0]


def _activities(engine: Engine, carrier: object) -> ContactActivities:
    providers = dict.fromkeys(AUTOMATED_CHANNELS, carrier)
    return ContactActivities(engine, providers, LedgerGate(), Wording(TEMPLATES), sleep=lambda _: None)  # type: ignore[arg-type]


def _contact(activities: ContactActivities, case: CaseInput, seq: int = 1) -> ContactReport:
    request = ContactRequest(state=case.state, strategy_digest=case.strategy_digest, step="one", seq=seq)
    report = ActivityEnvironment().run(activities.contact, request)
    assert isinstance(report, ContactReport)
    return report


def test_p2_a_retry_never_sends_again_and_a_step_entered_twice_does(engine: Engine, case: CaseInput) -> None:
    carrier = CountingCarrier()
    activities = _activities(engine, carrier)
    assert [_contact(activities, case).status for _ in range(3)] == [AttemptStatus.SENT] * 3
    assert carrier.requests == ["A000000001/1/1"]
    _contact(activities, case, seq=2)
    assert carrier.requests == ["A000000001/1/1", "A000000001/1/2"]


def test_p1_a_payment_that_commits_while_admission_waits_for_the_lock_wins(engine: Engine, case: CaseInput) -> None:
    carrier = CountingCarrier()
    activities = _activities(engine, carrier)
    reports: list[ContactReport] = []
    with engine.begin() as connection:
        lock_persons(connection, [case.state.account_key])
        thread = threading.Thread(target=lambda: reports.append(_contact(activities, case)))
        thread.start()
        _until_somebody_waits(engine)
        post_payment(
            connection,
            account_key=case.state.account_key,
            external_id="P1",
            amount=10_000,
            currency="USD",
            value_on=date(2026, 3, 3),
            received_at=AT,
            source="test",
        )
    thread.join(20)
    assert carrier.requests == []
    assert (reports[0].status, reports[0].rule_ids) == (AttemptStatus.REFUSED, ("core.not-past-due",))


def _until_somebody_waits(engine: Engine) -> None:
    for _ in range(400):
        with engine.connect() as connection:
            waiting = connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one()
        if waiting:
            return
        time.sleep(0.02)
    raise AssertionError("nobody waited for the lock")


def test_p3_every_attempt_has_its_decision_before_the_provider_is_called(engine: Engine, case: CaseInput) -> None:
    seen: list[tuple[str, int]] = []

    class Looking(CountingCarrier):
        def send(self, message: Outbound) -> SendResult:
            with engine.connect() as connection:
                row = connection.exec_driver_sql(
                    "SELECT t.status, (SELECT count(*) FROM decisions d WHERE d.attempt_key = t.key) FROM attempts t"
                ).one()
            seen.append((row[0], row[1]))
            return super().send(message)

    _contact(_activities(engine, Looking()), case)
    assert seen == [("dispatching", 1)]


def test_p2_an_unknown_outcome_is_looked_up_and_never_sent_again(engine: Engine, case: CaseInput) -> None:
    class Dropped(CountingCarrier):
        def send(self, message: Outbound) -> SendResult:
            self.requests.append(message.attempt_key)
            raise AmbiguousSendError("timeout")

    carrier = Dropped()
    activities = _activities(engine, carrier)
    assert _contact(activities, case).status is AttemptStatus.UNKNOWN
    assert _contact(activities, case).status is AttemptStatus.UNKNOWN
    assert len(carrier.requests) == 1


@pytest.mark.parametrize(("reached", "status"), [(True, AttemptStatus.SENT), (False, AttemptStatus.UNKNOWN)])
def test_p10_a_dispatch_found_after_a_crash_is_adopted_or_named_unknown(
    engine: Engine, case: CaseInput, *, reached: bool, status: AttemptStatus
) -> None:
    class Crashing(CountingCarrier):
        def send(self, message: Outbound) -> SendResult:
            if reached:
                self.requests.append(message.attempt_key)
            raise KeyboardInterrupt  # the process dies between the socket and the record

    carrier = Crashing()
    with pytest.raises(KeyboardInterrupt):
        _contact(_activities(engine, carrier), case)
    with engine.begin() as connection:  # long ago, so that nobody waits in a test
        connection.exec_driver_sql("UPDATE attempts SET engine_admitted_at = '1960-01-01 00:00+00'")
    before = list(carrier.requests)
    assert _contact(_activities(engine, carrier), case).status is status
    assert carrier.requests == before


def test_p4_a_worker_that_stood_still_after_admission_does_not_send(
    engine: Engine, case: CaseInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    carrier = CountingCarrier()
    real = time.monotonic
    calls = iter(range(10_000))
    monkeypatch.setattr("activities.contact.time.monotonic", lambda: real() + 100 * next(calls))
    report = _contact(_activities(engine, carrier), case)
    assert report.status is AttemptStatus.RETRYABLE
    assert report.not_before is not None
    assert carrier.requests == []


def test_proof_that_nothing_was_processed_is_retried_under_the_same_key(engine: Engine, case: CaseInput) -> None:
    class Busy(CountingCarrier):
        def send(self, message: Outbound) -> SendResult:
            if not self.requests:
                self.requests.append("refused")
                return NotProcessed("429", timedelta(minutes=5))
            return super().send(message)

    carrier = Busy()
    activities = _activities(engine, carrier)
    first = _contact(activities, case)
    assert (first.status, first.not_before) == (AttemptStatus.RETRYABLE, AT + timedelta(minutes=5))
    assert _contact(activities, case).status is AttemptStatus.SENT
    assert carrier.requests == ["refused", "A000000001/1/1"]
