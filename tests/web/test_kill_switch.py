"""A switch stops dispatch within a second, measured at the carrier, and what it held back goes out afterwards."""

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.checkpoints import Place
from activities.contact import SWITCHES_KNOWN_FOR, ContactActivities
from activities.providers.evidence import LedgerEvidence
from activities.providers.twilio import TwilioSms
from activities.wording import Wording
from db.switches import Scope, release, switch_off, switch_on
from domain.case import CaseInput, ContactReport
from domain.codes import AttemptStatus, Channel
from domain.gate import LedgerGate
from tests.activities.cases import AT, contact, open_cases, row
from tests.fakes.client import FakeClient
from tests.fakes.server import FakeServer
from tests.fakes.twilio_answers import attempt_of, fields_of
from tests.providers.conftest import ERRORS, twilio_settings
from tests.workflows.conftest import TEMPLATES

COUNT, AT_ONCE, RATE = 80, 8, 5.0
WITHIN = 1.0
SWITCHES: dict[Scope, str] = {"channel": "sms", "template": "payment-reminder", "creditor": "bank"}


@pytest.fixture
def fake() -> Iterator[FakeClient]:
    with FakeServer() as server:
        server.client.configure(auto=False)
        server.client.fault("slow", "messages.create", seconds=0.15, processed=True, times=None)
        yield server.client


def _arrivals(fake: FakeClient) -> list[float]:
    return [one.at for one in fake.journal() if one.operation == "messages.create"]


class Dispatch:
    """Many workers' threads at once; one of them stands still between its admission and its request."""

    def __init__(self, engine: Engine, fake: FakeClient, cases: Mapping[str, CaseInput], stalled: str) -> None:
        self.released = threading.Event()
        self.stands_still = threading.Event()
        self._cases = cases
        self._stalled = stalled
        sms = TwilioSms(twilio_settings(fake.url, timeout_seconds=5), ERRORS, LedgerEvidence(engine))
        self._activities = ContactActivities(
            engine, {Channel.SMS: sms}, LedgerGate(), Wording(TEMPLATES), checkpoint=self._checkpoint
        )

    def _checkpoint(self, place: Place, key: str) -> None:
        if place is Place.CONTACT_ADMITTED and key == self._stalled and not self.released.is_set():
            self.stands_still.set()
            self.released.wait()

    def start(self, pool: ThreadPoolExecutor) -> dict[str, Future[ContactReport]]:
        return {name: pool.submit(contact, self._activities, case) for name, case in self._cases.items()}

    def again(self, name: str, at: datetime) -> ContactReport:
        return contact(self._activities, self._cases[name], at=at)


@pytest.mark.parametrize("scope", SWITCHES)
def test_off_within_a_second_all_is_kept_and_goes_out_afterwards_without_a_burst(
    engine: Engine, tmp_path: Path, fake: FakeClient, scope: Scope
) -> None:
    rows = "".join(row(f"L{n}", f"K{n}", phone=f"+1312555{n:04d}") for n in range(COUNT))
    rows += "".join(row(f"O{n}", f"Q{n}", phone=f"+1312556{n:04d}", creditor_id="other") for n in range(COUNT // 4))
    cases = open_cases(engine, tmp_path, rows)
    stalled = cases["L0"].state.attempt_key(1)
    dispatch = Dispatch(engine, fake, cases, stalled)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = dispatch.start(pool)
        assert dispatch.stands_still.wait(60)
        while len(_arrivals(fake)) < 10:
            time.sleep(0.01)
        with engine.begin() as connection:
            assert switch_off(connection, scope, SWITCHES[scope], reason="test", by="ops", at=AT)
        off_at = time.time()
        ends = {name: one.result() for name, one in running.items() if name != "L0"}
        # The one that stood still was admitted before: it must notice, however late it goes on.
        while time.time() - off_at < 2 * SWITCHES_KNOWN_FOR:
            time.sleep(0.05)
        dispatch.released.set()
        ends["L0"] = running["L0"].result()

    ours = {name for name in ends if name.startswith("L") or scope != "creditor"}
    kept = sorted(name for name in ours if ends[name].status is AttemptStatus.DEFERRED)
    assert _late(fake, off_at + WITHIN) & {cases[name].state.attempt_key(1) for name in ours} == set()
    if scope == "creditor":  # another creditor's go on
        assert {ends[name].status for name in ends.keys() - ours} == {AttemptStatus.SENT}
    assert "L0" in kept
    assert len(kept) > len(ours) // 4
    assert {ends[name].status for name in ends} == {AttemptStatus.SENT, AttemptStatus.DEFERRED}
    assert len(_arrivals(fake)) == sum(one.status is AttemptStatus.SENT for one in ends.values())

    with engine.begin() as connection:
        assert switch_on(connection, scope, SWITCHES[scope], by="ops", at=AT)
        freed = release(connection, scope, SWITCHES[scope], AT + timedelta(hours=1), {"sms": RATE})
        due: dict[str, datetime] = {
            one.key: one.not_before
            for one in connection.exec_driver_sql("SELECT key, not_before FROM attempts WHERE status = 'deferred'")
        }
    assert sorted(key for _, key in freed) == sorted(due) == sorted(cases[name].state.attempt_key(1) for name in kept)
    starts = sorted((at - AT - timedelta(hours=1)).total_seconds() for at in due.values())
    assert starts == pytest.approx([number / RATE for number in range(len(kept))])
    for name in kept:
        at = due[cases[name].state.attempt_key(1)]
        assert dispatch.again(name, at).status is AttemptStatus.SENT
    totals = fake.totals()
    assert totals["duplicates"] == []
    assert totals["processed"] == {case.state.attempt_key(1): 1 for case in cases.values()}


def _late(fake: FakeClient, after: float) -> set[str]:
    """Return the attempts whose request came after an instant."""
    made = [one for one in fake.journal() if one.operation == "messages.create"]
    return {attempt_of(fields_of(one.body)) for one in made if one.at > after}
