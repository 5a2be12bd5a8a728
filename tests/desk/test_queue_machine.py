"""Any order of claims, renewals, releases, reports and passing time, against PostgreSQL and a model a page long."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection

from desk.finishing import finish
from desk.queue import Desk, LeaseLostError, Now, QueueError, claim, claim_next, reassign, release, renew_lease
from domain.codes import TaskKind
from domain.roles import Acting
from domain.work_policy import Lease, placement
from runtime.desk import desk_of
from tests.activities.cases import AT
from tests.db.conftest import Ledger
from tests.desk.house import ANN, BEN, EVE, POLICY, staff

LEASE = Lease(minutes=15, lapses=20)
CALM = POLICY.model_copy(
    update={
        "lease": LEASE,
        "kinds": {kind: one.model_copy(update={"within_hours": 8_000}) for kind, one in POLICY.kinds.items()},
        "reasons": {why: one.model_copy(update={"within_hours": 8_000}) for why, one in POLICY.reasons.items()},
    }
)
"""Loans lapse as often as they like here, and nothing is ever late: what escalates is tried elsewhere."""
AGENTS = st.sampled_from([ANN, BEN])
REASONS = ("complaint", "dispute", "ladder_ended")


@dataclass
class Model:
    """One item as it should stand."""

    rank: datetime
    holder: str | None = None
    lease_no: int = 0
    until: datetime = AT
    given_to: str | None = None
    done: bool = False

    def free(self, who: str, now: datetime) -> bool:
        """Whether somebody may take it now."""
        lent = self.holder is not None and self.until > now
        return not self.done and not lent and self.given_to in {None, who}


class QueueMachine(RuleBasedStateMachine):
    """The desk beside its model."""

    desk: Desk
    loans = Bundle("loans")

    def __init__(self) -> None:
        super().__init__()
        self.now = AT
        self.items: dict[str, Model] = {}
        self.reports: dict[str, int] = {}
        with self.desk.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.exec_driver_sql("DELETE FROM work_events")
            connection.exec_driver_sql("DELETE FROM work_items")
            connection.exec_driver_sql("SELECT setval('work_item_numbers', 1, false)")

    @rule(reason=st.sampled_from(REASONS), ago=st.integers(0, 1200))
    def ask(self, reason: str, ago: int) -> None:
        """Somebody is asked to do something."""
        due = self.now - timedelta(minutes=ago)
        with self.desk.engine.begin() as connection:
            key = connection.exec_driver_sql(
                "INSERT INTO work_items (kind, reason, created_at, due_at) VALUES ('review', %s, %s, %s) RETURNING key",
                (reason, due, due),
            ).scalar_one()
        self.items[key] = Model(placement(CALM, TaskKind.REVIEW, reason, 0, due).rank_at)

    @rule(minutes=st.integers(1, 20))
    def wait(self, minutes: int) -> None:
        """Time passes, for some loans too much."""
        self.now += timedelta(minutes=minutes)

    @rule(target=loans, who=AGENTS)
    def next(self, who: Acting) -> object:
        """Whoever asks gets the first of what is theirs, else the first of what is free."""
        lent = claim_next(self.desk, who, self.now)
        free = [key for key, one in self.items.items() if one.free(who.actor, self.now)]
        expected = min(
            free, key=lambda key: (self.items[key].given_to is None, self.items[key].rank, key), default=None
        )
        assert (None if lent is None else lent.key) == expected
        if lent is None:
            return multiple()
        return self._lent(lent.key, who, lent.lease_no)

    @rule(target=loans, who=AGENTS, data=st.data())
    def take(self, who: Acting, data: st.DataObject) -> object:
        """Claim an item by name: it is had if it is free, or one's own."""
        if not self.items:
            return multiple()
        key = data.draw(st.sampled_from(sorted(self.items)))
        one = self.items[key]
        if not one.done and one.holder == who.actor:
            assert claim(self.desk, who, key, self.now).lease_no == one.lease_no
            one.until = max(one.until, self.now + LEASE.length)
            return multiple()
        if one.free(who.actor, self.now):
            return self._lent(key, who, claim(self.desk, who, key, self.now).lease_no)
        with pytest.raises(QueueError):
            claim(self.desk, who, key, self.now)
        return multiple()

    def _lent(self, key: str, who: Acting, lease_no: int) -> tuple[str, Acting, int]:
        one = self.items[key]
        assert lease_no == one.lease_no + 1
        one.holder, one.lease_no, one.until = who.actor, lease_no, self.now + LEASE.length
        return key, who, lease_no

    @contextmanager
    def _if_held(self, key: str, who: Acting, lease_no: int) -> Iterator[Model | None]:
        """Yield the item if the loan is good; else what is done in here must be refused."""
        one = self.items[key]
        if not one.done and (one.holder, one.lease_no) == (who.actor, lease_no):
            yield one
        else:
            with pytest.raises(LeaseLostError):
                yield None

    @rule(loan=loans)
    def renew(self, loan: tuple[str, Acting, int]) -> None:
        """Prolong a loan while it is good."""
        key, who, lease_no = loan
        with self._if_held(key, who, lease_no) as one:
            until = renew_lease(self.desk, who, key, lease_no, self.now)
            if one is not None:
                one.until = max(one.until, until)

    @rule(loan=loans)
    def give_back(self, loan: tuple[str, Acting, int]) -> None:
        """Give an item back while the loan is good."""
        key, who, lease_no = loan
        with self._if_held(key, who, lease_no) as one:
            release(self.desk, who, key, lease_no, self.now)
            if one is not None:
                one.holder = None

    @rule(loan=loans)
    def report(self, loan: tuple[str, Acting, int]) -> None:
        """Report what came of it while the loan is good; the same report again is harmless."""
        key, who, lease_no = loan
        if self.reports.get(key) == lease_no:
            assert finish(self.desk, who, key, lease_no, {"disposition": "done"}, self.now, logical=True).again
            return
        with self._if_held(key, who, lease_no) as one:
            finish(self.desk, who, key, lease_no, {"disposition": "done"}, self.now, logical=True)
            if one is not None:
                one.done = True
                self.reports[key] = lease_no

    @rule(loan=consumes(loans), to=st.sampled_from([None, "ann", "ben"]))
    def give_to(self, loan: tuple[str, Acting, int], to: str | None) -> None:
        """Take an item from anybody, as a supervisor, unless it is done."""
        key, _, _ = loan
        one = self.items[key]
        if one.done:
            with pytest.raises(QueueError):
                reassign(self.desk, EVE, key, to, self.now)
            return
        reassign(self.desk, EVE, key, to, self.now)
        one.holder, one.given_to = None, to

    @invariant()
    def every_loan_has_one_number_and_every_report_one_loan(self) -> None:
        """Compare the record of the queue with the model."""
        with self.desk.engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT key, status, claimed_by, lease_no FROM work_items").all()
            ended = connection.exec_driver_sql(
                "SELECT item_key, lease_no FROM work_events WHERE kind = 'finished'"
            ).all()
        assert {row.key: row.lease_no for row in rows} == {key: one.lease_no for key, one in self.items.items()}
        assert {row.key for row in rows if row.status == "done"} == {key for key, one in self.items.items() if one.done}
        assert sorted((row.item_key, row.lease_no) for row in ended) == sorted(self.reports.items())


def always(connection: Connection, item_key: str, now: datetime) -> Now:
    """Have nothing against anything: nobody is spoken to here."""
    del connection, item_key, now
    return Now()


def test_any_order_of_acts_keeps_an_item_with_one_person_and_its_report_single(ledger: Ledger) -> None:
    engine = ledger.engine
    staff(engine)
    desk = desk_of(engine, policy=CALM)
    machine = type("Machine", (QueueMachine,), {"desk": Desk(engine, CALM, always, desk.catalogue)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
