"""What came of calls, visits and legal work: the attempt that a person made, and what follows from it by itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from db.arrangements import PlanOrder
from db.consequences import FAN_OUT, Consequences
from db.contact_points import count_reached
from db.legal import Update, record_update
from db.outcomes import OutcomeRow, add_outcome, is_corrected, read_outcome, still_said
from db.record import append_event, append_events
from db.work import Item, read_item, settle
from domain.calendar import add_period
from domain.case import CaseState, Corrected, Happened, Outcome, Worked
from domain.codes import AttemptStatus, Channel, LegalStage, Reached
from domain.dispositions import Catalogue, Disposition
from domain.message import Message
from domain.messages import CorrectOutcome, RecordCallOutcome, RecordLegalUpdate, RecordVisitOutcome, WorkOutcome
from domain.state_events import Told
from domain.strategy import Strategy

__all__ = ["FAN_OUT"]
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


def where_it_went(connection: Connection, message: WorkOutcome) -> str | None:
    """Return the contact point of an outcome: as the message says, else where the item's call or visit was admitted to."""
    if message.contact_point is not None or message.work_item is None:
        return message.contact_point
    found = connection.exec_driver_sql(
        "SELECT contact_point_key FROM attempts WHERE item_key = %s AND dispatch > 0 ORDER BY key DESC LIMIT 1",
        (message.work_item,),
    )
    return found.scalar_one_or_none()


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
    catalogue: Catalogue
    promise: Callable[[PlanOrder], str | None]
    """Records the promise that an outcome tells; returns the key of the arrangement it became."""
    undialled: list[Undialled] = field(default_factory=list)

    def worked(self, message: _Outcome, at: datetime) -> list[Outcome]:
        """Record a call or a visit."""
        row, channel = self.catalogue.by_code[message.disposition], _channel_of(message)
        message = message.model_copy(update={"contact_point": where_it_went(self.connection, message)})
        item = None if message.work_item is None else read_item(self.connection, message.work_item)
        seq, is_first = self._settle(item, message, channel, at)
        attempt = self._attempt_of_work(item, message, channel, seq, at) if is_first else None
        if is_first:
            count_reached(self.connection, message.contact_point, int(message.party_reached is Reached.RIGHT_PARTY))
        followed = self._consequences.follow(row, message, at)
        add_outcome(
            self.connection,
            OutcomeRow(
                case_key=self.state.case_key,
                event_id=message.event_id,
                corrects=None,
                at=at,
                channel=channel,
                disposition=row.code,
                party_reached=message.party_reached,
                actor=message.actor,
                attempt_key=attempt,
                item_key=None if item is None else item.key,
                contact_point_key=message.contact_point,
                followed=followed,
            ),
            self.catalogue,
        )
        worked = self._worked(row, message, at, channel)
        worked = worked.model_copy(
            update={"item": None if item is None else item.key, "step": self._step_of(item), "seq": seq}
        )
        return [worked, *self._happened(row, at)]

    def correct(self, message: CorrectOutcome, at: datetime) -> list[Outcome]:
        """Record that an outcome was wrong: undo what followed from it, and let follow what it was."""
        was = read_outcome(self.connection, self.state.case_key, message.corrects)
        if was is None:
            return []
        said = still_said(self.connection, was)
        row, channel = self.catalogue.by_code[message.disposition], Channel(was.channel)
        told_again = message.contact_point or was.contact_point_key
        message = message.model_copy(update={"contact_point": told_again})
        self._consequences.undo(was.followed, message, at)
        followed = self._consequences.follow(row, message, at)
        step, try_no = self._correct_attempt(was, message)
        if was.attempt_key is not None:
            before, now_reached = (one == Reached.RIGHT_PARTY for one in (was.party_reached, message.party_reached))
            count_reached(self.connection, was.contact_point_key, int(now_reached) - int(before))
        add_outcome(
            self.connection,
            OutcomeRow(
                case_key=was.case_key,
                event_id=message.event_id,
                corrects=was.event_id,
                at=at,
                channel=channel,
                disposition=row.code,
                party_reached=message.party_reached,
                actor=message.actor,
                attempt_key=was.attempt_key,
                item_key=was.item_key,
                contact_point_key=told_again,
                followed=followed,
            ),
            self.catalogue,
        )
        body = {
            "corrects": was.event_id,
            "attempt": was.attempt_key,
            "was": was.disposition,
            "disposition": row.code,
            "party_reached": message.party_reached,
            "actor": message.actor,
        }
        append_event(self.connection, self.state.case_key, "corrected", at, body)
        now = self._worked(row, message, at, channel).model_copy(update={"step": step, "item": was.item_key})
        corrected = Corrected(
            was=was.disposition,
            was_right_party=was.party_reached == Reached.RIGHT_PARTY,
            still_said=said,
            was_at=was.at,
            try_no=try_no,
            promise=next((str(one["key"]) for one in was.followed if one["what"] == "promise"), None),
            now=now,
        )
        return [corrected, *self._happened(row, at)]

    @property
    def _consequences(self) -> Consequences:
        return Consequences(self.connection, self.state, self.debtor_key, self.tell, self.promise)

    def _worked(self, row: Disposition, message: WorkOutcome, at: datetime, channel: Channel) -> Worked:
        """Return what the catalogue makes of an outcome, for the ladder."""
        callback = getattr(message, "callback_at", None) if row.callback else None
        again_at = callback
        if row.retry_after is not None:
            again_at = add_period(at, row.retry_after, self.state.facts.zone or "UTC", self.state.facts.region)
        return Worked(
            item=None,
            step=None,
            seq=self.state.seq,
            channel=channel,
            disposition=row.code,
            right_party=message.party_reached is Reached.RIGHT_PARTY,
            at=at,
            not_before=callback,
            leaves=row.step == "next",
            again_at=again_at,
            appointed=callback is not None,
            closing=row.close,
        )

    @staticmethod
    def _happened(row: Disposition, at: datetime) -> list[Outcome]:
        return [] if row.happened is None else [Happened(event=row.happened, at=at)]

    def _correct_attempt(self, was: OutcomeRow, message: WorkOutcome) -> tuple[str | None, int]:
        """Let the list of attempts show what it was; return the step and the try it belongs to."""
        row = self.connection.exec_driver_sql(
            "UPDATE attempts SET outcome = %s, party_reached = %s, status = %s "
            "WHERE key = %s AND status IN ('failed', 'answered') RETURNING step, try_no",
            (
                message.disposition,
                message.party_reached,
                AttemptStatus.FAILED if message.party_reached is Reached.NO_ONE else AttemptStatus.ANSWERED,
                was.attempt_key,
            ),
        ).one_or_none()
        return (None, 1) if row is None else (row.step, row.try_no)

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
    ) -> str:
        """Write the attempt that a person made, about every account of the item; return its key."""
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
            "catalogue": self.catalogue.digest[:12],
            "actor": message.actor,
        }
        append_events(self.connection, "worked", at, [(case_key, body) for case_key in sorted(concerned)])
        return key

    def legal_update(self, message: RecordLegalUpdate, at: datetime, strategy: Strategy) -> list[Outcome]:
        """Record a stage of legal action; CannotBeError when it may not come now."""
        update = Update(
            stage=message.stage,
            actor=message.actor,
            at=at,
            event_id=message.event_id,
            on_day=message.on,
            limitation_on=message.limitation_on,
            document_ref=message.document_ref,
            cost=message.cost,
            currency=message.currency,
            reason=message.reason,
            note_ref=message.note_ref,
        )
        record_update(
            self.connection,
            update,
            account_key=self.state.account_key,
            case_key=self.state.case_key,
            strategy=strategy,
            logical=self.state.clock.is_logical,
        )
        happened = Happened(event=f"legal_{message.stage}", at=at)
        if message.stage is LegalStage.REVIEW:  # the item stays with whoever decides
            return [happened]
        item = None if message.work_item is None else read_item(self.connection, message.work_item)
        if item is not None:
            settle(self.connection, item.key, message.stage, {"event_id": message.event_id}, at)
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
            happened,
        ]


def refusal_of_outcome(connection: Connection, message: Message, case_key: str, catalogue: Catalogue) -> str | None:
    """Return why an outcome is refused: it is unknown, contradicts itself, or corrects what is not there."""
    if not isinstance(message, WorkOutcome):
        return None
    if not isinstance(message, CorrectOutcome):
        return catalogue.why_not(message, _channel_of(message))
    was = read_outcome(connection, case_key, message.corrects)
    if was is None:
        return "corrects: this case has no outcome of a call or visit with this event_id"
    if is_corrected(connection, was):
        return "corrects: was corrected already; name the event_id of the correction"
    return catalogue.why_not(message, Channel(was.channel))


def _channel_of(message: WorkOutcome) -> Channel:
    return Channel.VISIT if isinstance(message, RecordVisitOutcome) else Channel.CALL
