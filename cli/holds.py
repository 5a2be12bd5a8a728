"""``hold``: suspend outreach for a reason, let it last longer, lift it, and see what stands."""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.table import Table

from cli.acting import As, acting, business_now
from cli.generated import markdown, update
from cli.operations import AsJson, key_of, with_engine
from cli.say import UserError, out, plainly, print_json
from db.policies import hold_kinds
from desk import holds as desk
from desk.holds import Hold, Wanted
from domain.codes import HoldReason, HoldScope
from domain.hold_kinds import HoldKinds
from domain.roles import Act, who_may

K = TypeVar("K", HoldReason, HoldScope)
app = typer.Typer(no_args_is_help=True, help="Suspend outreach, and let it go on.")
Case = Annotated[str, typer.Argument(help="A case or account, ours or the lender's.")]
Key = Annotated[str, typer.Argument(help="The hold's key, from `hold list CASE`.")]
Until = Annotated[str | None, typer.Option(help="When it ends: 2026-04-01T00:00:00Z.")]


def instant(text: str | None, name: str = "--until") -> datetime | None:
    """Return an instant with a zone; UserError says how to write one."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise UserError(f"{name} {text}: is no instant with a zone; write for example 2026-04-01T00:00:00Z")
    return at


@app.command("kinds")
@plainly
def kinds(
    into: Annotated[Path | None, typer.Option("--update", help="Write the table into this document.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the catalogue: how long each kind may last, who lifts it, when a person looks at it."""
    catalogue = hold_kinds()
    if into is not None:
        changed = update(into, "holds", holds_table(catalogue))
        out.print(f"{into} is changed" if changed else f"{into} is right", highlight=False)
        return
    if as_json:
        print_json(catalogue.model_dump(mode="json")["kinds"])
        return
    table = Table()
    for column in ("kind", "means", "longest", "review before its end", "review without one", "lifted by"):
        table.add_column(column)
    for reason, kind in catalogue.kinds.items():
        lifted = who_may(Act.RELEASE_PROTECTED if kind.protects else Act.RELEASE)
        longest = "an event ends it" if kind.longest == "event" else f"{kind.longest} days"
        before = "" if kind.review_before is None else f"{kind.review_before} days"
        table.add_row(reason, kind.means, longest, before, f"every {kind.review_every} days", lifted)
    out.print(table)


def holds_table(kinds: HoldKinds) -> str:
    """Return the catalogue as Markdown: how long, who lifts it, when it is looked at, what ends it."""
    rows = []
    for reason, kind in kinds.kinds.items():
        longest = "until an event" if kind.longest == "event" else f"{kind.longest} days"
        before = "" if kind.review_before is None else f"{kind.review_before} days before its end; "
        lifted = who_may(Act.RELEASE_PROTECTED if kind.protects else Act.RELEASE)
        ended_by = ", ".join(f"`{one}`" if " " not in one else one for one in kind.ended_by)
        items = "taken back" if kind.withdraws else "stay"
        looked_at = f"{before}without an end, every {kind.review_every} days"
        rows.append([f"`{reason}`", kind.means, longest, items, looked_at, lifted, ended_by])
    head = ["kind", "means", "longest", "open calls, visits", "a person looks at it", "lifted by", "also ended by"]
    return markdown(head, rows)


@app.command("list")
@plainly
def list_holds(
    case: Case,
    past: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Show the holds that stand over a case."""
    found = with_engine(
        lambda engine: desk.holds(engine, acting(engine, by), key_of(engine, case), business_now(engine), past=past)
    )
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table()
    for column in ("key", "reason", "scope", "from", "until", "review", "by", "released"):
        table.add_column(column)
    for one in found:
        table.add_row(
            one.key, one.reason, one.scope, _at(one.from_at), _at(one.until_at), _at(one.review_at), one.placed_by,
            _at(one.released_at),
        )  # fmt: skip
    out.print(table)


@app.command("place")
@plainly
def place(
    case: Case,
    reason: Annotated[str, typer.Option(help="A kind of `hold kinds`.")],
    until: Until = None,
    scope: Annotated[str, typer.Option(help="account, debtor, part, channel or number.")] = "account",
    channel: Annotated[str | None, typer.Option(help="With scope channel.")] = None,
    contact_point: Annotated[str | None, typer.Option(help="With scope number: its key.")] = None,
    part_amount: Annotated[int | None, typer.Option(help="With scope part: minor units.")] = None,
    note: Annotated[str | None, typer.Option(help="Reference of a note.")] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Suspend outreach for a reason."""
    wanted = Wanted(
        reason=_one_of(HoldReason, reason, "--reason"),
        scope=_one_of(HoldScope, scope, "--scope"),
        until=instant(until),
        channel=channel,
        contact_point=contact_point,
        part_amount=part_amount,
        note_ref=note,
    )
    held = with_engine(
        lambda engine: desk.place(engine, acting(engine, by), key_of(engine, case), wanted, business_now(engine))
    )
    _say(held, "placed", as_json=as_json)


@app.command("extend")
@plainly
def extend(key: Key, until: Annotated[str, typer.Option()], by: As = None, as_json: AsJson = False) -> None:
    """Let a hold last longer."""
    later = instant(until)
    if later is None:
        raise UserError("--until: name an instant")
    held = with_engine(lambda engine: desk.extend(engine, acting(engine, by), key, later, business_now(engine)))
    _say(held, "extended", as_json=as_json)


@app.command("release")
@plainly
def release(key: Key, by: As = None, as_json: AsJson = False) -> None:
    """Lift a hold."""
    held = with_engine(lambda engine: desk.release(engine, acting(engine, by), key, business_now(engine)))
    _say(held, "released", as_json=as_json)


def _say(held: Hold, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(held))
        return
    end = "until an event ends it" if held.until_at is None else f"until {_at(held.until_at)} UTC"
    out.print(f"hold {held.key} ({held.reason}, {held.scope}) is {what}, {end}", highlight=False)


def _at(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _one_of(kind: type[K], text: str, name: str) -> K:
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"{name} {text}: is not one of {', '.join(kind)}") from None
