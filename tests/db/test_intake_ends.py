"""Recalls and charge-offs by file: every bad row named, the same file twice harmless, cases told."""

from datetime import date

import pytest

from db.facts import read_account
from db.intake import untold_cases
from db.intake_rows import IntakeError
from domain.codes import CloseReason
from tests.db.conftest import AT, Ledger

HEAD = "account_id,reason,on\n"


@pytest.fixture
def loans(ledger: Ledger) -> Ledger:
    for number in range(4):
        ledger.loan(f"L{number}")
    ledger.payments("P1,L1,30.00,USD,2026-03-05", "P2,L2,100.00,USD,2026-03-05")
    ledger.open()
    return ledger


def test_a_recall_ends_placement_and_case_once(loans: Ledger) -> None:
    text = f"{HEAD}L0,client_request,2026-03-09\nL1,sold_back,2026-03-10\n"
    first = loans.take("recalls", text)
    assert (first.rows, first.taken, first.mistakes) == (2, 2, [])
    assert first.counts == {"placements ended": 2, "recalls": 2}
    assert loans.rows("SELECT external_id, closing FROM accounts WHERE closing IS NOT NULL ORDER BY 1") == [
        ("L0", "recalled"),
        ("L1", "recalled"),
    ]
    assert loans.rows("SELECT recalled_on FROM placements ORDER BY 1") == [(date(2026, 3, 9),), (date(2026, 3, 10),)]
    record = loans.rows(
        "SELECT body::jsonb ->> 'reason', body::jsonb ->> 'why', body::jsonb ->> 'actor' FROM case_events "
        "WHERE kind = 'closing' ORDER BY case_key"
    )
    assert record == [("recalled", "client_request", "import"), ("recalled", "sold_back", "import")]
    (told,) = untold_cases(loans.engine).values()
    assert len(told) == 2
    with loans.engine.connect() as connection:
        key = loans.one("SELECT key FROM accounts WHERE external_id = 'L0'")
        assert read_account(connection, key, AT, logical=False).facts.closing is CloseReason.RECALLED
    before = loans.everything("runtime_settings", "case_events")
    again = loans.take("recalls", text)
    assert (again.mistakes, again.counts) == ([], {"placements ended": 0, "recalls": 0})
    assert loans.everything("runtime_settings", "case_events") == before
    assert loans.one("SELECT count(*) FROM case_events WHERE kind = 'closing'") == 2


def test_a_charge_off_is_an_entry_of_what_is_owed_and_closes_nothing(loans: Ledger) -> None:
    text = f"{HEAD}L0,age,2026-03-09\nL1,age,2026-03-09\n"
    first = loans.take("chargeoffs", text)
    assert (first.taken, first.mistakes, first.counts) == (2, [], {"charge-offs": 2, "accounts": 2})
    assert loans.rows(
        "SELECT amount, currency, value_on, external_id FROM ledger_entries WHERE kind = 'charge_off' ORDER BY 1"
    ) == [
        (
            7_000,
            "USD",
            date(2026, 3, 9),
            f"charge-off/{loans.one('''SELECT key FROM accounts WHERE external_id = 'L1' ''')}",
        ),
        (
            10_000,
            "USD",
            date(2026, 3, 9),
            f"charge-off/{loans.one('''SELECT key FROM accounts WHERE external_id = 'L0' ''')}",
        ),
    ]
    with loans.engine.connect() as connection:
        key = loans.one("SELECT key FROM accounts WHERE external_id = 'L1'")
        facts = read_account(connection, key, AT, logical=False).facts
    assert (facts.past_due, facts.balance, facts.closing) == (7_000, 7_000, None), "written off is still owed"
    assert loans.one("SELECT count(*) FROM case_events WHERE kind = 'charge_off'") == 2
    loans.payments("P9,L1,70.00,USD,2026-03-10")
    again = loans.take("chargeoffs", text)
    assert (again.mistakes, again.counts) == ([], {"charge-offs": 0, "accounts": 0})


@pytest.mark.parametrize(
    ("kind", "row", "line"),
    [
        ("recalls", "nobody,x,2026-03-09", "account_id: is not known"),
        (
            "recalls",
            "L0,Client asked,2026-03-09",
            "reason: is no code such as client_request: lower-case letters, digits and _.:-",
        ),
        ("recalls", "L0,,2026-03-09", "reason: is empty"),
        (
            "recalls",
            "L0,x,9.3.2026",
            "on: is not written YYYY-MM-DD; say how dates are written: --date-format %d/%m/%Y",
        ),
        ("recalls", "L0,x,2026-03-11", "on: lies in the future; import it when it has come"),
        ("recalls", "L3,x,2026-03-09", "account_id: stands in an earlier row"),
        ("chargeoffs", "L2,x,2026-03-09", "account_id: owes nothing that could be charged off"),
        ("chargeoffs", "L3,x,2026-03-08", "account_id: stands in an earlier row"),
    ],
)
def test_a_bad_row_is_one_line_and_leaves_the_others_alone(loans: Ledger, kind: str, row: str, line: str) -> None:
    text = f"{HEAD}L3,x,2026-03-09\n{row}\n"
    found = loans.take(kind, text)  # type: ignore[arg-type]
    assert [str(one) for one in found.mistakes] == [f"{kind}.csv:3: {line} (row left out)"]
    assert found.taken == 1
    with pytest.raises(IntakeError, match="nothing imported"):
        loans.take(kind, text.replace("L3,x,2026-03-09\n", "L3,x,2026-03-09\n", 1), strict=True)  # type: ignore[arg-type]


def test_what_contradicts_the_ledger_is_named(loans: Ledger) -> None:
    loans.take("chargeoffs", f"{HEAD}L0,x,2026-03-08\n")
    found = loans.take("chargeoffs", f"{HEAD}L0,x,2026-03-09\n")
    assert [one.what for one in found.mistakes] == ["is another day than the account was charged off on before"]
    loans.run("UPDATE accounts SET closing = 'sold', closing_at = %s WHERE external_id = 'L0'", AT)
    found = loans.take("recalls", f"{HEAD}L0,x,2026-03-09\n")
    assert [one.what for one in found.mistakes] == ["is closing for another reason already"]
