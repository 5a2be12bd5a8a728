"""The table of errors: every row of it, through the SDKs over HTTP and through callbacks."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.providers.base import AmbiguousSendError, NotProcessed, Rejected, RejectionKind
from activities.providers.egress import server_wait
from activities.providers.errors import CodeRow, ErrorTable, ErrorTableError, EventRow, FieldRow, Treat
from activities.providers.reports import CarrierReport, call_report, email_report, message_report
from domain.codes import Channel
from tests.fakes.client import FakeClient
from tests.providers.conftest import CREATE, ERRORS, KEY, MAKERS, PERSON, message

ROWS = [(code, row) for row in ERRORS.content.twilio for code in row.codes]


def _check(result: object, treat: Treat, row: CodeRow | FieldRow) -> None:
    if treat is Treat.NEVER_PROCESSED:
        assert isinstance(result, NotProcessed)
        assert row.wait_seconds is not None
        assert timedelta(seconds=row.wait_seconds) <= result.retry_after
        return
    assert isinstance(result, Rejected)
    assert result.kind is RejectionKind(treat)
    assert result.bad_contact_point is (treat is Treat.RECIPIENT)
    assert result.consent_withdrawn is (treat is Treat.OPT_OUT)


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
@pytest.mark.parametrize(
    ("code", "row"), [one for one in ROWS if one[1].arrives != "async"], ids=lambda one: str(one)[:6]
)
def test_every_code_that_answers_a_request_is_treated_as_the_table_says(
    fake: FakeClient, channel: Channel, code: int, row: CodeRow
) -> None:
    status = {Treat.NEVER_PROCESSED: 429, Treat.AMBIGUOUS: 500}.get(row.treat, 400)
    for answered in {status, 400}:
        fake.fault("answer", CREATE[channel], status=answered, code=code)
        if row.treat is Treat.AMBIGUOUS:
            with pytest.raises(AmbiguousSendError):
                MAKERS[channel](fake.url).send(message(channel))
        else:
            result = MAKERS[channel](fake.url).send(message(channel))
            _check(result, row.treat, row)
            assert getattr(result, "code", "") == f"twilio_{code}"


@pytest.mark.parametrize(
    ("code", "row"), [one for one in ROWS if one[1].arrives != "sync"], ids=lambda one: str(one)[:6]
)
def test_every_code_that_a_callback_reports_is_treated_as_the_table_says(code: int, row: CodeRow) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": str(code)}
    report = message_report(KEY, form, ERRORS)
    assert report is not None
    assert (report.status, report.error_code) == ("undelivered", f"twilio_{code}")
    assert report.kind is RejectionKind(row.treat)
    assert report.wait == (None if row.wait_seconds is None else timedelta(seconds=row.wait_seconds))


def _statuses() -> Iterator[tuple[int, Treat]]:
    http = ERRORS.content.http
    seen: set[int] = set()
    for row in (*http.first, *http.last):
        for text in row.statuses:
            status = int(text.replace("xx", "99" if text[0] != "3" else "07"))
            if status not in seen:
                seen.add(status)
                yield status, row.treat


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.EMAIL])
@pytest.mark.parametrize(("status", "treat"), list(_statuses()))
def test_every_status_without_a_known_code_is_treated_as_the_table_says(
    fake: FakeClient, channel: Channel, status: int, treat: Treat
) -> None:
    fake.fault("answer", CREATE[channel], status=status, html=True)
    provider = MAKERS[channel](fake.url)
    if treat is Treat.AMBIGUOUS:
        with pytest.raises(AmbiguousSendError, match=f"http_{status}"):
            provider.send(message(channel))
        return
    result = provider.send(message(channel))
    assert getattr(result, "code", "") == f"http_{status}"
    if treat is Treat.NEVER_PROCESSED:
        assert isinstance(result, NotProcessed)
    else:
        assert isinstance(result, Rejected)
        assert result.kind is RejectionKind(treat)


@pytest.mark.parametrize(
    "field", ["personalizations.0.to.0.email", "from.email", "subject", "content.0.value", "nothing"]
)
def test_the_field_that_an_email_answer_names_decides(fake: FakeClient, field: str) -> None:
    fake.fault("answer", "mail.send", status=400, field=field, message=f"bad {PERSON}")
    result = MAKERS[Channel.EMAIL](fake.url).send(message(Channel.EMAIL))
    expected = {
        "personalizations.0.to.0.email": RejectionKind.RECIPIENT,
        "from.email": RejectionKind.CONFIGURATION,
        "nothing": RejectionKind.OTHER,
    }.get(field, RejectionKind.CONTENT)
    assert isinstance(result, Rejected)
    assert result.kind is expected


@pytest.mark.parametrize("row", ERRORS.content.sendgrid.events, ids=lambda row: f"{row.event}-{row.reason}")
def test_every_email_event_that_means_something_is_treated_as_the_table_says(row: EventRow) -> None:
    event = {"event": row.event, "type": row.type, "reason": f"x {row.reason.upper()} y {PERSON}", "attempt": KEY}
    report = email_report({**event, "sg_message_id": "abc.filter1", "timestamp": 1_790_000_000}, ERRORS)
    assert report is not None
    assert (report.kind, report.attempt_key, report.provider_id) == (RejectionKind(row.treat), KEY, "abc")
    assert PERSON not in repr(report)


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("accepted", "sent"),
        ("queued", "sent"),
        ("sending", "sent"),
        ("sent", "sent"),
        ("delivered", "delivered"),
        ("read", "delivered"),
        ("undelivered", "undelivered"),
        ("failed", "failed"),
        ("canceled", "failed"),
        ("something new", None),
    ],
)
def test_states_of_a_text_message(told: str, status: str | None) -> None:
    report = message_report(KEY, {"MessageSid": "SM1", "MessageStatus": told, "New": "field"}, ERRORS)
    assert (None if report is None else report.status) == status
    assert report is None or report.once == f"SM1/{told}"


@pytest.mark.parametrize(
    ("told", "by", "status"),
    [
        ("initiated", None, "sent"),
        ("ringing", None, "sent"),
        ("in-progress", "human", "sent"),
        ("completed", "human", "answered"),
        ("completed", "machine_end_beep", "delivered"),
        ("completed", "unknown", "delivered"),
        ("completed", None, "delivered"),
        ("busy", None, "undelivered"),
        ("no-answer", None, "undelivered"),
        ("failed", None, "failed"),
        ("canceled", None, "failed"),
    ],
)
def test_states_of_a_call_and_only_a_person_answers(told: str, by: str | None, status: str) -> None:
    form = {"CallSid": "CA1", "CallStatus": told, "Timestamp": "Tue, 03 Mar 2026 15:00:00 +0000"}
    report = call_report(KEY, form if by is None else {**form, "AnsweredBy": by}, ERRORS)
    assert report is not None
    assert (report.status, report.at) == (status, datetime(2026, 3, 3, 15, tzinfo=UTC))


@pytest.mark.parametrize("nonsense", [None, 7, "x", [], {}, {"event": 5, "sg_message_id": []}, {"event": "open"}])
def test_what_is_no_event_is_no_report(nonsense: object) -> None:
    assert email_report(nonsense, ERRORS) is None


def test_an_error_code_that_is_no_number_is_left_out() -> None:
    for code in ("", "x", "9" * 30, "²"):
        report = message_report(KEY, {"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": code}, ERRORS)
        assert report == CarrierReport(KEY, "SM1", "failed", "SM1/failed", error_code="failed")


def test_a_batch_that_comes_again_under_new_event_ids_has_the_same_names() -> None:
    event = {"event": "delivered", "sg_message_id": "abc.x", "timestamp": 1_790_000_000, "attempt": KEY}
    first, second = (email_report({**event, "sg_event_id": name}, ERRORS) for name in "12")
    assert first == second


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12"}, 12),
        ({"Retry-After": "Tue, 03 Mar 2026 15:00:30 GMT", "Date": "Tue, 03 Mar 2026 15:00:00 GMT"}, 30),
        ({"Retry-After": "Tue, 03 Mar 2026 14:00:00 GMT", "Date": "Tue, 03 Mar 2026 15:00:00 GMT"}, 0),
        ({"X-RateLimit-Reset": "1772550030", "Date": "Tue, 03 Mar 2026 15:00:00 GMT"}, 30),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 30}, 86_400),
        ({}, None),
    ],
)
def test_the_wait_a_server_asks_for(headers: dict[str, str], seconds: int | None) -> None:
    assert server_wait(headers) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"treat": "later"}, "need wait_seconds"),
        ({"treat": "ambiguous", "arrives": "async"}, "never ambiguous"),
        ({"treat": "whatever"}, "should be"),
        ({"codes": [1, 1]}, "stands twice"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    row = {"codes": [1], "arrives": "sync", "treat": "content", "note": "x", **change}
    content = {
        "version": 1,
        "http": {"first": [], "last": []},
        "twilio": [row],
        "sendgrid": {"fields": [], "events": []},
    }
    path = tmp_path / "errors.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ErrorTableError, match=reason):
        ErrorTable.load(path)
