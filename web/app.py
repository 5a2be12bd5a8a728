"""The application: its doors, and what every answer has in common.

No error body says more than its status; no log line holds an address, a number or a text.
"""

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from activities.providers.errors import ErrorTable
from web import payments, sendgrid, twilio, unsubscribe
from web.bodies import TooLargeError, TooSlowError, empty
from web.parts import Doors

METRICS, HEALTH = "/metrics", "/health"
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

log = structlog.get_logger(__name__)


def create_app(doors: Doors, errors: ErrorTable) -> FastAPI:
    """Put the doors together."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(twilio.router_of(doors))
    app.include_router(sendgrid.router_of(doors, errors))
    app.include_router(payments.router_of(doors))
    app.include_router(unsubscribe.router_of(doors))

    @app.get(METRICS)
    async def metrics(request: Request) -> Response:
        """Show the counters, to this machine only: what came through a proxy is from outside."""
        host = request.client.host if request.client is not None else ""
        if host not in _LOOPBACK or any(name in request.headers for name in _FORWARDED):
            return empty(404)
        return PlainTextResponse(doors.counters.text(), media_type="text/plain; version=0.0.4")

    @app.get(HEALTH)
    async def health() -> Response:
        return empty(204)

    @app.exception_handler(TooLargeError)
    async def too_large(request: Request, _: Exception) -> Response:
        doors.counters.add("too_large", door=_door(app, request))
        return Response(status_code=413, headers={"Connection": "close"})

    @app.exception_handler(TooSlowError)
    async def too_slow(request: Request, _: Exception) -> Response:
        doors.counters.add("too_slow", door=_door(app, request))
        return Response(status_code=408, headers={"Connection": "close"})

    @app.exception_handler(SQLAlchemyError)
    async def not_kept(request: Request, error: Exception) -> Response:
        """Say that it was not kept, so that it is sent again."""
        doors.counters.add("not_kept", door=_door(app, request))
        log.error("not kept", kind=type(error).__name__)
        return empty(503)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return Response(status_code=error.status_code, headers=error.headers)

    return app


def _door(app: FastAPI, request: Request) -> str:
    """Return a path that is one of ours; what somebody made up is not repeated."""
    known = {getattr(route, "path", "") for route in app.routes}
    path = request.url.path
    return path if path in known else "other"
