"""Checks the rows of a lender's files, one by one: every mistake is named by line and column, nothing is guessed.

Mistakes quote a value only where it cannot be personal: never a name, a phone number, an address.
"""

import csv
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TextIO

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
PAYMENT_OPTIONAL = ("creditor_id",)
CONTACT_REQUIRED = ("person", "kind", "value")
CONTACT_OPTIONAL = ("source", "consent", "region", "creditor_id")
PARTY_REQUIRED = ("account", "person", "role")
PARTY_OPTIONAL = ("name", "timezone", "region", "language", "creditor_id")
ALL_COLUMNS = frozenset(
    (
        *LEDGER_REQUIRED,
        *LEDGER_OPTIONAL,
        *PAYMENT_REQUIRED,
        *CONTACT_REQUIRED,
        *CONTACT_OPTIONAL,
        *PARTY_REQUIRED,
        "reason",
        "on",
    )
)
DEFAULT_CREDITOR = "default"
LONGEST, LONGEST_ADDRESS = 200, 1000
"""Characters of a value."""
FIRST_YEAR, LAST_YEAR = 1900, 2199
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_REGION = re.compile(r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}


class IntakeError(Exception):
    """A file that cannot be taken at all: what, where, how to mend. ``mistakes`` are its rows', if they are why."""

    def __init__(self, what: str, mistakes: Sequence["RowMistake"] = ()) -> None:
        super().__init__(what)
        self.mistakes = tuple(mistakes)


Consequence = Literal["row left out", "value left out", "kept in suspense"]


@dataclass(frozen=True, slots=True)
class RowMistake:
    """One thing wrong with one row, and what it costs. ``line`` is where the row begins; the header is line 1."""

    file: str
    line: int
    column: str
    what: str
    consequence: Consequence = "row left out"

    @property
    def fatal(self) -> bool:
        """Whether the row was not taken."""
        return self.consequence == "row left out"

    def __str__(self) -> str:
        """Return the mistake as one line."""
        return f"{self.file}:{self.line}: {self.column}: {self.what} ({self.consequence})"


@dataclass
class Checker:
    """Checks one file's rows and collects what is wrong."""

    file: str
    date_format: str | None = None
    mistakes: list[RowMistake] = field(default_factory=list)
    today: date | None = None
    line: int = 0
    row: Mapping[str, str] = field(default_factory=dict)
    bad: bool = False

    def begin(self, line: int, row: Mapping[str, str]) -> None:
        """Take up the next row."""
        self.line, self.row, self.bad = line, row, False

    def wrong(self, column: str, what: str, *, fatal: bool = True) -> None:
        """Note a mistake in the current row."""
        consequence: Consequence = "row left out" if fatal else "value left out"
        self.mistakes.append(RowMistake(self.file, self.line, column, what, consequence))
        self.bad = self.bad or fatal

    def text(self, column: str, *, required: bool = False, fatal: bool = True, longest: int = LONGEST) -> str:
        """Return an identifier or a word as it stands, without the space around it; "" when it cannot be taken."""
        value = self.row.get(column, "").strip()
        if required and not value:
            self.wrong(column, "is empty")
        elif len(value) > longest:
            self.wrong(column, f"is longer than {longest} characters", fatal=fatal)
        elif "\x00" in value:
            self.wrong(column, "holds a NUL character", fatal=fatal)
        else:
            return value
        return ""

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
        except ValueError:
            if code:
                self.wrong("currency", "is no ISO 4217 code such as USD")
            return "USD"
        return code

    def day(self, column: str, *, required: bool = False) -> date | None:
        """Return a date: ISO 8601, or as ``--date-format`` says. Nothing else is understood."""
        value = self.text(column, required=required)
        if not value:
            return None
        try:
            if self.date_format is not None:
                day = datetime.strptime(value, self.date_format).date()  # noqa: DTZ007 - a day has no zone
            elif _ISO_DAY.fullmatch(value):
                day = date.fromisoformat(value)
            else:
                self.wrong(column, "is not written YYYY-MM-DD; say how dates are written: --date-format %d/%m/%Y")
                return None
        except ValueError:
            self.wrong(column, f"is no date that exists, written {self.date_format or 'YYYY-MM-DD'}")
            return None
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            self.wrong(column, f"is not between {FIRST_YEAR} and {LAST_YEAR}")
            return None
        return day

    def yes(self, column: str) -> bool:
        """Return a yes or no."""
        value = self.text(column).lower()
        if value not in _YES:
            self.wrong(column, "is neither true nor false")
        return _YES.get(value, False)

    def one_of(self, column: str, allowed: Sequence[str], *, required: bool = False) -> str:
        """Return one of a closed list of codes, or "" where none is given."""
        value = self.text(column, required=required)
        if value and value not in allowed:
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

    def point(self, kind: str, column: str, region: str | None, *, fatal: bool = False) -> str | None:
        """Return a contact point in its standard form; one that cannot be is left out and said."""
        longest = LONGEST_ADDRESS if kind == "address" else LONGEST
        value = self.text(column, required=fatal, fatal=fatal, longest=longest)
        if not value:
            return None
        if kind == "phone":
            standard = _phone(value, (region or "").partition("-")[0] or None)
            if standard is None:
                self.wrong(column, "is no possible phone number", fatal=fatal)
            return standard
        if kind == "email":
            if not _EMAIL.match(value):
                self.wrong(column, "is no e-mail address", fatal=fatal)
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


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns a kind of file has, and what the file calls them. IntakeError for a name that is none of ours."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)

    def places(self, header: Sequence[str], file: str) -> dict[str, int]:
        """Return where each of our columns stands. The header itself is never quoted: it may be a row of data."""
        cells = [cell.strip() for cell in header]
        wanted = {column: self.names.get(column, column) for column in (*self.required, *self.optional)}
        if not any(cells):
            raise IntakeError(f"{file}:1: the file is empty; its first line must name the columns")
        missing = [called for column, called in wanted.items() if column in self.required and called not in cells]
        if missing:
            if len(cells) == 1 and re.search(r"[;\t|]", cells[0]):
                raise IntakeError(f"{file}:1: columns must be separated by commas; save it as CSV with commas")
            found = ", ".join(called for called in wanted.values() if called in cells) or "none that is known"
            raise IntakeError(
                f"{file}:1: no column {', '.join(missing)} in the first line (found: {found}); name them with --map"
            )
        twice = sorted({called for called in wanted.values() if cells.count(called) > 1})
        if twice:
            raise IntakeError(f"{file}:1: column {', '.join(twice)} stands there twice; remove or rename one")
        return {column: cells.index(called) for column, called in wanted.items() if called in cells}


