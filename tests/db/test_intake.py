"""A lender's files come into the ledger whole, once, and nothing about them is guessed."""

import re
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.intake import ledger_rows
from db.intake import Imported, Kind, Order, import_files, mark_told, untold_cases
from db.intake_rows import IntakeError
from tests.db.conftest import AT, LEDGER_HEAD, Ledger

WIDE = (
    "account_id,debtor_id,product,currency,amount,due_date,name,phone,email,address,region,timezone,language,disputed,"
    "creditor_id,instalment_no,component,score"
)
GOOD = "G1,K1,loan,USD,10.00,2026-01-02,Ann Other,+13125550100,ann@example.com,1 Elm St,US-IL,America/Chicago,en,no,c1,1,,5"


def wide(**changes: str) -> str:
    """Return the good row with some values changed."""
    values = (
        dict(zip(WIDE.split(","), GOOD.split(","), strict=True)) | {"account_id": "B1", "debtor_id": "K2"} | changes
    )
    return ",".join(values.values())


def said(imported: Imported) -> list[str]:
    return [str(mistake) for mistake in imported.mistakes]


# --- many rows ----------------------------------------------------------------------------------------------------


def test_many_rows_stream_through_without_filling_memory(ledger: Ledger) -> None:
    def peak(rows: int) -> int:
        path = ledger.file("many.csv", "".join(ledger_rows(rows, 0)))
        tracemalloc.start()
        try:
            done = import_files(ledger.engine, [Order("ledger", path, AT)])[0]
            assert (done.rows, done.taken, done.mistakes) == (rows, rows, [])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    few, many = peak(1_000), peak(8_000)
    assert ledger.one("SELECT count(*) FROM accounts") == 8_000
    assert ledger.one("SELECT count(*) FROM parties") == 4_000
    assert many < few + 7_000 * 400, "memory grows with the rows by more than the cache of phone numbers"


def test_the_same_file_twice_changes_nothing(ledger: Ledger) -> None:
    rows = [GOOD, wide(disputed="yes"), wide(instalment_no="2", due_date="2026-02-02", disputed="yes")]
    ledger.accounts(*rows, head=WIDE)
    ledger.open()
    before = ledger.everything()
    again = ledger.accounts(*rows, head=WIDE, at=AT + timedelta(days=1))
    assert ledger.everything() == before
    assert set(again.counts.values()) == {0}
    assert again.changed == []
    assert untold_cases(ledger.engine) == {}


def test_a_later_file_changes_amounts_dates_and_people(ledger: Ledger) -> None:
    ledger.accounts(GOOD, head=WIDE)
    later = GOOD.replace("10.00,2026-01-02", "12.50,2026-01-05").replace("Ann Other", "Ann New")
    done = ledger.accounts(later, head=WIDE)
    assert ledger.rows("SELECT amount, due_on FROM dues") == [(1250, date(2026, 1, 5))]
    assert ledger.one("SELECT name FROM parties") == "Ann New"
    assert done.counts["dues"] == 1


def test_an_invoice_whose_due_date_moves_is_not_owed_twice(ledger: Ledger) -> None:
    ledger.accounts("L1,K1,invoice,USD,80,2026-01-05,UTC", "L2,K1,invoice,USD,20,2026-01-05,UTC")
    ledger.accounts("L1,K1,invoice,USD,80,2026-02-05,UTC")
    assert ledger.rows(
        "SELECT a.external_id, d.amount, d.due_on FROM dues d JOIN accounts a ON a.key = account_key ORDER BY 1"
    ) == [
        ("L1", 8000, date(2026, 2, 5)),
        ("L2", 2000, date(2026, 1, 5)),
    ]


def test_a_numbered_instalment_stays_when_a_later_file_names_others(ledger: Ledger) -> None:
    head = LEDGER_HEAD + ",instalment_no"
    ledger.accounts(*(f"L1,K1,loan,USD,10,2026-0{no}-05,UTC,{no}" for no in (1, 2, 3)), head=head)
    ledger.accounts("L1,K1,loan,USD,10,2026-04-05,UTC,4", "L1,K1,loan,USD,11,2026-03-06,UTC,3", head=head)
    assert ledger.rows("SELECT ref, amount, due_on::text FROM dues ORDER BY ref") == [
        ("1", 1000, "2026-01-05"), ("2", 1000, "2026-02-05"), ("3", 1100, "2026-03-06"), ("4", 1000, "2026-04-05"),
    ]  # fmt: skip


def test_a_row_left_out_takes_no_due_away(ledger: Ledger) -> None:
    ledger.accounts("L1,K1,loan,USD,10,2026-01-05,UTC", "L1,K1,loan,USD,10,2026-02-05,UTC")
    ledger.accounts("L1,K1,loan,USD,10,2026-01-05,UTC", "L1,K1,loan,USD,oops,2026-02-05,UTC")
    assert ledger.one("SELECT count(*) FROM dues") == 2


# --- control ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"totals": {"USD": 2001}}, "sum to 20.00 USD, 20.01 USD announced"),
        ({"totals": {"EUR": 1}}, "sum to 0.00 EUR, 0.01 EUR announced"),
        ({"rows": 3}, "2 rows, 3 announced"),
    ],
)
def test_wrong_control_totals_import_nothing(ledger: Ledger, options: dict[str, Any], text: str) -> None:
    before = ledger.everything()
    with pytest.raises(IntakeError, match=re.escape(text)):
        ledger.accounts(GOOD, wide(), head=WIDE, **options)
    assert ledger.everything() == before
    assert ledger.one("SELECT count(*) FROM feeds") == 0


