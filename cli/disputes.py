"""``dispute``: open one, put a document forward, answer it, and see what became of it."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy import Engine

from cli.acting import As, acting, business_now
from cli.operations import AsJson, key_of, with_engine
from cli.say import UserError, out, plainly, print_json
from desk import disputes as desk
from desk.case_of import read_case_of
from domain.money import format_amount

app = typer.Typer(no_args_is_help=True, help="Disputes: opened, evidence, answered.")
Case = Annotated[str, typer.Argument(help="A case or account, ours or the lender's.")]
Which = Annotated[str | None, typer.Option(help="Which dispute; needed when several stand.")]
Note = Annotated[str | None, typer.Option(help="Reference of a note.")]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hex; the file is read and kept nowhere."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


@app.command("open")
@plainly
def open_(
    case: Case,
    form: Annotated[str, typer.Option(help="How we were told: oral, letter, email, portal, sms.")],
    part_amount: Annotated[int | None, typer.Option(help="Only this much is disputed: minor units.")] = None,
    note: Note = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Open a dispute of the debt, or of a part of it."""

    def act(engine: Engine) -> str:
        at = business_now(engine)
        who, key = acting(engine, by), key_of(engine, case)
        given = {"form": form, "part_amount": part_amount, "note_ref": note}
        return desk.open_dispute(engine, who, key, at, given)

    key = with_engine(act)
    print_json({"dispute": key}) if as_json else out.print(f"dispute {key} is open", highlight=False)


@app.command("evidence")
@plainly
def evidence(
    case: Case,
    document: Annotated[str, typer.Option(help="Reference of the document where it is kept.")],
    file: Annotated[Path | None, typer.Option(help="The file, to be hashed here.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Its SHA-256, where the file is elsewhere.")] = None,
    given_by: Annotated[str, typer.Option(help="debtor, creditor, collector or other.")] = "debtor",
    dispute: Which = None,
    note: Note = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Put a document forward: its reference and its hash are kept, the file is not."""
    if (file is None) == (sha256 is None):
        raise UserError("dispute evidence: name the file or its --sha256")
    digest = sha256 if file is None else file_hash(file)

    def act(engine: Engine) -> bool:
        who, key, at = acting(engine, by), key_of(engine, case), business_now(engine)
        given = {"document_ref": document, "sha256": digest, "given_by": given_by, "dispute": dispute, "note_ref": note}
        return desk.put_forward(engine, who, key, at, given)

    with_engine(act)
    print_json({"document": document, "sha256": digest}) if as_json else out.print(
        f"{document} is put forward", highlight=False
    )


@app.command("answer")
@plainly
def answer(
    case: Case,
    result: Annotated[str, typer.Option(help="upheld, upheld_in_part or rejected.")],
    amount: Annotated[int | None, typer.Option(help="What is upheld in part: minor units.")] = None,
    document: Annotated[str | None, typer.Option(help="Reference of the answer as it was sent.")] = None,
    dispute: Which = None,
    note: Note = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Decide a dispute: what is upheld is taken off the debt, the rest is collected again."""

    def act(engine: Engine) -> dict[str, object]:
        who, key, at = acting(engine, by), key_of(engine, case), business_now(engine)
        with engine.connect() as connection:
            currency = read_case_of(connection, key).currency
        given = {
            "result": result, "upheld_amount": amount, "currency": None if amount is None else currency,
            "document_ref": document, "dispute": dispute, "note_ref": note,
        }  # fmt: skip
        return asdict(desk.answer_dispute(engine, who, key, at, given))

    said = with_engine(act)
    if as_json:
        print_json(said)
        return
    upheld = format_amount(int(str(said["upheld"])), str(said["currency"]))
    out.print(f"dispute {said['dispute']} is {said['result']}: {upheld} is taken off the debt", highlight=False)


@app.command("show")
@plainly
def show(case: Case, by: As = None, as_json: AsJson = False) -> None:
    """Show the disputes of an account: what is disputed, what was put forward, how each was answered."""
    found = with_engine(lambda engine: desk.disputes(engine, acting(engine, by), key_of(engine, case)))
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table()
    for column in ("dispute", "at", "what", "by", "document", "amounts"):
        table.add_column(column)
    for one in found:
        part = "all" if one.part_amount is None else str(one.part_amount)
        table.add_row(one.key, f"{one.opened_at:%F %H:%M}", "opened", "", "", part)
        for act in one.acts:
            amounts = "" if act.result is None else f"{act.upheld_amount} of {act.disputed_amount} {act.currency}"
            what = act.kind if act.result is None else act.result.replace("_", " ")
            table.add_row("", f"{act.at:%F %H:%M}", what, act.given_by or act.actor, act.document_ref or "", amounts)
    out.print(table)
