"""Plans on the command line: offered for what a debtor can pay, agreed with the case, approved by somebody else, ended."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runtime.servers import Servers
from tests.cli.conftest import Command
from tests.workflows.conftest import House, house

__all__ = ["house"]


def test_the_policies_that_are_shipped_are_right_and_mistakes_are_named_by_line(
    command: Command, tmp_path: Path
) -> None:
    assert command("plan", "check").code == 0
    wrong = tmp_path / "plans.yaml"
    wrong.write_text("version: 1\npolicies:\n  - name: a\n    kind: gift\n    colour: red\n", encoding="utf-8")
    said = command("plan", "check", wrong)
    assert said.code == 1
    assert f"{wrong}:4:" in said.err
    assert f"{wrong}:5:" in said.err
    assert "'colour'" in said.err
    assert command("plan", "check", tmp_path / "none.yaml").err.startswith("error: ")


async def test_from_an_offer_to_its_end(
    house: House, temporal_server: Servers, command: Command, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("DUNLIN_DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal_server.temporal_address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", temporal_server.namespace)
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now)

    said = await asyncio.to_thread(
        command, "plan", "offer", "L1", "--monthly", "40.00", "--income", "wages=900", "--json"
    )
    offered = said.json
    assert [one["policy"] for one in offered["offers"]] == ["deferral", "instalments"]
    assert [line["amount"] for line in offered["offers"][1]["proposal"]["lines"]] == [3_334, 3_333, 3_333]
    first = (now + timedelta(days=9)).date().isoformat()
    agreed = await asyncio.to_thread(
        command, "plan", "agree", "L1", "--kind", "instalments", "--lines", "3", "--first", first,
        "--statement", offered["statement"], "--event-id", "cli/1",
    )  # fmt: skip
    assert (agreed.code, agreed.out) == (0, "R000000001 is active\n"), agreed.err
    again = await asyncio.to_thread(
        command, "plan", "agree", "L1", "--kind", "instalments", "--lines", "3", "--first", first, "--event-id", "cli/1"
    )
    assert again.out == "R000000001 is active\n"
    other = await asyncio.to_thread(command, "plan", "agree", "L1", "--kind", "promise", "--first", first)
    assert other.err == (
        "error: A000000001/1: not agreed (stands_already): R000000001 stands; renegotiate it or cancel it first\n"
    )
    shown = (await asyncio.to_thread(command, "plan", "show", "L1", "--json")).json
    assert [(one["key"], one["status"], len(one["stands"]["lines"])) for one in shown] == [("R000000001", "active", 3)]
    assert house.rows("SELECT statement_key FROM arrangements") == [(offered["statement"],)]
    renegotiated = await asyncio.to_thread(
        command, "plan", "renegotiate", "L1", "--kind", "instalments", "--lines", "2", "--first", first
    )
    assert renegotiated.out == "R000000002 is active\n", renegotiated.err
    assert (await asyncio.to_thread(command, "plan", "cancel", "R000000002")).out == "R000000002 is cancelled\n"
    late = await asyncio.to_thread(command, "plan", "cancel", "R000000002")
    assert late.err == "error: R000000002: has ended already; `plan show` says how\n"
    await handle.terminate()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("offer", "L1", "--monthly", "lots"), "--monthly lots"),
        (("offer", "nobody", "--monthly", "5"), "no case"),
        (("agree", "L1", "--kind", "promise", "--every", "year"), "--every year"),
        (("agree", "L1", "--kind", "promise", "--line", "tomorrow"), "--line tomorrow"),
        (("agree", "L1", "--kind", "settlement", "--amount", "60.00"), "discount"),
        (("cancel", "R999"), "no arrangement"),
    ],
)
async def test_a_mistake_is_one_line(
    house: House, command: Command, monkeypatch: pytest.MonkeyPatch, database_url: str, temporal_server: Servers,
    arguments: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("DUNLIN_DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal_server.temporal_address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", temporal_server.namespace)
    now = datetime.now(UTC)
    house.one_account((now - timedelta(days=20)).date())
    handle = await house.open(now)
    answer = await asyncio.to_thread(command, "plan", *arguments)
    await handle.terminate()
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1), answer
    assert said in answer.err