def test_right_control_totals_pass_and_rows_left_out_break_them(ledger: Ledger) -> None:
    assert ledger.accounts(GOOD, wide(), head=WIDE, totals={"USD": 2000}, rows=2).taken == 2
    with pytest.raises(IntakeError, match=r"the 1 rows that can be taken sum to 10\.00 USD") as refused:
        ledger.accounts(GOOD, wide(due_date="x"), head=WIDE, totals={"USD": 2000}, rows=2)
    assert [mistake.line for mistake in refused.value.mistakes] == [3]
    with pytest.raises(IntakeError, match="the 1 rows"):
        ledger.accounts(GOOD, GOOD, head=WIDE, totals={"USD": 2000})


# --- each bad row by line and column ------------------------------------------------------------------------------

BAD: list[tuple[dict[str, str], str]] = [
    ({"account_id": " "}, "account_id: is empty"),
    ({"debtor_id": ""}, "debtor_id: is empty"),
    ({"currency": "DOL"}, "currency: is no ISO 4217 code such as USD"),
    ({"currency": ""}, "currency: is empty"),
    ({"amount": ""}, "amount: not a plain number"),
    ({"amount": "1.000,00"}, "row: 19 values under 18 columns"),
    ({"amount": '"1,000.00"'}, "amount: not a plain number"),
    ({"amount": "1e3"}, "amount: not a plain number"),
    ({"amount": "10.001"}, "amount: more than 2 decimals; USD has 2"),
    ({"currency": "JPY", "amount": "10.5"}, "amount: more than 0 decimals; JPY has 0"),
    ({"amount": "-5"}, "amount: is negative"),
    ({"amount": "99999999999999"}, "amount: amount too large"),
    (
        {"due_date": "03/04/2012"},
        "due_date: is not written YYYY-MM-DD; say how dates are written: --date-format %d/%m/%Y",
    ),
    ({"due_date": "2026-02-30"}, "due_date: is no date that exists, written YYYY-MM-DD"),
    ({"due_date": "20260230"}, "due_date: is not written YYYY-MM-DD"),
    ({"due_date": "9999-12-31"}, "due_date: is not between 1900 and 2199"),
    ({"due_date": ""}, "due_date: is empty"),
    ({"timezone": "CST"}, "timezone: is no IANA time zone such as America/Chicago"),
    ({"timezone": "America/Nowhere"}, "timezone: is no IANA time zone"),
    ({"disputed": "maybe"}, "disputed: is neither true nor false"),
    ({"score": "high"}, "score: is no whole number"),
    ({"account_id": "x\0y"}, "account_id: holds a NUL character"),
    ({"account_id": "9" * 201}, "account_id: is longer than 200 characters"),
]


@pytest.mark.parametrize(("changes", "text"), BAD)
def test_a_bad_row_is_named_and_the_others_are_taken(ledger: Ledger, changes: dict[str, str], text: str) -> None:
    done = ledger.accounts(GOOD, wide(**changes), wide(account_id="Z9"), head=WIDE)
    assert len(done.mistakes) == 1, said(done)
    assert said(done)[0].startswith(f"ledger.csv:3: {text}")
    assert said(done)[0].endswith("(row left out)")
    assert ledger.rows("SELECT external_id FROM accounts ORDER BY 1") == [("G1",), ("Z9",)]
    assert (done.rows, done.taken) == (3, 2)


@pytest.mark.parametrize("changes", [{"due_date": "03/04/2012"}, {"account_id": ""}, {"disputed": "maybe"}])
def test_strict_imports_nothing_if_any_row_is_wrong(ledger: Ledger, changes: dict[str, str]) -> None:
    before = ledger.everything()
    with pytest.raises(IntakeError, match="nothing imported") as refused:
        ledger.accounts(GOOD, wide(**changes), wide(amount="x"), head=WIDE, strict=True)
    assert [mistake.line for mistake in refused.value.mistakes] == [3, 4]
    assert ledger.everything() == before


def test_strict_imports_none_of_several_files_if_one_is_wrong(ledger: Ledger) -> None:
    accounts = ledger.file("l.csv", f"{WIDE}\n{GOOD}\n")
    contacts = ledger.file("c.csv", "person,kind,value\nnobody,phone,+13125550101\n")
    before = ledger.everything()
    orders = [Order("contacts", contacts, AT, strict=True), Order("ledger", accounts, AT, strict=True)]
    with pytest.raises(IntakeError, match=r"c\.csv: nothing imported") as refused:
        import_files(ledger.engine, orders)
    assert str(refused.value.mistakes[0]).startswith("c.csv:2: person: is not known")
    assert ledger.everything() == before


def test_files_given_together_are_all_or_nothing_when_one_cannot_be_read(ledger: Ledger) -> None:
    accounts = ledger.file("l.csv", f"{WIDE}\n{GOOD}\n")
    with pytest.raises(IntakeError, match="no such file"):
        import_files(ledger.engine, [Order("ledger", accounts, AT), Order("payments", Path("gone.csv"), AT)])
    assert ledger.one("SELECT count(*) FROM accounts") == 0


