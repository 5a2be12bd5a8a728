"""The stop: no dispatch at all, or none of a creditor, from the next admission on; everything stays due.

Whoever runs the machine may stop it. Letting it go on is a supervisor's decision, who is told what is due by then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from db.settings import read_clock
from db.signals import tell
from db.switches import EVERYTHING, Scope, Waiting, release, switch_off, switch_on, waiting
from domain.roles import Act, Acting, require

STOP: Scope = "all"


class StopError(ValueError):
    """A stop that cannot be, or does not stand. One line: which, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """What is taken up now. ``last_at``: when the last of it may go, in business time; ``None`` if nothing was due."""

    due: Sequence[Waiting]
    last_at: datetime | None


def stop(engine: Engine, acting: Acting, creditor: str | None, reason: str, now: datetime) -> bool:
    """Stop everything, or everything of a creditor; false when it was stopped already. ``now``: engine time."""
    require(acting, Act.STOP_ALL)
    with engine.begin() as connection:
        if creditor is not None:
            _known(connection, creditor)
        return switch_off(connection, STOP, creditor or EVERYTHING, reason=reason, by=acting.actor, at=now)


def due(engine: Engine, creditor: str | None = None) -> Sequence[Waiting]:
    """Return what waits for the stop to be lifted."""
    with engine.connect() as connection:
        return waiting(connection, STOP, creditor or EVERYTHING)


def lift(engine: Engine, acting: Acting, creditor: str | None, now: datetime, rates: Mapping[str, float]) -> Lifted:
    """Lift a stop. What was put off is asked again, the oldest first and no faster than ``rates``, each by its gate."""
    require(acting, Act.LIFT_STOP)
    name = creditor or EVERYTHING
    with engine.begin() as connection:
        found = waiting(connection, STOP, name)
        if not switch_on(connection, STOP, name, by=acting.actor, at=now):
            whose = "nothing" if creditor is None else f"nothing of {creditor}"
            raise StopError(f"{whose} is stopped; `switch list` shows what is off")
        clock = read_clock(connection)
        at = clock.business(now)
        released = release(connection, STOP, name, at, rates)
        for case_key, attempt_key in released:
            body = {"event_id": f"stop/{now:%Y%m%dT%H%M%S.%f}/{attempt_key}", "attempt": attempt_key}
            tell(connection, [case_key], "attempt_updated", body, at, logical=clock.is_logical)
        last_at = connection.exec_driver_sql(
            "SELECT max(not_before) FROM attempts WHERE key = ANY(%s)", ([key for _, key in released],)
        ).scalar_one()
    return Lifted(found, last_at)


def _known(connection: Connection, creditor: str) -> None:
    if connection.exec_driver_sql("SELECT 1 FROM creditors WHERE code = %s", (creditor,)).one_or_none() is None:
        raise StopError(f"--creditor {creditor}: no creditor has this code")
