"""Four eyes: in whatever order one person asks, changes, approves, returns and asks again, they never decide alone."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy.exc import DBAPIError, IntegrityError

from db.actors import ActorError, Fitness, acting_as
from db.approvals import Approval, ApprovalError, approval_of, list_approvals
from desk.actors import add_actor, retire_actor
from desk.approvals import approve, ask, return_
from domain.approvals import Subject, SubjectKind, Verdict
from domain.roles import Acting, NotAllowedError, Role
from tests.db.conftest import _EMPTY, AT, Ledger
from tests.desk.conftest import ADMIN, People

ROLES = {"ann": Role.AGENT, "sue": Role.SUPERVISOR, "tom": Role.SUPERVISOR, "olga": Role.OPS, "aud": Role.AUDITOR}
CODES = st.sampled_from(sorted(ROLES))
SUBJECTS = st.sampled_from(["R1", "R2"])
DIGESTS = st.sampled_from(["aaaaaaaa", "bbbbbbbb"])


class FourEyes(RuleBasedStateMachine):
    """Any order of calls. The model keeps, for each question, who has had a hand in it."""

    ledger: ClassVar[Ledger]

    @initialize()
    def start(self) -> None:
        with self.ledger.engine.begin() as connection:
            connection.exec_driver_sql(_EMPTY)
        add_actor(self.ledger.engine, None, ADMIN, Role.ADMIN, Fitness(), at=AT)
        for code, role in ROLES.items():
            add_actor(self.ledger.engine, ADMIN, code, role, Fitness(), at=AT)
        self.hands: dict[str, set[str]] = {}
        self.open: dict[str, str] = {}
        self.content: dict[str, str] = {}
        self.decided: dict[str, str] = {}
        self.retired: set[str] = set()
        self.names = dict.fromkeys(ROLES)
        self.now = AT

    def _acting(self, code: str) -> Acting:
        return Acting(code, ROLES[code])

    def _tick(self) -> None:
        self.now += timedelta(seconds=1)

    @rule(code=CODES, subject=SUBJECTS, digest=DIGESTS)
    def asks_or_changes(self, code: str, subject: str, digest: str) -> None:
        self._tick()
        try:
            held = ask(self.ledger.engine, self._acting(code), Subject(SubjectKind.PLAN, subject, digest), at=self.now)
        except NotAllowedError:
            assert code in {"olga", "aud"}
            return
        assert code in {"ann", "sue", "tom"}
        if subject not in self.open:
            assert held.key not in self.hands
            self.open[subject] = held.key
        assert self.open[subject] == held.key
        self.hands.setdefault(held.key, set()).add(code)
        self.content[held.key] = digest

    @rule(code=CODES, subject=SUBJECTS, says=st.sampled_from(Verdict), looked=st.booleans(), digest=DIGESTS)
    def decides(self, code: str, subject: str, says: Verdict, looked: bool, digest: str) -> None:
        self._tick()
        key = self.open.get(subject, "V000000000")
        seen = digest if looked and says is Verdict.APPROVED else None
        try:
            if says is Verdict.APPROVED:
                approve(self.ledger.engine, self._acting(code), key, at=self.now, seen=seen)
            else:
                return_(self.ledger.engine, self._acting(code), key, at=self.now)
        except NotAllowedError:
            assert code not in {"sue", "tom"} or code in self.hands[key]
            return
        except ActorError:
            assert code in self.retired
            return
        except ApprovalError:
            changed = seen is not None and seen != self.content.get(key)
            assert subject not in self.open or changed
            return
        assert code in {"sue", "tom"} - self.hands[key] - self.retired
        assert seen in {None, self.content[key]}
        self.decided[key] = code
        del self.open[subject]

    @rule(code=CODES)
    def is_retired(self, code: str) -> None:
        retire_actor(self.ledger.engine, ADMIN, code, at=self.now)
        self.retired.add(code)

    @rule(code=CODES, other=st.sampled_from(["ann", "sue", "tom"]))
    def tries_another_role_or_name(self, code: str, other: str) -> None:
        """Nobody becomes somebody else: not in another role, not under a code that was retired, not by renaming."""
        with pytest.raises(ActorError):
            add_actor(
                self.ledger.engine,
                ADMIN,
                code,
                Role.OPS if ROLES[code] is not Role.OPS else Role.AGENT,
                Fitness(),
                at=AT,
            )
        with pytest.raises(ActorError):
            add_actor(self.ledger.engine, ADMIN, code.upper(), Role.SUPERVISOR, Fitness(), at=AT)
        for statement in (
            f"UPDATE actors SET code = '{code}2' WHERE code = '{code}'",
            f"UPDATE actors SET role = 'admin' WHERE code = '{code}'",
        ):
            with pytest.raises(DBAPIError):
                self.ledger.run(statement)
        for key in self.open.values():
            if self.hands[key] == {other}:
                continue
            with pytest.raises(DBAPIError):
                self.ledger.run(
                    "UPDATE approvals SET asked_by = %s, touched_by = %s WHERE key = %s", other, [other], key
                )

    @invariant()
    def nobody_has_decided_what_they_had_a_hand_in(self) -> None:
        if not hasattr(self, "hands"):
            return
        with self.ledger.engine.connect() as connection:
            for one in list_approvals(connection, decided=True):
                assert self.hands[one.key] == set(one.touched_by)
                assert one.decided_by == self.decided.get(one.key)
                assert one.decided_by not in self.hands[one.key]
                if one.decision is Verdict.APPROVED and one.key not in self.open.values():
                    assert one.digest == self.content[one.key]


@pytest.fixture
def machine(ledger: Ledger) -> Iterator[type[FourEyes]]:
    FourEyes.ledger = ledger
    yield FourEyes
    del FourEyes.ledger


def test_four_eyes_are_not_passed_by_one_person_in_any_order(machine: type[FourEyes]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))


def test_four_eyes_hold_when_all_call_at_once(people: People, ledger: Ledger) -> None:
    """Two supervisors and an agent ask, change and approve the same subject from many threads."""
    who = [people("ann", Role.AGENT), people("sue", Role.SUPERVISOR), people("tom", Role.SUPERVISOR)]
    start = threading.Barrier(12)

    def storm(number: int) -> int:
        acting, done = who[number % 3], 0
        start.wait(timeout=60)
        for turn in range(25):
            subject = Subject(SubjectKind.PLAN, f"R{turn % 4}", f"{turn % 2}" * 8)
            at = AT + timedelta(seconds=number * 1000 + turn)
            held = ask(ledger.engine, acting, subject, at=at) if (number + turn) % 3 else None
            for key in (
                [held.key]
                if held
                else [row[0] for row in ledger.rows("SELECT key FROM approvals WHERE decided_at IS NULL")]
            ):
                try:
                    approve(ledger.engine, acting, key, at=at)
                    done += 1
                except (NotAllowedError, ApprovalError):
                    pass
        return done

    with ThreadPoolExecutor(12) as pool:
        done = sum(pool.map(storm, range(12)))
    rows = ledger.rows("SELECT asked_by, touched_by, decided_by FROM approvals WHERE decided_at IS NOT NULL")
    assert len(rows) == done > 0, "somebody decided, or the test shows nothing"
    assert all(decider not in touched and decider != asker for asker, touched, decider in rows)
    assert {decider for _, _, decider in rows} <= {"sue", "tom"}
    assert (
        ledger.one(
            "SELECT coalesce(max(n), 0) FROM (SELECT count(*) n FROM approvals WHERE decided_at IS NULL "
            "GROUP BY subject_kind, subject_key) open"
        )
        <= 1
    )


def test_the_database_refuses_it_too(people: People, ledger: Ledger) -> None:
    sue, tom = people("sue", Role.SUPERVISOR), people("tom", Role.SUPERVISOR)
    held = ask(ledger.engine, sue, Subject(SubjectKind.PLAN, "R1", "x" * 8), at=AT)
    decide = "UPDATE approvals SET decided_by = %s, decided_at = %s, decision = 'approved' WHERE key = %s"
    with pytest.raises(IntegrityError, match="four_eyes"):
        ledger.run(decide, "sue", AT, held.key)
    with pytest.raises(IntegrityError, match="fk_"):
        ledger.run(decide, "nobody", AT, held.key)
    approve(ledger.engine, tom, held.key, at=AT)
    for statement in (
        "UPDATE approvals SET reason = 'other'",
        "UPDATE approvals SET decided_by = NULL, decided_at = NULL, decision = NULL",
        "DELETE FROM approvals",
        "TRUNCATE approvals",
    ):
        with pytest.raises(DBAPIError, match="append-only"):
            ledger.run(statement)


def test_an_approval_is_of_the_content_that_was_seen(people: People, ledger: Ledger) -> None:
    ann, sue = people("ann"), people("sue", Role.SUPERVISOR)
    first = Subject(SubjectKind.PLAN, "R1", "a" * 64)
    changed = Subject(SubjectKind.PLAN, "R1", "b" * 64)
    held = ask(ledger.engine, ann, first, at=AT)
    ask(ledger.engine, ann, changed, at=AT + timedelta(minutes=1))
    with pytest.raises(ApprovalError, match="has changed since you looked"):
        approve(ledger.engine, sue, held.key, at=AT, seen="a" * 12)
    approve(ledger.engine, sue, held.key, at=AT, seen="b" * 12)
    with ledger.engine.connect() as connection:
        assert isinstance(approval_of(connection, changed), Approval)
        assert approval_of(connection, first) is None


def test_a_role_that_somebody_claims_to_have_is_not_believed(people: People, ledger: Ledger) -> None:
    ann, _ = people("ann"), people("bob")
    held = ask(ledger.engine, ann, Subject(SubjectKind.PLAN, "R1"), at=AT)
    with pytest.raises(NotAllowedError, match=r"bob \(agent\) may not approve plan; supervisor may"):
        approve(ledger.engine, Acting("bob", Role.SUPERVISOR), held.key, at=AT)
    with pytest.raises(ActorError):
        approve(ledger.engine, Acting("system", Role.SUPERVISOR), held.key, at=AT)


def test_question_and_answer_stand_in_the_record_of_the_case(people: People, ledger: Ledger) -> None:
    ledger.loan()
    ledger.open()
    ann, sue = people("ann"), people("sue", Role.SUPERVISOR)
    case_key = ledger.one("SELECT key FROM cases")
    held = ask(ledger.engine, ann, Subject(SubjectKind.LEGAL, case_key, "c" * 8, case_key), at=AT)
    return_(ledger.engine, sue, held.key, at=AT, reason="no_papers")
    rows = ledger.rows(
        "SELECT kind, body::jsonb ->> 'actor', body::jsonb ->> 'role', body::jsonb ->> 'reason' FROM case_events "
        "WHERE kind LIKE 'approval%%' ORDER BY seq"
    )
    assert rows == [
        ("approval_asked", "ann", "agent", None),
        ("approval_decided", "sue", "supervisor", "no_papers"),
    ]
    with ledger.engine.connect() as connection:
        assert acting_as(connection, "sue") == sue
