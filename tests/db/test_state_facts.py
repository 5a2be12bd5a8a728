"""State events as the rules read them, and replies as they become state events."""

from datetime import date
from typing import Any

import pytest

from db.replies import Reply, take_in_reply
from domain.codes import HoldReason
from domain.compliance.facts import Event
from domain.compliance.vocabulary import EVENTS
from domain.keywords import Reading
from domain.state_events import MEANINGS, StateKind
from domain.state_facts import as_facts
from tests.db.test_state_events import AT, FIRST, NEIGHBOUR, SHARED, STRANGER, Desk, desk

__all__ = ["desk"]

# --- as the rules read it -------------------------------------------------------------------------------------------


def test_events_are_spelled_as_the_facts_format_spells_them(desk: Desk) -> None:
    desk.tell("opt_out", contact_point=desk.point(NEIGHBOUR))
    desk.tell("channel_opt_out", channel="voice")
    desk.tell("attorney_represented", form="letter")
    desk.tell("breathing_space_start", kind="standard", start="2026-03-01")
    desk.tell("no_capacity", reason="minor")
    desk.tell("time_barred")
    desk.tell("inconvenient_time", starts="00:00", ends="12:00", days=["mon"])
    desk.tell("consent_given", consent="time", starts="21:00", ends="22:30", evidence="rec/1")
    desk.tell("consent_given", event_id="c/2", consent="channel", channel="sms", written=True)
    facts = as_facts(desk.active(FIRST, AT), desk.party(FIRST))
    by_type = {event["type"]: event for event in facts.events}
    assert set(by_type) == {
        "sms_stop", "medium_opt_out", "attorney_represented", "breathing_space_start", "minor", "time_barred",
    }  # fmt: skip
    assert (by_type["sms_stop"]["number"], by_type["sms_stop"]["to"]) == (desk.point(FIRST), desk.party(FIRST))
    assert by_type["medium_opt_out"]["medium"] == "call"
    assert by_type["attorney_represented"]["debts"] == (FIRST,)
    assert by_type["attorney_represented"]["attorney_known"] is False
    assert by_type["breathing_space_start"]["start"] == date(2026, 3, 1)
    assert (facts.debtor, facts.debt_flags) == ({"minor": True}, ("time_barred",))
    assert [consent["type"] for consent in facts.consents] == ["time", "sms"]
    assert (facts.consented, facts.in_writing) == (frozenset({"sms"}), frozenset({"sms"}))
    assert len(facts.inconvenient) == 1
    assert as_facts(desk.active(FIRST, AT), "somebody else").consents == ()


def test_p8_the_record_of_events_holds_keys_only(desk: Desk) -> None:
    desk.tell("opt_out", contact_point=desk.point(FIRST))
    desk.tell("wrong_party", contact_point=desk.point(FIRST))
    text = str(desk.rows("SELECT s::text FROM state_events s")) + str(desk.rows("SELECT body FROM case_events"))
    assert "3125550100" not in text


EXAMPLES: dict[str, dict[str, Any]] = {
    "opt_out": {"contact_point": "phone"},
    "channel_opt_out": {"channel": "email"},
    "unclear_reply": {"contact_point": "phone"},
    "wrong_party": {"contact_point": "phone"},
    "inconvenient_place": {"place": "work"},
    "employer_prohibits": {},
    "third_party_refusal": {"party": "party"},
    "cease_communication": {"form": "email"},
    "attorney_represented": {"attorney": "P1"},
    "bankruptcy_filed": {},
    "bankruptcy_discharged": {},
    "deceased": {},
    "no_capacity": {"reason": "no_capacity"},
    "dispute": {"form": "portal"},
    "original_creditor_request": {"form": "letter"},
    "identity_theft": {},
    "military_service": {},
    "hardship": {},
    "breathing_space_start": {"kind": "mental_health_crisis", "start": "2026-03-01", "treatment_ended": "2026-03-02"},
    "complaint": {"about": "hours"},
    "time_barred": {},
    "disaster": {},
    "bereavement": {},
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_rules_know_every_event(desk: Desk, name: str) -> None:
    known = {"phone": desk.point(FIRST), "party": desk.party(FIRST)}
    desk.tell(name, **{key: known.get(value, value) for key, value in EXAMPLES[name].items()})
    (entry,) = as_facts(desk.active(FIRST, AT), desk.party(FIRST)).events
    event = Event(**entry)
    assert (event.type in EVENTS) is (name != "unclear_reply")


def test_every_event_that_stands_is_tried_against_the_rules() -> None:
    ends = {str(kind) for kind, meaning in MEANINGS.items() if meaning.ends or kind is StateKind.ENDED}
    assert set(EXAMPLES) == {str(kind) for kind in StateKind} - ends - {
        "consent_given", "inconvenient_time", "vulnerability",
    }  # fmt: skip


def test_a_vulnerable_person_is_said_on_the_debtor_and_is_no_event(desk: Desk) -> None:
    desk.tell("vulnerability", because="health")
    facts = as_facts(desk.active(FIRST, AT), desk.party(FIRST))
    assert (facts.events, facts.debtor) == ((), {"vulnerable": True})


# --- what a person texts back ---------------------------------------------------------------------------------------


def _reply(text: str, number: str = "1", value: str = SHARED) -> Reply:
    return Reply("carrier", number, "phone", value, text, AT)


def test_a_stop_is_in_force_when_it_is_taken_in_and_its_words_stay_in_the_inbox(desk: Desk) -> None:
    taken = take_in_reply(desk.engine, _reply("stop."))
    again = take_in_reply(desk.engine, _reply("stop."))
    assert (taken.reading, taken.event, taken.cases) == (Reading.STOP, again.event, ())
    assert desk.kinds(FIRST) == desk.kinds(NEIGHBOUR) == ["opt_out"]
    assert desk.rows("SELECT body FROM inbox WHERE name = 'reply'") == [("stop.",)]
    assert desk.rows("SELECT note_ref FROM state_events") == [("inbox/carrier/1",)]


@pytest.mark.parametrize("text", ["I will quit my job Friday and can pay then", "leave me alone"])
def test_a_reply_that_is_not_sure_rests_the_case_and_asks_a_person(desk: Desk, text: str) -> None:
    taken = take_in_reply(desk.engine, _reply(text, value="+13125550199"))
    assert taken.cases == (f"{STRANGER}/1",)
    assert desk.facts(STRANGER).hold.reason is HoldReason.REVIEW
    assert desk.rows("SELECT reason FROM work_items") == [("unclear_reply",)]
    assert text not in str(desk.rows("SELECT s::text FROM state_events s"))


def test_what_nobody_understands_and_who_nobody_knows_is_kept_all_the_same(desk: Desk) -> None:
    assert take_in_reply(desk.engine, _reply("ok\x00")).event is None
    assert take_in_reply(desk.engine, _reply("STOP", "2", "+19995550000")).reading is Reading.STOP
    assert desk.one("SELECT count(*) FROM inbox") == 2
