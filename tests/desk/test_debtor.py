"""The view of a person: every account and creditor, what rests, and what is due; only for whoever may see."""

from datetime import timedelta

import pytest

from db.facts import read_account
from desk.debtor import show
from desk.errors import DeskError
from desk.holds import Wanted, extend, holds, place, release
from domain.codes import HoldReason, HoldScope
from domain.roles import SYSTEM, NotAllowedError, Role
from tests.db.conftest import AT, Ledger
from tests.desk.conftest import People


def _case(ledger: Ledger, account: str) -> str:
    return str(ledger.one("SELECT key FROM cases WHERE account_key = %s", account))


def test_a_person_is_shown_over_all_accounts_with_what_rests(ledger: Ledger) -> None:
    first, second = ledger.loan("L1", debtor="K1"), ledger.loan("L2", debtor="K1")
    ledger.loan("L3", debtor="K2")
    ledger.open(AT)
    wanted = Wanted(HoldReason.OTHER, HoldScope.DEBTOR, AT + timedelta(days=9))
    held = place(ledger.engine, SYSTEM, _case(ledger, first), wanted, AT)
    view = show(ledger.engine, SYSTEM, "K1", AT + timedelta(hours=1))
    assert {one["key"] for one in view.accounts} == {first, second}
    assert [one["key"] for one in view.holds] == [held.key]
    with ledger.engine.connect() as connection:
        for account in (first, second):
            assert read_account(connection, account, AT, logical=False).facts.hold is not None
    assert ledger.one("SELECT count(*) FROM signals WHERE name = 'ledger_changed'") == 2
    with pytest.raises(DeskError, match="no person"):
        show(ledger.engine, SYSTEM, "nobody", AT)


def test_holds_at_the_desk_keep_to_the_catalogue_and_to_who_may_lift_them(ledger: Ledger, people: People) -> None:
    account = ledger.loan("L1")
    ledger.open(AT)
    case, ann, sue = _case(ledger, account), people("ann"), people("sue", Role.SUPERVISOR)
    with pytest.raises(DeskError, match="lasts at most 30 days"):
        place(ledger.engine, ann, case, Wanted(HoldReason.HARDSHIP, until=AT + timedelta(days=31)), AT)
    with pytest.raises(DeskError, match="needs an end"):
        place(ledger.engine, ann, case, Wanted(HoldReason.OTHER), AT)
    hold = place(ledger.engine, ann, case, Wanted(HoldReason.HARDSHIP, until=AT + timedelta(days=20)), AT)
    later = AT + timedelta(days=10)
    with pytest.raises(NotAllowedError):
        release(ledger.engine, ann, hold.key, AT)
    with pytest.raises(NotAllowedError):
        extend(ledger.engine, ann, hold.key, later, AT)
    with pytest.raises(DeskError, match="already; name a later instant"):
        extend(ledger.engine, sue, hold.key, later, AT)
    assert extend(ledger.engine, sue, hold.key, AT + timedelta(days=29), AT).until_at == AT + timedelta(days=29)
    release(ledger.engine, sue, hold.key, AT + timedelta(days=1))
    assert holds(ledger.engine, ann, case, AT + timedelta(days=1)) == []
