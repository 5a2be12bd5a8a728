"""The dialogue of an automated call: nothing about a debt before the right party has confirmed, in any language."""

import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.providers.base import Accepted
from activities.providers.call_script import SCRIPT, ScriptError, Scripts
from activities.providers.twiml import CallEvent, CallFacts, Check, CheckKind, Dialogue, Heard, Stage, bridge
from activities.wording import Wording
from domain.codes import Channel
from tests.fakes.client import FakeClient
from tests.providers.conftest import KEY, MAKERS, Application, message

TEMPLATES = Path(__file__).resolve().parents[2] / "policies" / "templates"
SCRIPTS = Scripts(TEMPLATES)
PUBLIC = "https://dunlin.example"
DIALOGUE = Dialogue(SCRIPTS, PUBLIC)
LANGUAGES = ("en", "es", "zh")
each_language = pytest.mark.parametrize("language", LANGUAGES)

FACTS = CallFacts(
    language="en",
    caller_name="Northfield Services",
    contact_person="Alex Kim",
    call_back_number="+13125550010",
    caller_id="+13125550002",
    recipient_name="Pat Doe",
    check=Check(CheckKind.BIRTH_YEAR, "1984"),
    amount="$1,234.50",
    reference="L-77-X",
    creditor_name="Acme Bank",
    collector_name="Northfield Recovery",
    third_party=True,
    first_communication=True,
    agent_number="+13125550020",
)
SECRETS = ("1,234.50", "L-77-X", "Acme", "Recovery", "1984")
HINTS = {
    "en": ("debt", "owe", "pay", "overdue", "past due", "balance", "loan", "collect", "account", "bank", "money"),
    "es": ("deuda", "debe", "pag", "venc", "saldo", "préstamo", "cobr", "cuenta", "banco", "dinero"),
    "zh": ("债", "欠", "还款", "逾期", "催", "贷", "账户", "银行", "金额", "付款"),
}


def _words(twiml: str) -> str:
    return " ".join(one.text or "" for one in ET.fromstring(twiml).iter("Say"))  # noqa: S314 - our own


def _press(stage: Stage, digits: str, tries: int = 0, facts: CallFacts = FACTS) -> tuple[str, tuple[CallEvent, ...]]:
    turn = DIALOGUE.turn(KEY, facts, Heard(stage=stage, digits=digits, tries=tries))
    return turn.twiml, turn.events


def _next(twiml: str) -> Heard | None:
    """Return where the answer to a question goes."""
    gather = ET.fromstring(twiml).find("Gather")  # noqa: S314 - our own
    return None if gather is None else Heard.of(dict(parse_qsl(urlsplit(gather.get("action") or "").query)), {})


# --- what may be heard by whom ----------------------------------------------------------------------------------


@each_language
@pytest.mark.parametrize(
    "heard",
    [
        Heard(),
        Heard(answered_by="human"),
        Heard(answered_by="unknown"),
        Heard(answered_by="machine_start"),
        Heard(answered_by="machine_end_beep"),
        Heard(answered_by="machine_end_silence"),
        Heard(answered_by="machine_end_other"),
        Heard(answered_by="fax"),
        Heard(stage=Stage.MACHINE),
        *(Heard(stage=Stage.WHO, digits=key, tries=tries) for key in ("", "1", "2", "5", "9") for tries in (0, 1)),
        *(
            Heard(stage=Stage.CHECK, digits=key, tries=tries)
            for key in ("", "1985", "19", "0" * 20)
            for tries in (0, 1)
        ),
    ],
)
def test_nothing_about_a_debt_is_said_before_the_right_party_has_confirmed(language: str, heard: Heard) -> None:
    turn = DIALOGUE.turn(KEY, replace(FACTS, language=language), heard)
    assert not [secret for secret in SECRETS if secret in turn.twiml]
    words = _words(turn.twiml).lower()
    assert not [hint for hint in HINTS[language] if hint in words]
    assert CallEvent.RIGHT_PARTY not in turn.events
    after = _next(turn.twiml)
    assert after is None or after.stage in {Stage.WHO, Stage.CHECK}


