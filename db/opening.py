"""Finds overdue accounts without a case and opens one, a page at a time.

The row comes first (``opening``), then the workflow, then ``open``: whatever is killed in between, the next run starts
what is missing, and the database allows one open case per account. Overlapping runs are harmless.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, Engine

from db.facts import AccountReading, read_facts
from db.record import append_events
from domain.case import CaseInput, CaseState, Cursor
from domain.clock import BusinessClock
from domain.conditions import History, holds, min_past_due_of
from domain.decide import first_state
from domain.facts import Facts
from domain.outlook import outlook
from domain.strategy import Strategy

_CANDIDATES = """
SELECT a.key FROM accounts a
 WHERE a.key > %(after)s AND a.closing IS NULL AND a.missing_since IS NULL
   AND (%(due_since)s::date IS NULL OR a.key IN (
        SELECT d.account_key FROM dues d WHERE d.due_on >= %(due_since)s AND d.due_on < %(latest)s))
   AND NOT EXISTS (SELECT 1 FROM cases k WHERE k.account_key = a.key
                    AND (k.status <> 'closed' OR (%(logical)s AND k.closed_at > %(at)s)))
   AND (SELECT coalesce(sum(d.amount), 0) FROM dues d WHERE d.account_key = a.key AND d.due_on < %(latest)s)
     + (SELECT coalesce(sum(e.amount), 0) FROM ledger_entries e WHERE e.account_key = a.key AND e.value_on <= %(latest)s
           AND (e.kind IN ('charge', 'interest', 'fee') OR (e.kind = 'adjustment' AND e.amount > 0)))
     > (SELECT coalesce(sum(abs(e.amount)), 0) FROM ledger_entries e
         WHERE e.account_key = a.key AND e.value_on <= %(earliest)s AND (NOT %(logical)s OR e.received_at <= %(at)s)
           AND (e.kind IN ('payment', 'waiver') OR (e.kind = 'adjustment' AND e.amount < 0))
           AND NOT EXISTS (SELECT 1 FROM ledger_entries r WHERE r.creditor = e.creditor AND r.reverses = e.external_id))
 ORDER BY a.key LIMIT %(limit)s
"""

_INSERT = """
INSERT INTO cases (key, account_key, episode, previous_key, debtor_key, creditor, collector, strategy_digest, strategy,
                   opened_at, due_at, clock)
SELECT n.account || '/' || (coalesce(p.episode, 0) + 1), n.account, coalesce(p.episode, 0) + 1, p.key, n.debtor,
       n.creditor, n.collector, n.digest, n.strategy, %(at)s, %(at)s, %(clock)s::jsonb
  FROM unnest(%(accounts)s::text[], %(debtors)s::text[], %(creditors)s::text[], %(collectors)s::text[],
              %(digests)s::text[], %(strategies)s::text[]) AS n(account, debtor, creditor, collector, digest, strategy)
  LEFT JOIN LATERAL (SELECT k.key, k.episode FROM cases k WHERE k.account_key = n.account
                      ORDER BY k.episode DESC LIMIT 1) p ON true
