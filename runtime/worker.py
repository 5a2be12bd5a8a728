"""Builds the workers of one process: one for cases and the ledger, one per channel with its own rate.

Everything of ours is passed through the workflow sandbox, and a module that is forgotten is fatal when the worker is
built. What goes wrong in an activity is told to Temporal by type and place only: error texts of a database or a
provider may quote what they were given.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    Worker,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from activities.cases import CaseActivities, TaskPlanner
from activities.checkpoints import Checkpoint, pass_by
from activities.contact import ContactActivities
from activities.judging import Judge
from activities.opening import OpeningActivities
from activities.pacing import Pacing
from activities.providers.base import Provider
from activities.providers.identity import Identities
from activities.rule_facts import Rules
from activities.signatures import CASES_QUEUE, HEARTBEAT_TIMEOUT, queue_of
from activities.wording import Wording
from domain.codes import AUTOMATED_CHANNELS, Channel
from domain.gate import Gate
from domain.plans import PlanBook
from workflows.case import CaseWorkflow
from workflows.opening import OpenCasesWorkflow

WORKFLOWS: tuple[type, ...] = (CaseWorkflow, OpenCasesWorkflow)
PASSED_THROUGH = (
    "activities",
    "domain",
    "workflows",
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "holidays",
    "yaml",
)
GRACE = timedelta(seconds=30)
BEAT = HEARTBEAT_TIMEOUT / 4


def sandbox() -> SandboxedWorkflowRunner:
    """Return the runner that keeps workflows deterministic and refuses a module nobody meant to load."""
    policy = (
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
        | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    return SandboxedWorkflowRunner(restrictions=restrictions.with_import_notification_policy(policy))


class _Discreet(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401 - the SDK's signature
        try:
            return await super().execute_activity(input)
        except (ApplicationError, CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, its text stays here
            kind = type(error).__name__
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = "" if place is None else f" in {place.tb_frame.f_code.co_name}:{place.tb_lineno}"
            raise ApplicationError(f"{kind}{where}", type=kind) from None


class DiscreetErrors(Interceptor):
    """Keeps error texts, which may hold personal data, out of histories and logs."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wrap every activity."""
        return _Discreet(next)


class _Living(ActivityInboundInterceptor):
    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._outbound = outbound
        super().init(outbound)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401 - the SDK's signature
        self._arm()
        try:
            return await super().execute_activity(input)
        finally:
            self._coming.cancel()

    def _arm(self) -> None:
        self._coming = asyncio.get_running_loop().call_later(BEAT.total_seconds(), self._beat)

    def _beat(self) -> None:
        self._outbound.heartbeat()
        self._arm()


class SignsOfLife(Interceptor):
    """Heartbeats for every activity while this process lives, so that those of a killed one are soon tried elsewhere.

    Activities are short: most end before their first beat, and only a worker that is gone or stands still is missed.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wrap every activity."""
        return _Living(next)


@dataclass(frozen=True)
class Parts:
    """What the activities of a worker are made of."""

    engine: Engine
    providers: Mapping[Channel, Provider]
    gate: Gate
    wording: Wording
    planner: TaskPlanner | None = None
    plans: PlanBook = field(default_factory=PlanBook)
    """What may be agreed with whom."""
    rules: Rules | None = None
    """Whether rule packs are in force, and which; the gate must then be one that asks them."""
    consolidate: bool = True
    """Whether one message speaks for all accounts of a person that are due on a day."""
    rates: Mapping[Channel, float] = field(default_factory=dict)
    """Most contacts a second and channel, over all workers."""
    identities: Identities | None = None
    """Who we say we are; without it messages name nobody to call back."""
    page_size: int = 100
    threads_per_channel: int = 8
    ledger_threads: int = 12
    checkpoint: Checkpoint = pass_by
    """What is called between two steps; only a drill passes another one."""


class Workers:
    """All workers of one process, as one context manager."""

    def __init__(
        self,
        client: Client,
        parts: Parts,
        *,
        workflows: Sequence[type] = WORKFLOWS,
    ) -> None:
        self._stack = AsyncExitStack()
        contact = ContactActivities(
            parts.engine,
            parts.providers,
            parts.gate,
            parts.wording,
            consolidate=parts.consolidate,
            rules=parts.rules,
            pacing=Pacing(parts.rates),
            identities=parts.identities,
            checkpoint=parts.checkpoint,
        )
        judge = Judge(parts.gate, parts.rules)
        cases = CaseActivities(
            parts.engine, client, judge, parts.planner, plans=parts.plans, checkpoint=parts.checkpoint
        )
        opening = OpeningActivities(parts.engine, client, page_size=parts.page_size, checkpoint=parts.checkpoint)
        pool = ThreadPoolExecutor(parts.ledger_threads, thread_name_prefix="ledger")
        self._pools = [pool]
        self._workers = [
            Worker(
                client,
                task_queue=CASES_QUEUE,
                workflows=list(workflows),
                activities=[
                    cases.record_events,
                    cases.ask,
                    cases.give_up,
                    cases.close_episode,
                    cases.hand_over,
                    opening.open_page,
                ],
                activity_executor=pool,
                workflow_runner=sandbox(),
                interceptors=[SignsOfLife(), DiscreetErrors()],
                max_concurrent_activities=parts.ledger_threads,
                max_heartbeat_throttle_interval=BEAT,
                graceful_shutdown_timeout=GRACE,
                max_cached_workflows=2000,
            )
        ]
        for channel in AUTOMATED_CHANNELS:
            threads = ThreadPoolExecutor(parts.threads_per_channel, thread_name_prefix=f"contact-{channel}")
            self._pools.append(threads)
            self._workers.append(
                Worker(
                    client,
                    task_queue=queue_of(channel),
                    activities=[contact.contact],
                    activity_executor=threads,
                    interceptors=[SignsOfLife(), DiscreetErrors()],
                    max_concurrent_activities=parts.threads_per_channel,
                    max_heartbeat_throttle_interval=BEAT,
                    max_task_queue_activities_per_second=parts.rates.get(channel),
                    graceful_shutdown_timeout=GRACE,
                )
            )

    async def __aenter__(self) -> Self:
        for worker in self._workers:
            await self._stack.enter_async_context(worker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)
        for pool in self._pools:
            pool.shutdown(wait=False)