def check_names(names: Mapping[str, str]) -> None:
    """Raise IntakeError for a mapped column that no file of ours has."""
    for column in names:
        if column not in ALL_COLUMNS:
            near = difflib.get_close_matches(column, ALL_COLUMNS, n=1)
            mend = f"did you mean '{near[0]}'?" if near else "docs/data.md lists them"
            raise IntakeError(f"--map: no file has a column '{column[:40]}'; {mend}")


def check_date_format(date_format: str | None) -> None:
    """Raise IntakeError for a format that does not say day, month and year."""
    if date_format is None:
        return
    try:
        days = [date(2026, 11, 24), date(2025, 2, 3)]
        written = [f"{day:{date_format}}" for day in days]
        read = [datetime.strptime(text, date_format).date() for text in written]  # noqa: DTZ007 - days have no zone
    except ValueError:
        read = []
    if read != days:
        raise IntakeError(f"--date-format {date_format}: does not say day, month and year; write for example %d/%m/%Y")


def read_rows(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, str], str | None]]:
    """Yield where each row begins, its values by our names, and what is wrong with it as a row, if anything.

    IntakeError, with the line, if the file is no such table. Empty lines are no rows.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _rows(stream, columns, path.name)
    except FileNotFoundError:
        raise IntakeError(f"{path}: no such file") from None
    except OSError as error:
        raise IntakeError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise IntakeError(f"{path.name}:{_undecodable(path)}: is not UTF-8; save the file as CSV UTF-8") from None


def _rows(stream: TextIO, columns: Columns, file: str) -> Iterator[tuple[int, dict[str, str], str | None]]:
    reader = csv.reader(stream, strict=True)
    line = 1
    try:
        header = next(reader, [])
        places = columns.places(header, file)
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) == len(header):
                yield line, {column: cells[place] for column, place in places.items()}, None
            elif cells:
                wrong = f"{len(cells)} values under {len(header)} columns; quote values that hold a comma"
                yield (
                    line,
                    {column: "" if place >= len(cells) else cells[place] for column, place in places.items()},
                    wrong,
                )
            line = reader.line_num + 1
    except csv.Error as error:
        what = "a quote is left open here" if "end of data" in str(error) else "is not written as CSV"
        if "field limit" in str(error):
            what = f"a value of more than {csv.field_size_limit()} characters; is a quote left open?"
        raise IntakeError(f"{file}:{line}: {what}; nothing imported") from None


def _undecodable(path: Path) -> int:
    """Return the first line that is not UTF-8."""
    number = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):  # noqa: B007 - the number is the answer
            try:
                line.decode()
            except UnicodeDecodeError:
                break
    return number


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
        check.text("name", fatal=False),
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
        check.one_of("actor", list(Actor)) or None,
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
    kind = check.one_of("kind", ("phone", "email", "address"), required=True)
    return (
        check.line,
        check.text("person", required=True),
        kind,
        check.point(kind, "value", check.region(), fatal=True),
        check.text("source") or "file",
        check.one_of("consent", ("not_asked", "given", "withdrawn")) or "not_asked",
        check.text("creditor_id") or None,
    )


def party_row(check: Checker) -> tuple[Any, ...]:
    """Return one role of a person on an account as it is staged."""
    return (
        check.line,
        check.text("account", required=True),
        check.text("person", required=True),
        check.one_of("role", list(PartyRole), required=True),
        check.text("name", fatal=False),
        check.zone(),
        check.region(),
        check.text("language") or None,
        check.text("creditor_id") or None,
    )


RowReader = Callable[[Checker], tuple[Any, ...]]
