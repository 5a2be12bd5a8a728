"""The crash drill: one installation, killed everywhere, and judged afterwards.

``python -m tests.faults.drill [ROUNDS SIZE]`` runs the full one: at every place between two steps, ROUNDS times SIZE
cases have their worker killed under them. The verdict is the judge's log against the ledger, see ``verdict``.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from activities.checkpoints import Place
from runtime.process import OwnProcess
from tests.faults.installation import PATIENCE, STEPS, Installation
from tests.faults.verdict import Verdict, judge

IN_ATTEMPTS = (
    Place.CONTACT_ENTERED,
    Place.CONTACT_LOCKED,
    Place.CONTACT_DECIDED,
    Place.CONTACT_ADMITTED,
    Place.CONTACT_ANSWERED,
    Place.CONTACT_RECORDING,
    Place.CONTACT_RECORDED,
)
IN_OPENING = (
    Place.OPENING_ROWS,
    Place.OPENING_STARTING,
    Place.OPENING_STARTED,
    Place.OPENING_MARKING,
    Place.OPENING_MARKED,
)
WHEN_PAID = (
    Place.RECORD_ENTERED,
    Place.RECORD_WRITTEN,
    Place.RECORD_COMMITTED,
    Place.CLOSING_ENTERED,
    Place.CLOSING_DECIDED,
    Place.CLOSING_CLOSED,
)
PROCESSED, DROPPED = "provider-processed", "provider-dropped"
POSTGRES, TEMPORAL = "postgres-killed", "temporal-killed"
STALLED, STOPPED = "worker-stalled", "worker-stopped"
_UNKNOWN = "SELECT count(*) = %s FROM attempts WHERE key = ANY(%s) AND status = 'unknown'"
_CLOSED = "SELECT count(*) = %s FROM cases WHERE status = 'closed'"


class Drill:
    """The story of a drill. ``size``: cases of each group in each round."""

    def __init__(self, folder: Path, size: int, say: Callable[[str], None] = lambda _: None) -> None:
        self._say = say
        self._house = Installation(folder, size)
        self._size = size
        self._groups: dict[str, list[str]] = defaultdict(list)
        self._looking_up: set[str] = set()
        self._paid: set[str] = set()
        self._dropped: set[str] = set()

    async def run(self, rounds: int) -> Verdict:
        """Kill everything ``rounds`` times, let what is left finish, and judge."""
        async with self._house:
            for number in range(rounds):
                self._say(f"round {number + 1} of {rounds}")
                await self._round()
            self._say("a worker stands still, another is stopped")
            await self._stall_and_stop()
            self._say("what is left")
            return await self._end()

    async def _round(self) -> None:
        house = self._house
        paid = self._new(*WHEN_PAID)
        first = _first(self._new(DROPPED)[DROPPED])
        house.judge.instruct("drop", first)
        self._dropped |= set(first)
        hit = self._new(*IN_ATTEMPTS, Place.CONTACT_LOOKED_UP)
        victims = {place: _chosen(hit[place]) for place in IN_ATTEMPTS}
        twice = _chosen(hit[Place.CONTACT_LOOKED_UP])
        victims[Place.CONTACT_ANSWERED] |= twice
        await self._killed_at(victims)
        self._looking_up |= twice

        for place in IN_OPENING:
            await self._killed_at({place: set(self._new(place)[place])}, page_size=self._size)

        processed = self._new(PROCESSED)[PROCESSED]
        house.judge.instruct("kill", _first(processed))
        worker = await self._worker()
        await house.open()
        await worker.wait()
        house.note_fallen(PROCESSED, processed)

        await self._server_killed(POSTGRES, "postgres")
        await self._server_killed(TEMPORAL, "temporal")

        worker = await self._worker({place: set(paid[place]) for place in WHEN_PAID})
        payers = [case for cases in paid.values() for case in cases]
        await house.until_contacted(payers)
        await self._pay(payers)
        await self._falls(worker)

    async def _server_killed(self, group: str, server: str) -> None:
        """Kill a server when half of a group's first messages have gone out."""
        worker = await self._worker()
        cases = self._new(group)[group]
        await self._house.open()
        await self._house.until_requested(_first(cases), (len(cases) + 1) // 2)
        _send(self._house.servers.pids[server], signal.SIGKILL)
        await self._house.until_contacted(cases)
        _send(worker.pid, signal.SIGUSR1)
        await self._falls(worker)

    async def _stall_and_stop(self) -> None:
        """Let a worker stand still between commit and send; stop another one in the middle of its sends."""
        house = self._house
        stalled = self._new(STALLED)[STALLED]
        first = _first(stalled)
        before = len(house.fallen()[Place.CONTACT_ADMITTED])
        held = {Place.CONTACT_LOOKED_UP: self._looking_up}  # they are to be hit in the worker after this one
        sleeper = await house.worker({Place.CONTACT_ADMITTED: set(first)}, held, how=signal.SIGSTOP)
        await house.open()
        await house.until_true(lambda: len(house.fallen()[Place.CONTACT_ADMITTED]) == before + len(first), "a stall")
        if self._looking_up:
            await self._falls(await house.worker({Place.CONTACT_LOOKED_UP: self._looking_up}))

        stopped = self._new(STOPPED)[STOPPED]
        house.judge.instruct("slow", _first(stopped))
        worker = await house.worker()
        await house.open()
        await house.until_requested(_first(stopped), 1)
        _send(worker.pid, signal.SIGTERM)
        assert await worker.wait() == 0, "a worker that is asked to stop ends cleanly"

        await house.worker()
        await house.until(_UNKNOWN, len(first), first)
        _send(sleeper.pid, signal.SIGCONT)
        await sleeper.stop()
        house.note_fallen(STALLED, stalled)

    async def _end(self) -> Verdict:
        """Wait until every case stands, have every second one pay, and judge when all of those are closed."""
        house = self._house
        everyone = [case for cases in self._groups.values() for case in cases]
        await house.until_contacted(everyone)
        await self._pay([case for case in everyone[::2] if case not in self._paid])
        await house.until(_CLOSED, len(self._paid))
        return judge(
            house.engine,
            requests=house.requests(),
            groups=self._groups,
            fallen=house.fallen(),
            paid=self._paid,
            dropped=self._dropped,
            never_sent=set(_first(self._groups[STALLED])),
            never_unknown=set(self._groups[STOPPED]),
            steps=STEPS,
            workflows=await house.workflows(len(everyone), self._paid),
        )

    def _new(self, *names: str) -> dict[str, list[str]]:
        new = self._house.new_cases(names, self._size)
        for name, cases in new.items():
            self._groups[name] += cases
        return new

    async def _pay(self, cases: Sequence[str]) -> None:
        await self._house.pay(cases)
        self._paid |= set(cases)

    async def _worker(self, victims: dict[Place, set[str]] | None = None, *, page_size: int = 100) -> OwnProcess:
        """Start a worker that will die; whoever is to be killed a second time, while looking up, is held in it."""
        held = {Place.CONTACT_LOOKED_UP: self._looking_up}
        return await self._house.worker(victims, held, page_size=page_size)

    async def _killed_at(self, victims: dict[Place, set[str]], *, page_size: int = 100) -> None:
        """Run a worker and an opening until all victims have come to their places and it has died."""
        worker = await self._worker(victims, page_size=page_size)
        await self._house.open()
        await self._falls(worker)

    async def _falls(self, worker: OwnProcess) -> None:
        code = await asyncio.wait_for(worker.wait(), PATIENCE)
        assert code == -signal.SIGKILL, f"the worker ended with {code}, see {worker.log}"
        self._looking_up -= self._house.fallen()[Place.CONTACT_LOOKED_UP]


def _first(cases: Sequence[str]) -> list[str]:
    """Return the keys of the first attempts of cases."""
    return [f"{case}/1" for case in cases]


def _chosen(cases: Sequence[str]) -> set[str]:
    """Choose an attempt of each case to be hit in: the first of one, the second of the next."""
    return {f"{case}/{1 + number % 2}" for number, case in enumerate(cases)}


def _send(pid: int | None, number: int) -> None:
    assert pid is not None
    os.kill(pid, number)


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


async def main(rounds: int = 8, size: int = 25) -> int:
    """Run a drill and print its table."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        verdict = await Drill(Path(folder), size, _say).run(rounds)
    sys.stdout.write(f"{verdict}\n{time.monotonic() - began:.0f} seconds\n")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*(int(word) for word in sys.argv[1:3]))))
