"""Text messages and automated calls through Twilio's official SDK.

One request for each attempt and never a second one: Twilio has no idempotency key, so a repeated request is a
repeated message. An attempt whose answer was lost is known again by its callback, whose address carries the key, or
by the list of messages to the recipient (``find``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.rest import Client

from activities.providers.addresses import (
    BRIDGE,
    BRIDGE_STATUS,
    CALL_DIALOGUE,
    CALL_MACHINE,
    CALL_STATUS,
    MESSAGE_STATUS,
    WebAddress,
    address,
    with_retries,
)
from activities.providers.base import (
    Accepted,
    AmbiguousSendError,
    Evidence,
    Loan,
    LookUpError,
    NoEvidence,
    NotProcessed,
    Outbound,
    Rejected,
    SendResult,
    digest_of,
)
from activities.providers.egress import NeverSentError, TwilioTransport
from activities.providers.errors import ErrorTable, spread
from activities.providers.twiml import LONGEST_TALK

LONGEST_VALIDITY = 3600
"""Seconds. Twilio would hold a message for ten hours; the end of its hours is looked for one hour ahead."""
SAFETY = timedelta(seconds=15)
"""Kept back from a delivery window for the way to the provider."""
UNREACHED_WAIT = timedelta(minutes=1)
LOOK_UP_WINDOW = timedelta(minutes=3)
"""How long after the start of a dispatch its request can have been taken: admission, timeout and Twilio's own time."""
LOOK_UP_LIMIT = 200
_DEAD = frozenset({"failed", "undelivered", "canceled"})
_CALL_EVENTS = ["initiated", "ringing", "answered", "completed"]

Sid = Annotated[str, Field(pattern=r"^[A-Z]{2}[0-9a-fA-F]{32}$")]
Number = Annotated[str, Field(pattern=r"^\+[1-9]\d{6,14}$")]
Sender = Annotated[str, Field(pattern=r"^(\+[1-9]\d{6,14}|\d{3,8}|[A-Za-z0-9 ]{1,11})$")]


class TwilioSettings(BaseModel):
    """What an account at Twilio needs. Times in seconds.

    ``base_url`` moves every request to another host and nothing else may be reached. ``public_url`` is where Twilio
    reaches us. An API key may sign requests; callbacks are always signed with ``auth_token``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_sid: Annotated[str, Field(pattern=r"^AC[0-9a-fA-F]{32}$")]
    auth_token: SecretStr
    public_url: WebAddress
    api_key_sid: Sid | None = None
    api_key_secret: SecretStr | None = None
    base_url: WebAddress | None = None
    messaging_service_sid: Annotated[str, Field(pattern=r"^MG[0-9a-fA-F]{32}$")] | None = None
    sms_from: Sender | None = None
    voice_from: Number | None = None
    region: Annotated[str, Field(pattern=r"^[a-z0-9]*$")] = ""
    edge: Annotated[str, Field(pattern=r"^[a-z0-9-]*$")] = ""
    timeout_seconds: Annotated[float, Field(ge=0.2, le=60)] = 30.0
    """Twilio has been seen to take 26 s and then to send; whoever gives up sooner knows less."""
    validity_seconds: Annotated[int, Field(ge=1, le=LONGEST_VALIDITY)] = 3600
    """How long a text message may wait in Twilio's queue at most; less where its hours end sooner."""
    ring_seconds: Annotated[int, Field(ge=5, le=600)] = 25
    call_limit_seconds: Annotated[int, Field(ge=30, le=14_400)] = 900
    answering_machines: Literal["off", "sync", "async"] = "sync"
    """``sync``: the dialogue starts when Twilio knows who answered; ``async``: at once, and Twilio tells later."""
    callback_retries: Annotated[int, Field(ge=0, le=5)] = 3

    @model_validator(mode="after")
    def _key_is_whole(self) -> Self:
        if (self.api_key_sid is None) != (self.api_key_secret is None):
            raise ValueError("api_key_sid and api_key_secret belong together")
        return self


@dataclass(frozen=True, slots=True)
class _Trace:
    """A message or call of ours to one recipient, as the provider lists it."""

    provider_id: str
    created: datetime | None
    digest: str | None
    told: Mapping[str, str]


