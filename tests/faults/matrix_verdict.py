"""What the fake carriers' own counters say about the ledger after a fault matrix, and the table of it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from domain.codes import Channel
from tests.fakes.client import FakeClient

KNOWN = frozenset({"sent", "delivered", "answered", "undelivered"})
Cell = tuple[str, Channel, str]
"""Fault, channel, who is killed."""


@dataclass
class Row:
    """What became of one cell."""

    cases: int = 0
    hit: int = 0
    done: int = 0
    unknown: int = 0
    repeated: int = 0
    statuses: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Verdict:
    """The table, and every finding in words; nothing wrong means every promise was kept."""

    table: dict[Cell, Row]
    wrong: tuple[str, ...]
    restarts: dict[str, int]

    def __str__(self) -> str:
        """Return the table as text."""
        lines = [
            f"{'fault':<18}{'channel':<9}{'killed':<9}{'cases':>6}{'hit':>5}{'done':>6}{'unknown':>9}{'twice':>7}  statuses"
        ]
        for (fault, channel, kill), row in self.table.items():
            said = ", ".join(f"{name} {count}" for name, count in sorted(row.statuses.items()))
            lines.append(
                f"{fault:<18}{channel:<9}{kill:<9}{row.cases:>6}{row.hit:>5}{row.done:>6}{row.unknown:>9}{row.repeated:>7}  {said}"
            )
        sums = [
            sum(getattr(row, name) for row in self.table.values())
            for name in ("cases", "hit", "done", "unknown", "repeated")
        ]
        lines.append(f"{'all':<36}{sums[0]:>6}{sums[1]:>5}{sums[2]:>6}{sums[3]:>9}{sums[4]:>7}")
        lines.append(f"restarts: {self.restarts}")
        return "\n".join([*lines, *(self.wrong or ("nothing wrong",))])


def judge(
    engine: Engine,
    fake: FakeClient,
    cells: Mapping[Cell, Sequence[str]],
    hit: set[str],
    may_ask_again: frozenset[str],
    restarts: dict[str, int],
) -> Verdict:
    """Compare what the fake did with what the ledger says. ``hit``: attempts in flight when the worker was killed."""
    totals = fake.totals()
    ids = _ids(fake.state())
    with engine.connect() as connection:
        found = {
            row.key: row
            for row in connection.exec_driver_sql(
                "SELECT t.key, t.status, t.provider_id, (SELECT count(*) FROM attempts o WHERE o.case_key = t.case_key) AS own FROM attempts t"
            )
        }
    table: dict[Cell, Row] = defaultdict(Row)
    wrong = [f"{key} was done twice" for key in totals["duplicates"]]
    for cell, keys in cells.items():
        row = table[cell]
        for key in keys:
            asked, done, one = totals["requests"].get(key, 0), totals["processed"].get(key, 0), found.get(key)
            row.cases += 1
            row.hit += key in hit
            row.done += done
            row.repeated += done > 1
            row.statuses[one.status if one is not None else "missing"] += 1
            row.unknown += one is not None and one.status == "unknown"
            if complaint := complaint_about(
                one, asked=asked, most=2 if cell[0] in may_ask_again else 1, done=done, ids=ids.get(key, set())
            ):
                wrong.append(f"{cell[0]}, {cell[1]}, {cell[2]} killed: {key} {complaint}")
    return Verdict(dict(table), tuple(wrong), restarts)


def _ids(state: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for one in (*state["messages"], *state["calls"], *state["emails"]):
        found[one["attempt"]].add(one.get("sid") or one["id"])
    return found


def complaint_about(one: Any, *, asked: int, most: int, done: int, ids: set[str]) -> str | None:  # noqa: ANN401 - a row
    """Say what is wrong with one attempt."""
    if one is None:
        return "was lost: it has no row"
    if one.own != 1:
        return f"is one of {one.own} attempts of its case"
    if asked > most:
        return f"was asked for {asked} times"
    if done and one.status not in KNOWN:
        return f"was done and is {one.status}"
    if not done and one.status != "unknown":
        return f"was not done and is {one.status}"
    if (
        done
        and one.provider_id is not None
        and one.provider_id not in ids
        and not one.provider_id.startswith("attempt:")
    ):
        return "has the name of another"
    return None
