"""``actor``: who may act, in which role, and what they are fit for."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.acting import As, business_now, code_of
from cli.generated import markdown, update
from cli.operations import AsJson, with_engine
from cli.say import UserError, out, plainly, print_json
from db.actors import Fitness
from desk import actors as desk
from domain.roles import MAY, Act, Role, words

app = typer.Typer(no_args_is_help=True, help="Who may act: people and programs, with their roles.")
Code = Annotated[str, typer.Argument(help="Lower-case letters, digits and _.:/- such as ann or team/ann.")]


@app.command("add")
@plainly
def add(
    code: Code,
    role: Annotated[str, typer.Option(help="ops, agent, supervisor, auditor, admin or system.")],
    skill: Annotated[list[str] | None, typer.Option(help="legal, fraud, complaints ...; several times.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="As in the files: en, es; several times.")] = None,
    region: Annotated[list[str] | None, typer.Option(help="Where they may collect: US-TX; none: anywhere.")] = None,
    licence: Annotated[list[str] | None, typer.Option(help="Licences they hold; several times.")] = None,
    phone: Annotated[str | None, typer.Option(help="Where their own telephone rings: +1... or sip:...")] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Register somebody. The first person is an admin, added by nobody; all others are added by an admin."""
    what = next((one for one in Role if one == role), None)
    if what is None:
        raise UserError(f"--role {role}: is not one of {', '.join(Role)}")
    fit = Fitness(
        skills=tuple(sorted({one.lower() for one in skill or ()})),
        languages=tuple(sorted({one.lower() for one in language or ()})),
        regions=tuple(sorted({one.upper() for one in region or ()})),
        licences=tuple(sorted(set(licence or ()))),
        phone=phone,
    )
    new = with_engine(lambda engine: desk.add_actor(engine, code_of(by), code, what, fit, at=business_now(engine)))
    if as_json:
        print_json({"actor": code, "role": what, "changed": new})
    else:
        out.print(f"{code} is {what}" if new else f"{code} was {what} already", highlight=False)


@app.command("list")
@plainly
def show(
    retired: Annotated[bool, typer.Option("--all", help="Also who was.")] = False,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Show who is registered."""
    found = with_engine(lambda engine: desk.actors(engine, code_of(by), retired=retired))
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table()
    for column in ("code", "role", "skills", "languages", "regions", "licences", "retired"):
        table.add_column(column)
    for one in found:
        lists = (one.fit.skills, one.fit.languages, one.fit.regions, one.fit.licences)
        ended = "" if one.retired_at is None else f"{one.retired_at:%Y-%m-%d} by {one.retired_by}"
        table.add_row(one.code, one.role, *(", ".join(names) for names in lists), ended)
    out.print(table)


@app.command("retire")
@plainly
def retire(code: Code, by: As = None, as_json: AsJson = False) -> None:
    """Retire somebody: the code acts no more, and is never given to anybody else."""
    changed = with_engine(lambda engine: desk.retire_actor(engine, code_of(by), code, at=business_now(engine)))
    if as_json:
        print_json({"actor": code, "retired": True, "changed": changed})
    else:
        out.print(f"{code} is retired" if changed else f"{code} was retired already", highlight=False)


@app.command("roles")
@plainly
def roles(
    into: Annotated[Path | None, typer.Option("--update", help="Write the table into this document.")] = None,
) -> None:
    """Show which role may do what."""
    if into is None:
        typer.echo(roles_table())
    else:
        out.print(f"{into} is changed" if update(into, "roles", roles_table()) else f"{into} is right", highlight=False)


def roles_table() -> str:
    """Return the table of roles and acts as Markdown."""
    rows = [[words(act), *("x" if act in MAY[role] else "" for role in Role)] for act in Act]
    return markdown(["act", *Role], rows)
