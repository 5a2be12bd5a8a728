"""Small packs for tests, written as files are, so that what is tested is what people write."""

from typing import Any

from domain.compliance import Pack, RuleBook, Ruling, decide, facts_from, parse_pack

HEADER = """
pack: {name}
title: a pack for tests
notice: not legal advice
sign_off: {{by: nobody}}
{more}
rules:
"""
RULE = """
  - id: {id}
    title: a rule for tests
    citation: none
    evidence: {evidence}
    status: {status}
    authority: {authority}
"""


def rule(body: str, *, rule_id: str = "t.rule", house: bool = False, status: str = "secondary") -> str:
    """Return one rule as text; `body` holds its further keys, indented by four."""
    word = {"evidence": "house", "status": "house", "authority": "house"}
    law = {"evidence": "B", "status": status, "authority": "statute"}
    return RULE.format(id=rule_id, **(word if house else law)) + body.rstrip() + "\n"


def pack(*rules: str, name: str = "t", more: str = "") -> Pack:
    """Return a pack of such rules."""
    return parse_pack(HEADER.format(name=name, more=more) + "".join(rules), f"{name}.yaml")


def ask(facts: dict[str, Any], *packs: Pack) -> Ruling:
    """Judge facts by some packs, all of them named."""
    return decide(facts_from({**facts, "packs": [one.pack for one in packs]}), RuleBook(packs))
