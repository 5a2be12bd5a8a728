"""``templates check`` and ``templates show``: may these words be sent, and what do they look like?

``check`` judges as the worker does when it starts; nothing it says comes from a real message.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from activities.providers.call_script import SCRIPT, ScriptError, Scripts
from activities.template_files import TemplateFile
from activities.wording import Wording, WordingError
from cli.rules import RULES, book_of
from cli.say import TEMPLATES, UserError, err, out, plainly, print_json
from domain.message_text import beyond_gsm7, segments
from domain.wording_check import Rendered, TemplateMistake
from domain.wording_samples import Example

app = typer.Typer(no_args_is_help=True, help="Check and show message templates.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--templates", help="Folder of templates.")]
Rules = Annotated[Path, typer.Option("--rules", help="Folder of rule packs.")]


@app.command()
@plainly
def check(templates: Folder = TEMPLATES, rules: Rules = RULES, as_json: AsJson = False) -> None:
    """Judge every template; name every mistake with file, line and rule. Exit code 1 if there is one."""
    wording = _wording(templates, rules)
    mistakes = [*wording.mistakes, *_of_calls(templates, wording)]
    wrong = {one.file for one in mistakes}
    good = [file.piece.file for file in wording.templates if file.piece.file not in wrong]
    for one in mistakes:
        err.print(f"{templates}/{one}", markup=False)
    if as_json:
        print_json({"good": good, "mistakes": [asdict(one) for one in mistakes]})
    else:
        out.print(f"{len(good)} of {len(good) + len(wrong)} templates are right", highlight=False)
    if wrong or not good:
        raise typer.Exit(1)


@app.command()
@plainly
def show(
    name: Annotated[str, typer.Argument(help="A template, with or without its channel: payment-reminder.sms")],
    language: Annotated[str, typer.Option(help="Language, such as en or zh.")] = "en",
    first_party: Annotated[bool, typer.Option("--first-party", help="The creditor writes itself.")] = False,
    later: Annotated[bool, typer.Option("--later", help="Not the first message about the debt.")] = False,
    several: Annotated[bool, typer.Option("--several", help="About three accounts.")] = False,
    bare: Annotated[bool, typer.Option("--bare", help="Without anything that may be empty.")] = False,
    templates: Folder = TEMPLATES,
    rules: Rules = RULES,
    as_json: AsJson = False,
) -> None:
    """Print a template filled in with an example, how long it is, and what it has to disclose."""
    wording = _wording(templates, rules)
    chosen = [one for one in wording.templates if one.piece.language == language and _is_called(one, name)]
    if not chosen:
        there = sorted({one.template for one in wording.templates if one.piece.language == language})
        have = f"there are {', '.join(there)}" if there else f"there are none in '{language}'"
        raise UserError(f"{name}: no such template that can be read; {have}")
    shown = []
    for file in chosen:
        example = Example(language, several, _third_party(file, first_party=first_party), not later, bare)
        shown.append(_shown(wording, file, example))
    if as_json:
        print_json(shown)
        return
    for row in shown:
        _print(row)


def _wording(templates: Path, rules: Path) -> Wording:
    try:
        return Wording(templates, book_of(rules))
    except WordingError as error:
        raise UserError(f"{templates}: {error}") from None


def _of_calls(templates: Path, wording: Wording) -> list[TemplateMistake]:
    """Judge what automated calls leave on machines, where the folder has scripts for calls."""
    if not any(templates.glob(f"*/{SCRIPT}")):
        return []
    try:
        return Scripts(templates).mistakes(wording.judge)
    except ScriptError as error:
        file, _, what = str(error).partition(": ")
        return [TemplateMistake(file, 1, "wording.script", what)]


def _is_called(file: TemplateFile, name: str) -> bool:
    return name in {file.template, f"{file.template}.{file.piece.channel}", Path(file.piece.file).name}


def _third_party(file: TemplateFile, *, first_party: bool) -> bool:
    """Return for whom to show a template: what it is made for comes first."""
    made_for = file.piece.purpose.actor
    return not first_party if made_for is None else made_for == "third_party_collector"


def _shown(wording: Wording, file: TemplateFile, example: Example) -> dict[str, object]:
    mistakes = [str(one) for one in wording.mistakes if one.file == file.piece.file]
    row: dict[str, object] = {"file": file.piece.file, "example": str(example), "mistakes": mistakes}
    try:
        rendered: Rendered = wording.sample(file, example)
    except Exception as error:  # noqa: BLE001 - a mistake of the template; ``mistakes`` says where
        return row | {"text": "", "does_not_render": type(error).__name__}
    disclosures = {check.rule_id: check.title for check in wording.duties(file, example)}
    row |= {"text": rendered.text, "must_say": disclosures}
    if file.piece.channel == "sms":
        counted = segments(rendered.text)
        row |= {
            "encoding": counted.encoding,
            "units": counted.units,
            "segments": counted.count,
            "at_most": wording.languages.segments.of(len(example.accounts)),
            "beyond_gsm7": "".join(beyond_gsm7(rendered.text)),
        }
    return row


def _print(row: dict[str, object]) -> None:
    out.print(f"[bold]{row['file']}[/bold] ({row['example']})", highlight=False, soft_wrap=True)
    out.print(str(row["text"]), markup=False, highlight=False, soft_wrap=True)
    if "segments" in row:
        out.print(
            f"-- {row['segments']} segments of at most {row['at_most']}, {row['units']} units, {row['encoding']}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    duties = row.get("must_say")
    for rule_id, title in duties.items() if isinstance(duties, dict) else ():
        out.print(f"-- must say: {title} [{rule_id}]", markup=False, highlight=False, soft_wrap=True)
    mistakes = row["mistakes"]
    for mistake in mistakes if isinstance(mistakes, list) else ():
        out.print(f"-- refused: {mistake}", markup=False, highlight=False, soft_wrap=True)
    out.print()
