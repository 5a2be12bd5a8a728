"""Checks the rows of a lender's files, one by one: every mistake is named by line and column, nothing is guessed.

Mistakes quote a value only where it cannot be personal: never a name, a phone number, an address.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import phonenumbers

from domain.calendar import known_zone
from domain.codes import Actor, PartyRole
from domain.money import minor_units, parse_amount

LEDGER_REQUIRED = ("account_id", "debtor_id", "product", "currency", "amount", "due_date")
LEDGER_OPTIONAL = (
    "issued_on", "name", "phone", "email", "address", "region", "locality", "timezone", "language", "disputed",
    "creditor_id", "collector_id", "actor", "debt_type", "instalment_no", "component", "placed_on", "charged_off_on",
    "score",
)  # fmt: skip
PAYMENT_REQUIRED = ("payment_id", "account_id", "amount", "currency", "paid_on")
CONTACT_REQUIRED = ("person", "kind", "value")
PARTY_REQUIRED = ("account", "person", "role")
DEFAULT_CREDITOR = "default"
LONGEST = 200
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_REGION = re.compile(r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}


class IntakeError(Exception):
    """A file that cannot be read at all: what, where, how to mend."""


@dataclass(frozen=True, slots=True)
class RowMistake:
    """One thing wrong with one row. ``fatal`` rows are left out; others lose only the value that is wrong."""

    file: str
    line: int
    column: str
    what: str
    fatal: bool = True

    def __str__(self) -> str:
        """Return the mistake as one line."""
        left = "row left out" if self.fatal else "value left out"
        return f"{self.file}:{self.line}: {self.column}: {self.what} ({left})"


@dataclass
class Checker:
    """Checks one file's rows and collects what is wrong."""

    file: str
    date_format: str | None = None
    mistakes: list[RowMistake] = field(default_factory=list)
    line: int = 0
    row: Mapping[str, str] = field(default_factory=dict)
    bad: bool = False

    def begin(self, line: int, row: Mapping[str, str]) -> None:
        """Take up the next row."""
        self.line, self.row, self.bad = line, row, False

    def wrong(self, column: str, what: str, *, fatal: bool = True) -> None:
        """Note a mistake in the current row."""
        self.mistakes.append(RowMistake(self.file, self.line, column, what, fatal))
        self.bad = self.bad or fatal

    def text(self, column: str, *, required: bool = False) -> str:
        """Return an identifier or a word as it stands, without the space around it."""
        value = self.row.get(column, "").strip()
        if required and not value:
            self.wrong(column, "is empty")
        if len(value) > LONGEST and column != "address":
            self.wrong(column, f"is longer than {LONGEST} characters")
        if "\x00" in value:
            self.wrong(column, "holds a NUL character")
        return value

    def amount(self, column: str, currency: str) -> int:
        """Return an amount in minor units; it must not be negative."""
        try:
            value = parse_amount(self.row.get(column, ""), currency)
        except ValueError as error:
            self.wrong(column, str(error))
            return 0
        if value < 0:
            self.wrong(column, "is negative")
        return value

    def currency(self) -> str:
        """Return the currency code."""
        code = self.text("currency", required=True)
        try:
            minor_units(code)
        except ValueError as error:
            self.wrong("currency", str(error))
            return "USD"
        return code

    def day(self, column: str, *, required: bool = False) -> date | None:
        """Return a date: ISO 8601, or as ``--date-format`` says. Nothing else is understood."""
        value = self.text(column, required=required)
        if not value:
            return None
        try:
            if self.date_format is not None:
                return datetime.strptime(value, self.date_format).date()  # noqa: DTZ007 - a day has no zone
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
                return date.fromisoformat(value)
            self.wrong(column, "is not written YYYY-MM-DD; say how dates are written: --date-format %d/%m/%Y")
        except ValueError:
            self.wrong(column, "is not a date that exists in the format expected")
        return None

    def yes(self, column: str) -> bool:
        """Return a yes or no."""
        value = self.text(column).lower()
        if value not in _YES:
            self.wrong(column, "is neither true nor false")
        return _YES.get(value, False)

    def one_of(self, column: str, allowed: type[Actor] | type[PartyRole], default: str) -> str:
        """Return one of a closed list of codes."""
        value = self.text(column) or default
        if value and value not in {str(one) for one in allowed}:
            self.wrong(column, f"is none of {', '.join(allowed)}")
        return value

    def zone(self) -> str | None:
        """Return an IANA time zone."""
        value = self.text("timezone")
        if value and not known_zone(value):
            self.wrong("timezone", "is no IANA time zone such as America/Chicago")
        return value or None

    def region(self) -> str | None:
        """Return an ISO 3166 code such as US-IL or CN."""
        value = self.text("region")
        if value and not _REGION.fullmatch(value):
            self.wrong("region", "is no ISO 3166 code such as US-IL or CN", fatal=False)
            return None
        return value or None

    def point(self, kind: str, column: str, region: str | None) -> str | None:
        """Return a contact point in its standard form; one that cannot be is left out and said."""
        value = self.text(column)
        if not value:
            return None
        if kind == "phone":
            standard = _phone(value, (region or "").partition("-")[0] or None)
            if standard is None:
                self.wrong(column, "is no possible phone number", fatal=False)
            return standard
        if kind == "email":
            if not _EMAIL.match(value):
                self.wrong(column, "is no e-mail address", fatal=False)
                return None
            return value.lower()
        return value


