"""Applies payments and their returns: by the creditor's own number, once for ever, and says what was in flight."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Connection, Engine

from activities.aftermath import tell_operations
from db.arrivals import Waiting, claim
from db.facts import read_account
from db.ledger import Posted, SuspenseReason, keep_in_suspense, post_payment, reverse_payment
from db.locks import lock_persons
from db.signals import tell
from domain.calendar import local_date
from domain.clock import BusinessClock
from domain.message import Code, CurrencyCode, Instant, MinorUnits
from web.pay_links import PayLinks

PAYMENT, RETURN = "payment", "payment_return"
NAMES = frozenset({PAYMENT, RETURN})

Words = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]

Rehearsed = Annotated[Instant | None, Field(strict=False)]
"""When it happened on a logical clock, in a demonstration; on the wall clock it counts from when it came."""


class PaymentIn(BaseModel):
    """A payment as a payment system tells it. Fields we do not know are left alone."""

    model_config = ConfigDict(frozen=True, strict=True)

    payment_id: Words
    account: Words
    creditor: Words | None = None
    amount: MinorUnits
    currency: CurrencyCode
    paid_on: Annotated[date, Field(strict=False)] | None = None
    at: Rehearsed = None


class ReturnIn(BaseModel):
    """A payment that came back, whole.

    A message that names an amount is refused: it is a payment that somebody sent to the wrong door, or a part of one.
    The signature does not cover the address, so a payment must never be readable as its own return.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    amount: None = Field(default=None, exclude=True)
    currency: None = Field(default=None, exclude=True)
    paid_on: None = Field(default=None, exclude=True)

    payment_id: Words
    account: Words
    creditor: Words | None = None
    reason: Code = "returned"
    returned_on: Annotated[date, Field(strict=False)] | None = None
    at: Rehearsed = None


@dataclass(frozen=True, slots=True)
class _Account:
    key: str | None
    reason: SuspenseReason


class Money:
    """Posts what payment systems told us."""

    def __init__(self, engine: Engine, links: PayLinks | None = None) -> None:
        self._engine = engine
        self._links = links

    def apply(self, row: Waiting, clock: BusinessClock) -> Posted | None:
        """Post one, with its signal to the case; ``None`` when somebody else has meanwhile."""
        is_payment = row.name == PAYMENT
        model = PaymentIn if is_payment else ReturnIn
        given = model.model_validate_json(row.body)
        at = given.at if clock.is_logical and given.at is not None else clock.business(row.at)
        with self._engine.connect() as connection:
            account = self._find(connection, given.account, given.creditor)
            zone = "UTC"
            if account.key is not None:
                zone = read_account(connection, account.key, at, logical=clock.is_logical).facts.zone or "UTC"
        with self._engine.begin() as connection:
            lock_persons(connection, [account.key] if account.key is not None else [])
            if row.id not in claim(connection, [row.id]):
                return None
            day = (given.paid_on if isinstance(given, PaymentIn) else given.returned_on) or local_date(at, zone)
            if account.key is None:
                posted = keep_in_suspense(
                    connection,
                    kind="payment" if is_payment else "reversal",
                    external_id=given.payment_id,
                    account_ref=given.account,
                    amount=given.amount if isinstance(given, PaymentIn) else 0,
                    currency=given.currency if isinstance(given, PaymentIn) else "XXX",
                    value_on=day,
                    received_at=at,
                    reason=account.reason,
                )
            elif isinstance(given, PaymentIn):
                posted = post_payment(
                    connection,
                    account_key=account.key,
                    external_id=given.payment_id,
                    amount=given.amount,
                    currency=given.currency,
                    value_on=day,
                    received_at=at,
                    source="api",
                )
                posted = _unless_taken(connection, posted, account.key, given, day, at)
            else:
                posted = reverse_payment(
                    connection,
                    account_key=account.key,
                    payment_id=given.payment_id,
                    reason=given.reason,
                    received_at=at,
                    value_on=day,
                    source="api",
                )
            self._note(connection, row, posted)
            if posted.outcome == "applied" and posted.case_key is not None:
                body = {"event_id": f"web/{row.id}", "actor": "payments"}
                tell(connection, [posted.case_key], "ledger_changed", body, at, logical=clock.is_logical)
        return posted

    def _find(self, connection: Connection, reference: str, creditor: str | None) -> _Account:
        linked = None if self._links is None else self._links.account_of(connection, reference)
        return _find(connection, reference, creditor) if linked is None else _Account(linked, "unknown_account")

    @staticmethod
    def _note(connection: Connection, row: Waiting, posted: Posted) -> None:
        """Keep what became of it, so that whoever tells us again gets the same answer."""
        connection.exec_driver_sql(
            "UPDATE inbox SET outcomes = %s::jsonb WHERE id = %s", (json.dumps([answer_of(posted)]), row.id)
        )


def _unless_taken(
    connection: Connection, posted: Posted, account_key: str, given: PaymentIn, day: date, at: datetime
) -> Posted:
    """Keep money in suspense whose number the creditor has used for another payment: it is not the same again."""
    if posted.outcome != "repeated":
        return posted
    same = connection.exec_driver_sql(
        "SELECT e.account_key = %(account)s AND e.amount = %(amount)s FROM ledger_entries e JOIN accounts a "
        "ON a.creditor = e.creditor WHERE a.key = %(account)s AND e.external_id = %(id)s",
        {"account": account_key, "amount": given.amount, "id": given.payment_id},
    ).scalar_one()
    if same:
        return posted
    tell_operations(connection, "payment_number_taken", f"payment/{given.payment_id}", at)
    return keep_in_suspense(
        connection,
        kind="payment",
        external_id=given.payment_id,
        account_ref=account_key,
        amount=given.amount,
        currency=given.currency,
        value_on=day,
        received_at=at,
        reason="ambiguous_account",
    )


def answer_of(posted: Posted) -> dict[str, object]:
    """Return what the payment system is told."""
    answer: dict[str, object] = {"status": posted.outcome, "in_flight": list(posted.in_flight)}
    return answer if posted.reason is None else {**answer, "reason": posted.reason}


def outcome_of(connection: Connection, source: str, external_id: str) -> dict[str, object] | None:
    """Return what became of one that was applied; ``None`` while it waits."""
    found = connection.exec_driver_sql(
        "SELECT outcomes FROM inbox WHERE source = %s AND external_id = %s AND status <> 'received'",
        (source, external_id),
    ).scalar_one_or_none()
    return dict(found[0]) if found else None


def _find(connection: Connection, reference: str, creditor: str | None) -> _Account:
    """Find the account by our key, or by the lender's number."""
    keys = (
        connection.exec_driver_sql(
            "SELECT key FROM accounts WHERE (key = %(one)s OR external_id = %(one)s) "
            "AND (%(creditor)s::text IS NULL OR creditor = %(creditor)s) ORDER BY key = %(one)s DESC, key LIMIT 2",
            {"one": reference, "creditor": creditor},
        )
        .scalars()
        .all()
    )
    if len(keys) == 1 or (keys and keys[0] == reference):
        return _Account(keys[0], "unknown_account")
    return _Account(None, "ambiguous_account" if keys else "unknown_account")
