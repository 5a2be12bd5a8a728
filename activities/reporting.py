"""Writes what a carrier said about an attempt, whether it called us or we looked: to the ledger, and on to the case.

The caller's transaction begins with ``lock_persons`` over what ``activities.aftermath.locks_of`` names.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from activities.aftermath import CARRIER, Mishap, Subject, follow
from activities.providers.reports import CarrierReport
from db.coverage import void_cover
from db.ledger import Receipt, record_duration, record_receipt
from db.signals import tell
from domain.clock import BusinessClock

MOMENT = timedelta(seconds=1)


def mishap_of(report: CarrierReport, at: datetime) -> Mishap | None:
    """Return what follows from a report besides the attempt's own state."""
    return None if report.kind is None else Mishap(report.kind, report.error_code or "unnamed", at)


def instant_of(subject: Subject, clock: BusinessClock, engine_at: datetime) -> datetime:
    """Return when a report counts: on a logical clock a moment after the dispatch, whatever the machine took."""
    if clock.is_logical and subject.admitted_at is not None:
        return subject.admitted_at + MOMENT
    return clock.business(engine_at)


def take_report(
    connection: Connection,
    subject: Subject,
    report: CarrierReport,
    mishap: Mishap | None,
    *,
    at: datetime,
    event_id: str,
    logical: bool,
    learnt_by: str | None = None,
) -> Receipt | None:
    """Write one report; return what it changed about the attempt. Safe to repeat, and in any order with others."""
    key, receipt = subject.attempt_key, None
    if report.status is not None:
        receipt = record_receipt(
            connection, key, report.status, at, report.provider_id or None, report.error_code, learnt_by=learnt_by
        )
    if receipt is not None and report.status == "failed":
        void_cover(connection, key)
    if report.seconds is not None:
        record_duration(connection, key, report.seconds)
    if mishap is not None:
        follow(connection, subject, mishap)
    if (receipt is not None and receipt.news) or mishap is not None:
        body = {"event_id": event_id, "attempt": key, "actor": CARRIER}
        tell(connection, [subject.case_key], "attempt_updated", body, at, logical=logical)
    return receipt
