"""Rules of contact: facts in, a ruling out. ``decide`` is the one path for the gate and for ``rules check``."""

from domain.compliance.content import ContentHit
from domain.compliance.engine import Decision, Hit, Ruling, decide
from domain.compliance.facts import (
    Approval,
    Consent,
    Debtor,
    Event,
    Facts,
    Inconvenient,
    LastTemplate,
    Past,
    Plan,
    Validation,
)
from domain.compliance.facts_json import FactsError, facts_from, parse_facts
from domain.compliance.grammar import Pack, Rule
from domain.compliance.pack_file import PackError, parse_pack
from domain.compliance.residence import Residence, packs_for
from domain.compliance.residence_file import parse_residence
from domain.compliance.rulebook import RuleBook, RuleBookError, Selection

__all__ = [
    "Approval",
    "Consent",
    "ContentHit",
    "Debtor",
    "Decision",
    "Event",
    "Facts",
    "FactsError",
    "Hit",
    "Inconvenient",
    "LastTemplate",
    "Pack",
    "PackError",
    "Past",
    "Plan",
    "Residence",
    "Rule",
    "RuleBook",
    "RuleBookError",
    "Ruling",
    "Selection",
    "Validation",
    "decide",
    "facts_from",
    "packs_for",
    "parse_facts",
    "parse_pack",
    "parse_residence",
]
