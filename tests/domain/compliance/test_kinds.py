"""Every kind of rule, by itself, on packs written for the test."""

from datetime import datetime
from typing import Any

import pytest

from domain.compliance import RuleBook, Ruling, decide, facts_from
from tests.domain.compliance.packs import ask, pack, rule

NOON = "2026-11-24T17:00:00Z"


def facts(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a fact may be
    """Return facts of a call at noon in New York."""
    base: dict[str, Any] = {
        "now": NOON,
        "channel": "call",
        "actor": "third_party_collector",
        "debt": "D1",
        "debtor": {"tz_candidates": ["America/New_York"]},
    }
    return {**base, **more}


def calls(*days: int, **more: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as above
    """Return calls at ten in the morning of these days of November."""
    return [
        {"t": f"2026-11-{day:02d}T15:00:00Z", "type": "call_out", "result": "voicemail", "debt": "D1", **more}
        for day in days
    ]


def until(ruling: Ruling) -> str:
    assert ruling.decision == "defer"
    assert isinstance(ruling.defer_until, datetime)
    return f"{ruling.defer_until:%Y-%m-%dT%H:%M:%S}"


# --- hours -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edges", "at_opening", "at_closing"),
    [("[)", True, False), ("[]", True, True), ("()", False, False), ("(]", False, True)],
)
def test_the_edges_of_hours_are_as_the_rule_says(edges: str, at_opening: bool, at_closing: bool) -> None:
    one = pack(rule(f"    hours: {{open: '08:00-21:00', edges: '{edges}'}}"))
    opening, closing = ask(facts(now="2026-11-24T13:00:00Z"), one), ask(facts(now="2026-11-25T02:00:00Z"), one)
    assert (opening.decision == "allow") is at_opening
    assert (closing.decision == "allow") is at_closing
    if not at_opening:
        assert until(opening) == "2026-11-24T13:00:01"


def test_hours_hold_in_every_zone_the_person_may_be_in() -> None:
    one = pack(rule("    hours: {open: 08:00-21:00}"))
    two = {"tz_candidates": ["America/New_York", "Pacific/Honolulu"]}
    assert until(ask(facts(debtor=two), one)) == "2026-11-24T18:00:00"
    assert until(ask(facts(debtor=two, now="2026-11-25T02:00:00Z"), one)) == "2026-11-25T18:00:00"


def test_zones_that_are_never_open_together_release_nothing() -> None:
    one = pack(rule("    hours: {open: 08:00-12:00}"))
    ruling = ask(
        facts(debtor={"tz_candidates": ["America/New_York", "Asia/Shanghai"]}, now="2026-11-24T08:00:00Z"), one
    )
    assert ruling.decision == "block"
    assert "core.no-release" in ruling.rule_ids


@pytest.mark.parametrize("zones", [[], ["America/Nowhere"], ["America/New_York", "Mars/Base"]])
def test_hours_of_somebody_whose_zone_is_not_known_are_closed(zones: list[str]) -> None:
    ruling = ask(facts(debtor={"tz_candidates": zones}), pack(rule("    hours: {open: 00:00-24:00}")))
    assert ruling.decision == "block"
    assert "core.fail-closed" in ruling.rule_ids


def test_consent_to_a_time_counts_only_as_the_rule_asks_for_it() -> None:
    needs = "    hours: {open: 08:00-21:00, consent: {type: time, given_to: [collector], evidence: true}}"
    evening, one = "2026-11-25T02:30:00Z", pack(rule(needs))
    agreed = {"type": "time", "from": "21:00", "to": "22:00", "t": "2026-11-23T15:00:00Z"}
    for more in ({}, {"given_to": "collector"}, {"evidence": "rec-1"}, {"given_to": "creditor", "evidence": "rec-1"}):
        assert ask(facts(now=evening, consents=[{**agreed, **more}]), one).decision == "defer"
    whole = {**agreed, "given_to": "collector", "evidence": "rec-1"}
    ruling = ask(facts(now=evening, consents=[whole]), one)
    assert ruling.decision == "allow"
    assert ruling.lifted == ("t.rule",)
    for gone in (
        {"expires": "2026-11-25T02:00:00Z"},
        {"revoked_at": "2026-11-24T02:00:00Z"},
        {"t": "2026-11-26T00:00:00Z"},
    ):
        assert ask(facts(now=evening, consents=[{**whole, **gone}]), one).decision == "defer"


def test_a_time_the_person_does_not_want_is_kept_free() -> None:
    one = pack(rule("    inconvenient: true"))
    nights = {
        "tz_candidates": ["America/New_York"],
        "inconvenient": [{"from": "22:00", "to": "14:00", "set_by": "consumer"}],
    }
    assert until(ask(facts(debtor=nights), one)) == "2026-11-24T19:00:00"
    assert ask(facts(debtor=nights, now="2026-11-24T19:00:00Z"), one).decision == "allow"


# --- counts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "days", "released"),
    [
        ("{calendar_days: 3}", (22, 24), "2026-11-25T05:00:00"),
        ("{hours: 72}", (22, 24), "2026-11-25T15:00:00"),
        ("{week: from_monday}", (23, 24), "2026-11-30T05:00:00"),
        ("{week: from_sunday}", (23, 24), "2026-11-29T05:00:00"),
        ("{week: strictest}", (23, 24), "2026-11-30T05:00:00"),
        ("{week: strictest}", (18, 24), "2026-11-25T05:00:00"),  # last week's call, within seven days
    ],
)
def test_a_place_is_free_again_when_its_window_says(window: str, days: tuple[int, int], released: str) -> None:
    one = pack(rule(f"    count: {{of: calls, window: {window}, limit: 2}}"))
    assert until(ask(facts(history=calls(*days)), one)) == released
    assert ask(facts(history=calls(24)), one).decision == "allow"


