"""Field visits at the desk: planned, every requirement confirmed, admitted by the gate at the door, recorded.

What is personal (the place, who was met) stays in the tables; the case hears codes, keys and hashes only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from db.locks import lock_item
from db.policies import visit_policy
from db.record import append_events
from db.signals import tell
from desk.case_of import is_logical
from desk.errors import DeskError
from domain.messages import RefusedMessageError, parse_message
from domain.roles import Act, Acting, require
from domain.visits import IDENTITY, RECORDING


@dataclass(frozen=True, slots=True)
class Admitted:
    """The attempt that a visit became, and the address it goes to."""

    attempt_key: str
    contact_point: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Why they must not go now. ``until``: when it may be tried again."""

    rule_ids: tuple[str, ...]
    until: datetime | None = None


class Door(Protocol):
    """The gate, asked about a visit."""

    def least(self, item_key: str, at: datetime) -> int:
        """Return how many people the rules demand."""
        ...

    def admit(
        self, item_key: str, at: datetime, engine_now: datetime, *, people: int, recorded: bool, identified: bool
    ) -> Admitted | Refused | None:
        """Admit the visit now, or refuse it."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """A visit somebody plans. Without a contact point it goes to the person's first address in use."""

    item_key: str
    team: str
    window_from: datetime
    window_to: datetime
    people: int
    area: str | None = None
    contact_point: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a visit. ``evidence``: (document reference, SHA-256) of files kept outside."""

    disposition: str
    party_reached: str
    latitude: float | None = None
    longitude: float | None = None
    evidence: tuple[tuple[str, str], ...] = ()
    note_ref: str | None = None
    amount: int | None = None
    currency: str | None = None
    promised_on: str | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit as it stands. ``open``: requirements nobody has confirmed."""

    key: str
    item_key: str
    status: str
    team: str
    area: str
    window_from: datetime
    window_to: datetime
    people: int
    demanded: int
    contact_point: str
    attempt_key: str | None
    planned_by: str
    disposition: str | None
    done_at: datetime | None
    requirements: tuple[str, ...]
    confirmed: tuple[str, ...] = ()
    persons: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()

    @property
    def open(self) -> tuple[str, ...]:
        """Requirements that are not confirmed."""
        return tuple(one for one in self.requirements if one not in self.confirmed)


_VISIT = """
SELECT v.key, v.item_key, v.status, v.team, v.area, v.window_from, v.window_to, v.people, v.demanded,
       v.contact_point_key, v.attempt_key, v.planned_by, v.disposition, v.done_at, v.requirements,
       array(SELECT requirement FROM visit_checks c WHERE c.visit_key = v.key ORDER BY 1) AS confirmed,
       array(SELECT actor FROM visit_people p WHERE p.visit_key = v.key ORDER BY 1) AS persons,
       array(SELECT sha256 FROM visit_evidence e WHERE e.visit_key = v.key ORDER BY 1) AS evidence
  FROM visits v
"""
_ADDRESS = """
SELECT n.key, n.state, coalesce(p.locality, p.region, c.region, '') AS area, w.party_key, w.kind, w.status
  FROM work_items w LEFT JOIN creditors c ON c.code = w.creditor LEFT JOIN parties p ON p.key = w.party_key
  LEFT JOIN contact_points n ON n.party_key = w.party_key AND n.kind = 'address' AND n.consent <> 'withdrawn'
   AND (n.key = %(point)s OR (%(point)s::text IS NULL AND n.state IN ('confirmed', 'unconfirmed')))
 WHERE w.key = %(item)s ORDER BY n.state <> 'confirmed', n.key LIMIT 1
"""


def plan(engine: Engine, door: Door, acting: Acting, wanted: Plan, at: datetime) -> Visit:
    """Plan a visit for an open item. DeskError for too few people, no address, or a window that is over."""
    require(acting, Act.PLAN_VISIT)
    if wanted.window_to <= at or wanted.window_to <= wanted.window_from:
        raise DeskError("the window must end after it begins, and later than now")
    demanded = max(visit_policy().least_people, door.least(wanted.item_key, wanted.window_from))
    if wanted.people < demanded:
        raise DeskError(f"{wanted.item_key}: at least {demanded} people must go, not {wanted.people}")
    with engine.begin() as connection:
        lock_item(connection, wanted.item_key)
        row = connection.exec_driver_sql(
            _ADDRESS, {"item": wanted.item_key, "point": wanted.contact_point}
        ).one_or_none()
        if row is None or row.kind != "visit" or row.status not in {"open", "claimed"}:
            raise DeskError(f"{wanted.item_key}: is no open visit item; `work list` shows them")
        if row.key is None:
            raise DeskError(f"{wanted.item_key}: there is no address in use to visit; a data repair comes first")
        held = connection.exec_driver_sql(
            "SELECT key FROM visits WHERE item_key = %s AND status IN ('planned', 'out')", (wanted.item_key,)
        ).scalar_one_or_none()
        if held is not None:
            raise DeskError(f"{wanted.item_key}: visit {held} is planned already; cancel it first")
        key = connection.exec_driver_sql(
            "INSERT INTO visits (item_key, party_key, contact_point_key, team, area, window_from, window_to, people, "
            "demanded, requirements, planned_by, planned_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING key",
            (
                wanted.item_key, row.party_key, row.key, wanted.team, wanted.area or row.area, wanted.window_from,
                wanted.window_to, wanted.people, demanded, list(visit_policy().requirements), acting.actor, at,
            ),
        ).scalar_one()  # fmt: skip
        connection.exec_driver_sql(
            "UPDATE work_items SET expires_at = greatest(expires_at, %s) WHERE key = %s AND expires_at IS NOT NULL",
            (wanted.window_to, wanted.item_key),
        )
        body = {"visit": key, "people": wanted.people, "from": wanted.window_from, "to": wanted.window_to}
        _record(connection, wanted.item_key, "visit_planned", at, {**body, "actor": acting.actor})
        return _read(connection, key)


