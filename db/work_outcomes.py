"""What came of calls, visits and legal work: the attempt that a person made, and what follows from it by itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from db.holds import HoldOrder, hold_case
from db.record import append_event, append_events
from db.work import Item, read_item, settle
from domain.calendar import start_of_day
from domain.case import CaseState, Happened, Outcome, Worked
from domain.codes import AttemptStatus, Channel, HoldReason, Reached
from domain.messages import RecordCallOutcome, RecordLegalUpdate, RecordVisitOutcome
from domain.state_events import Told, told_by_outcome

FAN_OUT = "#to/"
_BAD_POINT = frozenset({"invalid_number", "moved"})
_Outcome = RecordCallOutcome | RecordVisitOutcome


@dataclass(frozen=True, slots=True)
class Undialled:
    """An attempt that a person made without asking the gate first: it is judged afterwards."""

    attempt_key: str
    channel: Channel
    at: datetime
    visitors: int | None


def dialled_attempt(connection: Connection, item: Item) -> str | None:
    """Return the attempt that the gate admitted for this item and whose outcome is still open."""
    return connection.exec_driver_sql(
        "SELECT key FROM attempts WHERE item_key = %s AND status IN ('dispatching', 'unknown') ORDER BY key LIMIT 1",
        (item.key,),
    ).scalar_one_or_none()


def record_after_close(connection: Connection, item_key: str, message: _Outcome, at: datetime) -> str | None:
    """Record what came of an admitted attempt whose cases have all closed meanwhile; return its key, if there was one."""
    row = connection.exec_driver_sql(
        "UPDATE attempts SET status = %s, outcome = %s, party_reached = %s, duration_seconds = %s, sent_at = %s, "
        "recorded_at = %s WHERE item_key = %s AND status IN ('dispatching', 'unknown') RETURNING key, case_key, channel",
        (
            AttemptStatus.FAILED if message.party_reached is Reached.NO_ONE else AttemptStatus.ANSWERED,
            message.disposition,
            message.party_reached,
            getattr(message, "duration_seconds", None),
            at,
            at,
            item_key,
        ),
    ).one_or_none()
    if row is None:
        return None
    body = {
        "attempt": row.key,
        "channel": row.channel,
        "disposition": message.disposition,
        "party_reached": message.party_reached,
        "item": item_key,
        "actor": message.actor,
    }
    append_event(connection, row.case_key, "worked", at, body)
    return str(row.key)


def contact_point_of(connection: Connection, attempt_key: str) -> str:
    """Return where an attempt goes; empty when it went nowhere in particular."""
    found = connection.exec_driver_sql("SELECT contact_point_key FROM attempts WHERE key = %s", (attempt_key,))
    return found.scalar_one_or_none() or ""


def cases_spoken_of(connection: Connection, item_key: str) -> tuple[str, ...] | None:
    """Return the cases that the admitted attempt of an item may speak of; ``None`` when the gate was not asked."""
    keys = connection.exec_driver_sql(
        "SELECT x.case_key FROM attempts t JOIN attempt_accounts x ON x.attempt_key = t.key "
        "WHERE t.item_key = %s AND t.dispatch > 0 AND x.case_key IS NOT NULL ORDER BY x.case_key",
        (item_key,),
    ).scalars()
    return tuple(keys) or None


@dataclass(slots=True)
class WorkOutcomes:
    """Applies outcomes of work for one case. ``seq`` is the last number of an attempt that is taken."""

    connection: Connection
    state: CaseState
    debtor_key: str
    seq: int
    tell: Callable[[Told], None]
    """Records the state event that an outcome tells."""
    undialled: list[Undialled] = field(default_factory=list)

    def worked(self, message: _Outcome, at: datetime) -> list[Outcome]:
        """Record a call or a visit."""
        channel = Channel.CALL if isinstance(message, RecordCallOutcome) else Channel.VISIT
        item = None if message.work_item is None else read_item(self.connection, message.work_item)
        seq, is_first = self._settle(item, message, channel, at)
        if is_first:
            self._attempt_of_work(item, message, channel, seq, at)
        self._consequences(message, at)
        callback = message.callback_at if isinstance(message, RecordCallOutcome) else None
        return [
            Worked(
                item=None if item is None else item.key,
                step=self._step_of(item),
                seq=seq,
                channel=channel,
                disposition=message.disposition,
                right_party=message.party_reached is Reached.RIGHT_PARTY,
                at=at,
                not_before=callback,
            )
        ]

    def _settle(
        self,
        item: Item | None,
        message: _Outcome,
        channel: Channel,
        at: datetime,
    ) -> tuple[int, bool]:
        """Return the number of the attempt, and whether this message is the first word of it."""
        own = self.state.item
        waited_for = own is not None and item is not None and own.key == item.key
        if item is not None and item.status == "done" and self._is_fan_out(item, message.event_id):
            return (own.seq if waited_for and own is not None else self.state.seq), False
        still_open = item is not None and item.status in {"open", "claimed", "reported"}
        if waited_for and still_open and own is not None:
            number = own.seq
        else:
            self.seq += 1
            number = self.seq
        if item is not None:
            outcome = {
                "event_id": message.event_id,
                "party_reached": message.party_reached,
                "channel": channel,
                "visitors": getattr(message, "visitors", None),
            }
            settle(self.connection, item.key, message.disposition, outcome, at)
        return number, True

    @staticmethod
    def _is_fan_out(item: Item, event_id: str) -> bool:
        return item.event_id is not None and event_id.startswith(f"{item.event_id}{FAN_OUT}")

    def _step_of(self, item: Item | None) -> str | None:
        own = self.state.item
        return own.step if own is not None and item is not None and own.key == item.key else None

    def _attempt_of_work(
        self,
        item: Item | None,
        message: _Outcome,
        channel: Channel,
        seq: int,
        at: datetime,
    ) -> None:
        """Write the attempt that a person made, about every account of the item."""
        cases = () if item is None else item.cases
        dialled = None if item is None else dialled_attempt(self.connection, item)
        key = dialled or self.state.attempt_key(seq)
        if dialled is None:
            self.undialled.append(Undialled(key, channel, at, getattr(message, "visitors", None)))
        status = AttemptStatus.FAILED if message.party_reached is Reached.NO_ONE else AttemptStatus.ANSWERED
        self.connection.exec_driver_sql(
            "INSERT INTO attempts (key, case_key, seq, origin, purpose, step, pass_no, try_no, channel, party_key, "
            "contact_point_key, status, due_at, admitted_at, sent_at, recorded_at, provider, outcome, party_reached, "
            "duration_seconds) "
            "SELECT %(key)s, %(case)s, %(seq)s, %(origin)s, 'collect', %(step)s, %(pass)s, %(try)s, %(channel)s, %(party)s, "
            "(SELECT key FROM contact_points WHERE key = %(point)s), %(status)s, %(at)s, %(at)s, %(at)s, %(at)s, 'agent', "
            "%(outcome)s, %(reached)s, %(seconds)s ON CONFLICT (key) DO UPDATE SET status = excluded.status, "
            "contact_point_key = coalesce(excluded.contact_point_key, attempts.contact_point_key), "
            "party_key = coalesce(attempts.party_key, excluded.party_key), "
            "admitted_at = coalesce(attempts.admitted_at, excluded.admitted_at), sent_at = excluded.sent_at, "
            "recorded_at = excluded.recorded_at, provider = coalesce(attempts.provider, excluded.provider), outcome = excluded.outcome, "
            "party_reached = excluded.party_reached, duration_seconds = greatest(attempts.duration_seconds, excluded.duration_seconds) "
            "WHERE attempts.status IN ('deferred', 'dispatching', 'unknown')",
            {
                "key": key,
                "case": self.state.case_key,
                "seq": seq,
                "origin": "step" if self._step_of(item) is not None else "agent",
                "step": self._step_of(item),
                "pass": self.state.cursor.pass_no,
                "try": self.state.cursor.try_no,
                "channel": channel,
                "party": None if item is None else item.party_key,
                "point": message.contact_point,
                "status": status,
                "at": at,
                "outcome": message.disposition,
                "reached": message.party_reached,
                "seconds": getattr(message, "duration_seconds", None),
            },
        )
        concerned = {case.case_key: case.account_key for case in cases}
        concerned[self.state.case_key] = self.state.account_key
        for case_key, account_key in sorted(concerned.items()) if dialled is None else ():
            self.connection.exec_driver_sql(
                "INSERT INTO attempt_accounts (attempt_key, account_key, case_key) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (key, account_key, case_key),
            )
        body = {
            "attempt": key,
            "channel": channel,
            "disposition": message.disposition,
            "party_reached": message.party_reached,
            "item": None if item is None else item.key,
            "actor": message.actor,
        }
        append_events(self.connection, "worked", at, [(case_key, body) for case_key in sorted(concerned)])

    def _consequences(self, message: _Outcome, at: datetime) -> None:
        """Apply the holds, state events and contact points that follow from an outcome by themselves."""
        if message.disposition == "promise" and message.promised_on is not None:
            until = start_of_day(message.promised_on + timedelta(days=1), self.state.facts.zone or "UTC")
            self._hold(HoldReason.PROMISE, message, at, until)
        told = told_of(message, self.state.account_key, at)
        if told is not None:
            self.tell(told)
        if message.disposition in _BAD_POINT and message.contact_point is not None:
            self.connection.exec_driver_sql(
                "UPDATE contact_points SET state = 'invalid' WHERE key = %s", (message.contact_point,)
            )

    def _hold(self, reason: HoldReason, message: _Outcome, at: datetime, until: datetime) -> None:
        order = HoldOrder(
            account_key=self.state.account_key,
            debtor_key=self.debtor_key,
            reason=reason,
            from_at=at,
            event_id=f"{self.state.case_key}#{message.event_id}/{reason}",
            until_at=until,
            placed_by=message.actor,
        )
        hold_case(self.connection, self.state.case_key, order)

    def legal_update(self, message: RecordLegalUpdate, at: datetime) -> list[Outcome]:
        """Record a stage of legal action."""
        item = None if message.work_item is None else read_item(self.connection, message.work_item)
        body = {
            "stage": message.stage,
            "item": None if item is None else item.key,
            "document": message.document_ref,
            "cost": message.cost,
            "currency": message.currency,
        }
        if item is not None:
            settle(self.connection, item.key, message.stage, {"event_id": message.event_id}, at)
        append_event(self.connection, self.state.case_key, "legal", at, body)
        own = self.state.item
        return [
            Worked(
                item=None if item is None else item.key,
                step=self._step_of(item),
                seq=own.seq if own is not None and item is not None and own.key == item.key else self.state.seq,
                channel=Channel.LEGAL,
                disposition=message.stage,
                counts=False,
                at=at,
            ),
            Happened(event=f"legal_{message.stage}", at=at),
        ]


def told_of(message: _Outcome, account_key: str, at: datetime) -> Told | None:
    """Return the state event that an outcome tells, if any: the same for all cases that hear of one outcome."""
    return told_by_outcome(
        message.disposition,
        event_id=message.event_id.partition(FAN_OUT)[0],
        at=at,
        account_key=account_key,
        actor=message.actor,
        contact_point=message.contact_point,
    )
