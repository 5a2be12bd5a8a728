"""Money in and money back: the functions that own the locks under which the ledger changes.

A payment is applied once for ever, by the creditor's payment id. What cannot be applied is kept in suspense and said.
Whoever posts is told which attempts are in flight at that moment: they were admitted before the money was known.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from sqlalchemy import Connection

from db.locks import lock_persons
from db.record import append_event, case_of_account

SuspenseReason = Literal["unknown_account", "other_currency", "ambiguous_account", "unknown_payment"]


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a posting. ``in_flight``: attempt keys admitted and not yet recorded."""

    outcome: Literal["applied", "repeated", "suspense"]
    reason: SuspenseReason | None = None
    case_key: str | None = None
    in_flight: tuple[str, ...] = ()


def post_payment(
    connection: Connection,
    *,
    account_key: str,
    external_id: str,
    amount: int,
    currency: str,
    value_on: date,
    received_at: datetime,
    source: str,
) -> Posted:
    """Post a payment (minor units) that counts from the start of the local day ``value_on``."""
    lock_persons(connection, [account_key])
    account = connection.exec_driver_sql(
        "SELECT creditor, currency FROM accounts WHERE key = %s", (account_key,)
    ).one_or_none()
    reason: SuspenseReason | None = None
    if account is None:
        reason = "unknown_account"
    elif account.currency != currency:
        reason = "other_currency"
    if account is None or reason is not None:
        return keep_in_suspense(
            connection,
            kind="payment",
            external_id=external_id,
            account_ref=account_key,
            amount=amount,
            currency=currency,
            value_on=value_on,
            received_at=received_at,
            reason=reason or "unknown_account",
        )
    row = connection.exec_driver_sql(
        "INSERT INTO ledger_entries (account_key, creditor, kind, amount, currency, value_on, received_at, external_id, "
        "source) VALUES (%s, %s, 'payment', %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (creditor, external_id) DO NOTHING RETURNING id",
        (account_key, account.creditor, amount, currency, value_on, received_at, external_id, source),
    ).one_or_none()
    body = {
        "payment": external_id,
        "amount": amount,
        "currency": currency,
        "value_on": value_on,
        "source": source,
    }
    posted = _posted(connection, account_key, "payment", received_at, body, applied=row is not None)
    if row is not None:
        _settle_suspense(connection, account_key, external_id, amount, currency)
        early = connection.exec_driver_sql(
            "UPDATE suspense SET state = 'applied' WHERE kind = 'reversal' AND state = 'open' AND external_id = %s "
            "AND account_ref = %s RETURNING value_on",
            (external_id, account_key),
        ).scalar_one_or_none()
        if early is not None:
            reverse_payment(
                connection,
                account_key=account_key,
                payment_id=external_id,
                reason="returned_before_posted",
                received_at=received_at,
                value_on=early,
                source=source,
            )
    return posted


def reverse_payment(
    connection: Connection, *, account_key: str, payment_id: str, reason: str, received_at: datetime, value_on: date, source: str
) -> Posted:  # fmt: skip
    """Take a payment back, whole and once. For a payment not known yet it waits in suspense until that is posted."""
    lock_persons(connection, [account_key])
    payment = connection.exec_driver_sql(
        "SELECT e.creditor, e.amount, e.currency FROM ledger_entries e "
        "WHERE e.account_key = %s AND e.external_id = %s AND e.kind = 'payment'",
        (account_key, payment_id),
    ).one_or_none()
    if payment is None:
        return keep_in_suspense(
            connection,
            kind="reversal",
            external_id=payment_id,
            account_ref=account_key,
            amount=0,
            currency="XXX",
            value_on=value_on,
            received_at=received_at,
            reason="unknown_payment",
        )
    row = connection.exec_driver_sql(
        "INSERT INTO ledger_entries (account_key, creditor, kind, amount, currency, value_on, received_at, external_id, "
        "reverses, source) VALUES (%s, %s, 'reversal', %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING id",
        (
            account_key,
            payment.creditor,
            payment.amount,
            payment.currency,
            value_on,
            received_at,
            f"reversal/{payment_id}",
            payment_id,
            source,
        ),
    ).one_or_none()
    body = {"payment": payment_id, "amount": payment.amount, "currency": payment.currency, "reason": reason}
    return _posted(connection, account_key, "reversal", received_at, body, applied=row is not None)


def _settle_suspense(connection: Connection, account_key: str, external_id: str, amount: int, currency: str) -> None:
    """Mark money applied that waited for this account, so that nobody settles it a second time."""
    connection.exec_driver_sql(
        "UPDATE suspense x SET state = 'applied' FROM accounts a WHERE a.key = %s AND x.kind = 'payment' AND x.state = 'open' "
        "AND x.external_id = %s AND x.account_ref IN (a.key, a.external_id) AND x.amount = %s AND x.currency = %s",
        (account_key, external_id, amount, currency),
    )


