"""What an automated call says and asks, turn by turn, as TwiML. Pure: the web part brings facts and keys pressed.

Nothing about a debt is said before the person has pressed the key that says who they are and has passed the check
the creditor chose; a machine hears the limited-content message of 12 CFR 1006.2(j). This is enforced twice: by the
stages, and by the scripts, whose first part may not even name what belongs to the debt.

Where a call stands travels in the addresses of its own TwiML, which Twilio signs when it comes back.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from twilio.twiml.voice_response import Gather, VoiceResponse

from activities.providers.addresses import CALL_DIALOGUE, address
from activities.providers.call_script import OF_THE_DEBT, Scripts, digit_by_digit

TRIES = 2
"""How often each question is asked."""
KEY_SECONDS = 7
CHECK_SECONDS = 12
BRIDGE_SECONDS = 25
LONGEST_TALK = 3600


class Stage(StrEnum):
    """Which question the keys pressed are an answer to; ``opening`` before any."""

    OPENING = "opening"
    MACHINE = "machine"
    WHO = "who"
    CHECK = "check"
    MENU = "menu"
    BRIDGED = "bridged"


class CallEvent(StrEnum):
    """What a turn has brought, for the web part to record and act on before it answers."""

    MACHINE_MESSAGE = "machine_message"
    """A limited-content message is being left."""
    MACHINE_LEFT_ALONE = "machine_left_alone"
    WRONG_PERSON = "wrong_person"
    STOP_CALLING = "stop_calling"
    """Calls to this number are refused, by whoever answered."""
    RIGHT_PARTY = "right_party"
    """Who they are was confirmed; the debt is spoken of from here on."""
    NOT_CONFIRMED = "not_confirmed"
    PAY_LINK = "pay_link"
    AGENT = "agent"
    CALL_BACK = "call_back"
    """An agent was wanted and none could be reached: a person should call."""
    SILENCE = "silence"


class CheckKind(StrEnum):
    """What the right party must know. The creditor chooses."""

    BIRTH_YEAR = "birth_year"
    LAST_DIGITS = "last_digits"


@dataclass(frozen=True, slots=True)
class Check:
    """A question whose answer only the right party should know: digits only."""

    kind: CheckKind
    expected: str = field(repr=False)

    def passes(self, digits: str) -> bool:
        """Compare in constant time. An empty expectation is never met."""
        return bool(self.expected) and hmac.compare_digest(self.expected.encode(), digits.encode())


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the words of one call are made of. Holds personal data: never logged, never in a history.

    ``caller_name`` must not show that debts are collected. ``check`` is ``None`` where nothing is known to check: then
    the debt is never spoken of. ``agent_number`` is ``None`` while nobody answers there.
    """

    language: str
    caller_name: str
    contact_person: str
    call_back_number: str
    caller_id: str
    recipient_name: str = field(repr=False)
    check: Check | None
    amount: str = field(repr=False)
    reference: str = field(repr=False)
    creditor_name: str
    collector_name: str
    third_party: bool
    first_communication: bool
    pay_link: bool = True
    agent_number: str | None = None
    leave_message: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """What Twilio's request says: where the call stands, what was pressed, who answered, how a bridge ended."""

    stage: Stage = Stage.OPENING
    tries: int = 0
    digits: str = ""
    answered_by: str = ""
    dial_status: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str], form: Mapping[str, str]) -> Self:
        """Read a signed request. What makes no sense is read as the beginning of a call."""
        stage, tries = query.get("stage", ""), query.get("tries", "")
        return cls(
            stage=Stage(stage) if stage in {one.value for one in Stage} else Stage.OPENING,
            tries=int(tries) if tries in {"0", "1", "2", "3"} else 0,
            digits="".join(key for key in form.get("Digits", "") if key in "0123456789")[:20],
            answered_by=form.get("AnsweredBy", ""),
            dial_status=form.get("DialCallStatus", ""),
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """The answer to Twilio, and what has to be recorded."""

    twiml: str = field(repr=False)
    events: tuple[CallEvent, ...] = ()


class Dialogue:
    """Answers each request of a running call."""

    def __init__(self, scripts: Scripts, public_url: str) -> None:
        self._scripts = scripts
        self._public_url = public_url

    def turn(self, attempt_key: str, facts: CallFacts, heard: Heard) -> Turn:
        """Return what is said next. ``menu`` and what follows it are reached only through a check that was passed."""
        call = _Running(self._scripts, self._public_url, attempt_key, facts, heard)
        match heard.stage:
            case Stage.OPENING:
                return self._opened(call)
            case Stage.MACHINE:
                return self._machine(call)
            case Stage.WHO:
                return self._who(call)
            case Stage.CHECK:
                return self._check(call)
            case Stage.MENU:
                return self._menu(call)
            case Stage.BRIDGED:
                return self._bridged(call)

    def _opened(self, call: "_Running") -> Turn:
        by = call.heard.answered_by
        if by.startswith("machine"):
            return self._machine(call)
        if by == "fax":
            return call.end(CallEvent.MACHINE_LEFT_ALONE)
        return call.ask(Stage.WHO, "greet")

    @staticmethod
    def _machine(call: "_Running") -> Turn:
        if not call.may_leave_message:
            return call.end(CallEvent.MACHINE_LEFT_ALONE)
        return call.end(CallEvent.MACHINE_MESSAGE, "machine")

    @staticmethod
    def _who(call: "_Running") -> Turn:
        match call.heard.digits:
            case "1" if call.facts.check is None:
                return call.end(CallEvent.NOT_CONFIRMED, "not_confirmed")
            case "1":
                return call.ask(Stage.CHECK, call.question)
            case "2":
                return call.end(CallEvent.WRONG_PERSON, "wrong_person")
            case "9":
                return call.end(CallEvent.STOP_CALLING, "stopped")
            case _:
                return call.again(Stage.WHO, "greet")

    @staticmethod
    def _check(call: "_Running") -> Turn:
        check, digits = call.facts.check, call.heard.digits
        if check is not None and check.passes(digits):
            return call.offer(CallEvent.RIGHT_PARTY)
        if call.heard.tries + 1 < TRIES and check is not None:
            return call.ask(Stage.CHECK, "ask_again", call.question, tries=call.heard.tries + 1)
        return call.end(CallEvent.NOT_CONFIRMED, "not_confirmed")

    @staticmethod
    def _menu(call: "_Running") -> Turn:
        facts = call.facts
        match call.heard.digits:
            case "1" if facts.pay_link:
                return call.end(CallEvent.PAY_LINK, "pay_link")
            case "2" if facts.agent_number is not None:
                return call.bridge(facts.agent_number)
            case "2":
                return call.end(CallEvent.CALL_BACK, "agent_closed")
            case "3":
                return call.end(CallEvent.WRONG_PERSON, "wrong_person")
            case "9":
                return call.end(CallEvent.STOP_CALLING, "stopped")
            case _ if call.heard.tries + 1 < TRIES:
                return call.offer(tries=call.heard.tries + 1)
            case _:
                return call.end(CallEvent.SILENCE, "goodbye")

    @staticmethod
    def _bridged(call: "_Running") -> Turn:
        if call.heard.dial_status in {"completed", "answered"}:
            return call.end()
        return call.end(CallEvent.CALL_BACK, "agent_closed")


class _Running:
    """One request of one call: says lines of the script in the debtor's language, asks, ends."""

    def __init__(self, scripts: Scripts, public_url: str, attempt_key: str, facts: CallFacts, heard: Heard) -> None:
        self._scripts = scripts
        self._script = scripts.look_up(facts.language)
        self._public_url = public_url
        self._key = attempt_key
        self.facts = facts
        self.heard = heard

    @property
    def may_leave_message(self) -> bool:
        """Whether the creditor leaves messages, and these words are ones that a machine may keep."""
        facts = self.facts
        leaves = self._scripts.leaves_message(facts.language, third_party=facts.third_party)
        return facts.leave_message and leaves

    @property
    def question(self) -> str:
        """The line that asks the creditor's question."""
        kind = CheckKind.BIRTH_YEAR if self.facts.check is None else self.facts.check.kind
        return f"ask_{kind}"

    def ask(self, stage: Stage, *lines: str, tries: int = 0) -> Turn:
        """Say lines and listen; silence comes back as no digits."""
        response = VoiceResponse()
        self._say(self._gather(response, stage, tries), lines)
        return Turn(str(response))

    def again(self, stage: Stage, line: str) -> Turn:
        """Ask once more, or give up."""
        if self.heard.tries + 1 < TRIES:
            said = ("not_understood", line) if self.heard.digits else (line,)
            return self.ask(stage, *said, tries=self.heard.tries + 1)
        return self.end(CallEvent.SILENCE, "goodbye")

    def offer(self, *events: CallEvent, tries: int = 0) -> Turn:
        """Say what the call is about, once, and what can be done."""
        facts, lines = self.facts, []
        if tries == 0:
            if facts.third_party:
                lines.append("third_party_first" if facts.first_communication else "third_party_later")
            lines.append("about")
        lines += [*(["menu_pay_link"] if facts.pay_link else []), "menu_agent", "menu_wrong_person", "menu_stop"]
        response = VoiceResponse()
        self._say(self._gather(response, Stage.MENU, tries), lines)
        return Turn(str(response), events)

    def bridge(self, number: str) -> Turn:
        """Connect the person with an agent."""
        response = VoiceResponse()
        self._say(response, ("agent",))
        dial_into(response, number, self.facts.caller_id, self._address(Stage.BRIDGED, 0))
        return Turn(str(response), (CallEvent.AGENT,))

    def end(self, event: CallEvent | None = None, *lines: str) -> Turn:
        """Say lines and hang up."""
        response = VoiceResponse()
        self._say(response, lines)
        response.hangup()
        return Turn(str(response), () if event is None else (event,))

    def _gather(self, response: VoiceResponse, stage: Stage, tries: int) -> Gather:
        check = self.facts.check
        digits = len(check.expected) if stage is Stage.CHECK and check is not None else 1
        gather: Gather = response.gather(
            input="dtmf",
            num_digits=digits,
            timeout=CHECK_SECONDS if stage is Stage.CHECK else KEY_SECONDS,
            action=self._address(stage, tries),
            method="POST",
            action_on_empty_result=True,
        )
        return gather

    def _address(self, stage: Stage, tries: int) -> str:
        return address(self._public_url, CALL_DIALOGUE, self._key, stage=stage, tries=str(tries))

    def _say(self, place: VoiceResponse | Gather, lines: tuple[str, ...] | list[str]) -> None:
        facts, script = self.facts, self._script
        values: dict[str, object] = {
            "caller_name": facts.caller_name,
            "recipient_name": facts.recipient_name,
            "contact_person": facts.contact_person,
            "call_back_number": digit_by_digit(facts.call_back_number),
            "check_length": 0 if facts.check is None else len(facts.check.expected),
        }
        of_the_debt = {name: getattr(facts, name) for name in OF_THE_DEBT}
        for line in lines:
            neutral = getattr(script.before, line, None)
            text, known = (
                (neutral, values) if neutral is not None else (getattr(script.after, line), values | of_the_debt)
            )
            place.say(self._scripts.render(text, known), voice=script.say.voice, language=script.say.language)


def dial_into(response: VoiceResponse, number: str, caller_id: str, action: str) -> None:
    """Let a call go on with ``number``; ``action`` is asked when that ends. Ringing is bounded."""
    dial = response.dial(
        caller_id=caller_id, timeout=BRIDGE_SECONDS, action=action, method="POST", answer_on_bridge=True
    )
    dial.number(number)


def bridge(number: str, caller_id: str, action: str, *, status: str = "", record: bool = False) -> str:
    """Return the TwiML that connects an agent who has just picked up with ``number`` (click to dial).

    ``status`` is told what becomes of the line to the number. With ``record`` both sides are recorded from the answer.
    """
    response = VoiceResponse()
    recording = {}
    if record:
        recording = {"record": "record-from-answer-dual"}
        if status:
            recording |= {"recording_status_callback": status, "recording_status_callback_method": "POST"}
    dial = response.dial(
        caller_id=caller_id,
        timeout=BRIDGE_SECONDS,
        action=action,
        method="POST",
        answer_on_bridge=True,
        time_limit=LONGEST_TALK,
        **recording,
    )
    told = {}
    if status:
        events = "initiated ringing answered completed"
        told = {"status_callback": status, "status_callback_method": "POST", "status_callback_event": events}
    dial.number(number, **told)
    return str(response)
