"""The packs that ship: whole, signed off by nobody yet, and off where nothing was read."""

import re
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest

from activities.rulebook import RuleBookUnreadableError, read_rulebook
from domain.calendar import at_local
from domain.compliance import RuleBook, decide, facts_from
from tests.domain.compliance.conftest import RULES
from tests.domain.compliance.packs import HEADER, rule

SHIPPED = {
    "au-rg96", "br-sp", "cn-mainland", "core", "eu", "house", "id-ojk", "in-rbi", "ph-sec", "uk", "us-dc", "us-federal",
    "us-ma", "us-nyc", "us-wa", "us-creditors", "us-states-other", "asia-other",
}  # fmt: skip


def test_every_pack_has_its_header(book: RuleBook) -> None:
    assert set(book.packs) == SHIPPED
    for one in book.packs.values():
        assert one.notice.startswith("Not legal advice")
        assert one.sign_off.by
        for row in one.rules:
            assert row.citation
            assert row.on or row.status == "unverified"


def test_what_is_named_by_a_rule_is_there(book: RuleBook) -> None:
    for one in book.packs.values():
        for row in one.rules:
            named = {lift.id for lift in row.except_} | {out.id for count in row.count for out in count.exclude}
            named |= set(row.part_of) | ({row.hours.ambiguity} if row.hours is not None else set())
            assert all(book.rule(name) is not None for name in named if name is not None), row.id


def test_every_rule_of_the_collection_is_encoded(book: RuleBook, shared: Path) -> None:
    text = (shared / "compliance" / "rules.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([a-z]{2,4}(?:\.[a-z0-9-]+)+) \|", text[text.index("## 2. ") : text.index("## 4. ")], re.MULTILINE
    )
    left_out = {"us.ny.statewide-cap"}  # no source was found for it
    assert len(rows) >= 150
    assert {row for row in rows if book.rule(row) is None} == left_out


def test_a_plain_contact_is_allowed_and_says_by_which_rules(
    book: RuleBook, us_call: dict[str, Any], cn_call: dict[str, Any]
) -> None:
    us, cn = decide(facts_from(us_call), book), decide(facts_from(cn_call), book)
    assert us.decision == cn.decision == "allow"
    assert {"us.fed.time-window", "us.fed.call-7in7", "core.pack-selection"} <= set(us.rule_ids)
    assert {"cn.quiet-hours", "cn.dial-6"} <= set(cn.rule_ids)
    assert us.packs == ("core", "us-federal")


@pytest.mark.parametrize(
    ("region", "zone", "actor"),
    [
        ("US-IL", "America/Chicago", "first_party_creditor"),
        ("US-CA", "America/Los_Angeles", "third_party_collector"),
        ("CN", "Asia/Shanghai", "first_party_creditor"),
        ("GB", "Europe/London", "first_party_creditor"),
        ("DE", "Europe/Berlin", "first_party_creditor"),
        ("IN", "Asia/Kolkata", "first_party_creditor"),
        ("AU", "Australia/Sydney", "first_party_creditor"),
    ],
)
def test_a_first_letter_by_day_is_allowed_where_packs_follow_from_residence(
    book: RuleBook, region: str, zone: str, actor: str
) -> None:
    now = at_local(date(2026, 11, 24), time(11), zone)
    facts = {
        "now": now.isoformat(),
        "channel": "letter",
        "actor": actor,
        "debt": "D1",
        "purpose": "collect",
        "to": "P1",
        "role": "borrower",
        "debtor": {"region": region, "tz_candidates": [zone]},
    }
    assert decide(facts_from(facts), book).decision == "allow"


@pytest.mark.parametrize(
    ("more", "decision", "acted"),
    [
        ({"channel": "sms", "events": [{"type": "sms_stop", "t": "2026-11-20T00:00:00Z"}]}, "block", "house.opt-out"),
        ({"events": [{"type": "cease_communication", "t": "2026-11-20T00:00:00Z"}]}, "review", "house.cease"),
        ({"events": [{"type": "identity_theft", "t": "2026-11-20T00:00:00Z"}]}, "block", "house.identity-theft"),
        ({"events": [{"type": "hardship", "t": "2026-11-20T00:00:00Z"}]}, "block", "house.hardship"),
        ({"events": [{"type": "complaint", "t": "2026-11-20T00:00:00Z"}]}, "block", "house.complaint"),
        ({"events": [{"type": "dispute_other", "t": "2026-11-20T00:00:00Z"}]}, "defer", "house.dispute"),
        ({"events": [{"type": "bereavement", "t": "2026-11-20T00:00:00Z"}]}, "defer", "house.distress"),
        ({"events": [{"type": "paid", "t": "2026-11-20T00:00:00Z"}]}, "block", "core.paid"),
        ({"as_of": "2026-11-24T16:59:49Z"}, "block", "core.stale-facts"),
        ({"as_of": "2026-11-24T16:59:50Z"}, "allow", ""),
        ({"debtor": {"minor": True, "tz_candidates": ["America/New_York"]}}, "block", "house.minor"),
        ({"role": "neighbour"}, "block", "house.no-third-party"),
        ({"now": "2026-11-24T12:59:59Z"}, "defer", "house.hours"),
    ],
)
def test_the_house_keeps_its_own_rules(book: RuleBook, more: dict[str, Any], decision: str, acted: str) -> None:
    base: dict[str, Any] = {
        "packs": ["house"],
        "now": "2026-11-24T17:00:00Z",
        "channel": "call",
        "debt": "D1",
        "debtor": {"tz_candidates": ["America/New_York"]},
    }
    ruling = decide(facts_from({**base, **more}), book)
    assert ruling.decision == decision
    assert acted in {*(hit.rule_id for hit in ruling.hits), ""}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.yaml", HEADER.format(name="t", more="") + rule("    chanels: sms\n    barred: true"), "t.yaml:15"),
        ("u.yaml", HEADER.format(name="t", more="") + rule("    barred: true"), "name it as its file"),
        ("t.yaml", HEADER.format(name="t", more="") + rule("    barred: true", rule_id="us.fed.cease"), "us.fed.cease"),
        ("residence.yaml", "places: {US: nobody}", "nobody"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path: Path, name: str, text: str, said: str) -> None:
    for file in RULES.glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(RuleBookUnreadableError, match=re.escape(said)):
        read_rulebook(tmp_path)


def test_an_empty_folder_gives_no_book(tmp_path: Path) -> None:
    with pytest.raises(RuleBookUnreadableError, match="residence"):
        read_rulebook(tmp_path)