def test_without_end_a_full_count_is_a_refusal() -> None:
    one = pack(rule("    count: {of: calls, window: {ever: true}, limit: 1}"))
    assert ask(facts(history=calls(1)), one).decision == "block"


def test_a_count_since_an_event_begins_again_with_it() -> None:
    one = pack(rule("    count: {of: calls, window: {since: [cease_communication]}, limit: 1}\n    then: block"))
    told = [{"type": "cease_communication", "t": "2026-11-20T00:00:00Z"}]
    assert ask(facts(history=calls(19), events=told), one).decision == "allow"
    assert ask(facts(history=calls(21), events=told), one).decision == "block"


@pytest.mark.parametrize(
    ("key", "mine", "theirs"),
    [
        ("collector", {"collector": "A"}, {"collector": "B"}),
        ("creditor", {"creditor": "A"}, {"creditor": "B"}),
        ("institution", {"institution": "A"}, {"institution": "B"}),
        ("person", {"to": "P1"}, {"to": "P2"}),
        ("debt", {"debt": "D1"}, {"debt": "D2"}),
        ("number", {"number": "N1"}, {"number": "N2"}),
        ("product", {"product": "A"}, {"product": "B"}),
        ("purpose", {"purpose": "collect"}, {"purpose": "service"}),
    ],
)
def test_a_count_is_kept_for_what_its_key_names(key: str, mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    one = pack(rule(f"    count: {{of: calls, same: [{key}], window: {{calendar_days: 1}}, limit: 1}}"))
    assert ask(facts(history=calls(24, **mine), **mine), one).decision == "defer"
    assert ask(facts(history=calls(24, **theirs), **mine), one).decision == "allow"
    name = next(iter(mine))
    silent = [{k: v for k, v in past.items() if k != name} for past in calls(24)]
    assert ask(facts(history=silent, **mine), one).decision == "defer", "what is not said may be the same"


def test_a_contact_about_several_debts_counts_against_each() -> None:
    one = pack(rule("    count: {of: calls, same: [debt], window: {calendar_days: 7}, limit: 2}"))
    split = [*calls(23), *calls(24, debt="D2")]
    assert ask(facts(debt=["D1", "D2"], history=split), one).decision == "allow"
    assert until(ask(facts(debt=["D1", "D2"], history=[*split, *calls(20, debt="D2")]), one)) == "2026-11-27T05:00:00"


@pytest.mark.parametrize(
    ("outcome", "counted", "not_counted"),
    [
        ("attempt", {"result": "no_answer"}, {"initiated_by": "consumer"}),
        ("connected", {"result": "voicemail"}, {"result": "no_answer"}),
        ("connected", {"result": "unknown"}, {"result": "busy"}),
        ("effective", {"result": "answered", "duration_s": 6}, {"result": "answered", "duration_s": 5}),
        ("effective", {"result": "answered"}, {"result": "answered", "effective": False}),
        ("talk", {"result": "answered"}, {"result": "answered", "effective": False}),
        ("talk", {"type": "conversation", "initiated_by": "consumer"}, {"result": "unknown"}),
        ("talk", {"type": "call_in"}, {"result": "voicemail"}),
    ],
)
def test_what_counts_is_what_the_rule_counts(
    outcome: str, counted: dict[str, Any], not_counted: dict[str, Any]
) -> None:
    body = f"    count: {{of: [calls, call_in], outcome: {outcome}, min_seconds: 6, window: {{calendar_days: 1}}, limit: 1}}"
    one = pack(rule(body))
    assert ask(facts(history=calls(24, **counted)), one).decision == "defer"
    assert ask(facts(history=calls(24, **not_counted)), one).decision == "allow"


def test_excluded_entries_are_not_counted_and_the_rule_that_says_so_is_named() -> None:
    one = pack(
        rule("    count: {of: calls, exclude: {results: [busy], id: t.busy}, window: {calendar_days: 1}, limit: 1}"),
        rule("    part_of: t.rule", rule_id="t.busy"),
    )
    ruling = ask(facts(history=calls(24, result="busy")), one)
    assert ruling.decision == "allow"
    assert "t.busy" in ruling.rule_ids


def test_days_are_counted_strictly_where_the_zone_is_not_known() -> None:
    one = pack(rule("    count: {of: calls, window: {calendar_days: 1}, limit: 1}"))
    ruling = ask(facts(debtor={}, history=calls(24)), one)
    assert until(ruling) == "2026-11-25T12:00:00"  # the day ends last at UTC-12


# --- states ------------------------------------------------------------------------------------------------


def told(name: str, t: str = "2026-11-20T15:00:00Z", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return one event."""
    return {"type": name, "t": t, **more}


def test_a_state_binds_until_something_ends_it() -> None:
    one = pack(rule("    state: {events: [identity_theft], ended_by: [identity_theft_cleared]}"))
    theft = told("identity_theft")
    assert ask(facts(events=[theft]), one).decision == "block"
    assert ask(facts(events=[theft, told("identity_theft_cleared", "2026-11-21T00:00:00Z")]), one).decision == "allow"
    earlier = told("identity_theft_cleared", "2026-11-19T00:00:00Z")
    assert ask(facts(events=[theft, earlier]), one).decision == "block", "an older clearing clears nothing new"


def test_what_we_know_binds_even_if_its_clock_runs_ahead() -> None:
    one = pack(rule("    state: {events: [paid], ended_by: [payment_reversed]}"))
    assert ask(facts(events=[told("paid", "2026-11-24T17:00:01Z")]), one).decision == "block"
    ahead = [told("paid"), told("payment_reversed", "2026-11-24T17:00:01Z")]
    assert ask(facts(events=ahead), one).decision == "block", "what lifts must have happened"


@pytest.mark.parametrize(
    ("scope", "hit", "missed"),
    [
        ("debt", {"debt": "D1"}, {"debt": "D2"}),
        ("number", {"number": "N1"}, {"number": "N2"}),
        ("person", {"to": "P1"}, {"to": "P2"}),
        ("medium", {"medium": "call"}, {"medium": "sms"}),
    ],
)
def test_a_state_binds_in_its_scope(scope: str, hit: dict[str, Any], missed: dict[str, Any]) -> None:
    one = pack(rule(f"    state: {{events: [wrong_party], scope: {scope}}}"))
    here = facts(number="N1", to="P1")
    assert ask({**here, "events": [told("wrong_party", **hit)]}, one).decision == "block"
    assert ask({**here, "events": [told("wrong_party", **missed)]}, one).decision == "allow"
    assert ask({**here, "events": [told("wrong_party")]}, one).decision == "block", "the widest scope is meant"


def test_an_ending_must_cover_all_that_the_contact_is_about() -> None:
    one = pack(rule("    state: {events: [dispute], scope: debt, ended_by: [verification_sent]}"))
    events = [told("dispute"), told("verification_sent", "2026-11-21T00:00:00Z", debt="D1")]
    assert ask(facts(events=events), one).decision == "allow"
    assert ask(facts(debt=["D1", "D2"], events=events), one).decision == "block"


def test_a_state_may_end_by_itself_and_a_deferral_waits_for_it() -> None:
    one = pack(rule("    state: {events: [bereavement], lasts: {days: 10, since: t}}\n    then: defer"))
    assert until(ask(facts(events=[told("bereavement")]), one)) == "2026-11-30T05:00:00"
    assert ask(facts(now="2026-11-30T05:00:00Z", events=[told("bereavement")]), one).decision == "allow"


def test_a_state_with_a_last_day_ends_where_that_day_ends_last() -> None:
    one = pack(rule("    state: {events: [breathing_space_start], lasts: {days: 60, since: start}}\n    then: defer"))
    two = {"tz_candidates": ["America/New_York", "Pacific/Honolulu"]}
    began = [told("breathing_space_start", start="2026-10-26")]
    assert until(ask(facts(debtor=two, events=began), one)) == "2026-12-25T10:00:00"
    ends = [told("breathing_space_start", until="2026-11-30")]
    assert until(ask(facts(debtor=two, events=ends), one)) == "2026-12-01T10:00:00"


def test_a_duty_binds_only_once_it_is_late() -> None:
    one = pack(rule("    state: {events: [initial_communication], after_days: 5, ended_by: [validation_sent]}"))
    contact = [told("initial_communication", "2026-11-19T15:00:00Z")]
    assert ask(facts(events=contact), one).decision == "allow"
    assert ask(facts(now="2026-11-25T17:00:00Z", events=contact), one).decision == "block"


def test_forms_and_kinds_select_and_what_is_not_said_is_meant() -> None:
    one = pack(rule("    state: {events: [cease_communication], forms: [letter], kinds: [all]}"))
    assert ask(facts(events=[told("cease_communication", form="oral")]), one).decision == "allow"
    assert ask(facts(events=[told("cease_communication", form="letter", kind="some")]), one).decision == "allow"
    assert ask(facts(events=[told("cease_communication")]), one).decision == "block"


WORDS = "words: {out: {whole: [stop], inside: [stop], codes: [t]}, back: {whole: [start]}}"
REPLY = "    channels: sms\n    state: {events: [inbound_sms], reply: out, scope: number, ended_by_reply: back}"


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        ("STOP", "block"), ("\uff33\uff34\uff2f\uff30", "block"), (" stop. ", "block"), ("st\u200bop", "block"), ("«Stop!»", "block"),
        ("please stop it", "review"), ("nonstop", "allow"), ("hello", "allow"), ("t", "review"), ("", "allow"),
    ],
)  # fmt: skip
def test_a_reply_is_read_folded_and_doubt_goes_to_a_person(text: str, decision: str) -> None:
    one = pack(rule(REPLY), more=WORDS)
    assert ask(facts(channel="sms", events=[told("inbound_sms", text=text)]), one).decision == decision


def test_a_short_code_means_something_only_where_it_was_offered() -> None:
    one = pack(rule(REPLY), more=WORDS)
    event = [told("inbound_sms", text="T")]
    offered = {"type": "opt_out_offer", "codes": ["T"]}
    asked = {"type": "right_party_check", "codes": ["T", "F"]}
    assert ask(facts(channel="sms", events=event, last_template=offered), one).decision == "block"
    assert ask(facts(channel="sms", events=event, last_template=asked), one).decision == "review"


def test_a_person_ends_the_doubt_and_a_new_word_ends_the_stop() -> None:
    one = pack(rule(REPLY), more=WORDS)
    doubt = told("inbound_sms", text="please stop it")
    assert (
        ask(facts(channel="sms", events=[doubt, told("reply_reviewed", "2026-11-21T00:00:00Z")]), one).decision
        == "allow"
    )
    stop, back = told("inbound_sms", text="STOP"), told("inbound_sms", "2026-11-21T00:00:00Z", text="Start")
    assert (
        ask(facts(channel="sms", events=[stop, told("reply_reviewed", "2026-11-21T00:00:00Z")]), one).decision
        == "block"
    )
    assert ask(facts(channel="sms", events=[stop, back]), one).decision == "allow"
    assert (
        ask(facts(channel="sms", events=[told("inbound_sms", "2026-11-22T00:00:00Z", text="stop"), back]), one).decision
        == "block"
    )


def test_something_must_have_been_said_recently() -> None:
    one = pack(rule("    fresh: {events: [sms_stop], minutes: 5}"))
    for at, decision in (("16:55:00", "allow"), ("16:54:59", "block"), ("17:00:01", "block")):
        assert ask(facts(events=[told("sms_stop", f"2026-11-24T{at}Z")]), one).decision == decision


# --- facts, exceptions, approvals --------------------------------------------------------------------------


def test_a_duty_is_not_fulfilled_by_silence_and_a_ban_binds_the_unknown() -> None:
    needs = pack(rule("    require: {collectors: {at_least: 2}}"))
    assert [ask(facts(**one), needs).decision for one in ({}, {"collectors": 1}, {"collectors": 2})] == [
        "block", "block", "allow",
    ]  # fmt: skip
    bars = pack(rule("    when: {product: {none_of: [loan]}}\n    barred: true"))
    assert [ask(facts(**one), bars).decision for one in ({}, {"product": "card"}, {"product": "loan"})] == [
        "block", "block", "allow",
    ]  # fmt: skip


def test_alternatives_are_enough_one_by_one() -> None:
    one = pack(rule("    require:\n      - {sms_consent: true}\n      - {recording: true, collectors: 2}"))
    assert ask(facts(sms_consent=True), one).decision == "allow"
    assert ask(facts(recording=True), one).decision == "block"
    assert ask(facts(recording=True, collectors=2), one).decision == "allow"


def test_an_exception_lifts_its_own_rule_only_and_is_reported() -> None:
    lifts = rule("    barred: true\n    except: {when: {purpose: reply}, id: t.why}")
    one = pack(lifts, rule("    part_of: t.rule", rule_id="t.why"))
    ruling = ask(facts(purpose="reply"), one)
    assert (ruling.decision, ruling.lifted) == ("allow", ("t.rule",))
    assert {"t.rule", "t.why"} <= set(ruling.rule_ids)
    other = pack(lifts, rule("    part_of: t.rule", rule_id="t.why"), rule("    barred: true", rule_id="t.other"))
    assert ask(facts(purpose="reply"), other).decision == "block"


def test_consent_of_some_days_counts_the_day_it_was_given_and_ends_with_the_talk() -> None:
    one = pack(rule("    barred: true\n    except: {consent: {type: callback, days: 2, ends_with_talk: true}}"))
    asked = [{"type": "callback", "t": "2026-11-23T15:00:00Z"}]
    assert ask(facts(consents=asked), one).decision == "allow"
    assert ask(facts(consents=asked, now="2026-11-25T05:00:00Z"), one).decision == "block"
    talk = [{"t": "2026-11-24T10:00:00Z", "type": "conversation"}]
    assert ask(facts(consents=asked, history=talk), one).decision == "block"


def test_an_approval_lifts_what_may_be_overridden_and_nothing_else() -> None:
    soft = pack(rule("    barred: true\n    override: approval"))
    hard = pack(rule("    barred: true"))
    given = {"approvals": [{"rule": "t.rule", "t": "2026-11-24T10:00:00Z", "by": "supervisor"}]}
    assert ask(facts(**given), soft).decision == "allow"
    assert ask(facts(**given), hard).decision == "block"
    doubt = pack(rule("    state: {events: [complaint], then: review}"))
    assert ask(facts(**given, events=[told("complaint")]), doubt).decision == "allow"
    newer = [told("complaint", "2026-11-24T11:00:00Z")]
    assert ask(facts(**given, events=newer), doubt).decision == "review", "it was approved before this was told"


# --- effect in time, borrowing, computing ------------------------------------------------------------------


def test_the_version_in_force_at_the_instant_is_the_one_that_counts() -> None:
    old = rule("    effective: {to: 2026-11-24}\n    count: {of: calls, window: {calendar_days: 7}, limit: 1}")
    new = rule("    effective: {from: 2026-11-25}\n    count: {of: calls, window: {calendar_days: 7}, limit: 3}")
    one = pack(old, new)
    assert until(ask(facts(history=calls(23)), one)) == "2026-11-25T05:00:00"
    assert ask(facts(now="2026-11-25T05:00:00Z", history=calls(23)), one).decision == "allow"


def test_a_rule_that_begins_later_is_met_at_the_release() -> None:
    shut = rule("    hours: {open: 08:00-21:00}")
    ban = rule("    effective: {from: 2026-11-25}\n    barred: true", rule_id="t.ban")
    night = facts(now="2026-11-25T03:00:00Z")
    assert ask(night, pack(shut)).decision == "defer"
    ruling = ask(night, pack(shut, ban))
    assert ruling.decision == "block"
    assert "t.ban" in ruling.rule_ids


def test_a_borrowed_rule_holds_for_whom_the_borrower_says() -> None:
    lender = pack(
        rule("    barred: true", rule_id="l.ban"), name="lender", more="applies_if: {actor: first_party_creditor}"
    )
    borrower = pack(rule("    part_of: l.ban"), name="t", more="borrows: {lender: [l.ban]}")
    book = RuleBook([lender, borrower])
    third = facts(packs=["t"])
    assert decide(facts_from(third), book).decision == "block"
    assert decide(facts_from({**third, "packs": ["lender"]}), book).decision == "allow"


def test_a_rule_that_was_never_confirmed_is_there_and_off() -> None:
    one = pack(rule("    barred: true", status="unverified"))
    assert not one.rules[0].on
    assert ask(facts(), one).decision == "allow"


def test_records_are_kept_to_the_day() -> None:
    one = pack(rule("    channels: compute\n    when: {compute: may_delete_record}\n    keep: {years: 5}"))
    question = {"channel": "compute", "compute": "may_delete_record", "recorded_on": "2024-02-29"}
    assert ask(facts(**question, now="2029-02-28T17:00:00Z"), one).decision == "block"
    assert ask(facts(**question, now="2029-03-01T05:00:00Z"), one).decision == "allow"
    assert ask(facts(channel="compute", compute="may_delete_record"), one).decision == "block"


def test_what_no_rule_answers_is_refused() -> None:
    one = pack(rule("    barred: true"))
    ruling = ask(facts(channel="compute", compute="may_delete_record", recorded_on="1999-01-01"), one)
    assert ruling.decision == "block"
    assert "core.fail-closed" in ruling.rule_ids


def test_a_term_skips_weekends_and_holidays() -> None:
    one = pack(
        rule(
            "    channels: compute\n    term: {what: end, since: sent_on, working_days: 5, holidays_of: US, then_days: 30}"
        )
    )
    ruling = ask(facts(channel="compute", compute="end", sent_on="2026-11-20"), one)  # Thanksgiving is the 26th
    assert (ruling.decision, str(ruling.assumed_receipt), str(ruling.value)) == ("compute", "2026-11-30", "2026-12-30")


def test_all_that_hits_is_returned_and_the_hardest_wins() -> None:
    one = pack(
        rule("    barred: true\n    then: review", rule_id="t.review"),
        rule("    hours: {open: 08:00-09:00}", rule_id="t.hours"),
        rule("    barred: true", rule_id="t.block"),
    )
    ruling = ask(facts(), one)
    assert ruling.decision == "block"
    assert [hit.rule_id for hit in ruling.hits] == ["t.block", "t.review", "t.hours"]
    assert ruling.defer_until is None


def test_something_told_that_no_rule_knows_goes_to_a_person() -> None:
    ruling = ask(facts(events=[told("alien_landing")]), pack(rule("    require: {collectors: {none_of: [9]}}")))
    assert ruling.decision == "review"
    assert {"core.unknown-event", "core.fail-closed"} <= set(ruling.rule_ids)