WRONG_VALUE: list[tuple[dict[str, str], str, str]] = [
    ({"phone": "12"}, "phone", "is no possible phone number"),
    ({"phone": "call me"}, "phone", "is no possible phone number"),
    ({"phone": "0911 12345", "region": ""}, "phone", "is no possible phone number"),
    ({"email": "ann.example.com"}, "email", "is no e-mail address"),
    ({"email": "a b@example.com"}, "email", "is no e-mail address"),
    ({"region": "Illinois"}, "region", "is no ISO 3166 code such as US-IL or CN"),
    ({"name": "N" * 201}, "name", "is longer than 200 characters"),
    ({"address": "S" * 1001}, "address", "is longer than 1000 characters"),
    ({"phone": "+1312555\x000100"}, "phone", "holds a NUL character"),
]


@pytest.mark.parametrize(("changes", "column", "text"), WRONG_VALUE)
def test_a_wrong_contact_costs_only_itself(ledger: Ledger, changes: dict[str, str], column: str, text: str) -> None:
    done = ledger.accounts(wide(**changes), head=WIDE)
    assert said(done) == [f"ledger.csv:2: {column}: {text} (value left out)"]
    kinds = {row[0] for row in ledger.rows("SELECT kind FROM contact_points")}
    assert kinds == {"phone", "email", "address"} - {column}
    assert done.taken == 1


def test_mistakes_quote_no_personal_data(ledger: Ledger) -> None:
    secrets = {"name": "Zebulon" * 40, "phone": "Quagmire-1", "email": "Quixote.at.home", "address": "Xanadu " * 200}
    done = ledger.accounts(wide(**secrets), wide(**secrets, currency="Zebulon"), head=WIDE)
    with pytest.raises(IntakeError) as no_header:
        ledger.take("ledger", f"{GOOD}\n")
    with pytest.raises(IntakeError) as unclosed:
        ledger.take("ledger", f"{WIDE}\n{wide(name=chr(34) + 'Zebulon')}\n")
    texts = " ".join((*said(done), str(no_header.value), str(unclosed.value)))
    for secret in ("Zebulon", "Quagmire", "Quixote", "Xanadu", "Ann", "ann@", "+1312", "Elm"):
        assert secret not in texts


# --- dates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("date_format", "day"), [("%d/%m/%Y", date(2012, 4, 3)), ("%m/%d/%Y", date(2012, 3, 4))])
def test_an_ambiguous_date_is_read_only_as_somebody_says(ledger: Ledger, date_format: str, day: date) -> None:
    assert ledger.accounts(wide(due_date="03/04/2012"), head=WIDE).taken == 0
    ledger.accounts(wide(due_date="03/04/2012"), head=WIDE, date_format=date_format)
    assert ledger.one("SELECT due_on FROM dues") == day


@pytest.mark.parametrize("date_format", ["DD/MM/YYYY", "%d/%m", "%q", "%H:%M", "", "%d/%m/%Y %"])
def test_a_date_format_that_says_no_day_is_refused_before_anything_is_read(ledger: Ledger, date_format: str) -> None:
    with pytest.raises(IntakeError, match=r"--date-format .*write for example %d/%m/%Y"):
        ledger.accounts(GOOD, head=WIDE, date_format=date_format)


# --- what files are made of ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + f"{WIDE}\n{GOOD}\n".encode(),
        f"{WIDE}\r\n{GOOD}\r\n".encode(),
        f"{WIDE}\n\n\n{GOOD}\n\n".encode(),
        f"{WIDE}\n{GOOD}".encode(),
        f"{WIDE.replace(',', ' , ')}\n{GOOD}\n".encode(),
        f"{WIDE},more\n{GOOD},ignored\n".encode(),
    ],
    ids=["bom", "crlf", "empty lines", "no last line end", "spaces in the header", "unknown column"],
)
def test_files_are_read_however_they_were_saved(ledger: Ledger, text: bytes) -> None:
    done = ledger.take("ledger", text)
    assert (done.rows, done.taken, done.mistakes) == (1, 1, [])


def test_lines_are_counted_through_quoted_line_ends_and_empty_lines(ledger: Ledger) -> None:
    quoted = wide(account_id="Q1", address='"1 Elm St\nFlat 2, rear"')
    done = ledger.accounts(GOOD, quoted, "", wide(amount="x", address='"a\nb"'), head=WIDE)
    assert said(done)[0].startswith("ledger.csv:6: amount:")
    assert ("1 Elm St\nFlat 2, rear",) in ledger.rows("SELECT value FROM contact_points")


BROKEN: list[tuple[bytes, str]] = [
    (b"", "ledger.csv:1: the file is empty"),
    (b"\n", "ledger.csv:1: the file is empty"),
    (b"account_id,debtor_id\nA,B\n", "ledger.csv:1: no column product, currency, amount, due_date in the first line"),
    (f"{WIDE.replace(',', ';')}\n".encode(), "ledger.csv:1: columns must be separated by commas"),
    (f"{WIDE},amount\n{GOOD},1\n".encode(), "ledger.csv:1: column amount stands there twice"),
    (f"{WIDE}\n{GOOD}\n{wide(name='Ann')[:40]}".encode() + b"\xe9\n", "ledger.csv:3: is not UTF-8"),
    (f"{WIDE}\n{GOOD}\n".encode("utf-16"), "is not UTF-8"),
    (f'{WIDE}\n{GOOD}\n"open,{GOOD}\n'.encode(), "ledger.csv:3: a quote is left open here"),
    (f'{WIDE}\n"a"b,{GOOD}\n'.encode(), "ledger.csv:2: is not written as CSV"),
    (f"{WIDE}\n{wide(address='x' * 140_000)}\n".encode(), "ledger.csv:2: a value of more than 131072 characters"),
]


