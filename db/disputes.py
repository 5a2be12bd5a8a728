"""Disputes: what was put forward, and the one answer, with what it takes off the debt.

A dispute is opened by the state event of that name, or by a lender's file; what stands is its hold. The caller holds the
locks of the persons. What cannot be done raises ``CannotBeError`` before anything is written.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from db.facts import read_account
from db.holds import OF_STATE_EVENT, release_holds
from db.record import append_event
from db.refusals import CannotBeError
from domain.calendar import local_date
from domain.codes import CloseReason, HoldReason
from domain.dispute_messages import DisputeAnswered, DisputeEvidence

_STANDING = """
SELECT h.key AS hold, h.reason, h.scope, h.part_amount, h.event_id, s.key AS event, s.event_id AS event_of
  FROM holds h LEFT JOIN state_events s ON h.event_id = %(prefix)s || s.key
 WHERE h.reason = %(reason)s AND h.from_at <= %(at)s AND (h.released_at IS NULL OR h.released_at > %(at)s)
   AND (h.until_at IS NULL OR h.until_at > %(at)s)
   AND (h.account_key = %(account)s OR (h.debtor_key = %(debtor)s AND h.scope = 'debtor'))
   AND CASE WHEN %(named)s::text IS NULL THEN h.account_key IS NOT NULL
            ELSE %(named)s IN (h.key, s.key, s.event_id) END
 ORDER BY h.key
"""


@dataclass(frozen=True, slots=True)
class Disputed:
    """A dispute that stands. ``part_amount`` in minor units, ``None`` when all of the debt is disputed."""

    key: str
    hold: str
    by_event: bool
    part_amount: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer came to. Amounts in minor units of ``currency``."""

    dispute: str
    result: str
    disputed: int
    upheld: int
    currency: str
    is_new: bool


def standing_dispute(
    connection: Connection, account_key: str, debtor_key: str, at: datetime, named: str | None = None
) -> Disputed:
    """Return the dispute that is meant; CannotBeError when none stands, or more than one and none is named."""
    rows = connection.exec_driver_sql(
        _STANDING,
        {
            "prefix": OF_STATE_EVENT, "reason": HoldReason.DISPUTE, "at": at, "account": account_key,
            "debtor": debtor_key, "named": named,
        },
    ).all()  # fmt: skip
    if not rows:
        which = "no dispute stands on this account" if named is None else f"{named}: no such dispute stands"
        raise CannotBeError(f"{which}; `dispute show` lists them")
    if len(rows) > 1:
        keys = ", ".join(row.event or row.hold for row in rows)
        raise CannotBeError(f"several disputes stand ({keys}); name the one that is meant")
    row = rows[0]
    return Disputed(row.event or row.hold, row.hold, row.event is not None, row.part_amount)


def add_evidence(
    connection: Connection, message: DisputeEvidence, *, account_key: str, debtor_key: str, case_key: str, at: datetime
) -> bool:
    """Keep the reference and hash of a document, once; false when it was there."""
    found = standing_dispute(connection, account_key, debtor_key, at, message.dispute)
    new = connection.exec_driver_sql(
        "INSERT INTO dispute_acts (dispute, account_key, kind, at, actor, given_by, document_ref, sha256, note_ref, event_id) "
        "VALUES (%s, %s, 'evidence', %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (event_id) DO NOTHING RETURNING id",
        (
            found.key, account_key, at, message.actor, message.given_by, message.document_ref, message.sha256,
            message.note_ref, message.event_id,
        ),
    ).one_or_none()  # fmt: skip
    if new is not None:
        body = {
            "dispute": found.key, "document": message.document_ref, "sha256": message.sha256,
            "given_by": message.given_by, "actor": message.actor,
        }  # fmt: skip
        append_event(connection, case_key, "dispute_evidence", at, body)
    return new is not None


def answer(
    connection: Connection,
    message: DisputeAnswered,
    *,
    account_key: str,
    debtor_key: str,
    case_key: str,
    at: datetime,
    logical: bool,
) -> Answer:
    """Decide a dispute once: post what is upheld as an adjustment, and end the hold of one that no event opened.

    The state event of one that was told is ended by the caller, who records ``message.told``.
    """
    held = connection.exec_driver_sql(
        "SELECT dispute, result, disputed_amount, upheld_amount, currency FROM dispute_acts WHERE event_id = %s",
        (message.event_id,),
    ).one_or_none()
    if held is not None:
        return Answer(held.dispute, held.result, held.disputed_amount, held.upheld_amount, held.currency, is_new=False)
    found = standing_dispute(connection, account_key, debtor_key, at, message.dispute)
    facts = read_account(connection, account_key, at, logical=logical).facts
    disputed = found.part_amount if found.part_amount is not None else max(0, facts.balance)
    upheld = _upheld(message, disputed, facts.currency)
    entry = None
    if upheld:
        entry = connection.exec_driver_sql(
            "INSERT INTO ledger_entries (account_key, creditor, kind, amount, currency, value_on, received_at, external_id, "
            "source) SELECT key, creditor, 'adjustment', %s, currency, %s, %s, %s, 'dispute' FROM accounts WHERE key = %s "
            "RETURNING id",
            (-upheld, local_date(at, facts.zone or "UTC"), at, f"dispute/{found.key}", account_key),
        ).scalar_one()
    connection.exec_driver_sql(
        "INSERT INTO dispute_acts (dispute, account_key, kind, at, actor, document_ref, result, disputed_amount, "
        "upheld_amount, currency, entry_id, note_ref, event_id) "
        "VALUES (%s, %s, 'answer', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            found.key, account_key, at, message.actor, message.document_ref, message.result, disputed, upheld,
            facts.currency, entry, message.note_ref, message.event_id,
        ),
    )  # fmt: skip
    body = {
        "dispute": found.key, "result": message.result, "disputed": disputed, "upheld": upheld,
        "currency": facts.currency, "document": message.document_ref, "actor": message.actor,
    }  # fmt: skip
    append_event(connection, case_key, "dispute_answered", at, body)
    if upheld and upheld >= facts.balance:
        _debt_was_wrong(connection, account_key, at)
    if not found.by_event:
        release_holds(
            connection, account_key=account_key, debtor_key=debtor_key, at=at, by=message.actor, key=found.hold
        )
    return Answer(found.key, message.result, disputed, upheld, facts.currency, is_new=True)


def _upheld(message: DisputeAnswered, disputed: int, currency: str) -> int:
    """Return what is taken off; CannotBeError for an amount that cannot be."""
    if message.currency is not None and message.currency != currency:
        raise CannotBeError(f"the account is in {currency}, the answer in {message.currency}")
    if message.result == "rejected":
        return 0
    amount = disputed if message.upheld_amount is None else message.upheld_amount
    if amount > disputed:
        raise CannotBeError(f"{amount} is more than the {disputed} (minor units) that are disputed")
    if message.result == "upheld" and amount != disputed:
        raise CannotBeError(f"wholly upheld means all {disputed} (minor units); say upheld_in_part")
    if message.result == "upheld_in_part" and amount == disputed:
        raise CannotBeError(f"{amount} is all that is disputed; say upheld")
    return amount


def _debt_was_wrong(connection: Connection, account_key: str, at: datetime) -> None:
    """Have the case closed as an error: nothing of the debt is left, and nobody paid it."""
    connection.exec_driver_sql(
        "UPDATE accounts SET closing = %s, closing_at = %s WHERE key = %s AND closing IS NULL",
        (CloseReason.ERROR, at, account_key),
    )
