"""One agent of the agents' drill: claims, works and finishes items until there are none, in a process of its own.

It writes down what it was told, as a person would: what it claimed, what it finished, what it lost. The judge compares
these notes with the ledger.
"""

import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from db.engine import make_engine
from db.settings import read_clock
from desk.finishing import finish
from desk.queue import Desk, LeaseLostError, Lent, claim_next, release, renew_lease
from domain.roles import Acting, Role
from domain.work_policy import WorkPolicy
from runtime.desk import desk_of

OUTCOME = {"disposition": "no_answer", "party_reached": "no_one"}
IDLE = 0.1
RELEASED, RENEWED, REPEATED = 0.02, 0.1, 0.1
"""How often an agent gives an item back, prolongs a loan, and reports the same outcome twice."""


class Brief(BaseModel):
    """What an agent is told to do. ``talk``: seconds between claim and report, at most."""

    database_url: str
    code: str
    policy: WorkPolicy
    notes: Path
    talk: float
    seed: int


def main() -> None:
    """Work until told to stop: the file ``<notes>.stop`` appears when there is nothing left to do."""
    brief = Brief.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    engine = make_engine(brief.database_url, pool_size=2)
    event.listen(engine, "connect", lambda connection, _: _name(connection, brief.code))
    with engine.connect() as connection:
        clock = read_clock(connection)
    desk, acting = desk_of(engine, policy=brief.policy), Acting(brief.code, Role.AGENT)
    chance = random.Random(brief.seed)

    def now() -> datetime:
        return clock.business(datetime.now(UTC))

    with brief.notes.open("a", encoding="utf-8", buffering=1) as notes:

        def write(*words: object) -> None:
            notes.write(" ".join(map(str, words)) + "\n")

        write("ready")
        while not (brief.notes.parent / "go").exists():
            time.sleep(IDLE)
        while not (brief.notes.parent / "stop").exists():
            lent = claim_next(desk, acting, now())
            if lent is None:
                time.sleep(IDLE)
                continue
            write("claimed", lent.key, lent.lease_no)
            time.sleep(chance.random() * brief.talk)
            try:
                if chance.random() < RELEASED:
                    release(desk, acting, lent.key, lent.lease_no, now())
                    write("released", lent.key, lent.lease_no)
                    continue
                if chance.random() < RENEWED:
                    renew_lease(desk, acting, lent.key, lent.lease_no, now())
                for _ in range(1 + (chance.random() < REPEATED)):
                    _report(desk, acting, lent, now())
                write("finished", lent.key, lent.lease_no)
            except LeaseLostError:
                write("lost", lent.key, lent.lease_no)


def _name(connection: Any, code: str) -> None:  # noqa: ANN401 - a connection of the driver
    """Tell the database who it serves, so that the drill can see whether this agent is in a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('application_name', %s, false)", (code,))
    connection.commit()


def _report(desk: Desk, acting: Acting, lent: Lent, now: datetime) -> None:
    """Report an outcome, once more after a lost connection: repeating it is harmless."""
    try:
        finish(desk, acting, lent.key, lent.lease_no, OUTCOME, now, logical=True)
    except DBAPIError:
        finish(desk, acting, lent.key, lent.lease_no, OUTCOME, now, logical=True)


if __name__ == "__main__":
    main()
