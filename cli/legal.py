"""``legal``: put a case forward, approve or return it as a second person, announce, file, and record what follows."""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.acting import As, acting, business_now
from cli.generated import markdown, update
from cli.operations import AsJson, key_of, with_engine
from cli.say import UserError, out, plainly, print_json
from db.policies import legal_policy
from desk import legal as desk
from desk.legal import ACTS, MatterView
from domain.codes import LegalStage
from domain.legal import LegalPolicy
from domain.money import format_amount
from domain.roles import Act, who_may

app = typer.Typer(no_args_is_help=True, help="Legal action, stage by stage.")
Case = Annotated[str, typer.Argument(help="A case or account, ours or the lender's.")]
Document = Annotated[str | None, typer.Option(help="Reference of the document.")]
Note = Annotated[str | None, typer.Option(help="Reference of a note.")]
Day = Annotated[
    datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="The day it happened; default: today.")
]
Cost = Annotated[int | None, typer.Option(help="What it cost: minor units of the account's currency.")]
Reason = Annotated[str, typer.Option(help="A code that says why: no_papers, too_small.")]


@app.command("review")
@plainly
def review(
    case: Case,
    limitation: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="First day on which a claim would come too late.")
    ],
    note: Note = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Put a case forward for legal action; a second person decides."""
    _record(case, LegalStage.REVIEW, by, as_json=as_json, limitation_on=limitation.date(), note_ref=note)


@app.command("approve")
@plainly
def approve(case: Case, note: Note = None, by: As = None, as_json: AsJson = False) -> None:
    """Approve it, as somebody who did not put it forward; refused while anything else is left to attempt."""
    _record(case, LegalStage.APPROVED, by, as_json=as_json, note_ref=note)


@app.command("return")
@plainly
def return_(case: Case, reason: Reason, note: Note = None, by: As = None, as_json: AsJson = False) -> None:
    """Return it: not like this. The case goes on as before."""
    _record(case, LegalStage.RETURNED, by, as_json=as_json, reason=reason, note_ref=note)


@app.command("notice")
@plainly
def notice(
    case: Case, on: Day = None, document: Document = None, note: Note = None, by: As = None, as_json: AsJson = False
) -> None:
    """Record that the notice before action was sent: its period begins. Default: the last one that we sent."""
    _record(case, LegalStage.NOTICE, by, as_json=as_json, on_day=_day(on), document_ref=document, note_ref=note)


@app.command("file")
@plainly
def file(
    case: Case, on: Day = None, document: Document = None, cost: Cost = None, by: As = None, as_json: AsJson = False
) -> None:
    """Record that the claim was filed: after approval and notice, before it is time-barred."""
    given = {"on_day": _day(on), "document_ref": document, "cost": cost}
    _record(case, LegalStage.FILED, by, as_json=as_json, **given)


@app.command("stage")
@plainly
def stage(
    case: Case,
    name: Annotated[str, typer.Argument(help="asset_preservation, hearing, judgment, enforcement or withdrawn.")],
    on: Day = None,
    document: Document = None,
    cost: Cost = None,
    reason: Annotated[str | None, typer.Option(help="With withdrawn: a code that says why.")] = None,
    note: Note = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Record what the court or counsel did next."""
    try:
        wanted = LegalStage(name)
    except ValueError:
        raise UserError(f"{name}: is not one of {', '.join(LegalStage)}") from None
    given = {"on_day": _day(on), "document_ref": document, "cost": cost, "reason": reason, "note_ref": note}
    _record(case, wanted, by, as_json=as_json, **given)


@app.command("charge")
@plainly
def charge(
    case: Case,
    no: Annotated[int, typer.Option("--stage", help="Number of the stage, from `legal show`.")],
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Put the cost of one stage into the ledger as a fee; nothing does that by itself."""
    amount = with_engine(
        lambda engine: desk.charge(engine, acting(engine, by), key_of(engine, case), no, business_now(engine))
    )
    print_json({"charged": amount}) if as_json else out.print(f"{amount} (minor units) is charged", highlight=False)


@app.command("show")
@plainly
def show(case: Case, by: As = None, as_json: AsJson = False) -> None:
    """Show the legal matters of a case's debt, stage by stage."""
    found = with_engine(
        lambda engine: desk.matters(engine, acting(engine, by), key_of(engine, case), business_now(engine))
    )
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        out.print("no legal matter")
    for one in found:
        _print(one)


@app.command("stages")
@plainly
def stages(
    into: Annotated[Path | None, typer.Option("--update", help="Write the table into this document.")] = None,
) -> None:
    """Show the stages: what must come before each, who records it, which contact goes on."""
    table = legal_table(legal_policy())
    if into is None:
        typer.echo(table)
        return
    out.print(f"{into} is changed" if update(into, "legal", table) else f"{into} is right", highlight=False)


def legal_table(policy: LegalPolicy) -> str:
    """Return the stages as Markdown."""
    rows = []
    for name, rule in policy.stages.items():
        after = ", ".join("no matter" if one == "start" else f"`{one}`" for one in rule.after)
        contact = "as before" if rule.ends or not rule.bars else ", ".join(rule.outreach) or "none"
        rows.append([f"`{name}`", rule.means, after, who_may(ACTS.get(name, Act.RECORD_LEGAL)), contact])
    return markdown(["stage", "means", "comes after", "recorded by", "contact to collect by"], rows)


def _record(case: str, wanted: LegalStage, by: str | None, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - as an update has them
    view = with_engine(
        lambda engine: desk.record(
            engine, acting(engine, by), key_of(engine, case), wanted, business_now(engine), **given
        )
    )
    print_json(asdict(view)) if as_json else _print(view)


def _print(view: MatterView) -> None:
    out.print(f"matter {view.key} of case {view.case_key}: {view.stage.replace('_', ' ')}", highlight=False)
    out.print(
        f"  time-barred from {view.limitation_on}; asked by {view.asked_by}, approved by {view.approved_by or '-'}"
    )
    if view.notice_until is not None and view.filed_at is None:
        out.print(f"  the notice runs until {view.notice_until:%Y-%m-%d %H:%M} UTC")
    for one in view.missing:
        out.print(f"  still to attempt: {one}", markup=False)
    table = Table()
    for column in ("no", "stage", "on", "by", "document", "cost", "charged", "reason"):
        table.add_column(column)
    for step in view.stages:
        cost = "" if step.cost is None or step.currency is None else format_amount(step.cost, step.currency)
        table.add_row(
            str(step.no), step.stage, str(step.on_day), step.actor, step.document_ref or "", cost,
            "yes" if step.charged else "", step.reason or "",
        )  # fmt: skip
    out.print(table)


def _day(at: datetime | None) -> Any:  # noqa: ANN401 - a day or nothing
    return None if at is None else at.date()
