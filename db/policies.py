"""The policies that the ledger itself applies, wherever something is told: read once from the files people edit."""

from functools import cache
from pathlib import Path

from domain.hold_kinds import HoldKinds, parse_hold_kinds
from domain.legal import LegalPolicy, parse_legal
from domain.visits import VisitPolicy, parse_visits

POLICIES = Path(__file__).resolve().parent.parent / "policies"


@cache
def hold_kinds() -> HoldKinds:
    """Return the catalogue of hold kinds."""
    path = POLICIES / "holds.yaml"
    return parse_hold_kinds(path.read_text(encoding="utf-8"), "policies/holds.yaml")


@cache
def legal_policy() -> LegalPolicy:
    """Return the stages of legal action."""
    path = POLICIES / "legal.yaml"
    return parse_legal(path.read_text(encoding="utf-8"), "policies/legal.yaml")


@cache
def visit_policy() -> VisitPolicy:
    """Return what is demanded of every visit."""
    path = POLICIES / "visits.yaml"
    return parse_visits(path.read_text(encoding="utf-8"), "policies/visits.yaml")
