"""What follows from an outcome by itself, and how it is undone when the outcome turns out to be wrong.

The catalogue says what follows; here it is done, and what was done is returned as a list that is kept with the outcome.
Undoing is more events, never an edit: a hold is released, a state event is ended, a number is valid again. The caller
holds the locks of all concerned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection

from db.arrangements import PlanOrder, cancel, promise_order
from db.holds import HoldOrder, hold_case, release_holds
from db.record import append_event
from domain.calendar import local_date, start_of_day
from domain.case import CaseState
from domain.codes import HoldReason
from domain.dispositions import Disposition, HandsOver
from domain.messages import WorkOutcome
from domain.state_events import MEANINGS, StateKind, StateScope, Told

FAN_OUT = "#to/"
"""Stands in the event id between an outcome and the case it was passed on to."""
Followed = dict[str, Any]
"""One thing that was done, as JSON: ``what`` (hold, event, point, item, promise) and how to find it again."""


def told_by(row: Disposition, message: WorkOutcome, account_key: str, at: datetime) -> Told | None:
    """Return the state event that an outcome tells: the same for all cases that hear of it, and none for most.

    What is told of a number needs one: a wrong number that nobody named tells nothing.
    """
    if row.tell is None:
        return None
    of_number = MEANINGS[row.tell.event].scope is StateScope.NUMBER
    if of_number and message.contact_point is None:
        return None
    form = {} if row.tell.form is None else {"form": row.tell.form}
    return Told(
        kind=row.tell.event,
        event_id=f"{message.event_id.partition(FAN_OUT)[0]}/{row.code}",
        at=at,
        account_key=account_key,
        actor=message.actor,
        source="agent",
        contact_point_key=message.contact_point if of_number else None,
        note_ref=message.note_ref,
        detail={**form, **row.tell.detail},
    )


def undone_by(followed: Sequence[Followed], message: WorkOutcome, account_key: str, at: datetime) -> list[Told]:
    """Return the ends of the state events that an outcome told."""
    return [
        Told(
            kind=StateKind.ENDED,
            event_id=f"{message.event_id.partition(FAN_OUT)[0]}/undo",
            at=at,
            account_key=account_key,
            actor=message.actor,
            source="agent",
            contact_point_key=one.get("point"),
            ends_event=one["event_id"],
            detail={"reason": "recorded_in_error"},
        )
        for one in followed
        if one["what"] == "event"
    ]


@dataclass(slots=True)
class Consequences:
    """Does and undoes what follows for one case."""

    connection: Connection
    state: CaseState
    debtor_key: str
    tell: Callable[[Told], None]
    promise: Callable[[PlanOrder], str | None]
    """Records a promise; returns the key of the arrangement it became, ``None`` if it became none."""

    def follow(self, row: Disposition, message: WorkOutcome, at: datetime) -> list[Followed]:
        """Do what follows, and say what was done."""
        done: list[Followed] = []
        if row.arrange is not None:
            done += self._arrange(message, at)
        if row.hold is not None:
            until = None if row.hold.days is None else self._days_after(at, row.hold.days)
            done += self._hold(row.hold.reason, message, at, until)
        told = told_by(row, message, self.state.account_key, at)
        if told is not None:
            self.tell(told)
            done.append(
                {"what": "event", "event_id": told.event_id, "kind": told.kind, "point": told.contact_point_key}
            )
        if row.point is not None and message.contact_point is not None:
            done += self._point(row.point, message, at)
        if row.hand is not None:
            done += self._hand(row.hand, message, at)
        return done

    def undo(self, followed: Sequence[Followed], message: WorkOutcome, at: datetime) -> None:
        """Undo what an outcome did, as far as it still stands."""
        for told in undone_by(followed, message, self.state.account_key, at):
            self.tell(told)
        for one in followed:
            match one["what"]:
                case "hold":
                    self._release(str(one["key"]), message.actor, at)
                case "promise":
                    self._disarrange(one, message, at)
                case "point":
                    self._set_point(str(one["key"]), str(one["was"]), str(one["now"]), message.actor, at)
                case "item":
                    self.connection.exec_driver_sql(
                        "UPDATE work_items SET status = 'cancelled', done_at = %s, disposition = 'recorded_in_error' "
                        "WHERE key = %s AND status IN ('open', 'claimed')",
                        (at, one["key"]),
                    )

    # --- arrangements -------------------------------------------------------------------------------------------

    def _arrange(self, message: WorkOutcome, at: datetime) -> list[Followed]:
        """Make an arrangement of one line of a promise to pay: outreach rests until the day after it.

        What is promised over several accounts at once is what is past due on each.
        """
        if message.promised_on is None:
            return []
        facts = self.state.facts
        amount = facts.past_due
        if message.amount is not None and message.currency == facts.currency and not self._is_shared(message):
            amount = min(message.amount, max(facts.balance, facts.past_due))
        order = promise_order(
            self.state,
            amount=amount,
            on=message.promised_on,
            event_id=f"{self.state.case_key}#{message.event_id}/promise",
            at=at,
            by=message.actor,
            note_ref=message.note_ref,
        )
        key = self.promise(order)
        return [] if key is None else [{"what": "promise", "key": key}]

    def _disarrange(self, one: Followed, message: WorkOutcome, at: datetime) -> None:
        """Take back a promise that was recorded in error."""
        account = self.state.account_key
        cancel(self.connection, str(one["key"]), account, by=message.actor, at=at, reason="recorded_in_error")

    def _is_shared(self, message: WorkOutcome) -> bool:
        if message.work_item is None:
            return False
        count = "SELECT count(*) FROM work_item_cases WHERE item_key = %s"
        return bool(self.connection.exec_driver_sql(count, (message.work_item,)).scalar_one() > 1)

    # --- holds, points, people ----------------------------------------------------------------------------------

    def _days_after(self, at: datetime, days: int) -> datetime:
        zone = self.state.facts.zone or "UTC"
        return start_of_day(local_date(at, zone) + timedelta(days=days), zone)

    def _hold(
        self,
        reason: HoldReason,
        message: WorkOutcome,
        at: datetime,
        until: datetime | None,
    ) -> list[Followed]:
        event_id = f"{self.state.case_key}#{message.event_id}/{reason}"
        order = HoldOrder(
            account_key=self.state.account_key,
            debtor_key=self.debtor_key,
            reason=reason,
            from_at=at,
            event_id=event_id,
            until_at=until,
            placed_by=message.actor,
            note_ref=message.note_ref,
        )
        hold_case(self.connection, self.state.case_key, order)
        key = self.connection.exec_driver_sql(
            "SELECT key FROM holds WHERE event_id = %s", (event_id,)
        ).scalar_one_or_none()
        return [] if key is None else [{"what": "hold", "key": key}]

    def _release(self, key: str, actor: str, at: datetime) -> None:
        keys = release_holds(
            self.connection,
            account_key=self.state.account_key,
            debtor_key=self.debtor_key,
            at=at,
            by=actor,
            key=key,
        )
        if keys:
            append_event(self.connection, self.state.case_key, "released", at, {"holds": list(keys), "actor": actor})

    def _point(self, learnt: Literal["valid", "invalid"], message: WorkOutcome, at: datetime) -> list[Followed]:
        """Keep what was learnt about where we called or went. A number that is out of use is not revived by this."""
        now = "confirmed" if learnt == "valid" else "invalid"
        before = ("unconfirmed",) if learnt == "valid" else ("unconfirmed", "confirmed")
        was = self.connection.exec_driver_sql(
            "SELECT state FROM contact_points WHERE key = %s", (message.contact_point,)
        ).scalar_one_or_none()
        if was not in before:
            return []
        self._set_point(str(message.contact_point), now, str(was), message.actor, at)
        return [{"what": "point", "key": message.contact_point, "was": was, "now": now}]

    def _set_point(self, key: str, state: str, before: str, actor: str, at: datetime) -> None:
        changed = self.connection.exec_driver_sql(
            "UPDATE contact_points SET state = %s WHERE key = %s AND state = %s RETURNING key", (state, key, before)
        ).one_or_none()
        if changed is not None:
            body = {"contact_point": key, "state": state, "actor": actor}
            append_event(self.connection, self.state.case_key, "contact_point", at, body)

    def _hand(self, hand: HandsOver, message: WorkOutcome, at: datetime) -> list[Followed]:
        """Ask a person to look; one open item for each case and reason."""
        held = self.connection.exec_driver_sql(
            "SELECT w.key FROM work_items w JOIN work_item_cases x ON x.item_key = w.key "
            "WHERE x.case_key = %s AND w.kind = %s AND w.reason = %s AND w.status IN ('open', 'claimed')",
            (self.state.case_key, hand.task, hand.reason),
        ).scalar()
        if held is not None:
            return []
        key = self.connection.exec_driver_sql(
            "INSERT INTO work_items (kind, party_key, creditor, collector, reason, skill, created_at, due_at, note_ref) "
            "SELECT %(kind)s, d.party_key, k.creditor, k.collector, %(reason)s, %(skill)s, %(at)s, %(at)s, %(note)s "
            "FROM cases k JOIN debtors d ON d.key = k.debtor_key WHERE k.key = %(case)s RETURNING key",
            {
                "kind": hand.task,
                "reason": hand.reason,
                "skill": hand.skill,
                "at": at,
                "note": message.note_ref,
                "case": self.state.case_key,
            },
        ).scalar_one()
        self.connection.exec_driver_sql(
            "INSERT INTO work_item_cases (item_key, case_key, asked_at) VALUES (%s, %s, %s)",
            (key, self.state.case_key, at),
        )
        body = {"item": key, "kind": hand.task, "step": None, "reason": hand.reason}
        append_event(self.connection, self.state.case_key, "asked", at, body)
        return [{"what": "item", "key": key}]
