"""One act on many cases: previewed, confirmed for exactly what was shown, carried out page by page, reported.

The ledger first: each page is one transaction under the locks of its persons, which also queues what its cases must be
told. Killed at any instant, whoever runs the operation again goes on with the next page; nothing is done twice.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from db import bulk
from db.approvals import approval_of, open_question
from db.bulk import Item, Operation, Settled, Standing
from db.bulk_acts import ACTS, LEFT, Page
from db.locks import lock_persons
from db.scopes import ScopedCase, choose
from db.settings import read_clock
from db.signals import tell
from desk.approvals import ask_in, decide_in
from domain.approvals import Subject, SubjectKind, Verdict
from domain.bulk import ACTS as MAY
from domain.bulk import BulkAction, BulkError, BulkOrder, BulkStatus, ItemStatus, base_of, check_order, fingerprint_of
from domain.clock import BusinessClock
from domain.codes import HoldReason
from domain.message_acts import UNPROTECTED
from domain.roles import Act, Acting, require

AT_ONCE = 100
"""Cases of one page: few, so that nobody waits long for a person."""
SAMPLE = 5
Progress = Callable[[int, int], None]
"""Called after every page with cases settled and cases in all."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an operation would do. ``money``: currency -> past due in minor units; ``by``: what -> value -> cases."""

    order: BulkOrder
    fingerprint: str
    cases: int
    money: Mapping[str, int]
    by: Mapping[str, Mapping[str, int]]
    sample: Sequence[ScopedCase]
    needs_second: bool


def check(engine: Engine, acting: Acting, order: BulkOrder, now: datetime) -> None:
    """Raise NotAllowedError or BulkError for what this person may not order, or nobody can."""
    require(acting, Act.BULK)
    require(acting, MAY[order.action])
    check_order(order, now)
    if order.action is BulkAction.RELEASE and _ends_protection(engine, order):
        require(acting, Act.RELEASE_PROTECTED)
    if order.assignee is not None:
        with engine.connect() as connection:
            if not bulk.anybody_called(connection, order.assignee):
                raise BulkError(f"--to {order.assignee}: no agent has this code or skill; `actor list` shows them")


def _ends_protection(engine: Engine, order: BulkOrder) -> bool:
    """Whether holds would end that protect the debtor: for a dispute, counsel, hardship and the like."""
    if order.hold_reason is not None:
        return order.hold_reason not in UNPROTECTED
    placed = read(engine, order.of or "").parameters.get("hold_reason")
    return placed is not None and HoldReason(placed) not in UNPROTECTED


def preview(engine: Engine, acting: Acting, order: BulkOrder, now: datetime, *, approval_above: int) -> Preview:
    """Say which cases an order would concern, exactly. ``now``: engine time."""
    check(engine, acting, order, now)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        clock = read_clock(connection)
        at = clock.business(now)
        cases = choose(connection, order.scope, at, logical=clock.is_logical, with_money=True)
        base = base_of(order, (one.key for one in cases))
        fingerprint = fingerprint_of(base, bulk.confirmed_before(connection, base))
    money: Counter[str] = Counter()
    for one in cases:
        money[one.currency] += one.past_due or 0
    return Preview(
        order=order,
        fingerprint=fingerprint,
        cases=len(cases),
        money=dict(sorted(money.items())),
        by={
            what: dict(sorted(Counter(str(getattr(one, what)) for one in cases).items()))
            for what in ("creditor", "stage", "bucket", "strategy", "currency")
        },
        sample=_spread(cases),
        needs_second=len(cases) > approval_above,
    )


