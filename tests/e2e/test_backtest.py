"""A backtest over real invoices: every contact that it must have made, no other, and twice the same.

What must come out is recomputed from the files alone by ``backtest_oracle``, which shares no code with the project.
"""

import csv
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.e2e.backtest_oracle import AGES, consolidated_differences, differences, expected, invoices, rows_of

ROOT = Path(__file__).resolve().parents[2]
INVOICES = 70


@pytest.fixture(scope="module")
def files(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write a deterministic part of the reference data: whole customers, some left unpaid, one paid in two parts."""
    ledger, payments = shared / "data" / "ar_ledger.csv", shared / "data" / "ar_payments.csv"
    if not ledger.is_file() or not payments.is_file():
        pytest.skip("the reference data is not on this machine")
    rows = sorted(rows_of(ledger), key=lambda row: (row["debtor_id"], row["account_id"]))
    late = {one.account for one in invoices(ledger, payments) if one.overdue}
    customers: dict[str, int] = {}
    for row in rows:
        customers[row["debtor_id"]] = customers.get(row["debtor_id"], 0) + (row["account_id"] in late)
    chosen: list[dict[str, str]] = []
    for customer in sorted(customers, key=lambda one: (-customers[one], one)):
        chosen += [row for row in rows if row["debtor_id"] == customer]
        if len(chosen) >= INVOICES:
            break
    chosen = chosen[:INVOICES]
    ours = {row["account_id"] for row in chosen}
    paid = [row for row in rows_of(payments) if row["account_id"] in ours]
    unpaid = [row["account_id"] for row in chosen if row["account_id"] in late][::7]
    paid = [row for row in paid if row["account_id"] not in unpaid]
    whole = next(row for row in paid if row["account_id"] in late and float(row["amount"]) > 10)
    paid.remove(whole)
    rest = f"{float(whole['amount']) - 5:.2f}"
    paid += [
        {**whole, "payment_id": whole["payment_id"] + "-a", "amount": "5.00", "paid_on": chosen[0]["issued_on"]},
        {**whole, "payment_id": whole["payment_id"] + "-b", "amount": rest},
    ]
    folder = tmp_path_factory.mktemp("backtest")
    written = (folder / "ledger.csv", folder / "payments.csv")
    for path, lines in zip(written, (chosen, paid), strict=True):
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)
    return written


def _run(files: tuple[Path, Path], out: Path, *, consolidate: str = "off") -> dict[str, object]:
    ledger, payments = files
    command = [
        sys.executable, "starter.py", "backtest", "--ledger", str(ledger), "--payments", str(payments),
        "--strategy", "policies/strategies/invoice-reminders.yaml", "--rules", "off", "--consolidate", consolidate,
        "--out", str(out), "--json",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert isinstance(figures, dict)
    return figures


def test_the_part_of_the_data_holds_every_kind_of_invoice(files: tuple[Path, Path]) -> None:
    known = invoices(*files)
    assert len(known) == INVOICES
    assert any(one.overdue and one.disputed for one in known)
    assert any(one.overdue and one.paid_on is None and not one.disputed for one in known)
    assert any(not one.overdue for one in known)
    assert {len(one.contacts()) for one in known if not one.disputed} >= {0, 1, 2, 3, len(AGES)}


def test_a_backtest_makes_every_contact_it_must_and_no_other_and_the_same_file_twice(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    figures = _run(files, first)
    assert differences(*files, first) == []
    wanted = asdict(expected(*files))
    assert {name: figures[name] for name in wanted} == wanted
    assert figures["rows_left_out"] == 0
    _run(files, second)
    assert first.read_bytes() == second.read_bytes()


def test_consolidated_every_debtor_gets_one_message_on_each_day_on_which_an_account_is_due_one(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    ledger, payments = files
    rows = rows_of(ledger)
    together = tmp_path / "together.csv"
    with together.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for number, row in enumerate(rows):  # every second invoice falls due with the one before it
            before = rows[number - 1]
            same = number % 2 == 1 and before["debtor_id"] == row["debtor_id"]
            writer.writerow({**row, "due_date": before["due_date"]} if same else row)
    out = tmp_path / "sends.csv"
    figures = _run((together, payments), out, consolidate="on")
    assert consolidated_differences(together, payments, out) == []
    due = sum(len(one.contacts()) for one in invoices(together, payments))
    assert isinstance(figures["contacts"], int)
    assert figures["contacts"] < due
