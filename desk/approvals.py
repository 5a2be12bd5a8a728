"""Four eyes: one person asks, another approves or returns. Roles are checked first, then that they are two.

A function that decides about a subject of its own (a plan, a suit) calls ``decide_in`` inside its transaction, so that
what follows from the decision stands or falls with it.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine

from db.actors import acting_for_decision
from db.approvals import Approval, ApprovalError, ask_approval, decide_approval, list_approvals, read_approval
from domain.approvals import TAKES, Subject, Verdict
from domain.roles import Act, Acting, require


def ask(engine: Engine, acting: Acting, subject: Subject, *, at: datetime, note_ref: str | None = None) -> Approval:
    """Ask for a decision, or put the subject forward as it now is."""
    with engine.begin() as connection:
        return ask_in(connection, acting, subject, at=at, note_ref=note_ref)


def ask_in(
    connection: Connection, acting: Acting, subject: Subject, *, at: datetime, note_ref: str | None = None
) -> Approval:
    """Ask within a transaction of the caller's."""
    require(acting, TAKES[subject.kind].to_ask)
    return ask_approval(connection, subject, by=acting, at=at, note_ref=note_ref)


def approve(engine: Engine, acting: Acting, key: str, *, at: datetime, seen: str | None = None) -> Approval:
    """Approve an open question as the second person. ``seen``: the digest of what was looked at."""
    with engine.begin() as connection:
        return decide_in(connection, acting, key, Verdict.APPROVED, at=at, seen=seen)


def return_(engine: Engine, acting: Acting, key: str, *, at: datetime, reason: str | None = None) -> Approval:
    """Return a question: not like this. ``reason`` is a code."""
    with engine.begin() as connection:
        return decide_in(connection, acting, key, Verdict.RETURNED, at=at, reason=reason)


def decide_in(
    connection: Connection,
    acting: Acting,
    key: str,
    verdict: Verdict,
    *,
    at: datetime,
    seen: str | None = None,
    reason: str | None = None,
) -> Approval:
    """Decide within a transaction of the caller's. The role is read from the database, whatever the caller says."""
    held = read_approval(connection, key, lock=True)
    if held is None:
        raise ApprovalError(f"{key}: no such question; `approval list` shows the open ones")
    known = acting_for_decision(connection, acting.actor)
    require(known, TAKES[held.kind].to_decide)
    return decide_approval(connection, key, verdict, by=known, at=at, seen=seen, reason=reason)


def questions(engine: Engine, acting: Acting, *, decided: bool = False) -> Sequence[Approval]:
    """Return what waits for a second person."""
    require(acting, Act.SEE)
    with engine.connect() as connection:
        return list_approvals(connection, decided=decided)
