"""What carriers report: in any order, repeatedly, early, with strange company; the end is the same, and nothing is lost."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine

from activities.providers.base import AmbiguousSendError, Outbound, SendResult
from domain.case import CaseInput
from domain.codes import AttemptStatus
from tests.activities.cases import contact, contact_activities
from tests.web.house import House, message_form, open_house
from tests.workflows.conftest import CountingCarrier

STATUS = "/twilio/message-status"
REPORTS = (
    message_form("SM1", "queued"),
    message_form("SM1", "sent"),
    message_form("SM1", "undelivered", ErrorCode="30003"),
    message_form("SM1", "delivered"),
)


def _end(house: House) -> tuple[Any, ...]:
    return house.rows("SELECT status, error_code, provider_id FROM attempts ORDER BY key")[0]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::3])
def test_any_order_of_reports_ends_the_same(house: House, attempt: str, order: tuple[int, ...]) -> None:
    for number in order:
        assert house.twilio(STATUS, REPORTS[number], attempt=attempt).status == 204
        house.apply()
    assert _end(house) == ("undelivered", "twilio_30003", f"C-{attempt}")


def test_reports_of_one_batch_end_as_one_by_one(house: House, attempt: str) -> None:
    for form in (*REPORTS, *reversed(REPORTS)):
        house.twilio(STATUS, form, attempt=attempt)
    house.apply()
    assert _end(house)[:2] == ("undelivered", "twilio_30003")
    assert house.one("SELECT count(*) FROM inbox WHERE source = 'web/twilio'") == 4
    assert house.counters.counted("repeated") == 4


def test_a_case_is_told_once_and_only_what_it_could_not_expect(house: House, attempt: str) -> None:
    house.twilio(STATUS, message_form("SM1", "delivered"), attempt=attempt)
    house.apply()
    assert house.rows("SELECT name FROM signals") == []
    house.twilio(STATUS, message_form("SM1", "undelivered", ErrorCode="30005"), attempt=attempt)
    house.apply()
    house.apply()
    told = house.rows("SELECT case_key, name, body ->> 'attempt', status FROM signals")
    assert told == [("A000000001/1", "attempt_updated", attempt, "waiting")]
    assert house.one("SELECT state FROM contact_points WHERE kind = 'phone'") == "invalid"


def test_a_report_that_overtakes_the_answer_to_our_own_request_is_kept(
    engine: Engine, house: House, case: CaseInput
) -> None:
    class Overtaken(CountingCarrier):
        def send(self, message: Outbound) -> SendResult:
            house.twilio(STATUS, message_form("SM9", "delivered"), attempt=message.attempt_key)
            house.apply()
            return super().send(message)

    report = contact(contact_activities(engine, Overtaken()), case)
    assert report.status is AttemptStatus.DELIVERED
    assert _end(house)[0] == "delivered"


def test_a_lost_answer_is_found_by_its_report(engine: Engine, house: House, case: CaseInput) -> None:
    class Lost(CountingCarrier):
        def send(self, message: Outbound) -> SendResult:
            self.requests.append(message.attempt_key)
            raise AmbiguousSendError("timeout")

    assert contact(contact_activities(engine, Lost()), case).status is AttemptStatus.UNKNOWN
    house.twilio(STATUS, message_form("SM7", "sent"), attempt="A000000001/1/1")
    house.apply()
    assert _end(house) == ("sent", "timeout", "SM7")
    assert house.rows("SELECT body ->> 'attempt' FROM signals") == [("A000000001/1/1",)]


def test_unknown_fields_states_and_attempts_harm_nobody(house: House, attempt: str) -> None:
    forms = [
        (message_form("SM1", "delivered", Brand="New", Körper="ü"), attempt),
        (message_form("SM2", "teleported"), attempt),
        (message_form("SM3", "delivered"), "A999999999/1/1"),
        ({"MessageStatus": "delivered"}, attempt),
        ({}, attempt),
        (message_form("SM4", "delivered\x00\ud7ff"), "\x00"),
    ]
    assert [house.twilio(STATUS, form, attempt=key).status for form, key in forms] == [204] * len(forms)
    house.apply()
    assert _end(house)[0] == "delivered"
    kept = dict(house.rows("SELECT coalesce(refusal, status), count(*) FROM inbox GROUP BY 1"))
    assert kept == {"applied": 1, "meaningless": 4, "unknown_attempt": 1}


def _event(attempt: str, event: str, **more: object) -> dict[str, object]:
    head = {"email": "pat.doe@example.org", "timestamp": 1_772_550_000, "sg_message_id": "m1.filter"}
    return {**head, "attempt": attempt, "event": event, "sg_event_id": f"e-{event}", **more}


def test_one_bad_element_spoils_no_batch_and_a_batch_may_come_again(house: House, attempt: str) -> None:
    batch: list[Any] = [
        None, 7, "text", [], {}, {"event": "delivered"}, {"event": "delivered", "sg_message_id": 3},
        _event(attempt, "open"), _event(attempt, "brand-new"), {"a": "\x00\ud800"},
        _event(attempt, "processed"), _event(attempt, "delivered"),
    ]  # fmt: skip
    assert house.sendgrid(batch).status == 204
    again = [{**one, "sg_event_id": "other"} if isinstance(one, dict) else one for one in batch]
    assert house.sendgrid(again).status == 204
    house.apply()
    assert _end(house)[0] == "delivered"
    assert house.one("SELECT count(*) FROM inbox WHERE status = 'applied'") == 2
    assert house.one("SELECT count(*) FROM case_events WHERE kind = 'receipt'") == 1


def test_a_bounce_after_delivery_counts_and_spam_reports_withdraw_consent(house: House, attempt: str) -> None:
    house.sendgrid([_event(attempt, "delivered"), _event(attempt, "bounce", type="bounce", reason="550 5.1.1 unknown")])
    house.apply()
    assert _end(house)[0] == "undelivered"
    house.sendgrid([_event(attempt, "spamreport")])
    house.apply()
    assert house.rows("SELECT kind, source FROM state_events") == [("opt_out", "carrier")]


@pytest.mark.parametrize("raw", [b"", b"{}", b"null", b"[", b"\xff\x00", b"[" * 5000, b'"' + b"x" * 100 + b'"'])
def test_what_is_no_batch_is_kept_and_not_asked_for_again(house: House, raw: bytes) -> None:
    assert house.sendgrid(None, raw=raw).status == 204
    assert house.rows("SELECT status FROM inbox") == [("refused",)]


def test_a_row_that_cannot_be_applied_waits_and_the_others_go_on(house: House, attempt: str) -> None:
    house.run(
        "INSERT INTO inbox (source, external_id, name, body, received_at) "
        "VALUES ('web/twilio', 'x', 'message_status', 'no json', now())"
    )
    house.twilio(STATUS, message_form("SM1", "delivered"), attempt=attempt)
    house.apply()
    assert _end(house)[0] == "delivered"
    assert house.rows("SELECT tries, status FROM inbox WHERE external_id = 'x'") == [(1, "received")]


def test_the_same_reports_at_once_from_many_sides_are_one(engine: Engine, house: House, attempt: str) -> None:
    def knock(number: int) -> int:
        return house.twilio(STATUS, REPORTS[number % 4], attempt=attempt).status

    with open_house(engine) as other, ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(knock, range(64)))
        applying = [pool.submit(one.apply) for one in (house, other, house, other)]
        for one in applying:
            one.result()
    assert set(statuses) == {204}
    assert _end(house)[0] == "undelivered"
    assert house.one("SELECT count(*) FROM inbox WHERE source = 'web/twilio'") == 4
    assert house.one("SELECT count(*) FROM signals") == 1


def test_a_database_that_does_not_answer_is_no_acknowledgement(engine: Engine, house: House, attempt: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(house.twilio, STATUS, REPORTS[1], attempt=attempt)
            with pytest.raises(TimeoutError):
                pending.result(0.5)
            connection.rollback()
            assert pending.result(10).status == 204
    assert house.one("SELECT count(*) FROM inbox WHERE source = 'web/twilio'") == 1
