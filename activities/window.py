"""Until when a message may be delivered: a carrier may hold it for hours, and nothing may arrive in quiet hours.

The gate is asked about later instants with what was read for the admission. What else may change until then (a payment,
a refusal) is not foreseen: only a carrier that has dropped the message by then keeps it from arriving.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from activities.judging import Judge, Matter, Read
from activities.wording import Worded
from domain.codes import Channel, Verdict

HORIZON = timedelta(hours=1)
"""How long a provider holds a message unless it is told otherwise; later instants need not be asked about."""
STEPS = 2
"""Into how many parts the horizon is cut: a window that closes and opens again within one part is not seen."""
FINEST = timedelta(seconds=15)
_WAITS = frozenset({Channel.SMS, Channel.VOICE})


def closes_at(judge: Judge, matter: Matter, read: Read, worded: Worded | None) -> datetime | None:
    """Return the last instant at which an allowed contact may still reach the person, ``None``: not within an hour."""
    if matter.step.via not in _WAITS:
        return None

    def allows(at: datetime) -> bool:
        return judge.decide(matter, replace(read, now=at), worded=worded).verdict is Verdict.ALLOW

    part = HORIZON / STEPS
    for number in range(STEPS):
        good, late = read.now + part * number, read.now + part * (number + 1)
        if allows(late):
            continue
        while late - good > FINEST:
            middle = good + (late - good) / 2
            good, late = (middle, late) if allows(middle) else (good, middle)
        return good
    return None
