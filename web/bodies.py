"""Reads bodies up to a limit, whatever a header claims, and answers without repeating anything of them."""

import asyncio

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

FORM_LIMIT = 65_536
BATCH_LIMIT = 4 * 1024 * 1024
"""SendGrid posts at 768 KB; a batch that is delivered again may have grown."""


PATIENCE = 20.0
"""Seconds that a body may take to arrive; who sends slower only wants our attention."""


class TooSlowError(Exception):
    """A body does not arrive."""


class TooLargeError(Exception):
    """A body is longer than its door takes."""


async def read_body(request: Request, limit: int, patience: float = PATIENCE) -> bytes:
    """Return the body. Raises TooLargeError before more than ``limit`` bytes are held, TooSlowError after a while."""
    claimed = request.headers.get("content-length", "")
    if claimed.isascii() and claimed.isdigit() and (len(claimed) > 12 or int(claimed) > limit):
        raise TooLargeError
    parts, size = [], 0
    try:
        async with asyncio.timeout(patience):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise TooLargeError
                parts.append(part)
    except ClientDisconnect:
        return b""
    except TimeoutError:
        raise TooSlowError from None
    return b"".join(parts)


def empty(status: int) -> Response:
    """Return an answer that says nothing but its status."""
    return Response(status_code=status)
