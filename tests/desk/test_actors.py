"""Who may act: the first is an admin, a code is one person for ever, and a role does what its row says."""

import pytest
from sqlalchemy.exc import DBAPIError

from db.actors import ActorError, Fitness, acting_as, acting_in_message
from desk.actors import acting_at_desk, actors, add_actor, retire_actor
from domain.roles import MAY, SYSTEM, Act, Acting, NotAllowedError, Role, require
from tests.db.conftest import AT, Ledger
from tests.desk.conftest import ADMIN, People

NOBODY = Fitness()


def test_the_first_person_is_an_admin_and_is_added_once_by_nobody(ledger: Ledger) -> None:
    with pytest.raises(ActorError, match="the first person is an admin"):
        add_actor(ledger.engine, None, "ann", Role.SUPERVISOR, NOBODY, at=AT)
    assert add_actor(ledger.engine, None, "root", Role.ADMIN, NOBODY, at=AT)
    with pytest.raises(ActorError, match="say who acts"):
        add_actor(ledger.engine, None, "mallory", Role.ADMIN, NOBODY, at=AT)
    assert add_actor(ledger.engine, "root", "ann", Role.AGENT, Fitness(languages=("es",)), at=AT)
    assert not add_actor(ledger.engine, "root", "ann", Role.AGENT, Fitness(languages=("es",)), at=AT)
    assert [(one.code, one.role, one.fit.languages) for one in actors(ledger.engine, "ann")] == [
        ("ann", Role.AGENT, ("es",)),
        ("root", Role.ADMIN, ()),
    ]


def test_only_an_admin_appoints(people: People, ledger: Ledger) -> None:
    people("sue", Role.SUPERVISOR)
    with pytest.raises(NotAllowedError, match=r"sue \(supervisor\) may not manage actors; admin may"):
        add_actor(ledger.engine, "sue", "sue2", Role.SUPERVISOR, NOBODY, at=AT)
    with pytest.raises(NotAllowedError):
        retire_actor(ledger.engine, "sue", ADMIN, at=AT)


def test_a_code_names_one_person_for_ever(people: People, ledger: Ledger) -> None:
    people("ann")
    with pytest.raises(ActorError, match="is agent already"):
        add_actor(ledger.engine, ADMIN, "ann", Role.SUPERVISOR, NOBODY, at=AT)
    assert retire_actor(ledger.engine, ADMIN, "ann", at=AT)
    assert not retire_actor(ledger.engine, ADMIN, "ann", at=AT)
    with pytest.raises(ActorError, match="was retired"):
        add_actor(ledger.engine, ADMIN, "ann", Role.AGENT, NOBODY, at=AT)
    with pytest.raises(ActorError, match="acts no more"), ledger.engine.connect() as connection:
        acting_as(connection, "ann")
    for statement in (
        "UPDATE actors SET role = 'supervisor' WHERE code = 'root'",
        "UPDATE actors SET code = 'somebody' WHERE code = 'root'",
        "UPDATE actors SET active = true, retired_at = NULL WHERE code = 'ann'",
        "DELETE FROM actors WHERE code = 'ann'",
    ):
        with pytest.raises(DBAPIError):
            ledger.run(statement)


def test_the_last_admin_stays(people: People, ledger: Ledger) -> None:
    people(ADMIN)
    with pytest.raises(ActorError, match="last admin"):
        retire_actor(ledger.engine, ADMIN, ADMIN, at=AT)


@pytest.mark.parametrize("code", ["", "Ann", "ann ", " ann", "ann\n", "ännn", "a" * 81, "system", "carrier"])
def test_a_code_is_written_in_one_way(people: People, ledger: Ledger, code: str) -> None:
    people(ADMIN)
    with pytest.raises(ActorError):
        add_actor(ledger.engine, ADMIN, code, Role.AGENT, NOBODY, at=AT)


def test_nobody_acts_at_the_desk_unnamed_once_somebody_is_registered(people: People, ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        assert acting_at_desk(connection, None) == SYSTEM
    people("ann")
    with ledger.engine.connect() as connection:
        assert acting_at_desk(connection, "ann") == Acting("ann", Role.AGENT)
        with pytest.raises(ActorError, match="say who acts"):
            acting_at_desk(connection, None)
        with pytest.raises(ActorError, match="nobody is registered"):
            acting_at_desk(connection, "system")


def test_a_stranger_in_a_message_is_an_agent_at_most(people: People, ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        assert acting_in_message(connection, "agent/12").role is Role.SYSTEM
    people("sue", Role.SUPERVISOR)
    with ledger.engine.connect() as connection:
        assert acting_in_message(connection, "sue").role is Role.SUPERVISOR
        assert acting_in_message(connection, "Sue").role is Role.AGENT
        assert acting_in_message(connection, "carrier").role is Role.SYSTEM


FORBIDDEN = {
    Role.AGENT: {
        Act.APPROVE_PLAN, Act.APPROVE_LEGAL, Act.FILE_SUIT, Act.BULK, Act.BULK_CLOSE, Act.APPROVE_BULK, Act.ADOPT_STRATEGY, Act.REASSIGN, Act.CLOSE,
        Act.RELEASE_PROTECTED, Act.CORRECT_ANY_OUTCOME, Act.END_EVENT, Act.SKIP_STEP, Act.SWITCH, Act.STOP_ALL, Act.LIFT_STOP,
        Act.RECORD_MONEY, Act.IMPORT, Act.OPEN, Act.MANAGE_ACTORS, Act.EXPORT,
    },
    Role.OPS: {
        Act.CLAIM, Act.WORK, Act.RECORD_OUTCOME, Act.OFFER_PLAN, Act.AGREE_PLAN, Act.APPROVE_PLAN, Act.APPROVE_LEGAL,
        Act.FILE_SUIT, Act.RELEASE_PROTECTED, Act.END_EVENT, Act.MANAGE_ACTORS, Act.BULK_CLOSE, Act.APPROVE_BULK,
        Act.ADOPT_STRATEGY, Act.LIFT_STOP,
    },
    Role.AUDITOR: set(Act) - {Act.SEE, Act.VERIFY, Act.EXPORT},
    Role.ADMIN: set(Act) - {Act.SEE, Act.MANAGE_ACTORS},
    Role.SUPERVISOR: {Act.MANAGE_ACTORS, Act.IMPORT, Act.OPEN},
    Role.SYSTEM: {Act.MANAGE_ACTORS, Act.APPROVE_PLAN, Act.APPROVE_LEGAL, Act.APPROVE_BULK},
}  # fmt: skip


@pytest.mark.parametrize("role", Role)
def test_a_role_does_what_its_row_says_and_nothing_else(role: Role) -> None:
    for act in Act:
        if act in MAY[role]:
            require(Acting("x", role), act)
        else:
            with pytest.raises(NotAllowedError, match="may not"):
                require(Acting("x", role), act)
    assert not FORBIDDEN[role] & MAY[role]


def test_every_act_is_somebody_s() -> None:
    assert frozenset().union(*MAY.values()) == frozenset(Act)
