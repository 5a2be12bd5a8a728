"""Click to dial: the agent's own telephone rings first, and whoever they are to speak with is called when they pick up.

Ringing an agent is no contact, so it needs no attempt; the gate is asked all the same, so that nobody picks up in vain.
The attempt is admitted when the agent is on the line, an instant before the person is called (``web.bridges``).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from activities.providers.base import Accepted, AmbiguousSendError, Loan, NotProcessed, SendResult
from db.actors import read_actor
from db.queue import Queued, read_one
from desk.queue import Desk, Now, QueueError, lost
from domain.codes import TaskKind
from domain.roles import Act, Acting, require


class Line(Protocol):
    """Rings telephones of agents. Makes one request; raises AmbiguousSendError when it cannot know what happened."""

    def ring(self, loan: Loan, agent_number: str) -> SendResult:
        """Ring an agent, and call the person of the item when they pick up."""
        ...


@dataclass(frozen=True, slots=True)
class Ringing:
    """The agent's telephone rings; ``sure`` is false when the carrier did not say so."""

    loan: Loan
    sure: bool


def dial(desk: Desk, line: Line, acting: Acting, key: str, now: datetime, lease_no: int | None = None) -> Ringing:
    """Ring the telephone of whoever has the item on loan. QueueError says in one line why not.

    ``lease_no``: the loan they know of; left out, the one they have.
    """
    require(acting, Act.WORK)
    with desk.engine.connect() as connection:
        registered = read_actor(connection, acting.actor)
        item = _claimed(read_one(connection, key), acting, key, lease_no)
        answer = desk.permit(connection, key, now)
    if registered is None or registered.fit.phone is None:
        raise QueueError(
            f"{acting.actor}: has no telephone to ring; an admin sets it: `actor add {acting.actor} --phone +1...`"
        )
    if answer is None:
        raise QueueError(f"{key}: there is nothing left to do: paid, held or closed; its case takes it back")
    if not isinstance(answer, Now):
        when = "" if answer.until is None else f" before {answer.until:%Y-%m-%d %H:%M} UTC"
        raise QueueError(f"{key}: may not be dialled{when} ({', '.join(answer.rule_ids)})")
    loan = Loan(key, acting.actor, item.lease_no)
    try:
        result = line.ring(loan, registered.fit.phone)
    except AmbiguousSendError:
        return Ringing(loan, sure=False)
    if isinstance(result, Accepted):
        return Ringing(loan, sure=True)
    if isinstance(result, NotProcessed):
        wait = int(result.retry_after.total_seconds())
        raise QueueError(f"{key}: the carrier took nothing ({result.code}); dial again in {wait} s")
    raise QueueError(f"{key}: the carrier would not ring your telephone ({result.code}); nobody was called")


def _claimed(item: Queued | None, acting: Acting, key: str, lease_no: int | None) -> Queued:
    if item is None:
        raise QueueError(f"{key}: there is no such item; `work list --all` shows the open ones")
    if item.kind is not TaskKind.CALL:
        raise QueueError(f"{key}: is no call ({item.kind}); there is nobody to dial")
    if item.status != "claimed" or item.claimed_by != acting.actor:
        raise QueueError(f"{key}: is not yours; claim it first: `work claim {key} --as {acting.actor}`")
    if lease_no is not None and lease_no != item.lease_no:
        raise lost(item, acting, lease_no)
    return item
