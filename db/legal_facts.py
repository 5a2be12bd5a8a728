"""What was attempted in an episode, as the ledger's own rows have it: the ground on which a last resort stands."""

from sqlalchemy import Connection

from domain.calendar import local_date
from domain.codes import COUNTS_AS_CONTACT, AttemptStatus
from domain.legal import Made
from domain.strategy import Strategy

_PENDING = frozenset({AttemptStatus.DEFERRED, AttemptStatus.RETRYABLE})
_REACHED = COUNTS_AS_CONTACT | {AttemptStatus.ANSWERED}

_ATTEMPTS = """
SELECT t.step, t.channel, t.status, t.outcome, t.party_reached, coalesce(t.sent_at, t.admitted_at, t.due_at) AS at
  FROM attempts t WHERE t.case_key = %(case)s
UNION ALL
SELECT NULL, t.channel, t.status, t.outcome, t.party_reached, coalesce(t.sent_at, t.admitted_at, t.due_at)
  FROM attempt_accounts x JOIN attempts t ON t.key = x.attempt_key
 WHERE x.case_key = %(case)s AND t.case_key <> %(case)s
"""
_ASKED = """
SELECT e.body::jsonb ->> 'step' AS step, e.kind,
       EXISTS (SELECT 1 FROM work_items w JOIN work_item_cases x ON x.item_key = w.key
                WHERE w.key = e.body::jsonb ->> 'item' AND x.case_key = %(case)s AND w.status IN ('open', 'claimed')) AS open
  FROM case_events e WHERE e.case_key = %(case)s AND e.kind IN ('asked', 'skip_asked')
"""


def made_in(connection: Connection, case_key: str, strategy: Strategy, zone: str) -> Made:
    """Return what was attempted for a case, its own attempts and those of others that spoke for it.

    A step counts once it was tried, refused by the gate for good, given to a person who worked it or let it go, or left
    out by an act of somebody.
    """
    known = {step.id for step in strategy.steps}
    rows = connection.exec_driver_sql(_ATTEMPTS, {"case": case_key}).all()
    made = [row for row in rows if row.status in _REACHED or row.outcome is not None]
    settled = {row.step for row in rows if row.status not in _PENDING}
    asked = connection.exec_driver_sql(_ASKED, {"case": case_key}).all()
    return Made(
        tries=len(made),
        days=len({local_date(row.at, zone) for row in made}),
        rpcs=sum(1 for row in made if row.party_reached == "right_party"),
        channels=frozenset(row.channel for row in made),
        dispositions=frozenset(row.outcome for row in made if row.outcome is not None),
        steps=frozenset((settled | {row.step for row in asked if not row.open}) & known),
        open_steps=frozenset({row.step for row in asked if row.open} & known),
    )
