"""The door for unsubscribing from e-mail: a page with one button, and the one click of mail programs."""

import json
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from activities.providers.addresses import UNSUBSCRIBE, is_unsubscribe_seal
from db.arrivals import Arrival
from web import opting_out
from web.bodies import FORM_LIMIT, empty, read_body
from web.intake import name_of
from web.parts import Doors

SOURCE = "web/unsubscribe"
_HEAD = '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="robots" content="noindex">\n'
_ASK = f'{_HEAD}<form method="post"><p>Get no more e-mails from us?</p><button>Unsubscribe</button></form>\n</html>\n'
_DONE = f"{_HEAD}<p>You will get no more e-mails from us.</p>\n</html>\n"
_SAFE = {"Content-Security-Policy": "default-src 'none'; form-action 'self'", "Referrer-Policy": "no-referrer"}


def router_of(doors: Doors) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    def sealed(request: Request) -> str | None:
        attempt, seal = request.query_params.get("attempt", ""), request.query_params.get("seal", "")
        secret = doors.unsubscribe_secret
        return attempt if secret is not None and attempt and is_unsubscribe_seal(secret, attempt, seal) else None

    @router.get(UNSUBSCRIBE)
    async def ask(request: Request) -> Response:
        return empty(403) if sealed(request) is None else HTMLResponse(_ASK, headers=_SAFE)

    @router.post(UNSUBSCRIBE)
    async def unsubscribe(request: Request) -> Response:
        await read_body(request, FORM_LIMIT)
        attempt = sealed(request)
        if attempt is None:
            doors.counters.add("refused", door=UNSUBSCRIBE)
            return empty(403)
        doors.counters.add("received", door=UNSUBSCRIBE)
        content = json.dumps({"attempt": attempt})
        await doors.intake.keep([Arrival(SOURCE, name_of(attempt), opting_out.NAME, content, datetime.now(UTC))])
        return HTMLResponse(_DONE, headers=_SAFE)

    return router
