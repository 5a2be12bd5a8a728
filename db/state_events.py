"""Records what became of a person, a debt or a number: once, with everything that follows from it.

The caller's transaction begins with ``lock_persons`` over what ``concern_of`` names. The same event told to two cases is
one row; an event and its end may arrive in either order. A number is meant by its value: whoever shares it is meant
too. Rows and the record hold codes and keys only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from db.holds import OF_STATE_EVENT, HoldOrder, place_hold, release_holds_of_events
from db.record import append_events
from domain.codes import CloseReason, HoldScope
from domain.record import canonical
from domain.state_events import MEANINGS, StateKind, StateScope, Told

MOST_CASES = 500
"""Cases that are locked, told and written to because of one number; the fact itself holds for every case."""

_WHOM = """
SELECT a.debtor_key, a.creditor, a.collector, d.party_key AS debtor_party,
       (SELECT p.key FROM parties p WHERE p.key = %(party)s) AS party,
       (SELECT min(o.key) FROM contact_points n JOIN contact_points o ON o.kind = n.kind AND o.value = n.value
         WHERE n.key = %(point)s) AS first_point
  FROM accounts a JOIN debtors d ON d.key = a.debtor_key
 WHERE a.key = %(account)s
"""

_CASES = """
SELECT k.key, k.account_key FROM cases k
 WHERE k.status <> 'closed' AND (
       (%(scope)s = 'account' AND k.account_key = %(account)s)
    OR (%(scope)s = 'debtor' AND k.debtor_key = %(debtor)s)
    OR (%(scope)s IN ('debtor', 'person', 'channel') AND k.account_key IN (
         SELECT ap.account_key FROM account_parties ap WHERE ap.party_key = %(party)s))
    OR (%(scope)s = 'number' AND k.account_key IN (
         SELECT ap.account_key FROM contact_points n
           JOIN contact_points o ON o.kind = n.kind AND o.value = n.value
           JOIN account_parties ap ON ap.party_key = o.party_key WHERE n.key = %(point)s)))
 ORDER BY k.key LIMIT %(most)s
"""

_ENDED = """
SELECT scope, coalesce(account_key, '') AS account, debtor_key AS debtor, party_key AS party, contact_point_key AS point
  FROM state_events WHERE key = %(event)s OR (event_id = %(event)s AND debtor_key = %(debtor)s)
"""

_INSERT = """
INSERT INTO state_events (kind, scope, target, debtor_key, party_key, account_key, contact_point_key, channel, creditor,
    collector, from_at, until_at, detail, ends, ends_event, event_id, source, actor, note_ref, recorded_at)
VALUES (%(kind)s, %(scope)s, %(target)s, %(debtor)s, %(party)s, %(account)s, %(point)s, %(channel)s, %(creditor)s,
    %(collector)s, %(at)s, %(until)s, %(detail)s::jsonb, %(ends)s, %(ends_event)s, %(event_id)s, %(source)s, %(actor)s,
    %(note)s, %(at)s)
ON CONFLICT (event_id, kind, target) DO NOTHING RETURNING key
"""

_ENDS = """
       b.key <> e.key AND b.ends = '{}' AND b.ends_event IS NULL AND b.from_at <= e.from_at
   AND ((b.kind = ANY(e.ends)
         AND (b.target = e.target OR (e.scope = 'debtor' AND b.scope = 'account' AND b.debtor_key = e.debtor_key))
         AND (e.channel IS NULL OR b.channel = e.channel)
         AND (e.detail ->> 'consent' IS NULL OR b.detail ->> 'consent' = e.detail ->> 'consent'))
     OR b.key = e.ends_event
     OR (b.event_id = e.ends_event AND b.debtor_key = e.debtor_key))
