"""The record as a rule wants to ask it: who, where, what came before. Rules see the past of an attempt only."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from tests.recheck.model import Account, Attempt, Consent, Event, Hold, Party, Point, World
from tests.recheck.money import Owed, owed
from tests.recheck.places import candidates, lands, lands_of_numbers


class Book:
    """Lookups over one world. Every history is in the order of time."""

    def __init__(self, world: World) -> None:
        """Sort the attempts by account, person, debtor and number."""
        self.world = world
        self.by_account: dict[str, list[Attempt]] = defaultdict(list)
        self.by_person: dict[str, list[Attempt]] = defaultdict(list)
        self.by_debtor: dict[str, list[Attempt]] = defaultdict(list)
        self.by_number: dict[str, list[Attempt]] = defaultdict(list)
        self._points: dict[str, list[Point]] = defaultdict(list)
        self._roles: dict[tuple[str, str], list[tuple[str, date | None, date | None]]] = defaultdict(list)
        self._where: dict[tuple[str, str], tuple[frozenset[str], tuple[str, ...]]] = {}
        for point in world.points.values():
            self._points[point.party_key].append(point)
        for role in world.roles:
            self._roles[role.account_key, role.party_key].append((role.role, role.valid_from, role.valid_to))
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._holds: dict[str, list[Hold]] = defaultdict(list)
        self._consents: dict[str, list[Consent]] = defaultdict(list)
        self._reaching: tuple[str, list[Event]] = ("", [])
        self._index()
        for attempt in sorted(world.attempts, key=lambda one: one.order):
            self._enter(attempt)

    def _index(self) -> None:
        for event in self.world.events:
            point = self.world.points.get(event.point_key or "")
            value = None if point is None else point.value
            for key in {event.debtor_key, event.party_key, event.account_key, value} - {None}:
                self._events[key or ""].append(event)
        for hold in self.world.holds:
            for key in {hold.debtor_key, hold.account_key, hold.point_key} - {None}:
                self._holds[key or ""].append(hold)
        for consent in self.world.consents:
            self._consents[consent.party_key].append(consent)

    def _enter(self, attempt: Attempt) -> None:
        for account in self.accounts(attempt):
            self.by_account[account.key].append(attempt)
        for party in {account.debtor_party for account in self.accounts(attempt)}:
            self.by_debtor[party].append(attempt)
        self.by_person[self.recipient(attempt)].append(attempt)
        point = self.point(attempt)
        if point is not None:
            self.by_number[point.value].append(attempt)

    # --- who --------------------------------------------------------------------------------------------------

    def accounts(self, attempt: Attempt) -> Sequence[Account]:
        """Return the debts an attempt is about."""
        return [self.world.accounts[key] for key in attempt.accounts if key in self.world.accounts]

    def recipient(self, attempt: Attempt) -> str:
        """Return the person it went to; a call outside of a work item goes to the debtor."""
        return attempt.party_key or next((one.debtor_party for one in self.accounts(attempt)), "")

    def person(self, attempt: Attempt) -> Party | None:
        """Return the recipient's row."""
        return self.world.parties.get(self.recipient(attempt))

    def point(self, attempt: Attempt) -> Point | None:
        """Return the number or address used; where an agent named none, the person's only one of that kind."""
        if attempt.point_key is not None:
            return self.world.points.get(attempt.point_key)
        kind = {"sms": "phone", "voice": "phone", "call": "phone", "email": "email"}.get(attempt.channel, "address")
        fitting = [point for point in self._points[self.recipient(attempt)] if point.kind == kind]
        return fitting[0] if len(fitting) == 1 else None

    def roles(self, attempt: Attempt, account: Account) -> frozenset[str]:
        """Return what the recipient was to the account on that day."""
        party, day = self.recipient(attempt), self.day(attempt)
        held = {
            role
            for role, begins, ends in self._roles[account.key, party]
            if (begins is None or begins <= day) and (ends is None or ends >= day)
        }
        return frozenset(held | ({"borrower"} if party == account.debtor_party else set()))

    def actor(self, account: Account, day: date) -> str:
        """Return in whose name the account was collected on a day: by the placement in force, else by its row."""
        for placement in reversed(account.placements):
            if placement.placed_on <= day and (placement.recalled_on is None or day < placement.recalled_on):
                return placement.actor
        return account.actor

    def collector(self, attempt: Attempt, account: Account) -> str:
        """Return who collected the account by that attempt: as its case says, a creditor for itself otherwise."""
        for key in (*attempt.cases, attempt.case_key):
            case = self.world.cases.get(key)
            if case is not None and case.account_key == account.key:
                return case.collector or account.creditor
        return account.collector or account.creditor

    # --- where and when ---------------------------------------------------------------------------------------

    def lands(self, attempt: Attempt) -> frozenset[str]:
        """Return the jurisdictions of the recipient's residence; of the debtor's where theirs is not known."""
        return self._place(attempt)[0]

    def zones(self, attempt: Attempt) -> tuple[str, ...]:
        """Return every zone the recipient may be in; empty when nothing is known."""
        return self._place(attempt)[1]

    def _place(self, attempt: Attempt) -> tuple[frozenset[str], tuple[str, ...]]:
        account = next(iter(self.accounts(attempt)), None)
        key = (self.recipient(attempt), "" if account is None else account.key)
        if key not in self._where:
            self._where[key] = self._locate(key[0], account)
        return self._where[key]

    def _locate(self, party_key: str, account: Account | None) -> tuple[frozenset[str], tuple[str, ...]]:
        keys = [party_key, *([account.debtor_party] if account is not None else [])]
        for key in dict.fromkeys(keys):
            party = self.world.parties.get(key)
            if party is None:
                continue
            phones = [point.value for point in self._points[key] if point.kind == "phone"]
            homes = lands(party.region, party.locality) or (
                lands_of_numbers(phones) if not party.region else frozenset()
            )
            zones = candidates(party.zone, party.zone_source, party.region, phones)
            if homes or party.region or zones:
                return homes, zones
        if account is None:
            return frozenset(), ()
        homes = lands(account.creditor_region, None)
        return homes, candidates(account.creditor_zone, None, account.creditor_region, ())

    def day(self, attempt: Attempt) -> date:
        """Return the local date of an attempt (UTC where no zone is known)."""
        return self.local_day(attempt, attempt.at)

    def local_day(self, attempt: Attempt, at: datetime) -> date:
        """Return the date of an instant where the attempt's recipient is."""
        zones = self.zones(attempt)
        return at.astimezone(ZoneInfo(zones[0]) if zones else UTC).date()

    def days_between(self, attempt: Attempt, earlier: datetime) -> int:
        """Return calendar days from ``earlier`` to the attempt, the fewest of all candidate zones."""
        zones = self.zones(attempt) or ("UTC",)
        return min(
            (attempt.at.astimezone(ZoneInfo(zone)).date() - earlier.astimezone(ZoneInfo(zone)).date()).days
            for zone in zones
        )

    # --- what was so ------------------------------------------------------------------------------------------

    def owed(self, account: Account, attempt: Attempt) -> Owed:
        """Return what was past due when the attempt was made; the most of all candidate days."""
        zones = self.zones(attempt) or ("UTC",)
        days = {attempt.at.astimezone(ZoneInfo(zone)).date() for zone in zones}
        return max((owed(account, attempt.at, day) for day in days), key=lambda one: one.past_due)

    @staticmethod
    def earlier(history: Iterable[Attempt], attempt: Attempt) -> Iterator[Attempt]:
        """Yield what came before the attempt."""
        for one in history:
            if one.order >= attempt.order:
                return
            yield one

    def _subjects(self, attempt: Attempt) -> list[str]:
        point = self.point(attempt)
        keys = [self.recipient(attempt), *attempt.accounts, *(one.debtor_key for one in self.accounts(attempt))]
        return list(dict.fromkeys([*keys, *([] if point is None else [point.key, point.value])]))

    def events(self, attempt: Attempt) -> list[Event]:
        """Return the state events that reach an attempt, in the order of time, those after it included."""
        if self._reaching[0] != attempt.key:
            found = {
                event.key: event
                for key in self._subjects(attempt)
                for event in self._events.get(key, ())
                if self.reaches(event, attempt)
            }
            self._reaching = (attempt.key, sorted(found.values(), key=lambda event: (event.from_at, event.key)))
        return self._reaching[1]

    def holds(self, attempt: Attempt) -> list[Hold]:
        """Return the holds on the debts, the debtor or the number of an attempt."""
        found = {hold.key: hold for key in self._subjects(attempt) for hold in self._holds.get(key, ())}
        return [found[key] for key in sorted(found)]

    def consents(self, party_key: str) -> list[Consent]:
        """Return the dated consents of a person, in the order of time."""
        return self._consents.get(party_key, [])

    def reaches(self, event: Event, attempt: Attempt) -> bool:
        """Whether an event speaks of this attempt's number, person, debt or debtor, by its scope."""
        if event.scope == "number":
            point, meant = self.point(attempt), self.world.points.get(event.point_key or "")
            return point is not None and meant is not None and point.value == meant.value
        if event.scope == "account":
            return event.account_key in attempt.accounts
        if event.scope == "debtor":
            return any(event.debtor_key == account.debtor_key for account in self.accounts(attempt))
        if event.party_key is not None:
            return event.party_key == self.recipient(attempt)
        if event.account_key is not None:
            return event.account_key in attempt.accounts
        return any(event.debtor_key == account.debtor_key for account in self.accounts(attempt))


Check = Callable[[Attempt, Book], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its id as the catalogue of rules writes it, and what says why an attempt breaks it."""

    id: str
    check: Check


RULES: list[Rule] = []


def rule(rule_id: str) -> Callable[[Check], Check]:
    """Enter a check under its id."""

    def enter(check: Check) -> Check:
        RULES.append(Rule(rule_id, check))
        return check

    return enter