@lru_cache(maxsize=50_000)
def _phone(value: str, country: str | None) -> str | None:
    try:
        number = phonenumbers.parse(value, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def read_rows(path: Path, required: tuple[str, ...], names: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and row, with the columns called as we call them; IntakeError if the file is no such table.

    ``names`` says what the file calls a column of ours.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = list(reader.fieldnames or ())
            ours = {names.get(column, column): column for column in (*required, *LEDGER_OPTIONAL, *_MORE)}
            missing = [column for column in required if names.get(column, column) not in header]
            if missing:
                have = ", ".join(header) or "nothing"
                raise IntakeError(f"{path.name}:1: no column {', '.join(missing)}; it has {have}; name them with --map")
            for row in reader:
                yield (
                    reader.line_num,
                    {ours.get(column, column): value or "" for column, value in row.items() if column},
                )
    except FileNotFoundError:
        raise IntakeError(f"{path}: no such file") from None
    except (IsADirectoryError, PermissionError) as error:
        raise IntakeError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise IntakeError(f"{path.name}: is not UTF-8; save it as UTF-8 and try again") from None
    except csv.Error as error:
        raise IntakeError(f"{path.name}: is not a CSV table ({error})") from None


_MORE = ("payment_id", "paid_on", "person", "kind", "value", "source", "consent", "account", "role")


def ledger_row(check: Checker) -> tuple[Any, ...]:
    """Return one due as it is staged."""
    currency, region = check.currency(), check.region()
    due_on = check.day("due_date", required=True)
    score = check.text("score")
    if score and not re.fullmatch(r"-?\d{1,6}", score):
        check.wrong("score", "is no whole number")
        score = ""
    return (
        check.line,
        check.text("account_id", required=True),
        check.text("debtor_id", required=True),
        check.text("product", required=True),
        currency,
        check.amount("amount", currency),
        due_on,
        check.day("issued_on"),
        check.text("name"),
        check.point("phone", "phone", region),
        check.point("email", "email", region),
        check.point("address", "address", region),
        region,
        check.text("locality") or None,
        check.zone(),
        check.text("language") or None,
        check.yes("disputed"),
        check.text("creditor_id") or DEFAULT_CREDITOR,
        check.text("collector_id") or None,
        check.one_of("actor", Actor, "") or None,
        check.text("debt_type") or None,
        check.text("instalment_no") or (due_on.isoformat() if due_on else ""),
        check.text("component") or "principal",
        check.day("placed_on"),
        check.day("charged_off_on"),
        int(score) if score else None,
    )


def payment_row(check: Checker) -> tuple[Any, ...]:
    """Return one payment as it is staged."""
    currency = check.currency()
    amount = check.amount("amount", currency)
    if amount == 0 and not check.bad:
        check.wrong("amount", "is zero")
    return (
        check.line,
        check.text("payment_id", required=True),
        check.text("account_id", required=True),
        amount,
        currency,
        check.day("paid_on", required=True),
        check.text("creditor_id") or None,
    )


def contact_row(check: Checker) -> tuple[Any, ...]:
    """Return one contact point as it is staged."""
    kind = check.text("kind", required=True)
    if kind not in {"phone", "email", "address"}:
        check.wrong("kind", "is none of phone, email, address")
    value = check.point(kind, "value", check.region())
    if value is None:
        check.bad = True
    consent = check.text("consent") or "not_asked"
    if consent not in {"not_asked", "given", "withdrawn"}:
        check.wrong("consent", "is none of not_asked, given, withdrawn")
    return (
        check.line,
        check.text("person", required=True),
        kind,
        value,
        check.text("source") or "file",
        consent,
    )


def party_row(check: Checker) -> tuple[Any, ...]:
    """Return one role of a person on an account as it is staged."""
    return (
        check.line,
        check.text("account", required=True),
        check.text("person", required=True),
        check.one_of("role", PartyRole, ""),
        check.text("name"),
        check.zone(),
        check.region(),
        check.text("language") or None,
    )


RowReader = Callable[[Checker], tuple[Any, ...]]
