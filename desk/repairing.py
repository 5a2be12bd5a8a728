"""Data repair: the fact that was missing is written to the ledger, and the cases that waited for it go on."""

from dataclasses import dataclass
from datetime import datetime

import phonenumbers
from sqlalchemy import Connection

from db.facts import CONFIRMED
from db.locks import lock_item
from db.queue import Queued, note, open_cases_of, report
from db.record import append_events
from db.signals import tell
from desk.queue import Desk, QueueError, holds
from domain.calendar import known_zone
from domain.codes import TaskKind
from domain.roles import Act, Acting, require

SOURCE = "repair"


@dataclass(frozen=True, slots=True)
class Repair:
    """What was found out. A zone is taken as confirmed: it is where the person is, not a guess from a number."""

    zone: str | None = None
    phone: str | None = None
    email: str | None = None
    address: str | None = None

    def points(self) -> dict[str, str]:
        """Return the contact points found, by kind."""
        given = {"phone": self.phone, "email": self.email, "address": self.address}
        return {kind: value.strip() for kind, value in given.items() if value is not None and value.strip()}


def repair(
    desk: Desk, acting: Acting, key: str, lease_no: int, found: Repair, now: datetime, *, logical: bool
) -> tuple[str, ...]:
    """Write what was found, settle the item and tell every open case of the person; return these cases.

    LeaseLostError when the loan is lost; QueueError for what cannot be a zone, a number or an address.
    """
    require(acting, Act.RECORD_OUTCOME)
    _check(key, found)
    with desk.engine.begin() as connection:
        lock_item(connection, key)
        item = holds(connection, acting, key, lease_no)
        if item.kind is not TaskKind.DATA_REPAIR or item.party_key is None:
            raise QueueError(f"{key}: is no data repair; use `work finish`")
        what = _write(connection, item, found)
        report(
            connection,
            item,
            acting.actor,
            "repaired",
            {"event_id": f"work/{key}/{lease_no}", "found": what},
            now,
            done=True,
        )
        note(connection, key, "repaired", now, acting.actor, lease_no, {"found": what})
        cases = _cases(connection, item)
        body = {"item": key, "found": what, "actor": acting.actor}
        append_events(connection, "repaired", now, [(case, body) for case in cases])
        event = {"event_id": f"work/{key}/{lease_no}"}
        tell(connection, cases, "ledger_changed", event, now, logical=logical)
        return tuple(cases)


def _check(key: str, found: Repair) -> None:
    points = found.points()
    if found.zone is None and not points:
        raise QueueError(f"{key}: say what was found: a zone, a phone, an e-mail or an address")
    if found.zone is not None and not known_zone(found.zone):
        raise QueueError(f"{key}: the zone is no IANA name; write one such as America/Chicago")
    if "phone" in points and not _is_number(points["phone"]):
        raise QueueError(f"{key}: the phone is no international number; write it as +13125550100")
    if "email" in points and ("@" not in points["email"] or " " in points["email"]):
        raise QueueError(f"{key}: the e-mail address has no form of one")


def _is_number(value: str) -> bool:
    try:
        parsed = phonenumbers.parse(value)
    except phonenumbers.NumberParseException:
        return False
    valid: bool = phonenumbers.is_possible_number(parsed) and value == phonenumbers.format_number(
        parsed, phonenumbers.PhoneNumberFormat.E164
    )
    return valid


def _write(connection: Connection, item: Queued, found: Repair) -> list[str]:
    """Write the facts; return their kinds, and the keys of new contact points."""
    what = []
    if found.zone is not None:
        connection.exec_driver_sql(
            "UPDATE parties SET timezone = %s, timezone_source = %s WHERE key = %s",
            (found.zone, CONFIRMED, item.party_key),
        )
        what.append("zone")
    for kind, value in found.points().items():
        key = connection.exec_driver_sql(
            "INSERT INTO contact_points (party_key, kind, value, source) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (party_key, kind, value) DO UPDATE SET state = CASE WHEN contact_points.state = 'invalid' "
            "THEN 'unconfirmed' ELSE contact_points.state END RETURNING key",
            (item.party_key, kind, value, SOURCE),
        ).scalar_one()
        what.append(f"{kind}:{key}")
    return what


def _cases(connection: Connection, item: Queued) -> list[str]:
    """Return the open cases of the item and of everything else the person owes."""
    others = connection.exec_driver_sql(
        "SELECT k.key FROM cases k JOIN debtors d ON d.key = k.debtor_key "
        "WHERE d.party_key = %s AND k.status <> 'closed'",
        (item.party_key,),
    ).scalars()
    return sorted({*open_cases_of(connection, item.key), *others})
