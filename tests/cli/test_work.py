"""``work`` as an agent meets it: every command in words and as JSON, mistakes in one line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.settings import set_clock
from domain.clock import BusinessClock
from tests.activities.cases import AT, open_cases, row
from tests.cli.conftest import Command
from tests.desk.house import CALLS, call_item, staff

NOBODY = "127.0.0.1:9"
"""The discard port: no Temporal server answers there."""


@pytest.fixture
def items(monkeypatch: pytest.MonkeyPatch, database_url: str, engine: Engine, tmp_path: Path) -> list[str]:
    """Set up three calls to make; it is nine o'clock where the people live."""
    monkeypatch.setenv("DUNLIN_DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", NOBODY)
    staff(engine)
    rows = "".join(row(f"L{n}", f"K{n}", phone=f"+1312555010{n}") for n in range(1, 4))
    cases = open_cases(engine, tmp_path, rows, ladder=CALLS)
    with engine.begin() as connection:
        set_clock(connection, BusinessClock(kind="logical", origin=AT, epoch=datetime.now(UTC), speed=1.0))
    return [call_item(engine, case) for _, case in sorted(cases.items())]


def test_an_agents_morning(command: Command, items: list[str]) -> None:
    listed = command("work", "list", "--as", "ann", "--json").json
    assert [one["key"] for one in listed] == items
    assert "+1312" not in command("work", "list", "--as", "ann").out
    first = command("work", "next", "--as", "ann", "--json").json
    assert (first["item"]["key"], first["mine"], first["accounts"][0]["past_due"]) == (items[0], True, "100.00 USD")
    assert len(first["script"]) == 2
    assert "recorded" in command("work", "show", items[0], "--as", "ann").out
    assert "claim it to see more" in command("work", "show", items[0], "--as", "ben").out
    assert command("work", "renew", items[0], "--as", "ann").code == 0
    finish = ("work", "finish", items[0], "--disposition", "no_answer", "--reached", "no_one", "--as", "ann")
    assert "is finished as no_answer" in command(*finish).out
    assert "was finished as no_answer" in command(*finish).out
    assert command("work", "claim", items[1], "--as", "ben").code == 0
    assert command("work", "release", items[1], "--as", "ben").out == f"{items[1]} is released\n"
    assert command("work", "escalate", items[1], "--as", "eve").code == 0
    assert [one["key"] for one in command("work", "list", "--escalated", "--as", "eve", "--json").json] == [items[1]]
    assert command("work", "reassign", items[1], "--to", "ben", "--as", "eve").out == f"{items[1]} is given to ben\n"
    assert command("work", "next", "--as", "ben", "--json").json["item"]["key"] == items[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("claim", "W999999999", "--as", "ann"), "there is no such item"),
        (("next", "--kind", "dance", "--as", "ann"), "is not one of call"),
        (("next", "--as", "nobody"), "nobody is registered under this code"),
        (("next",), "say who acts"),
        (("reassign", "W000000001", "--as", "ann"), "may not reassign"),
        (("release", "W000000001", "--as", "ann"), "lease 0 is over"),
        (("finish", "W000000001", "--amount", "ten USD", "--as", "ann"), "write for example '120.50 USD'"),
        (("finish", "W000000001", "--data", "{", "--as", "ann"), "not JSON"),
        (("repair", "W000000001", "--zone", "Chicago", "--as", "ann"), "no IANA name"),
    ],
)
@pytest.mark.usefixtures("items")
def test_a_mistake_is_one_line_that_says_how_to_mend_it(
    command: Command, arguments: tuple[str, ...], says: str
) -> None:
    said = command("work", *arguments)
    assert (said.code, said.out) == (1, "")
    assert says in said.err
    assert said.err.count("\n") == 1
