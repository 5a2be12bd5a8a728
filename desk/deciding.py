"""One way for a second person to decide, whatever it is about: what follows from it is done in the same transaction."""

from datetime import datetime

from sqlalchemy import Engine

from db.approvals import Approval, read_approval
from desk import approvals, plans
from domain.approvals import SubjectKind, Verdict
from domain.roles import Acting


def decide(
    engine: Engine,
    acting: Acting,
    key: str,
    verdict: Verdict,
    *,
    at: datetime,
    seen: str | None = None,
    reason: str | None = None,
) -> Approval:
    """Decide an open question as the second person; ApprovalError and NotAllowedError say why not."""
    with engine.connect() as connection:
        held = read_approval(connection, key)
    if held is not None and held.kind is SubjectKind.PLAN:
        return plans.decide(engine, acting, key, verdict, at=at, seen=seen, reason=reason)
    if verdict is Verdict.APPROVED:
        return approvals.approve(engine, acting, key, at=at, seen=seen)
    return approvals.return_(engine, acting, key, at=at, reason=reason)
