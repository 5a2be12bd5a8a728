"""What several chapters do: a call from the claim to its outcome, and money that comes in."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from activities.dialling import Dialled
from db.ledger import post_payment
from db.signals import tell
from desk.finishing import finish
from desk.queue import Lent, claim
from domain.codes import TaskKind
from domain.money import format_amount
from runtime.scenario.stage import ScenarioError, Stage

MINUTES = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Call:
    """An item that somebody has on loan. ``part``: whom of the story it is about."""

    agent: str
    lent: Lent
    part: str
    case: str


def on_loan(stage: Stage, agent: str, lent: Lent) -> Call:
    """Return an item that was just claimed, with whom it is about."""
    person = stage.one(
        "SELECT p.external_id FROM work_items w JOIN parties p ON p.key = w.party_key WHERE w.key = %s", lent.key
    )
    part = list(stage.debtors)[int(str(person)[1:]) - 1]
    return Call(agent, lent, part, stage.case(part))


async def dial(stage: Stage, call: Call) -> Dialled:
    """Dial through the gate, as the last look before anybody's telephone rings."""
    answer = await asyncio.to_thread(
        stage.dialling.admit, call.lent.key, lambda: stage.now, datetime.now(UTC), logical=True
    )
    if not isinstance(answer, Dialled):
        raise ScenarioError(f"{call.lent.key}: the gate did not let {call.agent} dial ({answer})")
    return answer


async def record(
    stage: Stage, call: Call, dialled: Dialled, outcome: dict[str, object], note: str | None = None
) -> None:
    """Record what came of a call; the case hears of it by the queue."""
    said = {"contact_point": dialled.contact_point, **outcome}
    await asyncio.to_thread(
        finish, stage.desk, stage.acting(call.agent), call.lent.key, call.lent.lease_no, said, stage.now,
        logical=True, note_text=note,
    )  # fmt: skip


async def call_by_name(stage: Stage, agent: str, part: str, outcome: dict[str, object]) -> Call:
    """Claim the call of somebody, dial, and record the outcome, without a word."""
    item = stage.item_of(stage.case(part), TaskKind.CALL)
    if item is None:
        raise ScenarioError(f"{part}: no call is asked for at {stage.now}")
    lent = await asyncio.to_thread(claim, stage.desk, stage.acting(agent), item, stage.now)
    call = on_loan(stage, agent, lent)
    await record(stage, call, await dial(stage, call), outcome)
    await stage.settle()
    return call


def owed(stage: Stage, part: str, number: int = 0) -> str:
    """Return what somebody owes as people write it."""
    debtor = stage.debtors[part]
    return format_amount(debtor.debts[number].amount, debtor.currency)


async def pays(stage: Stage, part: str, amount: int, on: date, number: int = 0) -> str:
    """Let money come in as the payments door takes it: the ledger first, then the case is told."""
    debtor, case = stage.debtors[part], stage.case(part, number)
    reference = f"BANK-{debtor.debts[number].reference}-{on:%m%d}"

    def post() -> None:
        account = stage.one("SELECT account_key FROM cases WHERE key = %s", case)
        with stage.engine.begin() as connection:
            posted = post_payment(
                connection, account_key=str(account), external_id=reference, amount=amount, currency=debtor.currency,
                value_on=on, received_at=stage.now, source="bank",
            )  # fmt: skip
            body = {"event_id": f"payment/{reference}", "actor": "payments"}
            told = [] if posted.case_key is None else [posted.case_key]
            tell(connection, told, "ledger_changed", body, stage.now, logical=True)

    await asyncio.to_thread(post)
    stage.paid += 1
    stage.expected["every payment of the story is in the ledger, once"] = (
        f"SELECT count(*) = {stage.paid} FROM ledger_entries WHERE kind = 'payment' AND source = 'bank'"
    )
    return format_amount(amount, debtor.currency)