ON CONFLICT DO NOTHING RETURNING key, account_key, previous_key
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Cases whose workflows must be started; ``next_after`` is ``None`` after the last page."""

    cases: tuple[CaseInput, ...]
    next_after: str | None


def open_page(
    engine: Engine,
    *,
    as_of: datetime,
    strategies: Mapping[str, Strategy],
    clock: BusinessClock,
    limit: int,
    after: str = "",
    due_since: date | None = None,
) -> Page:
    """Insert the rows of up to ``limit`` cases and return what to start. ``strategies``: digest -> strategy, in order.

    ``due_since`` leaves out accounts none of whose dues fell on that day or later.
    """
    with engine.begin() as connection:
        candidates = (
            connection.exec_driver_sql(
                _CANDIDATES,
                {
                    "after": after,
                    "latest": (as_of + timedelta(hours=14)).date(),
                    "earliest": (as_of - timedelta(hours=12)).date(),
                    "at": as_of,
                    "logical": clock.is_logical,
                    "limit": limit,
                    "due_since": due_since,
                },
            )
            .scalars()
            .all()
        )
        readings = read_facts(connection, candidates, as_of, logical=clock.is_logical)
        chosen: list[tuple[AccountReading, str, Strategy]] = []
        for key in candidates:
            found = _strategy_for(readings[key].facts, strategies)
            if found is not None:
                chosen.append((readings[key], *found))
        cases = _insert(connection, chosen, as_of, clock)
    return Page(cases, candidates[-1] if len(candidates) == limit else None)


def _strategy_for(facts: Facts, strategies: Mapping[str, Strategy]) -> tuple[str, Strategy] | None:
    """Return the first strategy whose segment holds and whose least amount is reached."""
    if facts.past_due <= 0 or facts.closing is not None:
        return None
    for digest, strategy in strategies.items():
        if holds(strategy.segment, facts, History()):
            return (digest, strategy) if facts.past_due >= min_past_due_of(strategy, facts.currency) else None
    return None


def _insert(
    connection: Connection,
    chosen: Sequence[tuple[AccountReading, str, Strategy]],
    at: datetime,
    clock: BusinessClock,
) -> tuple[CaseInput, ...]:
    if not chosen:
        return ()
    rows = connection.exec_driver_sql(
        _INSERT,
        {
            "at": at,
            "clock": clock.model_dump_json(),
            "accounts": [reading.account_key for reading, _, _ in chosen],
            "debtors": [reading.debtor_key for reading, _, _ in chosen],
            "creditors": [reading.facts.creditor for reading, _, _ in chosen],
            "collectors": [reading.collector for reading, _, _ in chosen],
            "digests": [digest for _, digest, _ in chosen],
            "strategies": [strategy.name for _, _, strategy in chosen],
        },
    ).all()
    opened = {row.account_key: row for row in rows}
    bodies = [
        (
            opened[reading.account_key].key,
            {
                "strategy": strategy.name,
                "version": strategy.version,
                "digest": digest,
                "past_due": reading.facts.past_due,
                "currency": reading.facts.currency,
                "previous": opened[reading.account_key].previous_key,
            },
        )
        for reading, digest, strategy in chosen
        if reading.account_key in opened
    ]
    append_events(connection, "opened", at, bodies)
    cases = tuple(
        _case_input(opened[reading.account_key].key, reading, digest, strategy, clock, at, 0)
        for reading, digest, strategy in chosen
        if reading.account_key in opened
    )
    _show_first(connection, cases, at)
    return cases


def _show_first(connection: Connection, cases: Sequence[CaseInput], at: datetime) -> None:
    """Write what lists show about cases that have not acted yet."""
    views = [outlook(case.state, case.strategy, at) for case in cases]
    connection.exec_driver_sql(
        "UPDATE cases k SET stage = n.stage, step = n.step, due_at = n.due_at, waiting_for = n.waiting_for, "
        "next_step = n.next_step, next_channel = n.next_channel "
        "FROM unnest(%(keys)s::text[], %(stages)s::text[], %(steps)s::text[], %(dues)s::timestamptz[], %(whys)s::text[], "
        "%(next_steps)s::text[], %(next_channels)s::text[]) "
        "AS n(key, stage, step, due_at, waiting_for, next_step, next_channel) WHERE k.key = n.key",
        {
            "keys": [case.state.case_key for case in cases],
            "stages": [str(view.stage) for view in views],
            "steps": [view.step for view in views],
            "dues": [view.due_at for view in views],
            "whys": [view.waiting_for for view in views],
            "next_steps": [view.next_step for view in views],
            "next_channels": [view.next_channel for view in views],
        },
    )


def _case_input(
    key: str,
    reading: AccountReading,
    digest: str,
    strategy: Strategy,
    clock: BusinessClock,
    at: datetime,
    seq: int,
) -> CaseInput:
    state = CaseState(
        case_key=key,
        account_key=reading.account_key,
        clock=clock,
        now=at,
        opened_at=at,
        facts=reading.facts,
        cursor=Cursor(step_done_at=at),
        seq=seq,
    )
    return CaseInput(
        state=first_state(state, strategy),
        strategy=strategy,
        strategy_digest=digest,
        creditor=reading.facts.creditor,
        debtor_key=reading.debtor_key,
    )


_UNSTARTED = """
SELECT k.key, k.account_key, k.strategy_digest, s.body::text AS strategy, k.opened_at, k.clock,
       (SELECT coalesce(max(t.seq), 0) FROM attempts t WHERE t.case_key = k.key AND t.origin <> 'inbound') AS seq
  FROM cases k JOIN strategies s ON s.digest = k.strategy_digest
"""


def pending_openings(engine: Engine, limit: int) -> tuple[CaseInput, ...]:
    """Return cases whose row says ``opening``: an earlier run was stopped before it started their workflow."""
    return _again(engine, "WHERE k.status = 'opening' ORDER BY k.key LIMIT %(limit)s", {"limit": limit}, None)


def restarts(engine: Engine, keys: Sequence[str], at: datetime) -> tuple[CaseInput, ...]:
    """Return inputs for open cases whose workflow is gone; their attempt numbers go on where the ledger stands."""
    return _again(engine, "WHERE k.status <> 'closed' AND k.key = ANY(%(keys)s)", {"keys": list(keys)}, at)


def _again(engine: Engine, where: str, values: Mapping[str, object], at: datetime | None) -> tuple[CaseInput, ...]:
    inputs = []
    with engine.begin() as connection:
        rows = connection.exec_driver_sql(f"{_UNSTARTED} {where}", dict(values)).all()
        for row in rows:
            clock = BusinessClock.model_validate(row.clock or {})
            now = at or row.opened_at
            reading = read_facts(connection, [row.account_key], now, logical=clock.is_logical)[row.account_key]
            strategy = Strategy.model_validate_json(row.strategy)
            inputs.append(_case_input(row.key, reading, row.strategy_digest, strategy, clock, now, row.seq))
    return tuple(inputs)


def open_keys(engine: Engine) -> list[str]:
    """Return the keys of all cases that should have a running workflow."""
    with engine.connect() as connection:
        return list(connection.exec_driver_sql("SELECT key FROM cases WHERE status = 'open' ORDER BY key").scalars())


def mark_open(engine: Engine, keys: Sequence[str]) -> None:
    """Say that the workflows of these cases run."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE cases SET status = 'open' WHERE key = ANY(%s) AND status = 'opening'", (list(keys),)
        )
