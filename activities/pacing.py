"""Spreads what would start all at once: after a night of deferrals everything would be due the moment hours open.

Each case gets a share of its own, made of its key, of the time that the waiting contacts need at the channel's rate.
The share is part of the decision, so the record says why a contact came when it did. An instant that the gate would
refuse is never chosen: a share that does not fit is halved until it does.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from domain.codes import Channel, Verdict
from domain.gate import Decision, Reason

PACED = "core.paced"
KNOWN_FOR = 60.0
"""Seconds for which a count of waiting contacts is good enough."""
HALVINGS = 6
_SCALE = float(2**64)
_WAITING = "SELECT count(*) FROM cases WHERE status = 'open' AND next_channel = %s AND due_at < %s"


def share_of(case_key: str) -> float:
    """Return a number from 0 to below 1 that belongs to a case for ever."""
    return int.from_bytes(hashlib.sha256(f"pace/{case_key}".encode()).digest()[:8]) / _SCALE


@dataclass(slots=True)
class Pacing:
    """The rates of the channels, contacts a second. A channel without a rate is not spread."""

    rates: Mapping[Channel, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _known: dict[Channel, tuple[float, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def span(self, connection: Connection, channel: Channel, opens: datetime) -> timedelta:
        """Return how long the contacts that wait for ``opens`` need at the channel's rate."""
        rate = self.rates.get(channel)
        if not rate:
            return timedelta(0)
        now = self.clock()
        with self._lock:
            known = self._known.get(channel)
        if known is None or now - known[0] > KNOWN_FOR:
            count = connection.exec_driver_sql(_WAITING, (channel, opens + timedelta(hours=1))).scalar_one()
            known = (now, int(count))
            with self._lock:
                self._known[channel] = known
        return timedelta(seconds=known[1] / rate)

    def spread(
        self,
        connection: Connection,
        decision: Decision,
        *,
        case_key: str,
        channel: Channel,
        allows: Callable[[datetime], Verdict],
    ) -> Decision:
        """Return a deferral with the case's own share added, as far as the gate would allow it then."""
        opens = decision.defer_until
        if decision.verdict is not Verdict.DEFER or opens is None:
            return decision
        share = self.span(connection, channel, opens) * share_of(case_key)
        for _ in range(HALVINGS):
            if share < timedelta(seconds=1):
                return decision
            share = timedelta(seconds=int(share.total_seconds()))
            if allows(opens + share) is Verdict.ALLOW:
                until = opens + share
                reason = Reason(PACED, Verdict.DEFER, until, f"{int(share.total_seconds())} s after opening")
                return replace(
                    decision,
                    rule_ids=(*decision.rule_ids, PACED),
                    defer_until=until,
                    reasons=(*decision.reasons, reason),
                )
            share /= 2
        return decision
