"""Reads what the gate is asked about, and asks it: the same way for messages, for tasks of people and for calls.

Called inside the transaction that decides, after its locks. It writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from activities.rule_facts import Intent, Rules, facts_for
from activities.wording import Worded
from db.attempts import CONTEXT, Attempt, Context, Point, choose_point, context_values
from db.facts import AccountReading, facts_of, facts_values, reach_of
from db.person_record import RECORD, PersonRecord, record_from, record_values
from db.record import append_event
from db.state_reading import read_active
from db.together import Reading, read_together
from db.work import Order, place
from domain.calendar import local_date, start_of_day
from domain.codes import CONTACT_POINT_KIND, Channel, TaskKind, Verdict
from domain.gate import Admission, Decision, Gate
from domain.strategy import Step, Strategy

VISITORS = 2
"""How many people a visit is planned with: the least any rule demands, and the house sends no fewer anywhere."""


@dataclass(frozen=True, slots=True)
class Presence:
    """How people of ours would come: how many, whether all of it is recorded, whether they show who they are."""

    visitors: int = VISITORS
    recorded: bool = True
    identified: bool = True


AS_PLANNED = Presence()


@dataclass(frozen=True, slots=True)
class Matter:
    """One step of one case, as an attempt that might be made."""

    attempt: Attempt
    step: Step
    strategy: Strategy
    logical: bool


@dataclass(frozen=True, slots=True)
class Read:
    """What was read under the locks about one account and whom a step would contact."""

    context: Context
    account: AccountReading
    point: Point | None
    now: datetime
    record: PersonRecord | None = None

    @property
    def day(self) -> tuple[datetime, datetime]:
        """The start and the end of the debtor's local day."""
        zone = self.account.facts.zone or "UTC"
        today = local_date(self.now, zone)
        return start_of_day(today, zone), start_of_day(today + timedelta(days=1), zone)


def _points(context: Context, chosen: Point) -> list[str]:
    """Return the keys of the person's contact points, the one to be used first."""
    return [chosen.key, *(point.key for point in context.points if point.key != chosen.key)]


def hand_to_person(connection: Connection, attempt: Attempt, read: Read, decision: Decision) -> None:
    """Have a person look at what the gate would not decide: a review item that names the rule, once an attempt."""
    facts = read.account.facts
    first = next((one.rule_id for one in decision.reasons if one.verdict is Verdict.REVIEW), decision.rule_ids[0])
    order = Order(
        kind=TaskKind.REVIEW,
        case_key=attempt.case_key,
        step=None,
        attempt_key=f"review/{attempt.key}",
        party_key=read.account.party_key,
        creditor=facts.creditor,
        collector=read.account.collector,
        reason=first,
        at=read.now,
        expires_at=None,
    )
    placed = place(connection, order)
    if placed.created:
        body = {"item": placed.key, "kind": TaskKind.REVIEW, "attempt": attempt.key, "reason": first}
        append_event(connection, attempt.case_key, "review_asked", read.now, body)


class Judge:
    """Asks one gate. ``rules`` is ``None`` where no rule packs are in force."""

    def __init__(self, gate: Gate, rules: Rules | None) -> None:
        self._gate = gate
        self._rules = rules

    def read(self, connection: Connection, matter: Matter, now: datetime) -> Read:
        """Read the account, the recipient and their contact points."""
        step, attempt = matter.step, matter.attempt
        values = context_values(attempt, CONTACT_POINT_KIND[step.via], step.to.role, now)
        values |= facts_values([attempt.account_key], logical=matter.logical)
        context, accounts = read_together(connection, (CONTEXT, facts_of(now, logical=matter.logical)), values)
        return Read(context, accounts[attempt.account_key], choose_point(context.points, step.to.order), now)

    def with_record(self, connection: Connection, matter: Matter, read: Read) -> Read:
        """Add the person's record, where rule packs will ask for it."""
        return self.with_record_and(connection, matter, read)[0]

    def with_record_and(
        self,
        connection: Connection,
        matter: Matter,
        read: Read,
        others: Sequence[Reading[Any]] = (),
        values: Mapping[str, object] = MappingProxyType({}),
    ) -> tuple[Read, tuple[Any, ...]]:
        """Add the person's record, and read ``others`` with their ``values`` in the same round trip."""
        if self._rules is None or read.point is None:
            return read, read_together(connection, others, values) if others else ()
        own = record_values(
            account_key=matter.attempt.account_key,
            debtor_key=read.account.debtor_key,
            party_key=read.point.party_key,
            point_keys=_points(read.context, read.point),
            attempt_key=matter.attempt.key,
            now=read.now,
            reach=reach_of(read.now, logical=matter.logical),
        )
        past, person, told, *rest = read_together(connection, (*RECORD, *others), {**values, **own})
        return replace(read, record=record_from(read.point.party_key, past, person, told)), tuple(rest)

    def beside(
        self, connection: Connection, matter: Matter, read: Read, context: Context, account: AccountReading
    ) -> Read:
        """Return the same person's record as it bears on another of their accounts."""
        other = replace(read, context=context, account=account)
        if read.record is None or read.point is None:
            return other
        if account.debtor_key != read.account.debtor_key:
            return self.with_record(connection, matter, other)
        told = read_active(
            connection,
            account_keys=[account.account_key],
            party_keys=[read.point.party_key],
            point_keys=_points(context, read.point),
            now=read.now,
            reach=reach_of(read.now, logical=matter.logical),
        )
        return replace(other, record=replace(read.record, told=told))

    def decide(
        self,
        matter: Matter,
        read: Read,
        *,
        worded: Worded | None = None,
        accounts: Sequence[str] = (),
        presence: Presence = AS_PLANNED,
    ) -> Decision:
        """Ask the gate about the step, with its words if they are known and all accounts it would speak of."""
        step, point = matter.step, read.point
        rules = None
        if self._rules is not None and read.record is not None and point is not None:
            visit = step.via is Channel.VISIT
            intent = Intent(
                now=read.now,
                channel=step.via,
                purpose=step.purpose,
                role=step.to.role,
                point_key=point.key,
                consent=point.consent,
                language=worded.language if worded is not None else point.language or read.account.facts.language,
                content=None if worded is None else worded.content,
                accounts=tuple(accounts),
                visitors=presence.visitors if visit else None,
                recorded=presence.recorded if visit or step.via is Channel.CALL else None,
                identified=presence.identified if visit else None,
            )
            rules = facts_for(read.record, read.account, intent, self._rules.packs)
        facts = read.account.facts
        return self._gate.decide(
            Admission(
                now=read.now,
                channel=step.via,
                purpose=step.purpose,
                between=step.between,
                facts=facts,
                case_closed=read.context.case_closed,
                point_state=None if point is None else point.state,
                point_consent=None if point is None else point.consent,
                point_held=read.context.channel_held or (point is not None and point.held),
                feed_age=read.account.feed_age,
                feed_limit=read.account.feed_limit,
                holidays_of=matter.strategy.holidays or facts.region,
                reminds=matter.attempt.reminds,
                rules=rules,
            )
        )
