"""``rules check`` and ``rules list``: what the gate would say about facts, and what it goes by.

``check`` asks the same function that admits contacts.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from activities.rulebook import RuleBookUnreadableError, read_rulebook
from cli.say import ROOT, UserError, out, plainly, print_json
from domain.compliance import FactsError, Pack, Rule, RuleBook, decide, parse_facts

RULES = ROOT / "policies" / "rules"
LARGEST_INPUT = 67_108_864

app = typer.Typer(no_args_is_help=True, help="Ask the rules of contact, and list them.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--rules", help="Folder of rule packs.")]


@app.command()
@plainly
def check(
    file: Annotated[
        str, typer.Argument(help="A file of facts, or - for standard input: one JSON object, or one a line.")
    ],
    rules: Folder = RULES,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as always.")] = True,  # noqa: ARG001 - one form
) -> None:
    """Print decision, release and rule ids for each facts object, one JSON line each."""
    book = book_of(rules)
    for line, text in objects(_text_of(file)):
        try:
            facts = parse_facts(text)
        except FactsError as error:
            raise UserError(f"{file}:{line}: {error}; the fields are described in docs/rules.md") from None
        typer.echo(json.dumps(decide(facts, book).as_json(), ensure_ascii=False))


@app.command(name="list")
@plainly
def list_rules(
    pack: Annotated[str | None, typer.Option("--pack", help="Only this pack.")] = None,
    rules: Folder = RULES,
    as_json: AsJson = False,
) -> None:
    """List every rule by pack, with citation, evidence and status."""
    book = book_of(rules)
    if pack is not None and pack not in book.packs:
        raise UserError(f"--pack {pack}: no such pack; there are {', '.join(sorted(book.packs))}")
    chosen = [one for name, one in sorted(book.packs.items()) if pack in {None, name}]
    if as_json:
        print_json([_row(one, rule) for one in chosen for rule in one.rules])
        return
    for one in chosen:
        out.print(_table(one))


def book_of(folder: Path) -> RuleBook:
    """Return the rule book of a folder, or say in a line what is wrong with it."""
    try:
        return read_rulebook(folder)
    except RuleBookUnreadableError as error:
        raise UserError(str(error)) from None


def objects(text: str) -> list[tuple[int, str]]:
    """Return the JSON objects of a text, each with the line it begins at: one for the whole text, or one a line."""
    stripped = text.strip()
    if not stripped:
        raise UserError("no facts; give one JSON object, or one a line")
    first = text[: len(text) - len(text.lstrip())].count("\n") + 1
    if "\n" not in stripped or _is_one(stripped):
        return [(first, stripped)]
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _is_one(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return not text.partition("\n")[0].rstrip().endswith("}")
    return True


def _text_of(file: str) -> str:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{file}: no readable file of facts in UTF-8") from None
    if len(text) > LARGEST_INPUT:
        raise UserError(f"{file}: too long; at most {LARGEST_INPUT} characters")
    return text


def _row(pack: Pack, rule: Rule) -> dict[str, object]:
    since, to = rule.effective.since, rule.effective.to
    return {
        "pack": pack.pack,
        "id": rule.id,
        "title": rule.title,
        "citation": rule.citation,
        "authority": rule.authority,
        "modality": rule.modality,
        "evidence": rule.evidence,
        "status": rule.status,
        "on": rule.on,
        "kept_by": "gate" if rule.outside_gate is None else rule.outside_gate,
        "effective_from": None if since is None else since.isoformat(),
        "effective_to": None if to is None else to.isoformat(),
    }


def _table(pack: Pack) -> Table:
    signed = "not signed off" if pack.sign_off.on is None else f"signed off {pack.sign_off.on}"
    table = Table(title=f"{pack.pack}: {pack.title} ({signed}, by {pack.sign_off.by})", title_justify="left")
    for name in ("rule", "what", "citation", "evidence", "status"):
        table.add_column(name, no_wrap=name in {"rule", "status"})
    for rule in pack.rules:
        status = rule.status.replace("_", " ") + ("" if rule.on else ", off")
        table.add_row(rule.id, rule.title, rule.citation, rule.evidence, status)
    return table