class _Twilio:
    """What messages and calls have in common."""

    def __init__(self, settings: TwilioSettings, errors: ErrorTable, evidence: Evidence | None = None) -> None:
        self._settings = settings
        self._errors = errors
        self._evidence = evidence or NoEvidence()
        self.timeout_seconds = settings.timeout_seconds
        self._transport = TwilioTransport(settings.base_url, settings.timeout_seconds)
        secret = settings.api_key_secret or settings.auth_token
        self._client = Client(
            settings.api_key_sid or settings.account_sid,
            secret.get_secret_value(),
            settings.account_sid,
            http_client=self._transport,
            # Not the process environment: TWILIO_EDGE or TWILIO_REGION there would change the host in silence.
            environment={"TWILIO_REGION": settings.region, "TWILIO_EDGE": settings.edge},
        )
        self._account = self._client.api.v2010.account

    def _callback(self, path: str, attempt_key: str) -> str:
        settings = self._settings
        return with_retries(address(settings.public_url, path, attempt_key), settings.callback_retries)

    def _create(self, create: Callable[[], Any], key: str) -> SendResult:
        """Make one request and say what its answer means. Raises AmbiguousSendError."""
        try:
            made = create()
            sid, status, code = str(made.sid), made.status, getattr(made, "error_code", None)
        except NeverSentError as error:
            return NotProcessed(str(error), spread(UNREACHED_WAIT, key))
        except (TwilioRestException, TwilioServiceException) as error:
            refused = error
        except (TwilioException, ValueError, TypeError, AttributeError, KeyError):
            raise AmbiguousSendError("unreadable_answer") from None
        else:
            if not sid.strip() or made.sid is None:
                raise AmbiguousSendError("unreadable_answer")
            if status in _DEAD:
                judged = self._errors.twilio_report(code)
                return Rejected(f"twilio_{code or status}", kind=judged.kind, wait=judged.wait)
            return Accepted(sid)
        return self._errors.twilio_answer(int(refused.status), _number(refused.code), self._transport.wait, key)

    def _adopt(self, attempt_key: str, since: datetime, traces: Callable[[], Sequence[_Trace]]) -> Accepted | None:
        """Choose among what the provider lists the one that can only be this attempt; in doubt none.

        Twilio's list returns neither the callback address nor anything else of ours but the text. So the time must
        fit, what belongs to other attempts is left out, no other attempt to the same address may be unresolved at
        the same time unless the text tells them apart, and only one may remain.
        """
        try:
            listed = traces()
        except NeverSentError as error:
            failed = str(error)
        except AmbiguousSendError as error:
            failed = str(error)
        except (TwilioException, ValueError, TypeError, KeyError) as error:
            failed = _failure(error)
        else:
            return self._choose(attempt_key, since, listed)
        raise LookUpError(failed)

    def _choose(self, attempt_key: str, since: datetime, listed: Sequence[_Trace]) -> Accepted | None:
        first = since.replace(microsecond=0)
        near = [one for one in listed if one.created is not None and first <= one.created <= since + LOOK_UP_WINDOW]
        others = self._evidence.of_others(attempt_key, [one.provider_id for one in near])
        left = [one for one in near if one.provider_id not in others]
        digest = self._evidence.text_digest(attempt_key)
        by_text = digest is not None and all(one.digest is not None for one in left)
        if by_text:
            left = [one for one in left if one.digest == digest]
        if len(left) != 1 or (not by_text and self._evidence.contested(attempt_key)):
            return None
        return Accepted(left[0].provider_id, left[0].told)


class TwilioSms(_Twilio):
    """Text messages, from a messaging service or a number. Safe to share between threads."""

    name = "twilio-sms"

    def __init__(self, settings: TwilioSettings, errors: ErrorTable, evidence: Evidence | None = None) -> None:
        if (settings.messaging_service_sid is None) == (settings.sms_from is None):
            raise ValueError("text messages need either messaging_service_sid or sms_from")
        super().__init__(settings, errors, evidence)

    def send(self, message: Outbound) -> SendResult:
        """Make one request. What Twilio cannot deliver within the window it must drop."""
        if not message.recipient:
            return Rejected("no_recipient", bad_contact_point=True)
        validity = validity_of(message, self._settings.validity_seconds)
        if validity is None:
            return NotProcessed("too_late", UNREACHED_WAIT)
        sender = self._sender()
        return self._create(
            lambda: self._account.messages.create(
                to=message.recipient,
                body=message.body,
                status_callback=self._callback(MESSAGE_STATUS, message.attempt_key),
                validity_period=validity,
                **sender,
            ),
            message.attempt_key,
        )

    def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:
        """Look among the messages to the recipient for the one that is this attempt. Raises LookUpError."""
        service, sender = self._settings.messaging_service_sid, self._settings.sms_from
        by_sender = {} if sender is None else {"from_": sender}

        def traces() -> list[_Trace]:
            # No filter by date: Twilio's knows whole days, and only messages that were sent.
            found = self._account.messages.list(to=recipient, limit=LOOK_UP_LIMIT, page_size=LOOK_UP_LIMIT, **by_sender)
            return [
                _Trace(
                    one.sid,
                    one.date_created,
                    digest_of(one.body or ""),
                    _told(MessageSid=one.sid, MessageStatus=one.status, ErrorCode=one.error_code),
                )
                for one in found
                if str(one.direction).startswith("outbound")
                and (service is None or one.messaging_service_sid == service)
            ]

        return self._adopt(attempt_key, since, traces)

    def _sender(self) -> dict[str, str]:
        service = self._settings.messaging_service_sid
        return {"messaging_service_sid": service} if service is not None else {"from_": self._settings.sms_from or ""}