"""

_SETTLE = f"""
WITH pairs AS (
    SELECT b.key, e.key AS by, coalesce(e.until_at, e.from_at) AS at
      FROM state_events e JOIN state_events b ON {_ENDS} WHERE e.key = %(key)s
    UNION ALL
    SELECT b.key, e.key AS by, coalesce(e.until_at, e.from_at) AS at
      FROM state_events b JOIN state_events e ON {_ENDS} WHERE b.key = %(key)s
), first AS (SELECT DISTINCT ON (key) key, by, at FROM pairs ORDER BY key, at, by)
UPDATE state_events s SET ended_at = f.at, ended_by = f.by FROM first f
 WHERE s.key = f.key AND (s.ended_at IS NULL OR s.ended_at > f.at)
RETURNING s.key, s.kind, s.account_key, s.contact_point_key, s.ended_at, s.ended_by
"""


@dataclass(frozen=True, slots=True)
class Concern:
    """Whom an event touches: the accounts and contact points to lock, and the open cases to tell."""

    accounts: tuple[str, ...]
    points: tuple[str, ...]
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """The row of an event, whether it is new, and the open cases it concerns."""

    key: str
    is_new: bool
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Whom:
    scope: StateScope
    target: str
    debtor_key: str
    party_key: str
    creditor: str
    collector: str


def concern_of(connection: Connection, told: Told) -> Concern:
    """Return whom an event touches. Looked up before the locks; what changes meanwhile is caught by the gate."""
    told, whom = _resolve(connection, told)
    rows = _cases(connection, told, whom)
    accounts = sorted({told.account_key, *(account for _, account in rows)})
    points = () if told.contact_point_key is None else (told.contact_point_key,)
    return Concern(tuple(accounts), points, tuple(case for case, _ in rows))


def record_state_event(connection: Connection, told: Told, *, zone: str) -> Recorded:
    """Record an event once, end what it ends, and do what follows. ``zone``: where the debtor lives, for ends by day."""
    told, whom = _resolve(connection, told)
    cases = tuple(case for case, _ in _cases(connection, told, whom))
    until = told.until_at(zone)
    key = _insert(connection, told, whom, until)
    if key is None:
        held = connection.exec_driver_sql(
            "SELECT key FROM state_events WHERE event_id = %s AND kind = %s AND target = %s",
            (told.event_id, told.kind, whom.target),
        ).scalar_one()
        return Recorded(held, is_new=False, cases=cases)
    body = {
        "event": key, "kind": told.kind, "scope": whom.scope, "from": told.at, "until": until, "actor": told.actor,
        "source": told.source,
    }  # fmt: skip
    append_events(connection, "state_event", told.at, [(case, body) for case in cases])
    _hold(connection, told, whom, key, until)
    _permissions(connection, told, whom, key, until)
    _points(connection, told)
    if told.meaning.closes:
        connection.exec_driver_sql(
            "UPDATE accounts SET closing = %s, closing_at = %s WHERE key = %s AND closing IS NULL",
            (CloseReason.DISCHARGED, told.at, told.account_key),
        )
    _ask(connection, told, whom, key, cases)
    _settle(connection, told, key, cases)
    return Recorded(key, is_new=True, cases=cases)


# --- whom it concerns -----------------------------------------------------------------------------------------------


def _resolve(connection: Connection, told: Told) -> tuple[Told, _Whom]:
    """Find out whom an event is about. One that names somebody we do not know becomes a doubt for a person to solve."""
    row = connection.exec_driver_sql(
        _WHOM, {"account": told.account_key, "party": told.party_key, "point": told.contact_point_key}
    ).one()
    scope = told.scope or MEANINGS[told.ends_kind or told.kind].scope
    lost_party = told.party_key is not None and row.party is None
    lost_point = row.first_point is None and (told.contact_point_key is not None or scope is StateScope.NUMBER)
    if lost_party or lost_point:
        told = replace(
            told,
            kind=StateKind.UNCLEAR_REPLY,
            scope=StateScope.ACCOUNT,
            party_key=None,
            contact_point_key=None,
            ends_kind=None,
            ends_event=None,
            detail={"unknown_reference": told.party_key if lost_party else told.contact_point_key, "told": told.kind},
        )
        scope = StateScope.ACCOUNT
    party = told.party_key or row.debtor_party
    if scope is StateScope.DEBTOR and party != row.debtor_party:
        scope = StateScope.PERSON
    targets = {
        StateScope.NUMBER: row.first_point,
        StateScope.CHANNEL: party,
        StateScope.PERSON: party,
        StateScope.ACCOUNT: told.account_key,
        StateScope.DEBTOR: row.debtor_key,
    }
    return told, _Whom(scope, targets[scope], row.debtor_key, party, row.creditor, row.collector)


def _cases(connection: Connection, told: Told, whom: _Whom) -> Sequence[tuple[str, str]]:
    values = {
        "scope": whom.scope,
        "account": told.account_key,
        "debtor": whom.debtor_key,
        "party": whom.party_key,
        "point": told.contact_point_key,
        "most": MOST_CASES,
    }
    found = {row.key: row.account_key for row in connection.exec_driver_sql(_CASES, values)}
    if told.ends_event is not None:
        ended = (
            connection.exec_driver_sql(_ENDED, {"event": told.ends_event, "debtor": whom.debtor_key}).mappings().all()
        )
        for row in ended:
            found |= {one.key: one.account_key for one in connection.exec_driver_sql(_CASES, {**values, **row})}
    return sorted(found.items())


def _insert(connection: Connection, told: Told, whom: _Whom, until: datetime | None) -> str | None:
    ends = told.meaning.ends if told.ends_kind is None else (told.ends_kind,)
    values: dict[str, Any] = {
        "kind": told.kind,
        "scope": whom.scope,
        "target": whom.target,
        "debtor": whom.debtor_key,
        "party": None if whom.scope in {StateScope.ACCOUNT, StateScope.NUMBER} else whom.party_key,
        "account": told.account_key if whom.scope is StateScope.ACCOUNT else None,
        "point": told.contact_point_key,
        "channel": told.channel,
        "creditor": whom.creditor,
        "collector": whom.collector,
        "at": told.at,
        "until": until,
        "detail": canonical(dict(told.detail)),
        "ends": [str(kind) for kind in ends],
        "ends_event": told.ends_event,
        "event_id": told.event_id,
        "source": told.source,
        "actor": told.actor,
        "note": told.note_ref,
    }
    return connection.exec_driver_sql(_INSERT, values).scalar_one_or_none()


# --- what follows ---------------------------------------------------------------------------------------------------


def _hold(connection: Connection, told: Told, whom: _Whom, key: str, until: datetime | None) -> None:
    """Place the hold of the table. What concerns another person than the debtor does not rest the debtor's cases."""
    if told.meaning.hold is None or whom.scope in {StateScope.PERSON, StateScope.CHANNEL}:
        return
    scope = HoldScope.ACCOUNT if whom.scope is StateScope.ACCOUNT else HoldScope.DEBTOR
    order = HoldOrder(
        account_key=told.account_key,
        debtor_key=whom.debtor_key,
        reason=told.meaning.hold,
        from_at=told.at,
        event_id=f"{OF_STATE_EVENT}{key}",
        scope=HoldScope.PART if told.part_amount is not None else scope,
        until_at=until,
        part_amount=told.part_amount,
        placed_by=told.actor,
        note_ref=told.note_ref,
    )
    place_hold(connection, order)


