"""How commands speak: tables for people, JSON for programs, one line on stderr for a mistake."""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from sqlalchemy.exc import OperationalError

from db.intake_rows import IntakeError
from db.strategies import StrategyVersionError
from domain.strategy import Strategy
from domain.strategy_file import StrategyError, parse_strategy
from runtime.backtest import BacktestError
from runtime.client import NotRunning
from runtime.endpoints import StateFolderInUse
from runtime.process import ServerFailed
from settings import SettingsError

P = ParamSpec("P")
T = TypeVar("T")

out = Console()
err = Console(stderr=True, soft_wrap=True, highlight=False)

ROOT = Path(__file__).resolve().parent.parent
STRATEGIES = ROOT / "policies" / "strategies"
TEMPLATES = ROOT / "policies" / "templates"


class UserError(Exception):
    """A mistake of the user's: one line that says what, where and how to mend."""


EXPECTED = (
    UserError,
    IntakeError,
    StrategyVersionError,
    BacktestError,
    SettingsError,
    ServerFailed,
    StateFolderInUse,
    NotRunning,
)


def plainly(command: Callable[P, T]) -> Callable[P, T]:
    """Turn a user's mistake into lines on stderr and exit code 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except StrategyError as error:
            for mistake in error.mistakes:
                err.print(str(mistake), markup=False)
        except EXPECTED as error:
            err.print(f"error: {error}", markup=False)
        except OperationalError:
            err.print("error: the database does not answer; is `starter.py up` running, is DUNLIN_DATABASE_URL right?")
        raise typer.Exit(1)

    return wrapped


def print_json(value: object) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(value, default=str, ensure_ascii=False, indent=2))


def load_strategy(path: Path) -> Strategy:
    """Read a strategy file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path}: no readable strategy file; those shipped are in policies/strategies") from None
    return parse_strategy(text, path.name)


def shipped_strategies() -> list[Strategy]:
    """Return all strategies of ``policies/strategies``."""
    return [load_strategy(path) for path in sorted(STRATEGIES.glob("*.yaml"))]
