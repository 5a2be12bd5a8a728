"""What a carrier's refusal leads to: the next contact point, a withdrawn consent, our own switches; once, whole."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.providers.base import Outbound, Rejected, RejectionKind, SendResult
from db.switches import SWITCHED_OFF, list_switches, release, switch_off, switch_on
from domain.case import CaseInput
from domain.codes import AttemptStatus
from tests.activities.cases import AT, contact, contact_activities, open_cases, row
from tests.workflows.conftest import CountingCarrier


class Refusing(CountingCarrier):
    """Refuses every message for one reason."""

    def __init__(self, kind: RejectionKind, code: str = "twilio_1") -> None:
        super().__init__()
        self._answer = Rejected(code, kind=kind)

    def send(self, message: Outbound) -> SendResult:
        self.requests.append(message.attempt_key)
        return self._answer


@pytest.fixture
def case(engine: Engine, tmp_path: Path) -> CaseInput:
    return open_cases(engine, tmp_path, row("L1", "K1"))["L1"]


Rows = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
def rows(engine: Engine) -> Rows:
    def read(query: str) -> list[tuple[object, ...]]:
        with engine.connect() as connection:
            return [tuple(one) for one in connection.exec_driver_sql(query)]

    return read


@pytest.mark.parametrize(
    ("kind", "query", "found"),
    [
        (RejectionKind.RECIPIENT, "SELECT state FROM contact_points", [("invalid",)]),
        (RejectionKind.CHANNEL_UNFIT, "SELECT state, unfit FROM contact_points", [("unconfirmed", ["sms"])]),
        (RejectionKind.OPT_OUT, "SELECT kind, source FROM state_events", [("opt_out", "carrier")]),
        (RejectionKind.CONTENT, "SELECT scope, name FROM switches", [("template", "payment-reminder")]),
        (RejectionKind.NOT_PERMITTED, "SELECT reason, skill FROM work_items", [("not_permitted:sms", "operations")]),
        (RejectionKind.OTHER, "SELECT reason, skill FROM work_items", [("refused:twilio_1", "operations")]),
        (RejectionKind.LATER, "SELECT 1 FROM work_items UNION SELECT 1 FROM switches", []),
    ],
)
def test_what_follows_from_a_refusal(
    engine: Engine, case: CaseInput, rows: Rows, kind: RejectionKind, query: str, found: list[tuple[object, ...]]
) -> None:
    activities = contact_activities(engine, Refusing(kind))
    assert contact(activities, case).status is AttemptStatus.FAILED
    assert contact(activities, case).status is AttemptStatus.FAILED
    assert rows(query) == found


def test_a_mistake_in_our_set_up_pauses_the_channel_and_loses_nothing(
    engine: Engine, case: CaseInput, rows: Rows
) -> None:
    carrier = Refusing(RejectionKind.CONFIGURATION)
    assert contact(contact_activities(engine, carrier), case).status is AttemptStatus.RETRYABLE
    working = CountingCarrier()
    later = contact(contact_activities(engine, working), case, at=AT + timedelta(hours=1))
    assert (later.status, later.rule_ids) == (AttemptStatus.DEFERRED, (SWITCHED_OFF,))
    assert working.requests == []
    assert rows("SELECT reason FROM work_items") == [("switched_off:channel:sms",)]
    with engine.begin() as connection:
        assert switch_on(connection, "channel", "sms", by="ops/1", at=AT)
        assert release(connection, "channel", "sms", AT) == [(case.state.case_key, "A000000001/1/1")]
    assert contact(contact_activities(engine, working), case, at=AT + timedelta(hours=1)).status is AttemptStatus.SENT
    assert working.requests == ["A000000001/1/1"]


@pytest.mark.parametrize(
    ("scope", "name", "stops"),
    [
        ("channel", "sms", True),
        ("template", "payment-reminder", True),
        ("creditor", "bank", True),
        ("channel", "email", False),
        ("creditor", "other", False),
    ],
)
def test_what_is_switched_off_is_not_sent_and_stays_due(
    engine: Engine, case: CaseInput, rows: Rows, scope: str, name: str, *, stops: bool
) -> None:
    carrier = CountingCarrier()
    activities = contact_activities(engine, carrier)
    with engine.begin() as connection:
        assert switch_off(connection, scope, name, reason="test", by="ops/1", at=AT)  # type: ignore[arg-type]
        assert not switch_off(connection, scope, name, reason="again", by="ops/2", at=AT)  # type: ignore[arg-type]
        assert [(one.reason, one.off_by) for one in list_switches(connection)] == [("test", "ops/1")]
    report = contact(activities, case)
    assert (report.status is AttemptStatus.DEFERRED) is stops
    assert len(carrier.requests) == int(not stops)
    if stops:
        reasons = rows("SELECT reasons -> 0 ->> 'rule', reasons -> 0 ->> 'said' FROM decisions")
        assert reasons == [(SWITCHED_OFF, f"{scope}:{name}")]


def test_a_number_that_takes_no_texts_may_still_be_called(engine: Engine, case: CaseInput, rows: Rows) -> None:
    contact(contact_activities(engine, Refusing(RejectionKind.CHANNEL_UNFIT)), case)
    carrier = CountingCarrier()
    again = contact(contact_activities(engine, carrier), case, seq=2)
    assert (again.status, again.rule_ids) == (AttemptStatus.REFUSED, ("core.no-contact-point",))
    assert rows("SELECT state FROM contact_points") == [("unconfirmed",)]