class TwilioVoice(_Twilio):
    """Automated calls whose words come from our own address while the call runs. Safe to share between threads."""

    name = "twilio-voice"

    def __init__(self, settings: TwilioSettings, errors: ErrorTable, evidence: Evidence | None = None) -> None:
        if settings.voice_from is None:
            raise ValueError("calls need voice_from")
        super().__init__(settings, errors, evidence)

    def send(self, message: Outbound) -> SendResult:
        """Place one call. The text of the attempt does not travel with it: the dialogue decides what is said."""
        settings, key = self._settings, message.attempt_key
        if not message.recipient:
            return Rejected("no_recipient", bad_contact_point=True)
        left = settings.ring_seconds
        if message.latest is not None:
            left = min(left, int((message.latest - message.at - SAFETY).total_seconds()))
        if left < min(5, settings.ring_seconds):
            return NotProcessed("too_late", UNREACHED_WAIT)
        machines: dict[str, Any] = {}
        if settings.answering_machines != "off":
            machines["machine_detection"] = "DetectMessageEnd"
        if settings.answering_machines == "async":
            machines |= {
                "async_amd": "true",
                "async_amd_status_callback": self._callback(CALL_MACHINE, key),
                "async_amd_status_callback_method": "POST",
            }
        return self._create(
            lambda: self._account.calls.create(
                to=message.recipient,
                from_=settings.voice_from or "",
                url=address(settings.public_url, CALL_DIALOGUE, key),
                method="POST",
                status_callback=self._callback(CALL_STATUS, key),
                status_callback_event=_CALL_EVENTS,
                status_callback_method="POST",
                timeout=left,
                time_limit=settings.call_limit_seconds,
                **machines,
            ),
            key,
        )

    def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:
        """Look among the calls to the recipient for the one that is this attempt. Raises LookUpError."""

        def traces() -> list[_Trace]:
            found = self._account.calls.list(
                to=recipient,
                from_=self._settings.voice_from or "",
                limit=LOOK_UP_LIMIT,
                page_size=LOOK_UP_LIMIT,
            )
            return [
                _Trace(
                    one.sid,
                    one.date_created,
                    None,
                    _told(CallSid=one.sid, CallStatus=one.status, AnsweredBy=one.answered_by),
                )
                for one in found
                if str(one.direction) == "outbound-api"
            ]

        return self._adopt(attempt_key, since, traces)

    def ring(self, loan: Loan, agent_number: str) -> SendResult:
        """Ring an agent; when they pick up, ``BRIDGE`` says whom to call. Raises AmbiguousSendError."""
        settings, key = self._settings, loan.item_key
        carried = {"by": loan.actor, "lease": str(loan.lease_no)}
        return self._create(
            lambda: self._account.calls.create(
                to=agent_number,
                from_=settings.voice_from or "",
                url=address(settings.public_url, BRIDGE, key, **carried),
                method="POST",
                status_callback=with_retries(
                    address(settings.public_url, BRIDGE_STATUS, key, leg="agent"), settings.callback_retries
                ),
                status_callback_event=["completed"],
                status_callback_method="POST",
                timeout=settings.ring_seconds,
                time_limit=LONGEST_TALK + settings.ring_seconds,
            ),
            key,
        )

    def withdraw(self, provider_id: str) -> bool:
        """Take back a call that does not ring yet; false when it is too late. Raises LookUpError when not known."""
        return self._update(provider_id, status="canceled")

    def redirect(self, provider_id: str, attempt_key: str, stage: str) -> bool:
        """Let a running call go on at a stage of the dialogue; false when it has ended. Raises LookUpError."""
        url = address(self._settings.public_url, CALL_DIALOGUE, attempt_key, stage=stage)
        return self._update(provider_id, url=url, method="POST")

    def _update(self, provider_id: str, **change: str) -> bool:
        try:
            self._account.calls(provider_id).update(**change)
        except (NeverSentError, AmbiguousSendError) as error:
            failed = str(error)
        except TwilioException as error:
            if getattr(error, "status", 0) in {400, 404}:
                return False
            failed = _failure(error)
        except (ValueError, TypeError, KeyError) as error:
            failed = _failure(error)
        else:
            return True
        raise LookUpError(failed)


def validity_of(message: Outbound, longest: int) -> int | None:
    """Return how many seconds a message may wait to be delivered, ``longest`` at most; ``None``: none are left."""
    if message.latest is None:
        return longest
    left = int((message.latest - message.at - SAFETY).total_seconds())
    return None if left < 1 else min(left, longest)


def _told(**fields: object) -> Mapping[str, str]:
    """Return a row of a list in the fields of a callback."""
    return {name: str(value) for name, value in fields.items() if value is not None}


def _number(code: object) -> int | None:
    return code if isinstance(code, int) else None


def _failure(error: Exception) -> str:
    """Name a failure by its status; the SDK puts it in different places, and its texts stay here."""
    answer = error.args[1] if len(error.args) > 1 else None
    status = getattr(error, "status", None) or getattr(answer, "status_code", None)
    return "unreadable_answer" if status is None else f"http_{status}"
