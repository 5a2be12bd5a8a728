"""``switch``: stop a channel, a template or a creditor within a second, and let it go on."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy import Engine

from cli.acting import As, acting
from cli.operations import AsJson, with_engine
from cli.say import UserError, out, plainly, print_json
from db.settings import read_clock
from db.signals import tell
from db.switches import SCOPES, Scope, Switch, list_switches, release, switch_off, switch_on
from domain.codes import Channel
from domain.roles import SYSTEM, Act
from runtime.channels import rates_of
from settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Stop and start what is sent.")
By = Annotated[str, typer.Option(help="Who does it, while nobody is registered.")]
ScopeName = Annotated[str, typer.Argument(help="channel, template or creditor.")]
Name = Annotated[str, typer.Argument(help="Which one: sms, payment-reminder, a creditor's code.")]


def _scope(text: str, name: str) -> Scope:
    scope = next((one for one in SCOPES if one == text), None)
    if scope is None:
        raise UserError(f"{text}: is not one of {', '.join(SCOPES)}")
    if scope == "channel" and name not in {str(one) for one in Channel}:
        raise UserError(f"{name}: is not one of {', '.join(Channel)}")
    return scope


@app.command("off")
@plainly
def off(
    scope: ScopeName,
    name: Name,
    reason: Annotated[str, typer.Option(help="Why, in a few words; kept with the switch.")],
    by: By = "operations",
    who: As = None,
    as_json: AsJson = False,
) -> None:
    """Stop: nothing of it is dispatched from here on, and everything stays due."""
    what = _scope(scope, name)

    def act(engine: Engine) -> bool:
        name_of = _named(engine, who, by)
        with engine.begin() as connection:
            if what == "creditor":
                _known_creditor(engine, name)
            return switch_off(connection, what, name, reason=reason, by=name_of, at=datetime.now(UTC))

    _said(scope, name, "off", changed=with_engine(act), as_json=as_json)


@app.command("on")
@plainly
def on(scope: ScopeName, name: Name, by: By = "operations", who: As = None, as_json: AsJson = False) -> None:
    """Go on: what was put off by the switch is taken up now, at its channel's rate, each after its own gate."""
    what = _scope(scope, name)
    rates = {str(channel): rate for channel, rate in rates_of(load_settings()).items()}

    def act(engine: Engine) -> bool:
        now, name_of = datetime.now(UTC), _named(engine, who, by)
        with engine.begin() as connection:
            if not switch_on(connection, what, name, by=name_of, at=now):
                return False
            clock = read_clock(connection)
            at = clock.business(now)
            for case_key, attempt_key in release(connection, what, name, at, rates):
                body = {"event_id": f"switch/{now:%Y%m%dT%H%M%S.%f}/{attempt_key}", "attempt": attempt_key}
                tell(connection, [case_key], "attempt_updated", body, at, logical=clock.is_logical)
        return True

    _said(scope, name, "on", changed=with_engine(act), as_json=as_json)


@app.command("list")
@plainly
def show(
    past: Annotated[bool, typer.Option("--all", help="Also what was off before.")] = False, as_json: AsJson = False
) -> None:
    """Show what is off."""

    def act(engine: Engine) -> list[Switch]:
        with engine.connect() as connection:
            return list(list_switches(connection, past=past))

    found = with_engine(act)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table()
    for column in ("scope", "name", "reason", "off by", "off at", "on by", "on at"):
        table.add_column(column)
    for one in found:
        ended = "" if one.on_at is None else f"{one.on_at:%Y-%m-%d %H:%M}"
        begun = f"{one.off_at:%Y-%m-%d %H:%M}"
        table.add_row(one.scope, one.name, one.reason, one.off_by, begun, one.on_by or "", ended)
    out.print(table)


def _named(engine: Engine, code: str | None, by: str) -> str:
    """Return who does it, once somebody is registered: who acts, in a role that may."""
    acts = acting(engine, code, Act.SWITCH)
    return by if acts == SYSTEM else acts.actor


def _known_creditor(engine: Engine, code: str) -> None:
    with engine.connect() as connection:
        if connection.exec_driver_sql("SELECT 1 FROM creditors WHERE code = %s", (code,)).one_or_none() is None:
            raise UserError(f"{code}: no creditor has this code")


def _said(scope: str, name: str, state: str, *, changed: bool, as_json: bool) -> None:
    if as_json:
        print_json({"scope": scope, "name": name, "state": state, "changed": changed})
    else:
        out.print(f"{scope} {name} is {state}" if changed else f"{scope} {name} was {state} already", highlight=False)
