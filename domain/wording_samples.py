"""The examples a template is rendered with when it is checked, and the variables it may use.

Nobody in here exists. Sums are odd on purpose: none is part of another, so that it can be told which are listed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "amount": "what is past due, all accounts of the message together, as text",
        "due_on": "the oldest day something was due",
        "dpd": "days past due, whole number",
        "reference": "the lender's number of the account; of several accounts all, with commas",
        "accounts": "list of accounts, each with reference, amount, due_on and dpd; always at least one",
        "creditor_name": "who is owed",
        "collector_name": "who writes: the collector, or the creditor itself",
        "caller_name": "name used where others may listen; it must not tell that debts are collected",
        "contact_person": "a natural person whom to ask for, may be empty",
        "call_back_number": "telephone number, may be empty",
        "postal_address": "where letters reach us, on one line, may be empty",
        "recipient_name": "name of the person written to, may be empty",
        "pay_link": "address for paying, may be empty",
        "third_party": "true if a collector writes for a creditor",
        "first_communication": "true for the first message about this debt, and when that is not known",
        "validation_ends_on": "last day of the validation period, or nothing",
        "itemization": "how the sum came about: on, amount, interest, fees, payments; or nothing",
    }
)
OPTIONAL: Mapping[str, object] = MappingProxyType(
    {
        "call_back_number": "",
        "contact_person": "",
        "postal_address": "",
        "recipient_name": "",
        "pay_link": "",
        "validation_ends_on": None,
        "itemization": None,
    }
)
"""Variables that may have nothing to say, and what they hold then: every template is tried with and without them."""
NEEDED_FOR_VOICE = frozenset({"caller_name", "contact_person", "call_back_number"})
"""What a collector's message left on a machine needs: one that uses these is not spoken while one is empty."""
OF_THE_DEBT = frozenset(
    {
        "amount",
        "due_on",
        "dpd",
        "reference",
        "accounts",
        "creditor_name",
        "collector_name",
        "pay_link",
        "validation_ends_on",
        "itemization",
    }
)
"""What nobody but the debtor may learn, nor a machine keep."""

_ACCOUNTS = (
    {"reference": "LN-20417734", "amount": "1,284.37 USD", "due_on": date(2026, 1, 12), "dpd": 48},
    {"reference": "LN-20519926", "amount": "316.05 USD", "due_on": date(2026, 1, 27), "dpd": 33},
    {"reference": "CC-77120558", "amount": "2,907.61 USD", "due_on": date(2026, 2, 15), "dpd": 14},
)
_TOGETHER = "4,508.03 USD"
_NAMES = {
    "en": ("Northfield Savings Bank", "Harbor Lane Services", "Harbor Lane", "Dana Reyes", "Jordan Ellery"),
    "es": ("Banco del Valle Norte", "Gestora Puerto Claro", "Puerto Claro", "Elena Rojas", "Mario Fuentes"),
    "de": ("Sparbank Nordfelden", "Hafenweg Service GmbH", "Hafenweg", "Petra Lindner", "Jonas Ehlert"),
    "zh": ("北原消费金融有限公司", "海港路信息服务有限公司", "海港路", "林静", "陈思远"),
}
HOSTILE = """"><script>alert(1)</script><b x='y' onmouseover=alert(2) {{ 7 * 7 }} <!-- ' `"""
"""A value nobody should send, and somebody will."""


@dataclass(frozen=True, slots=True)
class Example:
    """One way to fill in a template."""

    language: str
    several: bool
    third_party: bool
    first_communication: bool
    bare: bool
    """Without anything that may be empty."""

    def __str__(self) -> str:
        """Return the example in words."""
        return ", ".join(
            (
                "three accounts" if self.several else "one account",
                "third party" if self.third_party else "first party",
                "first communication" if self.first_communication else "later communication",
                *(("nothing optional",) if self.bare else ()),
            )
        )

    @property
    def accounts(self) -> tuple[Mapping[str, str], ...]:
        """The accounts of the message, as texts."""
        chosen = _ACCOUNTS if self.several else _ACCOUNTS[:1]
        return tuple({"reference": str(one["reference"]), "amount": str(one["amount"])} for one in chosen)

    @property
    def values(self) -> dict[str, object]:
        """Everything a template may use."""
        chosen = _ACCOUNTS if self.several else _ACCOUNTS[:1]
        creditor, collector, caller, person, recipient = _NAMES.get(self.language, _NAMES["en"])
        values: dict[str, object] = {
            "amount": _TOGETHER if self.several else chosen[0]["amount"],
            "due_on": chosen[0]["due_on"],
            "dpd": chosen[0]["dpd"],
            "reference": ", ".join(str(one["reference"]) for one in chosen),
            "accounts": [dict(one) for one in chosen],
            "creditor_name": creditor,
            "collector_name": collector if self.third_party else creditor,
            "caller_name": caller,
            "contact_person": person,
            "call_back_number": "+1 312 555 0100",
            "postal_address": "PO Box 100, Springfield, IL 62701",
            "recipient_name": recipient,
            "pay_link": "https://pay.example/k7Qm2x",
            "third_party": self.third_party,
            "first_communication": self.first_communication,
            "validation_ends_on": date(2026, 4, 15),
            "itemization": {
                "on": date(2025, 12, 31),
                "amount": "1,200.00 USD",
                "interest": "84.37 USD",
                "fees": "0.00 USD",
                "payments": "0.00 USD",
            },
        }
        return {**values, **OPTIONAL} if self.bare else values

    @property
    def hostile_values(self) -> dict[str, object]:
        """The same, with every text a hostile one."""
        values = self.values
        hostile: dict[str, object] = {
            name: HOSTILE if isinstance(value, str) and value else value for name, value in values.items()
        }
        accounts = values["accounts"]
        if isinstance(accounts, list):
            hostile["accounts"] = [one | {"reference": HOSTILE, "amount": HOSTILE} for one in accounts]
        return hostile


def examples(language: str, third_party: bool | None, channel: str) -> Iterator[Example]:
    """Return every combination for a language; ``third_party`` ``None`` means both.

    A collector's call always says whom to call back and where.
    """
    for party in (False, True) if third_party is None else (third_party,):
        for first in (True, False):
            for several in (False, True):
                for bare in (False,) if party and channel in {"voice", "visit"} else (False, True):
                    yield Example(language, several, party, first, bare)


def masked(reference: str) -> str:
    """Return the end of an account's number: enough to know one's own, too little for anybody else."""
    bare = reference.strip()
    return bare if len(bare) <= 4 else f"*{bare[-4:]}"


def completed(values: Mapping[str, object]) -> dict[str, object]:
    """Fill in what a caller may leave out: one account is the message's own, nothing known means the first message."""
    whole: dict[str, object] = {**OPTIONAL, "first_communication": True, **values}
    own = {name: whole.get(name) for name in ("reference", "amount", "due_on", "dpd")}
    whole["accounts"] = whole.get("accounts") or [own]
    # A collector's own name may tell what it does, so it is not taken for a name that others may hear.
    whole.setdefault("caller_name", "" if whole.get("third_party") else whole.get("collector_name", ""))
    return whole
