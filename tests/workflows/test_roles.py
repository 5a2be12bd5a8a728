"""A message is taken from whoever may send it; what is refused is kept, said, and changes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.actors import Fitness
from desk.actors import add_actor, retire_actor
from domain.roles import Role
from tests.workflows.conftest import House

NOW = datetime.now(UTC)


def _people(house: House) -> None:
    add_actor(house.engine, None, "root", Role.ADMIN, Fitness(), at=NOW)
    for code, role in (
        ("ann", Role.AGENT),
        ("sue", Role.SUPERVISOR),
        ("olga", Role.OPS),
        ("aud", Role.AUDITOR),
        ("old", Role.SUPERVISOR),
    ):
        add_actor(house.engine, "root", code, role, Fitness(), at=NOW)
    retire_actor(house.engine, "root", "old", at=NOW)


FORBIDDEN: list[tuple[str, str, dict[str, Any]]] = [
    ("ann", "close_case", {"reason": "uncollectable"}),
    ("somebody", "close_case", {"reason": "uncollectable"}),
    ("Sue", "close_case", {"reason": "uncollectable"}),
    ("old", "close_case", {"reason": "uncollectable"}),
    ("aud", "pause", {}),
    ("root", "pause", {}),
    ("olga", "record_call_outcome", {"party_reached": "no_one", "disposition": "no_answer"}),
    ("ann", "record_payment", {"payment_id": "P9", "amount": 10_000, "currency": "USD"}),
    ("ann", "release_hold", {"reason": "dispute"}),
    ("ann", "release_hold", {"hold": "H000000001"}),
    ("ann", "verification_sent", {}),
    ("ann", "end_state_event", {"event": "letter/1", "reason": "lifted"}),
    ("ann", "end_state_event", {"kind": "dispute", "reason": "lifted"}),
    ("ann", "record_legal_update", {"stage": "approved"}),
    ("ann", "record_legal_update", {"stage": "filed"}),
    ("ann", "skip_step", {"step": "one"}),
]


async def test_what_a_role_may_not_send_is_kept_and_named_and_changes_nothing(house: House) -> None:
    house.one_account((NOW - timedelta(days=20)).date())
    handle = await house.open(NOW)
    _people(house)
    await handle.signal("dispute", {"event_id": "letter/1", "form": "letter", "actor": "ann"})
    before = await house.settled(handle, 1)
    assert before["stage"] == "held"
    for number, (actor, name, body) in enumerate(FORBIDDEN):
        await handle.signal(name, {"event_id": f"no/{number}", "actor": actor, **body})
    after = await house.settled(handle, 1 + len(FORBIDDEN))
    assert after["refused_total"] == len(FORBIDDEN)
    assert {one["name"] for one in after["refused"]} == {name for _, name, _ in FORBIDDEN}
    assert {key: after[key] for key in ("stage", "past_due", "attempts")} == {
        key: before[key] for key in ("stage", "past_due", "attempts")
    }
    assert house.rows("SELECT count(*) FROM holds WHERE released_at IS NULL AND reason = 'dispute'") == [(1,)]
    kept = house.rows("SELECT external_id, refusal FROM inbox WHERE status = 'refused' ORDER BY id")
    assert [external_id.partition("#")[2] for external_id, _ in kept] == [f"no/{n}" for n in range(len(FORBIDDEN))]
    assert all(refusal.startswith("actor: ") for _, refusal in kept)
    tried = house.rows(
        "SELECT body::jsonb ->> 'actor', body::jsonb ->> 'role' FROM case_events WHERE kind = 'refused' ORDER BY seq"
    )
    roles = {"ann": "agent", "somebody": "unregistered", "Sue": "unregistered", "old": "supervisor", "aud": "auditor"}
    roles |= {"root": "admin", "olga": "ops"}
    assert tried == [(actor, roles[actor]) for actor, _, _ in FORBIDDEN]


ALLOWED: list[tuple[str, str, dict[str, Any]]] = [
    ("ann", "record_call_outcome", {"party_reached": "no_one", "disposition": "no_answer"}),
    ("stranger", "record_call_outcome", {"party_reached": "no_one", "disposition": "no_answer"}),
    ("ann", "pause", {}),
    ("ann", "resume", {}),
    ("olga", "pause", {}),
    ("sue", "release_hold", {"reason": "dispute"}),
    ("carrier", "ledger_changed", {}),
    ("payments", "record_payment", {"payment_id": "P1", "amount": 100, "currency": "USD"}),
    ("sue", "close_case", {"reason": "uncollectable"}),
]


async def test_what_a_role_may_send_is_done_and_the_record_says_by_whom_in_which_role(house: House) -> None:
    house.one_account((NOW - timedelta(days=20)).date())
    handle = await house.open(NOW)
    _people(house)
    await handle.signal("dispute", {"event_id": "letter/1", "form": "letter", "actor": "ann"})
    for number, (actor, name, body) in enumerate(ALLOWED):
        await handle.signal(name, {"event_id": f"yes/{number}", "actor": actor, **body})
    end = await handle.result()
    assert end["reason"] == "uncollectable"
    assert house.rows("SELECT count(*) FROM inbox WHERE status = 'refused'") == [(0,)]
    said = dict(house.rows("SELECT body::jsonb ->> 'actor', body::jsonb ->> 'role' FROM case_events"))
    assert {name: said[name] for name in ("ann", "sue", "olga", "stranger")} == {
        "ann": "agent",
        "sue": "supervisor",
        "olga": "ops",
        "stranger": "unregistered",
    }


@pytest.mark.parametrize("actor", ["system", "agent/12"])
async def test_while_nobody_is_registered_the_door_has_authenticated(house: House, actor: str) -> None:
    house.one_account((NOW - timedelta(days=20)).date())
    handle = await house.open(NOW)
    await handle.signal("close_case", {"event_id": "c", "reason": "recalled", "actor": actor})
    assert (await handle.result())["reason"] == "recalled"
