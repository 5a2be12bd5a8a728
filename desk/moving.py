"""Moving one case to another strategy: previewed with dates, then adopted if the case still stands where it stood.

A case follows the version it was opened with; this is the explicit act that changes it, by a supervisor. The case
itself answers both times, so that what is shown is what it will do.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from db.strategies import register
from domain.roles import Act, Acting, require
from domain.strategy import Strategy


class MovingError(ValueError):
    """A case that cannot be moved. One line: which, why, how to mend it."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a case will do if nobody answers. ``coming``: when (local to ``zone``), step, by, what."""

    case: str
    strategy: str
    position: str
    zone: str
    coming: list[dict[str, str | None]]


@dataclass(frozen=True, slots=True)
class Move:
    """What a case will do by its own strategy, and what it would do by the other."""

    now: Outlook
    then: Outlook


async def preview(client: Client, acting: Acting, case_key: str, strategy: Strategy) -> Move:
    """Ask the case what it will do, and what it would do if it adopted ``strategy`` now. Changes nothing."""
    require(acting, Act.ADOPT_STRATEGY)
    return Move(await outlook(client, case_key), await outlook(client, case_key, strategy))


async def outlook(client: Client, case_key: str, strategy: Strategy | None = None) -> Outlook:
    """Ask the case what it will do and when, by its own strategy or by another."""
    arguments = [] if strategy is None else [strategy]
    try:
        told: dict[str, Any] = await client.get_workflow_handle(f"case/{case_key}").query("forecast", args=arguments)
    except RPCError as error:
        raise _gone(case_key, error) from None
    return Outlook(**told)


async def adopt(
    engine: Engine, client: Client, acting: Acting, case_key: str, strategy: Strategy, position: str, *, now: datetime
) -> Outlook:
    """Have the case follow ``strategy``; MovingError if it has moved since its ``position``. ``now``: engine time."""
    require(acting, Act.ADOPT_STRATEGY)
    with engine.begin() as connection:
        digest = register(connection, strategy, now)
    order = {"event_id": f"adopt/{uuid4()}", "digest": digest, "position": position, "actor": acting.actor}
    try:
        told: dict[str, Any] = await client.get_workflow_handle(f"case/{case_key}").execute_update(
            "adopt_strategy", order
        )
    except WorkflowUpdateFailedError as error:
        raise MovingError(f"{case_key}: {_reason(error)}") from None
    except RPCError as error:
        raise _gone(case_key, error) from None
    if not told.pop("adopted"):
        raise MovingError(f"{case_key}: it did not adopt the strategy; `case show {case_key}` says why")
    return Outlook(**told)


def _reason(error: WorkflowUpdateFailedError) -> str:
    return str(getattr(error.cause, "message", "") or "the case refused")


def _gone(case_key: str, error: RPCError) -> Exception:
    if error.status is RPCStatusCode.NOT_FOUND:
        return MovingError(f"{case_key}: the case is closed; `case show {case_key}` says why")
    return error
