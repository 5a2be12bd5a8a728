"""Does what people ask for by text: a refusal is in force at once, a plain wish has its consequence, the rest is read.

A text leads to one of: a state event, a hold until the day somebody named, a work item for a person; and to at most one
automatic answer, which passes the gate. Twilio answers STOP, START and HELP by itself where it knows them: then we
do not.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection, Engine

from activities.aftermath import tell_operations
from activities.replying import Answer, Replier
from db.arrivals import Waiting, claim
from db.holds import HoldOrder, hold_case
from db.locks import lock_persons
from db.replies import Reply, Sender, Taken, sender_of, take_in_reply
from db.signals import tell
from db.work import Order, ask_about_person, place
from domain.calendar import local_date, start_of_day
from domain.clock import BusinessClock
from domain.codes import HoldReason, TaskKind
from domain.inbound_text import Understood, Wish, understand
from domain.keywords import Reading
from web.aside import Aside, at_once

NAME = "message"
SOURCE = "sms"
LONGEST_PROMISE = 14
"""Days: a later day is for a person to agree to."""
FRESH = timedelta(minutes=15)
"""How old a text may be to be answered by itself: later an answer would only puzzle."""
_BY_TWILIO = {"STOP": Reading.STOP, "START": Reading.START, "HELP": Reading.HELP}
_ANSWERS: Mapping[Wish, str] = {
    Wish.PAID: "reply-checking",
    Wish.DATE: "reply-noted",
    Wish.AMOUNT: "reply-person",
    Wish.HELP: "reply-help",
    Wish.QUESTION: "reply-person",
}
_READ_BY_A_PERSON: Mapping[Wish, str] = {
    Wish.PAID: "says_paid",
    Wish.AMOUNT: "offers_amount",
    Wish.HELP: "asks_for_help",
    Wish.QUESTION: "asks",
    Wish.OTHER: "wrote",
}


@dataclass(frozen=True, slots=True)
class _Text:
    row: Waiting
    sender: Sender
    wish: Understood
    at: datetime
    person: bool
    """Whether a person has to read it; the one word HELP is answered by itself."""


class Texts:
    """Applies texts. Without a ``replier`` nothing is answered; ``aside`` sees to it that answers hold up nobody."""

    def __init__(self, engine: Engine, replier: Replier | None, aside: Aside = at_once) -> None:
        self._engine = engine
        self._replier = replier
        self._aside = aside

    def apply(self, row: Waiting, clock: BusinessClock) -> None:
        """Apply one text."""
        form: dict[str, str] = json.loads(row.body)["form"]
        at = _instant(form, row, clock)
        value, text = form.get("From", ""), form.get("Body", "")
        sure = _BY_TWILIO.get(form.get("OptOutType", ""))
        reply = Reply(SOURCE, form["MessageSid"], "phone", value, text, at, sure=sure)
        taken = take_in_reply(self._engine, reply)
        with self._engine.connect() as connection:
            sender = sender_of(connection, "phone", value)
        if sender is None:
            self._from_a_stranger(row, at)
            return
        wish = _wish(taken, text, local_date(at, sender.zone), sender.currency)
        told = _Text(row, sender, wish, at, person=taken.reading is not Reading.HELP)
        with self._engine.begin() as connection:
            lock_persons(connection, [sender.account_key])
            if row.id not in claim(connection, [row.id]):
                return
            cases = set(taken.cases)
            if self._act(connection, told) and sender.case_key is not None:
                cases.add(sender.case_key)
            body = {"event_id": f"web/{row.id}", "actor": "debtor"}
            tell(connection, sorted(cases), "ledger_changed", body, at, logical=clock.is_logical)
        template = _ANSWERS.get(wish.wish)
        if self._replier is not None and template is not None and sure is None:
            self._aside(lambda: self._answer(row, sender, template, at if clock.is_logical else None, clock))

    def _answer(self, row: Waiting, sender: Sender, template: str, at: datetime | None, clock: BusinessClock) -> None:
        """Answer by the rules of this instant, not of the one at which the text came; on a logical clock by ``at``."""
        now = datetime.now(UTC)
        if self._replier is not None and now - row.at <= FRESH:
            at = at or clock.business(now)
            self._replier.answer(Answer(row.id, sender, template, at, now, clock.is_logical))

    def _act(self, connection: Connection, told: _Text) -> bool:
        """Write what a wish leads to; true when the case decides otherwise because of it."""
        wish, sender = told.wish, told.sender
        if wish.wish is Wish.DATE and wish.day is not None and sender.case_key is not None:
            until = start_of_day(wish.day + timedelta(days=1), sender.zone)
            order = HoldOrder(
                account_key=sender.account_key,
                debtor_key=sender.debtor_key,
                reason=HoldReason.PROMISE,
                from_at=told.at,
                event_id=f"web/{told.row.id}/promise",
                until_at=until,
                placed_by="debtor",
                note_ref=_note(told.row),
            )
            hold_case(connection, sender.case_key, order)
            return True
        reason = _READ_BY_A_PERSON.get(wish.wish, "promises" if wish.wish is Wish.DATE else None)
        if told.person and reason is not None and sender.case_key is not None:
            self._ask(connection, told, sender.case_key, reason)
        elif told.person and reason is not None:  # nothing of theirs is open, and they write all the same
            ask_about_person(
                connection,
                party_key=sender.party_key,
                creditor=sender.creditor,
                collector=sender.collector,
                reason=reason,
                note_ref=_note(told.row),
                at=told.at,
            )
        return False

    @staticmethod
    def _ask(connection: Connection, told: _Text, case_key: str, reason: str) -> None:
        placed = place(
            connection,
            Order(
                kind=TaskKind.REVIEW,
                case_key=case_key,
                step=None,
                attempt_key=f"inbox/{told.row.id}",
                party_key=told.sender.party_key,
                creditor=told.sender.creditor,
                collector=told.sender.collector,
                reason=reason,
                at=told.at,
                expires_at=None,
            ),
        )
        connection.exec_driver_sql("UPDATE work_items SET note_ref = %s WHERE key = %s", (_note(told.row), placed.key))

    def _from_a_stranger(self, row: Waiting, at: datetime) -> None:
        """Have operations look at a text from a number that nobody we know has."""
        with self._engine.begin() as connection:
            if row.id in claim(connection, [row.id]):
                tell_operations(connection, "text_from_unknown_number", _note(row), at)


def _instant(form: Mapping[str, str], row: Waiting, clock: BusinessClock) -> datetime:
    """Return when a text counts as written; in a rehearsal on a logical clock it says so itself."""
    told = form.get("RehearsalAt")
    try:
        return clock.business(row.at) if told is None or not clock.is_logical else datetime.fromisoformat(told)
    except ValueError:
        return clock.business(row.at)


def _wish(taken: Taken, text: str, today: date, currency: str) -> Understood:
    """Say what is left to do after the ledger has taken in a refusal or a doubt."""
    match taken.reading:
        case Reading.STOP | Reading.START | Reading.UNCLEAR | Reading.NOT_ME:
            return Understood(Wish.COURTESY)
        case Reading.HELP:
            return Understood(Wish.HELP)
        case Reading.OTHER:
            understood = understand(text, today, currency)
    if understood.day is not None and understood.wish is Wish.DATE:
        near = today <= understood.day <= today + timedelta(days=LONGEST_PROMISE)
        return understood if near else Understood(Wish.OTHER)
    return understood


def _note(row: Waiting) -> str:
    return f"inbox/{row.source}/{row.external_id}"
