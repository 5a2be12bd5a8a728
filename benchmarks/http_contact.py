"""``python -m benchmarks.http_contact``: first contact through Twilio's real SDK over HTTP, against the bare engine.

As ``benchmarks.engine``, with another carrier: the fake, in a process of its own, takes each message as a real request.
It makes no callbacks here (``benchmarks.web`` measures those), and its processor time is its own. Machines are noisy:
read the ratio and its spread, and the ratio by processor time.
"""

import argparse
import asyncio
import gc
import os
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.worker import Worker

from activities.opening import OpeningActivities
from activities.rule_facts import Rules
from activities.rulebook import read_rulebook
from activities.wording import Wording
from benchmarks import bare
from benchmarks import engine as beside
from cli.rehearsal import start_carriers
from db.engine import make_engine
from db.migrate import upgrade
from domain.codes import Channel
from domain.rule_gate import RuleGate
from runtime.channels import providers_of
from runtime.client import connect
from runtime.logs import configure
from runtime.servers import Servers
from runtime.work import RULES, TEMPLATES
from runtime.worker import Parts, Workers, sandbox
from settings import Settings
from tests.fakes.client import FakeClient

GOAL = 0.55


async def main(cases: int, rounds: int) -> int:
    """Measure and print; 1 when a message was not sent once."""
    configure("ERROR")
    with tempfile.TemporaryDirectory(prefix="dunlin-bench-") as name:
        folder = Path(name)
        settings = Settings(state_dir=folder / "state", database_url=None)
        async with Servers(settings) as servers:
            await asyncio.to_thread(upgrade, servers.database_url)
            pids = [pid for pid in servers.pids.values() if pid]
            carriers = await start_carriers(servers, 1)
            fake = FakeClient(carriers.url)
            os.environ.update(carriers.environment("http://127.0.0.1:9"))
            os.environ.pop("DUNLIN_REHEARSAL_URL", None)
            fake.configure(auto=False)
            engine = make_engine(servers.database_url, pool_size=30, steady=True)
            client = await connect(settings, servers.endpoints)
            reached = Settings(state_dir=folder / "state", public_url="http://127.0.0.1:9")
            providers = providers_of(engine, reached, None)
            assert providers[Channel.SMS].name == "twilio-sms"  # noqa: S101 - nothing else is to be measured here
            parts = Parts(engine, providers, RuleGate(read_rulebook(RULES)), Wording(TEMPLATES), rules=Rules())
            with ThreadPoolExecutor(8) as threads:
                async with (
                    Workers(client, parts),
                    Worker(client, task_queue=bare.QUEUE, workflows=[bare.BareCase], workflow_runner=sandbox()),
                    Worker(
                        client,
                        task_queue=bare.CONTACT_QUEUE,
                        activities=[bare.contact],
                        activity_executor=threads,
                        max_concurrent_activities=8,
                    ),
                ):
                    await _measure(engine, client, folder, pids, cases, rounds)
            engine.dispose()
            totals = fake.totals()
    sent, wanted = totals["counters"].get("messages.create.processed", 0), cases * (rounds + 1)
    print(f"  at the carrier {sent} of {wanted} messages, {len(totals['duplicates'])} more than once")
    return int(sent != wanted or bool(totals["duplicates"]))


async def _measure(engine: Engine, client: Client, folder: Path, pids: list[int], cases: int, rounds: int) -> None:
    opener = OpeningActivities(engine, client, page_size=500)
    ratios, rates, by_cpu = [], [], []
    for number in range(rounds + 1):
        first = sum(beside._cpu(pids))  # noqa: SLF001 - the two benchmarks measure the same way
        a = await beside._bare(client, cases, 1, f"bare-http-{number}")  # noqa: SLF001 - as above
        second = sum(beside._cpu(pids))  # noqa: SLF001 - as above
        b = await beside._cases(engine, opener, cases, 1, f"h{number}x", folder)  # noqa: SLF001 - as above
        third = sum(beside._cpu(pids))  # noqa: SLF001 - as above
        if number == 0:
            continue  # warm-up
        ratios.append(a / b)
        rates.append((cases / a, cases / b))
        by_cpu.append((second - first) / (third - second))
    print(f"first contact through the real SDK over HTTP: {cases} cases, {rounds} rounds in turns")
    print(f"  bare engine   {statistics.median(rate[0] for rate in rates):7.1f} contacts/s")
    print(f"  Dunlin        {statistics.median(rate[1] for rate in rates):7.1f} contacts/s")
    print(
        f"  ratio         {statistics.median(ratios):7.2f}  (from {min(ratios):.2f} to {max(ratios):.2f}; goal {GOAL})"
    )
    print(f"  ratio by CPU  {statistics.median(by_cpu):7.2f}  (the carrier's own left out)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    code = asyncio.run(main(asked.cases, asked.rounds))
    gc.collect()
    sys.exit(code)
