"""What operations does by hand, against a real house: every command works, in words and as JSON."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from db.intake import Order, import_file, untold_cases
from db.opening import mark_open, open_page
from db.settings import put_in_force
from domain.clock import BusinessClock
from domain.strategy_file import parse_strategy
from runtime.servers import Servers
from tests.cli.conftest import Command
from tests.workflows.conftest import LADDER, House, house

__all__ = ["house"]
ROOT = Path(__file__).resolve().parents[2]
NOW = datetime.now(UTC)
DUE = (NOW - timedelta(days=20)).date()
HEAD = "account_id,debtor_id,product,currency,amount,due_date,name,phone,timezone\n"
ROW = f"007,K1,loan,USD,100.00,{DUE},Ann Other,+13125550100,America/Chicago\n"
NOBODY = "127.0.0.1:9"
"""The discard port: no Temporal server answers there."""


@pytest.fixture
def database_only(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    """Set up an installation whose database answers and whose Temporal does not."""
    monkeypatch.setenv("DUNLIN_DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", NOBODY)


@pytest.mark.usefixtures("database_only")
def test_an_import_reports_in_words_and_as_json(command: Command, tmp_path: Path) -> None:
    ledger, payments = tmp_path / "l.csv", tmp_path / "p.csv"
    ledger.write_text(f"{HEAD}{ROW}x,K2,loan,USD,oops,{DUE},Ann Other,+13125550101,America/Chicago\n", encoding="utf-8")
    payments.write_text("payment_id,account_id,amount,currency,paid_on\nP1,nope,5,USD,2026-01-01\n", encoding="utf-8")
    words = command("import", "--ledger", ledger, "--payments", payments)
    assert words.code == 1, "a row was left out"
    assert words.out == "ledger: 1 of 2 rows taken\npayments: 1 of 1 rows taken\n"
    assert words.err.splitlines() == [
        "l.csv:3: amount: not a plain number; write for example 1234.50, without thousands separators (row left out)",
        "p.csv:2: account_id: is not known (kept in suspense)",
    ]
    data = command("import", "--ledger", ledger, "--payments", payments, "--json")
    assert [(one["kind"], one["rows"], one["taken"], one["totals"]) for one in data.json] == [
        ("ledger", 2, 1, {"USD": 10_000}),
        ("payments", 1, 1, {"USD": 500}),
    ]
    assert data.json[0]["mistakes"][0]["line"] == 3
    assert data.code == 1


@pytest.mark.usefixtures("database_only")
def test_an_import_without_mistakes_succeeds_and_a_refused_one_says_every_row(command: Command, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(HEAD + ROW, encoding="utf-8")
    bad.write_text(HEAD + ROW.replace("100.00", "x") * 2, encoding="utf-8")
    assert command("import", "--ledger", good, "--total", "USD=100.00", "--rows", "1").code == 0
    said = command("import", "--ledger", bad, "--strict")
    assert (said.code, said.out) == (1, "")
    assert [line.partition(": ")[0] for line in said.err.splitlines()] == ["bad.csv:2", "bad.csv:3", "error"]
    said = command("import", "--ledger", good, "--total", "USD=100.01")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "nothing imported" in said.err
    said = command("import", "--ledger", tmp_path / "gone.csv")
    assert (said.code, said.err) == (1, f"error: {tmp_path}/gone.csv: no such file\n")


@pytest.mark.usefixtures("database_only")
def test_recalls_and_charge_offs_are_files_like_the_others(command: Command, tmp_path: Path) -> None:
    ledger, ends = tmp_path / "l.csv", tmp_path / "e.csv"
    ledger.write_text(HEAD + ROW, encoding="utf-8")
    ends.write_text(f"account_id,reason,on\n007,client_request,{DUE}\nnobody,x,{DUE}\n", encoding="utf-8")
    assert command("import", "--ledger", ledger).code == 0
    said = command("import", "--chargeoffs", ends, "--recalls", ends)
    assert (said.code, said.out) == (1, "chargeoffs: 1 of 2 rows taken\nrecalls: 1 of 2 rows taken\n")
    assert said.err.splitlines() == ["e.csv:3: account_id: is not known (row left out)"] * 2


@pytest.mark.usefixtures("database_only")
def test_temporal_is_away_and_what_is_imported_is_said_and_told_later(
    command: Command, tmp_path: Path, house_of_one: House
) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"payment_id,account_id,amount,currency,paid_on\nP1,007,5,USD,{DUE}\n", encoding="utf-8")
    said = command("import", "--payments", path)
    assert said.code == 1
    assert said.out == "payments: 1 of 1 rows taken\n"
    assert said.err.count("\n") == 1
    assert "everything above is imported, but 1 open cases could not be told" in said.err
    assert list(untold_cases(house_of_one.engine).values()) == [("A000000001/1",)]
    for wrong in (("open",), ("case", "show", "007"), ("signal", "pause", "007", "--data", "{}")):
        answer = command(*wrong)
        assert (answer.code, answer.err.count("\n")) == (1, 1)
        assert "Temporal" in answer.err


@pytest.fixture
def house_of_one(engine: Any, tmp_path: Path) -> House:  # noqa: ANN401 - the test's own engine
    """Open one case whose workflow runs nowhere."""
    path = tmp_path / "l.csv"
    path.write_text(HEAD + ROW, encoding="utf-8")
    import_file(engine, Order("ledger", path, NOW))
    strategy = parse_strategy(LADDER, "t")
    with engine.begin() as connection:
        (digest,) = put_in_force(connection, [strategy], NOW)
    page = open_page(engine, as_of=NOW, strategies={digest: strategy}, clock=BusinessClock(), limit=9)
    mark_open(engine, [case.state.case_key for case in page.cases])
    return House(engine, None, None, tmp_path)  # type: ignore[arg-type]


@pytest.mark.usefixtures("database_only", "house_of_one")
def test_cases_are_found_by_our_key_and_the_lenders_number(command: Command) -> None:
    listed = command("case", "list", "--json").json
    assert [(one["key"], one["account"], one["strategy"]) for one in listed] == [("A000000001/1", "007", "test-ladder")]
    assert "A000000001/1" in command("case", "list").out
    assert command("case", "list", "--stage", "closed", "--json").json == []
    histories = [command("case", "history", key, "--json") for key in ("007", "A000000001", "A000000001/1")]
    assert {one.code for one in histories} == {0}
    assert histories[0].json == histories[1].json == histories[2].json
    assert [event["kind"] for event in histories[0].json] == ["opened"]
    assert "opened" in command("case", "history", "007").out
    said = command("case", "history", "7")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "7: no case with this key or account number" in said.err


@pytest.mark.usefixtures("house_of_one")
def test_a_number_of_several_creditors_must_be_said_by_our_key(
    command: Command, monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path, house_of_one: House
) -> None:
    monkeypatch.setenv("DUNLIN_DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", NOBODY)
    path = tmp_path / "other.csv"
    path.write_text(f"{HEAD.strip()},creditor_id\n{ROW.strip()},other\n", encoding="utf-8")
    import_file(house_of_one.engine, Order("ledger", path, NOW))
    strategy = parse_strategy(LADDER, "t")
    with house_of_one.engine.begin() as connection:
        (digest,) = put_in_force(connection, [strategy], NOW)
    open_page(house_of_one.engine, as_of=NOW, strategies={digest: strategy}, clock=BusinessClock(), limit=9)
    said = command("case", "history", "007")
    assert said.code == 1
    assert "several creditors use this number; name one of A000000001/1, A000000002/1" in said.err


@pytest.mark.parametrize("url", ["postgresql://nobody:secret@127.0.0.1:9/nothing"])
def test_a_database_that_does_not_answer_is_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DUNLIN_DATABASE_URL", url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", NOBODY)
    said = command("case", "list")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "the database does not answer" in said.err
    assert "secret" not in said.err


async def test_the_commands_of_a_day_as_processes_against_a_running_house(
    house: House, database_url: str, temporal_server: Servers, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "DUNLIN_DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": temporal_server.temporal_address,
        "TEMPORAL_NAMESPACE": temporal_server.namespace,
        "DUNLIN_STATE_DIR": str(tmp_path / "state"),
    }

    async def command(*arguments: str, code: int = 0) -> Any:  # noqa: ANN401 - whatever a command prints
        process = await asyncio.create_subprocess_exec(
            sys.executable, "starter.py", *arguments, "--json", cwd=ROOT, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == code, err.decode()
        return json.loads(out) if out else err.decode()

    with house.engine.begin() as connection:
        put_in_force(connection, [house.strategy(LADDER)], NOW)
    ledger, payments = tmp_path / "l.csv", tmp_path / "p.csv"
    ledger.write_text(HEAD + ROW, encoding="utf-8")
    payments.write_text(f"payment_id,account_id,amount,currency,paid_on\nP1,007,100,USD,{DUE}\n", encoding="utf-8")
    assert (await command("import", "--ledger", str(ledger)))[0]["taken"] == 1
    assert await command("open") == {"opened": 1}
    assert await command("open") == {"opened": 0}
    assert (await command("case", "show", "007"))["past_due"] == 10_000
    sent = await command("signal", "pause", "007", "--data", "{}")
    assert (sent["sent"], sent["case"]) == ("pause", "A000000001/1")
    await house.until("SELECT count(*) = 1 FROM holds WHERE reason = 'paused'")
    assert (await command("import", "--payments", str(payments)))[0]["counts"]["payments"] == 1
    await house.until("SELECT count(*) = 1 FROM cases WHERE status = 'closed'")
    assert (await command("case", "list"))[0]["stage"] == "closed"
    refused = await command("signal", "pause", "007", "--data", "{}", code=1)
    assert "the case is closed" in refused
    assert untold_cases(house.engine) == {}