@pytest.mark.parametrize(("text", "what"), BROKEN)
def test_a_file_that_is_no_table_is_one_line_and_changes_nothing(ledger: Ledger, text: bytes, what: str) -> None:
    with pytest.raises(IntakeError) as refused:
        ledger.take("ledger", text)
    assert what in str(refused.value)
    assert "\n" not in str(refused.value)
    assert ledger.one("SELECT count(*) FROM accounts") == 0


@pytest.mark.parametrize("row", ["G2,K2", GOOD + ",one too many"])
def test_a_row_with_other_columns_than_the_header_is_left_out(ledger: Ledger, row: str) -> None:
    done = ledger.accounts(row, GOOD, head=WIDE)
    assert said(done)[0].startswith("ledger.csv:2: row: ")
    assert done.taken == 1


def test_a_file_of_mistakes_is_given_up(ledger: Ledger) -> None:
    with pytest.raises(IntakeError, match="more than 10000 mistakes"):
        ledger.take("ledger", WIDE + "\n" + "x\n" * 10_002)


def test_a_folder_is_no_file(ledger: Ledger) -> None:
    with pytest.raises(IntakeError, match="cannot be read"):
        import_files(ledger.engine, [Order("ledger", ledger.folder, AT)])


# --- names of columns ---------------------------------------------------------------------------------------------


def test_columns_may_be_called_otherwise(ledger: Ledger) -> None:
    text = "LoanNo,Kunde,product,currency,Betrag,due_date,account_id\n007,K1,loan,EUR,5.50,2026-01-02,not this\n"
    ledger.take("ledger", text, names={"account_id": "LoanNo", "debtor_id": "Kunde", "amount": "Betrag"})
    assert ledger.rows("SELECT external_id, currency FROM accounts") == [("007", "EUR")]
    assert ledger.one("SELECT amount FROM dues") == 550


def test_one_column_may_be_two_of_ours(ledger: Ledger) -> None:
    text = "no,product,currency,amount,due_date\n5,loan,EUR,5,2026-01-02\n"
    ledger.take("ledger", text, names={"account_id": "no", "debtor_id": "no"})
    assert ledger.rows("SELECT a.external_id, d.external_id FROM accounts a, debtors d") == [("5", "5")]


def test_a_map_that_names_nothing_is_refused(ledger: Ledger) -> None:
    with pytest.raises(IntakeError, match=r"--map: no file has a column 'acount_id'; did you mean 'account_id'"):
        ledger.accounts(GOOD, head=WIDE, names={"acount_id": "LoanNo"})
    with pytest.raises(IntakeError, match="no column LoanNo in the first line"):
        ledger.accounts(GOOD, head=WIDE, names={"account_id": "LoanNo"})


# --- identity -----------------------------------------------------------------------------------------------------


def test_leading_zeros_count(ledger: Ledger) -> None:
    ledger.accounts(
        "007,K1,loan,USD,1,2026-01-02,UTC", "7,K1,loan,USD,2,2026-01-02,UTC", "07,K1,loan,USD,3,2026-01-02,UTC"
    )
    assert {row[0] for row in ledger.rows("SELECT external_id FROM accounts")} == {"007", "07", "7"}


def test_two_creditors_may_use_the_same_account_number(ledger: Ledger) -> None:
    ledger.accounts(wide(creditor_id="c1"), wide(creditor_id="c2", amount="20"), head=WIDE)
    assert ledger.rows(
        "SELECT a.creditor, d.amount FROM accounts a JOIN dues d ON d.account_key = a.key ORDER BY 1"
    ) == [
        ("c1", 1000),
        ("c2", 2000),
    ]


@pytest.mark.parametrize(
    ("second", "column"),
    [
        (wide(debtor_id="K9", instalment_no="2"), "account_id: has another debtor or currency in an earlier row"),
        (wide(currency="EUR", instalment_no="2"), "account_id: has another debtor or currency in an earlier row"),
        (wide(amount="99"), "due_date: repeats a due of this account"),
    ],
)
def test_a_row_that_contradicts_an_earlier_one_is_left_out(ledger: Ledger, second: str, column: str) -> None:
    done = ledger.accounts(wide(), second, head=WIDE)
    assert said(done)[0].startswith(f"ledger.csv:3: {column}")
    assert ledger.one("SELECT sum(amount)::int FROM dues") == 1000


@pytest.mark.parametrize(
    ("row", "column"), [(wide(currency="EUR"), "currency: differs"), (wide(debtor_id="K9"), "debtor_id: differs")]
)
def test_a_later_file_cannot_give_an_account_another_currency_or_debtor(ledger: Ledger, row: str, column: str) -> None:
    ledger.accounts(wide(), head=WIDE)
    before = ledger.everything()
    done = ledger.accounts(row, head=WIDE)
    assert said(done)[0].startswith(f"ledger.csv:2: {column} from what this account has")
    assert ledger.everything() == before


def test_phones_and_emails_take_their_standard_form(ledger: Ledger) -> None:
    ledger.accounts(
        wide(phone="(312) 555-0100", email="Ann.Other@Example.COM"),
        wide(account_id="B2", debtor_id="K3", phone="0049 30 901820", region="DE", timezone="Europe/Berlin"),
        head=WIDE,
    )
    values = {row[0] for row in ledger.rows("SELECT value FROM contact_points WHERE kind <> 'address'")}
    assert values == {"+13125550100", "ann.other@example.com", "+4930901820", "ann@example.com"}


