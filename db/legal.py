"""Legal matters: each stage once, in its order, with what must come before it. The caller holds the locks of the persons.

Whatever cannot be is refused with ``CannotBeError`` before anything is written: a stage out of order, a claim that comes
too late, an approval by whoever asked, a filing before the notice has run, anything else left to attempt.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from db.actors import acting_in_message, anybody_registered
from db.approvals import ApprovalError, ask_approval, decide_approval, open_question
from db.facts import read_account
from db.legal_facts import made_in
from db.policies import legal_policy
from db.record import append_event
from db.refusals import CannotBeError
from domain.approvals import Subject, SubjectKind, Verdict
from domain.calendar import local_date, start_of_day
from domain.codes import LegalStage
from domain.facts import Facts
from domain.legal import lacking, time_barred
from domain.roles import NotAllowedError
from domain.strategy import Strategy

NOBODY = frozenset({"system", "sandbox"})
"""Names of programs: none is a person, so none is the first or the second of two."""


@dataclass(frozen=True, slots=True)
class Update:
    """A stage to record. ``cost`` in minor units of ``currency``; ``on_day``: when it happened, by default today."""

    stage: LegalStage
    actor: str
    at: datetime
    event_id: str
    on_day: date | None = None
    limitation_on: date | None = None
    document_ref: str | None = None
    cost: int | None = None
    currency: str | None = None
    reason: str | None = None
    note_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Matter:
    """A legal matter as it stands."""

    key: str
    account_key: str
    case_key: str
    stage: LegalStage
    limitation_on: date
    asked_by: str
    approved_by: str | None
    notice_until: datetime | None
    filed_at: datetime | None
    ended_at: datetime | None


_MATTER = """
SELECT key, account_key, case_key, stage, limitation_on, asked_by, approved_by, notice_until, filed_at, ended_at
  FROM legal_matters
