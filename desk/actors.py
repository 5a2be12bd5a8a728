"""Who may act: registered and retired by an admin. The first person must be one."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine

from db.actors import (
    Actor,
    ActorError,
    Fitness,
    acting_as,
    anybody_registered,
    list_actors,
    lock_first_actor,
    other_admins,
    register,
    retire,
)
from domain.roles import SYSTEM, Act, Acting, Role, require


def acting_at_desk(connection: Connection, code: str | None) -> Acting:
    """Return who acts: under a code, or while nobody is registered, the house itself.

    ActorError when somebody must be named, is unknown or retired.
    """
    if code is not None:
        return acting_as(connection, code)
    if anybody_registered(connection):
        raise ActorError("say who acts: --as CODE, or set DUNLIN_ACTOR; `actor list` shows who is registered")
    return SYSTEM


def add_actor(engine: Engine, by: str | None, code: str, role: Role, fit: Fitness, *, at: datetime) -> bool:
    """Register somebody; false when they stood there so already.

    While no person is registered, an admin may be added by nobody, once; everybody else is added by an admin.
    """
    with engine.begin() as connection:
        lock_first_actor(connection)
        if by is None and not anybody_registered(connection):
            if role is not Role.ADMIN:
                raise ActorError("the first person is an admin, who then adds the others: actor add CODE --role admin")
            return register(connection, code, role, fit, by=SYSTEM, at=at)
        acting = acting_at_desk(connection, by)
        require(acting, Act.MANAGE_ACTORS)
        return register(connection, code, role, fit, by=acting, at=at)


def retire_actor(engine: Engine, by: str | None, code: str, *, at: datetime) -> bool:
    """Retire somebody: their code acts no more and is given to nobody else. The last admin stays."""
    with engine.begin() as connection:
        lock_first_actor(connection)
        acting = acting_at_desk(connection, by)
        require(acting, Act.MANAGE_ACTORS)
        if acting.actor == code and not other_admins(connection, code):
            raise ActorError(f"{code}: is the last admin; add another before")
        return retire(connection, code, by=acting, at=at)


def actors(engine: Engine, by: str | None, *, retired: bool = False) -> Sequence[Actor]:
    """Return who is registered."""
    with engine.connect() as connection:
        require(acting_at_desk(connection, by), Act.SEE)
        return list_actors(connection, retired=retired)
