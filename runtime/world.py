"""The simulated world of a demonstration: lets carriers and people do what they planned, and opens cases day by day.

It uses the doors real ones use: receipts and payments go to the ledger, then the case is told by signal; outcomes of
calls and visits go to the case as agents send them. Nothing overtakes: a person's events happen in order, and never
while a case of that person still has to act before them. So the same seed gives the same story.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.dialling import Dialled, Dialling, NotNow
from db import sandbox
from db.engine import reading
from db.facts import read_account
from db.ledger import post_payment, record_receipt, reverse_payment
from db.locks import lock_item, lock_persons
from db.settings import get, put
from db.state_events import Concern, concern_of, record_state_event
from db.work_outcomes import record_after_close
from domain.clock import BusinessClock
from domain.codes import CONTACT_POINT_KIND, Channel
from domain.messages import RecordCallOutcome, RecordVisitOutcome, parse_message
from domain.people import odd
from domain.state_events import Told
from domain.state_messages import ChannelOptOut, OptOut, StateEvent
from runtime.rehearsing import PeoplesDoors
from runtime.turns import Turns

OPENED_UNTIL = "opened_until"
DONE = "world_done"
LOOK_EVERY = 0.05
RETRY_AFTER = 1.0
STALLED_AFTER = 60.0
CALLBACK_PATIENCE = 60.0
"""Seconds for which the world stands still for a carrier that has not said what became of a message."""
DAY = timedelta(days=1)
OpenCases = Callable[[datetime], Awaitable[int]]

_OUTCOMES = frozenset({"record_call_outcome", "record_visit_outcome"})

log = structlog.get_logger(__name__)


def engine_now() -> datetime:
    """Return the engine's time: the world stands outside of the cases and lives on the wall clock."""
    return datetime.now(UTC)


