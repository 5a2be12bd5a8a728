"""What one person asked and another decides, under a lock of its row.

Whoever asked, or changed the subject while the question was open, is kept in ``touched_by`` and never decides it, in
whatever order the calls come. The database refuses it too. The caller has checked the roles (``desk.approvals``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from db.record import append_event
from domain.approvals import Subject, SubjectKind, Verdict
from domain.roles import Acting, require_second

_COLUMNS = (
    "key, subject_kind, subject_key, digest, case_key, asked_by, asked_at, touched_by, note_ref, decided_by, "
    "decided_at, decision, reason"
)


class ApprovalError(ValueError):
    """A question that is not there, is decided, or is about something else by now. One line: what and how to mend."""


@dataclass(frozen=True, slots=True)
class Approval:
    """One row of ``approvals``."""

    key: str
    kind: SubjectKind
    subject: str
    digest: str
    case_key: str | None
    asked_by: str
    asked_at: datetime
    touched_by: tuple[str, ...]
    note_ref: str | None
    decided_by: str | None
    decided_at: datetime | None
    decision: Verdict | None
    reason: str | None


def ask_approval(
    connection: Connection, subject: Subject, *, by: Acting, at: datetime, note_ref: str | None = None
) -> Approval:
    """Ask, or ask again: one question about a subject is open at a time, and whoever asks again has touched it."""
    connection.exec_driver_sql(
        "INSERT INTO approvals (subject_kind, subject_key, digest, case_key, asked_by, asked_at, touched_by, note_ref) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (subject_kind, subject_key) WHERE decided_at IS NULL DO NOTHING",
        (subject.kind, subject.key, subject.digest, subject.case_key, by.actor, at, [by.actor], note_ref),
    )
    held = open_question(connection, subject.kind, subject.key)
    if held is None:  # decided in the instant between: the next question is a new one
        return ask_approval(connection, subject, by=by, at=at, note_ref=note_ref)
    fresh = held.asked_by == by.actor and held.asked_at == at and held.digest == subject.digest
    approval = held if fresh else _touch(connection, held, subject, by, note_ref)
    _record(connection, approval, "approval_asked", at, by, digest=approval.digest)
    return approval


def _touch(connection: Connection, held: Approval, subject: Subject, by: Acting, note_ref: str | None) -> Approval:
    touched = tuple(dict.fromkeys((*held.touched_by, by.actor)))
    row = connection.exec_driver_sql(
        f"UPDATE approvals SET digest = %s, touched_by = %s, note_ref = coalesce(%s, note_ref) WHERE key = %s RETURNING {_COLUMNS}",
        (subject.digest, list(touched), note_ref, held.key),
    ).one()
    return _approval(row)


def decide_approval(
    connection: Connection,
    key: str,
    verdict: Verdict,
    *,
    by: Acting,
    at: datetime,
    seen: str | None = None,
    reason: str | None = None,
) -> Approval:
    """Decide an open question; NotAllowedError for whoever asked or changed it, ApprovalError when it is not open.

    ``seen`` is the digest of what the decider looked at, or its beginning: a subject that changed since is not decided.
    """
    held = read_approval(connection, key, lock=True)
    if held is None:
        raise ApprovalError(f"{key}: no such question; `approval list` shows the open ones")
    if held.decision is not None:
        raise ApprovalError(f"{key}: was {held.decision} by {held.decided_by} already")
    require_second(by, held.asked_by, *held.touched_by)
    if seen is not None and not (seen and held.digest.startswith(seen)):
        raise ApprovalError(f"{key}: has changed since you looked at it; look at it again (`approval list`)")
    row = connection.exec_driver_sql(
        "UPDATE approvals SET decided_by = %s, decided_at = %s, decision = %s, reason = %s "
        f"WHERE key = %s AND decided_at IS NULL RETURNING {_COLUMNS}",
        (by.actor, at, verdict, reason, key),
    ).one()
    approval = _approval(row)
    _record(connection, approval, "approval_decided", at, by, decision=verdict, reason=reason)
    return approval


def read_approval(connection: Connection, key: str, *, lock: bool = False) -> Approval | None:
    """Return a question; with ``lock`` nobody else changes or decides it until the transaction ends."""
    row = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM approvals WHERE key = %s{' FOR UPDATE' if lock else ''}", (key,)
    ).one_or_none()
    return None if row is None else _approval(row)


def approval_of(connection: Connection, subject: Subject) -> Approval | None:
    """Return the last approval of a subject as it is: none if it was returned, or approved with another content."""
    row = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM approvals WHERE subject_kind = %s AND subject_key = %s AND decided_at IS NOT NULL "
        "ORDER BY key DESC LIMIT 1",
        (subject.kind, subject.key),
    ).one_or_none()
    found = None if row is None else _approval(row)
    if found is None or found.decision is not Verdict.APPROVED or found.digest != subject.digest:
        return None
    return found


def list_approvals(connection: Connection, *, decided: bool = False) -> list[Approval]:
    """Return the open questions, the oldest first; with ``decided`` also the last 200 that are decided."""
    rows = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM approvals WHERE decided_at IS NULL OR %s "
        "ORDER BY decided_at IS NOT NULL, decided_at DESC, asked_at, key LIMIT 1000",
        (decided,),
    )
    return [_approval(row) for row in rows]


def open_question(connection: Connection, kind: SubjectKind, key: str) -> Approval | None:
    """Return the question about a subject that is open, and keep it so until the transaction ends."""
    row = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM approvals WHERE subject_kind = %s AND subject_key = %s AND decided_at IS NULL FOR UPDATE",
        (kind, key),
    ).one_or_none()
    return None if row is None else _approval(row)


def _approval(row: Sequence[object]) -> Approval:
    key, kind, subject, digest, case_key, asked_by, asked_at, touched, note, by, at, decision, reason = row
    verdict = None if decision is None else Verdict(str(decision))
    return Approval(
        str(key), SubjectKind(str(kind)), str(subject), str(digest), case_key, str(asked_by), asked_at,  # type: ignore[arg-type]
        tuple(touched), note, by, at, verdict, reason,  # type: ignore[arg-type]
    )  # fmt: skip


def _record(connection: Connection, approval: Approval, kind: str, at: datetime, by: Acting, **more: object) -> None:
    if approval.case_key is None:
        return
    body = {"approval": approval.key, "subject": f"{approval.kind}/{approval.subject}", "actor": by.actor, **more}
    append_event(connection, approval.case_key, kind, at, body)