"""


def open_matter(connection: Connection, account_key: str) -> Matter | None:
    """Return the matter about a debt that is not over."""
    row = connection.exec_driver_sql(
        f"{_MATTER} WHERE account_key = %s AND ended_at IS NULL FOR UPDATE", (account_key,)
    ).one_or_none()
    return None if row is None else _matter(tuple(row))


def read_matter(connection: Connection, key: str) -> Matter | None:
    """Return a matter by its key."""
    row = connection.exec_driver_sql(f"{_MATTER} WHERE key = %s", (key,)).one_or_none()
    return None if row is None else _matter(tuple(row))


def _matter(row: tuple[object, ...]) -> Matter:
    key, account, case, stage, *rest = row
    return Matter(str(key), str(account), str(case), LegalStage(str(stage)), *rest)  # type: ignore[arg-type]


def record_update(
    connection: Connection, update: Update, *, account_key: str, case_key: str, strategy: Strategy, logical: bool
) -> Matter:
    """Record one stage, once by its event id, and return the matter after it."""
    held = connection.exec_driver_sql(
        "SELECT matter_key FROM legal_stages WHERE event_id = %s", (update.event_id,)
    ).scalar_one_or_none()
    if held is not None:
        found = read_matter(connection, held)
        if found is None:
            raise LookupError(held)
        return found
    facts = read_account(connection, account_key, update.at, logical=logical).facts
    matter = open_matter(connection, account_key)
    why = legal_policy().why_not_next(None if matter is None else matter.stage, update.stage)
    if why is not None:
        raise CannotBeError(f"{why}; `legal show` lists its stages")
    _check(connection, update, matter, facts, case_key, strategy)
    key = _opened(connection, update, account_key, case_key) if matter is None else matter.key
    _approvals(connection, update, key, case_key)
    _move(connection, update, key, facts)
    _keep(connection, update, key, case_key, facts)
    after = read_matter(connection, key)
    if after is None:
        raise LookupError(key)
    return after


# --- what must come before -------------------------------------------------------------------------------------------


def _check(
    connection: Connection,
    update: Update,
    matter: Matter | None,
    facts: Facts,
    case_key: str,
    strategy: Strategy,
) -> None:
    today = local_date(update.at, facts.zone or "UTC")
    if update.currency is not None and update.currency != facts.currency:
        raise CannotBeError(f"the account is in {facts.currency}, the cost in {update.currency}")
    if update.on_day is not None and update.on_day > today and update.stage is not LegalStage.HEARING:
        raise CannotBeError(f"{update.stage} is said for {update.on_day}, which is still to come")
    limitation = update.limitation_on if matter is None else matter.limitation_on
    match update.stage:
        case LegalStage.REVIEW | LegalStage.NOTICE:
            _refuse(time_barred(limitation, today, facts.stops))
        case LegalStage.APPROVED:
            _refuse(time_barred(limitation, today, facts.stops))
            if matter is not None and (update.actor == matter.asked_by or update.actor in NOBODY):
                raise CannotBeError(f"{update.actor} cannot approve it: a second person must (four eyes)")
            missing = lacking(strategy, facts, made_in(connection, case_key, strategy, facts.zone or "UTC"))
            if missing:
                raise CannotBeError(
                    f"legal action is the last resort, and there is more to attempt: {'; '.join(missing)}"
                )
        case LegalStage.FILED:
            _refuse(time_barred(limitation, today, facts.stops))
            if matter is None or matter.approved_by is None or matter.notice_until is None:
                raise CannotBeError("a claim is filed after a second person's approval and a notice")
            if update.at < matter.notice_until:
                until = matter.notice_until.strftime("%Y-%m-%d %H:%M")
                raise CannotBeError(f"the notice before action runs until {until} UTC")
        case _:
            pass
    if update.stage is LegalStage.REVIEW and update.actor in NOBODY:
        raise CannotBeError("legal action is asked for by a person, not by a program")
    if update.stage in {LegalStage.RETURNED, LegalStage.WITHDRAWN} and update.reason is None:
        raise CannotBeError(f"{update.stage} needs a reason")
    if update.stage is LegalStage.NOTICE and update.document_ref is None:
        raise CannotBeError("notice needs the attempt or document it was sent by")


def _refuse(why: str | None) -> None:
    if why is not None:
        raise CannotBeError(why)


# --- writing ----------------------------------------------------------------------------------------------------------


def _opened(connection: Connection, update: Update, account_key: str, case_key: str) -> str:
    key: str = connection.exec_driver_sql(
        "INSERT INTO legal_matters (account_key, case_key, stage, limitation_on, asked_by, asked_at) "
        "VALUES (%s, %s, %s, %s, %s, %s) RETURNING key",
        (account_key, case_key, update.stage, update.limitation_on, update.actor, update.at),
    ).scalar_one()
    return key


def _approvals(connection: Connection, update: Update, key: str, case_key: str) -> None:
    """Ask for the second person and take their answer; where nobody is registered the matter alone keeps the two."""
    if update.stage is LegalStage.REVIEW:
        if anybody_registered(connection):
            acting = acting_in_message(connection, update.actor)
            subject = Subject(SubjectKind.LEGAL, key, case_key=case_key)
            ask_approval(connection, subject, by=acting, at=update.at, note_ref=update.note_ref)
        return
    if update.stage not in {LegalStage.APPROVED, LegalStage.RETURNED}:
        return
    question = open_question(connection, SubjectKind.LEGAL, key)
    if question is None:
        return
    verdict = Verdict.APPROVED if update.stage is LegalStage.APPROVED else Verdict.RETURNED
    try:
        acting = acting_in_message(connection, update.actor)
        decide_approval(connection, question.key, verdict, by=acting, at=update.at, reason=update.reason)
    except (ApprovalError, NotAllowedError) as error:
        raise CannotBeError(str(error)) from None


def _move(connection: Connection, update: Update, key: str, facts: Facts) -> None:
    rule = legal_policy().stages[update.stage]
    sets: dict[str, object] = {"stage": update.stage, "bars": [str(one) for one in rule.bars]}
    match update.stage:
        case LegalStage.APPROVED:
            sets |= {"approved_by": update.actor, "approved_at": update.at}
        case LegalStage.NOTICE:
            zone = facts.zone or "UTC"
            day = update.on_day or local_date(update.at, zone)
            until = start_of_day(day + timedelta(days=1) + legal_policy().notice_period(facts.region), zone)
            sets |= {"notice_at": update.at, "notice_until": until}
        case LegalStage.FILED:
            sets |= {"filed_at": update.at}
        case _:
            pass
    if rule.ends:
        sets |= {"ended_at": update.at, "reason": update.reason}
    columns = ", ".join(f"{name} = %({name})s" for name in sets)
    connection.exec_driver_sql(f"UPDATE legal_matters SET {columns} WHERE key = %(key)s", {**sets, "key": key})


def _keep(connection: Connection, update: Update, key: str, case_key: str, facts: Facts) -> None:
    day = update.on_day or local_date(update.at, facts.zone or "UTC")
    connection.exec_driver_sql(
        "INSERT INTO legal_stages (matter_key, no, stage, on_day, at, actor, document_ref, cost, currency, reason, note_ref, "
        "event_id) SELECT %(key)s, coalesce(max(no), 0) + 1, %(stage)s, %(day)s, %(at)s, %(actor)s, %(document)s, %(cost)s, "
        "%(currency)s, %(reason)s, %(note)s, %(event)s FROM legal_stages WHERE matter_key = %(key)s",
        {
            "key": key, "stage": update.stage, "day": day, "at": update.at, "actor": update.actor,
            "document": update.document_ref, "cost": update.cost, "currency": update.currency, "reason": update.reason,
            "note": update.note_ref, "event": update.event_id,
        },
    )  # fmt: skip
    body = {
        "matter": key, "stage": update.stage, "on": day, "document": update.document_ref, "cost": update.cost,
        "currency": update.currency, "reason": update.reason, "actor": update.actor,
    }  # fmt: skip
    append_event(connection, case_key, "legal", update.at, body)


def charge_cost(connection: Connection, matter: Matter, no: int, *, actor: str, at: datetime, zone: str) -> int:
    """Put the cost of one stage into the ledger as a fee, once; return the amount in minor units."""
    row = connection.exec_driver_sql(
        "SELECT stage, cost, currency, entry_id FROM legal_stages WHERE matter_key = %s AND no = %s FOR UPDATE",
        (matter.key, no),
    ).one_or_none()
    if row is None or row.cost is None:
        raise CannotBeError(f"{matter.key}: stage {no} has no cost; `legal show` lists them")
    if row.entry_id is not None:
        raise CannotBeError(f"{matter.key}: the cost of stage {no} is in the ledger already")
    entry = connection.exec_driver_sql(
        "INSERT INTO ledger_entries (account_key, creditor, kind, component, amount, currency, value_on, received_at, "
        "external_id, source) SELECT key, creditor, 'fee', 'legal', %s, %s, %s, %s, %s, 'legal' FROM accounts WHERE key = %s "
        "RETURNING id",
        (row.cost, row.currency, local_date(at, zone), at, f"legal/{matter.key}/{no}", matter.account_key),
    ).scalar_one()
    connection.exec_driver_sql(
        "UPDATE legal_stages SET entry_id = %s WHERE matter_key = %s AND no = %s", (entry, matter.key, no)
    )
    body = {"matter": matter.key, "no": no, "amount": row.cost, "currency": row.currency, "actor": actor}
    append_event(connection, matter.case_key, "legal_cost", at, body)
    return int(row.cost)