_GRANTS = {
    StateKind.OPT_OUT: ("withdrawn", "number"),
    StateKind.OPT_IN: ("given", "number"),
    StateKind.CHANNEL_OPT_OUT: ("withdrawn", "channel"),
    StateKind.CONSENT_GIVEN: ("given", None),
    StateKind.CONSENT_WITHDRAWN: ("withdrawn", None),
}


def _permissions(connection: Connection, told: Told, whom: _Whom, key: str, until: datetime | None) -> None:
    """Keep the history of permissions that a person can be shown."""
    found = _GRANTS.get(told.kind)
    if found is None:
        return
    state, scope = found
    connection.exec_driver_sql(
        "INSERT INTO consents (party_key, contact_point_key, channel, state, scope, from_at, until_at, source, event_id) "
        "VALUES (coalesce((SELECT party_key FROM contact_points WHERE key = %(point)s), %(party)s), %(point)s, %(channel)s, "
        "%(state)s, %(scope)s, %(at)s, %(until)s, %(source)s, %(event)s) ON CONFLICT (event_id) DO NOTHING",
        {
            "party": whom.party_key,
            "point": told.contact_point_key,
            "channel": "sms" if told.kind in {StateKind.OPT_OUT, StateKind.OPT_IN} else told.channel,
            "state": state,
            "scope": scope or str(told.detail.get("consent", "all")),
            "at": told.at,
            "until": until,
            "source": told.source,
            "event": f"{OF_STATE_EVENT}{key}",
        },
    )


