"""``demo --providers fake``: every message goes out as a real request, to a fake of the carriers on loopback.

The fake is part of the tests. What it says of itself is compared with what we say, channel by channel.
"""

import http.client
import json
import sys
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from cli.say import ROOT, UserError
from runtime.servers import Servers

FAKE = ROOT / "tests" / "fakes"
NAME = "carriers"
_PROVIDERS = {"twilio-sms": "messages.create", "twilio-voice": "calls.create", "sendgrid": "mail.send"}
_PATIENCE = 30.0


@dataclass(frozen=True)
class Carriers:
    """The running fake."""

    url: str

    def environment(self, public_url: str) -> dict[str, str]:
        """Point the fake at us; return the settings that point us at it."""
        account = self._ask(
            "config",
            {"event_url": f"{public_url}/sendgrid/events", "message_url": f"{public_url}/twilio/message"},
        )
        return {
            "DUNLIN_PROVIDERS": "auto",
            "DUNLIN_REHEARSAL_URL": self.url,
            "DUNLIN_PAYMENTS_SECRET": "only-for-rehearsals",
            "DUNLIN_TWILIO_ACCOUNT_SID": account["account_sid"],
            "DUNLIN_TWILIO_AUTH_TOKEN": account["auth_token"],
            "DUNLIN_TWILIO_BASE_URL": self.url,
            "DUNLIN_TWILIO_SMS_FROM": "+13125550001",
            "DUNLIN_TWILIO_VOICE_FROM": "+13125550002",
            "DUNLIN_SENDGRID_API_KEY": account["api_key"],
            "DUNLIN_SENDGRID_BASE_URL": self.url,
            "DUNLIN_SENDGRID_FROM_EMAIL": "accounts@dunlin.example",
            "DUNLIN_SENDGRID_FROM_NAME": "Dunlin",
            "DUNLIN_SENDGRID_UNSUBSCRIBE_SECRET": "only-for-rehearsals",
            "DUNLIN_SENDGRID_WEBHOOK_KEY": account["webhook_key"],
        }

    def compare(self, engine: Engine) -> tuple[dict[str, dict[str, int]], tuple[str, ...]]:
        """Return their figures beside ours by channel, and every difference in words."""
        self._ask("flush", {"seconds": _PATIENCE})
        theirs, state = self._ask("counters", {}), self._ask("state", {})
        counters = theirs["counters"]
        figures, wrong = {}, []
        with engine.connect() as connection:
            for provider, operation in _PROVIDERS.items():
                row = connection.exec_driver_sql(
                    "SELECT count(*) FILTER (WHERE provider_id IS NOT NULL) AS taken, "
                    "count(*) FILTER (WHERE status IN ('delivered', 'answered')) AS reached "
                    "FROM attempts WHERE provider = %s",
                    (provider,),
                ).one()
                asked, taken = counters.get(f"{operation}.requests", 0), counters.get(f"{operation}.processed", 0)
                reached = _reached(operation, state)
                figures[provider] = {
                    "requests at the carrier": asked,
                    "taken by the carrier": taken,
                    "sent, by our record": row.taken,
                    "reached, says the carrier": reached,
                    "reached, by our record": row.reached,
                }
                if taken != row.taken:
                    wrong.append(f"{provider}: the carrier took {taken}, we sent {row.taken}")
                if reached != row.reached:
                    wrong.append(f"{provider}: the carrier reached {reached}, we know of {row.reached}")
            came = connection.exec_driver_sql(
                "SELECT count(*) FILTER (WHERE name = 'message'), count(*) FILTER (WHERE source = 'web/payments') "
                "FROM inbox WHERE source LIKE 'web/%%' AND status = 'applied'"
            ).one()
        written = sum(one["direction"] == "inbound" for one in state["messages"])
        figures["doors"] = {
            "texts of people, says the carrier": written,
            "texts of people, by our record": came[0],
            "payments and returns, by our record": came[1],
        }
        if written != came[0]:
            wrong.append(f"people wrote {written} texts, we know of {came[0]}")
        if theirs["duplicates"]:
            wrong.append(f"sent more than once: {', '.join(theirs['duplicates'])}")
        return figures, tuple(wrong)

    def _ask(self, door: str, content: object) -> Any:  # noqa: ANN401 - any JSON
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=2 * _PATIENCE)
        try:
            connection.request("POST", f"/admin/{door}", json.dumps(content))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def _reached(operation: str, state: dict[str, Any]) -> int:
    match operation:
        case "messages.create":
            return sum(one["status"] == "delivered" for one in state["messages"] if one["direction"] == "outbound-api")
        case "calls.create":
            own = (one for one in state["calls"] if one["direction"] == "outbound-api")
            return sum(one["status"] == "completed" for one in own)
        case _:
            return sum("delivered" in one["events"] for one in state["emails"])


async def start_carriers(servers: Servers, seed: int) -> Carriers:
    """Start the fake beside the servers."""
    if not FAKE.is_dir():
        raise UserError("demo --providers fake: the fake carriers are part of the tests, and this copy has none")
    port = servers.port_for("the fake carriers", 0, "")
    argv = [sys.executable, "-m", "tests.fakes", "--port", str(port), "--seed", str(seed)]
    await servers.add_child(NAME, argv, {"PYTHONPATH": str(ROOT)}, port=port)
    return Carriers(f"http://127.0.0.1:{port}")
