"""A carrier and its people, simulated: it takes messages into an outbox and plans what they lead to.

It plays an external party, so it commits on its own, whatever becomes of our transaction. Repeated requests for an
attempt are counted, never refused: whoever looks can see that there was only one.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine

from activities.providers.base import Accepted, Outbound, Rejected, SendResult
from db import sandbox
from db.engine import reading
from domain.codes import TaskKind
from domain.people import Debt, after_message, after_task


def provider_id_of(attempt_key: str) -> str:
    """Return the carrier's own name for an attempt."""
    return f"SB-{attempt_key.replace('/', '-')}"


class SandboxProvider:
    """Every channel of the simulated carrier. Without a seed nobody reacts: messages only reach the outbox."""

    name = "sandbox"
    timeout_seconds = 5.0

    def __init__(self, engine: Engine, seed: int | None) -> None:
        self._engine = engine
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")  # one statement needs no transaction
        self._seed = seed

    def send(self, message: Outbound) -> SendResult:
        """Take one message."""
        events = []
        if self._seed is not None:
            planned = after_message(
                self._seed,
                attempt_key=message.attempt_key,
                provider_id=provider_id_of(message.attempt_key),
                channel=message.channel,
                step=message.step,
                try_no=message.try_no,
                party_key=message.party_key,
                recipient=message.recipient,
                debts=[
                    Debt(line.case_key, line.account_key, line.reference, line.amount, line.currency)
                    for line in message.accounts
                ],
                zone=message.zone,
                at=message.at,
            )
            events = [one.as_row() for one in planned]
        values = {
            "attempt": message.attempt_key,
            "channel": message.channel,
            "recipient": message.recipient,
            "subject": message.subject,
            "body": message.body,
            "at": message.at,
        }
        if not message.recipient:
            return Rejected("no_recipient", bad_contact_point=True)
        with self._alone.begin() as connection:
            sandbox.put_in_outbox(connection, values, events)
        return Accepted(provider_id_of(message.attempt_key))

    def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:  # noqa: ARG002 - the protocol
        """Look an attempt up in the outbox."""
        with reading(self._engine) as connection:
            found = connection.exec_driver_sql(
                "SELECT 1 FROM sandbox_outbox WHERE attempt_key = %s", (attempt_key,)
            ).one_or_none()
        return None if found is None else Accepted(provider_id_of(attempt_key))


class SandboxTasks:
    """Simulated agents, visitors and lawyers: plans how a work item ends."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def plan(
        self,
        connection: Connection,
        *,
        item_key: str,
        kind: TaskKind,
        party_key: str,
        creditor: str,
        collector: str,
        cases: Sequence[tuple[str, str, int, str]],
        zone: str,
        at: datetime,
    ) -> None:
        """Plan, in the transaction that places the order. ``cases``: case, lender's reference, amount, currency."""
        rows = connection.exec_driver_sql(
            "SELECT k.key, k.account_key, p.external_id FROM cases k, parties p WHERE k.key = ANY(%s) AND p.key = %s",
            ([case for case, *_ in cases], party_key),
        ).all()
        accounts = {row.key: row.account_key for row in rows}
        debts = [Debt(case, accounts[case], reference, amount, currency) for case, reference, amount, currency in cases]
        planned = after_task(
            self._seed,
            item_key=item_key,
            kind=kind,
            person=rows[0].external_id,
            party_key=party_key,
            creditor=creditor,
            collector=collector,
            debts=debts,
            zone=zone,
            at=at,
        )
        sandbox.plan(connection, [one.as_row() for one in planned])
