"""A mistake of the user is one clear line on stderr and an exit code; never a traceback, never half a deed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command

ROOT = Path(__file__).resolve().parents[2]
STANDARD = "policies/strategies/standard.yaml"
FILES = f"--ledger {STANDARD} --payments {STANDARD}"
NAMES = ("up", "demo", "import", "open", "case", "signal", "strategy", "backtest")

WRONG: list[tuple[str, int, str]] = [
    ("nope", 2, "No such command 'nope'. Did you mean 'open'? (see `python starter.py --help`)"),
    ("import --nope", 2, "No such option: --nope (see `python starter.py import --help`)"),
    ("import", 1, "import: name a file: --ledger, --payments, --contacts, --parties, --recalls or --chargeoffs"),
    ("import --payments p.csv --full", 1, "import: --full, --total and --rows speak of the ledger"),
    ("import --ledger l.csv --rows many", 2, "Invalid value for '--rows'"),
    ("import --ledger l.csv --total 12", 1, "--total 12: unknown currency '12'"),
    ("import --ledger l.csv --total USD=1,5", 1, "--total USD=1,5: not a plain number"),
    ("import --ledger l.csv --map gone.yaml", 1, "--map gone.yaml: no readable YAML file"),
    ("import --ledger l.csv", 1, "nothing is running; start it with `python starter.py up`"),
    ("open --as-of 03/04/2012", 2, "Invalid value for '--as-of'"),
    ("open", 1, "nothing is running"),
    ("case list", 1, "nothing is running"),
    ("case list --limit 0", 2, "Invalid value for '--limit'"),
    ("case show", 2, "Missing argument 'key'. (see `python starter.py case show --help`)"),
    ("case show A1", 1, "nothing is running"),
    ("case history A1", 1, "nothing is running"),
    ("signal nope A1 --data {}", 1, "nope: no such message; one of record_payment, "),
    ("signal pause A1", 2, "Missing option '--data'"),
    ("signal pause A1 --data {", 1, "--data: not JSON (Expecting property name"),
    ("signal pause A1 --data []", 1, "--data: "),
    ("signal pause A1 --data @gone.json", 1, "--data @gone.json: cannot be read (No such file or directory)"),
    ('signal record_payment A1 --data {"amount":1}', 1, "--data: "),
    ("signal pause A1 --data {}", 1, "nothing is running"),
    ("strategy check", 2, "Missing argument 'files'"),
    ("strategy check gone.yaml", 1, "gone.yaml: no readable strategy file"),
    ("strategy show gone.yaml", 1, "gone.yaml: no readable strategy file"),
    (f"strategy show {STANDARD} --zone Mars", 1, "--zone Mars: no IANA time zone"),
    (f"strategy show {STANDARD} --due-on 5.1.2026", 2, "Invalid value for '--due-on'"),
    ("backtest", 2, "Missing option '--ledger'"),
    (
        f"backtest --ledger gone.csv --payments gone.csv --strategy {STANDARD} --out o.csv",
        1,
        "--ledger gone.csv: no such file",
    ),
    (
        f"backtest --ledger {STANDARD} --payments gone --strategy {STANDARD} --out o.csv",
        1,
        "--payments gone: no such file",
    ),
    (f"backtest {FILES} --strategy {STANDARD} --out gone/o.csv", 1, "--out gone/o.csv: there is no folder gone"),
    (f"backtest {FILES} --strategy {STANDARD} --out policies", 1, "--out policies: is a folder"),
    (f"backtest {FILES} --strategy {STANDARD} --out o.csv --consolidate maybe", 1, "--consolidate maybe: is neither"),
    (
        f"backtest {FILES} --strategy {STANDARD} --out o.csv --rules nowhere",
        1,
        "--rules nowhere: no pack called nowhere",
    ),
    (f"backtest {FILES} --strategy gone.yaml --out o.csv", 1, "gone.yaml: no readable strategy file"),
    ("demo --days 0", 2, "Invalid value for '--days'"),
    ("demo --seed x", 2, "Invalid value for '--seed'"),
]


@pytest.mark.parametrize(("line", "code", "text"), WRONG, ids=[one[0] for one in WRONG])
def test_a_wrong_argument_is_one_line_that_says_how_to_mend_it(
    command: Command, tmp_path: Path, line: str, code: int, text: str
) -> None:
    said = command(*line.split())
    assert (said.code, said.out) == (code, "")
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("error: ")
    assert text in said.err
    assert not list(tmp_path.rglob("*.csv"))


def test_a_setting_that_does_not_fit_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUNLIN_WORKERS", "many")
    said = command("case", "list")
    assert said.code == 1
    assert said.err.startswith("error: DUNLIN_WORKERS: ")
    assert said.err.count("\n") == 1


def test_a_demonstration_refuses_servers_that_are_not_its_own(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUNLIN_DATABASE_URL", "postgresql://user:secret@127.0.0.1/db")
    said = command("demo")
    assert (said.code, said.err.count("\n"), "secret" in said.err) == (1, 1, False)


def test_a_demonstration_touches_no_installation_that_is_none(command: Command, tmp_path: Path) -> None:
    treasure = tmp_path / "state" / "postgres" / "treasure"
    treasure.parent.mkdir(parents=True)
    treasure.write_text("kept")
    said = command("demo")
    assert said.code == 1
    assert "holds an installation that is no demonstration" in said.err
    assert treasure.read_text() == "kept"


def test_what_nobody_foresaw_is_one_line_too_and_quotes_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ValueError("Ann Other, +13125550100")

    monkeypatch.setattr("cli.operations.load_settings", fail)
    said = command("case", "list")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "ValueError" in said.err
    assert "Ann" not in said.err


# --- as real processes --------------------------------------------------------------------------------------------


def process(*arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    return subprocess.run(
        [sys.executable, "starter.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DUNLIN_STATE_DIR": str(state)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_all_commands(tmp_path: Path) -> None:
    done = process("--help", state=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    listed = {line.strip("│ ").partition(" ")[0] for line in done.stdout.splitlines()}
    assert listed >= set(NAMES)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["case", "list", "--json"], 1, "error: nothing is running"),
        (["case", "show"], 2, "error: Missing argument 'key'"),
        (["strategy", "check", "gone.yaml"], 1, "error: gone.yaml: no readable strategy file"),
    ],
)
def test_a_process_ends_with_its_exit_code_and_one_line(
    tmp_path: Path, arguments: list[str], code: int, text: str
) -> None:
    done = process(*arguments, state=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(text)
    assert done.stderr.count("\n") == 1


def test_a_worker_without_servers_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "worker.py"],
        cwd=ROOT,
        env={**os.environ, "DUNLIN_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no servers are running")
    assert done.stderr.count("\n") == 1
