"""A real provider in front of a fake carrier, in a demonstration: the messages are real requests, the people are not.

Before each request the fake is told what becomes of it, and afterwards the reactions of people are planned, both as the
sandbox would have it: same seed, same people. The receipt itself comes from the fake, by callback; a plan of it only
keeps the simulated world from passing over it.
"""

import http.client
import json
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine

from activities.providers.base import Accepted, Outbound, Provider, SendResult
from db import sandbox
from domain.codes import AttemptStatus, Channel
from domain.people import Debt, Planned, after_message

_OPERATION = {Channel.SMS: "messages.create", Channel.VOICE: "calls.create", Channel.EMAIL: "mail.send"}
_PATIENCE = 10.0
_MACHINE = "machine_start"


class Rehearsed:
    """Sends through ``provider``; ``url`` is where the fake is told how its people behave."""

    def __init__(self, provider: Provider, engine: Engine, seed: int, url: str) -> None:
        self.name = provider.name
        self.timeout_seconds = provider.timeout_seconds
        self._provider = provider
        self._engine = engine
        self._seed = seed
        self._address = urlsplit(url).netloc

    def send(self, message: Outbound) -> SendResult:
        """Make one request, and plan what follows if it was taken."""
        planned = after_message(
            self._seed,
            attempt_key=message.attempt_key,
            provider_id="",
            channel=message.channel,
            step=message.step,
            try_no=message.try_no,
            party_key=message.party_key,
            recipient=message.recipient,
            debts=[
                Debt(line.case_key, line.account_key, line.reference, line.amount, line.currency)
                for line in message.accounts
            ],
            zone=message.zone,
            at=message.at,
        )
        self._tell(_rule(message, planned[0]))
        result = self._provider.send(message)
        if isinstance(result, Accepted):
            receipt = planned[0]
            callback = Planned(
                f"callback/{message.attempt_key}",
                "callback",
                receipt.at,
                None,
                message.party_key,
                {"attempt": message.attempt_key},
            )
            with self._engine.begin() as connection:
                sandbox.plan(connection, [one.as_row() for one in (callback, *planned[1:])])
        return result

    def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:
        """Look an attempt up, as the provider does."""
        return self._provider.find(attempt_key, recipient, since)

    def _tell(self, rule: dict[str, Any]) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=_PATIENCE)
        try:
            connection.request("POST", "/admin/rules", json.dumps([rule]))
            connection.getresponse().read()
        finally:
            connection.close()


def _rule(message: Outbound, receipt: Planned) -> dict[str, Any]:
    """Return how the fake is to treat this one request, as its rules are written."""
    rule: dict[str, Any] = {"on": _OPERATION[message.channel], "attempt": message.attempt_key, "times": 1}
    status, code = str(receipt.body["status"]), str(receipt.body.get("error_code", ""))
    if message.channel is Channel.VOICE:
        rule["person"] = _person(status, code)
    elif message.channel is Channel.EMAIL:
        bounced = {"status": "bounce", "extra": {"type": "bounce"}}
        rule["life"] = [{"status": "processed"}, {"status": "delivered"} if status == "delivered" else bounced]
    else:
        last: dict[str, Any] = {"status": status}
        if code.isdigit():
            last["error_code"] = int(code)
        rule["life"] = [{"status": "sent"}, last]
    return rule


def _person(status: str, code: str) -> dict[str, Any]:
    match status:
        case AttemptStatus.ANSWERED:
            return {"outcome": "completed", "answered_by": "human", "digits": ["1"]}
        case AttemptStatus.DELIVERED:
            return {"outcome": "completed", "answered_by": _MACHINE}
        case AttemptStatus.UNDELIVERED if code == "no_answer":
            return {"outcome": "no-answer"}
        case _:
            return {"outcome": "failed"}
