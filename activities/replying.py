"""What we send because somebody wrote to us or asked for it in a call: through the gate like everything else, once.

The attempt's number is made of the inbox row it answers, so the same wish is never answered twice, whoever applies it
and how often. Numbers from a million on are the ledger's own: a case never issues them. What may not go now is not
kept for later: a late answer is no answer.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row

from activities.aftermath import Mishap, follow, locks_of, subject_of
from activities.judging import Judge, Matter, Read
from activities.providers.base import Accepted, AmbiguousSendError, NotProcessed, Outbound, Provider, Rejected
from activities.providers.identity import Identities
from activities.switching import unless_switched_off
from activities.window import closes_at
from activities.wording import Worded, Wording, WordingError
from db.attempts import Attempt, Point, Ruling, Sent, record_sent, write_decision
from db.coverage import list_accounts
from db.locks import lock_contact, lock_persons
from db.replies import Sender
from db.strategies import StrategyBook
from domain.codes import CONTACT_POINT_KIND, AttemptStatus, Channel, Origin, Purpose, Verdict
from domain.message_text import segments
from domain.money import format_amount
from domain.strategy import Step

FIRST_NUMBER = 1_000_000
SEND_WITHIN = 10.0
LOST_AFTER = timedelta(minutes=2)
"""When nobody can be sending any more what was admitted and never recorded."""
MOST_LOST = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be answered: the inbox row, whom, with which template. ``values`` are words for it alone.

    ``now`` is the business instant at which it is sent, ``engine_now`` the same on the real clock.
    """

    number: int
    sender: Sender
    template: str
    now: datetime
    engine_now: datetime
    logical: bool
    step: str = "reply"
    values: Mapping[str, object] = field(default_factory=dict)


class Replier:
    """Answers by text message."""

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
        """Answer once, if the gate allows it; ``None`` when this was answered before, or there is no case."""
        case_key = answer.sender.case_key
        if case_key is None:
            return None
        step = Step.model_validate(
            {
                "id": answer.step,
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
        sent, mishap = self._send(admitted.message, answer.now, admitted_at)
        record(self._engine, attempt, admitted.dispatch, sent, mishap)
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
                status=None if allowed else AttemptStatus.REFUSED,
            )
            dispatch = write_decision(connection, attempt, ruling)
            if not allowed or dispatch is None or worded is None or point is None:
                return AttemptStatus.REFUSED
            list_accounts(connection, attempt.key, [(attempt.case_key, attempt.account_key, 0)])
        latest = closes_at(self._judge, matter, read, worded)
        return _Admitted(dispatch, _message(attempt, read, point, worded, latest))

    def _word(self, answer: Answer, point: Point, read: Read) -> Worded | None:
        identity = self._identities.of(answer.sender.creditor)
        facts = read.account.facts
        values = {
            "creditor_name": read.context.creditor,
            "collector_name": read.context.collector or read.context.creditor,
            "recipient_name": point.name,
            "third_party": facts.actor == "third_party_collector",
            "first_communication": read.record is None or read.record.is_first(read.account.account_key),
            **identity.words(),
            "reference": read.account.external_id,
            "amount": format_amount(facts.past_due, facts.currency),
            "due_on": facts.oldest_due_on,
            "dpd": facts.dpd,
            **answer.values,
        }
        try:
            return self._wording.render(answer.template, Channel.SMS, point.language or facts.language, values)
        except WordingError:
            return None

    def _send(self, message: Outbound, now: datetime, admitted_at: float) -> tuple[Sent, Mishap | None]:
        if time.monotonic() - admitted_at > SEND_WITHIN:
            return Sent(AttemptStatus.UNSENT, now, error_code="stalled"), None
        try:
            result = self._provider.send(message)
        except AmbiguousSendError as error:
            return Sent(AttemptStatus.UNKNOWN, now, error_code=str(error)[:80]), None
        match result:
            case Accepted():
                count = segments(message.body).count
                return Sent(AttemptStatus.SENT, now, provider_id=result.provider_id, segments=count), None
            case Rejected():
                failed = Sent(AttemptStatus.FAILED, now, error_code=result.code)
                return failed, Mishap(result.kind, result.code, now)
            case NotProcessed():
                return Sent(AttemptStatus.UNSENT, now, error_code=result.code), None


@dataclass(frozen=True, slots=True)
class _Admitted:
    dispatch: int
    message: Outbound


def record(engine: Engine, attempt: Attempt, dispatch: int, sent: Sent, mishap: Mishap | None) -> bool:
    """Record what became of a dispatch that no case waits for, and what follows from a refusal; true if it was news."""
    accounts, points = set[str](), set[str]()
    with engine.connect() as connection:
        subject = None if mishap is None else subject_of(connection, attempt.key)
        if subject is not None:
            accounts, points = locks_of(connection, subject, mishap)
    with engine.begin() as connection:
        if subject is not None:
            lock_persons(connection, sorted(accounts), sorted(points))
        is_news = record_sent(connection, attempt, dispatch, sent)
        if is_news and subject is not None and mishap is not None:
            follow(connection, subject, mishap)
    return is_news


def _message(attempt: Attempt, read: Read, point: Point, worded: Worded, latest: datetime | None) -> Outbound:
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
        latest=latest,
    )


_LOST = """
SELECT key, case_key, seq, step, template, dispatch, admitted_at,
       (SELECT k.account_key FROM cases k WHERE k.key = attempts.case_key) AS account_key
  FROM attempts WHERE origin = 'inbound' AND channel = 'sms' AND status = 'dispatching' AND engine_admitted_at < %s
 ORDER BY key LIMIT %s
"""


def name_lost(engine: Engine, engine_now: datetime) -> int:
    """Name unknown what a process that died has left in flight; a callback may still say more. Returns how many."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(_LOST, (engine_now - LOST_AFTER, MOST_LOST)).all()
    return sum(_is_lost(engine, row) for row in rows)


def _is_lost(engine: Engine, row: Row[tuple[Any, ...]]) -> bool:
    attempt = Attempt(
        row.key, row.case_key, row.account_key, row.seq, row.step or "reply", 1, 1, Channel.SMS, Purpose.REPLY,
        row.template, origin=Origin.INBOUND,
    )  # fmt: skip
    lost = Sent(AttemptStatus.UNKNOWN, row.admitted_at + LOST_AFTER, error_code="no_trace")
    return record(engine, attempt, row.dispatch, lost, None)
