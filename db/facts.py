"""Reads what a case may know: the facts of accounts as of an instant, in one statement.

Called inside the transaction that decides, after the locks. With a logical clock only what was received by then
counts; with the wall clock, whatever is committed. Nothing here asks the database what time it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from db.plan_reading import PLANS, Moment, PlanReading, read_plans
from db.together import Reading, Rows
from domain.arrangements import days_past_due
from domain.calendar import local_date, start_of_day
from domain.codes import Actor, Channel, CloseReason, EntryKind, Flag, HoldReason
from domain.facts import Facts, Holding
from domain.position import Allocation, Due, Entry, Position, position
from domain.state_events import BARS_THE_LADDER, FLAG_OF, StateKind
from domain.zones import candidate_zones

SKEW = timedelta(minutes=5)


def reach_of(now: datetime, *, logical: bool) -> datetime:
    """Return until when what is committed counts as past.

    On the wall clock an activity's now lags a little behind what another process, or another machine, has just written:
    what stands in the ledger has happened. On a logical clock the ledger also holds what is still to come.
    """
    return now if logical else now + SKEW


CONFIRMED = "confirmed"
"""Source of a time zone that the person told us; it decides alone."""

_READ = f"""
SELECT a.key, a.external_id, a.creditor, a.collector, a.currency, a.product, a.actor, a.debt_type, a.score,
       a.placed_on, a.debtor_key, a.closing, a.closing_at, p.key AS party_key, p.vulnerable,
       p.timezone AS zone, c.timezone AS creditor_zone, p.timezone_source AS zone_source,
       coalesce(p.region, c.region) AS region,
       (SELECT array_agg(n.value ORDER BY n.key) FROM contact_points n
         WHERE n.party_key = p.key AND n.kind = 'phone' AND n.state IN ('unconfirmed', 'confirmed')) AS phones,
       coalesce(p.language, c.language) AS language, c.allocation, c.tolerance,
       c.payment_feed_max_age_hours AS feed_hours,
       (SELECT json_agg(json_build_array(d.ref, d.component, d.due_on, d.amount))
          FROM dues d WHERE d.account_key = a.key) AS dues,
       (SELECT json_agg(json_build_array(e.kind, e.amount, e.value_on, e.received_at, e.external_id, e.component,
                                         e.reverses))
          FROM ledger_entries e WHERE e.account_key = a.key) AS entries,
       (SELECT json_agg(json_build_array(h.reason, h.scope, h.from_at, h.until_at, h.released_at, h.part_amount, h.review_at))
          FROM holds h WHERE h.account_key = a.key
                          OR (h.debtor_key = a.debtor_key AND h.scope = 'debtor')) AS holds,
{PLANS.strip()},
       (SELECT json_agg(json_build_array(s.kind, s.from_at, s.until_at, s.ended_at)) FROM state_events s
         WHERE s.kind = ANY(%(stops)s)
           AND ((s.account_key = a.key AND s.scope = 'account' AND (s.kind <> 'cease_communication'
                                                                    OR s.collector = a.collector))
             OR (s.debtor_key = a.debtor_key AND s.scope = 'debtor'))) AS stops,
       (SELECT json_build_array(m.stage, m.bars) FROM legal_matters m
         WHERE m.account_key = a.key AND m.ended_at IS NULL) AS legal,
       (SELECT array_agg(DISTINCT n.kind) FROM contact_points n
         WHERE n.party_key = p.key AND n.state IN ('unconfirmed', 'confirmed') AND n.consent <> 'withdrawn') AS kinds,
       CASE WHEN c.payment_feed_max_age_hours IS NOT NULL THEN
            (SELECT max(f.as_of) FROM feeds f
              WHERE f.kind = 'payments' AND (f.creditors = '{{}}' OR a.creditor = ANY(f.creditors))) END AS feed_at,
       CASE WHEN %(logical)s THEN
            (SELECT min(s.at) FROM sandbox_events s JOIN cases k ON k.key = s.case_key
              WHERE k.account_key = a.key AND k.status <> 'closed' AND s.delivered_at IS NULL) END AS world_at
  FROM accounts a
  JOIN creditors c ON c.code = a.creditor
  JOIN debtors d ON d.key = a.debtor_key
  JOIN parties p ON p.key = d.party_key
 WHERE a.key = ANY(%(keys)s)
