"""People on the command line: the first admin, who acts, and what they may not."""

from pathlib import Path

import pytest

from cli.actors import roles_table
from cli.generated import with_block
from tests.cli.conftest import Command
from tests.cli.test_operations import HEAD, ROOT, ROW, database_only

__all__ = ["database_only"]


@pytest.mark.usefixtures("database_only")
def test_people_are_registered_by_an_admin_and_act_in_their_role(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("actor", "add", "ann", "--role", "agent").err == (
        "error: the first person is an admin, who then adds the others: actor add CODE --role admin\n"
    )
    assert command("actor", "add", "root", "--role", "admin").out == "root is admin\n"
    assert "say who acts" in command("actor", "add", "eve", "--role", "admin").err
    added = command("actor", "add", "ann", "--role", "agent", "--language", "es", "--region", "us-tx", "--as", "root")
    assert added.out == "ann is agent\n"
    assert command("actor", "add", "olga", "--role", "ops", "--as", "root").code == 0
    assert command("actor", "add", "x", "--role", "boss", "--as", "root").err.startswith("error: --role boss: is not")
    ledger = tmp_path / "l.csv"
    ledger.write_text(HEAD + ROW, encoding="utf-8")
    unnamed = command("import", "--ledger", ledger)
    assert (unnamed.code, unnamed.out) == (1, "")
    assert unnamed.err == "error: say who acts: --as CODE, or set DUNLIN_ACTOR; `actor list` shows who is registered\n"
    assert command("import", "--ledger", ledger, "--as", "ann").err == (
        "error: ann (agent) may not import; ops or system may\n"
    )
    monkeypatch.setenv("DUNLIN_ACTOR", "olga")
    assert command("import", "--ledger", ledger).out == "ledger: 1 of 1 rows taken\n"
    assert command("import", "--ledger", ledger, "--as", "ann").code == 1, "--as comes before DUNLIN_ACTOR"
    assert command("switch", "off", "channel", "sms", "--reason", "x", "--as", "ann").code == 1
    assert command("switch", "off", "channel", "sms", "--reason", "x").code == 0
    assert command("switch", "list", "--json").json[0]["off_by"] == "olga"
    found = command("actor", "list", "--json", "--as", "ann").json
    assert [(one["code"], one["role"], one["fit"]["regions"]) for one in found] == [
        ("ann", "agent", ["US-TX"]),
        ("olga", "ops", []),
        ("root", "admin", []),
    ]
    assert command("actor", "retire", "ann", "--as", "root").out == "ann is retired\n"
    assert command("actor", "list", "--as", "ann").err == "error: ann: is retired and acts no more\n"
    assert "root" in command("actor", "list").out
    assert command("approval", "list", "--json").json == []
    assert command("approval", "approve", "V000000001").err == (
        "error: V000000001: no such question; `approval list` shows the open ones\n"
    )


def test_the_documentation_shows_the_table_of_roles() -> None:
    path = ROOT / "docs" / "roles.md"
    text = path.read_text(encoding="utf-8")
    assert with_block(text, "roles", roles_table()) == text, "run: starter.py actor roles --update docs/roles.md"