def test_a_zone_that_the_person_confirmed_outlives_a_file(ledger: Ledger) -> None:
    ledger.accounts(wide(), head=WIDE)
    ledger.run("UPDATE parties SET timezone = 'America/Denver', timezone_source = 'confirmed'")
    ledger.accounts(wide(name="Ann New"), head=WIDE)
    assert ledger.rows("SELECT name, timezone, timezone_source FROM parties") == [
        ("Ann New", "America/Denver", "confirmed")
    ]


# --- full files ---------------------------------------------------------------------------------------------------


def _hold_of(ledger: Ledger, number: str) -> list[tuple[Any, ...]]:
    return ledger.rows(
        "SELECT h.reason, h.released_at IS NULL FROM holds h JOIN accounts a ON a.key = h.account_key "
        "WHERE a.external_id = %s ORDER BY h.key",
        number,
    )


def test_an_account_missing_from_a_full_file_is_held_and_goes_to_review_once(ledger: Ledger) -> None:
    first, second = "L1,K1,loan,USD,10,2026-01-05,UTC", "L2,K2,loan,USD,10,2026-01-05,UTC"
    ledger.accounts(first, second)
    ledger.open()
    done = ledger.accounts(first, full=True, at=AT + timedelta(days=1))
    assert _hold_of(ledger, "L2") == [("review", True)]
    assert _hold_of(ledger, "L1") == []
    key = ledger.one("SELECT k.key FROM cases k JOIN accounts a ON a.key = account_key WHERE external_id = 'L2'")
    assert done.changed == [key]
    assert ledger.one("SELECT count(*) FROM case_events WHERE case_key = %s AND kind = 'hold'", key) == 1
    ledger.accounts(first, full=True, at=AT + timedelta(days=2))
    assert ledger.rows("SELECT kind, status, reason FROM work_items") == [("review", "open", "missing_from_file")]
    assert len(_hold_of(ledger, "L2")) == 1


def test_an_account_found_again_is_released_and_its_review_is_settled(ledger: Ledger) -> None:
    first, second = "L1,K1,loan,USD,10,2026-01-05,UTC", "L2,K2,loan,USD,10,2026-01-05,UTC"
    ledger.accounts(first, second)
    ledger.open()
    ledger.accounts(first, full=True, at=AT + timedelta(days=1))
    done = ledger.accounts(first, second, full=True, at=AT + timedelta(days=2))
    assert _hold_of(ledger, "L2") == [("review", False)]
    assert len(done.changed) == 1
    assert ledger.one("SELECT status FROM work_items") == "cancelled"
    assert ledger.one("SELECT count(*) FROM case_events WHERE kind = 'released'") == 1
    ledger.accounts(first, full=True, at=AT + timedelta(days=3))
    assert _hold_of(ledger, "L2") == [("review", False), ("review", True)]


def test_a_full_file_speaks_for_its_own_creditors_only(ledger: Ledger) -> None:
    ledger.accounts(wide(creditor_id="c1"), wide(creditor_id="c2"), head=WIDE)
    ledger.accounts(wide(creditor_id="c1", account_id="other"), head=WIDE, full=True)
    assert ledger.rows("SELECT creditor, external_id FROM accounts WHERE missing_since IS NOT NULL") == [("c1", "B1")]
    ledger.take("ledger", f"{WIDE}\n", full=True)
    assert ledger.one("SELECT count(*) FROM accounts WHERE missing_since IS NOT NULL") == 1


@pytest.mark.parametrize("bad", [wide(amount="x"), wide(currency="EUR"), wide(timezone="CST")])
def test_an_account_whose_row_is_wrong_is_not_missing(ledger: Ledger, bad: str) -> None:
    ledger.accounts(wide(), wide(account_id="Z9"), head=WIDE)
    done = ledger.accounts(bad, wide(account_id="Z9"), head=WIDE, full=True)
    assert len(done.mistakes) == 1
    assert ledger.one("SELECT count(*) FROM accounts WHERE missing_since IS NOT NULL") == 0


# --- disputes -----------------------------------------------------------------------------------------------------


def test_a_disputed_account_is_on_hold_from_the_start(ledger: Ledger) -> None:
    ledger.accounts(wide(instalment_no="1"), wide(instalment_no="2", due_date="2026-02-02", disputed="YES"), head=WIDE)
    assert _hold_of(ledger, "B1") == [("dispute", True)]
    (case,) = ledger.open().cases
    assert case.state.facts.hold is not None


def test_a_lifted_dispute_is_not_placed_again_by_the_same_news_but_by_a_new_dispute(ledger: Ledger) -> None:
    ledger.accounts(wide(disputed="yes"), head=WIDE)
    ledger.run("UPDATE holds SET released_at = %s, released_by = 'ops'", AT)
    ledger.accounts(wide(disputed="yes"), head=WIDE)
    assert _hold_of(ledger, "B1") == [("dispute", False)]
    ledger.accounts(wide(disputed="no"), head=WIDE)
    ledger.accounts(wide(disputed="yes"), head=WIDE)
    assert _hold_of(ledger, "B1") == [("dispute", False), ("dispute", True)]


def test_a_dispute_in_a_later_file_holds_and_tells_the_open_case(ledger: Ledger) -> None:
    ledger.accounts(wide(), head=WIDE)
    (case,) = ledger.open().cases
    done = ledger.accounts(wide(disputed="yes"), head=WIDE)
    assert done.changed == [case.state.case_key]
    (row,) = ledger.rows("SELECT body FROM case_events WHERE kind = 'hold'")
    assert '"reason":"dispute"' in row[0]


