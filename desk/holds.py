"""Holds at the desk: placed within what the catalogue allows, extended and lifted by whoever may, and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import Connection, Engine

from db.holds import HoldOrder, extend_holds, place_hold, release_holds
from db.policies import hold_kinds
from db.record import append_event
from desk.case_of import OfCase, locked_case, open_cases_of_debtor, read_case_of, tell_ledger_changed
from desk.errors import DeskError
from domain.codes import HoldReason, HoldScope
from domain.roles import Act, Acting, require


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold as it stands. ``part_amount`` in minor units of the account."""

    key: str
    reason: HoldReason
    scope: HoldScope
    account_key: str | None
    channel: str | None
    contact_point: str | None
    part_amount: int | None
    from_at: datetime
    until_at: datetime | None
    review_at: datetime | None
    placed_by: str
    released_at: datetime | None
    released_by: str | None
    note_ref: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A hold somebody wants. ``until`` may be left out where an event ends the kind."""

    reason: HoldReason
    scope: HoldScope = HoldScope.ACCOUNT
    until: datetime | None = None
    channel: str | None = None
    contact_point: str | None = None
    part_amount: int | None = None
    note_ref: str | None = None
    event_id: str | None = None


_HOLD = """
SELECT key, reason, scope, account_key, channel, contact_point_key, part_amount, from_at, until_at, review_at,
       placed_by, released_at, released_by, note_ref FROM holds
"""
_HOLDS = f"""{_HOLD}
 WHERE (account_key = %(account)s OR debtor_key = %(debtor)s)
   AND (%(past)s OR ((released_at IS NULL OR released_at > %(at)s) AND (until_at IS NULL OR until_at > %(at)s)))
 ORDER BY from_at, key
