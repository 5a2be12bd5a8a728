"""Small databases for the tests of the re-check: people, debts and attempts, inserted by SQL, whole and clean.

What is built is lawful unless a test makes it otherwise, so that a violation found is the one that was planted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from tests.recheck import Violation, recheck

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)
KINDS = {"sms": "phone", "voice": "phone", "call": "phone", "email": "email"}

_EMPTY = """
DO $$ DECLARE name text; BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
END $$
"""


@dataclass(frozen=True, slots=True)
class Person:
    """One debtor with one debt, its case, and a contact point of each kind."""

    party: str
    debtor: str
    account: str
    case: str
    creditor: str


def utc(text: str) -> datetime:
    """Read an instant written as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Small:
    """One database, filled row by row. Everything is committed at once."""

    def __init__(self, url: str) -> None:
        """Connect to a migrated database and empty it, the append-only record too."""
        self.url = url
        self._connection = psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True)
        self._numbers = 0
        self.sql("SET synchronous_commit = off")
        self.sql(_EMPTY)
        self.sql(
            "INSERT INTO strategies (digest, name, version, body, registered_at) VALUES ('d', 's', 1, '{}', now())"
        )

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def sql(self, query: str, *values: object) -> None:
        """Run one statement."""
        self._connection.execute(query.encode(), values or None)

    def insert(self, table: str, row: Mapping[str, object]) -> None:
        """Insert one row."""
        columns, holders = ", ".join(row), ", ".join(["%s"] * len(row))
        values = [json.dumps(value) if isinstance(value, dict) else value for value in row.values()]
        self.sql(f"INSERT INTO {table} ({columns}) VALUES ({holders})", *values)

    def next(self) -> int:
        """Return a number that was not used yet."""
        self._numbers += 1
        return self._numbers

    def person(
        self,
        region: str | None,
        zone: str | None,
        *,
        third_party: bool = False,
        creditor: str = "bank",
        phone: str | None = None,
        due_on: date = date(2025, 1, 1),
        party: Mapping[str, object] | None = None,
        account: Mapping[str, object] | None = None,
        noticed: bool = True,
    ) -> Person:
        """Add a debtor who has owed 100.00 since ``due_on``; a placed debt has had its validation notice."""
        number = self.next()
        one = Person(f"P{number}", f"D{number}", f"A{number}", f"A{number}/1", creditor)
        self.sql("INSERT INTO creditors (code) VALUES (%s) ON CONFLICT DO NOTHING", creditor)
        home = {"region": region, "timezone": zone, **(party or {})}
        self.insert("parties", {"key": one.party, "external_id": one.party, **home})
        self.insert("debtors", {"key": one.debtor, "external_id": one.debtor, "party_key": one.party})
        for kind, value in (
            ("phone", phone or f"+800{number:08d}"),
            ("email", f"e{number}"),
            ("address", f"a{number}"),
        ):
            self.point(one.party, kind, value, key=f"{one.party}-{kind}")
        collector = "agency" if third_party else ""
        self._debt(one, number, collector, due_on, account or {})
        if third_party and noticed:
            self.attempt(one, "letter", LONG_AGO, purpose="required_notice")
        return one

    def _debt(self, one: Person, number: int, collector: str, due_on: date, more: Mapping[str, object]) -> None:
        actor = "third_party_collector" if collector else "first_party_creditor"
        row = {"product": "loan", "currency": "USD", "collector": collector, "actor": actor, "created_at": LONG_AGO}
        of = {"key": one.account, "creditor": one.creditor, "external_id": f"X{number}", "debtor_key": one.debtor}
        self.insert("accounts", {**of, **row, **more})
        self.insert("account_parties", {"account_key": one.account, "party_key": one.party, "role": "borrower"})
        self.insert("dues", {"account_key": one.account, "ref": "1", "due_on": due_on, "amount": 10_000})
        case = {"key": one.case, "account_key": one.account, "episode": 1, "debtor_key": one.debtor, "status": "open"}
        more = {"creditor": one.creditor, "collector": collector, "strategy_digest": "d", "strategy": "s"}
        self.insert("cases", {**case, **more, "opened_at": LONG_AGO})

    def second_debt(self, one: Person, *, due_on: date = date(2025, 1, 1)) -> Person:
        """Add another debt of the same debtor to the same creditor and collector."""
        number = self.next()
        other = Person(one.party, one.debtor, f"A{number}", f"A{number}/1", one.creditor)
        self._debt(other, number, "", due_on, {})
        return other

    def party(self, key: str, account: str, role: str) -> str:
        """Add another person with a role on an account, with one phone number."""
        self.insert("parties", {"key": key, "external_id": key})
        self.insert("account_parties", {"account_key": account, "party_key": key, "role": role})
        self.point(key, "phone", f"+801{self.next():08d}", key=f"{key}-phone")
        return key

    def point(self, party: str, kind: str, value: str, *, key: str, **more: object) -> str:
        """Add a contact point."""
        row = {"key": key, "party_key": party, "kind": kind, "value": value, **more}
        self.insert("contact_points", row)
        return key

    def attempt(
        self,
        one: Person,
        channel: str,
        at: datetime | str,
        *,
        purpose: str = "collect",
        status: str = "delivered",
        party: str | None = None,
        accounts: tuple[str, ...] = (),
        outcome: str | None = None,
        **more: object,
    ) -> str:
        """Add an attempt that a provider made, with its decision, its event and the carrier's request."""
        moment = utc(at) if isinstance(at, str) else at
        number = self.next()
        key, to = f"{one.case}/{number}", party or one.party
        point = f"{to}-{KINDS.get(channel, 'address')}"
        row: dict[str, object] = {
            "key": key, "case_key": one.case, "seq": number, "purpose": purpose, "channel": channel, "party_key": to,
            "contact_point_key": point, "status": status, "due_at": moment, "admitted_at": moment, "sent_at": moment,
            "provider": "sandbox", "error_code": outcome,
        }  # fmt: skip
        self.insert("attempts", {**row, **more})
        for account in accounts or (one.account,):
            self.insert("attempt_accounts", {"attempt_key": key, "account_key": account})
        self.decision(key, moment)
        self.append(one.case, "dispatching", moment, {"attempt": key})
        self.insert("sandbox_requests", {"attempt_key": key, "received_at": moment})
        return key

    def decision(self, key: str, at: datetime, verdict: str = "allow", number: int = 1) -> None:
        """Add a decision on an attempt."""
        self.insert("decisions", {"attempt_key": key, "number": number, "decided_at": at, "verdict": verdict})

    def worked(
        self,
        one: Person,
        channel: str,
        at: datetime | str,
        *,
        reached: str = "no_one",
        outcome: str = "no_answer",
        party: str | None = None,
        **said: object,
    ) -> str:
        """Add a call or visit that an agent made, as it was reported."""
        moment = utc(at) if isinstance(at, str) else at
        number = self.next()
        key, to = f"{one.case}/{number}", party or one.party
        row: dict[str, object] = {
            "key": key, "case_key": one.case, "seq": number, "channel": channel, "party_key": to, "due_at": moment,
            "status": "failed" if reached == "no_one" else "answered", "admitted_at": moment, "sent_at": moment,
            "provider": "agent", "outcome": outcome,
        }  # fmt: skip
        self.insert("attempts", row)
        self.insert("attempt_accounts", {"attempt_key": key, "account_key": one.account})
        body = {"attempt": key, "party_reached": reached, "disposition": outcome}
        self.append(one.case, "worked", moment, body)
        name = f"record_{channel}_outcome"
        told = {"source": "case", "external_id": key, "case_key": one.case, "name": name, "received_at": moment}
        self.insert("inbox", {**told, "body": json.dumps({**body, **said}), "status": "applied"})
        return key

    def append(self, case: str, kind: str, at: datetime, body: Mapping[str, object]) -> None:
        """Append to the record as the ledger does."""
        self.sql("SELECT append_case_event(%s, %s, %s, %s)", case, kind, at, json.dumps(body))

    def event(self, kind: str, scope: str, at: str, one: Person, **more: Any) -> None:  # noqa: ANN401 - any column
        """Add a state event about a person, with the keys its scope needs."""
        row = {
            "kind": kind, "scope": scope, "target": one.party, "debtor_key": one.debtor, "creditor": one.creditor,
            "collector": "", "from_at": utc(at), "event_id": f"e{self.next()}", "source": "test", "actor": "test",
            "recorded_at": utc(at), "party_key": one.party,
            "account_key": one.account if scope == "account" else None,
        }  # fmt: skip
        self.insert("state_events", {**row, **more})

    def payment(self, one: Person, at: str, amount: int = 10_000, **more: object) -> str:
        """Add a payment."""
        key = f"pay{self.next()}"
        row: dict[str, object] = {
            "account_key": one.account, "creditor": one.creditor, "kind": "payment", "amount": amount,
            "currency": "USD", "value_on": utc(at).date(), "received_at": utc(at), "external_id": key,
        }  # fmt: skip
        self.insert("ledger_entries", {**row, **more})
        return key

    def found(self) -> list[Violation]:
        """Check the database."""
        return recheck(self.url)

    def rules(self) -> dict[str, set[str]]:
        """Return the rules broken, by attempt (or case)."""
        broken: dict[str, set[str]] = {}
        for one in self.found():
            broken.setdefault(one.attempt, set()).add(one.rule)
        return broken


def days(count: float) -> timedelta:
    """Return a span of days."""
    return timedelta(days=count)