def test_the_file_does_not_lift_a_dispute(ledger: Ledger) -> None:
    ledger.accounts(wide(disputed="yes"), head=WIDE)
    ledger.accounts(wide(disputed="no"), head=WIDE)
    assert _hold_of(ledger, "B1") == [("dispute", True)]


# --- cases are told -----------------------------------------------------------------------------------------------


def test_only_open_cases_whose_ledger_changed_must_be_told_and_stay_untold_until_they_are(ledger: Ledger) -> None:
    rows = [wide(account_id=f"A{n}", debtor_id=f"D{n}") for n in range(4)]
    ledger.accounts(*rows, head=WIDE)
    ledger.open()
    changed = [rows[0].replace("10.00", "11.00"), rows[1], rows[2].replace("en,", "de,"), rows[3]]
    done = ledger.accounts(*changed, head=WIDE)
    assert done.changed == ["A000000001/1", "A000000003/1"]
    ((name, keys),) = untold_cases(ledger.engine).items()
    assert keys == ("A000000001/1", "A000000003/1")
    mark_told(ledger.engine, name, keys[:1])
    assert untold_cases(ledger.engine) == {name: keys[1:]}
    mark_told(ledger.engine, name, keys[1:])
    assert untold_cases(ledger.engine) == {}


def test_more_open_cases_than_postgresql_has_locks_for_are_merged_in_chunks(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [wide(account_id=f"A{n}", debtor_id=f"D{n}") for n in range(9)]
    ledger.accounts(*rows, head=WIDE)
    ledger.open()
    monkeypatch.setattr("db.intake.LOCKED_AT_ONCE", 2)
    locked: list[int] = []
    monkeypatch.setattr("db.intake.lock_persons", lambda _, accounts: locked.append(len(accounts)))
    done = ledger.accounts(*(row.replace("10.00", "11.00") for row in rows), head=WIDE)
    assert locked == [2, 2, 2, 2, 1]
    assert len(done.changed) == 9
    assert ledger.one("SELECT count(*) FROM dues WHERE amount = 1100") == 9


def test_a_case_that_is_opened_while_its_account_is_merged_is_told(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.accounts(wide(), head=WIDE)
    monkeypatch.setattr("db.intake._Merger._say_suspended", lambda _: ledger.open())
    done = ledger.accounts(wide(amount="11.00"), head=WIDE)
    assert done.changed == ["A000000001/1"]
    assert list(untold_cases(ledger.engine).values()) == [("A000000001/1",)]


@pytest.mark.parametrize("kind", ["ledger", "payments", "contacts", "parties"])
def test_an_import_waits_for_a_contact_that_is_being_decided(ledger: Ledger, kind: Kind) -> None:
    texts = {
        "ledger": f"{WIDE}\n{wide(disputed='yes')}\n",
        "payments": "payment_id,account_id,amount,currency,paid_on\nP1,B1,10,USD,2026-03-05\n",
        "contacts": "person,kind,value,consent\nK2,phone,+13125550100,withdrawn\n",
        "parties": "account,person,role\nB1,C1,attorney\n",
    }
    ledger.accounts(wide(), head=WIDE)
    (case,) = ledger.open().cases
    before = ledger.everything()
    with ledger.decides(case.state.account_key) as waiting, ThreadPoolExecutor(1) as pool:
        importing = pool.submit(ledger.take, kind, texts[kind])
        waiting()
        assert ledger.everything() == before
        ledger.release()
        assert importing.result(timeout=60).changed == [case.state.case_key]


# --- payments -----------------------------------------------------------------------------------------------------


def _paid(ledger: Ledger) -> list[tuple[Any, ...]]:
    return ledger.rows("SELECT external_id, amount FROM ledger_entries WHERE kind = 'payment' ORDER BY 1")


def test_a_payment_counts_once_by_its_number(ledger: Ledger) -> None:
    ledger.loan()
    row = "P1,L1,40.00,USD,2026-03-05"
    ledger.payments(row, row)
    before = ledger.everything()
    done = ledger.payments(row)
    assert _paid(ledger) == [("P1", 4000)]
    assert ledger.everything() == before
    assert done.mistakes == []


@pytest.mark.parametrize(
    "other", ["P1,L1,41.00,USD,2026-03-05", "P1,L2,40.00,USD,2026-03-05", "P1,L1,40.00,USD,2026-03-06"]
)
def test_a_number_used_for_another_payment_is_said(ledger: Ledger, other: str) -> None:
    ledger.loan()
    ledger.loan("L2")
    done = ledger.payments("P1,L1,40.00,USD,2026-03-05", other)
    assert said(done) == [
        "payments.csv:3: payment_id: stands in an earlier row with another account, amount or day (row left out)"
    ]
    done = ledger.payments(other)
    assert said(done) == ["payments.csv:2: payment_id: is known with another account, amount or day (row left out)"]
    assert _paid(ledger) == [("P1", 4000)]


def test_creditors_number_their_payments_for_themselves(ledger: Ledger) -> None:
    ledger.accounts(wide(account_id="X1", creditor_id="c1"), wide(account_id="X2", creditor_id="c2"), head=WIDE)
    assert said(ledger.payments("P1,X1,1,USD,2026-03-05", "P1,X2,2,USD,2026-03-05")) == []
    assert _paid(ledger) == [("P1", 100), ("P1", 200)]


SUSPENDED: list[tuple[str, str, str]] = [
    ("P1,L9,40,USD,2026-03-05", "account_id: is not known", "unknown_account"),
    ("P1,L1,40,EUR,2026-03-05", "currency: is not the currency of the account", "other_currency"),
    (
        "P1,B1,40,USD,2026-03-05",
        "account_id: is a number of several creditors; add a column creditor_id",
        "ambiguous_account",
    ),
]


@pytest.mark.parametrize(("row", "text", "reason"), SUSPENDED)
def test_money_that_cannot_be_applied_is_kept_and_said_once(ledger: Ledger, row: str, text: str, reason: str) -> None:
    ledger.loan()
    ledger.accounts(wide(creditor_id="c1"), wide(creditor_id="c2"), head=WIDE)
    for _ in range(2):
        done = ledger.payments(row, "P2,L1,1,USD,2026-03-05")
        assert said(done) == [f"payments.csv:2: {text} (kept in suspense)"]
        assert done.taken == 2
        assert ledger.rows("SELECT external_id, amount, reason, state FROM suspense") == [("P1", 4000, reason, "open")]
        assert _paid(ledger) == [("P2", 100)]


def test_money_of_two_creditors_with_the_same_number_is_kept_twice(ledger: Ledger) -> None:
    done = ledger.payments("P1,L8,40,USD,2026-03-05", "P1,L9,50,USD,2026-03-05")
    assert len(done.mistakes) == 2
    assert ledger.rows("SELECT account_ref, amount FROM suspense ORDER BY 1") == [("L8", 4000), ("L9", 5000)]


def test_a_creditor_makes_an_account_number_unambiguous(ledger: Ledger) -> None:
    ledger.accounts(wide(creditor_id="c1"), wide(creditor_id="c2"), head=WIDE)
    ledger.payments("P1,B1,4,USD,2026-03-05,c2", head="payment_id,account_id,amount,currency,paid_on,creditor_id")
    assert ledger.rows("SELECT creditor, amount FROM ledger_entries") == [("c2", 400)]


def test_money_in_suspense_is_applied_when_its_account_comes(ledger: Ledger) -> None:
    row = "P1,L1,40.00,USD,2026-03-05"
    ledger.payments(row)
    ledger.loan()
    assert said(ledger.payments(row)) == []
    assert _paid(ledger) == [("P1", 4000)]
    assert ledger.rows("SELECT state FROM suspense") == [("applied",)]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("P1,L1,0,USD,2026-03-05", "amount: is zero"),
        ("P1,L1,-3,USD,2026-03-05", "amount: is negative"),
        (",L1,3,USD,2026-03-05", "payment_id: is empty"),
        ("P1,,3,USD,2026-03-05", "account_id: is empty"),
        ("P1,L1,3,USD,05.03.2026", "paid_on: is not written YYYY-MM-DD"),
        ("P1,L1,3,???,2026-03-05", "currency: is no ISO 4217 code"),
    ],
)
def test_a_bad_payment_is_named(ledger: Ledger, row: str, text: str) -> None:
    ledger.loan()
    done = ledger.payments(row, "P2,L1,1,USD,2026-03-05")
    assert said(done)[0].startswith(f"payments.csv:2: {text}")
    assert _paid(ledger) == [("P2", 100)]


