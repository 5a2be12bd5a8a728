"""Disputes at the desk: opened, documents put forward, answered; the ledger first, then the cases are told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from pydantic import ValidationError
from sqlalchemy import Connection, Engine

from db.disputes import Answer, add_evidence, answer
from db.facts import read_account
from db.state_events import record_state_event
from desk.case_of import OfCase, is_logical, locked_case, open_cases_of_debtor, read_case_of, tell_ledger_changed
from desk.errors import DeskError
from domain.dispute_messages import DisputeAnswered, DisputeEvidence
from domain.message import Message
from domain.roles import Act, Acting, require
from domain.state_events import Told
from domain.state_messages import Dispute

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class DisputeAct:
    """What was put forward in a dispute, or its answer. Amounts in minor units of ``currency``."""

    dispute: str
    kind: str
    at: datetime
    actor: str
    given_by: str | None
    document_ref: str | None
    sha256: str | None
    result: str | None
    disputed_amount: int | None
    upheld_amount: int | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class DisputeView:
    """A dispute of an account. ``part_amount`` in minor units; ``None``: all of the debt."""

    key: str
    opened_at: datetime
    ended_at: datetime | None
    part_amount: int | None
    acts: tuple[DisputeAct, ...]


_DISPUTES = """
SELECT coalesce(s.key, h.key) AS key, h.from_at, h.released_at, h.part_amount
  FROM holds h LEFT JOIN state_events s ON h.event_id = 'state/' || s.key
 WHERE h.reason = 'dispute' AND (h.account_key = %(account)s OR h.debtor_key = %(debtor)s) ORDER BY h.from_at, h.key
"""
_ACTS = """
SELECT dispute, kind, at, actor, given_by, document_ref, sha256, result, disputed_amount, upheld_amount, currency
  FROM dispute_acts WHERE dispute = ANY(%s) ORDER BY id
"""


def disputes(engine: Engine, acting: Acting, case_key: str) -> Sequence[DisputeView]:
    """Return every dispute of a case's account, with what was put forward and answered."""
    require(acting, Act.SEE)
    with engine.connect() as connection:
        case = read_case_of(connection, case_key)
        rows = connection.exec_driver_sql(_DISPUTES, {"account": case.account_key, "debtor": case.debtor_key}).all()
        acts = [DisputeAct(*one) for one in connection.exec_driver_sql(_ACTS, ([row.key for row in rows],))]
    return [
        DisputeView(
            row.key, row.from_at, row.released_at, row.part_amount, tuple(a for a in acts if a.dispute == row.key)
        )
        for row in rows
    ]


def open_dispute(engine: Engine, acting: Acting, case_key: str, at: datetime, given: Mapping[str, object]) -> str:
    """Open a dispute of the debt, or of ``part_amount`` of it (minor units); return its key."""
    require(acting, Act.TELL_EVENT)
    message = _message(Dispute, acting, given)
    with engine.begin() as connection:
        case = locked_case(connection, case_key)
        return _tell(connection, case, message.told(case.account_key, at), at)


def put_forward(engine: Engine, acting: Acting, case_key: str, at: datetime, given: Mapping[str, object]) -> bool:
    """Keep the reference and the SHA-256 of a document; the file itself stays outside. False if it was there."""
    require(acting, Act.TELL_EVENT)
    message = _message(DisputeEvidence, acting, given)
    with engine.begin() as connection:
        case = locked_case(connection, case_key)
        return add_evidence(
            connection,
            message,
            account_key=case.account_key,
            debtor_key=case.debtor_key,
            case_key=case.case_key,
            at=at,
        )


def answer_dispute(engine: Engine, acting: Acting, case_key: str, at: datetime, given: Mapping[str, object]) -> Answer:
    """Decide a dispute: what is upheld is taken off the debt, the rest is collected again."""
    require(acting, Act.END_EVENT)
    message = _message(DisputeAnswered, acting, given)
    with engine.begin() as connection:
        case = locked_case(connection, case_key)
        answered = answer(
            connection,
            message,
            account_key=case.account_key,
            debtor_key=case.debtor_key,
            case_key=case.case_key,
            at=at,
            logical=is_logical(connection),
        )
        named = message.model_copy(update={"dispute": answered.dispute})
        _tell(connection, case, named.told(case.account_key, at), at)
    return answered


def _tell(connection: Connection, case: OfCase, told: Told, at: datetime) -> str:
    zone = read_account(connection, case.account_key, at, logical=is_logical(connection)).facts.zone
    recorded = record_state_event(connection, told, zone=zone or "UTC")
    concerned = {case.case_key, *recorded.cases, *open_cases_of_debtor(connection, case.debtor_key)}
    tell_ledger_changed(connection, sorted(concerned), f"desk/{told.event_id}", at)
    return recorded.key


def _message(model: type[M], acting: Acting, given: Mapping[str, object]) -> M:
    values = {name: value for name, value in given.items() if value is not None}
    values.setdefault("event_id", f"desk/dispute/{uuid4()}")
    try:
        return model.model_validate({**values, "actor": acting.actor})
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise DeskError(f"{where}: {said}" if where else said) from None
