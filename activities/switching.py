"""The kill switches, asked in the transaction that admits an attempt: what is off is put off, and stays due."""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from db.switches import SWITCHED_OFF, off_for
from domain.codes import Verdict
from domain.gate import Decision, Reason
from domain.strategy import Step

WHILE_OFF = timedelta(hours=1)
"""How long an attempt waits before it asks again; switching on takes it up at once."""


def unless_switched_off(
    connection: Connection, decision: Decision, *, step: Step, creditor: str, now: datetime
) -> Decision:
    """Return what was decided, or a deferral where the step's channel, its template or the creditor is switched off."""
    if decision.verdict is not Verdict.ALLOW:
        return decision
    off = off_for(connection, channel=step.via, template=step.template or step.id, creditor=creditor)
    if not off:
        return decision
    until = now + WHILE_OFF
    return replace(
        decision,
        verdict=Verdict.DEFER,
        rule_ids=(*decision.rule_ids, SWITCHED_OFF),
        defer_until=until,
        reasons=(*decision.reasons, Reason(SWITCHED_OFF, Verdict.DEFER, until, ", ".join(off))),
    )
