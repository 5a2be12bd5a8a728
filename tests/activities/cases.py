"""Opens cases for tests of attempts: accounts from rows, a ladder, a logical clock that stands still."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine
from temporalio.testing import ActivityEnvironment

from activities.contact import ContactActivities
from activities.rule_facts import Rules
from activities.wording import Wording
from db.intake import Order, import_file
from db.opening import open_page
from db.settings import put_in_force
from domain.case import CaseInput, ContactReport, ContactRequest
from domain.clock import BusinessClock
from domain.codes import AUTOMATED_CHANNELS
from domain.gate import Gate, LedgerGate
from domain.strategy_file import parse_strategy
from tests.workflows.conftest import LADDER, TEMPLATES

AT = datetime(2026, 3, 3, 15, tzinfo=UTC)
"""Nine o'clock in Chicago, the day after the due date of the ladder's first step."""
CLOCK = BusinessClock(kind="logical", origin=AT, epoch=datetime(2000, 1, 1, tzinfo=UTC), speed=1e12)
HEAD = "account_id,debtor_id,product,currency,amount,due_date,phone,email,timezone,creditor_id,region\n"


def row(account: str, debtor: str, **other: str) -> str:
    """Return one row of a ledger; ``other`` names columns that differ from the usual."""
    usual = {
        "product": "loan", "currency": "USD", "amount": "100.00", "due_date": "2026-03-02", "phone": "+13125550100",
        "email": "", "timezone": "America/Chicago", "creditor_id": "bank", "region": "US-IL",
    }  # fmt: skip
    return ",".join((account, debtor, *{**usual, **other}.values())) + "\n"


def open_cases(
    engine: Engine, folder: Path, rows: str, *, ladder: str = LADDER, at: datetime = AT
) -> Mapping[str, CaseInput]:
    """Import rows and open their cases; return them by the lender's account number."""
    path = folder / "ledger.csv"
    path.write_text(HEAD + rows, encoding="utf-8")
    assert import_file(engine, Order("ledger", path, at - timedelta(days=30))).mistakes == []
    strategy = parse_strategy(ladder, "test.yaml")
    with engine.begin() as connection:
        (digest,) = put_in_force(connection, [strategy], at)
    page = open_page(engine, as_of=at, strategies={digest: strategy}, clock=CLOCK, limit=5000)
    with engine.connect() as connection:
        numbers = {one[0]: one[1] for one in connection.exec_driver_sql("SELECT key, external_id FROM accounts")}
    return {numbers[case.state.account_key]: case for case in page.cases}


def contact_activities(
    engine: Engine, carrier: object, *, gate: Gate | None = None, rules: Rules | None = None, consolidate: bool = True
) -> ContactActivities:
    """Return the activities over one carrier for every channel; nothing sleeps for long."""
    return ContactActivities(
        engine,
        dict.fromkeys(AUTOMATED_CHANNELS, carrier),  # type: ignore[arg-type]
        gate or LedgerGate(),
        Wording(TEMPLATES),
        consolidate=consolidate,
        rules=rules,
        sleep=lambda _: None,
    )


def contact(
    activities: ContactActivities, case: CaseInput, *, seq: int = 1, step: str = "one", at: datetime | None = None
) -> ContactReport:
    """Run one attempt as the worker would."""
    state = case.state if at is None else case.state.model_copy(update={"now": at})
    request = ContactRequest(state=state, strategy_digest=case.strategy_digest, step=step, seq=seq)
    report = ActivityEnvironment().run(activities.contact, request)
    assert isinstance(report, ContactReport)
    return report
