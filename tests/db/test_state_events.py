"""State events in the ledger: once, in any order, for everybody concerned, and they win when they commit first."""

import itertools
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.testing import ActivityEnvironment

from activities.contact import ContactActivities
from activities.wording import Wording
from db.facts import read_account
from db.holds import release_holds
from db.intake import Order, import_file
from db.locks import lock_contact, lock_persons
from db.opening import open_page
from db.settings import put_in_force
from db.state_events import Recorded, concern_of, record_state_event
from db.state_reading import read_active
from domain.case import CaseInput, ContactReport, ContactRequest
from domain.clock import BusinessClock
from domain.codes import AUTOMATED_CHANNELS, AttemptStatus, HoldReason
from domain.gate import LedgerGate
from domain.messages import parse_message
from domain.state_events import StateKind
from domain.state_facts import Standing
from domain.state_messages import StateEvent
from domain.strategy_file import parse_strategy
from tests.workflows.conftest import LADDER, TEMPLATES, CountingCarrier

AT = datetime(2026, 3, 3, 15, tzinfo=UTC)
CLOCK = BusinessClock(kind="logical", origin=AT, epoch=datetime(2000, 1, 1, tzinfo=UTC), speed=1e12)
SHARED = "+13125550100"
LEDGER = f"""account_id,debtor_id,product,currency,amount,due_date,phone,timezone,collector_id
L1,K1,loan,USD,100.00,2026-03-02,{SHARED},America/Chicago,agency
L2,K1,loan,USD,50.00,2026-03-02,{SHARED},America/Chicago,agency
L3,K2,loan,USD,70.00,2026-03-02,{SHARED},America/Chicago,agency
L4,K3,loan,USD,70.00,2026-03-02,+13125550199,America/Chicago,agency
"""
FIRST, SECOND, NEIGHBOUR, STRANGER = (f"A{number:09}" for number in range(1, 5))


@dataclass
class Desk:
    """A small ledger: K1 owes two debts and shares a number with K2; K3 has nothing to do with them."""

    engine: Engine
    cases: dict[str, CaseInput]

    def tell(self, name: str, account: str = FIRST, *, at: datetime = AT, **body: object) -> Recorded:
        """Record a message as the case of an account would."""
        message = parse_message(name, {"event_id": f"{name}/1", **body})
        assert isinstance(message, StateEvent)
        told = message.told(account, at)
        with self.engine.connect() as connection:
            concern = concern_of(connection, told)
        with self.engine.begin() as connection:
            lock_persons(connection, concern.accounts, concern.points)
            return record_state_event(connection, told, zone="America/Chicago")

    def point(self, account: str) -> str:
        return str(
            self.one(
                "SELECT n.key FROM contact_points n JOIN account_parties ap ON ap.party_key = n.party_key "
                "WHERE ap.account_key = %s AND n.kind = 'phone'",
                account,
            )
        )

    def party(self, account: str) -> str:
        return str(
            self.one("SELECT party_key FROM account_parties WHERE account_key = %s AND role = 'borrower'", account)
        )

    def active(self, account: str, now: datetime) -> tuple[Standing, ...]:
        with self.engine.connect() as connection:
            return read_active(
                connection,
                account_keys=[account],
                party_keys=[self.party(account)],
                point_keys=[self.point(account)],
                now=now,
            )

    def kinds(self, account: str = FIRST, now: datetime = AT) -> list[str]:
        return [str(event.kind) for event in self.active(account, now)]

    def facts(self, account: str, now: datetime = AT) -> Any:  # noqa: ANN401 - a test looks at fields
        with self.engine.connect() as connection:
            return read_account(connection, account, now, logical=True).facts

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query, values or None)]

    def one(self, query: str, *values: object) -> Any:  # noqa: ANN401 - whatever was asked for
        return self.rows(query, *values)[0][0]


@pytest.fixture
def desk(engine: Engine, tmp_path: Path) -> Desk:
    path = tmp_path / "ledger.csv"
    path.write_text(LEDGER, encoding="utf-8")
    assert import_file(engine, Order("ledger", path, AT - timedelta(days=30))).mistakes == []
    strategy = parse_strategy(LADDER, "test.yaml")
    with engine.begin() as connection:
        (digest,) = put_in_force(connection, [strategy], AT)
    page = open_page(engine, as_of=AT, strategies={digest: strategy}, clock=CLOCK, limit=10)
    return Desk(engine, {case.state.account_key: case for case in page.cases})


# --- whom it concerns -----------------------------------------------------------------------------------------------


