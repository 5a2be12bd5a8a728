"""Visits: never with fewer people than demanded, never unconfirmed, never past the gate; the place stays in the tables."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.testing import ActivityEnvironment

from activities.cases import CaseActivities
from activities.judging import Judge
from activities.rule_facts import Rules
from activities.visiting import Visiting
from activities.wording import Wording
from db.actors import Fitness, acting_as
from desk.actors import add_actor
from desk.errors import DeskError
from desk.visits import Made, Plan, Visit, cancel, confirm, plan, record, set_out, visits
from domain.case import Ask, AskRequest, CaseInput, RecordRequest
from domain.codes import TaskKind
from domain.messages import Received
from domain.roles import Acting, NotAllowedError, Role
from domain.rule_gate import RuleGate
from domain.wording_samples import OF_THE_DEBT
from runtime.desk import AtTheDoor
from tests.activities.cases import HEAD, open_cases
from tests.activities.test_rule_gate import BOOK
from tests.workflows.conftest import TEMPLATES

AT = datetime.fromisoformat("2026-03-03T10:00:00+08:00")
"""Ten in the morning in Shanghai."""
VISITS = """
name: visits
version: 1
segment: {}
at_end: wait
steps:
  - {id: visit, task: visit, start: {since: opened}, between: {hours: "00:00-24:00"}}