def _points(connection: Connection, told: Told) -> None:
    """Take a number that is somebody else's out of use, whoever it is attached to."""
    if told.kind is StateKind.WRONG_PARTY:
        _set_points(connection, told.contact_point_key, "wrong_party", "unconfirmed", "confirmed")


def _set_points(connection: Connection, point: str | None, state: str, *before: str) -> None:
    connection.exec_driver_sql(
        "UPDATE contact_points o SET state = %s FROM contact_points n "
        "WHERE n.key = %s AND o.kind = n.kind AND o.value = n.value AND o.state = ANY(%s)",
        (state, point, list(before)),
    )


def _ask(connection: Connection, told: Told, whom: _Whom, key: str, cases: Sequence[str]) -> None:
    """Create the one work item of an event, for all the cases it concerns."""
    asks = told.meaning.asks
    if asks is None:
        return
    strangers_to = list(cases) if asks.by_stranger else []
    item = connection.exec_driver_sql(
        "INSERT INTO work_items (kind, party_key, creditor, collector, reason, skill, created_at, due_at, state_event_key, "
        "not_for) VALUES (%(kind)s, %(party)s, %(creditor)s, %(collector)s, %(reason)s, %(skill)s, %(at)s, %(at)s, %(key)s, "
        "(SELECT coalesce(array_agg(DISTINCT who ORDER BY who), '{}') FROM (SELECT e.body::jsonb ->> 'actor' AS who "
        "FROM case_events e WHERE e.kind = 'worked' AND e.case_key = ANY(%(strangers)s) "
        "UNION SELECT %(involved)s::text) one WHERE who IS NOT NULL)) RETURNING key",
        {
            "kind": asks.kind,
            "party": whom.party_key,
            "creditor": whom.creditor,
            "collector": whom.collector,
            "reason": asks.reason,
            "skill": asks.skill,
            "at": told.at,
            "key": key,
            "strangers": strangers_to,
            "involved": told.detail.get("involved"),
        },
    ).scalar_one()
    connection.exec_driver_sql(
        "INSERT INTO work_item_cases (item_key, case_key, asked_at) SELECT %s, c, %s FROM unnest(%s::text[]) c",
        (item, told.at, list(cases)),
    )


# --- how it ends ----------------------------------------------------------------------------------------------------


def _settle(connection: Connection, told: Told, key: str, cases: Sequence[str]) -> None:
    """End what the new row ends, or the new row itself when its end came first."""
    rows = connection.exec_driver_sql(_SETTLE, {"key": key}).all()
    for row in sorted(rows):
        release_holds_of_events(connection, [row.key], row.ended_at, told.actor)
        connection.exec_driver_sql(
            "UPDATE work_items SET status = 'done', done_at = %s, disposition = 'ended' "
            "WHERE state_event_key = %s AND status IN ('open', 'claimed')",
            (row.ended_at, row.key),
        )
        if row.kind == StateKind.WRONG_PARTY:
            _set_points(connection, row.contact_point_key, "unconfirmed", "wrong_party")
        if row.kind == StateKind.BANKRUPTCY_DISCHARGED:
            connection.exec_driver_sql(
                "UPDATE accounts SET closing = NULL, closing_at = NULL WHERE key = %s AND closing = %s",
                (row.account_key, CloseReason.DISCHARGED),
            )
        body = {"event": row.key, "kind": row.kind, "by": row.ended_by, "at": row.ended_at, "actor": told.actor}
        append_events(connection, "state_event_ended", told.at, [(case, body) for case in cases])
