"""What a person sees of an item they have on loan: whom it is about, what is owed, what to say, what was before.

All of it is personal data. It is shown to who has the item, and to a supervisor, which is noted; it goes into no log
and no history. Amounts are as of the instant in ``as_of``: a payment a second later is not in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from db.facts import AccountReading, read_facts
from db.queue import Queued, note, read_one
from db.work import read_item
from db.work_outcomes import cases_spoken_of
from desk.queue import Desk, NotBefore, Now, QueueError
from domain.calendar import local_time
from domain.codes import CONTACT_POINT_KIND, Channel, TaskKind
from domain.money import format_amount
from domain.roles import Act, Acting, may, require

_SPOKEN = frozenset({TaskKind.CALL, TaskKind.VISIT})
_CHANNEL = {TaskKind.CALL: Channel.CALL, TaskKind.VISIT: Channel.VISIT, TaskKind.LEGAL: Channel.LEGAL}
HISTORY = 10
"""Attempts shown, the latest first."""


@dataclass(frozen=True, slots=True)
class Account:
    """One debt that may be spoken of. Amounts as text with their currency."""

    case_key: str
    reference: str
    product: str
    past_due: str
    balance: str
    days_past_due: int
    oldest_due_on: str | None
    held: str | None


@dataclass(frozen=True, slots=True)
class Point:
    """Where the person may be reached."""

    key: str
    value: str
    state: str


@dataclass(frozen=True, slots=True)
class Past:
    """One contact of the past, in short."""

    at: datetime
    channel: str
    status: str
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """An item with everything needed to work it. ``from_at``: when it may be worked, if not now.

    Without a loan there is nothing about a person: ``name`` is empty, and so are the lists.
    """

    item: Queued
    as_of: datetime
    mine: bool
    refused_by: tuple[str, ...] = ()
    from_at: datetime | None = None
    name: str = ""
    language: str | None = None
    local_time: str | None = None
    points: tuple[Point, ...] = ()
    accounts: tuple[Account, ...] = ()
    script: tuple[str, ...] = ()
    """What to say: before somebody is known to be the person, and afterwards."""
    outcomes: tuple[str, ...] = ()
    """The dispositions that may be recorded, as codes of ``policies/dispositions.yaml``."""
    history: tuple[Past, ...] = ()
    text: str | None = None
    """What there is to read: the words of a reply, or a colleague's note."""


def show(desk: Desk, acting: Acting, key: str, now: datetime, *, logical: bool) -> Shown:
    """Return an item; whole to who has it on loan or leads, and else without anything about a person."""
    require(acting, Act.SEE)
    with desk.engine.begin() as connection:
        item = read_one(connection, key)
        if item is None:
            raise QueueError(f"{key}: there is no such item; `work list --all` shows the open ones")
        mine = item.claimed_by == acting.actor and item.status in {"claimed", "reported"}
        leads = may(acting.role, Act.REASSIGN) and may(acting.role, Act.WORK)
        if not (mine or leads):
            return Shown(item, now, mine=False)
        if not mine:
            note(connection, key, "shown", now, acting.actor, item.lease_no)
        return _whole(connection, desk, item, now, mine=mine, logical=logical)


def _whole(connection: Connection, desk: Desk, item: Queued, now: datetime, *, mine: bool, logical: bool) -> Shown:
    readings = _readings(connection, item.key, now, logical=logical)
    person = connection.exec_driver_sql(
        "SELECT name, language FROM parties WHERE key = %s", (item.party_key,)
    ).one_or_none()
    first = next(iter(readings.values()), None)
    zone = None if first is None else first.facts.zone
    answer = desk.permit(connection, item.key, now) if item.kind in _SPOKEN else Now()
    return Shown(
        item=item,
        as_of=now,
        mine=mine,
        refused_by=answer.rule_ids if isinstance(answer, NotBefore) else (),
        from_at=answer.until if isinstance(answer, NotBefore) else None,
        name="" if person is None else person.name,
        language=(None if person is None else person.language) or item.language,
        local_time=None if zone is None else _local(now, zone),
        points=_points(connection, item),
        accounts=tuple(_account(case, one) for case, one in readings.items()),
        script=_script(connection, desk, item, readings, "" if person is None else person.name),
        outcomes=tuple(desk.catalogue.known(Channel(str(item.kind)))) if item.kind in _SPOKEN else (),
        history=_history(connection, item.party_key),
        text=_text(connection, item),
    )


