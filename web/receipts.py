"""Applies what carriers report about attempts: many in one transaction, each once, in whatever order they came.

All concerned are locked by one sorted statement, so two batches never wait for each other in a circle. A report that
cannot be applied lets the others through: the batch is then taken apart.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, Engine

from activities.aftermath import Mishap, Subject, locks_of, subject_of
from activities.providers.errors import ErrorTable
from activities.providers.reports import CarrierReport, call_report, email_report, message_report
from activities.reporting import instant_of, mishap_of, take_report
from db.arrivals import Waiting, claim, refuse
from db.locks import lock_persons
from domain.clock import BusinessClock
from web.aside import Aside, at_once

MESSAGE_STATUS, CALL_STATUS, CALL_MACHINE, EMAIL_EVENT = "message_status", "call_status", "call_machine", "email_event"
NAMES = frozenset({MESSAGE_STATUS, CALL_STATUS, CALL_MACHINE, EMAIL_EVENT})
FRESH = timedelta(minutes=2)
"""How long after it was answered a call may still be moved to another part of the dialogue."""
_MACHINES = ("machine", "fax")

Redirect = Callable[[str, str, str], bool]
"""Moves a running call (provider id, attempt, stage); false when it has ended. Raises LookUpError."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Planned:
    """One report with what it is about and whom it concerns."""

    row: Waiting
    report: CarrierReport
    subject: Subject
    at: datetime
    mishap: Mishap | None


class Receipts:
    """Applies reports. ``redirect`` is there where calls are made; ``aside`` keeps it from holding up other reports."""

    def __init__(
        self, engine: Engine, errors: ErrorTable, redirect: Redirect | None = None, aside: Aside = at_once
    ) -> None:
        self._aside = aside
        self._engine = engine
        self._errors = errors
        self._redirect = redirect

    def apply(self, rows: Sequence[Waiting], clock: BusinessClock) -> None:
        """Apply reports in one transaction."""
        accounts, points, planned, lost = set[str](), set[str](), list[_Planned](), list[tuple[Waiting, str]]()
        with self._engine.connect() as connection:
            for row in rows:
                one = self._plan(connection, row, clock)
                if isinstance(one, str):
                    lost.append((row, one))
                    continue
                planned.append(one)
                more_accounts, more_points = locks_of(connection, one.subject, one.mishap)
                accounts |= more_accounts
                points |= more_points
        with self._engine.begin() as connection:
            lock_persons(connection, sorted(accounts), sorted(points))
            mine = claim(connection, [one.row.id for one in planned])
            for one in planned:
                if one.row.id in mine:
                    self._write(connection, one, clock)
            for row, reason in lost:
                refuse(connection, row.id, reason)
        for one in planned:
            if one.row.name == CALL_MACHINE and one.row.id in mine:
                self._aside(lambda one=one: self._move(one))  # type: ignore[misc] # mypy sees no default in a lambda

    def _plan(self, connection: Connection, row: Waiting, clock: BusinessClock) -> _Planned | str:
        """Read a report; a reason in a word when it cannot be about one of our attempts."""
        report = self._read(row)
        if report is None:
            return "meaningless"
        subject = subject_of(connection, report.attempt_key, report.provider_id)
        if subject is None:
            return "unknown_attempt"
        at = instant_of(subject, clock, row.at)
        return _Planned(row, report, subject, at, mishap_of(report, at))

    def _read(self, row: Waiting) -> CarrierReport | None:
        body = json.loads(row.body)
        match row.name:
            case "message_status":
                return message_report(body["attempt"], body["form"], self._errors)
            case "call_status":
                return call_report(body["attempt"], body["form"], self._errors)
            case "call_machine":
                return _machine_report(body["attempt"], body["form"])
            case _:
                return email_report(body, self._errors)

    def _write(self, connection: Connection, one: _Planned, clock: BusinessClock) -> None:
        take_report(
            connection,
            one.subject,
            one.report,
            one.mishap,
            at=one.at,
            event_id=f"web/{one.row.id}",
            logical=clock.is_logical,
        )

    def _move(self, one: _Planned) -> None:
        """Let a call that a machine has taken go on with the message for machines; too late is no harm."""
        form = json.loads(one.row.body)["form"]
        is_machine = str(form.get("AnsweredBy", "")).startswith(_MACHINES)
        if self._redirect is None or not is_machine or datetime.now(one.row.at.tzinfo) - one.row.at > FRESH:
            return
        try:
            self._redirect(one.report.provider_id, one.subject.attempt_key, "machine")
        except Exception as error:  # noqa: BLE001 - the dialogue tells nothing to a machine anyway
            log.warning("a call was not moved", kind=type(error).__name__, attempt=one.subject.attempt_key)


def _machine_report(attempt_key: str, form: dict[str, str]) -> CarrierReport | None:
    """Read who answered a call: a person is an answer; a machine changes nothing by itself."""
    sid, by = str(form.get("CallSid", "")), str(form.get("AnsweredBy", ""))
    if not sid or not by:
        return None
    status = "answered" if by == "human" else None
    return CarrierReport(attempt_key=attempt_key, provider_id=sid, status=status, once=f"{sid}/{by}")  # type: ignore[arg-type]