"""


def holds(engine: Engine, acting: Acting, case_key: str, at: datetime, *, past: bool = False) -> Sequence[Hold]:
    """Return the holds that stand over a case; with ``past`` also those that are over."""
    require(acting, Act.SEE)
    with engine.connect() as connection:
        return holds_in(connection, read_case_of(connection, case_key), at, past=past)


def holds_in(connection: Connection, case: OfCase, at: datetime, *, past: bool = False) -> Sequence[Hold]:
    """Return the same within a transaction."""
    rows = connection.exec_driver_sql(
        _HOLDS, {"account": case.account_key, "debtor": case.debtor_key, "at": at, "past": past}
    )
    return [_hold(tuple(row)) for row in rows]


def _hold(row: tuple[object, ...]) -> Hold:
    held = Hold(*row)  # type: ignore[arg-type]
    return replace(held, reason=HoldReason(held.reason), scope=HoldScope(held.scope))


def place(engine: Engine, acting: Acting, case_key: str, wanted: Wanted, at: datetime) -> Hold:
    """Place a hold, once by its event id. DeskError when it would last longer than its kind may."""
    require(acting, Act.HOLD)
    _check_length(wanted.reason, wanted.until, at)
    _check_scope(wanted)
    event_id = wanted.event_id or f"desk/hold/{uuid4()}"
    with engine.begin() as connection:
        case = locked_case(connection, case_key)
        if wanted.scope is HoldScope.NUMBER and not _is_point(connection, wanted.contact_point):
            raise DeskError(f"{wanted.contact_point}: no such contact point; `debtor show` lists them")
        order = HoldOrder(
            account_key=case.account_key,
            debtor_key=case.debtor_key,
            reason=wanted.reason,
            from_at=at,
            event_id=event_id,
            scope=wanted.scope,
            until_at=wanted.until,
            channel=wanted.channel,
            contact_point_key=wanted.contact_point,
            part_amount=wanted.part_amount,
            placed_by=acting.actor,
            note_ref=wanted.note_ref,
        )
        key = place_hold(connection, order)
        if key is not None:
            body = {"hold": key, "reason": wanted.reason, "scope": wanted.scope, "until": wanted.until}
            _record(connection, case, "hold", at, {**body, "actor": acting.actor}, event_id, wanted.scope)
        found = connection.exec_driver_sql("SELECT key FROM holds WHERE event_id = %s", (event_id,)).scalar_one()
        return _read(connection, found)


def extend(engine: Engine, acting: Acting, hold_key: str, until: datetime, at: datetime) -> Hold:
    """Let a hold last longer, as an act of its own. Whoever may lift the kind may extend it."""
    with engine.begin() as connection:
        hold, case = _locked(connection, hold_key, at)
        _require_lifting(acting, hold.reason)
        if hold.until_at is None:
            raise DeskError(f"{hold_key}: has no end to extend; an event or `hold release` ends it")
        if until <= hold.until_at:
            raise DeskError(f"{hold_key}: ends {hold.until_at:%Y-%m-%d %H:%M} UTC already; name a later instant")
        _check_length(hold.reason, until, at)
        extend_holds(
            connection, account_key=case.account_key, debtor_key=case.debtor_key, until=until, at=at, key=hold_key
        )
        body = {"hold": hold_key, "from": hold.until_at, "until": until, "actor": acting.actor}
        event_id = f"desk/extend/{hold_key}/{until:%Y%m%dT%H%M%S}"
        _record(connection, case, "hold_extended", at, body, event_id, hold.scope)
        return _read(connection, hold_key)


def release(engine: Engine, acting: Acting, hold_key: str, at: datetime) -> Hold:
    """Lift a hold, and end the state event behind it."""
    with engine.begin() as connection:
        hold, case = _locked(connection, hold_key, at)
        _require_lifting(acting, hold.reason)
        release_holds(
            connection,
            account_key=case.account_key,
            debtor_key=case.debtor_key,
            at=at,
            by=acting.actor,
            key=hold_key,
        )
        body = {"holds": [hold_key], "actor": acting.actor}
        _record(connection, case, "released", at, body, f"desk/release/{hold_key}", hold.scope)
        return _read(connection, hold_key)


def _require_lifting(acting: Acting, reason: HoldReason) -> None:
    require(acting, Act.RELEASE_PROTECTED if hold_kinds().of(reason).protects else Act.RELEASE)


def _check_length(reason: HoldReason, until: datetime | None, at: datetime) -> None:
    kind = hold_kinds().of(reason)
    if until is not None and until <= at:
        raise DeskError(f"a hold that ends {until:%Y-%m-%d %H:%M} UTC would be over; name a later instant")
    if kind.longest == "event":
        return
    if until is None:
        raise DeskError(f"a hold for {reason} needs an end, at most {kind.longest} days from now: --until")
    if until > at + timedelta(days=kind.longest):
        raise DeskError(f"a hold for {reason} lasts at most {kind.longest} days; it can be extended before it ends")


def _check_scope(wanted: Wanted) -> None:
    needs = {
        HoldScope.CHANNEL: ("channel", wanted.channel),
        HoldScope.NUMBER: ("contact point", wanted.contact_point),
        HoldScope.PART: ("amount", wanted.part_amount),
    }
    name, given = needs.get(wanted.scope, ("", True))
    if given is None:
        raise DeskError(f"a hold with scope {wanted.scope} needs its {name}")
    if wanted.part_amount is not None and wanted.part_amount <= 0:
        raise DeskError("the amount of a part must be more than nothing")


def _is_point(connection: Connection, key: str | None) -> bool:
    found = connection.exec_driver_sql("SELECT 1 FROM contact_points WHERE key = %s", (key,))
    return found.one_or_none() is not None


def _locked(connection: Connection, hold_key: str, at: datetime) -> tuple[Hold, OfCase]:
    """Lock whom a hold is about; DeskError when it does not stand. Returns one of its cases, the latest."""
    case_key = connection.exec_driver_sql(
        "SELECT k.key FROM holds h JOIN cases k ON k.account_key = h.account_key OR k.debtor_key = h.debtor_key "
        "WHERE h.key = %s ORDER BY k.status = 'closed', k.opened_at DESC, k.key LIMIT 1",
        (hold_key,),
    ).scalar_one_or_none()
    if case_key is None:
        raise DeskError(f"{hold_key}: no such hold, or no case of it; `hold list CASE` shows those of a case")
    case = locked_case(connection, case_key)
    hold = _read(connection, hold_key)
    over = hold.released_at is not None or (hold.until_at is not None and hold.until_at <= at)
    if over:
        raise DeskError(f"{hold_key}: is over already; `hold list CASE --all` says since when")
    return hold, case


def _read(connection: Connection, key: str) -> Hold:
    row = connection.exec_driver_sql(f"{_HOLD} WHERE key = %s", (key,)).one()
    return _hold(tuple(row))


def _record(
    connection: Connection,
    case: OfCase,
    kind: str,
    at: datetime,
    body: Mapping[str, object],
    event_id: str,
    scope: HoldScope,
) -> None:
    """Write an act into the record of the case and tell whoever it concerns."""
    append_event(connection, case.case_key, kind, at, body)
    wide = scope is HoldScope.DEBTOR
    told = open_cases_of_debtor(connection, case.debtor_key) if wide else (case.case_key,)
    tell_ledger_changed(connection, told, event_id, at)
