"""The hands of a test: script faults, let things happen, read what is known. JSON in, JSON out, under `/admin/`."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from tests.fakes.courier import BlockedTargetError
from tests.fakes.dialogue import Conversation
from tests.fakes.rules import Person, Rule, Step
from tests.fakes.sendgrid_api import SendGrid
from tests.fakes.signing import EventKey, twilio_signature
from tests.fakes.state import Answer, Config, Recorded, State
from tests.fakes.twilio_api import Twilio

_CONFIG = TypeAdapter(Config)
_FIXED = {"account_sid", "auth_token", "api_key", "seed"}


class Admin:
    """The doors of the admin interface, one for each path."""

    def __init__(self, state: State, twilio: Twilio, sendgrid: SendGrid) -> None:
        self._state = state
        self._twilio = twilio
        self._sendgrid = sendgrid
        self._held: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._doors: dict[str, Callable[[Any], object]] = {
            "health": lambda _: {"ok": True},
            "reset": self._reset,
            "config": self._config,
            "rules": self._rules,
            "rules/clear": lambda _: self._state.rules.clear(),
            "counters": lambda _: self._state.totals(),
            "state": self._all,
            "journal": lambda _: [_recorded(one) for one in list(self._state.journal)],
            "flush": self._flush,
            "release": self._release,
            "advance": self._advance,
            "call": self._call,
            "batch": self._batch,
            "message": self._message,
            "deliver": self._deliver,
        }

    def handle(self, request: Recorded) -> Answer:
        """Answer one request; a mistake of the caller is a 400 that says what."""
        door = self._doors.get(request.path.removeprefix("/admin/"))
        if door is None:
            return _json(404, {"error": f"no such door: {request.path}"})
        try:
            found = door(json.loads(request.body or b"{}"))
        except (ValidationError, ValueError, LookupError, TypeError) as error:
            return _json(400, {"error": f"{type(error).__name__}: {error}"})
        return _json(200, found if found is not None else {"ok": True})

    def hold(self) -> asyncio.Event:
        """Return an event that `release` sets."""
        event = asyncio.Event()
        self._held.append((asyncio.get_running_loop(), event))
        return event

    def _release(self, _: object) -> object:
        held, self._held = self._held, []
        for loop, event in held:
            loop.call_soon_threadsafe(event.set)
        return {"released": len(held)}

    def _reset(self, _: object) -> object:
        fixed = {name: getattr(self._state.config, name) for name in _FIXED}
        self._state.courier.flush(30)
        self._state.courier.deliver_to = {}
        self._state.config = Config(**fixed)
        self._state.forget()
        return None

    def _config(self, change: dict[str, Any]) -> object:
        self._state.courier.deliver_to.update(change.pop("deliver_to", {}))
        if _FIXED & change.keys() or change.keys() - {field.name for field in fields(Config)}:
            raise ValueError(f"cannot be changed: {', '.join(sorted(change))}")
        values = {field.name: getattr(self._state.config, field.name) for field in fields(Config)}
        self._state.config = _CONFIG.validate_python({**values, **change})
        shown = self._state.config
        return {
            "account_sid": shown.account_sid,
            "auth_token": shown.auth_token,
            "api_key": shown.api_key,
            "webhook_key": self._state.key.public,
            "auto": shown.auto,
            "event_url": shown.event_url,
            "message_url": shown.message_url,
        }

    def _rules(self, rules: list[object]) -> object:
        for rule in [Rule.model_validate(one) for one in rules]:
            self._state.rules.add(rule)
        return None

    def _all(self, _: object) -> object:
        with self._state.lock:
            return {
                "messages": [
                    {**self._twilio.message_view(one), "attempt": one.attempt, "validity": one.validity}
                    for one in self._state.messages.values()
                ],
                "calls": [
                    {**self._twilio.call_view(one), "attempt": one.attempt, "transcript": list(one.transcript)}
                    for one in self._state.calls.values()
                ],
                "emails": [asdict(one) for one in self._state.emails.values()],
                "opted_out": sorted(self._state.opted_out),
                "suppressed": dict(self._state.suppressed),
            }

    def _flush(self, asked: dict[str, float]) -> object:
        return {"empty": self._state.courier.flush(asked.get("seconds", 30))}

    def _advance(self, asked: dict[str, Any]) -> object:
        """Let a message or e-mail take steps now, and tell them."""
        steps = [Step.model_validate(one) for one in asked["steps"]]
        with self._state.lock:
            message, email = self._state.messages.get(asked["id"]), self._state.emails.get(asked["id"])
        for step in steps:
            if message is not None:
                self._twilio.advance_message(message, step)
            elif email is not None:
                self._sendgrid.advance(email, step)
            else:
                raise ValueError("no such message or e-mail")
        return None

    def _call(self, asked: dict[str, Any]) -> object:
        """Let a call that waits take place now, and wait for its end."""
        call = self._state.calls[asked["id"]]
        if "person" in asked:
            call.person = Person.model_validate(asked["person"])
        call.times = int(asked.get("times", 1))
        Conversation(self._twilio, call).run()
        return {"status": call.status, "transcript": call.transcript}

    def _batch(self, asked: dict[str, Any]) -> object:
        """Post the events that wait, between ``before`` and ``after``, which may be anything."""
        with self._state.lock:
            self._state.events = [*asked.get("before", []), *self._state.events, *asked.get("after", [])]
        self._sendgrid.batch()
        return None

    def _message(self, asked: dict[str, Any]) -> object:
        url = asked.get("url") or self._state.config.message_url
        if url is None:
            raise ValueError("no message_url")
        self._twilio.receive(asked["from"], asked["to"], asked["body"], url, asked.get("extra") or {})
        return None

    def _deliver(self, asked: dict[str, Any]) -> object:
        """Post anything anywhere on loopback, signed rightly, wrongly or not at all; return the answer's status."""
        url, signed, key = asked["url"], asked.get("signed", "none"), asked.get("key")
        headers = {"Content-Type": "application/x-www-form-urlencoded", **asked.get("headers", {})}
        form = [(str(name), str(value)) for name, value in asked.get("form", [])]
        body = urlencode(form).encode() if form else str(asked.get("body", "")).encode()
        if signed == "twilio":
            token = key or self._state.config.auth_token
            headers |= {"X-Twilio-Signature": twilio_signature(token, asked.get("as", url), form)}
            headers |= {"I-Twilio-Idempotency-Token": str(uuid4())}
        elif signed == "sendgrid":
            timestamp = str(asked.get("timestamp", int(time.time())))
            pair = EventKey(key) if key else self._state.key
            headers |= {
                "Content-Type": "application/json;charset=utf-8",
                "X-Twilio-Email-Event-Webhook-Signature": pair.sign(timestamp, body),
                "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
            }
        sent = str(asked["altered"]).encode() if "altered" in asked else body
        try:
            reply = self._state.courier.post(url, headers, sent)
        except BlockedTargetError as error:
            raise ValueError(f"not on loopback: {error}") from None
        return {"status": reply.status, "body": reply.body.decode("utf-8", "replace")}


def _recorded(one: Recorded) -> dict[str, Any]:
    answer = one.answer
    return {
        "method": one.method,
        "path": one.path,
        "query": one.query,
        "headers": one.headers,
        "body": base64.b64encode(one.body).decode(),
        "operation": one.operation,
        "at": one.at,
        "answer": None
        if answer is None
        else {
            "status": answer.status,
            "headers": answer.headers,
            "body": base64.b64encode(answer.body).decode(),
        },
    }


def _json(status: int, content: object) -> Answer:
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"})
