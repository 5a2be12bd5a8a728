"""Looks up at its provider what became of an attempt whose answer was lost, until it is known or nothing can tell.

Callbacks come first; this is for what they leave. The first look is when nobody can be sending any more, the next ones
wait twice as long each time. What the list knows is adopted as if a callback had said it. After ``ENDS_AFTER`` neither
a list nor a callback is to be expected: the attempt stays unknown, counts as a contact, and operations are told.
Nothing is ever sent from here.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from activities.aftermath import locks_of, subject_of, tell_operations
from activities.contact import MARGIN, SEND_WITHIN
from activities.providers.base import Accepted, LookUpError, Provider
from activities.providers.errors import ErrorTable
from activities.providers.reports import CarrierReport, call_report, message_report
from activities.reporting import instant_of, mishap_of, take_report
from db.locks import lock_persons
from db.look_ups import Unresolved, end_look_ups, name_unknown, take_unresolved
from db.settings import read_clock
from db.signals import tell
from domain.codes import AttemptStatus, Channel

ENDS_AFTER = timedelta(hours=96)
"""SendGrid tries a mailbox for three days and repeats an event for one more; Twilio drops a text after ten hours at
most, and lists it for months: what is not in its list by then never was."""
ABANDONED = timedelta(minutes=5)
"""How long an attempt may stay in flight after it is settled before somebody else than its own case looks."""
BEFORE = timedelta(minutes=1)
AT_ONCE = 50
BY_LIST = "list"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ends:
    """When looking up ends, and when an attempt in flight counts as abandoned."""

    after: timedelta = ENDS_AFTER
    abandoned: timedelta = ABANDONED


class LookUps:
    """Looks up what is unknown. Several processes may: each attempt is taken by one of them."""

    def __init__(
        self,
        engine: Engine,
        providers: Mapping[Channel, Provider],
        errors: ErrorTable,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        ends: Ends | None = None,
    ) -> None:
        """``now`` is the wall clock, which the providers' lists go by."""
        self._engine = engine
        self._providers = providers
        self._errors = errors
        self._now = now
        self._ends = ends or Ends()

    def look_some(self) -> Counter[str]:
        """Look up what is due, a bounded number; return what became of them by name.

        A provider whose list does not answer is left alone for the rest of the turn.
        """
        now = self._now()
        with self._engine.begin() as connection:
            taken = take_unresolved(
                connection,
                now=now,
                settled={one.name: now - _in_flight(one) for one in self._providers.values()},
                channels=list(self._providers),
                abandoned=self._ends.abandoned,
                over=now - self._ends.after,
                most=AT_ONCE,
            )
        results, silent = Counter[str](), set[str]()
        for one in taken:
            results[self._look(one, silent)] += 1
        return results

    def _look(self, one: Unresolved, silent: set[str]) -> str:
        provider = self._providers[Channel(one.channel)]
        code, found = "no_trace", None
        if provider.name != one.provider:
            code = "other_provider"
        elif provider.name in silent:
            code = "list_silent"
        else:
            try:
                found = provider.find(one.key, one.recipient, one.engine_admitted_at - BEFORE)
            except LookUpError as error:
                code = str(error)
                silent.add(provider.name)
                log.warning("a provider's list does not answer", provider=provider.name, code=code)
        if found is not None and self._adopt(one, found):
            return "adopted"
        return self._left_unknown(one, code)

    def _adopt(self, one: Unresolved, found: Accepted) -> bool:
        """Take over what the list says, under the locks of all concerned; false when it is another attempt's."""
        report = self._report_of(one, found)
        with self._engine.connect() as connection:
            subject, clock = subject_of(connection, one.key), read_clock(connection)
            if subject is None:
                return False
            at = instant_of(subject, clock, self._now())
            mishap = mishap_of(report, at)
            accounts, points = locks_of(connection, subject, mishap)
        try:
            with self._engine.begin() as connection:
                lock_persons(connection, sorted(accounts), sorted(points))
                take_report(
                    connection,
                    subject,
                    report,
                    mishap,
                    at=at,
                    event_id=f"look-up/{one.key}/{one.look_ups}",
                    logical=clock.is_logical,
                    learnt_by=BY_LIST,
                )
        except IntegrityError:
            return False
        return True

    def _report_of(self, one: Unresolved, found: Accepted) -> CarrierReport:
        read = call_report if "CallSid" in found.told else message_report
        report = read(one.key, found.told, self._errors) if found.told else None
        return report or CarrierReport(one.key, found.provider_id, "sent", f"{found.provider_id}/listed")

    def _left_unknown(self, one: Unresolved, code: str) -> str:
        over = self._now() - one.engine_admitted_at >= self._ends.after
        if one.status is not AttemptStatus.DISPATCHING and not over:
            return code
        with self._engine.connect() as connection:
            subject, clock = subject_of(connection, one.key), read_clock(connection)
        if subject is None:
            return "gone"
        at = instant_of(subject, clock, self._now())
        with self._engine.begin() as connection:
            lock_persons(connection, sorted(locks_of(connection, subject, None)[0]))
            if name_unknown(connection, one, at, code):
                _tell_case(connection, one, at, logical=clock.is_logical)
                return "named_unknown"
            if over and end_look_ups(connection, one, at, code):
                tell_operations(connection, f"unknown_outcome:{one.channel}", one.key, at)
                return "ended"
        return code


def _in_flight(provider: Provider) -> timedelta:
    """Return how long after its admission somebody may still be sending an attempt."""
    return timedelta(seconds=SEND_WITHIN + provider.timeout_seconds + MARGIN)


def _tell_case(connection: Connection, one: Unresolved, at: datetime, *, logical: bool) -> None:
    body = {"event_id": f"look-up/{one.key}/{one.look_ups}", "attempt": one.key, "actor": "system"}
    tell(connection, [one.case_key], "attempt_updated", body, at, logical=logical)
