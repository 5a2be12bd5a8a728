"""Every outcome of the catalogue, from the event to the next thing that happens, in virtual time.

The table below is written by hand, from the words of the catalogue and of docs/dispositions.md, and computed without the
code it tests: which step comes next and after how long, or what the case rests in. A code without a row fails.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.catalogue import shipped
from activities.opening import OpeningActivities
from activities.wording import Wording
from db.settings import put_in_force, set_clock
from domain.clock import BusinessClock
from domain.codes import AUTOMATED_CHANNELS
from domain.gate import LedgerGate
from runtime.worker import Parts, Workers
from tests.db.conftest import module_engine
from tests.workflows.conftest import TEMPLATES, CountingCarrier, House

__all__ = ["module_engine"]

EVERY = timedelta(days=5)
"""The pause of the ladder between two tries, unless the outcome names another."""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MINUTE = timedelta(minutes=1)
CHICAGO = ZoneInfo("America/Chicago")
LADDER = """
name: by-TASK
version: 1
segment: {product: [TASK]}
at_end: wait
steps:
  - {id: first, task: TASK, start: {since: opened}, between: {hours: "00:00-24:00"}, tries: 3, every: 5 days, expires: 60 days}
  - {id: after, channel: letter, template: account-statement, start: {since: step, days: 10}, between: {hours: "00:00-24:00"}}