def test_a_payment_tells_the_case_and_names_attempts_in_flight(ledger: Ledger) -> None:
    account = ledger.loan()
    (case,) = ledger.open().cases
    key = f"{case.state.case_key}/1"
    ledger.run(
        "INSERT INTO attempts (key, case_key, seq, channel, status, due_at) VALUES (%s, %s, 1, 'sms', 'dispatching', %s)",
        key, case.state.case_key, AT,
    )  # fmt: skip
    ledger.run("INSERT INTO attempt_accounts (attempt_key, account_key) VALUES (%s, %s)", key, account)
    done = ledger.payments("P1,L1,40.00,USD,2026-03-05")
    assert done.in_flight == [key]
    assert done.changed == [case.state.case_key]
    ((body,),) = ledger.rows("SELECT body FROM case_events WHERE kind = 'payment'")
    assert f'"in_flight":["{key}"]' in body


def test_a_file_of_payments_makes_nobody_fresh_before_all_of_it_is_posted(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.loan()
    ledger.open()
    monkeypatch.setattr("db.intake.lock_persons", _die)
    with pytest.raises(RuntimeError):
        ledger.payments("P1,L1,40.00,USD,2026-03-05")
    assert ledger.one("SELECT max(as_of) < %s FROM feeds WHERE kind = 'payments'", AT - timedelta(days=365))
    monkeypatch.undo()
    ledger.payments("P1,L1,40.00,USD,2026-03-05")
    assert ledger.one("SELECT max(as_of) FROM feeds WHERE kind = 'payments'") == AT


def _die(*_: object) -> None:
    raise RuntimeError


def test_payments_of_one_creditor_make_no_other_creditor_fresh(ledger: Ledger) -> None:
    head = "payment_id,account_id,amount,currency,paid_on,creditor_id"
    ledger.payments("P1,B1,4,USD,2026-03-05,c2", head=head)
    ledger.payments("P1,B1,4,USD,2026-03-05")
    assert ledger.rows("SELECT creditors FROM feeds ORDER BY id") == [(["c2"],), ([],)]


def test_looking_back_a_payment_is_known_from_the_start_of_its_local_day(ledger: Ledger) -> None:
    ledger.loan()
    ledger.payments("P1,L1,40.00,USD,2026-03-05", received="paid_on")
    assert ledger.one("SELECT received_at FROM ledger_entries") == datetime.fromisoformat("2026-03-05T00:00-06:00")


# --- people -------------------------------------------------------------------------------------------------------


def test_co_borrowers_come_with_their_role_and_their_numbers(ledger: Ledger) -> None:
    ledger.accounts(wide(), head=WIDE)
    parties = ledger.file("parties.csv", "account,person,role,name\nB1,C1,co_borrower,Bob Other\nB1,C1,guarantor,Bob\n")
    contacts = ledger.file("contacts.csv", "person,kind,value,consent\nC1,phone,+13125550111,given\n")
    done = import_files(ledger.engine, [Order("contacts", contacts, AT), Order("parties", parties, AT)])
    assert [(one.kind, one.taken, one.mistakes) for one in done] == [("parties", 2, []), ("contacts", 1, [])]
    assert ledger.rows(
        "SELECT p.external_id, r.role FROM account_parties r JOIN parties p ON p.key = r.party_key ORDER BY 1, 2"
    ) == [("C1", "co_borrower"), ("C1", "guarantor"), ("K2", "borrower")]
    assert ledger.rows(
        "SELECT value, consent FROM contact_points n JOIN parties p ON p.key = n.party_key WHERE p.external_id = 'C1'"
    ) == [("+13125550111", "given")]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("B1,C1,", "role: is empty"),
        ("B1,C1,friend", "role: is none of borrower, co_borrower"),
        ("nope,C1,guarantor", "account: is not known"),
        ("B1,,guarantor", "person: is empty"),
    ],
)
def test_a_wrong_role_is_named(ledger: Ledger, row: str, text: str) -> None:
    ledger.accounts(wide(), head=WIDE)
    done = ledger.take("parties", f"account,person,role\n{row}\nB1,C2,guarantor\n")
    assert said(done)[0].startswith(f"parties.csv:2: {text}")
    assert done.taken == 1


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("K2,fax,+13125550111,", "kind: is none of phone, email, address"),
        ("K2,phone,,", "value: is empty"),
        ("K2,phone,12,", "value: is no possible phone number"),
        ("K2,email,nobody,", "value: is no e-mail address"),
        ("K2,phone,+13125550111,yes", "consent: is none of not_asked, given, withdrawn"),
        ("nobody,phone,+13125550111,", "person: is not known"),
    ],
)
def test_a_wrong_contact_row_is_named_once(ledger: Ledger, row: str, text: str) -> None:
    ledger.accounts(wide(), head=WIDE)
    done = ledger.take("contacts", f"person,kind,value,consent\n{row}\nK2,email,k2@example.com,\n")
    assert len(done.mistakes) == 1, said(done)
    assert said(done)[0].startswith(f"contacts.csv:2: {text}")
    assert said(done)[0].endswith("(row left out)")
    assert done.taken == 1


