"""What callbacks say about an attempt, in our words. Pure: reads what came, decides nothing about the ledger.

Callbacks come late, twice, in any order and with fields nobody announced. Each is read on its own; that a later one
must not undo an earlier one is for the ledger to see, which keeps final reports and takes each
(provider id, status) once. A report never holds an address or a text of the provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from activities.providers.base import RejectionKind
from activities.providers.errors import ErrorTable
from activities.providers.sendgrid import ATTEMPT_ARG

ReportStatus = Literal["sent", "delivered", "answered", "undelivered", "failed"]

_MESSAGE: dict[str, ReportStatus] = {
    "accepted": "sent",
    "scheduled": "sent",
    "queued": "sent",
    "sending": "sent",
    "sent": "sent",
    "delivered": "delivered",
    "partially_delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
    "canceled": "failed",
}
_CALL: dict[str, ReportStatus] = {
    "queued": "sent",
    "initiated": "sent",
    "ringing": "sent",
    "in-progress": "sent",
    "completed": "delivered",
    "busy": "undelivered",
    "no-answer": "undelivered",
    "failed": "failed",
    "canceled": "failed",
}
_EMAIL: dict[str, ReportStatus] = {
    "processed": "sent",
    "deferred": "sent",
    "delivered": "delivered",
    "bounce": "undelivered",
    "dropped": "failed",
}
_SIGNS = frozenset({"open", "click"})
_MESSAGES = frozenset({"spamreport", "unsubscribe", "group_unsubscribe", "group_resubscribe"})


@dataclass(frozen=True, slots=True)
class CarrierReport:
    """One thing a carrier said about one attempt.

    ``status`` is for ``db.ledger.record_receipt``; ``None`` when the attempt itself has not changed (a spam report, an
    unsubscription). ``once`` names the report: a second one with the same name says nothing new. ``kind`` is set when
    something follows, as for a refusal at once; ``wait`` with the kind ``later``. ``attempt_key`` is empty when the
    callback does not carry it; then ``provider_id`` finds the attempt.
    """

    attempt_key: str
    provider_id: str
    status: ReportStatus | None
    once: str
    error_code: str | None = None
    kind: RejectionKind | None = None
    wait: timedelta | None = None
    at: datetime | None = None
    """When the carrier says it happened; Twilio's text messages do not say."""
    seconds: int | None = None
    """How long a call lasted, where it has ended."""


def message_report(attempt_key: str, form: Mapping[str, str], errors: ErrorTable) -> CarrierReport | None:
    """Read a status callback of a text message; ``None``: a status that is new to us."""
    sid, told = form.get("MessageSid") or form.get("SmsSid", ""), form.get("MessageStatus") or form.get("SmsStatus", "")
    status = _MESSAGE.get(told)
    if not sid or status is None:
        return None
    return _twilio(attempt_key, sid, told, status, form, errors)


def call_report(attempt_key: str, form: Mapping[str, str], errors: ErrorTable) -> CarrierReport | None:
    """Read a status callback of a call. ``answered`` is said only when a person, not a machine, took it."""
    sid, told = form.get("CallSid", ""), form.get("CallStatus", "")
    status = _CALL.get(told)
    if not sid or status is None:
        return None
    if told == "completed" and form.get("AnsweredBy") == "human":
        status = "answered"
    report = _twilio(attempt_key, sid, told, status, form, errors)
    return replace(report, seconds=_seconds(form.get("CallDuration", "")) if told == "completed" else None)


def _seconds(digits: str) -> int | None:
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 5 else None


def _twilio(
    attempt_key: str, sid: str, told: str, status: ReportStatus, form: Mapping[str, str], errors: ErrorTable
) -> CarrierReport:
    digits = form.get("ErrorCode", "")
    code = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 6 else None
    judged = None if code is None else errors.twilio_report(code)
    bad = status in {"undelivered", "failed"}
    return CarrierReport(
        attempt_key=attempt_key,
        provider_id=sid,
        status=status,
        once=f"{sid}/{told}",
        error_code=f"twilio_{code}" if code is not None else (told if bad else None),
        kind=None if judged is None else judged.kind,
        wait=None if judged is None else judged.wait,
        at=_moment(form.get("Timestamp")),
    )


def email_report(event: object, errors: ErrorTable) -> CarrierReport | None:
    """Read one element of a batch of events; ``None``: not an event, one that is new to us, or a mere sign of life.

    Opens and clicks come from scanners as well as from people, so they prove nothing and are left out.
    """
    if not isinstance(event, dict):
        return None
    told, sid = _text(event, "event"), _text(event, "sg_message_id")
    if not sid or told in _SIGNS or not (told in _EMAIL or told in _MESSAGES):
        return None
    moment, provider_id = event.get("timestamp"), sid.split(".", 1)[0]
    judged = errors.sendgrid_event(told, _text(event, "type") or None, _text(event, "reason"))
    seconds = moment if isinstance(moment, int) and 0 < moment < 32_503_680_000 else None
    return CarrierReport(
        attempt_key=_text(event, ATTEMPT_ARG),
        provider_id=provider_id,
        status=_EMAIL.get(told),
        # Not the event's own id alone: a batch delivered again has been seen to carry new ones.
        once=f"{provider_id}/{told}/{seconds}",
        error_code=None if judged is None else f"sendgrid_{told}_{judged.kind}",
        kind=None if judged is None else judged.kind,
        wait=None if judged is None else judged.wait,
        at=None if seconds is None else datetime.fromtimestamp(seconds, UTC),
    )


def _text(event: dict[Any, Any], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


def _moment(text: str | None) -> datetime | None:
    """Read an instant of RFC 2822, as calls carry it."""
    try:
        found = None if text is None else parsedate_to_datetime(text)
    except ValueError:
        return None
    return None if found is None or found.tzinfo is None else found
