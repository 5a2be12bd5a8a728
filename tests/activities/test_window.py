"""A message says until when it may be delivered: nothing that a carrier holds back arrives in quiet hours."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.contact import ContactActivities
from activities.providers.base import Outbound, SendResult
from activities.providers.identity import Identities
from activities.rule_facts import Rules
from activities.wording import Wording
from domain.codes import AUTOMATED_CHANNELS, AttemptStatus
from domain.rule_gate import RuleGate
from runtime.channels import IDENTITY
from tests.activities.cases import AT, contact, open_cases, row
from tests.activities.test_rule_gate import BOOK
from tests.workflows.conftest import TEMPLATES, CountingCarrier

LADDER = """
name: window
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: CHANNEL, template: payment-reminder, start: {since: due, days: 1}, between: {hours: "09:00-18:00"}}
"""
CLOSES = AT + timedelta(hours=9)
"""Six in the evening in Chicago."""


@dataclass
class Keeping(CountingCarrier):
    messages: list[Outbound] = field(default_factory=list)

    def send(self, message: Outbound) -> SendResult:
        self.messages.append(message)
        return super().send(message)


def _sent(engine: Engine, folder: Path, channel: str, at: datetime, **other: str) -> Outbound:
    carrier = Keeping()
    case = open_cases(engine, folder, row("L1", "K1", **other), ladder=LADDER.replace("CHANNEL", channel))["L1"]
    activities = ContactActivities(
        engine,
        dict.fromkeys(AUTOMATED_CHANNELS, carrier),
        RuleGate(BOOK),
        Wording(TEMPLATES),
        rules=Rules(),
        identities=Identities.load(IDENTITY),
        sleep=lambda _: None,
    )
    report = contact(activities, case, at=at)
    assert report.status is AttemptStatus.SENT, report
    return carrier.messages[0]


@pytest.mark.parametrize(("before", "known"), [(timedelta(minutes=20), True), (timedelta(hours=3), False)])
def test_a_text_names_the_end_of_the_window_when_it_is_near(
    engine: Engine, tmp_path: Path, before: timedelta, known: bool
) -> None:
    latest = _sent(engine, tmp_path, "sms", CLOSES - before).latest
    if not known:
        assert latest is None
    else:
        assert latest is not None
        assert CLOSES - timedelta(seconds=16) <= latest < CLOSES