"""
ROW = "L1,K1,loan,CNY,900.00,2026-02-02,+8613800138000,,Asia/Shanghai,bank,CN\n"
ALL = ("recording", "identity", "discretion", "address")


@pytest.fixture
def judge() -> Judge:
    return Judge(RuleGate(BOOK), Rules())


@pytest.fixture
def case(engine: Engine, tmp_path: Path) -> CaseInput:
    opened = open_cases(engine, tmp_path, ROW, ladder=VISITS, at=AT)["L1"]
    assert HEAD.startswith("account_id")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO contact_points (party_key, kind, value) SELECT party_key, 'address', '1 Example Road' FROM debtors"
        )
    return opened


@pytest.fixture
def item(engine: Engine, judge: Judge, case: CaseInput) -> str:
    ask = AskRequest(
        state=case.state, strategy_digest=case.strategy_digest, ask=Ask(kind=TaskKind.VISIT, step="visit", seq=1)
    )
    report = ActivityEnvironment().run(CaseActivities(engine, None, judge).ask, ask)
    assert report.item is not None, report.rule_ids
    return str(report.item.key)


@pytest.fixture
def door(engine: Engine, judge: Judge) -> AtTheDoor:
    return AtTheDoor(Visiting(engine, judge, logical=True))


@pytest.fixture
def who(engine: Engine) -> dict[str, Acting]:
    add_actor(engine, None, "root", Role.ADMIN, Fitness(), at=AT)
    for code, role in (("ann", Role.AGENT), ("bob", Role.AGENT), ("olga", Role.OPS), ("audrey", Role.AUDITOR)):
        add_actor(engine, "root", code, role, Fitness(), at=AT)
    with engine.connect() as connection:
        return {code: acting_as(connection, code) for code in ("ann", "bob", "olga", "audrey")}


def _plan(item: str, **changes: Any) -> Plan:  # noqa: ANN401 - as a plan has them
    usual = Plan(item, "north", AT, AT + timedelta(hours=4), 2)
    return replace(usual, **changes)


def _rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(one) for one in connection.exec_driver_sql(query)]


def _out(
    engine: Engine, door: AtTheDoor, who: dict[str, Acting], key: str, persons: tuple[str, ...] = ("ann", "bob"), at: datetime = AT
) -> Visit:  # fmt: skip
    return set_out(engine, door, who["ann"], key, persons, at, at)


def test_the_rules_of_the_place_say_how_many_must_go(engine: Engine, judge: Judge, item: str) -> None:
    assert Visiting(engine, judge, logical=True).least(item, AT) == 2


def test_a_visit_with_fewer_people_is_not_planned_and_does_not_set_out(
    engine: Engine, door: AtTheDoor, who: dict[str, Acting], item: str
) -> None:
    with pytest.raises(DeskError, match="at least 2 people must go, not 1"):
        plan(engine, door, who["ann"], _plan(item, people=1), AT)
    visit = plan(engine, door, who["ann"], _plan(item), AT)
    confirm(engine, who["ann"], visit.key, ALL, AT)
    for persons in ((), ("ann",), ("ann", "ann")):
        with pytest.raises(DeskError, match="at least 2 people must go"):
            _out(engine, door, who, visit.key, persons)
    assert _rows(engine, "SELECT count(*) FROM attempts") == [(0,)]


def test_nobody_sets_out_before_everything_is_confirmed_or_outside_of_the_window(
    engine: Engine, door: AtTheDoor, who: dict[str, Acting], item: str
) -> None:
    visit = plan(engine, door, who["ann"], _plan(item), AT)
    confirm(engine, who["ann"], visit.key, ALL[:3], AT)
    with pytest.raises(DeskError, match="not confirmed: address"):
        _out(engine, door, who, visit.key)
    with pytest.raises(DeskError, match="tea: not asked for"):
        confirm(engine, who["ann"], visit.key, ["tea"], AT)
    confirm(engine, who["bob"], visit.key, ALL[3:], AT)
    for at in (AT - timedelta(minutes=1), AT + timedelta(hours=5)):
        with pytest.raises(DeskError, match="the window is"):
            _out(engine, door, who, visit.key, at=at)
    assert _rows(engine, "SELECT count(*) FROM attempts") == [(0,)]


@pytest.mark.parametrize(("missing", "rule"), [("recording", "cn.visit-record")])
def test_the_gate_itself_refuses_what_is_not_so(door: AtTheDoor, item: str, missing: str, rule: str) -> None:
    answer = door.admit(item, AT, AT, people=2, recorded=missing != "recording", identified=True)
    assert rule in answer.rule_ids  # type: ignore[union-attr]
    alone = door.admit(item, AT, AT, people=1, recorded=True, identified=True)
    assert "cn.visit-two" in alone.rule_ids  # type: ignore[union-attr]


def test_the_gate_is_asked_at_the_door(engine: Engine, door: AtTheDoor, who: dict[str, Acting], item: str) -> None:
    night = AT.replace(hour=23)
    visit = plan(engine, door, who["ann"], _plan(item, window_from=night, window_to=night + timedelta(hours=1)), AT)
    confirm(engine, who["ann"], visit.key, ALL, AT)
    with pytest.raises(DeskError, match=r"the gate does not allow it now \(.*hours.*\); it may be tried from"):
        _out(engine, door, who, visit.key, at=night)
    assert _rows(engine, "SELECT status FROM attempts") == [("deferred",)]
    assert _rows(engine, "SELECT status FROM visits") == [("planned",)]


async def test_a_visit_is_counted_when_they_set_out_and_recorded_with_place_people_and_evidence(
    engine: Engine, judge: Judge, door: AtTheDoor, who: dict[str, Acting], case: CaseInput, item: str
) -> None:
    visit = plan(engine, door, who["ann"], _plan(item), AT)
    confirm(engine, who["ann"], visit.key, ALL, AT)
    out = _out(engine, door, who, visit.key)
    assert _out(engine, door, who, visit.key) == out
    assert _rows(engine, "SELECT key, status FROM attempts") == [(out.attempt_key, "dispatching")]
    made = Made("not_home", "no_one", 31.23041, 121.4737, (("rec/1.mp4", "ab" * 32),), "note/1")
    done = record(engine, who["ann"], visit.key, made, AT)
    assert (done.status, done.persons, done.evidence) == ("done", ("ann", "bob"), ("ab" * 32,))
    assert record(engine, who["ann"], visit.key, made, AT) == done
    ((name, body),) = _rows(engine, "SELECT name, body FROM signals WHERE name = 'record_visit_outcome'")
    assert body["visitors"] == 2
    assert body["evidence"] == ["ab" * 32]
    assert "31.23" not in str(_rows(engine, "SELECT body FROM case_events")) + str(body)
    message = {key: value for key, value in body.items() if key != "at"}
    received = Received(name=name, event_id=body["event_id"], at=AT, body=message)
    request = RecordRequest(state=case.state, strategy_digest=case.strategy_digest, messages=[received])
    await ActivityEnvironment().run(CaseActivities(engine, None, judge).record_events, request)
    assert _rows(engine, "SELECT status, outcome FROM attempts") == [("failed", "not_home")]
    assert _rows(engine, "SELECT status FROM work_items") == [("done",)]


def test_a_days_list_is_by_team_area_and_window(
    engine: Engine, door: AtTheDoor, who: dict[str, Acting], item: str
) -> None:
    visit = plan(engine, door, who["ann"], _plan(item, area="pudong"), AT)
    day = AT.replace(hour=0)
    found = visits(engine, who["audrey"], team="north", area="pudong", begins=day, ends=day + timedelta(days=1))
    assert [one.key for one in found] == [visit.key]
    assert visits(engine, who["ann"], team="south") == []
    assert visits(engine, who["ann"], begins=day + timedelta(days=1)) == []
    cancel(engine, who["ann"], visit.key, AT)
    assert visits(engine, who["ann"], team="north") == []
    assert plan(engine, door, who["ann"], _plan(item), AT).status == "planned"


def test_who_runs_the_machine_or_audits_it_visits_nobody(
    engine: Engine, door: AtTheDoor, who: dict[str, Acting], item: str
) -> None:
    for code in ("olga", "audrey"):
        with pytest.raises(NotAllowedError):
            plan(engine, door, who[code], _plan(item), AT)


def test_the_card_left_at_a_door_names_no_debt() -> None:
    wording = Wording(TEMPLATES)
    (card,) = [one for one in wording.templates if one.piece.channel == "visit"]
    assert not card.names & OF_THE_DEBT
    assert not [one for one in wording.mistakes if "visit-card" in one.file]


def test_a_card_that_names_the_debt_is_refused(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "policies" / "templates"
    shutil.copytree(TEMPLATES, folder)
    shutil.copytree(TEMPLATES.parent / "rules", tmp_path / "policies" / "rules")
    card = folder / "en" / "visit-card.visit.j2"
    card.write_text(card.read_text(encoding="utf-8").replace("Thank you.", "You owe {{ amount }}."), encoding="utf-8")
    assert any("visit-card" in one.file for one in Wording(folder).mistakes)
