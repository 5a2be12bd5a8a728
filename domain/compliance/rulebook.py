"""A rule book: the packs together, indexed so that a contact meets only the rules of its place and channel."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from domain.compliance.compile import LiveRule, compile_rule
from domain.compliance.content import ContentCheck, ContentHit, check_text
from domain.compliance.facts import Facts
from domain.compliance.grammar import Pack, Rule
from domain.compliance.residence import Chooser, Residence, unknown_packs

CORE = "core"
"""The pack that is always in force: what holds whatever the law."""


class RuleBookError(ValueError):
    """Packs that do not fit together."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The packs in force for a contact; ``missing`` are named and not there."""

    packs: tuple[str, ...]
    missing: tuple[str, ...] = ()
    known: bool = True
    """Whether it could be said which packs are in force."""


class RuleBook:
    """All packs, and which of them hold where. It never changes once made."""

    def __init__(self, packs: Iterable[Pack], residence: Residence | None = None) -> None:
        """Compile the packs; RuleBookError when an id is used twice, or something named is not there."""
        self.packs: Mapping[str, Pack] = {pack.pack: pack for pack in packs}
        self._chooser = None if residence is None else Chooser(residence)
        self._rows = self._by_id()
        self._live = {name: self._compiled(pack) for name, pack in self.packs.items()}
        self._index: dict[tuple[tuple[str, ...], str], tuple[LiveRule, ...]] = {}
        if self._chooser is not None:
            missing = unknown_packs(self._chooser, self.packs)
            if missing:
                raise RuleBookError(f"places name the pack '{missing[0]}', which is not there")

    def _by_id(self) -> dict[str, tuple[Pack, Rule]]:
        rows: dict[str, tuple[Pack, Rule]] = {}
        for pack in self.packs.values():
            for rule in pack.rules:
                other = rows.get(rule.id)
                if other is not None and other[0] is not pack:
                    raise RuleBookError(f"rule '{rule.id}' stands in the packs '{other[0].pack}' and '{pack.pack}'")
                rows[rule.id] = (pack, rule)
        return rows

    def _compiled(self, pack: Pack) -> tuple[LiveRule, ...]:
        live = [compile_rule(rule, pack, pack) for rule in pack.rules if rule.on]
        for lender_name, ids in pack.borrows.items():
            lender = self.packs.get(lender_name)
            for wanted in ids:
                rows = [] if lender is None else [rule for rule in lender.rules if rule.id == wanted]
                if lender is None or not rows:
                    raise RuleBookError(f"pack '{pack.pack}' borrows '{wanted}', which '{lender_name}' does not have")
                live += [compile_rule(rule, lender, pack) for rule in rows if rule.on]
        return tuple(rule for rule in live if rule.bodies or rule.term is not None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex over the meaning of all packs; recorded beside decisions to prove what was in force."""
        canonical = {name: pack.model_dump(mode="json") for name, pack in sorted(self.packs.items())}
        return hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def rule(self, rule_id: str) -> Rule | None:
        """Return the row of a rule, the last version of it; ``None`` for an unknown id."""
        found = self._rows.get(rule_id)
        return None if found is None else found[1]

    def pack_of(self, rule_id: str) -> str | None:
        """Return the name of the pack a rule stands in."""
        found = self._rows.get(rule_id)
        return None if found is None else found[0].pack

    def select(self, facts: Facts) -> Selection:
        """Return the packs in force: those named, or those of the place."""
        named: tuple[str, ...] | None = facts.packs
        if named is None:
            named = None if self._chooser is None else self._chooser.packs_for(facts)
        if not named:
            return Selection(self._with_core(()), known=False)
        missing = tuple(sorted({one for one in named if one not in self.packs}))
        return Selection(self._with_core(one for one in dict.fromkeys(named) if one in self.packs), missing)

    def _with_core(self, packs: Iterable[str]) -> tuple[str, ...]:
        others = tuple(one for one in packs if one != CORE)
        return (CORE, *others) if CORE in self.packs else others

    def rules_for(self, packs: tuple[str, ...], channel: str) -> tuple[LiveRule, ...]:
        """Return the rules of some packs that concern a channel; a rule in two packs for the same people once."""
        key = (packs, channel)
        if key not in self._index:
            rules = (rule for name in packs for rule in self._live[name])
            self._index[key] = tuple(rule for rule in rules if channel in rule.channels)
        return self._index[key]

    def content_checks(self, packs: Iterable[str], channel: str, facts: Facts | None = None) -> list[ContentCheck]:
        """Return the content rules of some packs for a channel; with facts only those that bind this contact."""
        names = self._with_core(one for one in dict.fromkeys(packs) if one in self.packs)
        return [
            rule.content
            for rule in self.rules_for(names, channel)
            if rule.content is not None and (facts is None or rule.applies(facts))
        ]

    def content_hits(
        self,
        text: str,
        *,
        language: str | None,
        channel: str,
        packs: Iterable[str],
        facts: Facts | None = None,
    ) -> list[ContentHit]:
        """Return what is wrong with a text by the content rules of some packs, in the order of its lines."""
        return check_text(self.content_checks(packs, channel, facts), text, language)
