"""Twilio's Messages and Calls: what is asked, what is kept, what is answered, what is called back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urldefrag, urlencode
from uuid import uuid4

from tests.fakes.courier import BlockedTargetError, Reply
from tests.fakes.rules import Rule, Step
from tests.fakes.signing import twilio_signature
from tests.fakes.state import MESSAGE_RANK, Answer, Call, Message, State, now, stamp
from tests.fakes.twilio_answers import (
    ADDRESS,
    MAGIC_CALL,
    MAGIC_FROM,
    MAGIC_TO,
    NUMBER,
    START,
    STOP,
    Form,
    Refusal,
    as_json,
    attempt_of,
    refusal,
    segments_of,
)


class Twilio:
    """One account."""

    def __init__(self, state: State) -> None:
        self.state = state

    # --- messages -----------------------------------------------------------------------------------------------

    def create_message(self, form: Form, rule: Rule | None) -> tuple[Answer, Message | None]:
        """Take a text message, or refuse it."""
        asked = dict(form)
        try:
            self._check_message(asked)
        except Refusal as refused:
            return refused.answer, None
        state, service = self.state, asked.get("MessagingServiceSid")
        message = Message(
            sid=state.name("SM"),
            to=asked["To"],
            sender=asked.get("From") if service is None else None,
            service=service,
            body=asked["Body"],
            status="queued" if service is None else "accepted",
            callback=asked.get("StatusCallback"),
            validity=int(asked["ValidityPeriod"]) if "ValidityPeriod" in asked else None,
            attempt=attempt_of(form),
            segments=segments_of(asked["Body"]),
            created=now(),
        )
        with state.lock:
            state.messages[message.sid] = message
            state.counters["messages.create.processed"] += 1
            state.processed_of[message.attempt] += 1
        if state.config.auto or (rule is not None and rule.life is not None):
            self._live(message, rule)
        return as_json(201, self.message_view(message)), message

    def _check_message(self, asked: dict[str, str]) -> None:
        to, sender, service = asked.get("To", ""), asked.get("From"), asked.get("MessagingServiceSid")
        if not to:
            raise Refusal(21604, "A 'To' phone number is required.")
        if sender is None and service is None:
            raise Refusal(21603, "A 'From' phone number is required.")
        if not NUMBER.match(to):
            raise Refusal(21211, f"The 'To' number {to} is not a valid phone number.")
        body = asked.get("Body", "")
        if not body:
            raise Refusal(21602, "Message body is required.")
        if len(body) > 1600:
            raise Refusal(21617, "The concatenated message body exceeds the 1600 character limit.")
        validity = asked.get("ValidityPeriod", "1")
        if not validity.isdigit() or not 1 <= int(validity) <= 36_000:
            raise Refusal(20001, f"ValidityPeriod {validity} is out of range.")
        callback = asked.get("StatusCallback")
        if callback is not None and not ADDRESS.match(callback):
            raise Refusal(21609, f"The StatusCallback URL {callback} is not a valid URL.")
        code = MAGIC_TO.get(to) or MAGIC_FROM.get(sender or "")
        if code is None and (service or sender or "", to) in self.state.opted_out:
            code = 21610
        if code is not None:
            raise Refusal(code, f"The message from {sender or service} to {to} was refused.")

    def _live(self, message: Message, rule: Rule | None) -> None:
        life = rule.life if rule is not None and rule.life is not None else self.state.config.message_life
        after = 0.0
        for step in reversed(life) if rule is not None and rule.reorder else life:
            after += step.after or self.state.config.pace
            self.state.courier.submit(message.sid, lambda step=step: self.advance_message(message, step), after)  # type: ignore[misc]

    def advance_message(self, message: Message, step: Step) -> None:
        """Let a message take a step and tell it. The record never goes back, whatever is told."""
        with self.state.lock:
            if MESSAGE_RANK[step.status] >= MESSAGE_RANK[message.status]:
                message.status, message.error_code = step.status, step.error_code
            if step.status in {"sent", "delivered", "undelivered"}:
                message.sent = message.sent or now()
        for _ in range(step.times):
            self.call_back(message.sid, message.callback, self._message_form(message, step))

    def _message_form(self, message: Message, step: Step) -> Form:
        form = {
            "MessageSid": message.sid,
            "SmsSid": message.sid,
            "AccountSid": self.state.config.account_sid,
            "From": message.sender or "+15005550006",
            "To": message.to,
            "MessageStatus": step.status,
            "SmsStatus": step.status,
            "ApiVersion": "2010-04-01",
        }
        if message.service is not None:
            form["MessagingServiceSid"] = message.service
        if step.error_code is not None:
            form["ErrorCode"] = str(step.error_code)
        return list({**form, **step.extra}.items())

    def message_view(self, message: Message) -> dict[str, Any]:
        """Return a message as Twilio shows it."""
        account = self.state.config.account_sid
        uri = f"/2010-04-01/Accounts/{account}/Messages/{message.sid}.json"
        return {
            "account_sid": account,
            "api_version": "2010-04-01",
            "body": message.body,
            "date_created": stamp(message.created),
            "date_sent": stamp(message.sent),
            "date_updated": stamp(message.sent or message.created),
            "direction": "inbound" if message.inbound else "outbound-api",
            "error_code": message.error_code,
            "error_message": None,
            "from": message.sender,
            "messaging_service_sid": message.service,
            "num_media": "0",
            "num_segments": str(message.segments),
            "price": None,
            "price_unit": "USD",
            "sid": message.sid,
            "status": message.status,
            "subresource_uris": {"media": uri.replace(".json", "/Media.json")},
            "to": message.to,
            "uri": uri,
        }

    def receive(self, sender: str, to: str, body: str, url: str, extra: Mapping[str, str] | None = None) -> None:
        """Take a text from a person: keep it, obey an opt-out, tell the application at ``url``."""
        state = self.state
        sid, word = state.name("SM"), body.strip().upper()
        service = to if to.startswith("MG") else None
        with state.lock:
            state.messages[sid] = Message(
                sid, to, sender, service, body, "received", None, None, "", segments_of(body), now(), inbound=True
            )
            if word in STOP:
                state.opted_out.add((to, sender))
            elif word in START:
                state.opted_out.discard((to, sender))
        form = {
            "MessageSid": sid,
            "SmsSid": sid,
            "SmsMessageSid": sid,
            "AccountSid": state.config.account_sid,
            "From": sender,
            "To": to,
            "Body": body,
            "NumMedia": "0",
            "NumSegments": str(segments_of(body)),
            "SmsStatus": "received",
            "ApiVersion": "2010-04-01",
        }
        form |= extra or {}
        if word in STOP | START:
            form["OptOutType"] = "STOP" if word in STOP else "START"
        state.courier.submit(sid, lambda: self.call_back(sid, url, list(form.items())))

    # --- calls --------------------------------------------------------------------------------------------------

    def create_call(self, form: Form, rule: Rule | None) -> tuple[Answer, Call | None]:
        """Take a call, or refuse it."""
        asked, state = dict(form), self.state
        to, sender = asked.get("To", ""), asked.get("From")
        try:
            if not NUMBER.match(to):
                raise Refusal(21211, f"Invalid 'To' phone number: {to}")
            if not sender:
                raise Refusal(21213, "Caller phone number is required")
            if not ADDRESS.match(asked.get("Url", "")) and not asked.get("Twiml"):
                raise Refusal(21205, "Url parameter is required.")
            code = MAGIC_CALL.get(to) or (21212 if sender == "+15005550001" else None)
            if code is not None:
                raise Refusal(code, f"The call to {to} was refused.")
        except Refusal as refused:
            return refused.answer, None
        call = Call(
            sid=state.name("CA"),
            to=to,
            sender=sender or "",
            url=asked.get("Url", ""),
            status="queued",
            callback=asked.get("StatusCallback"),
            events=tuple(value for name, value in form if name == "StatusCallbackEvent") or ("completed",),
            detection=asked.get("MachineDetection"),
            machine_callback=asked.get("AsyncAmdStatusCallback") if asked.get("AsyncAmd") == "true" else None,
            attempt=attempt_of(form),
            created=now(),
            person=(rule.person if rule is not None and rule.person is not None else state.config.person),
            reorder=rule is not None and rule.reorder,
        )
        with state.lock:
            state.calls[call.sid] = call
            state.counters["calls.create.processed"] += 1
            state.processed_of[call.attempt] += 1
        return as_json(201, self.call_view(call)), call

    def dial(self, parent: Call, number: str, callback: str | None, events: tuple[str, ...], attempt: str) -> Call:
        """Make the second line of a call that dials a number."""
        call = Call(
            sid=self.state.name("CA"),
            to=number,
            sender=parent.sender,
            url="",
            status="queued",
            callback=callback,
            events=events,
            detection=None,
            machine_callback=None,
            attempt=attempt,
            created=now(),
            person=parent.person,
            parent=parent.sid,
        )
        with self.state.lock:
            self.state.calls[call.sid] = call
            self.state.counters["calls.dialled"] += 1
            self.state.processed_of[attempt] += 1
        return call

    def call_view(self, call: Call) -> dict[str, Any]:
        """Return a call as Twilio shows it."""
        account = self.state.config.account_sid
        uri = f"/2010-04-01/Accounts/{account}/Calls/{call.sid}.json"
        parts = ("Notifications", "Recordings", "Payments", "Events", "Siprec", "Streams", "Transcriptions")
        return {
            "account_sid": account,
            "answered_by": call.answered_by,
            "api_version": "2010-04-01",
            "caller_name": None,
            "date_created": stamp(call.created),
            "date_updated": stamp(call.ended or call.created),
            "direction": "outbound-api" if call.parent is None else "outbound-dial",
            "duration": str(call.seconds) if call.ended is not None else None,
            "end_time": stamp(call.ended),
            "forwarded_from": None,
            "from": call.sender,
            "from_formatted": call.sender,
            "group_sid": None,
            "parent_call_sid": call.parent,
            "phone_number_sid": None,
            "price": None,
            "price_unit": "USD",
            "queue_time": "0",
            "sid": call.sid,
            "start_time": stamp(call.started),
            "status": call.status,
            "subresource_uris": {part.lower(): uri.replace(".json", f"/{part}.json") for part in parts},
            "to": call.to,
            "to_formatted": call.to,
            "trunk_sid": None,
            "uri": uri,
        }

    def update_call(self, sid: str, form: Form) -> Answer:
        """Take back, end or redirect a call."""
        asked, state = dict(form), self.state
        with state.lock:
            call = state.calls.get(sid)
            if call is None:
                return self.missing(sid)
            status, live = asked.get("Status"), call.status in {"queued", "ringing", "in-progress"}
            early = call.status in {"queued", "ringing"}
            if not live or (status == "canceled" and not early) or ("Url" in asked and early):
                return refusal(400, 21220, "Invalid call state: the call cannot be changed now.")
            if status is not None:
                call.status = status
                call.ended = now()
            if "Url" in asked:
                call.redirect = asked["Url"]
            return as_json(200, self.call_view(call))

    # --- both ---------------------------------------------------------------------------------------------------

    def listing(self, kind: str, query: str) -> Answer:
        """List messages or calls, newest first, as the filters say; ``DateSent`` knows days only."""
        asked = dict(parse_qsl(query, keep_blank_values=True))
        with self.state.lock:
            rows: Sequence[Message | Call] = [
                *(self.state.messages if kind == "Messages" else self.state.calls).values()
            ]
        rows = [
            one
            for one in reversed(rows)
            if asked.get("To") in {None, one.to} and asked.get("From") in {None, one.sender} and _in_days(one, asked)
        ]
        size, page = min(int(asked.get("PageSize", "50")), 1000), int(asked.get("Page", "0"))
        shown = rows[page * size : (page + 1) * size]
        base = f"/2010-04-01/Accounts/{self.state.config.account_sid}/{kind}.json"
        kept = {name: value for name, value in asked.items() if name not in {"Page", "PageToken"}}

        def at(number: int) -> str:
            return f"{base}?{urlencode({**kept, 'PageSize': str(size), 'Page': str(number)}, quote_via=quote)}"

        views = [self.message_view(one) if isinstance(one, Message) else self.call_view(one) for one in shown]
        content = {
            kind.lower(): views,
            "end": page * size + max(len(shown) - 1, 0),
            "first_page_uri": at(0),
            "next_page_uri": at(page + 1) if (page + 1) * size < len(rows) else None,
            "page": page,
            "page_size": size,
            "previous_page_uri": at(page - 1) if page else None,
            "start": page * size,
            "uri": at(page),
        }
        return as_json(200, content)

    def fetch(self, sid: str) -> Answer:
        """Show one message or call."""
        with self.state.lock:
            message, call = self.state.messages.get(sid), self.state.calls.get(sid)
            if message is not None:
                return as_json(200, self.message_view(message))
            return self.missing(sid) if call is None else as_json(200, self.call_view(call))

    @staticmethod
    def missing(sid: str) -> Answer:
        """Say that there is no such thing."""
        return refusal(404, 20404, f"The requested resource {sid} was not found")

    def call_back(self, about: str, url: str | None, form: Form, tries: int = 0, token: str = "") -> None:
        """Deliver one signed callback; again, if it fails as the address's ``rc`` and ``rp`` ask (else once for ct)."""
        if url is None:
            return
        token = token or str(uuid4())
        reply = self.post(url, form, token)
        if reply is None or 200 <= reply.status < 300:
            return
        asked = parse_qs(urldefrag(url).fragment)
        most, reasons = int(asked.get("rc", ["1"])[0]), asked.get("rp", ["ct"])[0].split(",")
        reason = {0: "ct", -1: "rt"}.get(reply.status, f"{reply.status // 100}xx")
        if tries < min(most, 5) and (reason in reasons or "all" in reasons):
            again = lambda: self.call_back(about, url, form, tries + 1, token)  # noqa: E731
            self.state.courier.submit(about, again, 0.05 * 2**tries)
        else:
            self.state.count("callbacks.abandoned")

    def post(self, url: str, form: Form, token: str) -> Reply | None:
        """Post a signed form; ``None`` when the address is not on loopback."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
            "X-Twilio-Signature": twilio_signature(self.state.config.auth_token, url, form),
            "I-Twilio-Idempotency-Token": token,
        }
        self.state.count("callbacks.attempts")
        try:
            reply = self.state.courier.post(urldefrag(url).url, headers, urlencode(form).encode())
        except BlockedTargetError:
            self.state.count("callbacks.blocked")
            return None
        self.state.count("callbacks.delivered" if 200 <= reply.status < 300 else f"callbacks.answered.{reply.status}")
        return reply


def _in_days(one: Message | Call, asked: dict[str, str]) -> bool:
    at = one.sent if isinstance(one, Message) else one.started
    for name, value in asked.items():
        if not name.startswith(("DateSent", "StartTime")):
            continue
        if at is None:
            return False
        start = datetime.fromisoformat(value[:10]).replace(tzinfo=UTC)
        late, early = at >= start, at < start + timedelta(days=1)
        if not {">": late, "<": early}.get(name[-1], late and early):
            return False
    return True
