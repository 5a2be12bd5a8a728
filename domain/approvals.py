"""What takes a second person: which subjects, who may ask and who may decide."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.roles import Act

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/#-]{0,199}")


class SubjectKind(StrEnum):
    """Kinds of things that one person asks for and another decides."""

    PLAN = "plan"
    """An arrangement beyond what the policy lets an agent agree."""
    LEGAL = "legal"
    """Legal action on a case."""
    BULK = "bulk"
    """One act on very many cases."""


class Verdict(StrEnum):
    """How a question was decided. ``returned``: not like this; it may be asked anew."""

    APPROVED = "approved"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class Takes:
    """Which act asking is, and which deciding."""

    to_ask: Act
    to_decide: Act


TAKES: Mapping[SubjectKind, Takes] = {
    SubjectKind.PLAN: Takes(Act.OFFER_PLAN, Act.APPROVE_PLAN),
    SubjectKind.LEGAL: Takes(Act.ASK_LEGAL, Act.APPROVE_LEGAL),
    SubjectKind.BULK: Takes(Act.BULK, Act.APPROVE_BULK),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about: its kind, its key, and a digest of its content, so that what is approved is what was seen.

    ``case_key`` names the case in whose record the question and the answer are written.
    """

    kind: SubjectKind
    key: str
    digest: str = ""
    case_key: str | None = None

    def __post_init__(self) -> None:
        """Refuse a key that could be written in two ways."""
        if not _KEY.fullmatch(self.key):
            message = "the key of a subject is letters, digits and _.:/#- without spaces"
            raise ValueError(message)


def as_ref(kind: SubjectKind, key: str) -> str:
    """Return a subject as one word, for people."""
    return f"{kind}/{key}"
