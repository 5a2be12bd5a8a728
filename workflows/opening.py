"""Opens a case for every overdue account without one, page by page. Run every hour by a Schedule, or by hand."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities import signatures
    from domain.opening import OpenedPage, OpenRequest

PAGE_TIMEOUT = timedelta(minutes=5)


@workflow.defn(name="open_cases")
class OpenCasesWorkflow:
    """One run over all accounts."""

    @workflow.run
    async def run(self, request: OpenRequest) -> int:
        """Return how many cases were started."""
        while True:
            page: OpenedPage = await workflow.execute_activity(
                signatures.OPEN_PAGE,
                request,
                result_type=OpenedPage,
                start_to_close_timeout=PAGE_TIMEOUT,
                heartbeat_timeout=signatures.HEARTBEAT_TIMEOUT,
                summary=f"opening cases after {request.after or 'the first account'}",
            )
            opened = request.opened + page.started
            if page.next_after is None:
                return opened
            request = request.model_copy(update={"after": page.next_after, "opened": opened})
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(request)
