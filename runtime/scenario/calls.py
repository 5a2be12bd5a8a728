"""The agents' morning: the queue lends the next call, the gate is asked, and what is said drives the case."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from db.queue import Wanted
from desk.queue import QueueError, claim, claim_next, reassign
from desk.showing import show
from domain.codes import TaskKind
from domain.roles import NotAllowedError
from runtime.scenario.acts import MINUTES, Call, call_by_name, dial, on_loan, owed, record
from runtime.scenario.people import MORNING
from runtime.scenario.stage import ScenarioError, Stage, local

CALLS = Wanted((TaskKind.CALL,))
Talk = Callable[[Stage, Call], Awaitable[None]]
RIGHT: dict[str, object] = {"party_reached": "right_party"}


async def too_early(stage: Stage) -> None:
    """Try to call Chicago when London begins to work: the gate refuses, and says from when."""
    await stage.until(local(MORNING, 9, 25))
    case = stage.case("far away")
    item = stage.item_of(case, TaskKind.CALL)
    try:
        await asyncio.to_thread(claim, stage.desk, stage.acting("ben"), str(item), stage.now)
    except QueueError as refused:
        rules = tuple(part.strip() for part in str(refused).partition("(")[2].rstrip(")").split(","))
        await stage.says(
            "ben", f"wants to call {stage.name('far away')} in Chicago, where it is 03:25", f"refused: {refused}",
            rules=rules, case=case,
        )  # fmt: skip
    else:
        raise ScenarioError("the gate let somebody call Chicago at night")
    try:
        await asyncio.to_thread(reassign, stage.desk, stage.acting("ben"), str(item), "ann", stage.now)
    except NotAllowedError as refused:
        await stage.says("ben", "tries to give the item to ann instead", f"refused: {refused}")
    else:
        raise ScenarioError("an agent could give an item to somebody else")


async def agents_take_calls(stage: Stage) -> None:
    """Two agents take turns at the queue; neither ever gets what the other has."""
    await stage.until(local(MORNING, 9, 30))
    turn = 0
    while True:
        agent = ("ann", "ben")[turn % 2]
        lent = await asyncio.to_thread(claim_next, stage.desk, stage.acting(agent), stage.now, CALLS)
        if lent is None:
            await stage.says(agent, "asks for the next call", "there is none that may be made now")
            return
        call = on_loan(stage, agent, lent)
        await stage.says(
            agent, "asks for the next call",
            f"{lent.key}: {stage.name(call.part)}, {owed(stage, call.part)} past due; "
            f"lent to {agent} under number {lent.lease_no} until {lent.lease_until:%H:%M}",
        )  # fmt: skip
        if not turn:
            await _reads(stage, call)
        await TALKS[call.part](stage, call)
        await stage.until(stage.now + 7 * MINUTES)
        turn += 1


async def _reads(stage: Stage, call: Call) -> None:
    """Tell what an agent has before them: the debt, the hour there, the words to say, and the outcomes there are."""
    shown = await asyncio.to_thread(show, stage.desk, stage.acting(call.agent), call.lent.key, stage.now, logical=True)
    accounts = "; ".join(
        f"{one.reference}, {one.past_due} past due, {one.days_past_due} days" for one in shown.accounts
    )
    await stage.says(call.agent, f"reads {call.lent.key}", f"{accounts}; there it is {shown.local_time}")
    before, after = (" ".join(words.split()) for words in shown.script)
    await stage.says("the screen", "says what to say before anybody is known to be the person", before)
    await stage.says("the screen", "and afterwards, with the disclosures the law asks for", after)
    await stage.says(
        "the screen", "offers outcomes", f"{len(shown.outcomes)} codes, such as {', '.join(shown.outcomes[:6])}"
    )


async def _talk(stage: Stage, call: Call, words: str, outcome: dict[str, object], follows: str) -> None:
    dialled = await dial(stage, call)
    await stage.says(
        call.agent, f"dials {stage.name(call.part)}", f"the gate allows it, by attempt {dialled.attempt_key}; {words}"
    )
    await record(stage, call, dialled, outcome)
    await stage.says(call.agent, f"records {outcome['disposition']}", follows, case=call.case)


async def _promises(stage: Stage, call: Call) -> None:
    day = MORNING + timedelta(days=7)
    debtor = stage.debtors[call.part]
    outcome = {
        **RIGHT, "disposition": "promise", "promised_on": f"{day}", "amount": debtor.debts[0].amount,
        "currency": debtor.currency,
    }  # fmt: skip
    await _talk(
        stage, call, f"will pay {owed(stage, call.part)} on {day:%d %b}", outcome,
        "the promise is an arrangement of one line: outreach rests until it is kept or broken",
    )  # fmt: skip


async def _moved_number(stage: Stage, call: Call) -> None:
    point = await dial(stage, call)
    await stage.says(
        call.agent, f"dials {stage.name(call.part)}", "the gate allows it; somebody else has this number now"
    )
    await record(stage, call, point, {"party_reached": "third_party", "disposition": "wrong_number"})
    await stage.says(
        call.agent,
        "records wrong_number",
        "nothing was said about the debt; the number is not used again for this debtor",
        rules=("core.wrong-party",),
        case=call.case,
    )
    stage.expected["the wrong number was dialled once, and never again"] = (
        f"SELECT count(*) = 1 FROM attempts WHERE contact_point_key = '{point.contact_point}' AND channel = 'call'"
    )


async def _disputes(stage: Stage, call: Call) -> None:
    await _talk(
        stage, call, "disputes a part of it: one instalment was paid in December", {**RIGHT, "disposition": "dispute"},
        "the debt rests until somebody has answered; nobody calls meanwhile",
    )  # fmt: skip


async def _hard_up(stage: Stage, call: Call) -> None:
    await _talk(
        stage, call, "has lost the job and cannot pay as agreed", {**RIGHT, "disposition": "hardship"},
        "all that is owed rests, and a person looks for a plan",
    )  # fmt: skip


async def _large_debt(stage: Stage, call: Call) -> None:
    await _talk(
        stage, call, "wants to pay, but in instalments", {**RIGHT, "disposition": "plan_wanted"},
        "three days of rest to work a plan out",
    )  # fmt: skip


async def _two_debts(stage: Stage, call: Call) -> None:
    await _talk(
        stage, call, "the wife has died last week", {**RIGHT, "disposition": "bereavement"},
        "bereavement concerns the person, so every debt rests",
    )  # fmt: skip
    other = stage.case(call.part, 1)
    await stage.says("the house", "tells the other debt of the same person", "both cases rest", case=other)


TALKS: Mapping[str, Talk] = {
    "promises": _promises,
    "moved number": _moved_number,
    "disputes": _disputes,
    "hard up": _hard_up,
    "large debt": _large_debt,
    "two debts": _two_debts,
}


async def the_other_number(stage: Stage) -> None:
    """Call the same person at the number that is left: the queue asks for it an hour later."""
    await stage.until(local(MORNING, 12, 0))
    part = "moved number"
    call = await call_by_name(stage, "ben", part, {"party_reached": "no_one", "disposition": "voicemail"})
    await stage.says(
        "ben",
        f"calls {stage.name(part)} at the other number",
        "an answering machine; no message is left",
        case=call.case,
    )


async def awake_by_now(stage: Stage) -> None:
    """Make the call to Chicago that was too early in the morning: it stands in the queue by itself."""
    await stage.until(local(MORNING, 15, 30))
    lent = await asyncio.to_thread(claim_next, stage.desk, stage.acting("ben"), stage.now, CALLS)
    if lent is None:
        raise ScenarioError("the call to Chicago is not in the queue")
    await _talk(
        stage,
        on_loan(stage, "ben", lent),
        "it is 09:30 in Chicago now; will think about it",
        {**RIGHT, "disposition": "undecided"},
        "talked, nothing agreed: no more calls of this step, an e-mail is next",
    )
