"""``visit``: plan one, confirm what is demanded, set out past the gate, record what came of it, print the card."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from sqlalchemy import Engine

from activities.wording import Wording
from cli.acting import As, acting, business_now
from cli.disputes import file_hash
from cli.holds import instant
from cli.operations import AsJson, with_engine
from cli.say import TEMPLATES, UserError, out, plainly, print_json
from db.policies import visit_policy
from desk import visits as desk
from desk.visits import Made, Plan, Visit
from domain.calendar import known_zone, start_of_day
from runtime.desk import door_of

app = typer.Typer(no_args_is_help=True, help="Field visits, from the plan to the outcome.")
Key = Annotated[str, typer.Argument(help="The visit's key, from `visit list`.")]


@app.command("plan")
@plainly
def plan(
    item: Annotated[str, typer.Argument(help="A visit item of the queue.")],
    team: Annotated[str, typer.Option(help="Who goes.")],
    begins: Annotated[str, typer.Option("--from", help="Begin of the window: 2026-04-01T10:00:00+08:00.")],
    ends: Annotated[str, typer.Option("--to", help="End of the window.")],
    people: Annotated[int, typer.Option(help="How many go; the rules and the house say how many at least.")] = 2,
    area: Annotated[str | None, typer.Option(help="For the day's list; default: the person's locality.")] = None,
    contact_point: Annotated[str | None, typer.Option(help="Which address; default: the one in use.")] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Plan a visit: address, window, people."""
    window = (instant(begins, "--from"), instant(ends, "--to"))
    if window[0] is None or window[1] is None:
        raise UserError("visit plan: name --from and --to")
    wanted = Plan(item, team, window[0], window[1], people, area, contact_point)
    visit = with_engine(
        lambda engine: desk.plan(engine, door_of(engine), acting(engine, by), wanted, business_now(engine))
    )
    _say(visit, as_json=as_json)


@app.command("list")
@plainly
def list_visits(
    team: Annotated[str | None, typer.Option(help="Only this team.")] = None,
    area: Annotated[str | None, typer.Option(help="Only this area.")] = None,
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only this day.")] = None,
    zone: Annotated[str, typer.Option(help="Where the day is counted.")] = "UTC",
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Show visits by team, area and window: a day's list."""
    if not known_zone(zone):
        raise UserError(f"--zone {zone}: no IANA time zone such as Asia/Shanghai")
    begins = None if day is None else start_of_day(day.date(), zone)
    ends = None if day is None else start_of_day(day.date() + timedelta(days=1), zone)
    found = with_engine(
        lambda engine: desk.visits(engine, acting(engine, by), team=team, area=area, begins=begins, ends=ends)
    )
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table()
    for column in ("visit", "team", "area", "from", "to", "people", "status", "still to confirm", "item"):
        table.add_column(column)
    for one in found:
        window = (f"{one.window_from:%Y-%m-%d %H:%M}", f"{one.window_to:%H:%M}")
        table.add_row(
            one.key, one.team, one.area, *window, str(one.people), one.status, ", ".join(one.open), one.item_key
        )
    out.print(table)


@app.command("requirements")
@plainly
def requirements(as_json: AsJson = False) -> None:
    """Show what must be confirmed before anybody sets out."""
    policy = visit_policy()
    if as_json:
        print_json(policy.model_dump(mode="json"))
        return
    out.print(f"at least {policy.least_people} people, more where the rules of the place demand it", highlight=False)
    for name, words in policy.requirements.items():
        out.print(f"  {name}: {words}", highlight=False)


@app.command("confirm")
@plainly
def confirm(
    key: Key,
    names: Annotated[list[str], typer.Argument(help="Requirements, from `visit requirements`.")],
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Confirm requirements under one's own name."""
    _say(
        with_engine(lambda engine: desk.confirm(engine, acting(engine, by), key, names, business_now(engine))),
        as_json=as_json,
    )


@app.command("set-out")
@plainly
def set_out(
    key: Key,
    persons: Annotated[list[str], typer.Argument(help="Codes of everybody who goes.")],
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Set out, if everything is confirmed and the gate allows it now. It counts as a contact from here on."""

    def act(engine: Engine) -> Visit:
        who, at = acting(engine, by), business_now(engine)
        return desk.set_out(engine, door_of(engine), who, key, persons, at, datetime.now(UTC))

    _say(with_engine(act), as_json=as_json)


@app.command("record")
@plainly
def record(
    key: Key,
    disposition: Annotated[str, typer.Option(help="What came of it: met, not_home, refused, promise, moved, ...")],
    reached: Annotated[str, typer.Option(help="right_party, third_party or no_one.")],
    latitude: Annotated[float | None, typer.Option(min=-90, max=90)] = None,
    longitude: Annotated[float | None, typer.Option(min=-180, max=180)] = None,
    evidence: Annotated[list[Path] | None, typer.Option(help="A recording or picture; its hash is kept.")] = None,
    promised_on: Annotated[str | None, typer.Option(help="With a promise: the day.")] = None,
    note: Annotated[str | None, typer.Option(help="Reference of a note.")] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Record what came of a visit: where it was, and the hashes of what was recorded."""
    files = tuple((path.name, file_hash(path)) for path in evidence or ())
    made = Made(disposition, reached, latitude, longitude, files, note, promised_on=promised_on)
    _say(
        with_engine(lambda engine: desk.record(engine, acting(engine, by), key, made, business_now(engine))),
        as_json=as_json,
    )


@app.command("cancel")
@plainly
def cancel(key: Key, by: As = None, as_json: AsJson = False) -> None:
    """Cancel a visit that has not set out."""
    _say(
        with_engine(lambda engine: desk.cancel(engine, acting(engine, by), key, business_now(engine))), as_json=as_json
    )


@app.command("card")
@plainly
def card(
    caller: Annotated[str, typer.Option(help="The name others may read; it does not tell that debts are collected.")],
    person: Annotated[str, typer.Option(help="Whom to ask for.")],
    number: Annotated[str, typer.Option(help="The number to call back.")],
    language: Annotated[str, typer.Option(help="Language of the card.")] = "en",
) -> None:
    """Print the card that may be left at a door: who came and whom to call, nothing about a debt."""
    values: dict[str, Any] = {
        "caller_name": caller, "contact_person": person, "call_back_number": number, "third_party": True,
        "first_communication": False, "amount": "", "due_on": None, "dpd": 0, "reference": "", "accounts": [],
        "creditor_name": "", "collector_name": "", "recipient_name": "", "pay_link": "",
    }  # fmt: skip
    out.print(Wording(TEMPLATES).render("visit-card", "visit", language, values).body, highlight=False, markup=False)


def _say(visit: Visit, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(visit))
        return
    window = f"{visit.window_from:%Y-%m-%d %H:%M} to {visit.window_to:%H:%M} UTC"
    out.print(f"visit {visit.key} of item {visit.item_key}: {visit.status}, {window}, {visit.team}", highlight=False)
    if visit.open and visit.status == "planned":
        out.print(f"  still to confirm: {', '.join(visit.open)}", highlight=False)
    if visit.attempt_key is not None:
        out.print(f"  attempt {visit.attempt_key}, by {', '.join(visit.persons)}", highlight=False)
