"""Legal action at the desk: put forward, approved by a second person, announced, filed, and what the court does next.

Each act writes the ledger first, under the locks of the persons; the case is told the same message, with the same event
id, which it finds recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine

from db.actors import acting_for_decision
from db.facts import read_account
from db.legal import Update, charge_cost, open_matter, record_update
from db.legal_facts import made_in
from db.refusals import CannotBeError
from db.signals import tell
from db.strategies import StrategyBook
from db.work import settle
from desk.case_of import OfCase, is_logical, locked_case, read_case_of, tell_ledger_changed
from desk.errors import DeskError
from domain.codes import LegalStage
from domain.legal import lacking
from domain.roles import Act, Acting, require

ACTS: Mapping[LegalStage, Act] = {
    LegalStage.REVIEW: Act.ASK_LEGAL,
    LegalStage.APPROVED: Act.APPROVE_LEGAL,
    LegalStage.RETURNED: Act.APPROVE_LEGAL,
    LegalStage.FILED: Act.FILE_SUIT,
    LegalStage.WITHDRAWN: Act.FILE_SUIT,
}
"""Which act a stage is; every other one is recording what a court or counsel did."""


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage as it was recorded. ``cost`` in minor units; ``charged``: it is in the ledger."""

    no: int
    stage: str
    on_day: date
    at: datetime
    actor: str
    document_ref: str | None
    cost: int | None
    currency: str | None
    charged: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class MatterView:
    """A matter with its stages. ``missing``: what must still be attempted before it may be approved."""

    key: str
    case_key: str
    stage: str
    limitation_on: date
    asked_by: str
    approved_by: str | None
    notice_until: datetime | None
    filed_at: datetime | None
    ended_at: datetime | None
    reason: str | None
    bars: tuple[str, ...]
    stages: tuple[StageView, ...]
    missing: tuple[str, ...] = ()


_COLUMNS = (
    "key", "case_key", "stage", "limitation_on", "asked_by", "approved_by", "notice_until", "filed_at", "ended_at",
    "reason", "bars",
)  # fmt: skip
_MATTERS = """
SELECT key, case_key, stage, limitation_on, asked_by, approved_by, notice_until, filed_at, ended_at, reason, bars
  FROM legal_matters WHERE account_key = %s ORDER BY key
"""
_STAGES = """
SELECT no, stage, on_day, at, actor, document_ref, cost, currency, entry_id IS NOT NULL, reason
  FROM legal_stages WHERE matter_key = %s ORDER BY no
"""
_ITEM = """
SELECT w.key FROM work_items w JOIN work_item_cases x ON x.item_key = w.key
 WHERE x.case_key = %s AND w.kind = 'legal' AND w.status IN ('open', 'claimed') ORDER BY w.key LIMIT 1
"""
_NOTICE = """
SELECT t.key FROM attempts t, legal_matters m
 WHERE m.account_key = %(account)s AND m.ended_at IS NULL AND t.case_key = %(case)s AND t.purpose = 'required_notice'
   AND t.status IN ('sent', 'delivered', 'answered') AND coalesce(t.sent_at, t.admitted_at) >= m.approved_at
 ORDER BY t.seq DESC LIMIT 1
"""


def matters(engine: Engine, acting: Acting, case_key: str, at: datetime) -> Sequence[MatterView]:
    """Return every matter about a case's debt, the latest last, each with its stages."""
    require(acting, Act.SEE)
    book = StrategyBook(engine)
    with engine.connect() as connection:
        case = read_case_of(connection, case_key)
        return [_view(connection, book, case, tuple(row), at) for row in _rows(connection, case.account_key)]


def _rows(connection: Connection, account_key: str) -> Sequence[Any]:
    return connection.exec_driver_sql(_MATTERS, (account_key,)).all()


def _view(connection: Connection, book: StrategyBook, case: OfCase, row: tuple[Any, ...], at: datetime) -> MatterView:
    stages = tuple(StageView(*one) for one in connection.exec_driver_sql(_STAGES, (row[0],)))
    values = dict(zip(_COLUMNS, row, strict=True))
    view = MatterView(**{**values, "bars": tuple(values["bars"])}, stages=stages)
    if view.stage != LegalStage.REVIEW:
        return view
    strategy = book.by_digest(_digest(connection, view.case_key))
    facts = read_account(connection, case.account_key, at, logical=is_logical(connection)).facts
    made = made_in(connection, view.case_key, strategy, facts.zone or "UTC")
    return replace(view, missing=lacking(strategy, facts, made))


