"""Many attempts at once, from several processes: a cap holds exactly, and nobody waits in a circle."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Engine

from domain.case import CaseInput
from tests.activities.cases import open_cases, row

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 3


def _contact_all(url: str, folder: Path, cases: Mapping[str, CaseInput]) -> Counter[str]:
    lines = "\n".join(case.model_dump_json() for case in cases.values())
    (folder / "cases.jsonl").write_text(lines, encoding="utf-8")
    command = [sys.executable, "-m", "tests.activities.many", url, str(folder)]
    processes = [
        subprocess.Popen(
            [*command, str(first), str(PROCESSES)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for first in range(PROCESSES)
    ]
    found: Counter[str] = Counter()
    for process in processes:
        out, err = process.communicate(timeout=150)
        assert process.returncode == 0, err
        found.update(json.loads(out))
    return found


def test_p4_of_two_hundred_attempts_at_once_for_one_debtor_the_cap_allows_exactly_three(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    rows = "".join(row(f"L{number}", "K1") for number in range(200))
    found = _contact_all(database_url, tmp_path, open_cases(engine, tmp_path, rows))
    assert found == {"sent": 3, "deferred": 197}
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sandbox_requests").scalar_one() == 3
        refusals = connection.exec_driver_sql("SELECT DISTINCT rule_ids FROM decisions WHERE verdict = 'defer'")
        assert refusals.scalars().all() == [["cap.three"]]


def test_a_thousand_debtors_at_once_who_share_phones_do_not_deadlock(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    rows = "".join(row(f"L{number}", f"K{number}", phone=f"+1312555{number % 400:04d}") for number in range(1000))
    found = _contact_all(database_url, tmp_path, open_cases(engine, tmp_path, rows))
    assert found == {"sent": 1000}