def test_a_stop_at_a_number_two_debtors_share_stops_both(desk: Desk) -> None:
    desk.tell("opt_out", contact_point=desk.point(FIRST))
    assert [desk.kinds(account) for account in (FIRST, SECOND, NEIGHBOUR, STRANGER)] == [["opt_out"]] * 3 + [[]]
    asked_under = [event.number for event in desk.active(NEIGHBOUR, AT)]
    assert asked_under == [desk.point(NEIGHBOUR)]
    desk.tell("opt_in", NEIGHBOUR, at=AT + timedelta(hours=1), contact_point=desk.point(NEIGHBOUR))
    assert desk.kinds(FIRST, AT + timedelta(hours=1)) == []


def test_an_opt_out_and_a_cease_are_no_holds_and_have_no_end(desk: Desk) -> None:
    desk.tell("opt_out", contact_point=desk.point(FIRST))
    desk.tell("cease_communication", form="letter")
    assert desk.rows("SELECT key FROM holds") == []
    assert desk.kinds(FIRST, AT + timedelta(days=3650)) == ["opt_out", "cease_communication"]
    assert desk.facts(FIRST).stops == (StateKind.CEASE,)
    assert desk.facts(SECOND).stops == ()


def test_a_cease_binds_the_collector_it_was_told_to(desk: Desk) -> None:
    desk.tell("cease_communication", form="letter")
    with desk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET collector = 'other' WHERE key = %s", (FIRST,))
    assert (desk.kinds(), desk.facts(FIRST).stops) == ([], ())


def test_a_debtor_wide_event_told_to_two_cases_is_one_row_one_hold_one_item_and_in_both_records(desk: Desk) -> None:
    first = desk.tell("bankruptcy_filed", event_id="scrub/1")
    again = desk.tell("bankruptcy_filed", SECOND, event_id="scrub/1")
    assert (first.is_new, again.is_new, first.key) == (True, False, again.key)
    assert first.cases == again.cases == (f"{FIRST}/1", f"{SECOND}/1")
    assert desk.rows("SELECT reason, scope, until_at FROM holds") == [("bankruptcy", "debtor", None)]
    assert desk.rows("SELECT reason, skill FROM work_items") == [("bankruptcy", "legal")]
    told = "SELECT case_key FROM {} ORDER BY case_key"
    assert [row[0] for row in desk.rows(told.format("work_item_cases"))] == list(first.cases)
    assert [row[0] for row in desk.rows(told.format("case_events WHERE kind = 'state_event'"))] == list(first.cases)
    assert [desk.facts(account).hold is not None for account in (FIRST, SECOND, NEIGHBOUR)] == [True, True, False]


def test_one_event_id_for_two_debts_is_two_events(desk: Desk) -> None:
    desk.tell("dispute", FIRST, event_id="ops/1", form="letter")
    desk.tell("dispute", SECOND, event_id="ops/1", form="letter")
    assert desk.one("SELECT count(*) FROM holds WHERE reason = 'dispute'") == 2


def test_what_happened_to_another_person_rests_nobody_elses_debts(desk: Desk) -> None:
    with desk.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO account_parties (account_key, party_key, role) VALUES (%s, %s, 'guarantor')",
            (FIRST, desk.party(STRANGER)),
        )
    desk.tell("deceased", party=desk.party(STRANGER))
    assert (desk.facts(FIRST).stops, desk.facts(FIRST).hold) == ((), None)
    assert desk.kinds(FIRST) == []
    assert desk.kinds(STRANGER) == ["deceased"]


def test_a_wrong_party_takes_the_number_out_of_use_for_every_debtor_until_new_proof(desk: Desk) -> None:
    recorded = desk.tell("wrong_party", contact_point=desk.point(FIRST))
    states = "SELECT DISTINCT state FROM contact_points WHERE value = %s"
    assert desk.rows(states, SHARED) == [("wrong_party",)]
    assert not desk.facts(NEIGHBOUR).phone_known
    assert desk.rows("SELECT kind, reason FROM work_items") == [("data_repair", "wrong_party")]
    later = AT + timedelta(days=2)
    desk.tell("end_state_event", NEIGHBOUR, at=later, event=recorded.key, reason="recorded_in_error")
    assert desk.rows(states, SHARED) == [("unconfirmed",)]
    assert desk.kinds(NEIGHBOUR, later) == []
    assert desk.rows("SELECT status FROM work_items") == [("done",)]