def record(engine: Engine, acting: Acting, case_key: str, stage: LegalStage, at: datetime, **given: Any) -> MatterView:  # noqa: ANN401 - the fields of an update
    """Record one stage of a matter. CannotBeError says why it may not come now.

    ``given``: ``on_day``, ``limitation_on`` (with review), ``document_ref``, ``cost`` (minor units of the account's
    currency), ``reason``, ``note_ref``, ``event_id``. A notice without a document is the last required notice that was
    sent since the approval.
    """
    require(acting, ACTS.get(stage, Act.RECORD_LEGAL))
    book = StrategyBook(engine)
    with engine.begin() as connection:
        case = locked_case(connection, case_key)
        if stage in {LegalStage.APPROVED, LegalStage.RETURNED, LegalStage.FILED}:
            acting = acting_for_decision(connection, acting.actor)
            require(acting, ACTS[stage])
        update = Update(
            stage=stage,
            actor=acting.actor,
            at=at,
            event_id=given.pop("event_id", None) or f"desk/legal/{uuid4()}",
            currency=None if given.get("cost") is None else case.currency,
            **given,
        )
        if stage is LegalStage.NOTICE and update.document_ref is None:
            update = replace(update, document_ref=_notice_sent(connection, case))
        strategy = book.by_digest(_digest(connection, case_key))
        record_update(
            connection,
            update,
            account_key=case.account_key,
            case_key=case_key,
            strategy=strategy,
            logical=is_logical(connection),
        )
        _tell(connection, case, update)
        (last,) = _rows(connection, case.account_key)[-1:]
        return _view(connection, book, case, tuple(last), at)


def _notice_sent(connection: Connection, case: OfCase) -> str:
    found = connection.exec_driver_sql(_NOTICE, {"account": case.account_key, "case": case.case_key})
    key = found.scalar_one_or_none()
    if key is None:
        raise DeskError(
            f"{case.case_key}: no required notice was sent since the approval; send it, or name its --document"
        )
    return str(key)


def _digest(connection: Connection, case_key: str) -> str:
    found = connection.exec_driver_sql("SELECT strategy_digest FROM cases WHERE key = %s", (case_key,))
    return str(found.scalar_one())


def _tell(connection: Connection, case: OfCase, update: Update) -> None:
    """Settle the item of the step, and have the case hear the same message that was recorded."""
    item = connection.exec_driver_sql(_ITEM, (case.case_key,)).scalar_one_or_none()
    decided = update.stage in {LegalStage.APPROVED, LegalStage.RETURNED, LegalStage.FILED}
    if item is not None and decided:
        settle(connection, item, update.stage, {"event_id": update.event_id}, update.at)
    body = {
        "event_id": update.event_id, "actor": update.actor, "stage": update.stage, "on": update.on_day,
        "work_item": item if decided else None, "limitation_on": update.limitation_on,
        "document_ref": update.document_ref, "cost": update.cost, "currency": update.currency, "reason": update.reason,
        "note_ref": update.note_ref,
    }  # fmt: skip
    said = {name: str(one) if isinstance(one, date) else one for name, one in body.items() if one is not None}
    tell(connection, [case.case_key], "record_legal_update", said, update.at, logical=is_logical(connection))


def charge(engine: Engine, acting: Acting, case_key: str, no: int, at: datetime) -> int:
    """Put the cost of one stage into the ledger as a fee; return it in minor units."""
    require(acting, Act.RECORD_MONEY)
    with engine.begin() as connection:
        case = locked_case(connection, case_key)
        matter = open_matter(connection, case.account_key)
        if matter is None:
            raise CannotBeError(f"{case_key}: there is no open legal matter")
        zone = read_account(connection, case.account_key, at, logical=is_logical(connection)).facts.zone or "UTC"
        amount = charge_cost(connection, matter, no, actor=acting.actor, at=at, zone=zone)
        tell_ledger_changed(connection, [case.case_key], f"desk/cost/{matter.key}/{no}", at)
        return amount
