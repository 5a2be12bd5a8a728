"""``strategy check`` names every mistake where it stands; ``strategy show`` prints dates that can be counted by hand."""

from pathlib import Path

import pytest

from cli.say import STRATEGIES
from tests.cli.conftest import Command

SHIPPED = sorted(STRATEGIES.glob("*.yaml"))


def test_what_is_shipped_is_right(command: Command) -> None:
    said = command("strategy", "check", *SHIPPED)
    assert (said.code, said.err, said.out.count("is right")) == (0, "", len(SHIPPED))


def test_every_mistake_of_every_file_is_named_with_file_and_line(command: Command, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "name: x\nversion: 0\nsteps:\n  - id: a\n    chanel: sms\n    start: {since: due}\n", encoding="utf-8"
    )
    said = command("strategy", "check", SHIPPED[0], bad, "--json")
    assert said.code == 1
    assert [one["name"] for one in said.json["good"]] == [SHIPPED[0].stem]
    assert [(one["file"], one["line"]) for one in said.json["mistakes"]] == [
        (str(bad), 2),
        (str(bad), 5),
    ]
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{bad}:") for line in lines)
    assert "did you mean 'channel'?" in said.err


def test_showing_a_strategy_with_mistakes_names_them_with_file_and_line(command: Command, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nversion: 1\nsteps: []\n", encoding="utf-8")
    said = command("strategy", "show", bad)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("bad.yaml:3:1: steps:")


def test_the_dates_of_the_invoice_ladder_are_those_one_counts_by_hand(command: Command) -> None:
    said = command("strategy", "show", STRATEGIES / "invoice-reminders.yaml", "--due-on", "2026-03-05", "--json")
    assert said.code == 0
    assert [(row["step"], row["by"], row["when"]) for row in said.json["steps"]] == [
        ("day-1", "email", "Fri 2026-03-06 09:00"),
        ("day-3", "email", "Sun 2026-03-08 09:00"),
        ("day-7", "email", "Thu 2026-03-12 09:00"),
        ("day-14", "email", "Thu 2026-03-19 09:00"),
        ("day-30", "email", "Sat 2026-04-04 09:00"),
    ]


def test_the_standard_ladder_keeps_to_its_weekdays_and_gaps(command: Command) -> None:
    said = command("strategy", "show", STRATEGIES / "standard.yaml", "--due-on", "2026-01-05", "--json")
    when = {row["step"]: row["when"] for row in said.json["steps"]}
    assert when["reminder-sms"] == "Thu 2026-01-08 09:00"
    assert when["second-sms"] == "Mon 2026-01-12 09:00"
    assert when["first-call"] == "Thu 2026-01-15 09:00"
    assert when["second-call"] == "Wed 2026-02-04 09:00"
    assert when["visit"] == "Thu 2026-02-19 10:00"
    assert when["legal-review"] == "Mon 2026-03-23 09:00"


def test_the_placed_ladder_waits_for_the_end_of_validation(command: Command) -> None:
    said = command(
        "strategy", "show", STRATEGIES / "us-third-party.yaml", "--due-on", "2025-06-01", "--placed-on", "2026-01-05", "--json"
    )  # fmt: skip
    when = {row["step"]: row["when"] for row in said.json["steps"]}
    assert when["validation-letter"] == "Tue 2026-01-06 09:00"
    assert when["first-letter"] == "Tue 2026-02-17 09:00", (
        "39 days after the letter, then a business day: not Presidents' Day"
    )


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_ladder_is_shown_as_a_table_and_as_json(command: Command, path: Path) -> None:
    table, data = command("strategy", "show", path), command("strategy", "show", path, "--json")
    assert table.code == data.code == 0
    assert data.json["name"] == path.stem
    assert all(row["step"] in table.out for row in data.json["steps"])
