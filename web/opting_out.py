"""Unsubscribing by the address in an e-mail: one click of a mail program, or a button for people (RFC 8058).

The address is sealed, so whoever has the e-mail may unsubscribe its recipient and nobody else. Looking at the page
changes nothing: scanners look at every link.
"""

import json

from sqlalchemy import Engine

from activities.aftermath import subject_of
from db.arrivals import Waiting, claim, refuse
from db.locks import lock_persons
from db.signals import tell
from db.state_events import concern_of, record_state_event
from domain.clock import BusinessClock
from domain.state_events import StateKind, Told

NAME = "unsubscribe"


class OptOuts:
    """Applies unsubscriptions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def apply(self, row: Waiting, clock: BusinessClock) -> None:
        """Withdraw the permission for the address an e-mail went to."""
        key = json.loads(row.body)["attempt"]
        at = clock.business(row.at)
        with self._engine.connect() as connection:
            subject = subject_of(connection, key)
            known = subject is not None and subject.point_key is not None
            if subject is not None and known:
                told = Told(
                    kind=StateKind.OPT_OUT,
                    event_id=f"unsubscribe/{key}",
                    at=at,
                    account_key=subject.account_key,
                    source="unsubscribe",
                    contact_point_key=subject.point_key,
                    note_ref=key,
                    detail={"form": "email"},
                )
                concern = concern_of(connection, told)
        with self._engine.begin() as connection:
            if subject is None or not known:
                refuse(connection, row.id, "unknown_attempt")
                return
            lock_persons(connection, concern.accounts, concern.points)
            if row.id in claim(connection, [row.id]):
                recorded = record_state_event(connection, told, zone=subject.zone)
                body = {"event_id": f"web/{row.id}", "actor": "debtor"}
                cases = recorded.cases if told.moves_the_ladder else ()
                tell(connection, cases, "ledger_changed", body, at, logical=clock.is_logical)
