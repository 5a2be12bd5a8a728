"""kill -9 in the middle of a demonstration: of Temporal, of PostgreSQL, of the worker, of the demonstration itself.

The judge is the simulated carrier, which counts every request, and the summary, which must add up.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

ROOT = Path(__file__).resolve().parents[2]
DAYS = 14


def _start(folder: Path, *args: str) -> subprocess.Popen[str]:
    env = {**os.environ, "DUNLIN_STATE_DIR": str(folder)}
    command = [sys.executable, "starter.py", *args]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _database(folder: Path) -> str | None:
    try:
        endpoints = json.loads((folder / "endpoints.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(endpoints["database_url"]).replace("+psycopg", "", 1)


def _ask(folder: Path, query: str) -> object:
    url = _database(folder)
    if url is None:
        return None
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute(query.encode()).fetchone()
    except psycopg.Error:
        return None
    return None if row is None else row[0]


def _wait(folder: Path, query: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if _ask(folder, query):
            return
        time.sleep(0.2)
    raise AssertionError(f"never came true: {query}")


IN_THE_MIDDLE = "SELECT count(*) >= 15 FROM sandbox_requests"
DONE = "SELECT count(*) = 1 FROM runtime_settings WHERE name = 'world_done'"


def _child(process: subprocess.Popen[str], word: str) -> psutil.Process:
    for child in psutil.Process(process.pid).children(recursive=True):
        if any(word in part for part in child.cmdline()):
            return child
    raise AssertionError(f"no child process with {word}")


@pytest.mark.timeout(170)
@pytest.mark.parametrize("victim", ["start-dev", "postgres", "worker.py"])
def test_p10_a_killed_server_or_worker_is_started_again_and_nothing_is_lost_or_repeated(
    tmp_path: Path, victim: str
) -> None:
    process = _start(tmp_path, "demo", "--days", str(DAYS), "--json")
    try:
        _wait(tmp_path, IN_THE_MIDDLE)
        _child(process, victim).send_signal(signal.SIGKILL)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, err
    summary = json.loads(out)
    assert summary["wrong"] == []
    assert sum(sum(by_status.values()) for by_status in summary["contacts"].values()) > 15


@pytest.mark.timeout(170)
def test_p10_up_carries_on_what_a_killed_demonstration_began(tmp_path: Path) -> None:
    process = _start(tmp_path, "demo", "--days", str(DAYS), "--json")
    try:
        _wait(tmp_path, IN_THE_MIDDLE)
    finally:
        process.kill()
        process.communicate()
    process = _start(tmp_path, "up")
    try:
        _wait(tmp_path, DONE, seconds=120)
        assert _ask(tmp_path, "SELECT count(*) = count(DISTINCT attempt_key) FROM sandbox_requests") is True
        assert _ask(tmp_path, "SELECT count(*) FROM attempts WHERE status = 'dispatching'") == 0
        burst = "SELECT max(n) FROM (SELECT count(*) n FROM attempts WHERE provider = 'sandbox' GROUP BY case_key, sent_at::date) x"
        assert _ask(tmp_path, burst) == 1
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
