"""How commands speak: tables for people, JSON for programs, one line on stderr for a mistake."""

import json
import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from sqlalchemy.exc import DBAPIError
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError
from typer.exceptions import TyperException

from db.actors import ActorError
from db.approvals import ApprovalError
from db.intake_rows import IntakeError
from db.refusals import CannotBeError
from db.strategies import StrategyVersionError
from desk.moving import MovingError
from desk.queue import QueueError
from desk.stops import StopError
from domain.bulk import BulkError
from domain.plans import PlanError
from domain.roles import NotAllowedError
from domain.scope import ScopeError
from domain.strategy import Strategy
from domain.strategy_file import StrategyError, parse_strategy
from domain.work_policy import WorkPolicyError
from runtime.backtest import BacktestError
from runtime.client import NotRunning
from runtime.endpoints import StateFolderInUse
from runtime.process import ServerFailed
from runtime.scenario.stage import ScenarioError
from settings import SettingsError

MISTAKES_SHOWN = 50
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
    ActorError,
    ApprovalError,
    NotAllowedError,
    BulkError,
    PlanError,
    ScopeError,
    MovingError,
    StopError,
    QueueError,
    WorkPolicyError,
    ScenarioError,
    CannotBeError,
)


def plainly(command: Callable[P, T]) -> Callable[P, T]:
    """Turn whatever goes wrong into lines on stderr and exit code 1; a traceback only for who debugs."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except typer.Exit:
            raise
        except Exception as error:
            if os.environ.get("DUNLIN_LOG_LEVEL", "").upper() == "DEBUG":
                raise
            _explain(error)

    return wrapped


def _explain(error: Exception) -> NoReturn:
    """Say what went wrong. What a server or a library says is not repeated: it may quote a name or a number."""
    match error:
        case StrategyError():
            for mistake in error.mistakes:
                err.print(f"{error.source}:{mistake}", markup=False)
        case IntakeError():
            for row in error.mistakes[:MISTAKES_SHOWN]:
                err.print(str(row), markup=False)
            err.print(f"error: {error}", markup=False)
        case DBAPIError() if _has_refused(error):
            kind = type(error.orig).__name__
            err.print(f"error: the database refused ({kind}); nothing of this step is kept, its own log says more")
        case DBAPIError():
            err.print("error: the database does not answer; is `starter.py up` running, is DUNLIN_DATABASE_URL right?")
        case RPCError() | WorkflowFailureError():
            err.print("error: Temporal did not do it; is `starter.py up` running? Its web UI and log say more")
        case _ if isinstance(error, EXPECTED):
            err.print(f"error: {error}", markup=False)
        case OSError():
            err.print(f"error: {error.filename or 'a file'}: {error.strerror or type(error).__name__}", markup=False)
        case _:
            err.print(
                f"error: {type(error).__name__}: a mistake of this program; with DUNLIN_LOG_LEVEL=DEBUG it shows where"
            )
    raise typer.Exit(1)


def _has_refused(error: DBAPIError) -> bool:
    """Whether the database answered, and said no."""
    code = str(getattr(error.orig, "sqlstate", None) or "")
    return bool(code) and not code.startswith(("08", "57P"))


def run(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; a wrong argument is one line too."""
    try:
        command = typer.main.get_command(app)
        return int(command.main(arguments, prog_name="starter.py", standalone_mode=False) or 0)
    except TyperException as error:
        message = " ".join(error.format_message().split())
        path = getattr(getattr(error, "ctx", None), "command_path", "starter.py")
        if message:
            err.print(f"error: {message} (see `python {path} --help`)", markup=False)
        return error.exit_code
    except typer.Abort:
        err.print("stopped")
        return 130


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
