"""A synthetic portfolio for demonstrations: plainly made up, the same bytes for the same seed.

Phone numbers come from ranges reserved for fiction, e-mail addresses from example.com, names are numbers.
"""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

COUNTRIES: tuple[tuple[str, str, str, str, str], ...] = (
    ("US-IL", "America/Chicago", "en", "USD", "+1312555{:04d}"),
    ("US-CA", "America/Los_Angeles", "es", "USD", "+1415555{:04d}"),
    ("US-MA", "America/New_York", "en", "USD", "+1617555{:04d}"),
    ("CN", "Asia/Shanghai", "zh", "CNY", "+861380013{:04d}"),
    ("GB", "Europe/London", "en", "GBP", "+44770090{:04d}"),
    ("DE", "Europe/Berlin", "de", "EUR", "+4915550{:06d}"),
    ("IN", "Asia/Kolkata", "en", "INR", "+91991000{:04d}"),
    ("AU", "Australia/Sydney", "en", "AUD", "+6149157{:04d}"),
    ("PH", "Asia/Manila", "en", "PHP", "+63917000{:04d}"),
)
ELSEWHERE = ("CH", "Europe/Zurich", "de", "CHF", "+4179000{:04d}")
"""A country without a rule pack: whoever lives there is not contacted, and the gate says why."""
CREDITORS: tuple[tuple[str, str, str, str], ...] = (
    ("north-bank", "first_party_creditor", "", "loan"),
    ("paylater", "first_party_creditor", "", "loan"),
    ("city-power", "first_party_creditor", "", "invoice"),
    ("old-cards", "third_party_collector", "harbour-recovery", "card"),
)
LEDGER = (
    "account_id", "debtor_id", "creditor_id", "collector_id", "actor", "product", "currency", "amount", "due_date",
    "instalment_no", "name", "phone", "email", "address", "region", "timezone", "language", "disputed", "placed_on",
)  # fmt: skip


class _Dice:
    """Numbers that depend on the seed and a subject only."""

    def __init__(self, seed: int, *subject: object) -> None:
        self._head = f"{seed}|{'|'.join(map(str, subject))}|"

    def roll(self, name: str, sides: int) -> int:
        digest = hashlib.sha256((self._head + name).encode()).digest()
        return int.from_bytes(digest[:8], "big") % sides


@dataclass(frozen=True, slots=True)
class PortfolioFiles:
    """Where the files are, and how many accounts they hold."""

    ledger: Path
    payments: Path
    contacts: Path
    parties: Path
    accounts: int


def write_portfolio(
    folder: Path, *, accounts: int = 200, seed: int = 7, start: date, days: int = 120
) -> PortfolioFiles:
    """Write the four files of a portfolio whose dues fall between ``start`` and ``days`` later."""
    folder.mkdir(parents=True, exist_ok=True)
    ledger: list[tuple[object, ...]] = []
    payments: list[tuple[object, ...]] = []
    contacts: list[tuple[object, ...]] = []
    parties: list[tuple[object, ...]] = []
    for number in range(accounts):
        account_id = f"{10_000_000 + number * 37:010d}"
        like = number - 1 if number % 8 == 5 else number  # some have a second account, due on the same days
        dice = _Dice(seed, "account", like)
        debtor_no = like if dice.roll("shares", 5) else max(0, like - 1 - dice.roll("whose", 3))
        debtor = _debtor(seed, debtor_no)
        dues = _dues(dice, CREDITORS[dice.roll("creditor", len(CREDITORS))], start, days)
        creditor, actor, collector, product = dues.creditor
        for no, (due_on, amount) in enumerate(dues.lines, start=1):
            ledger.append(
                (
                    account_id, debtor.key, creditor, collector, actor, product, debtor.currency, amount, due_on,
                    no if len(dues.lines) > 1 else "", debtor.name, debtor.phone, debtor.email, debtor.address,
                    debtor.region, debtor.zone, debtor.language, "true" if dice.roll("disputed", 16) == 0 else "false",
                    start + timedelta(days=dice.roll("placed", 20)) if collector else "",
                )
            )  # fmt: skip
        if dice.roll("paid before", 10) == 0:
            due_on, amount = dues.lines[0]
            payments.append((f"PP-{account_id}", account_id, amount, debtor.currency, min(due_on, start)))
        if dice.roll("co-borrower", 12) == 0:
            parties.append((account_id, f"C{number:05d}", "co_borrower", f"Co-borrower {number:04d}"))
        if dice.roll("second phone", 9) == 0 and debtor.phone:
            second = debtor.phone[:-2] + f"{dice.roll('digits', 100):02d}"
            contacts.append((debtor.key, "phone", second, "application", "not_asked"))
        if _Dice(seed, "consent", debtor_no).roll("given", 4):
            points = (("phone", debtor.phone), ("email", debtor.email))
            contacts += [(debtor.key, kind, value, "contract", "given") for kind, value in points if value]
    files = PortfolioFiles(
        folder / "ledger.csv",
        folder / "payments.csv",
        folder / "contacts.csv",
        folder / "parties.csv",
        accounts,
    )
    _write(files.ledger, LEDGER, ledger)
    _write(files.payments, ("payment_id", "account_id", "amount", "currency", "paid_on"), payments)
    _write(files.contacts, ("person", "kind", "value", "source", "consent"), list(dict.fromkeys(contacts)))
    _write(files.parties, ("account", "person", "role", "name"), parties)
    return files


@dataclass(frozen=True, slots=True)
class _Debtor:
    key: str
    name: str
    region: str
    zone: str
    language: str
    currency: str
    phone: str
    email: str
    address: str


def _debtor(seed: int, number: int) -> _Debtor:
    dice = _Dice(seed, "debtor", number)
    country = ELSEWHERE if number % 61 == 29 else COUNTRIES[dice.roll("country", len(COUNTRIES))]
    region, zone, language, currency, phone = country
    fictional = 100 + number % 100 if region.startswith("US") else number
    return _Debtor(
        key=f"K{number:05d}",
        name=f"Customer {number:04d}",
        region=region,
        zone="" if number % 83 == 17 else zone,
        language=language,
        currency=currency,
        phone="" if dice.roll("no phone", 14) == 0 else phone.format(fictional),
        email="" if dice.roll("no email", 7) == 0 else f"customer{number:04d}@example.com",
        address="" if dice.roll("no address", 5) == 0 else f"{number} Example Street",
    )


@dataclass(frozen=True, slots=True)
class _Dues:
    creditor: tuple[str, str, str, str]
    lines: Sequence[tuple[date, str]]


def _dues(dice: _Dice, creditor: tuple[str, str, str, str], start: date, days: int) -> _Dues:
    code, actor, collector, product = creditor
    first = start + timedelta(days=dice.roll("first", max(1, days * 6 // 10)))
    count = 6 + dice.roll("term", 19) if product == "loan" and dice.roll("instalments", 3) else 1
    amount = 2_000 + dice.roll("amount", 90_000)
    lines = [(first + timedelta(days=30 * number), f"{amount / 100:.2f}") for number in range(count)]
    return _Dues((code, actor, collector, product), lines)


def _write(path: Path, header: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