@given(
    keys=st.lists(st.text("0123456789#*", max_size=6), max_size=8),
    expected=st.text("0123456789", min_size=1, max_size=4),
    known=st.booleans(),
)
def test_whatever_keys_are_pressed_only_the_right_answer_opens_the_debt(
    keys: list[str], expected: str, *, known: bool
) -> None:
    facts = replace(FACTS, check=Check(CheckKind.LAST_DIGITS, expected) if known else None)
    heard: Heard | None = Heard()
    confirmed = False
    for pressed in ["", *keys]:
        if heard is None:
            break
        digits = "".join(key for key in pressed if key.isdigit())
        turn = DIALOGUE.turn(KEY, facts, replace(heard, digits=digits))
        right = heard.stage is Stage.CHECK and known and digits == expected
        assert (CallEvent.RIGHT_PARTY in turn.events) is right
        confirmed = confirmed or right
        assert confirmed or not [secret for secret in ("1,234.50", "L-77-X", "Acme") if secret in turn.twiml]
        heard = _next(turn.twiml)


def test_a_check_without_an_expectation_is_never_passed() -> None:
    assert not Check(CheckKind.BIRTH_YEAR, "").passes("")
    twiml, events = _press(Stage.CHECK, "", facts=replace(FACTS, check=Check(CheckKind.BIRTH_YEAR, "")))
    assert CallEvent.RIGHT_PARTY not in events
    assert "Acme" not in twiml
    assert _press(Stage.WHO, "1", facts=replace(FACTS, check=None))[1] == (CallEvent.NOT_CONFIRMED,)


@each_language
def test_a_machine_hears_the_limited_content_message_and_nothing_else(language: str) -> None:
    turn = DIALOGUE.turn(KEY, replace(FACTS, language=language), Heard(answered_by="machine_end_beep"))
    words = _words(turn.twiml)
    for part in ("Northfield Services", "Alex Kim", "1 3 1 2 5 5 5 0 0 1 0"):
        assert part in words
    assert turn.events == (CallEvent.MACHINE_MESSAGE,)
    assert "<Gather" not in turn.twiml
    silent = DIALOGUE.turn(KEY, replace(FACTS, leave_message=False), Heard(answered_by="machine_end_beep"))
    assert (_words(silent.twiml), silent.events) == ("", (CallEvent.MACHINE_LEFT_ALONE,))


def test_words_that_a_collector_may_not_leave_are_not_left() -> None:
    judged = Dialogue(Scripts(TEMPLATES, Wording(TEMPLATES).judge), PUBLIC)
    for language, third_party, leaves in (("en", True, True), ("es", True, False), ("es", False, True)):
        facts = replace(FACTS, language=language, third_party=third_party)
        events = judged.turn(KEY, facts, Heard(answered_by="machine_end_beep")).events
        assert events == ((CallEvent.MACHINE_MESSAGE,) if leaves else (CallEvent.MACHINE_LEFT_ALONE,))


def test_a_machine_line_that_hints_at_a_debt_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    script = tmp_path / "templates" / "en" / SCRIPT
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace('Thank you."', 'It is about your overdue bill."'), encoding="utf-8")
    judge = Wording(TEMPLATES).judge
    with pytest.raises(ScriptError, match=r"en/call-dialogue.yaml:1: .*wording"):
        Scripts(tmp_path / "templates", judge)


# --- the ways through -------------------------------------------------------------------------------------------


@each_language
def test_the_right_party_hears_what_it_is_about_once_and_the_choices(language: str) -> None:
    facts = replace(FACTS, language=language)
    first, events = _press(Stage.CHECK, "1984", facts=facts)
    assert events == (CallEvent.RIGHT_PARTY,)
    assert all(part in first for part in ("$1,234.50", "L-77-X", "Acme Bank", "Northfield Recovery"))
    again, _ = _press(Stage.MENU, "", facts=facts)
    assert "1,234.50" not in again
    assert _press(Stage.MENU, "", tries=1, facts=facts)[1] == (CallEvent.SILENCE,)
    assert len(ET.fromstring(first).findall(".//Say")) == 6  # noqa: S314 - our own


