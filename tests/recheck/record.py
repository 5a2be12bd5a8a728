"""Whether the record itself holds: decisions, events, hash chains, and what the carrier received."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from tests.recheck.model import Attempt, Decision, Link, Violation, World

DISPATCH_WITHIN = timedelta(seconds=10)


def check_record(world: World) -> Iterator[Violation]:
    """Yield everything that does not fit together."""
    yield from _decisions(world)
    yield from _dispatches(world)
    yield from _chains(world)
    yield from _requests(world)


def _last_decisions(world: World) -> dict[str, Decision]:
    return {decision.attempt_key: decision for decision in world.decisions}


def _decisions(world: World) -> Iterator[Violation]:
    """P3 and P4: what was made was allowed first, at most ten seconds before; what was not made has its decision too."""
    last = _last_decisions(world)
    received = {request.attempt_key: request.received_at for request in reversed(world.requests)}
    made = {attempt.key: attempt for attempt in world.attempts}
    for key in sorted(world.statuses):
        attempt, decision = made.get(key), last.get(key)
        if decision is None:
            if attempt is None or not attempt.by_agent:
                yield Violation(key, "P3.decision", "no decision on record")
            continue
        if attempt is not None:
            yield from _fresh(attempt, decision, received)


def _fresh(attempt: Attempt, decision: Decision, received: Mapping[str, datetime]) -> Iterator[Violation]:
    if decision.verdict != "allow":
        yield Violation(attempt.key, "P4.verdict", f"made although the last decision was {decision.verdict}")
        return
    if attempt.by_agent:
        return
    for name, at in (("admitted", attempt.at), ("received by the carrier", received.get(attempt.key))):
        if at is None:
            continue
        age = at - decision.decided_at
        if not timedelta(0) <= age <= DISPATCH_WITHIN:
            yield Violation(attempt.key, "P4.fresh", f"{name} {age.total_seconds():.3f} s after the decision")


def _dispatches(world: World) -> Iterator[Violation]:
    """P3: every attempt has its event in the record of its case, ``dispatching`` or an agent's ``worked``."""
    told: dict[str, set[str]] = defaultdict(set)
    for link in world.links:
        if link.kind in {"dispatching", "worked"}:
            told[link.kind].add(_attempt_of(link))
    for attempt in world.attempts:
        kind = "worked" if attempt.by_agent else "dispatching"
        if attempt.key not in told[kind]:
            yield Violation(attempt.key, "P3.event", f"no event {kind} in the record")


def _attempt_of(link: Link) -> str:
    try:
        body = json.loads(link.body)
    except ValueError:
        return ""
    return str(body.get("attempt", "")) if isinstance(body, dict) else ""


def _chains(world: World) -> Iterator[Violation]:
    """P9: every hash is the SHA-256 of ``previous|case|seq|kind|at|body``, and the case's row ends where its chain does."""
    chains: dict[str, list[Link]] = {key: [] for key in world.cases}
    for link in world.links:
        chains.setdefault(link.case_key, []).append(link)
    for key, links in chains.items():
        previous = ""
        for place, link in enumerate(links, start=1):
            at = link.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            text = f"{previous}|{key}|{place}|{link.kind}|{at}|{link.body}"
            digest = hashlib.sha256(text.encode()).hexdigest()
            if (link.seq, link.previous_hash, link.hash) != (place, previous, digest):
                yield Violation(key, "P9.chain", f"the chain breaks at event {place}")
                break
            previous = digest
        else:
            case = world.cases.get(key)
            if case is None or (case.chain_seq, case.chain_hash) != (len(links), previous):
                yield Violation(key, "P9.chain", f"the case does not end at event {len(links)} of its chain")


def _requests(world: World) -> Iterator[Violation]:
    """P2: the carrier got one request for each attempt key at most, and none that the ledger does not know."""
    made = {attempt.key for attempt in world.attempts}
    for key, count in sorted(Counter(request.attempt_key for request in world.requests).items()):
        if count > 1:
            yield Violation(key, "P2.one-request", f"the carrier received {count} requests")
        if key not in made:
            yield Violation(key, "P3.request", f"requested although its status is {world.statuses.get(key, 'missing')}")
