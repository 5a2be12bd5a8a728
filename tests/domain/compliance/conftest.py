"""The rule book that ships, and the smallest facts that it allows."""

from pathlib import Path
from typing import Any

import pytest

from activities.rulebook import read_rulebook
from domain.compliance import RuleBook

RULES = Path(__file__).resolve().parents[3] / "policies" / "rules"


@pytest.fixture(scope="session")
def book() -> RuleBook:
    """Give the rule book of `policies/rules`."""
    return read_rulebook(RULES)


@pytest.fixture
def us_call() -> dict[str, Any]:
    """Give facts of a call that nothing speaks against: noon in Pennsylvania, nothing happened before."""
    return {
        "packs": ["us-federal"],
        "now": "2026-11-24T17:00:00Z",
        "channel": "call",
        "actor": "third_party_collector",
        "debt": "D1",
        "debtor": {"tz_candidates": ["America/New_York"], "region": "US-PA"},
    }


@pytest.fixture
def cn_call() -> dict[str, Any]:
    """Give facts of a call that nothing speaks against: four in the afternoon in Beijing."""
    return {
        "packs": ["cn-mainland"],
        "now": "2026-11-24T08:00:00Z",
        "channel": "call",
        "actor": "third_party_collector",
        "debt": "D1",
        "debtor": {"tz_candidates": ["Asia/Shanghai"], "region": "CN"},
    }
