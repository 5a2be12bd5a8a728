"""Who may act: people and programs, each under one code for ever, with a role and what they are fit for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from domain.roles import Acting, Role

_CODE = re.compile(r"[a-z0-9][a-z0-9_.:/-]{0,79}")
_COLUMNS = (
    "code, kind, role, skills, languages, regions, licences, phone, active, added_by, added_at, retired_by, retired_at"
)
_FIRST_LOCK = "actors/first"

HOUSE = frozenset({"system", "carrier", "debtor", "payments", "sandbox", "import"})
"""Names under which the house's own doors speak. They are nobody's code."""
UNREGISTERED = "unregistered"
"""Stands in the record as the role of somebody whom nobody registered."""


class ActorError(ValueError):
    """Somebody who cannot act, or cannot be registered so. One line: who, why, how to mend."""


@dataclass(frozen=True, slots=True)
class Fitness:
    """What an agent is fit for: codes, lower case but for regions. ``phone``: where their own telephone rings."""

    skills: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """One row of ``actors``."""

    code: str
    kind: str
    role: Role
    fit: Fitness
    active: bool
    added_by: str
    added_at: datetime | None
    retired_by: str | None
    retired_at: datetime | None


def acting_as(connection: Connection, code: str) -> Acting:
    """Return who acts under a code; ActorError when nobody does, or does no more."""
    row = connection.exec_driver_sql("SELECT role, active FROM actors WHERE code = %s", (code,)).one_or_none()
    if row is None:
        raise ActorError(f"{code}: nobody is registered under this code; `actor list` shows who is")
    if not row.active:
        raise ActorError(f"{code}: is retired and acts no more")
    return Acting(code, Role(row.role))


def acting_for_decision(connection: Connection, code: str) -> Acting:
    """Return who acts as ``acting_as``, and keep them from being retired before the transaction ends."""
    connection.exec_driver_sql("SELECT 1 FROM actors WHERE code = %s FOR SHARE", (code,))
    return acting_as(connection, code)


def acting_in_message(connection: Connection, actor: str) -> Acting:
    """Return who a message says acted.

    The doors of the house are the system. While no person is registered, so is everybody: whoever let the message in has
    authenticated it. Once somebody is, a name that nobody registered may do what an agent may, and no more: what was
    told or done is taken in, what takes a higher role is not. ActorError for one who is retired.
    """
    if actor in HOUSE:
        return Acting(actor, Role.SYSTEM)
    row = connection.exec_driver_sql("SELECT role, active FROM actors WHERE code = %s", (actor,)).one_or_none()
    if row is None:
        return Acting(actor, Role.AGENT if anybody_registered(connection) else Role.SYSTEM)
    if not row.active:
        raise ActorError(f"{actor} is retired and acts no more")
    return Acting(actor, Role(row.role))


def role_in_record(connection: Connection, actor: str) -> str:
    """Return the role that stands beside an actor in the record."""
    if actor in HOUSE:
        return str(Role.SYSTEM)
    role = connection.exec_driver_sql("SELECT role FROM actors WHERE code = %s", (actor,)).scalar_one_or_none()
    return UNREGISTERED if role is None else str(role)


def anybody_registered(connection: Connection) -> bool:
    """Whether at least one person is registered, active or not."""
    found = connection.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM actors WHERE kind = 'person')")
    return bool(found.scalar_one())


def read_actor(connection: Connection, code: str) -> Actor | None:
    """Return the row of a code."""
    row = connection.exec_driver_sql(f"SELECT {_COLUMNS} FROM actors WHERE code = %s", (code,)).one_or_none()
    return None if row is None else _actor(row)


def list_actors(connection: Connection, *, retired: bool = False) -> list[Actor]:
    """Return everybody who acts, by code; with ``retired`` also who did."""
    rows = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM actors WHERE active OR %s ORDER BY active DESC, code", (retired,)
    )
    return [_actor(row) for row in rows]


def _actor(row: Sequence[object]) -> Actor:
    code, kind, role, skills, languages, regions, licences, phone, active, added_by, added_at, by, at = row
    fit = Fitness(tuple(skills), tuple(languages), tuple(regions), tuple(licences), phone)  # type: ignore[arg-type]
    return Actor(str(code), str(kind), Role(str(role)), fit, bool(active), str(added_by), added_at, by, at)  # type: ignore[arg-type]


def lock_first_actor(connection: Connection) -> None:
    """Wait until nobody else may be registering the first person."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (_FIRST_LOCK,))


def register(connection: Connection, code: str, role: Role, fit: Fitness, *, by: Acting, at: datetime) -> bool:
    """Register somebody; false when they stood there so already.

    The same code in the same role takes the new fitness. ActorError for a code that cannot be one, that the house uses,
    or that is or was somebody in another role.
    """
    if not _CODE.fullmatch(code):
        raise ActorError(
            f"{code!r}: a code is lower-case letters, digits and _.:/- (at most 80), such as ann or team/ann"
        )
    if code in HOUSE:
        raise ActorError(f"{code}: the house itself speaks under this name; choose another")
    held = read_actor(connection, code)
    if held is not None and not held.active:
        raise ActorError(f"{code}: was retired, and a code names one person for ever; choose another")
    if held is not None and held.role is not role:
        raise ActorError(f"{code}: is {held.role} already; retire it and add another code")
    if held is not None and held.fit == fit:
        return False
    connection.exec_driver_sql(
        "INSERT INTO actors (code, kind, role, skills, languages, regions, licences, phone, added_by, added_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (code) DO UPDATE SET skills = excluded.skills, "
        "languages = excluded.languages, regions = excluded.regions, licences = excluded.licences, phone = excluded.phone",
        (
            code,
            "system" if role is Role.SYSTEM else "person",
            role,
            list(fit.skills),
            list(fit.languages),
            list(fit.regions),
            list(fit.licences),
            fit.phone,
            by.actor,
            at,
        ),
    )
    return True


def retire(connection: Connection, code: str, *, by: Acting, at: datetime) -> bool:
    """Retire somebody; false when they were already. ActorError when nobody is known under the code."""
    held = read_actor(connection, code)
    if held is None:
        raise ActorError(f"{code}: nobody is registered under this code; `actor list` shows who is")
    row = connection.exec_driver_sql(
        "UPDATE actors SET active = false, retired_by = %s, retired_at = %s WHERE code = %s AND active RETURNING code",
        (by.actor, at, code),
    ).one_or_none()
    return row is not None


def other_admins(connection: Connection, code: str) -> int:
    """Return how many active admins there are besides one."""
    found = connection.exec_driver_sql(
        "SELECT count(*) FROM actors WHERE role = %s AND active AND code <> %s", (Role.ADMIN, code)
    )
    return int(found.scalar_one())
