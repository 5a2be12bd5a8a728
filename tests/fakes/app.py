"""The server: routes, authentication, faults, counters. One plain ASGI application, so that a connection can be cut."""

import asyncio
import base64
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.admin import Admin
from tests.fakes.dialogue import Conversation
from tests.fakes.rules import Fault, Rule
from tests.fakes.sendgrid_api import SendGrid, facts_of
from tests.fakes.sendgrid_api import refusal as sendgrid_refusal
from tests.fakes.state import Answer, Call, Recorded, State, header
from tests.fakes.twilio_answers import attempt_of, fields_of
from tests.fakes.twilio_answers import refusal as twilio_refusal
from tests.fakes.twilio_api import Twilio

EARLY_SECONDS = 10.0
HOLD_SECONDS = 60.0
_ACCOUNT = re.compile(r"^/2010-04-01/Accounts/(AC[0-9a-fA-F]{32})/(Messages|Calls)(?:/([A-Z]{2}[0-9a-f]{32}))?\.json$")

Scope = MutableMapping[str, Any]


class FakeApp:
    """Twilio, SendGrid and the hands of a test, on one port."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.twilio = Twilio(state)
        self.sendgrid = SendGrid(state)
        self.admin = Admin(state, self.twilio, self.sendgrid)

    async def __call__(self, scope: Scope, receive: Callable[[], Any], send: Any) -> None:  # noqa: ANN401 - ASGI
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = bytearray()
        while True:
            part = await receive()
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        headers = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in scope["headers"]]
        request = Recorded(
            scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers, bytes(body), None
        )
        if request.path.startswith("/admin/"):
            answer = await asyncio.to_thread(self.admin.handle, request)
        else:
            found = await self._provide(request, send)
            if found is None:
                return
            answer = found
        await _answer(send, answer)

    # --- the providers ------------------------------------------------------------------------------------------

    async def _provide(self, request: Recorded, send: object) -> Answer | None:
        state = self.state
        operation, to, attempt = self._recognise(request)
        request.operation = operation
        with state.lock:
            state.journal.append(request)
            state.counters[f"{operation or 'unknown'}.requests"] += 1
            if operation is not None and operation.endswith((".create", ".send")):
                state.requests_of[attempt] += 1
        if operation is None:
            request.answer = twilio_refusal(404, 20404, "The requested resource was not found")
            return request.answer
        if (refused := self._unauthorised(request)) is not None:
            request.answer = refused
            return refused
        rule = state.rules.take(operation, to, attempt)
        fault = None if rule is None else rule.fault
        if fault is not None:
            state.count(f"{operation}.faults")
        released = self.admin.hold() if fault is not None and fault.kind == "hold" else None
        answer: Answer | None = None
        if fault is None or fault.processed or fault.kind in {"slow", "hold", "garble"}:
            answer = await self._process(operation, request, rule)
        return await self._go_wrong(fault, answer, request, send, released)

    async def _go_wrong(
        self,
        fault: Fault | None,
        answer: Answer | None,
        request: Recorded,
        send: object,
        released: asyncio.Event | None,
    ) -> Answer | None:
        if fault is not None and fault.kind in {"drop", "reset"}:
            await _cut(send, reset=fault.kind == "reset")
            return None
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if released is not None:
            try:
                await asyncio.wait_for(released.wait(), HOLD_SECONDS)
            except TimeoutError:
                self.state.count("holds.forgotten")
        if fault is not None and fault.kind in {"answer", "redirect"}:
            answer = _scripted(fault, request.operation or "")
        if fault is not None and fault.kind == "garble" and answer is not None:
            answer = Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers)
        request.answer = answer
        return answer

    def _recognise(self, request: Recorded) -> tuple[str | None, str, str]:
        """Return operation, recipient and attempt key."""
        if request.path == "/v3/mail/send" and request.method == "POST":
            return "mail.send", *facts_of(request.body)
        match = _ACCOUNT.match(request.path)
        if match is None or match[1] != self.state.config.account_sid:
            return None, "", ""
        kind = match[2].lower()
        if request.method == "GET":
            asked = dict(parse_qsl(request.query))
            return f"{kind}.{'fetch' if match[3] else 'list'}", asked.get("To", ""), ""
        if request.method != "POST" or (match[3] and kind == "messages"):
            return None, "", ""
        form = fields_of(request.body)
        return f"{kind}.{'update' if match[3] else 'create'}", dict(form).get("To", ""), attempt_of(form)

    def _unauthorised(self, request: Recorded) -> Answer | None:
        config, given = self.state.config, header(request.headers, "authorization")
        if request.operation == "mail.send":
            right = given == f"Bearer {config.api_key}"
            return None if right else sendgrid_refusal(401, None, "The provided authorization grant is invalid")
        pair = base64.b64encode(f"{config.account_sid}:{config.auth_token}".encode()).decode()
        return None if given == f"Basic {pair}" else twilio_refusal(401, 20003, "Authenticate")

    async def _process(self, operation: str, request: Recorded, rule: Rule | None) -> Answer:
        match = _ACCOUNT.match(request.path)
        kind, sid = (match[2], match[3] or "") if match is not None else ("", "")
        match operation:
            case "messages.create":
                answer, message = self.twilio.create_message(fields_of(request.body), rule)
                about = None if message is None else message.sid
            case "calls.create":
                answer, call = self.twilio.create_call(fields_of(request.body), rule)
                about = None if call is None else call.sid
                if call is not None and self.state.config.auto:
                    self._ring(call)
            case "calls.update":
                return self.twilio.update_call(sid, fields_of(request.body))
            case "mail.send":
                answer, email = self.sendgrid.send(request.body, rule)
                about = None if email is None else email.id
            case "messages.fetch" | "calls.fetch":
                return self.twilio.fetch(sid)
            case _:
                return self.twilio.listing(kind, request.query)
        if rule is not None and rule.early and about is not None:
            await self._reached(about)
            if operation == "mail.send":
                await self._reached("events")
        return answer

    def _ring(self, call: Call) -> None:
        self.state.courier.submit(call.sid, Conversation(self.twilio, call).run, self.state.config.pace)

    async def _reached(self, about: str) -> None:
        """Wait until everything planned so far for a message has been delivered."""
        done = threading.Event()
        self.state.courier.submit(about, done.set)
        if not await asyncio.to_thread(done.wait, EARLY_SECONDS):
            self.state.count("early.late")


def _scripted(fault: Fault, operation: str) -> Answer:
    if fault.kind == "redirect":
        return Answer(302, b"", {"Location": fault.location})
    if fault.html:
        return Answer(fault.status, b"<html><body>nginx</body></html>", {"Content-Type": "text/html", **fault.headers})
    if fault.problem:
        content = {"type": "about:blank", "title": fault.message, "status": fault.status, "code": fault.code}
        return Answer(fault.status, json.dumps(content).encode(), {"Content-Type": "application/problem+json"})
    if operation == "mail.send":
        answer = sendgrid_refusal(fault.status, fault.field, fault.message)
    else:
        answer = twilio_refusal(fault.status, fault.code or fault.status, fault.message)
    answer.headers |= fault.headers
    return answer


async def _answer(send: Any, answer: Answer) -> None:  # noqa: ANN401 - ASGI
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _cut(send: Any, *, reset: bool) -> None:  # noqa: ANN401 - ASGI
    """End the connection without an answer: quietly, or torn down with a reset."""
    cycle = send.__self__  # uvicorn's own view of this request; nothing stands between it and this application
    if reset:
        plug = cycle.transport.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    cycle.transport.abort()
    while not cycle.disconnected:
        await asyncio.sleep(0)
