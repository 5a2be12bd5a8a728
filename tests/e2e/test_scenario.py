"""The story of people at work: told to its end on real servers, true in the database, and the same twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.recheck import recheck

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Told:
    """A story that was told; its servers are still up."""

    lines: list[dict[str, Any]]
    checks: dict[str, bool]
    database: str

    def one(self, query: str, *values: object) -> Any:  # noqa: ANN401 - whatever the column holds
        """Ask the database."""
        with psycopg.connect(self.database.replace("+psycopg", "", 1)) as connection:
            row = connection.execute(query.encode(), values).fetchone()
        return None if row is None else row[0]


def _start(folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "starter.py", "demo", "--scenario", "people", "--json", *more],
        cwd=ROOT,
        env={**os.environ, "DUNLIN_STATE_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("scenario")
    process = _start(folder, "--stay")
    try:
        lines, checks = [], None
        assert process.stdout is not None
        for text in process.stdout:
            line = json.loads(text)
            if "checks" in line:
                checks = line["checks"]
                break
            lines.append(line)
        if checks is None:
            raise AssertionError(process.communicate(timeout=60)[1])
        endpoints = json.loads((folder / "endpoints.json").read_text(encoding="utf-8"))
        yield Told(lines, checks, endpoints["database_url"])
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


CASE = "SELECT k.{} FROM cases k JOIN accounts a ON a.key = k.account_key WHERE a.external_id = %s"


@pytest.mark.timeout(300)
def test_everything_adds_up_and_no_contact_breaks_a_rule_by_a_later_check(told: Told) -> None:
    assert [name for name, holds in told.checks.items() if not holds] == []
    assert [str(one) for one in recheck(told.database)] == []
    assert told.one("SELECT count(*) FROM attempts WHERE provider = 'agent'") >= 15


def test_the_gate_refused_by_the_hour_and_the_call_was_made_when_it_allowed(told: Told) -> None:
    why = told.one(
        "SELECT detail ->> 'rules' FROM work_events WHERE kind = 'put_off' AND actor = 'ben' ORDER BY id LIMIT 1"
    )
    assert "core.step-hours" in why
    called = told.one(
        f"SELECT to_char(sent_at, 'HH24:MI') FROM attempts WHERE channel = 'call' AND case_key = ({CASE.format('key')})",
        "RB-1008",
    )
    assert called == "15:30"


def test_a_wrong_number_is_learnt_and_the_other_one_is_dialled(told: Told) -> None:
    points = "SELECT count(DISTINCT contact_point_key) FROM attempts WHERE channel = 'call' AND case_key = "
    assert told.one(f"{points} ({CASE.format('key')})", "RB-1002") == 2


def test_a_bereavement_rests_every_debt_of_the_person(told: Told) -> None:
    contacts = (
        "SELECT count(*) FROM attempts WHERE purpose = 'collect' AND sent_at > '2026-02-03 10:05+00' "
        f"AND sent_at < '2026-03-05 10:05+00' AND case_key = ({CASE.format('key')})"
    )
    assert [told.one(contacts, one) for one in ("RB-1006", "RB-1007")] == [0, 0]
    assert told.one("SELECT count(*) FROM holds WHERE reason = 'bereavement' AND scope = 'debtor'") == 1


def test_the_bulk_hold_was_placed_for_what_its_preview_counted_and_lifted_whole(told: Told) -> None:
    done = told.one(
        "SELECT count(*) FROM bulk_items i JOIN bulk_operations b ON b.key = i.bulk_key WHERE i.status = 'done' AND b.action = 'hold'"
    )
    assert done == told.one(
        "SELECT count(*) FROM bulk_items i JOIN bulk_operations b ON b.key = i.bulk_key WHERE i.status = 'done' AND b.action = 'release'"
    )
    assert done >= 5


def test_a_plan_above_the_limit_was_decided_by_a_second_person(told: Told) -> None:
    decided = told.one(
        "SELECT asked_by || ' ' || decided_by || ' ' || decision FROM approvals WHERE subject_kind = 'plan'"
    )
    assert decided == "sue tom approved"
    status = "SELECT status FROM arrangements WHERE account_key = (SELECT key FROM accounts WHERE external_id = %s)"
    assert [told.one(status, one) for one in ("RB-1001", "RB-1003", "RB-1004")] == ["kept", "kept", "broken"]


def test_kept_plans_close_their_cases_and_the_broken_one_is_on_its_ladder_again_the_day_after(told: Told) -> None:
    assert [told.one(CASE.format("close_reason"), one) for one in ("RB-1001", "RB-1003")] == ["paid", "paid"]
    contacts = (
        "SELECT min(to_char(sent_at, 'YYYY-MM-DD')) FROM attempts WHERE purpose = 'collect' AND sent_at > '2026-02-04' "
        f"AND case_key = ({CASE.format('key')})"
    )
    assert told.one(contacts, "RB-1004") == "2026-02-21"


def test_a_hold_for_hardship_was_lifted_by_a_supervisor_and_the_plan_went_on(told: Told) -> None:
    assert told.one("SELECT released_by FROM holds WHERE reason = 'hardship'") == "sue"
    reminders = f"SELECT count(*) FROM attempts WHERE origin = 'reminder' AND case_key = ({CASE.format('key')})"
    assert told.one(reminders, "RB-1003") == 2


def test_a_dispute_upheld_in_part_takes_that_much_off_and_the_rest_is_collected(told: Told) -> None:
    adjusted = (
        "SELECT sum(amount) FROM ledger_entries e JOIN accounts a ON a.key = e.account_key WHERE e.kind = 'adjustment'"
    )
    assert told.one(f"{adjusted} AND a.external_id = %s", "RB-1005") == -12_000
    asked = (
        "SELECT count(*) FROM attempts WHERE purpose = 'collect' AND sent_at IS NOT NULL AND sent_at {} "
        f"AND case_key = ({CASE.format('key')})"
    )
    assert told.one(asked.format("BETWEEN '2026-02-03 09:59+00' AND '2026-02-06 10:00+00'"), "RB-1005") == 0
    assert told.one(asked.format("> '2026-02-06 10:00+00'"), "RB-1005") >= 1


def test_a_visit_was_made_by_two_people_after_every_requirement_was_confirmed(told: Told) -> None:
    assert told.one("SELECT string_agg(actor, ' ' ORDER BY actor) FROM visit_people") == "lin mei"
    late = "SELECT count(*) FROM visit_checks c JOIN visits v ON v.key = c.visit_key WHERE c.at > v.set_out_at"
    assert told.one(late) == 0
    assert told.one("SELECT disposition FROM visits WHERE status = 'done'") == "met"


def test_a_claim_was_filed_after_approval_by_another_person_notice_and_its_period(told: Told) -> None:
    assert (
        told.one("SELECT string_agg(stage, ' ' ORDER BY no) FROM legal_stages")
        == "review approved notice filed hearing"
    )
    assert told.one("SELECT asked_by || ' ' || approved_by FROM legal_matters") == "sue tom"
    assert told.one("SELECT filed_at >= notice_until FROM legal_matters") is True
    letters = "SELECT count(*) FROM attempts WHERE purpose = 'required_notice' AND channel = 'letter' AND case_key = "
    assert told.one(f"{letters} ({CASE.format('key')})", "RB-1010") == 1


def test_whoever_may_not_is_refused_in_the_story_and_nothing_of_it_is_in_the_record(told: Told) -> None:
    refused = {line["who"] for line in told.lines if line["answer"].startswith("refused: ")}
    assert {"ann", "ben", "sue", "max", "lin", "olga"} <= refused
    assert told.one("SELECT count(*) FROM actors WHERE code = 'carl'") == 0
    assert told.one("SELECT count(*) FROM case_events WHERE body::jsonb ->> 'actor' = 'max'") == 0


@pytest.mark.timeout(300)
def test_the_same_seed_tells_the_same_story(told: Told, tmp_path: Path) -> None:
    process = _start(tmp_path)
    out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err
    lines = [json.loads(text) for text in out.splitlines()]
    assert lines[:-1] == told.lines, "another story"
    assert lines[-1]["checks"] == told.checks
