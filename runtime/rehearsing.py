"""How the people of a rehearsal reach us: by the doors that real ones use, payments signed and texts through the fake.

Only a demonstration with the fake carriers has this. What comes in says when it happened (``AT``), because a logical
clock cannot be read off the wall.
"""

import hashlib
import hmac
import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine

from db.sandbox import Event
from domain.codes import CONTACT_POINT_KIND, Channel
from runtime.channels import public_url, twilio_settings
from settings import Settings

AT, NAME = "RehearsalAt", "RehearsalName"
"""Fields of a text that a rehearsal adds: the business instant, and its name in the plan."""
PATIENCE = 20.0
WORDS = {
    "stop": "STOP",
    "paid": "I have paid already",
    "question": "How much do I owe?",
    "promise": "I will pay tomorrow",
}
"""What people text, by the code of the plan."""
_SETTLED = frozenset({"applied", "repeated", "suspense"})


class PeoplesDoors:
    """Brings what people planned to the doors. ``came`` is asked again until it says true."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Take what the doors are known by. Raises SettingsError."""
        twilio = twilio_settings(settings)
        secret = settings.payments_secret
        self._engine = engine
        self._fake = settings.rehearsal_url or ""
        self._public = public_url(settings)
        self._number = "" if twilio is None else twilio.sms_from or ""
        self._secret = b"" if secret is None else secret.get_secret_value().encode()
        self._texted: set[str] = set()

    def takes(self, event: Event) -> bool:
        """Whether an event comes by a door of ours: money, and what is texted."""
        if event.kind in {"payment", "return"}:
            return bool(self._secret)
        return event.kind == "reply" and bool(self._number) and self._sender_of(event) is not None

    def came(self, event: Event) -> bool:
        """Bring an event to its door; true once it is in the ledger."""
        return self._wrote(event) if event.kind == "reply" else self._paid(event)

    def _paid(self, event: Event) -> bool:
        body = event.body
        content: dict[str, Any] = {
            "payment_id": body["payment_id"],
            "account": body["account"],
            "at": event.at.isoformat(),
        }
        if event.kind == "payment":
            path = "/payments"
            content |= {"amount": body["amount"], "currency": body["currency"], "paid_on": body["value_on"]}
        else:
            path = "/payments/returns"
            content |= {"reason": body["reason"], "returned_on": body["value_on"]}
        raw, stamp = json.dumps(content).encode(), str(int(time.time()))
        digest = hmac.new(self._secret, stamp.encode() + b"." + raw, hashlib.sha256).hexdigest()
        headers = {"X-Dunlin-Timestamp": stamp, "X-Dunlin-Signature": f"v1={digest}"}
        status, answer = _post(self._public + path, raw, headers)
        return status == 200 and answer.get("status") in _SETTLED

    def _wrote(self, event: Event) -> bool:
        with self._engine.connect() as connection:
            status = connection.exec_driver_sql(
                "SELECT status FROM inbox WHERE source = 'web/twilio' AND name = 'message' "
                "AND body::jsonb -> 'form' ->> %s = %s",
                (NAME, event.external_id),
            ).scalar_one_or_none()
        if status is None and event.external_id not in self._texted:
            text = {
                "from": self._sender_of(event),
                "to": self._number,
                "body": WORDS[event.body["code"]],
                "extra": {AT: event.at.isoformat(), NAME: event.external_id},
            }
            if _post(f"{self._fake}/admin/message", json.dumps(text).encode(), {})[0] == 200:
                self._texted.add(event.external_id)
        return status not in {None, "received"}

    def _sender_of(self, event: Event) -> str | None:
        """Return the number somebody replies from; ``None`` where they were not reached by telephone."""
        with self._engine.connect() as connection:
            row = connection.exec_driver_sql(
                "SELECT t.channel, n.value FROM attempts t JOIN contact_points n ON n.key = t.contact_point_key "
                "WHERE t.key = %s",
                (event.body["attempt"],),
            ).one_or_none()
        return None if row is None or CONTACT_POINT_KIND[Channel(row.channel)] != "phone" else str(row.value)


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    try:
        connection.request("POST", parts.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        found = json.loads(content) if content else {}
    except (OSError, ValueError):
        return 0, {}
    finally:
        connection.close()
    return answer.status, found if isinstance(found, dict) else {}
