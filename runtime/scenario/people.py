"""The people of the scenario: nine debtors with invented names and amounts, and who works for the house."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import Engine

from db.actors import Fitness
from db.intake import Imported, Order, import_files
from desk.actors import add_actor
from domain.roles import Role

CREDITOR = "riverside-bank"
CAST: tuple[tuple[str, Role, str], ...] = (
    ("ada", Role.ADMIN, "registers the others"),
    ("olga", Role.OPS, "runs the machine"),
    ("ann", Role.AGENT, "speaks with debtors"),
    ("ben", Role.AGENT, "speaks with debtors"),
    ("sue", Role.SUPERVISOR, "leads the agents"),
    ("tom", Role.SUPERVISOR, "is the second pair of eyes"),
    ("lin", Role.AGENT, "visits people in Shanghai"),
    ("mei", Role.AGENT, "visits people in Shanghai"),
    ("max", Role.AUDITOR, "reads and verifies"),
)
_NAMES = (
    "Nora Fielding", "Omar Keating", "Rosa Whitlock", "Samuel Tarn", "Tilda Brandt", "Yusuf Adair", "Ivo Marlow",
    "Hattie Quill", "Enid Pascoe", "Lewis Thorne", "Maud Everly", "Felix Garnett",
)  # fmt: skip
_ZONES = {
    "GB": ("Europe/London", "en", "GBP", "+4477009004{:02d}"),
    "US-IL": ("America/Chicago", "en", "USD", "+13125550{:03d}"),
    "CN": ("Asia/Shanghai", "zh", "CNY", "+86138001300{:02d}"),
}


@dataclass(frozen=True, slots=True)
class Debt:
    """One account: the lender's number, the amount in minor units before the seed varies it, and its due day."""

    reference: str
    amount: int
    due_on: date


@dataclass(frozen=True, slots=True)
class Debtor:
    """One person. ``part``: what they are in the story; ``phones``: how many numbers the lender has of them."""

    part: str
    region: str
    debts: tuple[Debt, ...]
    phones: int = 1
    name: str = ""

    @property
    def currency(self) -> str:
        """The currency of where they live."""
        return _ZONES[self.region][2]


MORNING = date(2026, 2, 3)
"""The day most of the story plays on: a Tuesday."""
_DUE = date(2026, 1, 30)
_PARTS: tuple[Debtor, ...] = (
    Debtor("promises", "GB", (Debt("RB-1001", 24_000, _DUE),)),
    Debtor("moved number", "GB", (Debt("RB-1002", 31_000, _DUE),), phones=2),
    Debtor("hard up", "GB", (Debt("RB-1003", 36_000, _DUE),)),
    Debtor("large debt", "GB", (Debt("RB-1004", 1_500_000, _DUE),)),
    Debtor("disputes", "GB", (Debt("RB-1005", 52_000, _DUE),)),
    Debtor("two debts", "GB", (Debt("RB-1006", 28_000, _DUE), Debt("RB-1007", 19_000, _DUE))),
    Debtor("far away", "US-IL", (Debt("RB-1008", 41_000, _DUE),)),
    Debtor("not at home", "CN", (Debt("RB-1009", 820_000, date(2026, 1, 14)),), name="Wen Lihua"),
    Debtor("refuses", "GB", (Debt("RB-1010", 187_000, date(2026, 1, 8)),)),
)


def cast_of(seed: int) -> dict[str, Debtor]:
    """Return the debtors by their part; the seed gives names and amounts."""
    names = sorted(_NAMES, key=lambda name: _digest(seed, name))
    found = {}
    for debtor in _PARTS:
        debts = tuple(
            Debt(one.reference, one.amount + 100 * (_digest(seed, one.reference) % (one.amount // 2_000)), one.due_on)
            for one in debtor.debts
        )
        name = debtor.name or names.pop(0)
        found[debtor.part] = Debtor(debtor.part, debtor.region, debts, debtor.phones, name)
    return found


def _digest(seed: int, word: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}|{word}".encode()).digest()[:6], "big")


_LEDGER = (
    "account_id", "debtor_id", "creditor_id", "actor", "product", "currency", "amount", "due_date", "name", "phone",
    "email", "address", "region", "timezone", "language",
)  # fmt: skip


def bring_in(engine: Engine, folder: Path, debtors: dict[str, Debtor], at: datetime) -> Sequence[Imported]:
    """Write the lender's files and import them, as of ``at``."""
    folder.mkdir(parents=True, exist_ok=True)
    ledger: list[tuple[object, ...]] = []
    contacts: list[tuple[object, ...]] = []
    for number, debtor in enumerate(debtors.values(), start=1):
        zone, language, currency, phone = _ZONES[debtor.region]
        person, email = f"P{number:03d}", f"person{number:02d}@example.com"
        numbers = [phone.format(10 * number + which) for which in range(1, debtor.phones + 1)]
        ledger += [
            (
                debt.reference, person, CREDITOR, "first_party_creditor", "loan", currency, f"{debt.amount / 100:.2f}",
                debt.due_on, debtor.name, numbers[0], email, f"{number} Example Street", debtor.region, zone, language,
            )
            for debt in debtor.debts
        ]  # fmt: skip
        contacts += [(person, "phone", one, "contract", "given") for one in numbers]
        contacts.append((person, "email", email, "contract", "given"))
    _write(folder / "ledger.csv", _LEDGER, ledger)
    _write(folder / "contacts.csv", ("person", "kind", "value", "source", "consent"), contacts)
    _write(folder / "payments.csv", ("payment_id", "account_id", "amount", "currency", "paid_on"), [])
    orders = [
        Order("ledger", folder / "ledger.csv", at),
        Order("contacts", folder / "contacts.csv", at),
        Order("payments", folder / "payments.csv", at),
    ]
    return import_files(engine, orders)


def _write(path: Path, header: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def hire(engine: Engine, at: datetime) -> None:
    """Register who works here: an admin first, then by the admin everybody else."""
    for code, role, _ in CAST:
        fit = Fitness(languages=("en", "zh"), regions=("GB", "US", "CN"), skills=("visits", "legal"))
        add_actor(engine, None if role is Role.ADMIN else "ada", code, role, fit, at=at)
