"""One message per debtor: what is due on one day travels together, and never what does not belong together."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.providers.base import AmbiguousSendError, NotProcessed, Outbound, SendResult
from db.holds import HoldOrder, place_hold
from domain.case import CaseInput
from domain.codes import AttemptStatus, HoldReason
from tests.activities.cases import AT, contact, contact_activities, open_cases, row
from tests.workflows.conftest import CountingCarrier

TWO = row("L1", "K1") + row("L2", "K1", amount="50.00")


class Keeping(CountingCarrier):
    """Keeps the messages too."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Outbound] = []

    def send(self, message: Outbound) -> SendResult:
        self.messages.append(message)
        return super().send(message)


def _accounts_of(engine: Engine, attempt: str) -> list[tuple[str, int]]:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT a.external_id, x.quoted_amount FROM attempt_accounts x JOIN accounts a ON a.key = x.account_key "
            "WHERE x.attempt_key = %s ORDER BY 1",
            (attempt,),
        )
        return [(one[0], one[1]) for one in rows]


def _key(case: CaseInput, seq: int = 1) -> str:
    return case.state.attempt_key(seq)


def test_two_accounts_due_on_one_day_are_one_message_that_lists_both(engine: Engine, tmp_path: Path) -> None:
    carrier = Keeping()
    cases = open_cases(engine, tmp_path, TWO)
    activities = contact_activities(engine, carrier)
    assert contact(activities, cases["L1"]).status is AttemptStatus.SENT
    second = contact(activities, cases["L2"])
    assert (second.status, second.rule_ids) == (AttemptStatus.COVERED, ("core.covered",))
    assert carrier.requests == [_key(cases["L1"])]
    body = carrier.messages[0].body
    assert "L1" in body
    assert "L2" in body
    assert "150.00" in body
    assert _accounts_of(engine, _key(cases["L1"])) == [("L1", 10_000), ("L2", 5_000)]
    with engine.connect() as connection:
        decision = connection.exec_driver_sql(
            "SELECT verdict, rule_ids FROM decisions WHERE attempt_key = %s", (_key(cases["L2"]),)
        ).one()
    assert tuple(decision) == ("allow", ["core.covered"])


@pytest.mark.parametrize(
    "other",
    [
        {"creditor_id": "another-bank"},
        {"currency": "EUR"},
        {"phone": "+13125550177"},
        {"due_date": "2026-02-26"},  # on another rung: an e-mail is due, not a text
    ],
)
def test_creditors_currencies_numbers_and_days_never_mix(engine: Engine, tmp_path: Path, other: dict[str, str]) -> None:
    carrier = Keeping()
    cases = open_cases(engine, tmp_path, row("L1", "K1") + row("L2", "K2" if "phone" in other else "K1", **other))
    contact(contact_activities(engine, carrier), cases["L1"])
    assert _accounts_of(engine, _key(cases["L1"])) == [("L1", 10_000)]


def test_an_account_whose_own_gate_refuses_does_not_travel(engine: Engine, tmp_path: Path) -> None:
    carrier = Keeping()
    cases = open_cases(engine, tmp_path, TWO)
    held = cases["L2"].state
    with engine.begin() as connection:
        order = HoldOrder(held.account_key, cases["L2"].debtor_key, HoldReason.DISPUTE, AT, "e1")
        assert place_hold(connection, order) is not None
    activities = contact_activities(engine, carrier)
    contact(activities, cases["L1"])
    assert _accounts_of(engine, _key(cases["L1"])) == [("L1", 10_000)]
    assert contact(activities, cases["L2"]).status is AttemptStatus.REFUSED


def test_when_the_message_proves_unsent_the_other_case_goes_ahead(engine: Engine, tmp_path: Path) -> None:
    class Busy(Keeping):
        def send(self, message: Outbound) -> SendResult:
            if not self.messages:
                self.messages.append(message)
                return NotProcessed("429", timedelta(minutes=5))
            return super().send(message)

    carrier = Busy()
    cases = open_cases(engine, tmp_path, TWO)
    activities = contact_activities(engine, carrier)
    assert contact(activities, cases["L1"]).status is AttemptStatus.RETRYABLE
    assert _accounts_of(engine, _key(cases["L1"])) == [("L1", 10_000)]
    assert contact(activities, cases["L2"]).status is AttemptStatus.SENT
    assert _accounts_of(engine, _key(cases["L2"])) == [("L1", 10_000), ("L2", 5_000)]
    assert contact(activities, cases["L1"]).status is AttemptStatus.COVERED
    assert carrier.requests == [_key(cases["L2"])]


def test_when_nobody_knows_what_became_of_the_message_the_other_case_stays_covered(
    engine: Engine, tmp_path: Path
) -> None:
    class Dropped(Keeping):
        def send(self, message: Outbound) -> SendResult:
            super().send(message)
            raise AmbiguousSendError("timeout")

    carrier = Dropped()
    cases = open_cases(engine, tmp_path, TWO)
    activities = contact_activities(engine, carrier)
    assert contact(activities, cases["L1"]).status is AttemptStatus.UNKNOWN
    assert contact(activities, cases["L2"]).status is AttemptStatus.COVERED
    assert len(carrier.requests) == 1


def test_a_coverage_is_for_its_day_only(engine: Engine, tmp_path: Path) -> None:
    carrier = Keeping()
    cases = open_cases(engine, tmp_path, TWO)
    activities = contact_activities(engine, carrier)
    contact(activities, cases["L1"])
    assert contact(activities, cases["L2"], at=AT + timedelta(days=1)).status is AttemptStatus.SENT


def test_without_consolidation_each_account_has_its_own_message(engine: Engine, tmp_path: Path) -> None:
    carrier = Keeping()
    cases = open_cases(engine, tmp_path, TWO)
    activities = contact_activities(engine, carrier, consolidate=False)
    assert [contact(activities, cases[one]).status for one in ("L1", "L2")] == [AttemptStatus.SENT] * 2
