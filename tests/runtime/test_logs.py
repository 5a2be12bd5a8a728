"""Promise P8 for logs: one JSON object a line, and never the text of an error."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from runtime.logs import configure


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    for name in ("temporalio.workflow", "temporalio.activity"):
        logging.getLogger(name).setLevel(logging.INFO)


def _refuse() -> None:
    try:
        int("Jane Roe, +44 20 7946 0000")
    except ValueError as error:
        raise RuntimeError("jane@example.invalid") from error


def test_an_error_is_logged_by_kind_and_place_never_by_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO")
    for complain in (
        structlog.get_logger("ours").exception,
        logging.getLogger("temporalio.activity").exception,
    ):
        try:
            _refuse()
        except RuntimeError:
            complain("attempt failed")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["attempt failed", "attempt failed"]
    for line in lines:
        assert line["error"] == ["RuntimeError", "ValueError"]
        assert line["at"][-1].endswith("_refuse")
        assert "jane" not in json.dumps(line).lower()
        assert "7946" not in json.dumps(line)


def test_the_chatter_of_the_sdk_is_quiet_and_ours_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO")
    logging.getLogger("temporalio.worker").info("polling")
    structlog.get_logger("ours").info("case opened", case="a/1")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["case"] == "a/1"
