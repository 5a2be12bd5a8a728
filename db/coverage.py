"""One message per debtor: which cases a message speaks for besides its own, and what they find when they are due.

An attempt that is admitted looks for the cases of the same person that are due on the same channel before the local
day ends, and leaves a coverage for each whose own gate allows. Their timers and attempts are untouched: when such a
case is due it finds the coverage and records that it was covered. All under the locks of the person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from db.record import append_events
from db.together import Reading, Rows
from domain.codes import AttemptStatus, Channel

_COMPANIONS = """
SELECT k.key AS case_key, k.account_key, k.strategy_digest, k.next_step AS step
  FROM account_parties ap
  JOIN accounts a ON a.key = ap.account_key
  JOIN cases k ON k.account_key = a.key AND k.status <> 'closed'
  JOIN accounts own ON own.key = %(account)s
 WHERE ap.party_key = %(party)s AND k.key <> %(case)s AND k.next_channel = %(channel)s AND k.due_at < %(day_end)s
   AND a.creditor = own.creditor AND a.collector = own.collector AND a.actor = own.actor
   AND a.debt_type = own.debt_type AND a.currency = own.currency
   AND NOT EXISTS (SELECT 1 FROM coverage c WHERE c.covered_case = k.key AND c.step = k.next_step
                    AND c.state = 'standing' AND c.made_at >= %(day_start)s)
 GROUP BY k.key ORDER BY k.key
"""

_COVER = """
INSERT INTO coverage (attempt_key, covered_case, step, state, made_at)
SELECT %(attempt)s, n.case_key, n.step, 'standing', %(at)s FROM unnest(%(cases)s::text[], %(steps)s::text[]) AS n(case_key, step)
ON CONFLICT (covered_case, step, attempt_key) DO UPDATE SET state = 'standing', made_at = excluded.made_at
"""

_LIST_ACCOUNTS = """
INSERT INTO attempt_accounts (attempt_key, account_key, case_key, quoted_amount)
SELECT %(attempt)s, n.account_key, n.case_key, n.amount
  FROM unnest(%(accounts)s::text[], %(cases)s::text[], %(amounts)s::bigint[]) AS n(account_key, case_key, amount)
ON CONFLICT (attempt_key, account_key) DO UPDATE SET quoted_amount = excluded.quoted_amount
"""

_STANDING = """
SELECT c.attempt_key, t.status, t.engine_admitted_at FROM coverage c JOIN attempts t ON t.key = c.attempt_key
 WHERE c.covered_case = %(case)s AND c.step = %(step)s AND c.state = 'standing' AND c.made_at >= %(day_start)s
 ORDER BY c.id DESC LIMIT 1
"""

_VOID = """
WITH v AS (UPDATE coverage SET state = 'void' WHERE attempt_key = %(attempt)s AND state = 'standing' RETURNING covered_case)
DELETE FROM attempt_accounts x USING v WHERE x.attempt_key = %(attempt)s AND x.case_key = v.covered_case
"""


@dataclass(frozen=True, slots=True)
class Companion:
    """A case whose next contact could travel with another's message."""

    case_key: str
    account_key: str
    strategy_digest: str
    step: str


COMPANIONS = Reading(_COMPANIONS, lambda rows: tuple(Companion(**row) for row in rows))
"""The person's other cases that are due on the channel before the local day ends, of the same creditor and brand.

What was covered since the day's start is not covered again.
"""


def cover(connection: Connection, attempt_key: str, covered: Sequence[tuple[Companion, int]], at: datetime) -> None:
    """Say that an attempt's message speaks for these cases too, each with the amount quoted in minor units."""
    if not covered:
        return
    cases = [one.case_key for one, _ in covered]
    connection.exec_driver_sql(
        _COVER, {"attempt": attempt_key, "cases": cases, "steps": [one.step for one, _ in covered], "at": at}
    )
    list_accounts(connection, attempt_key, [(one.case_key, one.account_key, amount) for one, amount in covered])
    bodies = [(one.case_key, {"attempt": attempt_key, "step": one.step, "amount": amount}) for one, amount in covered]
    append_events(connection, "listed", at, bodies)


def list_accounts(connection: Connection, attempt_key: str, lines: Sequence[tuple[str, str, int]]) -> None:
    """Say which accounts an attempt is about: case, account, and the amount quoted in minor units."""
    connection.exec_driver_sql(
        _LIST_ACCOUNTS,
        {
            "attempt": attempt_key,
            "cases": [case for case, _, _ in lines],
            "accounts": [account for _, account, _ in lines],
            "amounts": [amount for _, _, amount in lines],
        },
    )


@dataclass(frozen=True, slots=True)
class Cover:
    """The attempt that speaks for a case's step, and what is known of it."""

    attempt_key: str
    status: AttemptStatus
    engine_admitted_at: datetime | None


def around_values(
    *,
    account_key: str,
    case_key: str,
    party_key: str | None,
    step: str,
    channel: Channel,
    day: tuple[datetime, datetime],
) -> dict[str, object]:
    """Return the parameters of ``COMPANIONS`` and ``STANDING``. ``day``: start and end of the debtor's local day."""
    return {
        "account": account_key,
        "case": case_key,
        "party": party_key,
        "step": step,
        "channel": channel,
        "day_start": day[0],
        "day_end": day[1],
    }


def _standing(rows: Rows) -> Cover | None:
    for row in rows:
        begun = row["engine_admitted_at"]
        status = AttemptStatus(row["status"])
        return Cover(row["attempt_key"], status, None if begun is None else datetime.fromisoformat(begun))
    return None


STANDING = Reading(_STANDING, _standing)
"""The coverage of a step that was made since the local day began; ``None`` when there is none."""


def use_cover(connection: Connection, attempt_key: str, case_key: str, step: str) -> None:
    """Say that the covered case was due and took its coverage."""
    connection.exec_driver_sql(
        "UPDATE coverage SET state = 'used' WHERE attempt_key = %s AND covered_case = %s AND step = %s",
        (attempt_key, case_key, step),
    )


def void_cover(connection: Connection, attempt_key: str) -> None:
    """Take back what an attempt covers: it proved unsent, so the other cases contact for themselves."""
    connection.exec_driver_sql(_VOID, {"attempt": attempt_key})