class World:
    """The simulated carriers and people of one installation, and who opens its cases."""

    def __init__(
        self,
        engine: Engine,
        client: Client,
        clock: BusinessClock,
        dialling: Dialling,
        open_cases: OpenCases,
        doors: PeoplesDoors | None = None,
    ) -> None:
        """``doors``: where people knock with money and texts, in front of fake carriers."""
        self._doors = doors
        self._engine = engine
        self._client = client
        self._clock = clock
        self._dialling = dialling
        self._open_cases = open_cases
        self._turns = Turns(engine, client)
        self._awaited: dict[int, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Run until stopped; an outage of either server is waited out."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forever(stop, self._pump))
            if self._clock.is_logical:
                group.create_task(self._forever(stop, self._conduct))
            if self._clock.in_turns:
                group.create_task(self._forever(stop, self._give_turns))

    async def _forever(self, stop: asyncio.Event, once: Callable[[], Awaitable[bool]]) -> None:
        """Call ``once`` again and again; it says whether it did something."""
        moved = asyncio.get_running_loop().time()
        while not stop.is_set():
            pause = 0.0
            try:
                if await once():
                    moved = asyncio.get_running_loop().time()
                else:
                    pause = LOOK_EVERY
            except (SQLAlchemyError, RPCError, OSError) as error:
                log.warning("the world waits for a server", kind=type(error).__name__)
                pause = RETRY_AFTER
            if asyncio.get_running_loop().time() - moved > STALLED_AFTER:
                moved = asyncio.get_running_loop().time()
                log.info("the world has nothing to do", part=once.__name__)
            if pause:
                await asyncio.sleep(pause)

    # --- what carriers and people do ------------------------------------------------------------------------------

    async def _pump(self) -> bool:
        events = await asyncio.to_thread(self._due)
        happened = await asyncio.gather(*(self._happen(event) for event in events))
        return any(happened)

    def _due(self) -> list[sandbox.Event]:
        limit = self._clock.business(engine_now())
        with reading(self._engine) as connection:
            untold = sandbox.untold_events(connection)
            if untold:
                return untold
            if self._clock.is_logical:
                opened = self._opened(connection)
                if opened is None:
                    return []
                limit = min(limit, opened)
            return sandbox.due_events(connection, limit)

    def _opened(self, connection: Connection) -> datetime | None:
        """Return until when everything that opens has been opened, within the horizon."""
        opened = get(connection, OPENED_UNTIL)
        if opened is None:
            return None
        until = datetime.fromisoformat(opened)
        return until if self._clock.horizon is None else min(until, self._clock.horizon)

    async def _happen(self, event: sandbox.Event) -> bool:
        """Let one thing happen; false when it has to wait for somebody else."""
        if event.kind == "callback":
            return await asyncio.to_thread(self._has_called_back, event)
        if event.delivered_at is None and self._doors is not None:
            by_door = await asyncio.to_thread(self._by_door, self._doors, event)
            if by_door is not None:
                return by_door
        if event.delivered_at is None:
            if event.kind in {"call", "visit"}:
                dialled = await asyncio.to_thread(self._dial, event)
                if dialled is None:
                    return True
                event = dialled
            await asyncio.to_thread(self._deliver, event)
        told = self._message(event)
        if told is not None and event.case_key is not None:
            name, body = told
            try:
                await self._client.get_workflow_handle(f"case/{event.case_key}").signal(name, body)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise  # it is told again: the event is not confirmed
                if name in _OUTCOMES:
                    await asyncio.to_thread(self._record_after_close, name, body, event)
        await asyncio.to_thread(self._confirm, event)
        return True

    def _has_called_back(self, event: sandbox.Event) -> bool:
        """Whether a carrier outside has said what became of an attempt; one that says nothing is not waited for."""
        began = self._awaited.setdefault(event.id, time.monotonic())
        with self._engine.begin() as connection:
            status = connection.exec_driver_sql(
                "SELECT status FROM attempts WHERE key = %s", (event.body["attempt"],)
            ).scalar_one()
            told = status not in {"dispatching", "sent", "unknown"}
            if not told and time.monotonic() - began < CALLBACK_PATIENCE:
                return False
            if not told:
                log.warning("a carrier did not call back", attempt=event.body["attempt"])
            sandbox.mark_delivered(connection, event, engine_now())
            sandbox.mark_confirmed(connection, event, engine_now())
        del self._awaited[event.id]
        return True

    def _by_door(self, doors: PeoplesDoors, event: sandbox.Event) -> bool | None:
        """Bring an event to the door that is for it; whether it is in the ledger, ``None`` where there is no door."""
        if not doors.takes(event):
            return None
        came = doors.came(event)
        if came:
            with self._engine.begin() as connection:
                sandbox.mark_delivered(connection, event, engine_now())
                sandbox.mark_confirmed(connection, event, engine_now())
        return came

    def _record_after_close(self, name: str, body: dict[str, Any], event: sandbox.Event) -> None:
        """Keep what came of a call whose case closed while it was made."""
        message = parse_message(name, body)
        assert isinstance(message, RecordCallOutcome | RecordVisitOutcome)  # noqa: S101 - by its name
        with self._engine.begin() as connection:
            lock_item(connection, str(event.body["item"]))
            record_after_close(connection, str(event.body["item"]), message, event.at)

    def _dial(self, event: sandbox.Event) -> sandbox.Event | None:
        """Have an agent ask the gate before they dial or set out; refused, they try again later or not at all."""
        item_key = str(event.body["item"])
        answer = self._dialling.admit(item_key, lambda: event.at, engine_now(), logical=self._clock.is_logical)
        with self._engine.begin() as connection:
            if isinstance(answer, Dialled):
                return sandbox.dialled(connection, event, answer.contact_point)
            until = answer.until if isinstance(answer, NotNow) else None
            if until is None:
                sandbox.drop(connection, event, engine_now())
            else:
                sandbox.postpone(connection, event, odd(until) - event.at, engine_now())
        return None

    def _deliver(self, event: sandbox.Event) -> None:
        body = event.body
        told, zone, concern = self._told_by_reply(event)
        with self._engine.begin() as connection:
            if told is not None and concern is not None:
                lock_persons(connection, concern.accounts, concern.points)
                record_state_event(connection, told, zone=zone)
            if event.kind == "receipt":
                record_receipt(
                    connection,
                    body["attempt"],
                    cast("Literal['delivered']", body["status"]),
                    event.at,
                    body.get("provider_id"),
                    body.get("error_code"),
                )
            elif event.kind == "payment":
                post_payment(
                    connection,
                    account_key=body["account"],
                    external_id=body["payment_id"],
                    amount=body["amount"],
                    currency=body["currency"],
                    value_on=datetime.fromisoformat(body["value_on"]).date(),
                    received_at=event.at,
                    source="sandbox",
                )
            elif event.kind == "return":
                reverse_payment(
                    connection,
                    account_key=body["account"],
                    payment_id=body["payment_id"],
                    reason=body["reason"],
                    received_at=event.at,
                    value_on=datetime.fromisoformat(body["value_on"]).date(),
                    source="sandbox",
                )
            elif event.kind == "reply":
                connection.exec_driver_sql(
                    "INSERT INTO inbox (source, external_id, case_key, name, body, received_at) "
                    "VALUES ('sandbox', %s, %s, 'reply', %s, %s) ON CONFLICT DO NOTHING",
                    (event.external_id, body.get("case"), body["code"], event.at),
                )
            sandbox.mark_delivered(connection, event, engine_now())

    def _told_by_reply(self, event: sandbox.Event) -> tuple[Told | None, str, Concern | None]:
        """Return the refusal that a reply is, and whom it concerns."""
        if event.kind != "reply" or event.body["code"] != "stop":
            return None, "", None
        with reading(self._engine) as connection:
            row = connection.exec_driver_sql(
                "SELECT t.channel, t.contact_point_key, t.party_key, k.account_key FROM attempts t "
                "JOIN cases k ON k.key = t.case_key WHERE t.key = %s",
                (event.body["attempt"],),
            ).one()
            head = {"event_id": event.external_id, "source": "carrier", "actor": "sandbox"}
            if CONTACT_POINT_KIND[Channel(row.channel)] == "phone":
                message: StateEvent = OptOut.model_validate({**head, "contact_point": row.contact_point_key})
            else:
                message = ChannelOptOut.model_validate({**head, "channel": row.channel, "party": row.party_key})
            told = message.told(row.account_key, event.at)
            zone = read_account(connection, row.account_key, event.at, logical=True).facts.zone or "UTC"
            return told, zone, concern_of(connection, told)

    def _confirm(self, event: sandbox.Event) -> None:
        with self._engine.begin() as connection:
            sandbox.mark_confirmed(connection, event, engine_now())

    @staticmethod
    def _message(event: sandbox.Event) -> tuple[str, dict[str, Any]] | None:
        """Return the signal an event is told by; ``None`` when the ledger is enough."""
        body = event.body
        head = {"event_id": event.external_id, "at": event.at.isoformat(), "actor": "sandbox"}
        match event.kind:
            case "receipt":
                return "attempt_updated", {**head, "attempt": body["attempt"]}
            case "payment" | "return" | "nudge":
                return "ledger_changed", head
            case "call":
                return "record_call_outcome", {**head, "work_item": body["item"], **body["outcome"]}
            case "visit":
                return "record_visit_outcome", {**head, "work_item": body["item"], **body["outcome"]}
            case "legal":
                return "record_legal_update", {**head, "work_item": body["item"], **body["outcome"]}
            case _:
                return None

    async def _give_turns(self) -> bool:
        """Let the cases act whose turn it is; whoever did act, the next look is a moment away."""
        opened = await asyncio.to_thread(self._opened_until)
        if opened is not None:
            await self._turns.give(min(self._clock.business(engine_now()), opened))
        return False

    def _opened_until(self) -> datetime | None:
        with reading(self._engine) as connection:
            return self._opened(connection)

    # --- who opens cases ------------------------------------------------------------------------------------------

    async def _conduct(self) -> bool:
        """Open the cases of the next day, as soon as its time has come and everything before it is done."""
        at = await asyncio.to_thread(self._next_day)
        if at is None or self._clock.business(engine_now()) < at:
            return False
        standing = await asyncio.to_thread(self._standing, at)
        if standing.behind or standing.pending:
            return False
        horizon = self._clock.horizon
        if horizon is not None and at >= horizon:
            await asyncio.to_thread(self._put, DONE, value=True)
            return True
        await self._open_cases(at)
        await asyncio.to_thread(self._put, OPENED_UNTIL, value=(at + DAY).isoformat())
        return True

    def _next_day(self) -> datetime | None:
        with reading(self._engine) as connection:
            if get(connection, DONE):
                return None
            opened = get(connection, OPENED_UNTIL)
        return self._clock.origin if opened is None else datetime.fromisoformat(opened)

    def _standing(self, at: datetime) -> sandbox.Standing:
        with reading(self._engine) as connection:
            return sandbox.standing(connection, at)

    def _put(self, name: str, *, value: object) -> None:
        with self._engine.begin() as connection:
            put(connection, name, value)
