"""What the rules of contact look at besides the account: every contact with a person and about their debts.

Called in the transaction that decides, after the locks of the persons and the contact point. One statement for the past
and the person; what was told us is read by ``db.state_reading``. Holds no text and no number, only keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any

from db.facts import CONFIRMED
from db.state_reading import ACTIVE
from db.together import Reading, Rows
from domain.state_facts import Standing

LOOK_BACK = timedelta(days=400)
"""How far counts may reach; longer than every window of every pack."""

_PAST = """
WITH theirs AS (
    SELECT t.key FROM attempts t WHERE t.party_key = %(party)s AND t.admitted_at > %(since)s
    UNION
    SELECT x.attempt_key FROM attempt_accounts x JOIN accounts a ON a.key = x.account_key WHERE a.debtor_key = %(debtor)s
    UNION
    SELECT t.key FROM contact_points n JOIN contact_points o ON o.kind = n.kind AND o.value = n.value
      JOIN attempts t ON t.contact_point_key = o.key AND t.admitted_at > %(since)s
     WHERE n.key = ANY(%(points)s)
)
SELECT json_build_array(t.key, t.channel, t.status, t.outcome, t.party_reached, t.duration_seconds, t.error_code,
       coalesce(t.sent_at, t.admitted_at), t.party_key,
       coalesce((SELECT o.key FROM contact_points n JOIN contact_points o ON o.kind = n.kind AND o.value = n.value
                  WHERE n.key = t.contact_point_key AND o.key = ANY(%(points)s)
                  ORDER BY array_position(%(points)s::text[], o.key) LIMIT 1), t.contact_point_key),
       t.purpose, t.origin, k.creditor, k.collector, a.product,
       (SELECT array_agg(x.account_key) FROM attempt_accounts x WHERE x.attempt_key = t.key)) AS one
  FROM theirs JOIN attempts t ON t.key = theirs.key
  JOIN cases k ON k.key = t.case_key JOIN accounts a ON a.key = k.account_key
 WHERE (t.admitted_at > %(since)s OR t.purpose = 'required_notice') AND t.admitted_at <= %(reach)s AND t.key <> %(own)s
   AND t.status NOT IN ('refused', 'deferred', 'retryable', 'unsent', 'covered')
"""

_PERSON = """
SELECT p.timezone, p.timezone_source, p.region, p.locality, p.language, p.vulnerable, p.born_on, p.deceased_on,
       (SELECT array_agg(n.value ORDER BY n.key) FROM contact_points n
         WHERE n.party_key = p.key AND n.kind = 'phone' AND n.state IN ('unconfirmed', 'confirmed')) AS phones,
       c.timezone AS creditor_timezone, c.region AS creditor_region, d.party_key = p.key AS is_debtor,
       dp.region AS debtor_region, dp.locality AS debtor_locality, dp.born_on AS debtor_born_on,
       dp.deceased_on AS debtor_deceased_on
  FROM parties p, accounts a JOIN creditors c ON c.code = a.creditor JOIN debtors d ON d.key = a.debtor_key
  JOIN parties dp ON dp.key = d.party_key
 WHERE p.key = %(party)s AND a.key = %(account)s
"""


@dataclass(frozen=True, slots=True)
class PastContact:
    """One attempt of the past, as its row stands."""

    key: str
    channel: str
    status: str
    outcome: str | None
    party_reached: str | None
    duration_seconds: int | None
    error_code: str | None
    at: datetime
    party_key: str | None
    point_key: str | None
    purpose: str
    origin: str
    creditor: str
    collector: str
    product: str
    accounts: tuple[str, ...]


_PLAIN = tuple(one.name for one in fields(PastContact))[:15]


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """One person as the rules see them. Phones are personal data and are used for their zones only."""

    party_key: str
    confirmed_zone: str | None
    stated_zone: str | None
    creditor_zone: str | None
    region: str | None
    locality: str | None
    language: str | None
    vulnerable: bool
    born_on: date | None
    deceased_on: date | None
    debtor_deceased_on: date | None
    phones: tuple[str, ...]
    past: tuple[PastContact, ...]
    """Oldest first."""
    told: tuple[Standing, ...]

    def is_first(self, account_key: str) -> bool:
        """Whether nothing was ever said about an account."""
        return not any(account_key in one.accounts for one in self.past)


def record_values(
    *,
    account_key: str,
    debtor_key: str,
    party_key: str,
    point_keys: Sequence[str],
    attempt_key: str,
    now: datetime,
    reach: datetime,
) -> dict[str, object]:
    """Return the parameters of ``RECORD``. ``attempt_key`` is left out of the past: it is the one in question.

    ``point_keys``: the one to be used comes first. ``reach``: until when what is recorded counts (``reach_of``).
    """
    return {
        "party": party_key,
        "account": account_key,
        "accounts": [account_key],
        "parties": [party_key],
        "debtor": debtor_key,
        "points": list(point_keys),
        "own": attempt_key,
        "since": now - LOOK_BACK,
        "now": now,
        "reach": reach,
    }


def _past(rows: Rows) -> tuple[PastContact, ...]:
    return tuple(sorted((_contact(row["one"]) for row in rows), key=lambda one: (one.at, one.key)))


RECORD: tuple[Reading[Any], ...] = (
    Reading(_PAST, _past),
    Reading(_PERSON, lambda rows: rows[0]),
    ACTIVE,
)
"""What is read of a person: the past, who they are, and what stands; ``record_from`` puts it together."""


def record_from(
    party_key: str, past: tuple[PastContact, ...], row: Mapping[str, Any], told: tuple[Standing, ...]
) -> PersonRecord:
    """Return the record that the values of ``RECORD`` make."""
    return PersonRecord(
        party_key=party_key,
        confirmed_zone=row["timezone"] if row["timezone_source"] == CONFIRMED else None,
        stated_zone=row["timezone"],
        creditor_zone=row["creditor_timezone"],
        region=row["region"] or row["debtor_region"] or row["creditor_region"],
        locality=row["locality"] or (row["debtor_locality"] if row["region"] is None else None),
        language=row["language"],
        vulnerable=row["vulnerable"],
        born_on=_day(row["born_on"]),
        deceased_on=_day(row["deceased_on"]),
        debtor_deceased_on=_day(row["debtor_deceased_on"]),
        phones=tuple(row["phones"] or ()),
        past=past,
        told=told,
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _contact(values: Sequence[Any]) -> PastContact:
    plain = dict(zip(_PLAIN, values[:15], strict=True))
    return PastContact(**{**plain, "at": datetime.fromisoformat(values[7]), "accounts": tuple(values[15] or ())})
