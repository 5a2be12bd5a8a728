"""A call as the person called lives it: it rings, somebody or something answers, listens, presses keys, hangs up.

Follows the application's TwiML as far as an automated call needs it and keeps a transcript of what was said, so that
a test can see what was told to whom and when.
"""

import xml.etree.ElementTree as ET
from email.utils import format_datetime
from urllib.parse import parse_qs, urljoin, urlsplit
from uuid import uuid4

from tests.fakes.state import Call, State, now
from tests.fakes.twilio_answers import Form
from tests.fakes.twilio_api import Twilio

MOST_REQUESTS = 30
TALK_SECONDS = 42
_EVENT_OF = {"initiated": "initiated", "ringing": "ringing", "in-progress": "answered"}


class HungUpError(Exception):
    """The call is over."""


class Conversation:
    """One call from dialling to its end. Runs in a worker of the courier."""

    def __init__(self, twilio: Twilio, call: Call) -> None:
        self._twilio = twilio
        self._state: State = twilio.state
        self._call = call
        self._digits = list(call.person.digits)
        self._told: list[Form] = []
        self._requests = 0

    def run(self) -> None:
        """Live the call."""
        call, person = self._call, self._call.person
        if call.status != "queued":
            return
        final: str = person.outcome
        try:
            self._tell("initiated")
            self._turn("ringing")
            if person.outcome == "completed":
                with self._state.lock:
                    call.started = now()
                self._turn("in-progress")
                self._talk()
        except HungUpError:
            final = "canceled" if call.status == "canceled" else "completed"
        self._end(final)

    def _talk(self) -> None:
        call = self._call
        more: Form = []
        if call.detection is not None and call.machine_callback is None:
            call.answered_by = call.person.answered_by
            more = [("AnsweredBy", call.answered_by)]
        url, document = call.url, self._fetch(call.url, more)
        if call.machine_callback is not None:
            call.answered_by = call.person.answered_by
            told = [("AnsweredBy", call.answered_by), ("MachineDetectionDuration", "2400")]
            self._twilio.call_back(call.sid, call.machine_callback, [*self._form(), *told])
        while True:
            step = self._redirected(url) or self._follow(url, document)
            if step is None:
                return
            url, document = step[0], self._fetch(step[0], step[1])

    def _redirected(self, url: str) -> tuple[str, Form] | None:
        with self._state.lock:
            new, self._call.redirect = self._call.redirect, None
        return None if new is None else (urljoin(url, new), [])

    def _follow(self, url: str, document: ET.Element) -> tuple[str, Form] | None:
        """Go through the verbs; return where they lead and with which fields, or nothing at the end."""
        for verb in document:
            self._still_there()
            match verb.tag:
                case "Gather":
                    self._hear(verb)
                    if self._digits or verb.get("actionOnEmptyResult") == "true":
                        keys = self._digits.pop(0) if self._digits else ""
                        keys = keys[: int(verb.get("numDigits") or len(keys))]
                        self._call.transcript.append({"pressed": keys})
                        return urljoin(url, verb.get("action") or url), [("Digits", keys), ("FinishedOnKey", "")]
                case "Say" | "Play":
                    self._hear([verb])
                case "Redirect":
                    return urljoin(url, (verb.text or "").strip()), []
                case "Dial":
                    more = self._dial(verb)
                    if verb.get("action") is not None:
                        return urljoin(url, verb.get("action") or ""), more
                case "Hangup" | "Reject":
                    raise HungUpError
                case _:
                    pass
        return None

    def _dial(self, verb: ET.Element) -> Form:
        """Dial a number and tell whoever asked what becomes of that line; return what the action is told."""
        number, status = "".join(verb.itertext()).strip(), self._call.person.dial
        self._call.transcript.append({"dialled": number})
        noun = verb.find("Number")
        callback = None if noun is None else noun.get("statusCallback")
        if callback is None or noun is None:
            return [("DialCallStatus", status)]
        events = tuple((noun.get("statusCallbackEvent") or "completed").split())
        attempt = parse_qs(urlsplit(callback).query).get("attempt", [""])[0]
        other = self._twilio.dial(self._call, number, callback, events, attempt)
        leg = Conversation(self._twilio, other)
        for one in ("initiated", "ringing", *(("in-progress",) if status == "completed" else ())):
            other.status = "ringing" if one == "initiated" else one
            leg._tell(one)
        if status == "completed":
            other.started = now()
            self._call.transcript.append({"talked": number})
        other.seconds = TALK_SECONDS if status == "completed" else 0
        other.status, other.ended = status, now()
        leg._tell(status, [("CallDuration", str(other.seconds))])
        more = [("DialCallStatus", status), ("DialCallSid", other.sid), ("DialCallDuration", str(other.seconds))]
        if verb.get("record") and verb.get("recordingStatusCallback") and status == "completed":
            told = [*self._form(), ("RecordingSid", self._state.name("RE")), ("RecordingStatus", "completed")]
            self._twilio.call_back(self._call.sid, verb.get("recordingStatusCallback"), told)
        return more

    def _hear(self, verbs: list[ET.Element] | ET.Element) -> None:
        for verb in verbs:
            if verb.tag == "Say":
                said = {"said": (verb.text or "").strip(), "language": verb.get("language") or "en"}
                self._call.transcript.append(said)

    def _fetch(self, url: str, more: Form) -> ET.Element:
        self._requests += 1
        if self._requests > MOST_REQUESTS:
            self._state.count("calls.endless")
            raise HungUpError
        reply = self._twilio.post(url, [*self._form(), *more], str(uuid4()))
        try:
            if reply is None or reply.status != 200:
                raise ValueError
            document = ET.fromstring(reply.body)  # noqa: S314 - from the application under test, on loopback
            if document.tag != "Response":
                raise ValueError
        except (ValueError, ET.ParseError):
            self._state.count("calls.without_twiml")
            raise HungUpError from None
        return document

    def _still_there(self) -> None:
        if self._call.status in {"canceled", "completed"}:
            raise HungUpError

    def _turn(self, status: str) -> None:
        with self._state.lock:
            self._still_there()
            self._call.status = status
        self._tell(status)

    def _end(self, status: str) -> None:
        call = self._call
        with self._state.lock:
            call.status, call.ended = status, call.ended or now()
            call.seconds = len(call.transcript) * 4 + 1 if call.started is not None else 0
        more: Form = [("CallDuration", str(call.seconds)), ("Duration", str(-(-call.seconds // 60)))]
        if call.answered_by is not None:
            more.append(("AnsweredBy", call.answered_by))
        if call.person.error_code is not None:
            more.append(("ErrorCode", str(call.person.error_code)))
        self._tell(status, more)
        for form in reversed(self._told):
            self._twilio.call_back(call.sid, call.callback, form)

    def _tell(self, status: str, more: Form | None = None) -> None:
        """Send the status callback, if it was asked for; keep it back when the order is to be reversed."""
        call = self._call
        if _EVENT_OF.get(status, "completed") not in call.events:
            return
        form = [
            *(pair for pair in self._form() if pair[0] != "CallStatus"),
            ("CallStatus", status),
            ("Timestamp", format_datetime(now())),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", str(call.sequence)),
            *(more or []),
        ]
        call.sequence += 1
        if call.reorder:
            self._told.append(form)
            return
        for _ in range(call.times):
            self._twilio.call_back(call.sid, call.callback, form)

    def _form(self) -> Form:
        call = self._call
        return [
            ("CallSid", call.sid),
            ("AccountSid", self._state.config.account_sid),
            ("From", call.sender),
            ("To", call.to),
            ("CallStatus", call.status),
            ("ApiVersion", "2010-04-01"),
            ("Direction", "outbound-api" if call.parent is None else "outbound-dial"),
            *([] if call.parent is None else [("ParentCallSid", call.parent)]),
        ]
