"""The bare engine: the same timers, the same queues, activities that do nothing."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy

QUEUE = "bare-cases"
CONTACT_QUEUE = "bare-contact"
done = 0


@activity.defn(name="bare_contact")
def contact(number: int) -> int:
    """Do nothing, and count it."""
    global done
    done += 1
    return number


@workflow.defn(name="bare_case")
class BareCase:
    """Timer, activity, timer, activity, and then sleep."""

    @workflow.run
    async def run(self, steps: int) -> None:
        """Run the steps and park."""
        for number in range(steps):
            await asyncio.sleep(0.001)
            await workflow.execute_activity(
                "bare_contact",
                number,
                task_queue=CONTACT_QUEUE,
                start_to_close_timeout=timedelta(seconds=90),
                retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1)),
                summary=f"step {number}",
            )
        await workflow.wait_condition(lambda: False)
