"""``stop``: nothing is dispatched any more, of anybody or of one creditor, until a supervisor lifts it."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy import Engine

from cli.acting import As, acting
from cli.operations import AsJson, with_engine
from cli.say import UserError, out, plainly, print_json
from db.switches import Waiting
from desk import stops
from runtime.channels import rates_of
from settings import load_settings


class What(StrEnum):
    """What ``stop`` does."""

    ALL = "all"
    LIFT = "lift"
    SHOW = "show"


@plainly
def stop(
    what: Annotated[What | None, typer.Argument(help="all, lift or show; nothing together with --creditor.")] = None,
    creditor: Annotated[str | None, typer.Option(help="Only this creditor.")] = None,
    reason: Annotated[str, typer.Option(help="Why, in a few words; kept with the stop.")] = "",
    as_: As = None,
    as_json: AsJson = False,
) -> None:
    """Stop every dispatch at once; everything stays due. `stop lift` takes it up again: a supervisor's act."""
    if what is What.ALL and creditor is not None:
        raise UserError("stop: either all, or --creditor")
    if what is None and creditor is None:
        raise UserError("stop: say what: `stop all`, `stop --creditor CODE`, `stop lift` or `stop show`")
    match what:
        case What.SHOW:
            _show(with_engine(lambda engine: stops.due(engine, creditor)), as_json=as_json)
        case What.LIFT:
            _lift(creditor, as_, as_json=as_json)
        case _:
            if not reason:
                raise UserError("stop: say why, with --reason")
            _stop(creditor, reason, as_, as_json=as_json)


def _stop(creditor: str | None, reason: str, code: str | None, *, as_json: bool) -> None:
    def act(engine: Engine) -> bool:
        return stops.stop(engine, acting(engine, code), creditor, reason, datetime.now(UTC))

    changed = with_engine(act)
    whose = "everything" if creditor is None else f"everything of {creditor}"
    if as_json:
        print_json({"stopped": creditor or "*", "changed": changed})
    elif changed:
        out.print(f"{whose} is stopped; what was admitted before may still leave for ten seconds", highlight=False)
    else:
        out.print(f"{whose} was stopped already", highlight=False)


def _lift(creditor: str | None, code: str | None, *, as_json: bool) -> None:
    rates = {str(channel): rate for channel, rate in rates_of(load_settings()).items()}

    def act(engine: Engine) -> stops.Lifted:
        return stops.lift(engine, acting(engine, code), creditor, datetime.now(UTC), rates)

    lifted = with_engine(act)
    if as_json:
        print_json(asdict(lifted))
        return
    out.print("the stop is lifted; each contact passes its gate again")
    _show(lifted.due, as_json=False)
    if lifted.last_at is not None:
        out.print(f"the last of them may go from {lifted.last_at:%Y-%m-%d %H:%M:%S} UTC on", highlight=False)


def _show(due: Sequence[Waiting], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in due])
        return
    table = Table("creditor", "channel", "due", "oldest", title="put off by the stop")
    for one in due:
        table.add_row(one.creditor, one.channel, str(one.attempts), f"{one.oldest:%Y-%m-%d %H:%M}")
    out.print(table)