"""


@dataclass(frozen=True, slots=True)
class AccountReading:
    """One account as read: its facts, and what the gate and the sender need besides."""

    account_key: str
    external_id: str
    debtor_key: str
    party_key: str
    collector: str
    facts: Facts
    feed_age: timedelta | None
    feed_limit: timedelta | None
    plans: PlanReading = field(default_factory=PlanReading)
    """Where its arrangements stand; what differs from what is written is in its ``news``."""


def facts_of(now: datetime, *, logical: bool) -> Reading[dict[str, AccountReading]]:
    """Return the reading of accounts as of ``now``, by key; its parameters are ``facts_values``."""

    def value(rows: Rows) -> dict[str, AccountReading]:
        return {row["key"]: _reading(row, now, logical=logical) for row in rows}

    return Reading(_READ, value)


def facts_values(account_keys: Sequence[str], *, logical: bool) -> dict[str, object]:
    """Return the parameters of ``facts_of``."""
    return {"keys": list(account_keys), "logical": logical, "stops": [*BARS_THE_LADDER, *FLAG_OF]}


def read_facts(
    connection: Connection, account_keys: Sequence[str], now: datetime, *, logical: bool
) -> dict[str, AccountReading]:
    """Return the reading of every account that exists, as of ``now``."""
    return facts_of(now, logical=logical).read(connection, facts_values(account_keys, logical=logical))


def read_account(connection: Connection, account_key: str, now: datetime, *, logical: bool) -> AccountReading:
    """Return one account's reading; KeyError when there is no such account."""
    return read_facts(connection, [account_key], now, logical=logical)[account_key]


def _reading(row: Mapping[str, Any], now: datetime, *, logical: bool) -> AccountReading:
    zones = candidate_zones(
        confirmed=row["zone"] if row["zone_source"] == CONFIRMED else None,
        stated=row["zone"],
        region=row["region"],
        phones=row["phones"] or (),
        otherwise=row["creditor_zone"],
    )
    zone = zones[0] if zones else None
    today, reach = local_date(now, zone or "UTC"), reach_of(now, logical=logical)
    entries = [_entry(values) for values in row["entries"] or ()]
    dues = [
        Due(ref, component, date.fromisoformat(due_on), amount) for ref, component, due_on, amount in row["dues"] or ()
    ]
    tolerance = int(row["tolerance"].get(row["currency"], 0))
    owed = position(
        dues,
        entries,
        today=today,
        known_by=now if logical else None,
        allocation=Allocation(
            order=row["allocation"].get("order", "oldest_due_first"),
            components=tuple(row["allocation"].get("components", ())),
        ),
        tolerance=tolerance,
    )
    moment = Moment(now, today, zone or "UTC", reach, now if logical else None, tolerance)
    plans = read_plans(row["plans"] or (), entries, moment)
    holding, held_part, hold_change = _holding(row["holds"] or (), owed, now, reach)
    stops, stop_change = _stops(row["stops"] or (), now, reach)
    closing_known = row["closing"] is not None and (not logical or datetime.fromisoformat(row["closing_at"]) <= now)
    changes = [
        hold_change,
        stop_change,
        _next_due(owed, today, zone),
        *plans.changes,
        *_dated(entries, today, now, zone, logical=logical),
    ]
    own_change = min((at for at in changes if at is not None), default=None)
    world_at = None if row["world_at"] is None else datetime.fromisoformat(row["world_at"])
    awaits_world = world_at is not None and (own_change is None or world_at <= own_change)
    kinds = row["kinds"] or ()
    facts = Facts(
        as_of=now,
        currency=row["currency"],
        past_due=owed.past_due,
        balance=owed.balance,
        oldest_due_on=owed.oldest_due_on,
        dpd=days_past_due(owed.oldest_due_on, today, aged_from=plans.aged_from, frozen_on=plans.frozen_on),
        zone=zone,
        zones=zones if len(zones) > 1 else (),
        region=row["region"],
        language=row["language"],
        product=row["product"],
        creditor=row["creditor"],
        actor=Actor(row["actor"]),
        debt_type=row["debt_type"],
        score=row["score"],
        placed_on=None if row["placed_on"] is None else date.fromisoformat(row["placed_on"]),
        email_known="email" in kinds,
        phone_known="phone" in kinds,
        address_known="address" in kinds,
        hold=holding,
        held_part=0 if holding is not None else held_part,
        flags=_flags(row["stops"] or (), now, reach, vulnerable=row["vulnerable"]),
        stops=stops,
        legal_stage=None if row["legal"] is None else row["legal"][0],
        legal_bars=() if row["legal"] is None else tuple(Channel(one) for one in row["legal"][1]),
        closing=CloseReason(row["closing"]) if closing_known else None,
        cured_by=CloseReason.PAID if owed.past_due == 0 and owed.balance <= 0 else None,
        plan=plans.plan,
        plan_end=plans.end,
        aged_from=plans.aged_from,
        frozen_on=plans.frozen_on,
        next_change_at=world_at if awaits_world else own_change,
        awaits_world=awaits_world,
    )
    return AccountReading(
        account_key=row["key"],
        external_id=row["external_id"],
        debtor_key=row["debtor_key"],
        party_key=row["party_key"],
        collector=row["collector"],
        facts=facts,
        feed_age=None if row["feed_at"] is None else now - datetime.fromisoformat(row["feed_at"]),
        feed_limit=None if row["feed_hours"] is None else timedelta(hours=row["feed_hours"]),
        plans=plans,
    )


