"""Opens cases in bulk: rows first, then workflows by the worker's own client, so that they start eagerly here."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import Engine
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.checkpoints import Checkpoint, Place, pass_by
from activities.instant import Stopwatch
from activities.search_attributes import CREDITOR, DEBTOR_KEY, STRATEGY
from activities.signatures import CASES_QUEUE, OPEN_PAGE
from activities.telling import tell_untold
from db.engine import reading
from db.opening import Page, mark_open, open_keys, open_page, pending_openings, restarts
from db.settings import in_force, read_clock
from db.strategies import StrategyBook
from domain.case import CaseInput
from domain.opening import OpenedPage, OpenRequest

AT_ONCE = 16


class OpeningActivities:
    """Opens cases with a client whose worker runs in this process."""

    def __init__(
        self, engine: Engine, client: Client, *, page_size: int = 100, checkpoint: Checkpoint = pass_by
    ) -> None:
        self._engine = engine
        self._client = client
        self._page_size = page_size
        self._checkpoint = checkpoint
        self._book = StrategyBook(engine)

    @activity.defn(name=OPEN_PAGE)
    async def open_page(self, request: OpenRequest) -> OpenedPage:
        """Open one page of cases. The first page also starts what earlier runs left unstarted."""
        watch = Stopwatch()
        at = request.as_of or watch.engine_now
        started = 0
        if not request.after:
            started += await self._start_all(await asyncio.to_thread(pending_openings, self._engine, 1000))
            await tell_untold(self._engine, self._client)
            if request.restart_missing:
                started += await self._restart_missing(at)
        page = await self.open_at(at, request.after)
        return page.model_copy(update={"started": started + page.started})

    async def open_at(self, at: datetime, after: str = "", *, due_since: date | None = None) -> OpenedPage:
        """Open the page of cases after an account key, as of an instant, of accounts with a due since a day."""
        page = await asyncio.to_thread(self._open, at, after, due_since)
        return OpenedPage(started=await self._start_all(page.cases), next_after=page.next_after)

    def _open(self, at: datetime, after: str, due_since: date | None) -> Page:
        with reading(self._engine) as connection:
            clock = read_clock(connection)
            digests = in_force(connection)
        strategies = {digest: self._book.by_digest(digest) for digest in digests}
        return open_page(
            self._engine,
            as_of=at,
            strategies=strategies,
            clock=clock,
            limit=self._page_size,
            after=after,
            due_since=due_since,
        )

    async def _start_all(self, cases: Sequence[CaseInput]) -> int:
        if not cases:
            return 0
        self._pass(Place.OPENING_ROWS, cases)
        slots = asyncio.Semaphore(AT_ONCE)

        async def start(case: CaseInput) -> None:
            async with slots:
                await self._start(case)

        await asyncio.gather(*(start(case) for case in cases))
        self._pass(Place.OPENING_MARKING, cases)
        await asyncio.to_thread(mark_open, self._engine, [case.state.case_key for case in cases])
        self._pass(Place.OPENING_MARKED, cases)
        return len(cases)

    def _pass(self, place: Place, cases: Sequence[CaseInput]) -> None:
        for case in cases:
            self._checkpoint(place, case.state.case_key)

    async def _start(self, case: CaseInput) -> None:
        self._checkpoint(Place.OPENING_STARTING, case.state.case_key)
        await self._client.start_workflow(
            "case",
            case,
            id=f"case/{case.state.case_key}",
            task_queue=CASES_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            request_eager_start=True,
            static_summary=f"{case.strategy.name} v{case.strategy.version}",
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(STRATEGY, case.strategy.name),
                    SearchAttributePair(CREDITOR, case.creditor),
                    SearchAttributePair(DEBTOR_KEY, case.debtor_key),
                ]
            ),
        )
        self._checkpoint(Place.OPENING_STARTED, case.state.case_key)

    async def _restart_missing(self, at: datetime) -> int:
        """Start again the open cases whose workflow is gone (a lost Temporal database, a terminated workflow)."""
        keys = await asyncio.to_thread(open_keys, self._engine)
        running = {
            execution.id
            async for execution in self._client.list_workflows(
                "WorkflowType = 'case' AND ExecutionStatus = 'Running'", page_size=1000
            )
        }
        missing = [key for key in keys if f"case/{key}" not in running and await self._is_gone(key)]
        return await self._start_all(await asyncio.to_thread(restarts, self._engine, missing, at))

    async def _is_gone(self, key: str) -> bool:
        """Whether the engine itself says so: lists of workflows lag behind."""
        try:
            description = await self._client.get_workflow_handle(f"case/{key}").describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return True
            raise
        return description.status not in {
            WorkflowExecutionStatus.RUNNING,
            WorkflowExecutionStatus.CONTINUED_AS_NEW,
            WorkflowExecutionStatus.COMPLETED,
        }