def _readings(connection: Connection, key: str, now: datetime, *, logical: bool) -> dict[str, AccountReading]:
    """Return the debts of an item that may be spoken of, by case: all, or those allowed when it was dialled."""
    item = read_item(connection, key)
    spoken_of = cases_spoken_of(connection, key)
    cases = [] if item is None else [one for one in item.cases if spoken_of is None or one.case_key in spoken_of]
    found = read_facts(connection, [one.account_key for one in cases], now, logical=logical)
    return {one.case_key: found[one.account_key] for one in cases if one.account_key in found}


def _account(case_key: str, reading: AccountReading) -> Account:
    facts = reading.facts
    return Account(
        case_key=case_key,
        reference=reading.external_id,
        product=facts.product,
        past_due=format_amount(facts.past_due, facts.currency),
        balance=format_amount(facts.balance, facts.currency),
        days_past_due=facts.dpd,
        oldest_due_on=None if facts.oldest_due_on is None else facts.oldest_due_on.isoformat(),
        held=None if facts.hold is None else str(facts.hold.reason),
    )


def _points(connection: Connection, item: Queued) -> tuple[Point, ...]:
    channel = _CHANNEL.get(item.kind)
    kind = None if channel is None else CONTACT_POINT_KIND[channel]
    rows = connection.exec_driver_sql(
        "SELECT key, value, state FROM contact_points WHERE party_key = %s AND (%s::text IS NULL OR kind = %s) "
        "AND state IN ('unconfirmed', 'confirmed') AND consent <> 'withdrawn' ORDER BY state, key",
        (item.party_key, kind, kind),
    )
    return tuple(Point(*row) for row in rows)


def _history(connection: Connection, party_key: str | None) -> tuple[Past, ...]:
    rows = connection.exec_driver_sql(
        "SELECT coalesce(sent_at, admitted_at), channel, status, outcome FROM attempts WHERE party_key = %s "
        "AND admitted_at IS NOT NULL ORDER BY admitted_at DESC, key LIMIT %s",
        (party_key, HISTORY),
    )
    return tuple(Past(*row) for row in rows)


def _script(
    connection: Connection, desk: Desk, item: Queued, readings: Mapping[str, AccountReading], name: str
) -> tuple[str, ...]:
    if item.kind is not TaskKind.CALL or desk.words is None or not readings:
        return ()
    owed = list(readings.values())
    names = connection.exec_driver_sql(
        "SELECT coalesce(nullif(c.name, ''), c.code), coalesce(nullif(k.name, ''), k.code) FROM creditors c "
        "LEFT JOIN collectors k ON k.code = %s WHERE c.code = %s",
        (item.collector, item.creditor),
    ).one()
    values: dict[str, object] = {
        "amount": format_amount(sum(one.facts.past_due for one in owed), owed[0].facts.currency),
        "due_on": min((one.facts.oldest_due_on for one in owed if one.facts.oldest_due_on), default=None),
        "dpd": max(one.facts.dpd for one in owed),
        "reference": ", ".join(one.external_id for one in owed),
        "accounts": [
            {
                "reference": one.external_id,
                "amount": format_amount(one.facts.past_due, one.facts.currency),
                "due_on": one.facts.oldest_due_on,
                "dpd": one.facts.dpd,
            }
            for one in owed
        ],
        "creditor_name": names[0],
        "collector_name": names[1] or names[0],
        "recipient_name": name,
        "pay_link": "",
        "third_party": owed[0].facts.actor == "third_party_collector",
        "first_communication": _is_first(connection, [one.account_key for one in owed]),
    }
    return tuple(desk.words(item.creditor, item.language, values))


def _is_first(connection: Connection, account_keys: Sequence[str]) -> bool:
    """Whether nothing was ever said about one of these debts."""
    found = connection.exec_driver_sql(
        "SELECT bool_or(NOT EXISTS (SELECT 1 FROM attempt_accounts x JOIN attempts t ON t.key = x.attempt_key "
        "WHERE x.account_key = a AND t.sent_at IS NOT NULL)) FROM unnest(%s::text[]) a",
        (list(account_keys),),
    )
    return bool(found.scalar_one())


def _text(connection: Connection, item: Queued) -> str | None:
    """Return what ``note_ref`` names, where it is a text in the inbox."""
    ref = connection.exec_driver_sql("SELECT note_ref FROM work_items WHERE key = %s", (item.key,)).scalar_one()
    if ref is None or not ref.startswith("inbox/"):
        return None
    parts = ref.split("/")[1:]
    for cut in range(1, len(parts)):
        found = connection.exec_driver_sql(
            "SELECT body FROM inbox WHERE source = %s AND external_id = %s",
            ("/".join(parts[:cut]), "/".join(parts[cut:])),
        ).scalar_one_or_none()
        if found is not None:
            return str(found)
    return None


def _local(now: datetime, zone: str) -> str:
    return f"{local_time(now, zone):%a %H:%M} {zone}"
