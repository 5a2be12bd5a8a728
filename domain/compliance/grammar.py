"""What a rule pack may say, typed: rules are rows that a lawyer can read, and there is no code per rule.

Reading files and naming lines is ``domain.compliance.pack_file``; judging is ``domain.compliance.engine``. There is no
way to write "allow": every rule can only refuse, so adding one never permits more.
"""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_serializer, model_validator

from domain.compliance.conditions import Clause, Conditions
from domain.compliance.parts import (
    Channels,
    Content,
    Count,
    Exemption,
    Fresh,
    Hours,
    Keep,
    RuleId,
    State,
    Term,
    Then,
    Words,
    one_or_many,
)
from domain.compliance.vocabulary import CHANNEL_GROUPS


class Effective(Clause):
    """The days a rule is in force, both included; an open end is left out."""

    since: Annotated[date | None, Field(alias="from")] = None
    to: date | None = None

    @field_serializer("since", "to")
    def _as_text(self, value: date | None) -> str | None:
        return None if value is None else value.isoformat()


class Rule(Clause):
    """One rule: what it is, whom it binds, what it refuses."""

    id: RuleId
    title: str
    citation: str
    evidence: Literal["A", "B", "C", "BG", "house"]
    status: Literal["verified_text", "secondary", "unverified", "house"]
    """``unverified`` rules are present and off."""
    authority: Literal["statute", "regulation", "self_regulation", "guideline", "platform", "court", "house"]
    modality: Literal["must", "should", "presumption", "safe_harbour", "definition"] = "must"
    effective: Effective = Effective()
    channels: Channels = ("contacts",)
    when: Conditions = ()
    everyone: bool = False
    """Binds also those whom the pack as a whole does not bind."""
    except_: Annotated[tuple[Exemption, ...], BeforeValidator(one_or_many), Field(alias="except")] = ()
    override: Literal["approval"] | None = None
    then: Then | None = None
    note: str = ""

    hours: Hours | None = None
    inconvenient: Literal[True] | None = None
    """The times that the person does not want."""
    count: Annotated[tuple[Count, ...], BeforeValidator(one_or_many)] = ()
    state: Annotated[tuple[State, ...], BeforeValidator(one_or_many)] = ()
    fresh: Fresh | None = None
    require: Conditions = ()
    barred: Literal[True] | None = None
    content: Content | None = None
    keep: Keep | None = None
    term: Term | None = None
    part_of: Annotated[tuple[RuleId, ...], BeforeValidator(one_or_many)] = ()
    """The rules that this one explains or qualifies; they name it."""
    outside_gate: str | None = None
    """Where it is kept, when a contact is not the place to keep it."""
    built_in: bool = False
    """Kept by the engine itself."""

    @property
    def bodies(self) -> tuple[str, ...]:
        """Names of the parts that say what the rule refuses."""
        return tuple(name for name in BODIES if getattr(self, name))

    @property
    def on(self) -> bool:
        """Whether the rule is in use."""
        return self.status != "unverified"

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not self.bodies:
            message = f"'{self.id}' refuses nothing; write one of: {', '.join(BODIES)}"
            raise ValueError(message)
        if self.evidence == "BG" and self.on:
            message = "what was never read stays off; evidence BG needs status unverified"
            raise ValueError(message)
        if (self.evidence == "house") != (self.status == "house") or (self.status == "house") != (
            self.authority == "house"
        ):
            message = "evidence, status and authority of a house rule are all 'house'"
            raise ValueError(message)
        if self.then == "defer" and not any((self.hours, self.inconvenient, self.count, self.state)):
            message = "only hours, inconvenient, count and state know when to release; use block or review"
            raise ValueError(message)
        return self


BODIES = (
    "hours", "inconvenient", "count", "state", "fresh", "require", "barred", "content", "keep", "term", "part_of",
    "outside_gate", "built_in",
)  # fmt: skip


class Vocabulary(Clause):
    """A list of words for reading replies: see ``domain.compliance.words.WordList``."""

    whole: Words = ()
    inside: Words = ()
    codes: Words = ()
    code_templates: Words = ()


class SignOff(Clause):
    """Who must approve the pack before it blocks or releases real traffic, and whether they have."""

    by: str
    on: date | None = None
    reference: str | None = None


class Pack(Clause):
    """A rule pack: its header and its rules."""

    pack: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    title: str
    notice: str
    """That this is not legal advice, in the pack's own words."""
    sign_off: SignOff
    zone: str | None = None
    """The one legal clock of the place; without it the debtor's own."""
    holidays_of: str | None = None
    applies_if: Conditions = ()
    words: dict[str, Vocabulary] = Field(default_factory=dict)
    borrows: dict[str, Annotated[tuple[RuleId, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Rules of other packs that hold here too, for whom this pack applies."""
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _house_only_tightens(self) -> Self:
        if self.pack != "house":
            return self
        if self.borrows:
            message = "the house pack has rules of its own only"
            raise ValueError(message)
        for rule in self.rules:
            if not rule.id.startswith("house.") or rule.except_:
                message = f"'{rule.id}': a house rule has an id house.* and no exceptions; it may only tighten"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _versions_are_apart(self) -> Self:
        seen: dict[str, list[Rule]] = {}
        for rule in self.rules:
            for other in seen.setdefault(rule.id, []):
                if _overlap(other.effective, rule.effective) and expand(other.channels) & expand(rule.channels):
                    message = f"'{rule.id}' is written twice for the same days and channels"
                    raise ValueError(message)
            seen[rule.id].append(rule)
        return self

    @model_validator(mode="after")
    def _words_are_there(self) -> Self:
        for rule in self.rules:
            lists = {state.reply for state in rule.state} | {state.ended_by_reply for state in rule.state}
            lists |= {rule.fresh.reply} if rule.fresh is not None else set()
            missing = sorted(one for one in lists if one is not None and one not in self.words)
            if missing:
                message = f"'{rule.id}' uses the words '{missing[0]}', which the pack does not list"
                raise ValueError(message)
        return self


def expand(words: Iterable[str]) -> frozenset[str]:
    """Spell out groups of channels."""
    return frozenset().union(*(CHANNEL_GROUPS.get(word, frozenset({word})) for word in words))


def _overlap(one: Effective, other: Effective) -> bool:
    starts, ends = max(one.since or date.min, other.since or date.min), min(one.to or date.max, other.to or date.max)
    return starts <= ends
