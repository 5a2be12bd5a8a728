"""SendGrid's Mail Send and its event webhook: accepted first, told later in signed batches."""

import base64
import json
import re
import time
from typing import Any

from tests.fakes.courier import BlockedTargetError
from tests.fakes.rules import Rule, Step
from tests.fakes.state import Answer, Email, State

_MAILBOX = re.compile(r"^[^@\s<>,]+@[^@\s<>,]+\.[^@\s<>,]+$")
_REASON_OF = {
    "unsubscribe": "Unsubscribed Address",
    "group_unsubscribe": "Unsubscribed Address",
    "bounce": "Bounced Address",
    "spamreport": "Spam Reporting Address",
}


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake
    """A request that SendGrid refuses."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.answer = refusal(400, field, message)


def refusal(status: int, field: str | None, message: str) -> Answer:
    """Return errors as the v3 API words them."""
    content = {"errors": [{"message": message, "field": field, "help": None}]}
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"})


def facts_of(body: bytes) -> tuple[str, str]:
    """Return recipient and attempt key of a request, as far as they can be read."""
    try:
        person = json.loads(body)["personalizations"][0]
        return str(person["to"][0]["email"]), str(person.get("custom_args", {}).get("attempt", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", ""


class SendGrid:
    """One account."""

    def __init__(self, state: State) -> None:
        self.state = state

    def send(self, body: bytes, rule: Rule | None) -> tuple[Answer, Email | None]:
        """Take an e-mail, or refuse it."""
        try:
            payload = json.loads(body)
            self._check(payload)
        except Refusal as refused:
            return refused.answer, None
        except (ValueError, TypeError, LookupError, AttributeError):
            return refusal(400, None, "Bad Request"), None
        if payload.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"):
            return Answer(200), None
        state, person = self.state, payload["personalizations"][0]
        custom = {**payload.get("custom_args", {}), **person.get("custom_args", {})}
        email = Email(
            id=base64.urlsafe_b64encode(bytes.fromhex(state.name("")))[:22].decode(),
            to=person["to"][0]["email"],
            attempt=str(custom.get("attempt", "")),
            custom=custom,
            categories=list(payload.get("categories", [])),
            payload=payload,
        )
        with state.lock:
            state.emails[email.id] = email
            state.counters["mail.send.processed"] += 1
            state.processed_of[email.attempt] += 1
            reason = state.suppressed.get(email.to.lower())
        if reason is not None:
            self._later(email, [Step(status="dropped", extra={"reason": reason})], reverse=False)
        elif state.config.auto or (rule is not None and rule.life is not None):
            life = rule.life if rule is not None and rule.life is not None else state.config.email_life
            self._later(email, life, reverse=rule is not None and rule.reorder)
        return Answer(202, headers={"X-Message-Id": email.id}), email

    def _check(self, payload: dict[str, Any]) -> None:
        people = payload["personalizations"]
        if not people:
            raise Refusal("personalizations", "The personalizations field is required.")
        for place, person in enumerate(people):
            for number, to in enumerate(person.get("to") or [{}]):
                if not _MAILBOX.match(str(to.get("email", ""))):
                    field = f"personalizations.{place}.to.{number}.email"
                    raise Refusal(field, f"Does not contain a valid address: {to.get('email')}")
            args = person.get("custom_args", {})
            if any(not isinstance(value, str) for value in args.values()):
                raise Refusal(f"personalizations.{place}.custom_args", "custom_args must be strings")
        if not _MAILBOX.match(str(payload.get("from", {}).get("email", ""))):
            raise Refusal("from.email", "The from email does not contain a valid address.")
        if not payload.get("subject"):
            raise Refusal("subject", "The subject is required.")
        content = payload.get("content") or []
        if not content or any(not one.get("value") for one in content):
            raise Refusal("content", "Unless a valid template_id is provided, the content parameter is required.")
        if len(payload.get("categories", [])) > 10:
            raise Refusal("categories", "At most 10 categories.")

    # --- events -------------------------------------------------------------------------------------------------

    def _later(self, email: Email, life: list[Step], *, reverse: bool) -> None:
        after = 0.0
        for step in reversed(life) if reverse else life:
            after += step.after or self.state.config.pace
            self.state.courier.submit(email.id, lambda step=step: self.advance(email, step), after)  # type: ignore[misc]

    def advance(self, email: Email, step: Step) -> None:
        """Let an e-mail take a step; what it is told waits for the next batch."""
        state = self.state
        with state.lock:
            email.events.append(step.status)
            reason = _REASON_OF.get(step.status)
            if reason is not None and step.extra.get("type") != "blocked":
                state.suppressed[email.to.lower()] = reason
            for _ in range(step.times):
                state.events.append(self._event(email, step))
        if state.config.auto:
            state.courier.submit("events", self.batch)

    def _event(self, email: Email, step: Step) -> dict[str, Any]:
        event: dict[str, Any] = {
            "email": email.to,
            "timestamp": int(time.time()),
            "event": step.status,
            "sg_event_id": self.state.name("ev"),
            "sg_message_id": f"{email.id}.filterdrecv-p3iad2-7d9c-1.0",
            "smtp-id": f"<{email.id}@ismtpd0001p1iad1.sendgrid.net>",
            "category": email.categories,
            **email.custom,
        }
        if step.status == "bounce":
            event |= {"type": "bounce", "reason": "550 5.1.1 unknown user", "status": "5.1.1"}
        return {**event, **step.extra}

    def batch(self) -> None:
        """Post all events that wait, as one signed array."""
        with self.state.lock:
            events, self.state.events = self.state.events, []
        if events:
            self.deliver(events, 1)

    def deliver(self, events: list[Any], number: int) -> None:
        """Post a batch; again until it is taken, a bounded number of times."""
        config, state = self.state.config, self.state
        if config.event_url is None:
            return
        reply = self.post(config.event_url, json.dumps(events).encode())
        if reply is None or 200 <= reply < 300:
            return
        if number >= config.event_tries:
            state.count("callbacks.abandoned")
            return
        if config.new_event_ids:
            events = [{**one, "sg_event_id": state.name("ev")} if isinstance(one, dict) else one for one in events]
        state.courier.submit("events", lambda: self.deliver(events, number + 1), config.event_wait)

    def post(self, url: str, body: bytes) -> int | None:
        """Post a signed body; ``None`` when the address is not on loopback."""
        state, timestamp = self.state, str(int(time.time()))
        headers = {
            "Content-Type": "application/json;charset=utf-8",
            "User-Agent": "SendGrid Event API",
            "X-Twilio-Email-Event-Webhook-Signature": state.key.sign(timestamp, body),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }
        state.count("callbacks.attempts")
        try:
            reply = state.courier.post(url, headers, body)
        except BlockedTargetError:
            state.count("callbacks.blocked")
            return None
        state.count("callbacks.delivered" if 200 <= reply.status < 300 else f"callbacks.answered.{reply.status}")
        return reply.status
