"""What a bulk operation is: one act on many cases, chosen by a condition, confirmed by a fingerprint of exactly these.

The fingerprint covers the act, all its parameters and every case key, so that what is confirmed is what was shown.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.codes import CloseReason, HoldReason
from domain.decide import LAST_REASONS
from domain.roles import Act
from domain.scope import Scope


class BulkAction(StrEnum):
    """What is done to each case."""

    HOLD = "hold"
    RELEASE = "release"
    PAUSE = "pause"
    RESUME = "resume"
    CLOSE = "close"
    ADOPT_STRATEGY = "adopt-strategy"
    ASSIGN = "assign"


class BulkStatus(StrEnum):
    """The life of an operation. ``waiting``: a second person has to approve it."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class ItemStatus(StrEnum):
    """What became of one case of it."""

    PENDING = "pending"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTS: Mapping[BulkAction, Act] = {
    BulkAction.HOLD: Act.BULK,
    BulkAction.RELEASE: Act.BULK,
    BulkAction.PAUSE: Act.BULK,
    BulkAction.RESUME: Act.BULK,
    BulkAction.CLOSE: Act.BULK_CLOSE,
    BulkAction.ADOPT_STRATEGY: Act.ADOPT_STRATEGY,
    BulkAction.ASSIGN: Act.BULK,
}
"""Action -> what its actor must be allowed to do."""

MAY_CLOSE = tuple(sorted(set(CloseReason) - LAST_REASONS))
"""Reasons for which cases may be closed in bulk; that a debt is paid only the ledger can say."""


class BulkError(ValueError):
    """An operation that cannot be. One line: what, and how to mend it."""


@dataclass(frozen=True, slots=True)
class BulkOrder:
    """One act on many cases.

    ``hold_reason``: for hold, and for release which holds end; ``until``: end of a hold or pause; ``of``: release only
    what this earlier operation placed; ``strategy_digest``: for adopt-strategy; ``assignee``: an actor or a team.
    ``note`` says why in words and stays in the database.
    """

    action: BulkAction
    scope: Scope
    hold_reason: HoldReason | None = None
    close_reason: CloseReason | None = None
    until: datetime | None = None
    of: str | None = None
    strategy_digest: str | None = None
    assignee: str | None = None
    note: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """Return everything besides action and scope that makes it this order and no other."""
        given = {
            "hold_reason": self.hold_reason,
            "close_reason": self.close_reason,
            "until": None if self.until is None else self.until.isoformat(),
            "of": self.of,
            "strategy_digest": self.strategy_digest,
            "assignee": self.assignee,
        }
        return {name: str(value) for name, value in given.items() if value is not None}


def check_order(order: BulkOrder, now: datetime) -> None:
    """Raise BulkError for an order that lacks what its action needs, or that could not do anything."""
    needs = {
        BulkAction.HOLD: (order.hold_reason, "--reason, one of " + ", ".join(HoldReason)),
        BulkAction.RELEASE: (order.hold_reason or order.of, "--reason of the holds to end, or --of an operation"),
        BulkAction.CLOSE: (order.close_reason, "--reason, one of " + ", ".join(MAY_CLOSE)),
        BulkAction.ADOPT_STRATEGY: (order.strategy_digest, "--strategy FILE"),
        BulkAction.ASSIGN: (order.assignee, "--to an agent or a team"),
    }
    given, what = needs.get(order.action, (True, ""))
    if given is None:
        raise BulkError(f"bulk {order.action} needs {what}")
    if order.close_reason is not None and order.close_reason not in MAY_CLOSE:
        raise BulkError(
            f"--reason {order.close_reason}: only the ledger can say that a debt is paid; one of {', '.join(MAY_CLOSE)}"
        )
    if order.until is not None and order.until <= now:
        raise BulkError(f"--until {order.until:%Y-%m-%d}: lies in the past, so the hold would be over at once")


def base_of(order: BulkOrder, case_keys: Iterable[str]) -> str:
    """Return the digest of an act, its parameters and the cases it is for, in their order."""
    digest = hashlib.sha256(
        json.dumps([order.action, order.parameters], sort_keys=True, separators=(",", ":")).encode()
    )
    for key in case_keys:
        digest.update(b"\0" + key.encode())
    return digest.hexdigest()


def fingerprint_of(base: str, before: int) -> str:
    """Return what is typed to confirm. ``before``: how often exactly this was confirmed already."""
    return hashlib.sha256(f"{base}/{before}".encode()).hexdigest()[:16]
