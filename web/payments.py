"""The door of payment systems: a payment or its return, signed with a shared secret (docs/channels.md).

Kept first. Most are posted within milliseconds, and the answer says what became of it and which contacts were in
flight; when that takes longer the answer is that it is kept, and it is posted afterwards. The same message again gets
the same answer; another payment under a number that is taken is refused.
"""

import asyncio
import json
from datetime import UTC, datetime

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from db.arrivals import Arrival, body_of
from web import money
from web.bodies import FORM_LIMIT, empty, read_body
from web.intake import name_of
from web.money import PaymentIn, ReturnIn, answer_of, outcome_of
from web.parts import Doors

SOURCE = "web/payments"
PAYMENTS, RETURNS = "/payments", "/payments/returns"

log = structlog.get_logger(__name__)


def router_of(doors: Doors) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.post(PAYMENTS)
    async def payment(request: Request) -> Response:
        return await _take(doors, request, PAYMENTS, money.PAYMENT, PaymentIn)

    @router.post(RETURNS)
    async def returned(request: Request) -> Response:
        return await _take(doors, request, RETURNS, money.RETURN, ReturnIn)

    return router


async def _take(
    doors: Doors, request: Request, path: str, name: str, model: type[PaymentIn] | type[ReturnIn]
) -> Response:
    body = await read_body(request, FORM_LIMIT)
    signature = request.headers.get("x-dunlin-signature", "")
    timestamp = request.headers.get("x-dunlin-timestamp", "")
    if doors.payments is None or not doors.payments.is_theirs(body, signature, timestamp):
        doors.counters.add("refused", door=path)
        return empty(403)
    try:
        given = model.model_validate_json(body)
    except (ValidationError, UnicodeDecodeError) as error:
        doors.counters.add("unusable", door=path)
        return JSONResponse({"status": "unusable", "fields": _fields(error)}, 400)
    doors.counters.add("received", door=path)
    content = given.model_dump_json()
    parts = (name, given.creditor or "", given.account, given.payment_id)
    arrival = Arrival(SOURCE, name_of(json.dumps(parts)), name, content, datetime.now(UTC))
    if not await doors.intake.keep([arrival]):
        held = await asyncio.get_running_loop().run_in_executor(doors.posting, _held, doors, arrival)
        if held != content:
            doors.counters.add("conflicting", door=path)
            return JSONResponse({"status": "conflict"}, 409)
        doors.counters.add("repeated", door=path)
    return await _outcome(doors, arrival)


async def _outcome(doors: Doors, arrival: Arrival) -> Response:
    """Say what became of it, or that it is kept: whatever happens from here on, it is not lost."""
    work = asyncio.get_running_loop().run_in_executor(doors.posting, _post, doors, arrival)
    done, _ = await asyncio.wait([work], timeout=doors.payment_patience)
    work.add_done_callback(_note)
    answer = work.result() if done and work.exception() is None else None
    return JSONResponse({"status": "kept"}, 202) if answer is None else JSONResponse(answer)


def _note(work: asyncio.Future[dict[str, object] | None]) -> None:
    error = None if work.cancelled() else work.exception()
    if error is not None:
        log.warning("a payment is posted later", kind=type(error).__name__)


def _post(doors: Doors, arrival: Arrival) -> dict[str, object] | None:
    posted = doors.applier.apply_payment(arrival.source, arrival.external_id)
    if posted is not None:
        return answer_of(posted)
    with doors.engine.connect() as connection:
        return outcome_of(connection, arrival.source, arrival.external_id)


def _held(doors: Doors, arrival: Arrival) -> str | None:
    with doors.engine.connect() as connection:
        return body_of(connection, arrival.source, arrival.external_id)


def _fields(error: ValidationError | UnicodeDecodeError) -> list[str]:
    """Return the names of what is wrong; never a value."""
    if not isinstance(error, ValidationError):
        return []
    found = error.errors(include_url=False, include_input=False, include_context=False)
    known = {*PaymentIn.model_fields, *ReturnIn.model_fields}
    return sorted({str(one["loc"][0]) for one in found if one["loc"] and one["loc"][0] in known})
