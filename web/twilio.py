"""Twilio's doors: states of messages and calls, who answered, texts from people, and the words of running calls."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from activities.providers.addresses import (
    BRIDGE,
    BRIDGE_STATUS,
    CALL_DIALOGUE,
    CALL_MACHINE,
    CALL_STATUS,
    INBOUND_MESSAGE,
    MESSAGE_STATUS,
)
from activities.providers.twiml import Heard
from db.arrivals import Arrival
from web import bridges, calls, receipts, texts
from web.bodies import FORM_LIMIT, empty, read_body
from web.bridges import Picked
from web.intake import name_of
from web.parts import Doors
from web.signatures import Form

SOURCE = "web/twilio"
XML = "text/xml; charset=utf-8"
LONGEST_KEY = 200
NO_ANSWER = '<?xml version="1.0" encoding="UTF-8"?><Response/>'


class _Signed:
    """A request that Twilio signed."""

    def __init__(self, form: Form, query: str, body: bytes) -> None:
        self.form = form.fields
        self.query = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        attempt = self.query.get("attempt", "")
        self.attempt = attempt if len(attempt) <= LONGEST_KEY and attempt.isprintable() else ""
        self.body = body

    def arrival(self, name: str, *parts: str) -> Arrival:
        """Return it as an arrival named by its parts; one without them is told apart by its bytes."""
        unnamed = b"" if all(parts) else self.body
        content = json.dumps({"attempt": self.attempt, "form": self.form})
        return Arrival(SOURCE, name_of("/".join((name, *parts)), unnamed), name, content, datetime.now(UTC))


class _Entrance:
    """What all of Twilio's doors have in common."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def signed(self, request: Request, path: str) -> _Signed | None:
        """Return a request that Twilio signed for the public address of a path."""
        doors, body = self._doors, await read_body(request, FORM_LIMIT)
        query = request.scope["query_string"].decode("latin-1")
        form = None
        if doors.twilio is not None:
            form = doors.twilio.form_of(path, query, body, request.headers.get("x-twilio-signature", ""))
        doors.counters.add("refused" if form is None else "received", door=path)
        return None if form is None else _Signed(form, query, body)

    async def kept(self, request: Request, path: str, name: str, *fields: str) -> Response:
        """Keep a callback under the values of its fields, then acknowledge it."""
        found = await self.signed(request, path)
        if found is None:
            return empty(403)
        parts = [found.form.get(one) or found.form.get(f"Sms{one.removeprefix('Message')}", "") for one in fields]
        if not await self._doors.intake.keep([found.arrival(name, *parts)]):
            self._doors.counters.add("repeated", door=path)
        return empty(204)


def router_of(doors: Doors) -> APIRouter:
    """Return the routes."""
    router, entrance = APIRouter(), _Entrance(doors)

    @router.post(MESSAGE_STATUS)
    async def message_status(request: Request) -> Response:
        return await entrance.kept(request, MESSAGE_STATUS, receipts.MESSAGE_STATUS, "MessageSid", "MessageStatus")

    @router.post(CALL_STATUS)
    async def call_status(request: Request) -> Response:
        return await entrance.kept(request, CALL_STATUS, receipts.CALL_STATUS, "CallSid", "CallStatus")

    @router.post(CALL_MACHINE)
    async def call_machine(request: Request) -> Response:
        return await entrance.kept(request, CALL_MACHINE, receipts.CALL_MACHINE, "CallSid", "AnsweredBy")

    @router.post(INBOUND_MESSAGE)
    async def message(request: Request) -> Response:
        found = await entrance.signed(request, INBOUND_MESSAGE)
        if found is None:
            return empty(403)
        sid = found.form.get("MessageSid", "")
        arrival = found.arrival(texts.NAME, sid)
        await doors.intake.keep([arrival if sid else replace(arrival, refusal="no_message_sid")])
        return Response(NO_ANSWER, media_type=XML)

    @router.post(CALL_DIALOGUE)
    async def voice(request: Request) -> Response:
        found = await entrance.signed(request, CALL_DIALOGUE)
        if found is None:
            return empty(403)
        if doors.calls is None:
            return Response(calls.HANG_UP, media_type=XML)
        return await _talk(doors, doors.calls, found)

    _add_bridges(router, doors, entrance)
    return router


def _add_bridges(router: APIRouter, doors: Doors, entrance: _Entrance) -> None:
    """Add the doors of calls that agents make."""

    @router.post(BRIDGE)
    async def picked_up(request: Request) -> Response:
        found = await entrance.signed(request, BRIDGE)
        if found is None:
            return empty(403)
        if found.query.get("stage") == "after":
            await doors.intake.keep([_of_bridge(found, found.query.get("about", ""), "after")])
            return Response(calls.HANG_UP, media_type=XML)
        sid = found.form.get("CallSid", "")
        if doors.bridges is None or not found.attempt or not sid:
            return Response(calls.HANG_UP, media_type=XML)
        picked = Picked(found.attempt, found.query.get("by", ""), found.query.get("lease", ""), sid)
        connect = doors.bridges.connect
        twiml = await run_in_threadpool(lambda: connect(picked, doors.clock()))
        return Response(twiml, media_type=XML)

    @router.post(BRIDGE_STATUS)
    async def bridge_status(request: Request) -> Response:
        found = await entrance.signed(request, BRIDGE_STATUS)
        if found is None:
            return empty(403)
        is_agent = found.query.get("leg") == "agent"
        arrival = _of_bridge(found, "" if is_agent else found.attempt, "agent" if is_agent else "person")
        if not await doors.intake.keep([arrival]):
            doors.counters.add("repeated", door=BRIDGE_STATUS)
        return empty(204)


def _of_bridge(found: _Signed, attempt: str, leg: str) -> Arrival:
    """Return what is said of one of the two lines; named by the line, and by what is said of it."""
    form = found.form
    said = form.get("RecordingSid") or form.get("DialCallStatus") or form.get("CallStatus", "")
    sid = form.get("CallSid", "")
    content = json.dumps({"attempt": attempt, "item": found.attempt if leg != "person" else "", "form": form})
    name = name_of(f"{bridges.NAME}/{leg}/{sid}/{said}", b"" if sid and said else found.body)
    return Arrival(SOURCE, name, bridges.NAME, content, datetime.now(UTC))


async def _talk(doors: Doors, running: calls.Calls, found: _Signed) -> Response:
    """Answer one request of a running call; what the person said is kept before the answer leaves."""
    heard = Heard.of(found.query, found.form)
    now = datetime.now(UTC)

    def turn() -> tuple[str, tuple[str, ...]]:
        clock = doors.clock()
        answered = running.turn(found.attempt, heard, clock.business(now), logical=clock.is_logical)
        return answered.twiml, tuple(str(event) for event in answered.events)

    try:
        twiml, events = await run_in_threadpool(turn)
    except SQLAlchemyError:
        return empty(503)
    sid = found.form.get("CallSid", "")
    arrivals = [
        Arrival(
            SOURCE,
            name_of(f"{calls.NAME}/{sid}/{event}", b"" if sid else found.body),
            calls.NAME,
            json.dumps({"attempt": found.attempt, "event": event}),
            now,
        )
        for event in events
    ]
    await doors.intake.keep(arrivals)
    return Response(twiml, media_type=XML)
