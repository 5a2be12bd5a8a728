"""The attempt ledger: admit, take up again, record, reconcile.

One row per attempt key. ``dispatching`` is committed together with its decision before a provider is called; only
the call that wrote it may send, and every change of status afterwards is a compare-and-set. All functions run in the
caller's transaction; those that decide must follow ``db.locks.lock_contact``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from db.record import append_event
from db.together import Reading, Rows
from domain.codes import AttemptStatus, Channel, Origin, PartyRole, Purpose, Verdict
from domain.gate import Decision, Reason
from domain.record import canonical

_CONTEXT = """
SELECT k.status AS case_status, k.creditor, k.collector,
       (SELECT row_to_json(t) FROM (SELECT status, dispatch, not_before, engine_admitted_at,
               (SELECT d.rule_ids FROM decisions d WHERE d.attempt_key = a.key ORDER BY d.number DESC LIMIT 1) AS rule_ids,
               (SELECT n.value FROM contact_points n WHERE n.key = a.contact_point_key) AS recipient
          FROM attempts a WHERE a.key = %(attempt)s) t) AS attempt,
       (SELECT json_agg(json_build_array(n.key, n.value, n.state, n.consent, n.tried, p.key, p.name, p.language,
               EXISTS (SELECT 1 FROM holds h WHERE h.contact_point_key = n.key AND h.from_at <= %(now)s
                       AND (h.until_at IS NULL OR h.until_at > %(now)s)
                       AND (h.released_at IS NULL OR h.released_at > %(now)s)), n.reached) ORDER BY n.key)
          FROM account_parties ap JOIN parties p ON p.key = ap.party_key
          JOIN contact_points n ON n.party_key = p.key AND n.kind = %(kind)s
         WHERE ap.account_key = %(account)s AND ap.role = %(role)s AND n.state IN ('unconfirmed', 'confirmed')
           AND %(channel)s <> ALL (n.unfit)
           AND (ap.valid_from IS NULL OR ap.valid_from <= %(now)s::date)
           AND (ap.valid_to IS NULL OR ap.valid_to >= %(now)s::date)) AS points,
       EXISTS (SELECT 1 FROM holds h WHERE h.scope = 'channel' AND h.account_key = %(account)s
               AND h.channel = %(channel)s AND h.from_at <= %(now)s AND (h.until_at IS NULL OR h.until_at > %(now)s)
               AND (h.released_at IS NULL OR h.released_at > %(now)s)) AS channel_held
  FROM cases k WHERE k.key = %(case)s
"""

_WRITE = """
WITH t AS (
    INSERT INTO attempts (key, case_key, seq, origin, purpose, step, pass_no, try_no, channel, template, party_key,
        contact_point_key, status, due_at, not_before, admitted_at, engine_admitted_at, provider, dispatch,
        quoted_amount, quoted_currency, quoted_as_of, item_key)
    VALUES (%(key)s, %(case)s, %(seq)s, %(origin)s, %(purpose)s, %(step)s, %(pass_no)s, %(try_no)s, %(channel)s, %(template)s,
        %(party)s, %(point)s, %(status)s, %(now)s, %(not_before)s, %(admitted_at)s, %(engine_at)s, %(provider)s,
        %(sends)s, %(amount)s, %(currency)s, %(now)s, %(item)s)
    ON CONFLICT (key) DO UPDATE SET status = excluded.status, not_before = excluded.not_before,
        party_key = excluded.party_key, contact_point_key = excluded.contact_point_key,
        admitted_at = excluded.admitted_at, engine_admitted_at = excluded.engine_admitted_at,
        provider = excluded.provider, dispatch = attempts.dispatch + excluded.dispatch, quoted_amount = excluded.quoted_amount,
        quoted_as_of = excluded.quoted_as_of, item_key = excluded.item_key
    WHERE attempts.status IN ('deferred', 'retryable')
    RETURNING dispatch
), d AS (
    INSERT INTO decisions (attempt_key, number, decided_at, verdict, defer_until, rule_ids, facts, packs, reasons)
    SELECT %(key)s, (SELECT count(*) + 1 FROM decisions WHERE attempt_key = %(key)s), %(now)s, %(verdict)s,
        %(not_before)s, %(rules)s, %(facts)s::jsonb, %(packs)s, %(reasons)s::jsonb FROM t
), a AS (
    INSERT INTO attempt_accounts (attempt_key, account_key, case_key, quoted_amount)
    SELECT %(key)s, %(account)s, %(case)s, %(amount)s FROM t ON CONFLICT DO NOTHING
), n AS (
    UPDATE contact_points SET tried = tried + 1, last_tried_at = %(now)s
     WHERE key = %(point)s AND %(sends)s = 1
)
SELECT t.dispatch, append_case_event(%(case)s, %(event)s, %(now)s, %(body)s) FROM t
"""

_RECORD = """
WITH t AS (
    UPDATE attempts SET status = %(status)s, provider_id = coalesce(%(provider_id)s, provider_id),
        error_code = %(error)s, sent_at = %(sent_at)s, recorded_at = %(at)s, not_before = %(not_before)s
     WHERE key = %(attempt)s AND dispatch = %(dispatch)s
       AND (status = 'dispatching' OR (status = 'unknown' AND %(status)s IN ('sent', 'failed'))) RETURNING key
), late AS (
    UPDATE attempts SET provider_id = coalesce(%(provider_id)s, provider_id),
        sent_at = coalesce(sent_at, %(sent_at)s)
     WHERE key = %(attempt)s AND dispatch = %(dispatch)s AND NOT EXISTS (SELECT 1 FROM t) AND status <> 'dispatching'
)
SELECT append_case_event(%(case)s, 'recorded', %(at)s, %(body)s) FROM t
"""


@dataclass(frozen=True, slots=True)
class Point:
    """One contact point that may be used. Holds personal data."""

    key: str
    value: str
    state: str
    consent: str
    tried: int
    party_key: str
    name: str
    language: str | None
    held: bool
    reached: int = 0
    """How often the right party was reached there."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An attempt that has a row already."""

    status: AttemptStatus
    dispatch: int
    not_before: datetime | None
    engine_admitted_at: datetime | None
    rule_ids: tuple[str, ...]
    recipient: str | None
    """Where it was sent to. Personal data."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an admission reads besides the facts."""

    case_closed: bool
    creditor: str
    collector: str
    taken: Taken | None
    points: tuple[Point, ...]
    channel_held: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """What identifies an attempt and stands in its row whatever was decided."""

    key: str
    case_key: str
    account_key: str
    seq: int
    step: str
    pass_no: int
    try_no: int
    channel: Channel
    purpose: Purpose
    template: str | None
    item: str | None = None
    """The work item it is made for."""
    origin: Origin = Origin.STEP
    reminds: str | None = None
    """The line of an arrangement that a courtesy reminder speaks of."""