def _posted(
    connection: Connection,
    account_key: str,
    kind: str,
    at: datetime,
    body: dict[str, object],
    *,
    applied: bool,
) -> Posted:
    case_key = case_of_account(connection, account_key)
    if not applied:
        return Posted("repeated", case_key=case_key)
    if case_key is None:
        return Posted("applied")
    flying = connection.exec_driver_sql(
        "SELECT t.key FROM attempts t JOIN attempt_accounts aa ON aa.attempt_key = t.key "
        "WHERE aa.account_key = %s AND t.status = 'dispatching' ORDER BY t.key",
        (account_key,),
    ).scalars()
    in_flight = tuple(flying)
    append_event(connection, case_key, kind, at, {**body, "in_flight": list(in_flight)})
    return Posted("applied", case_key=case_key, in_flight=in_flight)


def keep_in_suspense(
    connection: Connection,
    *,
    kind: str,
    external_id: str,
    account_ref: str,
    amount: int,
    currency: str,
    value_on: date,
    received_at: datetime,
    reason: SuspenseReason,
) -> Posted:
    """Keep money that cannot be applied, once, for a person to settle."""
    kept = connection.exec_driver_sql(
        "INSERT INTO suspense (kind, external_id, account_ref, amount, currency, value_on, received_at, reason) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING id",
        (kind, external_id, account_ref, amount, currency, value_on, received_at, reason),
    ).one_or_none()
    return Posted("suspense" if kept is not None else "repeated", reason=reason)


ReceiptStatus = Literal["sent", "delivered", "answered", "undelivered", "failed"]

_RANK = """CASE %s WHEN 'dispatching' THEN 0 WHEN 'unknown' THEN 0 WHEN 'retryable' THEN 0 WHEN 'sent' THEN 1
    WHEN 'failed' THEN 2 WHEN 'delivered' THEN 3 WHEN 'undelivered' THEN 4 WHEN 'answered' THEN 5 END"""
_RECEIPT = f"""
WITH old AS (SELECT key, status, {_RANK % "status"} AS rank FROM attempts WHERE key = %(key)s FOR UPDATE),
     new AS (SELECT key, status, rank, coalesce({_RANK % "%(status)s::text"} > rank, false) AS rises FROM old)
UPDATE attempts t SET
    status = CASE WHEN n.rises THEN %(status)s ELSE t.status END,
    provider_id = coalesce(t.provider_id, (SELECT %(provider_id)s::text WHERE NOT EXISTS (SELECT 1 FROM attempts o
        WHERE o.provider = t.provider AND o.provider_id = %(provider_id)s AND o.key <> t.key))),
    error_code = CASE WHEN n.rises THEN coalesce(%(error)s, t.error_code) ELSE coalesce(t.error_code, %(error)s) END,
    recorded_at = CASE WHEN n.rises THEN %(at)s ELSE t.recorded_at END
  FROM new n WHERE t.key = n.key AND n.rank IS NOT NULL RETURNING t.case_key, n.status AS before, n.rises
"""


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a report changed an attempt. ``news``: its case did not know, and may decide otherwise."""

    before: str
    news: bool


def record_receipt(
    connection: Connection,
    attempt_key: str,
    status: ReceiptStatus,
    at: datetime,
    provider_id: str | None,
    error_code: str | None,
    *,
    learnt_by: str | None = None,
) -> Receipt | None:
    """Record what a carrier says about an attempt; ``None`` when that changed nothing.

    ``learnt_by`` stands in the record where we asked and were not told. A ``provider_id`` that is known as another
    attempt's is not taken over.

    Reports come in any order and repeatedly. Each status has a rank, and the highest report stands: a bounce after a
    delivery counts, a ``sent`` that comes late does not. ``unknown`` becomes known, and so does an attempt that was
    thought not to have been processed.
    """
    row = connection.exec_driver_sql(
        _RECEIPT,
        {"status": status, "provider_id": provider_id, "error": error_code, "at": at, "key": attempt_key},
    ).one_or_none()
    if row is None or not row.rises:
        return None
    body = {"attempt": attempt_key, "status": status, "error": error_code}
    if learnt_by is not None:
        body["by"] = learnt_by
    append_event(connection, row.case_key, "receipt", at, body)
    expected = row.before in {"dispatching", "sent", "delivered"} and status in {"sent", "delivered"}
    return Receipt(row.before, news=not expected)


def record_duration(connection: Connection, attempt_key: str, seconds: int) -> None:
    """Record how long a call lasted, as its carrier says: the longest word stands."""
    connection.exec_driver_sql(
        "UPDATE attempts SET duration_seconds = greatest(duration_seconds, %s) WHERE key = %s", (seconds, attempt_key)
    )
