"""A debtor with a long past, as the gate is asked about one: for measuring what a decision costs."""

from datetime import UTC, datetime, timedelta

from activities.rule_facts import Intent
from db.facts import AccountReading
from db.person_record import PastContact, PersonRecord
from domain.codes import Actor, Channel, PartyRole, Purpose
from domain.facts import Facts

NOW = datetime(2026, 11, 24, 16, tzinfo=UTC)
GATE_INTENT = Intent(
    now=NOW,
    channel=Channel.SMS,
    purpose=Purpose.COLLECT,
    role=PartyRole.BORROWER,
    point_key="N000000001",
    consent="given",
    language="en",
    content="north-bank: 100.00 USD on account 1 is unpaid. Call us to agree a plan. Reply STOP to opt out.",
)


def gate_question(past: int) -> tuple[PersonRecord, AccountReading]:
    """Return a person in Massachusetts with so many past contacts, a day apart, and an account past due."""
    channels = ("sms", "email", "call", "voice")
    contacts = tuple(
        PastContact(
            key=f"A000000001/1/{number}",
            channel=channels[number % 4],
            status="delivered",
            outcome="no_answer",
            party_reached="no_one",
            duration_seconds=0,
            error_code=None,
            at=NOW - timedelta(days=past - number + 7),
            party_key="P000000001",
            point_key="N000000001",
            purpose="collect",
            origin="step",
            creditor="north-bank",
            collector="",
            product="loan",
            accounts=("A000000001",),
        )
        for number in range(past)
    )
    record = PersonRecord(
        party_key="P000000001",
        confirmed_zone=None,
        stated_zone="America/New_York",
        creditor_zone=None,
        region="US-MA",
        locality=None,
        language="en",
        vulnerable=False,
        born_on=None,
        deceased_on=None,
        debtor_deceased_on=None,
        phones=("+16175550100",),
        past=contacts,
        told=(),
    )
    facts = Facts(
        as_of=NOW,
        currency="USD",
        past_due=10_000,
        balance=10_000,
        oldest_due_on=(NOW - timedelta(days=20)).date(),
        dpd=20,
        zone="America/New_York",
        region="US-MA",
        product="loan",
        creditor="north-bank",
        actor=Actor.FIRST_PARTY_CREDITOR,
    )
    account = AccountReading("A000000001", "1", "D000000001", "P000000001", "", facts, None, None)
    return record, account