def test_a_collector_says_who_it_is_as_the_law_wants_it() -> None:
    assert "attempting to collect a debt" in _press(Stage.CHECK, "1984")[0]
    later = _press(Stage.CHECK, "1984", facts=replace(FACTS, first_communication=False))[0]
    assert "from a debt collector" in later
    assert "attempting" not in later
    first_party = _press(Stage.CHECK, "1984", facts=replace(FACTS, third_party=False))[0]
    assert "collector" not in first_party


@pytest.mark.parametrize(
    ("stage", "digits", "change", "event"),
    [
        (Stage.WHO, "2", {}, CallEvent.WRONG_PERSON),
        (Stage.WHO, "9", {}, CallEvent.STOP_CALLING),
        (Stage.MENU, "1", {}, CallEvent.PAY_LINK),
        (Stage.MENU, "2", {}, CallEvent.AGENT),
        (Stage.MENU, "2", {"agent_number": None}, CallEvent.CALL_BACK),
        (Stage.MENU, "3", {}, CallEvent.WRONG_PERSON),
        (Stage.MENU, "9", {}, CallEvent.STOP_CALLING),
    ],
)
def test_each_key_has_its_consequence(stage: Stage, digits: str, change: dict[str, Any], event: CallEvent) -> None:
    twiml, events = _press(stage, digits, facts=replace(FACTS, **change))
    assert events == (event,)
    assert ("<Hangup" in twiml) is (event is not CallEvent.AGENT)


def test_without_a_pay_link_its_key_does_nothing() -> None:
    twiml, events = _press(Stage.MENU, "1", facts=replace(FACTS, pay_link=False))
    assert events == ()
    assert "link" not in _words(twiml)


def test_an_agent_is_bridged_and_a_missed_one_becomes_a_call_back() -> None:
    twiml, _ = _press(Stage.MENU, "2")
    dial = ET.fromstring(twiml).find("Dial")  # noqa: S314 - our own
    assert dial is not None
    assert (dial.get("callerId"), dial.get("answerOnBridge")) == ("+13125550002", "true")
    assert "".join(dial.itertext()).strip() == "+13125550020"
    for status, events in (("completed", ()), ("no-answer", (CallEvent.CALL_BACK,)), ("", (CallEvent.CALL_BACK,))):
        assert DIALOGUE.turn(KEY, FACTS, Heard(stage=Stage.BRIDGED, dial_status=status)).events == events
    plain = bridge("+13125550100", "+13125550002", f"{PUBLIC}/x")
    assert "+13125550100" in plain
    assert "record" not in plain
    recorded = bridge("+13125550100", "+13125550002", f"{PUBLIC}/x", status=f"{PUBLIC}/y", record=True)
    assert 'record="record-from-answer-dual"' in recorded
    assert f'recordingStatusCallback="{PUBLIC}/y"' in recorded


def test_a_wrong_answer_may_be_mended_once() -> None:
    twiml, events = _press(Stage.CHECK, "1985")
    assert (events, _next(twiml)) == ((), Heard(stage=Stage.CHECK, tries=1))
    assert _press(Stage.CHECK, "1984", tries=1)[1] == (CallEvent.RIGHT_PARTY,)
    assert _press(Stage.CHECK, "1985", tries=1)[1] == (CallEvent.NOT_CONFIRMED,)
    assert _press(Stage.CHECK, "1985", tries=3)[1] == (CallEvent.NOT_CONFIRMED,)


def test_what_a_request_says_is_read_with_care() -> None:
    heard = Heard.of({"stage": "check", "tries": "1"}, {"Digits": " 19*84#٣", "AnsweredBy": "human", "New": "x"})
    assert heard == Heard(Stage.CHECK, 1, "1984", "human")
    for stage, tries in (("nonsense", "x"), ("", "-1"), ("MENU", "99")):
        assert Heard.of({"stage": stage, "tries": tries}, {}) == Heard()


