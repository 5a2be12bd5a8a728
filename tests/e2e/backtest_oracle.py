"""Recomputes, from the files alone, which contacts a backtest of ``invoice-reminders`` must have made, and compares.

Plain Python over three CSV files: nothing of the project is used, so nothing of it can be wrong twice. Works for single
invoices. A full run is checked with ``python -m tests.e2e.backtest_oracle LEDGER PAYMENTS SENDS``,
one with ``--consolidate on`` with ``--consolidated`` after them.
"""

import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

AGES = (1, 3, 7, 14, 30)
OPENS = time(9)
DAY = timedelta(days=1)
AFTERWARDS = timedelta(days=120)
"""How long after the last opening a backtest goes on."""
YES = {"true", "yes", "1"}


@dataclass(frozen=True)
class Invoice:
    """One invoice of the ledger, and the local day from whose start it is paid in full."""

    account: str
    due_on: date
    zone: str
    disputed: bool
    paid_on: date | None

    def unpaid_on(self, day: date) -> bool:
        """Whether something is owed during ``day``: a payment counts from the start of its day."""
        return self.paid_on is None or day < self.paid_on

    @property
    def overdue(self) -> bool:
        """Whether it was still unpaid when its due day had passed, so that a case must exist."""
        return self.unpaid_on(self.due_on + DAY)

    def contacts(self) -> list[tuple[str, str, str, str, int]]:
        """Return account, channel, step, local instant and number of every contact it must get."""
        if self.disputed:
            return []
        ages = [age for age in AGES if self.unpaid_on(self.due_on + age * DAY)]
        return [
            (self.account, "email", f"day-{age}", self._at(self.due_on + age * DAY), number)
            for number, age in enumerate(ages, start=1)
        ]

    def _at(self, day: date) -> str:
        return datetime.combine(day, OPENS, ZoneInfo(self.zone)).isoformat()


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def invoices(ledger: Path, payments: Path) -> list[Invoice]:
    """Put ledger and payments together."""
    paid: Mapping[str, list[tuple[date, Decimal]]] = defaultdict(list)
    for row in rows_of(payments):
        paid[row["account_id"]].append((date.fromisoformat(row["paid_on"]), Decimal(row["amount"])))
    return [
        Invoice(
            account=row["account_id"],
            due_on=date.fromisoformat(row["due_date"]),
            zone=row["timezone"],
            disputed=row["disputed"].lower() in YES,
            paid_on=_paid_in_full_on(paid[row["account_id"]], Decimal(row["amount"])),
        )
        for row in rows_of(ledger)
    ]


def _paid_in_full_on(payments: Iterable[tuple[date, Decimal]], amount: Decimal) -> date | None:
    rest = amount
    for day, part in sorted(payments):
        rest -= part
        if rest <= 0:
            return day
    return None


def differences(ledger: Path, payments: Path, sends: Path) -> list[str]:
    """Return what is missing from the contacts, what is too much, and what breaks a rule of its own."""
    known = invoices(ledger, payments)
    by_account = {one.account: one for one in known}
    made = [
        (row["account_id"], row["channel"], row["step"], row["sent_at"], int(row["attempt"].rpartition("/")[2]))
        for row in rows_of(sends)
    ]
    must = Counter(contact for invoice in known for contact in invoice.contacts())
    found = [f"missing: {one}" for one in (must - Counter(made)).elements()]
    found += [f"too much: {one}" for one in (Counter(made) - must).elements()]
    last: dict[str, datetime] = {}
    for account, _, step, text, _ in made:
        at, invoice = datetime.fromisoformat(text), by_account[account]
        if at.date() <= invoice.due_on:
            found.append(f"on or before the due date: {account} {step} {text}")
        if not invoice.unpaid_on(at.date()):
            found.append(f"on or after the day of payment: {account} {step} {text}")
        if invoice.disputed:
            found.append(f"although disputed: {account} {step} {text}")
        if account in last and at - last[account] < DAY:
            found.append(f"less than a day after another: {account} {step} {text}")
        last[account] = at
    attempts = [row["attempt"] for row in rows_of(sends)]
    if len(set(attempts)) != len(attempts):
        found.append("an attempt is listed twice")
    return found


def consolidated_differences(ledger: Path, payments: Path, sends: Path) -> list[str]:
    """Return every debtor and day with no message, or more than one, though an account of theirs was due one."""
    debtor_of = {row["account_id"]: row["debtor_id"] for row in rows_of(ledger)}
    must = Counter(
        {
            (debtor_of[one.account], at[:10]): 1
            for one in invoices(ledger, payments)
            for _, _, _, at, _ in one.contacts()
        }
    )
    made = Counter((debtor_of[row["account_id"]], row["sent_at"][:10]) for row in rows_of(sends))
    found = [f"no message: {one}" for one in (must - made).elements()]
    return found + [f"too many messages: {one}" for one in (made - must).elements()]


@dataclass(frozen=True)
class Expected:
    """What a backtest must count. ``on_hold``: disputed, overdue and not paid before the end."""

    accounts: int
    cases: int
    closed: int
    on_hold: int
    contacts: int


def expected(ledger: Path, payments: Path) -> Expected:
    """Count what must come out. A case that is paid before the end is closed in the end."""
    known = invoices(ledger, payments)
    overdue = [one for one in known if one.overdue]
    end = max(one.due_on for one in known) + DAY + AFTERWARDS
    return Expected(
        accounts=len(known),
        cases=len(overdue),
        closed=sum(not one.unpaid_on(end) for one in overdue),
        on_hold=sum(one.disputed and one.unpaid_on(end) for one in overdue),
        contacts=sum(len(one.contacts()) for one in known),
    )


def main() -> int:
    """Check a full run."""
    ledger, payments, sends = (Path(one) for one in sys.argv[1:4])
    check = consolidated_differences if "--consolidated" in sys.argv else differences
    found = check(ledger, payments, sends)
    for one in found[:50]:
        sys.stdout.write(f"{one}\n")
    sys.stdout.write(f"{expected(ledger, payments)}; {len(rows_of(sends))} contacts made, {len(found)} differences\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