"""
ROW = "L{n},K{n},{by},USD,100.00,{due},Customer 1,+1312555{n:04},c{n}@example.com,{n} Example St,US-IL,America/Chicago,false\n"


@dataclass(frozen=True)
class Expected:
    """``next``: ``first`` (tried again) or ``after`` (the next step), ``rest``: the hold or event it rests in."""

    next: str | None = None
    after: timedelta | None = None
    rest: str | None = None
    days: int | None = None
    asks: str | None = None
    tells: str | None = None
    point: str = "unconfirmed"


def again(after: timedelta = EVERY, **more: Any) -> Expected:  # noqa: ANN401 - as Expected has them
    return Expected("first", after, **more)


def on(**more: Any) -> Expected:  # noqa: ANN401 - as Expected has them
    return Expected("after", None, **more)


def rests(reason: str, days: int | None = None, **more: Any) -> Expected:  # noqa: ANN401 - as Expected has them
    return Expected(None, None, rest=reason, days=days, **more)


NO, THIRD, RIGHT = "no_one", "third_party", "right_party"
TABLE: dict[tuple[str, str], tuple[str, Expected]] = {
    ("call", "no_answer"): (NO, again()),
    ("call", "busy"): (NO, again(HOUR)),
    ("call", "dropped"): (NO, again(HOUR)),
    ("call", "voicemail"): (NO, again()),
    ("call", "voicemail_left"): (NO, again(2 * DAY)),
    ("call", "out_of_service"): (NO, again(DAY)),
    ("call", "invalid_number"): (NO, again(HOUR, point="invalid")),
    ("call", "fax"): (NO, again(HOUR, point="invalid")),
    ("visit", "not_home"): (NO, again()),
    ("visit", "notice_left"): (NO, on()),
    ("visit", "no_access"): (NO, on()),
    ("visit", "unsafe"): (NO, on(asks="unsafe_address")),
    ("visit", "address_not_found"): (NO, on(asks="address_not_found", point="invalid")),
    ("call", "third_party"): (THIRD, again()),
    ("visit", "third_party"): (THIRD, again()),
    ("call", "message_passed"): (THIRD, again(3 * DAY)),
    ("visit", "message_passed"): (THIRD, again(3 * DAY)),
    ("call", "identity_refused"): (THIRD, again()),
    ("visit", "identity_refused"): (THIRD, again()),
    ("call", "third_party_objects"): (THIRD, on(asks="third_party_objects")),
    ("visit", "third_party_objects"): (THIRD, on(asks="third_party_objects")),
    ("call", "wrong_number"): (THIRD, again(HOUR, tells="wrong_party", asks="wrong_party", point="wrong_party")),
    ("call", "wrong_party"): (THIRD, on(tells="wrong_party", asks="wrong_party", point="wrong_party")),
    ("visit", "wrong_party"): (THIRD, on(tells="wrong_party", asks="wrong_party", point="wrong_party")),
    ("call", "moved"): (THIRD, on(asks="moved", point="invalid")),
    ("visit", "moved"): (NO, on(asks="moved", point="invalid")),
    ("call", "workplace"): (THIRD, on(tells="employer_prohibits")),
    ("call", "in_hospital"): (THIRD, rests("other", 30, asks="vulnerable")),
    ("visit", "in_hospital"): (THIRD, rests("other", 30, asks="vulnerable")),
    ("call", "in_prison"): (THIRD, on(asks="in_prison")),
    ("visit", "in_prison"): (THIRD, on(asks="in_prison")),
    ("call", "left_country"): (THIRD, on(asks="left_country")),
    ("visit", "left_country"): (THIRD, on(asks="left_country")),
    ("call", "deceased"): (THIRD, rests("deceased", tells="deceased", asks="estate")),
    ("visit", "deceased"): (NO, rests("deceased", tells="deceased", asks="estate")),
    ("call", "hung_up"): (RIGHT, again(2 * DAY)),
    ("call", "bad_moment"): (RIGHT, again(DAY)),
    ("call", "refused"): (RIGHT, on()),
    ("visit", "refused"): (RIGHT, on()),
    ("visit", "will_not_open"): (RIGHT, on()),
    ("call", "recording_refused"): (RIGHT, on()),
    ("visit", "recording_refused"): (RIGHT, on()),
    ("call", "abusive"): (RIGHT, on(asks="abusive")),
    ("visit", "abusive"): (THIRD, on(asks="abusive")),
    ("call", "language_barrier"): (RIGHT, on(asks="interpreter")),
    ("visit", "language_barrier"): (THIRD, on(asks="interpreter")),
    ("call", "promise"): (RIGHT, rests("promise", 4, point="confirmed")),
    ("visit", "promise"): (RIGHT, rests("promise", 4, point="confirmed")),
    ("call", "callback"): (RIGHT, again(30 * HOUR, point="confirmed")),
    ("call", "met"): (RIGHT, on(point="confirmed")),
    ("visit", "met"): (RIGHT, on(point="confirmed")),
    ("call", "undecided"): (RIGHT, again(3 * DAY, point="confirmed")),
    ("visit", "undecided"): (RIGHT, again(3 * DAY, point="confirmed")),
    ("call", "paid_now"): (RIGHT, rests("other", 3, point="confirmed")),
    ("visit", "paid_now"): (RIGHT, rests("other", 3, point="confirmed")),
    ("call", "paid_already"): (RIGHT, rests("other", 5, asks="payment_claimed", point="confirmed")),
    ("visit", "paid_already"): (RIGHT, rests("other", 5, asks="payment_claimed", point="confirmed")),
    ("call", "plan_wanted"): (RIGHT, rests("other", 3, asks="plan_wanted", point="confirmed")),
    ("visit", "plan_wanted"): (RIGHT, rests("other", 3, asks="plan_wanted", point="confirmed")),
    ("call", "settlement_wanted"): (RIGHT, rests("other", 5, asks="settlement_wanted", point="confirmed")),
    ("visit", "settlement_wanted"): (RIGHT, rests("other", 5, asks="settlement_wanted", point="confirmed")),
    ("call", "hardship"): (RIGHT, rests("hardship", 30, tells="hardship", asks="hardship", point="confirmed")),
    ("visit", "hardship"): (RIGHT, rests("hardship", 30, tells="hardship", asks="hardship", point="confirmed")),
    ("call", "vulnerable"): (RIGHT, rests("hardship", 14, asks="vulnerable")),
    ("visit", "vulnerable"): (RIGHT, rests("hardship", 14, asks="vulnerable")),
    ("call", "debt_adviser"): (RIGHT, rests("other", 30, asks="debt_adviser")),
    ("visit", "debt_adviser"): (THIRD, rests("other", 30, asks="debt_adviser")),
    ("call", "dispute"): (RIGHT, rests("dispute", tells="dispute", asks="dispute")),
    ("visit", "dispute"): (RIGHT, rests("dispute", tells="dispute", asks="dispute")),
    ("call", "asks_creditor"): (
        RIGHT,
        rests("original_creditor", tells="original_creditor_request", asks="original_creditor_request"),
    ),
    ("visit", "asks_creditor"): (
        RIGHT,
        rests("original_creditor", tells="original_creditor_request", asks="original_creditor_request"),
    ),
    ("call", "asks_papers"): (RIGHT, on(asks="papers")),
    ("visit", "asks_papers"): (RIGHT, on(asks="papers")),
    ("call", "identity_theft"): (RIGHT, rests("identity_theft", tells="identity_theft", asks="identity_theft")),
    ("visit", "identity_theft"): (RIGHT, rests("identity_theft", tells="identity_theft", asks="identity_theft")),
    ("call", "says_time_barred"): (RIGHT, on(asks="limitation")),
    ("visit", "says_time_barred"): (RIGHT, on(asks="limitation")),
    ("call", "cease"): (RIGHT, rests("cease", tells="cease_communication", asks="cease_communication")),
    ("visit", "cease"): (RIGHT, rests("cease", tells="cease_communication", asks="cease_communication")),
    ("call", "complaint"): (RIGHT, rests("complaint", tells="complaint", asks="complaint")),
    ("visit", "complaint"): (THIRD, rests("complaint", tells="complaint", asks="complaint")),
    ("call", "attorney"): (THIRD, rests("attorney", tells="attorney_represented", asks="contact_counsel")),
    ("visit", "attorney"): (RIGHT, rests("attorney", tells="attorney_represented", asks="contact_counsel")),
    ("call", "bankruptcy"): (RIGHT, rests("bankruptcy", tells="bankruptcy_filed", asks="bankruptcy")),
    ("visit", "bankruptcy"): (THIRD, rests("bankruptcy", tells="bankruptcy_filed", asks="bankruptcy")),
    ("call", "military"): (RIGHT, on(tells="military_service")),
    ("visit", "military"): (THIRD, on(tells="military_service")),
    ("call", "disaster"): (RIGHT, rests("disaster", 30, tells="disaster")),
    ("visit", "disaster"): (THIRD, rests("disaster", 30, tells="disaster")),
    ("call", "bereavement"): (RIGHT, rests("bereavement", 30, tells="bereavement")),
    ("visit", "bereavement"): (THIRD, rests("bereavement", 30, tells="bereavement")),
    ("call", "no_capacity"): (RIGHT, rests("no_capacity", tells="no_capacity", asks="legal_representative")),
    ("visit", "no_capacity"): (THIRD, rests("no_capacity", tells="no_capacity", asks="legal_representative")),
}
NEXT_STEP = 10 * DAY
"""The ladder's second step counts from the first one's end, by whole local days."""


def test_every_outcome_has_a_row() -> None:
    assert set(TABLE) == {(by, one.code) for one in shipped().dispositions for by in one.by}
    assert len(shipped().dispositions) >= 30


@dataclass
class Opened:
    """A case of its own for every row of the table, all in one house."""

    house: House
    env: WorkflowEnvironment
    at: datetime
    case_of: dict[tuple[str, str], str]

    def rows(self, query: str, case_key: str, *more: object) -> list[tuple[Any, ...]]:
        return self.house.rows(query, case_key, *more)

    async def until(self, query: str, *values: object) -> None:
        for _ in range(600):
            if self.house.rows(query, *values)[0][0]:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never came true: {query}")


@pytest.fixture(scope="module")
async def opened(
    module_engine: Engine, temporal_env: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Opened]:
    carrier = CountingCarrier()
    parts = Parts(module_engine, dict.fromkeys(AUTOMATED_CHANNELS, carrier), LedgerGate(), Wording(TEMPLATES))
    house = House(module_engine, temporal_env.client, carrier, tmp_path_factory.mktemp("outcomes"))
    now = datetime.now(UTC)
    keys = sorted(TABLE)
    due = (now - timedelta(days=20)).date()
    house.ledger("".join(ROW.format(n=n, by=by, due=due) for n, (by, _) in enumerate(keys)))
    async with Workers(temporal_env.client, parts):
        with module_engine.begin() as connection:
            set_clock(connection, BusinessClock())
            put_in_force(connection, [house.strategy(LADDER.replace("TASK", by)) for by in ("call", "visit")], now)
        await OpeningActivities(module_engine, temporal_env.client).open_at(now)
        case_of = dict(house.rows("SELECT a.external_id, k.key FROM cases k JOIN accounts a ON a.key = k.account_key"))
        yield Opened(house, temporal_env, now, {key: case_of[f"L{n}"] for n, key in enumerate(keys)})


ASKED = "SELECT w.reason FROM work_items w JOIN work_item_cases x ON x.item_key = w.key WHERE x.case_key = %s AND w.kind <> %s"
OWN_ITEMS = (
    "SELECT {what} FROM work_item_cases x JOIN work_items w ON w.key = x.item_key WHERE x.case_key = %s AND w.kind = %s"
)
LETTERS = "SELECT {what} FROM attempts WHERE case_key = %s AND channel = %s"
TOLD = "SELECT s.kind FROM state_events s JOIN cases k ON k.debtor_key = s.debtor_key WHERE k.key = %s"
HELD = (
    "SELECT h.reason, h.until_at FROM holds h JOIN cases k ON k.account_key = h.account_key OR k.debtor_key = h.debtor_key "
    "WHERE k.key = %s AND h.released_at IS NULL"
)

PROMISED = (
    "SELECT r.kind, l.due_on FROM arrangements r JOIN arrangement_lines l ON l.arrangement_key = r.key "
    "WHERE r.case_key = %s AND r.status = 'active'"
)


@pytest.mark.parametrize(("by", "code"), sorted(TABLE))
async def test_an_outcome_leads_where_the_catalogue_says(opened: Opened, by: str, code: str) -> None:
    reached, expected = TABLE[by, code]
    case_key = opened.case_of[by, code]
    handle = opened.env.client.get_workflow_handle(f"case/{case_key}")
    await opened.until(OWN_ITEMS.format(what="count(*) = 1"), case_key, by)
    item = opened.rows(OWN_ITEMS.format(what="w.key"), case_key, by)[0][0]
    point = opened.rows(
        "SELECT n.key FROM contact_points n JOIN debtors d ON d.party_key = n.party_key JOIN cases k ON k.debtor_key = d.key "
        "WHERE k.key = %s AND n.kind = %s",
        case_key,
        "phone" if by == "call" else "address",
    )[0][0]
    now = datetime.now(UTC)
    body: dict[str, Any] = {"event_id": "o/1", "work_item": item, "contact_point": point, "party_reached": reached}
    body |= {"disposition": code, "actor": "agent/7"}
    if code == "promise":
        body["promised_on"] = (now.astimezone(CHICAGO) + 3 * DAY).date().isoformat()
    if code == "callback":
        body["callback_at"] = (now + 30 * HOUR).isoformat()
    await handle.signal(f"record_{by}_outcome", body)
    status = await opened.house.settled(handle, 1)

    assert status["refused_total"] == 0, status["refused"]
    assert opened.rows("SELECT state FROM contact_points WHERE key = %s", point) == [(expected.point,)]
    assert [row[0] for row in opened.rows(ASKED, case_key, by)] == _listed(expected.asks)
    assert [row[0] for row in opened.rows(TOLD, case_key)] == _listed(expected.tells)
    if expected.rest is not None:
        if expected.rest != "cease":  # legal steps are still open, so it is not held: the ladder has nothing else left
            assert status["stage"] == ("arranged" if code == "promise" else "held")
        _rests(opened, case_key, status, expected, now)
        await handle.terminate()
        return
    wait = NEXT_STEP if expected.next == "after" else expected.after
    assert wait is not None
    next_at = datetime.fromisoformat(status["next_at"])
    early = DAY if expected.next == "after" else timedelta(0)  # the next step counts whole local days
    assert now + wait - early - MINUTE <= next_at <= now + wait + MINUTE
    query, kind, already = (LETTERS, "letter", 0) if expected.next == "after" else (OWN_ITEMS, by, 1)
    left = next_at - datetime.now(UTC)
    await opened.env.fast_forward(handle, left - 10 * MINUTE)
    assert opened.rows(query.format(what="count(*)"), case_key, kind) == [(already,)], "nothing happens before its time"
    await opened.env.fast_forward(handle, 20 * MINUTE)
    if expected.next == "first" and expected.point in {"invalid", "wrong_party"}:
        query, kind, already = LETTERS, "letter", 0  # nowhere is left to call: the step is passed over
        await opened.env.fast_forward(handle, NEXT_STEP + DAY)
    await opened.until(query.format(what=f"count(*) > {already}"), case_key, kind)
    await handle.terminate()


def _listed(one: str | None) -> list[str]:
    return [] if one is None else [one]


def _rests(opened: Opened, case_key: str, status: dict[str, Any], expected: Expected, now: datetime) -> None:
    """See what the case rests in, and until when: to the instant for an event, to the local midnight for a hold."""
    if expected.rest in {"deceased", "cease"}:
        assert opened.rows(HELD, case_key) == []
        assert status["waiting_for"].startswith({"deceased": "deceased", "cease": "asked us to cease"}[expected.rest])
        return
    rest: list[tuple[Any, ...]] = opened.rows(HELD, case_key)
    if expected.rest == "promise":
        assert rest == []
        rest = [(kind, datetime.combine(on + DAY, time(), CHICAGO)) for kind, on in opened.rows(PROMISED, case_key)]
    ((reason, until),) = rest
    assert reason == expected.rest
    if expected.days is None:
        assert until is None
        return
    if expected.tells is not None:
        assert now + expected.days * DAY - MINUTE <= until <= now + expected.days * DAY + MINUTE
    else:
        day = (now.astimezone(CHICAGO) + expected.days * DAY).date()
        assert until == datetime(day.year, day.month, day.day, tzinfo=CHICAGO)
    ((review,),) = opened.rows(HELD.replace("h.reason, h.until_at", "min(h.review_at)"), case_key)
    wakes = until if review is None else min(until, review)
    assert datetime.fromisoformat(status["next_at"]) == wakes, "it wakes when the rest is over, or to have it looked at"