def test_names_cannot_bring_markup_into_the_call() -> None:
    turn = DIALOGUE.turn(KEY, replace(FACTS, recipient_name="<Dial>+1900</Dial> & {{ amount }}"), Heard())
    document = ET.fromstring(turn.twiml)  # noqa: S314 - our own
    assert document.find(".//Dial") is None
    assert "{{ amount }}" in _words(turn.twiml)


def test_no_personal_data_stands_in_what_is_shown_of_facts_and_turns() -> None:
    shown = f"{FACTS!r} {DIALOGUE.turn(KEY, FACTS, Heard(stage=Stage.CHECK, digits='1984'))!r}"
    assert not [secret for secret in ("Pat", "Doe", "1984", "1,234.50", "L-77-X") if secret in shown]


# --- scripts ----------------------------------------------------------------------------------------------------


def test_every_language_of_the_project_has_a_script_and_others_fall_back() -> None:
    assert SCRIPTS.languages == LANGUAGES
    for asked, language in (("es-MX", "es-US"), ("zh", "cmn-CN"), ("fr", "en-US"), ("", "en-US")):
        assert SCRIPTS.look_up(asked).say.language == language


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace("{{ caller_name }}", "{{ creditor_name }}", 1), "greet may not use creditor_name"),
        (lambda text: text.replace("{{ amount }}", "{{ password }}", 1), "about may not use password"),
        (lambda text: text.replace("  goodbye:", "  good_bye:", 1), "goodbye"),
        (lambda text: text.replace("{{ amount }}", "{{ amount", 1), "expected"),
    ],
)
def test_a_script_that_could_disclose_a_debt_is_refused(
    tmp_path: Path, change: Callable[[str], str], reason: str
) -> None:
    folder = tmp_path / "en"
    folder.mkdir()
    shutil.copy(TEMPLATES / "en" / SCRIPT, folder / SCRIPT)
    assert Scripts(tmp_path).languages == ("en",)
    text = (folder / SCRIPT).read_text(encoding="utf-8")
    (folder / SCRIPT).write_text(change(text), encoding="utf-8")
    with pytest.raises(ScriptError, match=reason):
        Scripts(tmp_path)


# --- as a person lives it ---------------------------------------------------------------------------------------


@each_language
def test_a_whole_call_over_http_tells_the_debt_to_the_right_party_only(
    fake: FakeClient, application: Application, language: str
) -> None:
    dialogue, facts = Dialogue(SCRIPTS, application.url), replace(FACTS, language=language)
    events: list[CallEvent] = []

    def answer(path: str, body: bytes) -> str:
        parts = urlsplit(path)
        if parts.path != "/twilio/voice":
            return ""
        query, form = dict(parse_qsl(parts.query)), dict(parse_qsl(body.decode(), keep_blank_values=True))
        turn = dialogue.turn(query["attempt"], facts, Heard.of(query, form))
        events.extend(turn.events)
        return turn.twiml

    application.twiml = answer
    ends = {
        ("human", "1", "1984", "1"): [CallEvent.RIGHT_PARTY, CallEvent.PAY_LINK],
        ("human", "1", "1984", "2"): [CallEvent.RIGHT_PARTY, CallEvent.AGENT],
        ("human", "1", "1111", "1112"): [CallEvent.NOT_CONFIRMED],
        ("human", "2"): [CallEvent.WRONG_PERSON],
        ("human",): [CallEvent.SILENCE],
        ("machine_end_beep",): [CallEvent.MACHINE_MESSAGE],
        ("fax",): [CallEvent.MACHINE_LEFT_ALONE],
    }
    for (by, *digits), expected in ends.items():
        events.clear()
        sent = MAKERS[Channel.VOICE](fake.url, public_url=application.url).send(message(Channel.VOICE))
        assert isinstance(sent, Accepted)
        ended = fake.call(sent.provider_id, person={"answered_by": by, "digits": digits})
        said = " ".join(one.get("said", "") for one in ended["transcript"])
        assert events == expected
        assert ended["status"] == "completed"
        assert ("$1,234.50" in said) is (CallEvent.RIGHT_PARTY in expected)
    assert fake.counted("calls.without_twiml") == 0
