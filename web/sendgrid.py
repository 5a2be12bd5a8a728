"""SendGrid's door: signed batches of events, each element kept by itself, so that a bad one harms nobody."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from fastapi import APIRouter, Request, Response

from activities.providers.addresses import EMAIL_EVENTS
from activities.providers.errors import ErrorTable
from activities.providers.reports import email_report
from db.arrivals import Arrival
from web import receipts
from web.bodies import BATCH_LIMIT, empty, read_body
from web.intake import name_of
from web.parts import Doors

SOURCE = "web/sendgrid"
MOST_EVENTS = 20_000
_SIGNS = frozenset({"open", "click"})


def router_of(doors: Doors, errors: ErrorTable) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post(EMAIL_EVENTS)
    async def events(request: Request) -> Response:
        body = await read_body(request, BATCH_LIMIT)
        signature = request.headers.get("x-twilio-email-event-webhook-signature", "")
        timestamp = request.headers.get("x-twilio-email-event-webhook-timestamp", "")
        if doors.sendgrid is None or not doors.sendgrid.is_theirs(body, signature, timestamp):
            doors.counters.add("refused", door=EMAIL_EVENTS)
            return empty(403)
        arrivals = _arrivals(body, errors)
        doors.counters.add("received", max(1, len(arrivals)), door=EMAIL_EVENTS)
        await doors.intake.keep(arrivals)
        return empty(204)

    return router


def _arrivals(body: bytes, errors: ErrorTable) -> list[Arrival]:
    """Return the elements of a batch. What is no batch is kept whole and acknowledged: else it would come for a day."""
    now = datetime.now(UTC)
    try:
        batch: Any = json.loads(body)
    except (ValueError, RecursionError):
        batch = None
    if not isinstance(batch, list) or len(batch) > MOST_EVENTS:
        return [_unusable(body.decode("utf-8", "backslashreplace").replace("\x00", "\\x00"), now)]
    return [found for one in batch if (found := _arrival(one, errors, now)) is not None]


def _arrival(one: object, errors: ErrorTable, now: datetime) -> Arrival | None:
    event = one.get("event") if isinstance(one, dict) else None
    if isinstance(event, str) and event in _SIGNS:
        return None
    report = email_report(one, errors)
    try:
        content = json.dumps(one)
    except RecursionError:  # deep enough to be read, too deep to be written: it harms no other
        return _unusable(
            f"nested too deeply, called {name_of(repr(type(one)) if report is None else report.once)}", now
        )
    if report is None:
        return _unusable(content, now)
    return Arrival(SOURCE, name_of(report.once), receipts.EMAIL_EVENT, content, now)


def _unusable(content: str, now: datetime) -> Arrival:
    digest = sha256(content.encode()).hexdigest()
    return Arrival(SOURCE, f"unread/{digest}", receipts.EMAIL_EVENT, content, now, "meaningless")