def visits(
    engine: Engine,
    acting: Acting,
    *,
    team: str | None = None,
    area: str | None = None,
    begins: datetime | None = None,
    ends: datetime | None = None,
) -> Sequence[Visit]:
    """Return the visits of a team in an area whose window touches ``begins`` .. ``ends``, by window; a day's list."""
    require(acting, Act.SEE)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            f"{_VISIT} WHERE (%(team)s::text IS NULL OR v.team = %(team)s) "
            "AND (%(area)s::text IS NULL OR v.area = %(area)s) "
            "AND (%(begins)s::timestamptz IS NULL OR v.window_to > %(begins)s) "
            "AND (%(ends)s::timestamptz IS NULL OR v.window_from < %(ends)s) AND v.status <> 'cancelled' "
            "ORDER BY v.team, v.area, v.window_from, v.key LIMIT 1000",
            {"team": team, "area": area, "begins": begins, "ends": ends},
        )
        return [_visit(tuple(row)) for row in rows]


def confirm(engine: Engine, acting: Acting, key: str, requirements: Sequence[str], at: datetime) -> Visit:
    """Confirm requirements of a planned visit, each once and under one's own name."""
    require(acting, Act.PLAN_VISIT)
    with engine.begin() as connection:
        visit = _locked(connection, key, "planned")
        unknown = sorted(set(requirements) - set(visit.requirements))
        if unknown:
            raise DeskError(f"{key}: {', '.join(unknown)}: not asked for; {', '.join(visit.requirements)} are")
        for one in requirements:
            connection.exec_driver_sql(
                "INSERT INTO visit_checks (visit_key, requirement, confirmed_by, at) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                (key, one, acting.actor, at),
            )
        body = {"visit": key, "confirmed": sorted(requirements), "actor": acting.actor}
        _record(connection, visit.item_key, "visit_confirmed", at, body)
        return _read(connection, key)


def set_out(
    engine: Engine, door: Door, acting: Acting, key: str, persons: Sequence[str], at: datetime, engine_now: datetime
) -> Visit:
    """Set out: everything is confirmed, enough people go, it is their window, and the gate allows it now.

    The attempt is counted before anybody is at the door. Asked again after a crash it is the same attempt.
    """
    require(acting, Act.WORK)
    with engine.connect() as connection:
        visit = _read(connection, key)
    if visit.status == "out":
        return visit
    _must_be_ready(visit, persons, at)
    answer = door.admit(
        visit.item_key,
        at,
        engine_now,
        people=len(set(persons)),
        recorded=RECORDING in visit.confirmed,
        identified=IDENTITY in visit.confirmed,
    )
    if answer is None:
        raise DeskError(f"{key}: there is nothing left to visit for; the item was worked or taken back")
    if isinstance(answer, Refused):
        raise DeskError(_why(key, answer))
    with engine.begin() as connection:
        visit = _locked(connection, key, "planned", "out")
        if visit.contact_point != answer.contact_point:
            _record(connection, visit.item_key, "visit_address", at, {"visit": key, "to": answer.contact_point})
        connection.exec_driver_sql(
            "UPDATE visits SET status = 'out', attempt_key = %s, set_out_by = %s, set_out_at = %s, "
            "contact_point_key = %s WHERE key = %s AND status = 'planned'",
            (answer.attempt_key, acting.actor, at, answer.contact_point, key),
        )
        for person in sorted(set(persons)):
            connection.exec_driver_sql(
                "INSERT INTO visit_people (visit_key, actor) VALUES (%s, %s) ON CONFLICT DO NOTHING", (key, person)
            )
        body = {"visit": key, "attempt": answer.attempt_key, "persons": sorted(set(persons)), "actor": acting.actor}
        _record(connection, visit.item_key, "visit_set_out", at, body)
        return _read(connection, key)


def _must_be_ready(visit: Visit, persons: Sequence[str], at: datetime) -> None:
    if visit.status != "planned":
        raise DeskError(f"{visit.key}: is {visit.status}; only a planned visit sets out")
    if visit.open:
        raise DeskError(f"{visit.key}: not confirmed: {', '.join(visit.open)}; `visit confirm` does that")
    if len(set(persons)) < visit.demanded:
        raise DeskError(f"{visit.key}: at least {visit.demanded} people must go, {len(set(persons))} are named")
    earliest = visit.window_from - timedelta(minutes=visit_policy().earliest_before)
    if not earliest <= at <= visit.window_to:
        window = f"{visit.window_from:%Y-%m-%d %H:%M} to {visit.window_to:%Y-%m-%d %H:%M} UTC"
        raise DeskError(f"{visit.key}: the window is {window}; plan it anew for another")