def _spread(cases: Sequence[ScopedCase]) -> Sequence[ScopedCase]:
    """Return a few cases from all over the scope."""
    step = max(1, len(cases) // SAMPLE)
    return cases[::step][:SAMPLE]


def confirm(
    engine: Engine, acting: Acting, order: BulkOrder, fingerprint: str, now: datetime, *, approval_above: int
) -> Operation:
    """Write an order down for exactly the cases that its preview showed; BulkError if they changed since.

    The same fingerprint again gives the same operation. Above ``approval_above`` cases it waits for a second person.
    """
    check(engine, acting, order, now)
    with engine.begin() as connection:
        known = bulk.by_fingerprint(connection, fingerprint)
        if known is not None:
            return known
        clock = read_clock(connection)
        at = clock.business(now)
        cases = choose(connection, order.scope, at, logical=clock.is_logical, with_money=False)
        base = base_of(order, (one.key for one in cases))
        if fingerprint_of(base, bulk.confirmed_before(connection, base)) != fingerprint:
            raise BulkError(
                f"--confirm {fingerprint[:16]}: this is not what would be done now ({len(cases)} cases); look at it "
                "again without --confirm"
            )
        if not cases:
            raise BulkError("no case fulfils --where; there is nothing to do")
        status = BulkStatus.WAITING if len(cases) > approval_above else BulkStatus.RUNNING
        bulk.write_operation(
            connection,
            order,
            base=base,
            fingerprint=fingerprint,
            cases=cases,
            status=status,
            by=acting,
            at=now,
        )
        found = bulk.by_fingerprint(connection, fingerprint)
        if found is not None and status is BulkStatus.WAITING:
            ask_in(connection, acting, _subject(found), at=at)
    if found is None:
        raise BulkError("the operation was not written; try again")
    return found


def read(engine: Engine, key: str) -> Operation:
    """Return one operation; BulkError when there is none."""
    with engine.connect() as connection:
        found = bulk.read_operation(connection, key)
    if found is None:
        raise BulkError(f"{key}: no bulk operation has this key; `bulk list` shows them")
    return found


def approve(engine: Engine, acting: Acting, key: str, now: datetime) -> Operation:
    """Let a large operation run: a second person's decision about exactly the cases that were confirmed."""
    require(acting, Act.APPROVE_BULK)
    operation = read(engine, key)
    require(acting, MAY[operation.action])
    with engine.begin() as connection:
        question = open_question(connection, SubjectKind.BULK, key)
        if question is None or operation.status is not BulkStatus.WAITING:
            raise BulkError(f"{key}: does not wait for approval, it is {operation.status}")
        at = read_clock(connection).business(now)
        decide_in(connection, acting, question.key, Verdict.APPROVED, at=at, seen=operation.fingerprint)
        bulk.approve(connection, key, acting.actor, now)
    return read(engine, key)


def _subject(operation: Operation) -> Subject:
    return Subject(SubjectKind.BULK, operation.key, operation.fingerprint)


def _approved(engine: Engine, operation: Operation, now: datetime) -> Operation:
    """Return the operation, running if a second person has approved it by whatever door; BulkError if nobody has."""
    if operation.status is not BulkStatus.WAITING:
        return operation
    with engine.begin() as connection:
        found = approval_of(connection, _subject(operation))
        if found is None or found.decided_by is None:
            raise BulkError(
                f"{operation.key}: waits for a second person; a supervisor lets it run: `bulk approve {operation.key}`"
            )
        bulk.approve(connection, operation.key, found.decided_by, now)
    return read(engine, operation.key)


def cancel(engine: Engine, acting: Acting, key: str, now: datetime) -> Operation:
    """Cancel an operation. What it has done stays done; `bulk release --of` takes holds back."""
    require(acting, Act.BULK)
    operation = read(engine, key)
    with engine.begin() as connection:
        if not bulk.cancel(connection, key, acting.actor, now):
            raise BulkError(f"{key}: is over, it was {operation.status} before")
    return read(engine, key)


# --- carrying it out ------------------------------------------------------------------------------------------------


def run(
    engine: Engine,
    acting: Acting,
    key: str,
    now: Callable[[], datetime],
    *,
    progress: Progress = lambda _done, _all: None,
    retry_failed: bool = False,
    at_once: int = AT_ONCE,
) -> Operation:
    """Do what of an operation is not done yet. ``now``: engine time.

    Safe to be killed, to be called again, and by two at once. A case that cannot be changed is named as failed and
    leaves the others alone; a database that does not answer ends the run, and the next one goes on.
    """
    require(acting, Act.BULK)
    operation = _approved(engine, read(engine, key), now())
    if retry_failed:
        with engine.begin() as connection:
            bulk.retry_failed(connection, key)
    with engine.connect() as connection:
        clock = read_clock(connection)
    runner = _Runner(engine, operation, clock, now)
    after = 0
    while True:
        with engine.connect() as connection:
            waiting = bulk.next_items(connection, key, after, at_once)
            pending = bulk.count_pending(connection, key)
        progress(operation.cases - pending, operation.cases)
        if not waiting or not runner.page(waiting):
            break
        after = waiting[-1][0]
    with engine.begin() as connection:
        bulk.finish(connection, key, now())
    return read(engine, key)


@dataclass(frozen=True, slots=True)
class _Runner:
    engine: Engine
    operation: Operation
    clock: BusinessClock
    now: Callable[[], datetime]

    def page(self, waiting: Sequence[tuple[int, str]]) -> bool:
        """Do some cases in one transaction, or if one of them resists each by itself. False if it was cancelled."""
        try:
            return self._transaction(waiting)
        except DBAPIError as error:
            if not _resists(error):
                raise
        for one in waiting:
            try:
                if not self._transaction([one]):
                    return False
            except DBAPIError as error:
                if not _resists(error):
                    raise
                self._failed(one[0], type(error.orig).__name__)
        return True

    def _transaction(self, waiting: Sequence[tuple[int, str]]) -> bool:
        key, engine_now = self.operation.key, self.now()
        with self.engine.begin() as connection:
            lock_persons(connection, [account for _, account in waiting])
            if not bulk.hold_running(connection, key):
                return False
            items = bulk.take_items(connection, key, [no for no, _ in waiting])
            still_open = [one for one in items if not one.closed]
            page = Page(self.operation, still_open, self.clock.business(engine_now))
            changed = ACTS[self.operation.action](connection, page)
            self._tell(connection, page, changed)
            bulk.settle_items(connection, key, [self._settled(one, changed) for one in items], engine_now)
        return True

    def _settled(self, item: Item, changed: Mapping[str, int]) -> Settled:
        if item.closed:
            return Settled(item.no, ItemStatus.SKIPPED, "closed meanwhile")
        affected = changed.get(item.case_key, 0)
        if not affected:
            return Settled(item.no, ItemStatus.SKIPPED, LEFT[self.operation.action])
        return Settled(item.no, ItemStatus.DONE, None, affected)

    def _tell(self, connection: Any, page: Page, changed: Mapping[str, int]) -> None:  # noqa: ANN401 - a connection
        action, event_id = self.operation.action, self.operation.event_id
        if action is BulkAction.ASSIGN or not changed:
            return
        name, body = "ledger_changed", {"event_id": event_id}
        if action is BulkAction.ADOPT_STRATEGY:
            name, body = "adopt_strategy", {**body, "digest": self.operation.parameters["strategy_digest"]}
        tell(connection, sorted(changed), name, body, page.at, logical=self.clock.is_logical)

    def _failed(self, number: int, why: str) -> None:
        with self.engine.begin() as connection:
            bulk.settle_items(connection, self.operation.key, [Settled(number, ItemStatus.FAILED, why)], self.now())


def _resists(error: DBAPIError) -> bool:
    """Whether the database answered, and refused this very page; else it is away, and everything waits for it."""
    code = str(getattr(error.orig, "sqlstate", None) or "")
    return bool(code) and not code.startswith(("08", "57P", "53"))


# --- what is known --------------------------------------------------------------------------------------------------


def standing_of(engine: Engine, operation: Operation) -> Standing:
    """Return how far an operation is."""
    with engine.connect() as connection:
        return bulk.standing(connection, operation)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an operation: how far it is, and every case with why it was left or failed."""

    operation: Operation
    standing: Standing
    why: Mapping[str, int]
    rows: Sequence[Any]


def report(engine: Engine, key: str) -> Report:
    """Return everything that is known about an operation."""
    operation = read(engine, key)
    with engine.connect() as connection:
        rows = bulk.outcomes(connection, key)
    why = Counter(f"{row.status}: {row.why}" for row in rows if row.why)
    return Report(operation, standing_of(engine, operation), dict(sorted(why.items())), rows)


def operations(engine: Engine, limit: int = 50) -> list[Operation]:
    """Return the latest operations."""
    with engine.connect() as connection:
        return bulk.list_operations(connection, limit)