def test_a_number_that_two_creditors_use_attaches_nobody_to_the_wrong_account(ledger: Ledger) -> None:
    ledger.accounts(wide(creditor_id="c1"), wide(creditor_id="c2"), head=WIDE)
    done = ledger.take("parties", "account,person,role\nB1,C1,guarantor\n")
    assert said(done) == [
        "parties.csv:2: account: is a number of several creditors; add a column creditor_id (row left out)"
    ]
    ledger.take("parties", "account,person,role,creditor_id\nB1,C1,guarantor,c2\n")
    assert ledger.rows(
        "SELECT a.creditor FROM account_parties r JOIN accounts a ON a.key = r.account_key WHERE r.role = 'guarantor'"
    ) == [("c2",)]


def test_a_person_number_that_two_creditors_use_gets_no_contact_of_the_other(ledger: Ledger) -> None:
    ledger.run("INSERT INTO creditors (code, debtor_namespace) VALUES ('c1', 'one'), ('c2', 'two')")
    ledger.accounts(wide(creditor_id="c1", phone=""), wide(creditor_id="c2", phone=""), head=WIDE)
    row = "K2,phone,+13125550111"
    done = ledger.take("contacts", f"person,kind,value\n{row}\n")
    assert said(done) == [
        "contacts.csv:2: person: is a number of several people; add a column creditor_id (row left out)"
    ]
    ledger.take("contacts", f"person,kind,value,creditor_id\n{row},c1\n")
    assert ledger.rows(
        "SELECT p.namespace FROM contact_points n JOIN parties p ON p.key = n.party_key WHERE n.kind = 'phone'"
    ) == [("one",)]


def test_a_withdrawn_consent_stays_withdrawn_until_it_is_given(ledger: Ledger) -> None:
    ledger.accounts(wide(), head=WIDE)
    ledger.open()

    def after(consent: str) -> tuple[str, int]:
        done = ledger.take("contacts", f"person,kind,value,consent\nK2,phone,(312) 555-0100,{consent}\n")
        return ledger.one("SELECT consent FROM contact_points WHERE kind = 'phone'"), len(done.changed)

    region = "person,kind,value,consent,region\nK2,phone,(312) 555-0100,withdrawn,US\n"
    assert ledger.take("contacts", region).changed == ["A000000001/1"]
    assert ledger.one("SELECT consent FROM contact_points WHERE kind = 'phone'") == "withdrawn"
    assert after("") == ("withdrawn", 0), "a national number without a region is no number"
    assert ledger.take("contacts", "person,kind,value,consent\nK2,phone,+13125550100,\n").changed == []
    assert ledger.one("SELECT consent FROM contact_points WHERE kind = 'phone'") == "withdrawn"
    assert ledger.take("contacts", "person,kind,value,consent\nK2,phone,+13125550100,given\n").changed != []
    assert ledger.one("SELECT consent FROM contact_points WHERE kind = 'phone'") == "given"
