"""Legal action and visits, from the chained record alone: who decided, what was still allowed, how many went.

Nothing here asks the tables that the ledger keeps of matters and visits: the events of the record must tell by themselves.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tests.recheck.book import Book, rule
from tests.recheck.model import Attempt, Violation, World

_IN_COURT = {
    "filed": {"letter"},
    "asset_preservation": {"letter"},
    "hearing": {"letter"},
    "judgment": {"letter", "email"},
    "enforcement": set[str](),
}
"""What may still be used to collect when a claim is with the court: nobody is called, texted or visited."""
_LEAST = 2
"""People of a visit: the house sends no fewer anywhere, and no rule of a place demands more."""


def _legal(world: World, case_key: str, until: datetime | None = None) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """Return the stages that the record of a case tells, in order."""
    for link in world.links:
        if link.case_key == case_key and link.kind == "legal" and (until is None or link.at < until):
            yield link.at, json.loads(link.body)


@rule("legal.contact-in-court")
def in_court(attempt: Attempt, book: Book) -> Iterator[str]:
    """House (policies/legal.yaml): after filing nothing is collected but by letter, and by e-mail once it is decided."""
    if attempt.purpose != "collect" or attempt.channel == "legal":
        return
    for key in dict.fromkeys((attempt.case_key, *attempt.cases)):
        stages = [body["stage"] for _, body in _legal(book.world, key, attempt.at)]
        if stages and stages[-1] in _IN_COURT and attempt.channel not in _IN_COURT[stages[-1]]:
            yield f"{attempt.channel} about {key}, which was at {stages[-1]}"


@rule("visit.people")
def enough_people(attempt: Attempt, book: Book) -> Iterator[str]:
    """House and CBA guideline 2026 art. 22: nobody visits alone. Only visits that were planned name who set out."""
    if attempt.channel != "visit":
        return
    for link in book.world.links:
        if link.kind != "visit_set_out" or link.case_key not in {attempt.case_key, *attempt.cases}:
            continue
        body = json.loads(link.body)
        if body["attempt"] == attempt.key and len(set(body["persons"])) < _LEAST:
            yield f"{len(set(body['persons']))} set out"


def check_legal(world: World) -> list[Violation]:
    """Return every filing that no second person had approved since it was last put forward."""
    found = []
    for case_key in dict.fromkeys(link.case_key for link in world.links if link.kind == "legal"):
        asked: str | None = None
        approved: str | None = None
        for _, body in _legal(world, case_key):
            match body["stage"]:
                case "review":
                    asked, approved = body.get("actor"), None
                case "approved":
                    approved = body.get("actor")
                case "returned" | "withdrawn":
                    asked = approved = None
                case "filed" if approved is None or approved == asked:
                    why = f"filed, asked by {asked or 'nobody'}, approved by {approved or 'nobody'}"
                    found.append(Violation(case_key, "legal.four-eyes", why))
                case _:
                    pass
    return found