def context_values(attempt: Attempt, kind: str, role: PartyRole, now: datetime) -> dict[str, object]:
    """Return the parameters of ``CONTEXT``."""
    return {
        "attempt": attempt.key,
        "case": attempt.case_key,
        "account": attempt.account_key,
        "kind": kind,
        "role": role,
        "channel": attempt.channel,
        "now": now,
    }


def _context(rows: Rows) -> Context:
    row = rows[0]
    return Context(
        case_closed=row["case_status"] == "closed",
        creditor=row["creditor"],
        collector=row["collector"],
        taken=None if row["attempt"] is None else _taken(row["attempt"]),
        points=tuple(Point(*values) for values in row["points"] or ()),
        channel_held=row["channel_held"],
    )


CONTEXT = Reading(_CONTEXT, _context)
"""The case, the attempt's row if there is one, and the recipient's contact points."""


def _taken(values: dict[str, Any]) -> Taken:
    def instant(name: str) -> datetime | None:
        return None if values[name] is None else datetime.fromisoformat(values[name])

    return Taken(
        status=AttemptStatus(values["status"]),
        dispatch=values["dispatch"],
        not_before=instant("not_before"),
        engine_admitted_at=instant("engine_admitted_at"),
        rule_ids=tuple(values["rule_ids"] or ()),
        recipient=values["recipient"],
    )


