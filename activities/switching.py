"""The kill switches, asked in the transaction that admits an attempt: what is off is put off, and stays due."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from db.switches import OFF, SWITCHED_OFF
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
    values = {"channel": step.via, "template": step.template or step.id, "creditor": creditor}
    return unless_off(decision, OFF.read(connection, values), now)


def unless_off(decision: Decision, off: Sequence[str], now: datetime) -> Decision:
    """Return what was decided, or a deferral where something of the attempt is off (``db.switches.OFF``)."""
    if decision.verdict is not Verdict.ALLOW or not off:
        return decision
    until = now + WHILE_OFF
    return replace(
        decision,
        verdict=Verdict.DEFER,
        rule_ids=(*decision.rule_ids, SWITCHED_OFF),
        defer_until=until,
        reasons=(*decision.reasons, Reason(SWITCHED_OFF, Verdict.DEFER, until, ", ".join(off))),
    )
