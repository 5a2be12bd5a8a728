"""One automatic answer to somebody who wrote to us: through the gate like everything else, at most one for each text.

The attempt's number is made of the inbox row it answers, so the same text is never answered twice, whoever applies it
and how often. Numbers from a million on are the ledger's own: a case never issues them.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine

from activities.judging import Judge, Matter, Read
from activities.providers.base import Accepted, AmbiguousSendError, NotProcessed, Outbound, Provider, Rejected
from activities.providers.identity import Identities
from activities.switching import unless_switched_off
from activities.wording import Worded, Wording, WordingError
from db.attempts import Attempt, Point, Ruling, Sent, record_sent, write_decision
from db.coverage import list_accounts
from db.locks import lock_contact
from db.replies import Sender
from db.strategies import StrategyBook
from domain.codes import CONTACT_POINT_KIND, AttemptStatus, Channel, Origin, Purpose, Verdict
from domain.strategy import Step

FIRST_NUMBER = 1_000_000
SEND_WITHIN = 10.0
LOST_AFTER = timedelta(minutes=2)
"""When nobody can be sending any more what was admitted and never recorded."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be answered: the inbox row, whom, with which template."""

    number: int
    sender: Sender
    template: str
    now: datetime
    engine_now: datetime
    logical: bool


class Replier:
    """Answers texts by text."""

    def __init__(
        self,
        engine: Engine,
        providers: Mapping[Channel, Provider],
        judge: Judge,
        wording: Wording,
        identities: Identities,
    ) -> None:
        """Take what attempts are made of; ``identities`` says where people can reach us."""
        self._engine = engine
        self._provider = providers[Channel.SMS]
        self._judge = judge
        self._wording = wording
        self._identities = identities
        self._book = StrategyBook(engine)

    def answer(self, answer: Answer) -> AttemptStatus | None:
        """Answer once, if the gate allows it; ``None`` when this text was answered, or there is no case."""
        case_key = answer.sender.case_key
        if case_key is None:
            return None
        step = Step.model_validate(
            {
                "id": "reply",
                "channel": "sms",
                "template": answer.template,
                "purpose": "reply",
                "start": {"since": "opened"},
                "between": {"hours": "00:00-24:00"},
            }
        )
        attempt = Attempt(
            key=f"{case_key}/{FIRST_NUMBER + answer.number}",
            case_key=case_key,
            account_key=answer.sender.account_key,
            seq=FIRST_NUMBER + answer.number,
            step=step.id,
            pass_no=1,
            try_no=1,
            channel=Channel.SMS,
            purpose=Purpose.REPLY,
            template=answer.template,
            origin=Origin.INBOUND,
        )
        admitted_at = time.monotonic()
        admitted = self._admit(answer, attempt, step)
        if not isinstance(admitted, _Admitted):
            return admitted
        sent = self._send(admitted.message, answer.now, admitted_at)
        with self._engine.begin() as connection:
            record_sent(connection, attempt, admitted.dispatch, sent)
        return sent.status

    def _admit(self, answer: Answer, attempt: Attempt, step: Step) -> "_Admitted | AttemptStatus | None":
        sender = answer.sender
        with self._engine.begin() as connection:
            lock_contact(connection, sender.account_key, CONTACT_POINT_KIND[Channel.SMS])
            digest = connection.exec_driver_sql(
                "SELECT strategy_digest FROM cases WHERE key = %s", (attempt.case_key,)
            ).scalar_one()
            matter = Matter(attempt, step, self._book.by_digest(digest), answer.logical)
            read = self._judge.read(connection, matter, answer.now)
            if read.context.taken is not None:
                return None
            # Back to where it came from and nowhere else.
            point = next((one for one in read.context.points if one.key == sender.point_key), None)
            read = self._judge.with_record(connection, matter, replace(read, point=point))
            worded = None if point is None else self._word(answer, point, read)
            decision = self._judge.decide(matter, read, worded=worded)
            creditor = read.account.facts.creditor
            decision = unless_switched_off(connection, decision, step=step, creditor=creditor, now=answer.now)
            allowed = decision.verdict is Verdict.ALLOW and worded is not None and point is not None
            ruling = Ruling(
                decision=decision
                if allowed or decision.verdict is not Verdict.ALLOW
                else replace(decision, verdict=Verdict.REVIEW, rule_ids=(*decision.rule_ids, "core.template")),
                facts_json=read.account.facts.model_dump_json(exclude_defaults=True),
                amount=0,
                currency=read.account.facts.currency,
                point=point,
                provider=self._provider.name,
                now=answer.now,
                engine_now=answer.engine_now,
                # A late answer is no answer: what may not go now is not kept for later.
                status=None if allowed else AttemptStatus.REFUSED,
            )
            dispatch = write_decision(connection, attempt, ruling)
            if not allowed or dispatch is None or worded is None or point is None:
                return AttemptStatus.REFUSED
            list_accounts(connection, attempt.key, [(attempt.case_key, attempt.account_key, 0)])
            return _Admitted(dispatch, _message(attempt, read, point, worded))

    def _word(self, answer: Answer, point: Point, read: Read) -> Worded | None:
        identity = self._identities.of(answer.sender.creditor)
        facts = read.account.facts
        values = {
            "creditor_name": read.context.creditor,
            "collector_name": read.context.collector or read.context.creditor,
            "recipient_name": point.name,
            "third_party": facts.actor == "third_party_collector",
            "call_back_number": identity.call_back_number,
            "reference": read.account.external_id,
            "amount": "",
            "due_on": facts.oldest_due_on,
            "dpd": facts.dpd,
        }
        try:
            return self._wording.render(answer.template, Channel.SMS, point.language or facts.language, values)
        except WordingError:
            return None

    def _send(self, message: Outbound, now: datetime, admitted_at: float) -> Sent:
        if time.monotonic() - admitted_at > SEND_WITHIN:
            return Sent(AttemptStatus.UNSENT, now, error_code="stalled")
        try:
            result = self._provider.send(message)
        except AmbiguousSendError as error:
            return Sent(AttemptStatus.UNKNOWN, now, error_code=str(error)[:80])
        match result:
            case Accepted():
                return Sent(AttemptStatus.SENT, now, provider_id=result.provider_id)
            case Rejected():
                return Sent(AttemptStatus.FAILED, now, error_code=result.code)
            case NotProcessed():
                return Sent(AttemptStatus.UNSENT, now, error_code=result.code)


@dataclass(frozen=True, slots=True)
class _Admitted:
    dispatch: int
    message: Outbound


def _message(attempt: Attempt, read: Read, point: Point, worded: Worded) -> Outbound:
    facts = read.account.facts
    return Outbound(
        attempt_key=attempt.key,
        channel=Channel.SMS,
        party_key=point.party_key,
        recipient=point.value,
        recipient_name=point.name,
        language=point.language or facts.language or "en",
        subject=worded.subject,
        body=worded.body,
        accounts=(),
        step=attempt.step,
        try_no=1,
        zone=facts.zone or "UTC",
        at=read.now,
    )


def name_lost(connection: Connection, engine_now: datetime) -> int:
    """Name unknown what a process that died has left in flight; a callback may still say more. Returns how many."""
    rows = connection.exec_driver_sql(
        "UPDATE attempts SET status = 'unknown', error_code = 'no_trace' WHERE origin = 'inbound' "
        "AND status = 'dispatching' AND engine_admitted_at < %s RETURNING key",
        (engine_now - LOST_AFTER,),
    ).all()
    return len(rows)
