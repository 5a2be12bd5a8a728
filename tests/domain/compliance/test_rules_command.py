"""`rules check` and `rules list`, as programs and people call them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.rules import app

RUN = CliRunner()


def check(text: str) -> Any:  # noqa: ANN401 - what the runner returns
    return RUN.invoke(app, ["check", "-"], input=text)


def test_one_object_gets_one_line(us_call: dict[str, Any]) -> None:
    for text in (json.dumps(us_call), json.dumps(us_call, indent=2)):
        result = check(text)
        assert result.exit_code == 0
        ruling = json.loads(result.output)
        assert ruling["decision"] == "allow"
        assert ruling["defer_until"] is None
        assert set(ruling) == {"decision", "defer_until", "rule_ids"}


def test_each_line_gets_a_line_from_a_file_too(tmp_path: Path, us_call: dict[str, Any]) -> None:
    night = {**us_call, "now": "2026-11-25T03:00:00Z"}
    file = tmp_path / "facts.jsonl"
    file.write_text(f"{json.dumps(us_call)}\n\n{json.dumps(night)}\n", encoding="utf-8")
    result = RUN.invoke(app, ["check", str(file)])
    decided = [json.loads(line) for line in result.output.splitlines()]
    assert [one["decision"] for one in decided] == ["allow", "defer"]
    assert decided[1]["defer_until"] == "2026-11-25T13:00:00Z"


def test_a_computed_day_is_printed_with_its_value(us_call: dict[str, Any]) -> None:
    question = {**us_call, "channel": "compute", "compute": "validation_period_end", "sent_on": "2026-09-04"}
    assert json.loads(check(json.dumps(question)).output)["value"] == "2026-10-14"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"now": "2026-11-24T17:00:00Z", "channel": "call"}\n{"now": 3}', "-:2: "),
        ('{"now": "2026-11-24T17:00:00Z", "channel": "call", "chanel": 1}', "unknown field 'chanel'"),
        ("", "no facts"),
        ("not json", "-:1: not a JSON object"),
    ],
)
def test_a_mistake_is_one_clear_line(text: str, said: str) -> None:
    result = check(text)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output + result.stderr


def test_files_that_are_not_there_are_said(tmp_path: Path) -> None:
    missing = RUN.invoke(app, ["check", str(tmp_path / "none.json")])
    no_rules = RUN.invoke(app, ["list", "--rules", str(tmp_path)])
    for result in (missing, no_rules):
        assert result.exit_code == 1
        assert "error:" in result.stderr


def test_the_list_shows_every_rule_and_what_it_rests_on() -> None:
    rows = json.loads(RUN.invoke(app, ["list", "--json"]).output)
    by_id = {row["id"]: row for row in rows}
    assert by_id["us.fed.call-7in7"]["citation"].startswith("12 CFR 1006.14")
    assert not by_id["uk.plan-pause"]["on"]
    assert RUN.invoke(app, ["list", "--pack", "house"]).exit_code == 0
    assert RUN.invoke(app, ["list", "--pack", "nowhere"]).exit_code == 1
