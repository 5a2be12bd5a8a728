"""Who acts on the command line (``--as CODE`` or ``DUNLIN_ACTOR``, looked up in the database), and at which instant."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from sqlalchemy import Connection, Engine

from db.settings import read_clock
from desk.actors import acting_at_desk
from domain.roles import Act, Acting, require
from settings import load_settings

As = Annotated[str | None, typer.Option("--as", help="Who acts: a code of `actor list`. Default: DUNLIN_ACTOR.")]


def code_of(given: str | None) -> str | None:
    """Return the code that was given, or that the environment names."""
    return given or load_settings().actor


def acting(engine: Engine, given: str | None, act: Act | None = None) -> Acting:
    """Return who acts, and check that they may do ``act``; while nobody is registered it is the house itself."""
    with engine.connect() as connection:
        who = acting_at_desk(connection, code_of(given))
    if act is not None:
        require(who, act)
    return who


def business_now(engine: Engine) -> datetime:
    """Return the instant at which a command acts, on the clock of what is running."""
    with engine.connect() as connection:
        return business_now_in(connection)


def business_now_in(connection: Connection) -> datetime:
    """Return the same within a transaction."""
    return read_clock(connection).business(datetime.now(UTC))
