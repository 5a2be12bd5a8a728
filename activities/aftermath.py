"""What follows from a refusal of a carrier, at once or reported later: for the contact point, the person, our switches.

One place for both ways, so that an answer and a callback with the same code lead to the same thing, once. The caller's
transaction begins with ``lock_persons`` over what ``locks_of`` names. A contact point that is bad is bad for everybody
who has it; our own mistakes switch off what made them, and operations are told.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection

from activities.providers.base import RejectionKind
from db.record import append_event
from db.state_events import concern_of, record_state_event
from db.switches import Scope, switch_off
from domain.state_events import StateKind, Told

CARRIER = "carrier"
OPERATIONS = "operations"

log = structlog.get_logger(__name__)

_SUBJECT = """
SELECT t.key, t.case_key, t.channel, coalesce(t.template, t.step, '') AS template, t.contact_point_key, k.account_key,
       t.admitted_at, coalesce(p.timezone, c.timezone, 'UTC') AS zone,
       coalesce((SELECT array_agg(x.account_key ORDER BY x.account_key) FROM attempt_accounts x
                  WHERE x.attempt_key = t.key), '{}') AS accounts
  FROM attempts t JOIN cases k ON k.key = t.case_key JOIN creditors c ON c.code = k.creditor
  JOIN debtors d ON d.key = k.debtor_key JOIN parties p ON p.key = d.party_key
 WHERE t.key = %(key)s OR (%(key)s = '' AND t.provider_id = %(provider_id)s) LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """The attempt that something is said about."""

    attempt_key: str
    case_key: str
    channel: str
    template: str
    point_key: str | None
    account_key: str
    zone: str
    accounts: tuple[str, ...]
    admitted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Mishap:
    """That a carrier refused an attempt: what kind it is, under which code."""

    kind: RejectionKind
    code: str
    at: datetime


def subject_of(connection: Connection, attempt_key: str, provider_id: str = "") -> Subject | None:
    """Find an attempt by its key, or where a report does not carry it, by the provider's own id."""
    row = connection.exec_driver_sql(_SUBJECT, {"key": attempt_key, "provider_id": provider_id}).one_or_none()
    if row is None:
        return None
    return Subject(
        attempt_key=row.key,
        case_key=row.case_key,
        channel=row.channel,
        template=row.template,
        point_key=row.contact_point_key,
        account_key=row.account_key,
        zone=row.zone,
        accounts=tuple(row.accounts),
        admitted_at=row.admitted_at,
    )


def locks_of(connection: Connection, subject: Subject, mishap: Mishap | None) -> tuple[set[str], set[str]]:
    """Return the accounts and contact points to lock before what follows is written."""
    accounts = {subject.account_key, *subject.accounts}
    points = set() if subject.point_key is None else {subject.point_key}
    if mishap is not None and mishap.kind is RejectionKind.OPT_OUT and subject.point_key is not None:
        accounts.update(concern_of(connection, _refusal(subject, mishap)).accounts)
    return accounts, points


def follow(connection: Connection, subject: Subject, mishap: Mishap) -> None:
    """Write what follows. Safe to repeat."""
    match mishap.kind:
        case RejectionKind.RECIPIENT:
            _out_of_use(connection, subject, mishap)
        case RejectionKind.CHANNEL_UNFIT:
            _unfit(connection, subject, mishap)
        case RejectionKind.OPT_OUT:
            if subject.point_key is not None:
                record_state_event(connection, _refusal(subject, mishap), zone=subject.zone)
        case RejectionKind.CONTENT:
            stop(connection, "template", subject.template, subject, mishap)
        case RejectionKind.CONFIGURATION:
            stop(connection, "channel", subject.channel, subject, mishap)
        case RejectionKind.NOT_PERMITTED:
            tell_operations(connection, f"not_permitted:{subject.channel}", subject.attempt_key, mishap.at)
        case RejectionKind.OTHER:
            tell_operations(connection, f"refused:{mishap.code}", subject.attempt_key, mishap.at)
        case RejectionKind.LATER:
            pass


def _refusal(subject: Subject, mishap: Mishap) -> Told:
    """Return the opt-out that a carrier reports: of the number or the address, whoever shares it."""
    return Told(
        kind=StateKind.OPT_OUT,
        event_id=f"{CARRIER}/{subject.attempt_key}",
        at=mishap.at,
        account_key=subject.account_key,
        source=CARRIER,
        contact_point_key=subject.point_key,
        note_ref=subject.attempt_key,
        detail={"code": mishap.code},
    )


def _out_of_use(connection: Connection, subject: Subject, mishap: Mishap) -> None:
    changed = connection.exec_driver_sql(
        "UPDATE contact_points o SET state = 'invalid' FROM contact_points n WHERE n.key = %s AND o.kind = n.kind "
        "AND o.value = n.value AND o.state IN ('unconfirmed', 'confirmed') RETURNING o.key",
        (subject.point_key,),
    ).all()
    if changed:
        body = {"contact_point": subject.point_key, "state": "invalid", "code": mishap.code}
        append_event(connection, subject.case_key, "contact_point", mishap.at, body)


def _unfit(connection: Connection, subject: Subject, mishap: Mishap) -> None:
    changed = connection.exec_driver_sql(
        "UPDATE contact_points o SET unfit = o.unfit || %(channel)s::text FROM contact_points n "
        "WHERE n.key = %(point)s AND o.kind = n.kind AND o.value = n.value AND %(channel)s <> ALL (o.unfit) "
        "RETURNING o.key",
        {"channel": subject.channel, "point": subject.point_key},
    ).all()
    if changed:
        body = {"contact_point": subject.point_key, "unfit": subject.channel, "code": mishap.code}
        append_event(connection, subject.case_key, "contact_point", mishap.at, body)


def stop(connection: Connection, scope: Scope, name: str, subject: Subject, mishap: Mishap) -> None:
    """Switch off what a carrier will not take from us, and tell operations; once for as long as it is off."""
    if switch_off(connection, scope, name, reason=mishap.code, by=CARRIER, at=mishap.at):
        tell_operations(connection, f"switched_off:{scope}:{name}", subject.attempt_key, mishap.at)
        log.error("switched off", scope=scope, name=name, code=mishap.code, attempt=subject.attempt_key)


def tell_operations(connection: Connection, reason: str, note_ref: str, at: datetime) -> None:
    """Ask operations to look at something; one open item for each reason."""
    connection.exec_driver_sql(
        "INSERT INTO work_items (kind, reason, skill, created_at, due_at, note_ref) "
        "SELECT 'review', %(reason)s, %(skill)s, %(at)s, %(at)s, %(note)s WHERE NOT EXISTS (SELECT 1 FROM work_items "
        "WHERE kind = 'review' AND reason = %(reason)s AND status IN ('open', 'claimed'))",
        {"reason": reason[:200], "skill": OPERATIONS, "at": at, "note": note_ref},
    )