def _entry(values: Sequence[Any]) -> Entry:
    kind, amount, value_on, received_at, external_id, component, reverses = values
    return Entry(
        kind=EntryKind(kind),
        amount=amount,
        value_on=date.fromisoformat(value_on),
        received_at=datetime.fromisoformat(received_at),
        external_id=external_id,
        component=component,
        reverses=reverses,
    )


def _holding(
    rows: Sequence[Sequence[Any]], owed: Position, now: datetime, reach: datetime
) -> tuple[Holding | None, int, datetime | None]:
    """Return the hold that stands longest, the part that is held, and when something about holds comes up next."""
    standing: list[Holding] = []
    changes: list[datetime] = []
    part = 0
    for reason, scope, from_text, until_text, released_text, part_amount, review_text in rows:
        starts = datetime.fromisoformat(from_text)
        until = None if until_text is None else datetime.fromisoformat(until_text)
        released = None if released_text is None else datetime.fromisoformat(released_text)
        if released is not None and released <= now:
            continue
        if starts > reach:
            changes.append(starts)
            continue
        if released is not None:
            until = released if until is None else min(until, released)
        if until is not None and until <= now:
            continue
        if review_text is not None:  # somebody must be asked to look at it then
            changes.append(datetime.fromisoformat(review_text))
        if scope in {"channel", "number"}:  # the gate asks about those itself
            continue
        if until is not None:
            changes.append(until)
        if scope == "part":
            part += part_amount
            if part < owed.past_due:
                continue
        standing.append(Holding(reason=HoldReason(reason), until=until))
    longest = max(standing, key=lambda hold: (hold.until is None, hold.until or now), default=None)
    return longest, part, min(changes, default=None)


def _flags(rows: Sequence[Sequence[Any]], now: datetime, reach: datetime, *, vulnerable: bool) -> tuple[Flag, ...]:
    """Return what the person is treated with more care for: until an event ends it, also after its own days."""
    standing = {Flag.VULNERABLE} if vulnerable else set()
    for kind, from_text, _, ended_text in rows:
        flag = FLAG_OF.get(StateKind(kind))
        over = ended_text is not None and datetime.fromisoformat(ended_text) <= now
        if flag is not None and not over and datetime.fromisoformat(from_text) <= reach:
            standing.add(flag)
    return tuple(sorted(standing))


def _stops(
    rows: Sequence[Sequence[Any]], now: datetime, reach: datetime
) -> tuple[tuple[StateKind, ...], datetime | None]:
    """Return the events that bar steps of the ladder, and when that changes next by itself."""
    standing: set[StateKind] = set()
    changes: list[datetime] = []
    for kind, from_text, until_text, ended_text in rows:
        end_texts = (ended_text,) if kind in FLAG_OF else (until_text, ended_text)
        starts = datetime.fromisoformat(from_text)
        ends = min((datetime.fromisoformat(text) for text in end_texts if text is not None), default=None)
        if ends is not None and ends <= now:
            continue
        if starts > reach:
            changes.append(starts)
            continue
        if ends is not None:
            changes.append(ends)
        if kind not in FLAG_OF:
            standing.add(StateKind(kind))
    return tuple(sorted(standing)), min(changes, default=None)


def _next_due(owed: Position, today: date, zone: str | None) -> datetime | None:
    """Return when the next unpaid due becomes past due: at the start of the day after it."""
    if owed.next_due_on is None:
        return None
    return start_of_day(max(owed.next_due_on, today) + timedelta(days=1), zone or "UTC")


def _dated(entries: Sequence[Entry], today: date, now: datetime, zone: str | None, *, logical: bool) -> list[datetime]:
    """Return the instants at which entries that are already recorded take effect."""
    instants = []
    for entry in entries:
        at = start_of_day(entry.value_on, zone or "UTC") if entry.value_on > today else None
        if logical and entry.received_at > now:
            at = entry.received_at if at is None else max(at, entry.received_at)
        if at is not None:
            instants.append(at)
    return instants