def test_a_complaint_goes_to_nobody_who_worked_the_case(desk: Desk) -> None:
    with desk.engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT append_case_event(%s, 'worked', %s, '{\"actor\":\"agent/7\"}')", (f"{FIRST}/1", AT)
        )
    desk.tell("complaint", about="call_times", involved="agent/12")
    assert desk.rows("SELECT skill, not_for FROM work_items") == [("complaints", ["agent/12", "agent/7"])]


def test_an_event_about_somebody_unknown_rests_the_account_until_a_person_looks(desk: Desk) -> None:
    desk.tell("opt_out", contact_point="N999999999")
    assert desk.kinds() == ["unclear_reply"]
    assert desk.facts(FIRST).hold.reason is HoldReason.REVIEW
    assert desk.rows("SELECT reason FROM work_items") == [("unclear_reply",)]


def test_a_discharged_debt_is_closed_and_never_opened_again(desk: Desk) -> None:
    recorded = desk.tell("bankruptcy_discharged")
    assert desk.facts(FIRST).closing == "discharged"
    assert desk.facts(FIRST).stops == (StateKind.BANKRUPTCY_DISCHARGED,)
    desk.tell("end_state_event", at=AT + timedelta(days=1), event=recorded.key, reason="recorded_in_error")
    assert desk.facts(FIRST, AT + timedelta(days=1)).closing is None


# --- when it ends ---------------------------------------------------------------------------------------------------

STORIES: dict[str, list[tuple[str, int, dict[str, Any]]]] = {
    "bankruptcy": [("bankruptcy_filed", 0, {}), ("bankruptcy_dismissed", 2, {}), ("bankruptcy_filed", 4, {})],
    "texts": [("opt_out", 0, {}), ("opt_in", 1, {}), ("opt_out", 2, {}), ("opt_in", 3, {})],
    "dispute": [("dispute", 0, {"form": "letter"}), ("verification_sent", 3, {})],
    "by kind": [
        ("cease_communication", 0, {"form": "letter"}),
        ("end_state_event", 2, {"kind": "cease_communication", "reason": "reopened"}),
        ("cease_communication", 4, {"form": "letter"}),
    ],
    "by id": [
        ("identity_theft", 0, {}),
        ("identity_theft", 1, {}),
        ("end_state_event", 3, {"event": "e/0", "reason": "cleared"}),
    ],
    "consent": [
        ("consent_given", 0, {"consent": "callback"}),
        ("consent_given", 1, {"consent": "channel", "channel": "sms"}),
        ("consent_withdrawn", 2, {"consent": "callback"}),
    ],
}


@pytest.mark.parametrize("story", STORIES)
def test_what_stands_does_not_depend_on_the_order_of_arrival(desk: Desk, story: str) -> None:
    told = STORIES[story]
    seen = set()
    for number, order in enumerate(itertools.permutations(range(len(told)))):
        with desk.engine.begin() as connection:
            for table in ("work_item_cases", "work_items", "holds", "consents", "state_events"):
                connection.exec_driver_sql(f"DELETE FROM {table}")
        for place in order:
            name, day, body = told[place]
            if name.startswith("opt_"):
                body = {**body, "contact_point": desk.point(FIRST)}
            desk.tell(name, at=AT + timedelta(days=day), **{**body, "event_id": f"e/{place}"})
        days = [AT + timedelta(days=day, hours=1) for day in range(-1, 6)]
        standing = tuple(tuple(desk.kinds(FIRST, now)) for now in days)
        held = tuple(desk.facts(FIRST, now).hold is not None for now in days)
        seen.add((standing, held))
        assert len(seen) == 1, f"order {number} tells another story"
    assert any(seen.pop()[0])


def test_a_breathing_space_stands_for_sixty_days_where_the_debtor_lives(desk: Desk) -> None:
    desk.tell("breathing_space_start", kind="standard", start="2026-03-03")
    end = datetime(2026, 5, 2, 5, tzinfo=UTC)  # midnight in Chicago, summer time
    assert desk.kinds(FIRST, end - timedelta(seconds=1)) == ["breathing_space_start"]
    assert desk.kinds(FIRST, end) == []
    hold = desk.facts(FIRST).hold
    assert hold is not None
    assert hold.until == end
    assert desk.facts(FIRST, end).hold is None


