"""``dial``: ring the agent, then call the person of their item. ``call record``: tell of a call made outside."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import uuid4

import typer
from sqlalchemy import Engine

from activities.catalogue import shipped
from cli.acting import As, acting, business_now
from cli.operations import AsJson, key_of, with_engine
from cli.say import UserError, out, plainly, print_json
from db.settings import read_clock
from db.signals import tell
from db.work_outcomes import refusal_of_outcome
from desk import dialling as desk
from desk.queue import QueueError
from domain.codes import Reached
from domain.messages import RefusedMessageError, parse_message
from domain.roles import Act, NotAllowedError
from runtime.channels import voice_of
from runtime.desk import desk_of
from settings import load_settings

AHEAD = timedelta(minutes=5)
"""How far a call may lie in the future: clocks differ, but nobody records what they have not done."""
calls_app = typer.Typer(no_args_is_help=True, help="Calls made outside of the system.")


@plainly
def dial(
    item: Annotated[str, typer.Argument(help="A call item that you have on loan.")],
    lease: Annotated[int | None, typer.Option(help="The number of your loan; default: the one you have.")] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Ring your telephone and, when you pick up, call the person of an item, if the gate allows it then."""

    def act(engine: Engine) -> desk.Ringing:
        line = voice_of(engine, load_settings())
        if line is None:
            raise UserError("dial: no calls are set up; set DUNLIN_TWILIO_ACCOUNT_SID and DUNLIN_TWILIO_VOICE_FROM")
        who = acting(engine, by, Act.WORK)
        try:
            return desk.dial(desk_of(engine), line, who, item, business_now(engine), lease)
        except (QueueError, NotAllowedError) as error:
            raise UserError(str(error)) from None

    ringing = with_engine(act)
    if as_json:
        print_json({"item": item, "lease": ringing.loan.lease_no, "ringing": ringing.sure})
    elif ringing.sure:
        out.print("your telephone rings; pick up to be connected", highlight=False)
    else:
        out.print("the carrier did not answer: your telephone may ring; wait a minute before you dial again")


@calls_app.command("record")
@plainly
def record(
    key: Annotated[str, typer.Argument(help="The case: ours or the lender's.")],
    reached: Annotated[str, typer.Option(help="right_party, third_party or no_one.")],
    disposition: Annotated[str, typer.Option(help="What came of it: no_answer, promise, refused ...")],
    at: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S%z"], help="2026-03-04T10:15:00-0600")
    ] = None,
    contact_point: Annotated[str | None, typer.Option(help="Which number was called: N...")] = None,
    seconds: Annotated[int, typer.Option(min=0, max=86_400, help="How long it lasted.")] = 0,
    promised_on: Annotated[str | None, typer.Option(help="With a promise: the day, 2026-03-10.")] = None,
    event: Annotated[str | None, typer.Option(help="A name for it, so that telling it twice counts once.")] = None,
    by: As = None,
    as_json: AsJson = False,
) -> None:
    """Record a call that was made outside of the system: it counts, and is an incident if it broke a rule."""
    if not any(reached == one for one in Reached):
        raise UserError(f"--reached {reached}: is none of {', '.join(Reached)}")

    def act(engine: Engine) -> dict[str, Any]:
        who, now = acting(engine, by, Act.RECORD_OUTCOME), business_now(engine)
        when = now if at is None else at.astimezone(UTC)
        if when > now + AHEAD:
            raise UserError(f"--at {at}: lies in the future; record a call after it was made")
        body: dict[str, Any] = {
            "event_id": event or f"call/{uuid4()}",
            "actor": who.actor,
            "party_reached": reached,
            "disposition": disposition,
            "duration_seconds": seconds,
        }
        body |= {} if contact_point is None else {"contact_point": contact_point}
        body |= {} if promised_on is None else {"promised_on": promised_on}
        try:
            outcome = parse_message("record_call_outcome", body)
        except RefusedMessageError as error:
            raise UserError(f"call record: {error}") from None
        case_key = key_of(engine, key)
        with engine.begin() as connection:
            closed = connection.exec_driver_sql("SELECT status = 'closed' FROM cases WHERE key = %s", (case_key,))
            if closed.scalar_one():
                raise UserError(f"{case_key}: the case is closed; `case show {case_key}` says why")
            refusal = refusal_of_outcome(connection, outcome, case_key, shipped())
            if refusal is not None:
                raise UserError(f"call record: {refusal}")
            logical = read_clock(connection).is_logical
            tell(connection, [case_key], "record_call_outcome", body, when, logical=logical)
        return {"case": case_key, "event_id": body["event_id"]}

    recorded = with_engine(act)
    print_json(recorded) if as_json else out.print(f"recorded for {recorded['case']}", highlight=False)
