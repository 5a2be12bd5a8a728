"""What a message says: found whatever its width, case or line breaks, and named by rule and line."""

import time
from typing import Any

import pytest

from domain.compliance import RuleBook, decide, facts_from
from domain.compliance.words import fold, folded


def ids(book: RuleBook, text: str, pack: str, channel: str = "sms", language: str | None = "en") -> set[str]:
    return {hit.rule_id for hit in book.content_hits(text, language=language, channel=channel, packs=[pack])}


def test_a_finding_names_rule_line_and_place(book: RuleBook) -> None:
    text = "Hello,\nthis is ABC, a debt collector.\nPay or you will be\nARRESTED. Reply STOP to opt out."
    hits = book.content_hits(text, language="en", channel="sms", packs=["us-federal"])
    found = [hit for hit in hits if hit.rule_id == "us.fed.false-threat"]
    assert [(hit.line, text[hit.offset : hit.offset + 8]) for hit in found] == [(4, "ARRESTED")]
    assert str(found[0]).startswith("line 4: ")
    assert "ARRESTED" not in str(found[0])


@pytest.mark.parametrize(
    "text",
    ["将列入黑名单", "将列入黑\u200b名单", "将列入黑\n名单"],
)
def test_hidden_words_are_found(book: RuleBook, text: str) -> None:
    assert "cn.no-false-threat" in ids(book, text, "cn-mainland", language="zh")


def test_full_width_letters_hide_nothing(book: RuleBook) -> None:
    wide = "".join(chr(ord(sign) + 0xFEE0) for sign in "arrest")
    assert "us.fed.false-threat" in ids(book, f"We will {wide} you", "us-federal")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("ABC, a debt collector: please call. Reply STOP to opt out.", set()),
        ("ABC: please call. Reply STOP to opt out.", {"us.fed.mini-miranda-later"}),
        ("ABC, a debt collector: please call.", {"us.fed.e-optout-notice"}),
    ],
)
def test_what_a_text_must_say(book: RuleBook, us_call: dict[str, Any], text: str, missing: set[str]) -> None:
    facts = facts_from({**us_call, "channel": "sms", "content": text, "language": "en"})
    hits = book.content_hits(text, language="en", channel="sms", packs=["us-federal"], facts=facts)
    assert {hit.rule_id for hit in hits} == missing


def test_disclosures_are_in_the_language_of_the_message(book: RuleBook, us_call: dict[str, Any]) -> None:
    text = "ABC, un cobrador de deudas. Responda STOP."
    facts = facts_from({**us_call, "channel": "sms"})
    for language, missing in (("es", False), ("es-MX", False), ("en", True), ("fr", True), (None, False)):
        hits = book.content_hits(text, language=language, channel="sms", packs=["us-federal"], facts=facts)
        assert ("us.fed.mini-miranda-later" in {hit.rule_id for hit in hits}) is missing, language


GOOD = "Hi, this is Dana from ABC Inc. Please call Dana or any representative at 800-555-0199."


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (GOOD, True),
        (GOOD + " Thank you.", True),
        ("Hello. My name is Dana Smith from ABC Inc. Please return my call at (800) 555-0199. Goodbye.", True),
        (GOOD + " It is about your overdue account.", False),
        (GOOD + " This is important.", False),
        (GOOD.replace("Dana from ", "") + " Bye", False),
        (GOOD.replace("800-555-0199", "our office"), False),
        ("Calling about your overdue Visa balance.", False),
    ],
)
def test_a_message_on_a_machine_keeps_to_its_form(book: RuleBook, text: str, fits: bool) -> None:
    assert ("us.fed.lcm" not in ids(book, text, "us-federal", channel="voicemail")) is fits


def test_a_long_text_is_read_quickly(book: RuleBook) -> None:
    for text in ("this is a from b " * 400, "call " * 2000 + "1" * 2000, "hi, " * 3000, "a" * 20_000):
        started = time.process_time()
        ids(book, text, "us-federal", channel="voicemail")
        assert time.process_time() - started < 2


def test_the_gate_judges_the_text_it_is_shown(book: RuleBook, us_call: dict[str, Any]) -> None:
    facts = {**us_call, "channel": "sms", "sms_consent": True, "rnd_checked_days_ago": 3, "language": "en"}
    blind = decide(facts_from(facts), book)
    assert blind.decision == "allow"
    assert {"us.fed.mini-miranda-later", "us.fed.e-optout-notice"} <= set(blind.duties)
    shown = decide(facts_from({**facts, "content": "Pay, or you will be arrested."}), book)
    assert shown.decision == "block"
    assert shown.duties == ()
    assert all("arrested" not in hit.said for hit in shown.hits)


def test_folding_keeps_the_places() -> None:
    text = "A\u200b  \uff22\n\u00dfe\u0301"
    whole = folded(text)
    assert whole.text == "a b ss\u00e9" == fold(text)
    assert [text[at] for at in whole.at[:1]] == ["A"]
    assert whole.line_of(whole.text.index("s")) == 2