def test_a_crisis_breathing_space_has_no_end_before_the_treatment_has(desk: Desk) -> None:
    desk.tell("breathing_space_start", kind="mental_health_crisis", start="2026-03-03")
    assert desk.kinds(FIRST, AT + timedelta(days=400)) == ["breathing_space_start"]
    desk.tell("breathing_space_end", at=AT + timedelta(days=10), treatment_ended="2026-04-04")
    assert desk.kinds(FIRST, datetime(2026, 5, 5, 4, 59, tzinfo=UTC)) == ["breathing_space_start"]
    assert desk.kinds(FIRST, datetime(2026, 5, 5, 5, tzinfo=UTC)) == []
    hold = desk.facts(FIRST, AT + timedelta(days=20)).hold
    assert hold is not None
    assert hold.until == datetime(2026, 5, 5, 5, tzinfo=UTC)


def test_releasing_the_hold_of_an_event_ends_the_event_and_what_was_asked(desk: Desk) -> None:
    desk.tell("dispute", form="letter")
    later = AT + timedelta(days=1)
    with desk.engine.begin() as connection:
        released = release_holds(
            connection, account_key=FIRST, debtor_key="", at=later, by="ops/1", reason=HoldReason.DISPUTE
        )
    assert len(released) == 1
    assert (desk.kinds(FIRST, later), desk.rows("SELECT status FROM work_items")) == ([], [("done",)])


def test_a_dispute_of_a_part_rests_only_what_is_disputed(desk: Desk) -> None:
    desk.tell("dispute", form="portal", part_amount=4_000)
    assert desk.facts(FIRST).hold is None
    assert desk.kinds() == ["dispute"]


# --- who commits first ----------------------------------------------------------------------------------------------


def _contact(desk: Desk, account: str, carrier: CountingCarrier) -> ContactReport:
    activities = ContactActivities(
        desk.engine, dict.fromkeys(AUTOMATED_CHANNELS, carrier), LedgerGate(), Wording(TEMPLATES), sleep=lambda _: None
    )
    case = desk.cases[account]
    request = ContactRequest(state=case.state, strategy_digest=case.strategy_digest, step="one", seq=1)
    report = ActivityEnvironment().run(activities.contact, request)
    assert isinstance(report, ContactReport)
    return report


@pytest.mark.parametrize(
    ("name", "body", "contacted", "rule"),
    [
        ("bankruptcy_filed", {}, SECOND, "core.hold"),
        ("wrong_party", {"contact_point": True}, NEIGHBOUR, "core.no-contact-point"),
    ],
)
def test_an_event_that_commits_while_admission_waits_for_the_lock_wins(
    desk: Desk, name: str, body: dict[str, Any], contacted: str, rule: str
) -> None:
    """Also for another debt of the person, and for another debtor with the same phone."""
    if "contact_point" in body:
        body = {"contact_point": desk.point(FIRST)}
    message = parse_message(name, {"event_id": "e", **body})
    assert isinstance(message, StateEvent)
    told = message.told(FIRST, AT)
    carrier, reports = CountingCarrier(), list[ContactReport]()
    with desk.engine.begin() as connection:
        concern = concern_of(connection, told)
        lock_persons(connection, concern.accounts, concern.points)
        thread = threading.Thread(target=lambda: reports.append(_contact(desk, contacted, carrier)))
        thread.start()
        _until_somebody_waits(desk.engine)
        record_state_event(connection, told, zone="America/Chicago")
    thread.join(20)
    assert carrier.requests == []
    assert reports[0].status is AttemptStatus.REFUSED
    assert rule in reports[0].rule_ids


def test_a_stop_that_commits_first_is_seen_by_the_admission_of_whoever_shares_the_phone(desk: Desk) -> None:
    message = parse_message("opt_out", {"event_id": "e", "contact_point": desk.point(FIRST)})
    assert isinstance(message, StateEvent)
    told, seen = message.told(FIRST, AT), list[str]()

    def admission() -> None:
        with desk.engine.begin() as connection:
            lock_contact(connection, NEIGHBOUR, "phone")
            standing = read_active(
                connection,
                account_keys=[NEIGHBOUR],
                party_keys=[desk.party(NEIGHBOUR)],
                point_keys=[desk.point(NEIGHBOUR)],
                now=AT,
            )
            seen.extend(str(event.kind) for event in standing)

    with desk.engine.begin() as connection:
        lock_persons(connection, [FIRST], [desk.point(FIRST)])  # the number alone keeps the neighbour waiting
        thread = threading.Thread(target=admission)
        thread.start()
        _until_somebody_waits(desk.engine)
        record_state_event(connection, told, zone="America/Chicago")
    thread.join(20)
    assert seen == ["opt_out"]


def _until_somebody_waits(engine: Engine) -> None:
    for _ in range(400):
        with engine.connect() as connection:
            waiting = connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one()
        if waiting:
            return
        time.sleep(0.02)
    raise AssertionError("nobody waited for the lock")
