"""What the judge's log says about the ledger after a crash drill, and the table of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from temporalio.client import WorkflowExecutionStatus


@dataclass(frozen=True, slots=True)
class Line:
    """One group of cases. ``killed``: cases that stood at the place when their worker went down."""

    place: str
    cases: int
    killed: int
    requests: int
    lost: int
    repeated: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The table, and every finding in words; nothing wrong means every promise was kept."""

    lines: tuple[Line, ...]
    wrong: tuple[str, ...]

    def line(self, place: str) -> Line:
        """Return the line of a group."""
        (found,) = [line for line in self.lines if line.place == place]
        return found

    def __str__(self) -> str:
        columns = ("cases", "killed", "requests", "lost", "repeated", "unknown")
        rows = [f"{'place':<20}" + "".join(f"{name:>10}" for name in columns)]
        rows += [f"{line.place:<20}" + "".join(f"{getattr(line, name):>10}" for name in columns) for line in self.lines]
        return "\n".join([*rows, *(self.wrong or ("nothing wrong",))])


def judge(
    engine: Engine,
    *,
    requests: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    fallen: Mapping[str, set[str]],
    paid: set[str],
    dropped: set[str],
    never_sent: set[str],
    never_unknown: set[str],
    steps: int,
    workflows: Mapping[str, WorkflowExecutionStatus],
) -> Verdict:
    """Compare what reached the provider with what the ledger says.

    ``fallen``: by place, who was there when a worker went down. ``dropped``: attempts whose answer the judge withheld. ``never_sent``: attempts whose worker stood still before its
    send. ``never_unknown``: cases of a worker that was asked to stop.
    """
    counts = Counter(requests)
    statuses = {row.key: row.status for row in _rows(engine, "SELECT key, status FROM attempts")}
    of_case = {row.key: row for row in _rows(engine, _CASES)}
    wrong = [f"{key} was requested {count} times" for key, count in counts.items() if count > 1]
    wrong += [f"{key} was requested and has no row" for key in sorted(counts.keys() - statuses.keys())]
    for key, status in sorted(statuses.items()):
        wrong += _about_attempt(key, status, asked=counts[key], dropped=key in dropped)
    wrong += [f"{key} was sent by a worker that had stood still" for key in sorted(never_sent & counts.keys())]
    for query, words in _NONE.items():
        wrong += [f"{row[0]} {words}" for row in _rows(engine, query)]

    lines = []
    for place, cases in groups.items():
        lost = []
        for case in cases:
            keys = [f"{case}/{seq}" for seq in range(1, steps + 1)]
            complaint = _about_case(case, of_case.get(case), workflows.get(case), keys, statuses, is_paid=case in paid)
            if complaint is not None:
                lost.append(complaint)
        attempts = [key for key in statuses if key.rpartition("/")[0] in set(cases)]
        unknown = [key for key in attempts if statuses[key] == "unknown"]
        wrong += lost
        wrong += [f"{key} is unknown though its worker had time to finish" for key in unknown if key.rpartition("/")[0] in never_unknown]  # fmt: skip
        lines.append(
            Line(
                place=place,
                cases=len(cases),
                killed=len({key for key in fallen.get(place, set()) if key in set(cases) or key in set(attempts)}),
                requests=sum(counts[key] for key in attempts),
                lost=len(lost),
                repeated=sum(1 for key in attempts if counts[key] > 1),
                unknown=len(unknown),
            )
        )
    return Verdict(tuple(lines), tuple(wrong))


def _about_attempt(key: str, status: str, *, asked: int, dropped: bool) -> list[str]:
    """Complain unless a sent attempt was requested, and an unknown one was not or its answer was withheld."""
    if status == "sent":
        return [] if asked else [f"{key} is sent and was never requested"]
    if status == "unknown":
        return [f"{key} was requested and answered, and is unknown"] if asked and not dropped else []
    return [f"{key} is left {status}"]


def _about_case(
    case: str,
    row: Any,  # noqa: ANN401 - a row of _CASES
    workflow: WorkflowExecutionStatus | None,
    keys: Sequence[str],
    statuses: Mapping[str, str],
    *,
    is_paid: bool,
) -> str | None:
    """Say what a case lacks: its row, a step of its ladder, its end, its workflow, a payment, its record."""
    if row is None:
        return f"{case} has no row"
    missing = [key for key in keys if key not in statuses]
    if missing or row.attempts != len(keys):
        return f"{case} has {row.attempts} attempts, of those it should have these are missing: {missing}"
    end = ("closed", "paid", 1, 1, 1) if is_paid else ("open", None, 0, 0, 0)
    found = (row.status, row.close_reason, row.closings, row.payments, row.entries)
    if found != end:
        return f"{case} stands at {found} and should at {end}"
    running = WorkflowExecutionStatus.COMPLETED if is_paid else WorkflowExecutionStatus.RUNNING
    return None if workflow is running else f"{case} is {row.status} and its workflow {workflow}"


_CASES = """
SELECT k.key, k.status, k.close_reason,
       (SELECT count(*) FROM attempts t WHERE t.case_key = k.key) AS attempts,
       (SELECT count(*) FROM case_events e WHERE e.case_key = k.key AND e.kind = 'closed') AS closings,
       (SELECT count(*) FROM case_events e WHERE e.case_key = k.key AND e.kind = 'payment') AS payments,
       (SELECT count(*) FROM ledger_entries l WHERE l.account_key = k.account_key AND l.kind = 'payment') AS entries
  FROM cases k
"""

_NONE = {
    "SELECT key FROM cases WHERE status = 'opening'": "is left opening",
    "SELECT key FROM accounts a WHERE NOT EXISTS (SELECT 1 FROM cases k WHERE k.account_key = a.key)": "has no case",
    "SELECT case_key FROM case_events WHERE kind = 'opened' GROUP BY 1 HAVING count(*) > 1": "was opened twice",
    """SELECT t.key FROM attempts t WHERE t.dispatch <> (SELECT count(*) FROM case_events e WHERE e.case_key = t.case_key
        AND e.kind = 'dispatching' AND e.body::jsonb ->> 'attempt' = t.key)""": "has other dispatches in its record",
    "SELECT key FROM attempts WHERE dispatch <> 1": "was not dispatched once",
    """SELECT t.key FROM attempts t WHERE NOT EXISTS (SELECT 1 FROM decisions d WHERE d.attempt_key = t.key
        AND d.verdict = 'allow')""": "was sent without a decision",
    """SELECT t.key FROM attempts t WHERE (SELECT count(*) FROM case_events e WHERE e.case_key = t.case_key
        AND e.kind = 'recorded' AND e.body::jsonb ->> 'attempt' = t.key) <> 1""": "is not recorded once",
}


def _rows(engine: Engine, query: str) -> Sequence[Any]:
    with engine.connect() as connection:
        return connection.exec_driver_sql(query).all()
