"""The command line as a person or a program meets it."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

import starter
from cli.say import run


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever a command prints
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run the command line in this process, with a state folder of its own in which nothing runs."""
    monkeypatch.setenv("DUNLIN_STATE_DIR", str(tmp_path / "state"))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    chatter = {name: logging.getLogger(name).level for name in list(logging.Logger.manager.loggerDict)}

    def act(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = run(starter.app, [str(one) for one in arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    yield act
    root.handlers[:], root.level = handlers, level
    for name, own in chatter.items():
        logging.getLogger(name).setLevel(own)
    structlog.reset_defaults()