def _why(key: str, answer: Refused) -> str:
    later = "" if answer.until is None else f"; it may be tried from {answer.until:%Y-%m-%d %H:%M} UTC"
    return f"{key}: the gate does not allow it now ({', '.join(answer.rule_ids)}){later}"


def record(engine: Engine, acting: Acting, key: str, made: Made, at: datetime) -> Visit:
    """Record what came of a visit, with place and evidence, and tell the case in codes and hashes."""
    require(acting, Act.RECORD_OUTCOME)
    with engine.begin() as connection:
        visit = _read(connection, key)
        lock_item(connection, visit.item_key)
        visit = _read(connection, key)
        if visit.status == "done" and visit.disposition == made.disposition:
            return visit
        if visit.status != "out":
            raise DeskError(f"{key}: is {visit.status}; only a visit that set out is recorded")
        body = _message(visit, acting, made)
        connection.exec_driver_sql(
            "UPDATE visits SET status = 'done', done_at = %s, disposition = %s, party_reached = %s, latitude = %s, "
            "longitude = %s, note_ref = %s WHERE key = %s",
            (at, made.disposition, made.party_reached, made.latitude, made.longitude, made.note_ref, key),
        )
        for reference, digest in made.evidence:
            connection.exec_driver_sql(
                "INSERT INTO visit_evidence (visit_key, document_ref, sha256) VALUES (%s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                (key, reference, digest),
            )
        lead = (visit.attempt_key or "").rpartition("/")[0]
        tell(connection, [lead], "record_visit_outcome", body, at, logical=is_logical(connection))
        hashes = [digest for _, digest in made.evidence]
        said = {"visit": key, "disposition": made.disposition, "evidence": hashes, "actor": acting.actor}
        _record(connection, visit.item_key, "visit_recorded", at, said)
        return _read(connection, key)


def _message(visit: Visit, acting: Acting, made: Made) -> dict[str, object]:
    body: dict[str, object] = {
        "event_id": f"visit/{visit.key}", "actor": acting.actor, "work_item": visit.item_key,
        "attempt": visit.attempt_key, "contact_point": visit.contact_point, "party_reached": made.party_reached,
        "disposition": made.disposition, "visitors": len(visit.persons), "visit": visit.key,
        "persons": list(visit.persons), "evidence": [digest for _, digest in made.evidence], "note_ref": made.note_ref,
        "amount": made.amount, "currency": made.currency, "promised_on": made.promised_on,
    }  # fmt: skip
    said = {name: value for name, value in body.items() if value is not None}
    try:
        parse_message("record_visit_outcome", said)
    except RefusedMessageError as error:
        raise DeskError(f"{visit.key}: {error}") from None
    if (made.latitude is None) != (made.longitude is None):
        raise DeskError(f"{visit.key}: a place has a latitude and a longitude")
    return said


def cancel(engine: Engine, acting: Acting, key: str, at: datetime) -> Visit:
    """Cancel a visit that has not set out; its item is free again."""
    require(acting, Act.PLAN_VISIT)
    with engine.begin() as connection:
        visit = _locked(connection, key, "planned")
        connection.exec_driver_sql("UPDATE visits SET status = 'cancelled' WHERE key = %s", (key,))
        _record(connection, visit.item_key, "visit_cancelled", at, {"visit": key, "actor": acting.actor})
        return _read(connection, key)


def _locked(connection: Connection, key: str, *statuses: str) -> Visit:
    connection.exec_driver_sql("SELECT 1 FROM visits WHERE key = %s FOR UPDATE", (key,))
    visit = _read(connection, key)
    if visit.status not in statuses:
        raise DeskError(f"{key}: is {visit.status}, not {' or '.join(statuses)}")
    return visit


def _read(connection: Connection, key: str) -> Visit:
    row = connection.exec_driver_sql(f"{_VISIT} WHERE v.key = %s", (key,)).one_or_none()
    if row is None:
        raise DeskError(f"{key}: no such visit; `visit list` shows them")
    return _visit(tuple(row))


def _visit(row: tuple[object, ...]) -> Visit:
    values: dict[str, Any] = dict(zip((one.name for one in fields(Visit)), row, strict=True))
    lists = {name: tuple(values[name]) for name in ("requirements", "confirmed", "persons", "evidence")}
    return Visit(**{**values, **lists})


def _record(connection: Connection, item_key: str, kind: str, at: datetime, body: Mapping[str, object]) -> None:
    cases = connection.exec_driver_sql(
        "SELECT case_key FROM work_item_cases WHERE item_key = %s ORDER BY case_key", (item_key,)
    ).scalars()
    append_events(connection, kind, at, [(case, {**body, "item": item_key}) for case in cases])