def choose_point(points: Sequence[Point], order: Sequence[str]) -> Point | None:
    """Return the contact point a step's recipient order prefers; ties go to the older one.

    Of confirmed ones the one comes first at which the right party was reached most often.
    """

    def rank(point: Point) -> tuple[object, ...]:
        keys: dict[str, object] = {
            "confirmed": (point.state != "confirmed", -point.reached),
            "least_tried": point.tried,
            "oldest": point.key,
            "newest": tuple(-ord(letter) for letter in point.key),
        }
        return (point.held, point.consent == "withdrawn", *(keys[name] for name in order), point.key)

    return min(points, key=rank, default=None)


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision about an attempt, with what it was decided on."""

    decision: Decision
    facts_json: str
    amount: int
    currency: str
    point: Point | None
    provider: str | None
    now: datetime
    engine_now: datetime
    covered_by: str | None = None
    """The attempt whose message speaks for this one; then nothing is sent."""
    status: AttemptStatus | None = None
    """What the attempt is from here on, where the verdict alone does not say it."""


_STATUS_OF = {Verdict.ALLOW: AttemptStatus.DISPATCHING, Verdict.DEFER: AttemptStatus.DEFERRED}


def write_decision(connection: Connection, attempt: Attempt, ruling: Ruling) -> int | None:
    """Write the attempt with its decision; return its dispatch number, ``None`` if another call owns the row.

    An allowed attempt is ``dispatching`` from here on, or ``covered`` when another's message speaks for it.
    """
    verdict = ruling.decision.verdict
    status = ruling.status or _STATUS_OF.get(verdict, AttemptStatus.REFUSED)
    sends = status is AttemptStatus.DISPATCHING
    body = {
        "attempt": attempt.key,
        "step": attempt.step,
        "channel": attempt.channel,
        "verdict": verdict,
        "rules": list(ruling.decision.rule_ids),
        "amount": ruling.amount,
        "currency": ruling.currency,
        "contact_point": None if ruling.point is None else ruling.point.key,
    }
    if ruling.covered_by is not None:
        body["covered_by"] = ruling.covered_by
    row = connection.exec_driver_sql(
        _WRITE,
        {
            "key": attempt.key,
            "case": attempt.case_key,
            "account": attempt.account_key,
            "seq": attempt.seq,
            "origin": attempt.origin,
            "purpose": attempt.purpose,
            "step": attempt.step,
            "pass_no": attempt.pass_no,
            "try_no": attempt.try_no,
            "channel": attempt.channel,
            "template": attempt.template,
            "item": attempt.item,
            "party": None if ruling.point is None else ruling.point.party_key,
            "point": None if ruling.point is None else ruling.point.key,
            "status": status,
            "not_before": ruling.decision.defer_until,
            "admitted_at": ruling.now if sends else None,
            "engine_at": ruling.engine_now if sends else None,
            "provider": ruling.provider if sends else None,
            "sends": int(sends),
            "amount": ruling.amount,
            "currency": ruling.currency,
            "now": ruling.now,
            "verdict": verdict,
            "rules": list(ruling.decision.rule_ids),
            "facts": ruling.facts_json,
            "packs": list(ruling.decision.packs),
            "reasons": json.dumps([_reason(one) for one in ruling.decision.reasons]),
            "event": "dispatching" if sends else "decision",
            "body": canonical(body),
        },
    ).one_or_none()
    return None if row is None else int(row.dispatch)


def write_judgement(
    connection: Connection, attempt_key: str, case_key: str, decision: Decision, facts_json: str, at: datetime
) -> None:
    """Write what the gate says afterwards about an attempt that was made without it; a breach is an incident."""
    connection.exec_driver_sql(
        "INSERT INTO decisions (attempt_key, number, decided_at, verdict, rule_ids, facts, packs, reasons) "
        "SELECT %s, (SELECT count(*) + 1 FROM decisions WHERE attempt_key = %s), %s, %s, %s, %s::jsonb, %s, %s::jsonb",
        (
            attempt_key,
            attempt_key,
            at,
            decision.verdict,
            list(decision.rule_ids),
            facts_json,
            list(decision.packs),
            json.dumps([_reason(one) for one in decision.reasons]),
        ),
    )
    if decision.verdict is not Verdict.ALLOW:
        body = {"attempt": attempt_key, "verdict": decision.verdict, "rules": list(decision.rule_ids)}
        append_event(connection, case_key, "incident", at, body)


def _reason(one: Reason) -> dict[str, str | None]:
    return {
        "rule": one.rule_id,
        "verdict": str(one.verdict),
        "until": None if one.until is None else one.until.isoformat(),
        "said": one.said,
    }


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known after the provider was called, or looked up."""

    status: AttemptStatus
    at: datetime
    provider_id: str | None = None
    error_code: str | None = None
    not_before: datetime | None = None
    segments: int | None = None
    """Of a text message: what it is charged by."""


def record_sent(connection: Connection, attempt: Attempt, dispatch: int, sent: Sent) -> bool:
    """Record what became of a dispatch; false when somebody else has settled it.

    A final report stays; unknown becomes known when the caller that sent comes back late.
    """
    row = connection.exec_driver_sql(
        _RECORD,
        {
            "attempt": attempt.key,
            "case": attempt.case_key,
            "dispatch": dispatch,
            "status": sent.status,
            "provider_id": sent.provider_id,
            "error": sent.error_code,
            "sent_at": sent.at if sent.provider_id is not None else None,
            "at": sent.at,
            "not_before": sent.not_before,
            "body": canonical(
                {"attempt": attempt.key, "status": sent.status, "error": sent.error_code}
                | ({} if sent.segments is None else {"segments": sent.segments})
            ),
        },
    ).one_or_none()
    return row is not None


def read_status(connection: Connection, attempt_key: str) -> tuple[AttemptStatus, datetime | None]:
    """Return an attempt's status and when it may be taken up again."""
    row = connection.exec_driver_sql("SELECT status, not_before FROM attempts WHERE key = %s", (attempt_key,)).one()
    return AttemptStatus(row.status), row.not_before
