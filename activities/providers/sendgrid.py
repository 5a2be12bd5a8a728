"""E-mail through SendGrid's official SDK, Mail Send v3.

An accepted request is only a place in SendGrid's queue; what became of it comes as signed events that carry the
attempt's key. SendGrid has no idempotency key and no list of what was accepted, so an answer that was lost is known
again by its events alone.
"""

from datetime import datetime, timedelta
from html import escape
from typing import Annotated

import python_http_client  # type: ignore[import-untyped] # the SDK has no types
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import (
    Asm,
    Category,
    ClickTracking,
    Content,
    CustomArg,
    From,
    Header,
    Mail,
    MailSettings,
    OpenTracking,
    Personalization,
    ReplyTo,
    SandBoxMode,
    SubscriptionTracking,
    To,
    TrackingSettings,
)
from sendgrid.helpers.mail.exceptions import SendGridException

from activities.providers.addresses import UNSUBSCRIBE, WebAddress, address, unsubscribe_seal
from activities.providers.base import (
    Accepted,
    AmbiguousSendError,
    NotProcessed,
    Outbound,
    Rejected,
    RejectionKind,
    SendResult,
)
from activities.providers.egress import NeverSentError, SendGridTransport, server_wait
from activities.providers.errors import ErrorTable, spread

UNREACHED_WAIT = timedelta(minutes=1)
ATTEMPT_ARG = "attempt"
"""The name under which an attempt's key comes back in every event."""
_GLOBAL = "https://api.sendgrid.com"

Mailbox = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)]


class SendGridSettings(BaseModel):
    """What an account at SendGrid needs.

    ``base_url`` moves every request to another host (``https://api.eu.sendgrid.com`` for the EU). ``public_url`` is
    where people reach our unsubscribe page; ``unsubscribe_secret`` seals its addresses. ``webhook_key`` is the public
    key by which events are verified, as SendGrid shows it (base64 of DER).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: SecretStr
    from_email: Mailbox
    from_name: str
    public_url: WebAddress
    unsubscribe_secret: SecretStr
    reply_to: Mailbox | None = None
    unsubscribe_email: Mailbox | None = None
    base_url: WebAddress | None = None
    webhook_key: str | None = None
    asm_group_id: Annotated[int, Field(ge=1)] | None = None
    sandbox: bool = False
    """SendGrid checks the request and delivers nothing."""
    timeout_seconds: Annotated[float, Field(ge=0.2, le=60)] = 20.0


class SendGridEmail:
    """E-mails with text and HTML of the same words. Safe to share between threads."""

    name = "sendgrid"

    def __init__(self, settings: SendGridSettings, errors: ErrorTable) -> None:
        self._settings = settings
        self._errors = errors
        self.timeout_seconds = settings.timeout_seconds
        host = settings.base_url or _GLOBAL
        self._api = SendGridAPIClient(settings.api_key.get_secret_value(), host=host)
        self._api.client = SendGridTransport(
            host=host,
            request_headers=dict(self._api._default_headers),  # noqa: SLF001 - the SDK builds its client the same way
            version=3,
            timeout=settings.timeout_seconds,
        )

    def send(self, message: Outbound) -> SendResult:
        """Make one request."""
        key = message.attempt_key
        if not message.recipient:
            return Rejected("no_recipient", bad_contact_point=True)
        try:
            body = self.compose(message).get()
        except (ValueError, TypeError, SendGridException):
            return Rejected("unbuildable", kind=RejectionKind.CONTENT)
        try:
            answer = self._api.client.mail.send.post(request_body=body)
            status, provider_id = int(answer.status_code), answer.headers.get("X-Message-Id")
        except NeverSentError as error:
            return NotProcessed(str(error), spread(UNREACHED_WAIT, key))
        except python_http_client.exceptions.HTTPError as error:
            refused = error
        except OSError:
            raise AmbiguousSendError("dropped") from None
        else:
            if status not in {200, 202}:
                raise AmbiguousSendError("unreadable_answer")
            return Accepted(str(provider_id) if provider_id else f"attempt:{key}")
        wait = server_wait(refused.headers or {})
        return self._errors.sendgrid_answer(int(refused.status_code), _fields(refused), wait, key)

    def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:  # noqa: ARG002 - the protocol
        """SendGrid lists nothing of what it accepted: only events tell."""
        return None

    def compose(self, message: Outbound) -> Mail:
        """Build the request: ids and codes only outside of the recipient, the subject and the text."""
        settings = self._settings
        person = Personalization()
        person.add_to(To(message.recipient, _line(message.recipient_name) or None))
        person.add_custom_arg(CustomArg(ATTEMPT_ARG, message.attempt_key))
        mail = Mail()
        mail.from_email = From(settings.from_email, settings.from_name)
        if settings.reply_to is not None:
            mail.reply_to = ReplyTo(settings.reply_to)
        mail.subject = _line(message.subject)
        mail.add_personalization(person)
        mail.add_content(Content("text/plain", message.body))
        mail.add_content(Content("text/html", message.html or html_of(message.body, message.language)))
        for name, value in self._unsubscribe_headers(message.attempt_key).items():
            mail.add_header(Header(name, value))
        mail.add_category(Category("dunlin"))
        mail.add_category(Category(f"step-{message.step}"[:255]))
        if settings.asm_group_id is not None:
            mail.asm = Asm(settings.asm_group_id)
        tracking = TrackingSettings()
        # Rewritten links and hidden pictures would send what we know about a debtor through a third party.
        tracking.click_tracking = ClickTracking(enable=False, enable_text=False)
        tracking.open_tracking = OpenTracking(enable=False)
        tracking.subscription_tracking = SubscriptionTracking(enable=False)
        mail.tracking_settings = tracking
        if settings.sandbox:
            mail.mail_settings = MailSettings(sandbox_mode=SandBoxMode(enable=True))
        return mail

    def _unsubscribe_headers(self, attempt_key: str) -> dict[str, str]:
        """Return the headers of RFC 2369 and RFC 8058 (one click)."""
        settings = self._settings
        seal = unsubscribe_seal(settings.unsubscribe_secret, attempt_key)
        ways = [f"<{address(settings.public_url, UNSUBSCRIBE, attempt_key, seal=seal)}>"]
        if settings.unsubscribe_email is not None:
            ways.append(f"<mailto:{settings.unsubscribe_email}?subject=unsubscribe>")
        return {"List-Unsubscribe": ", ".join(ways), "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def html_of(text: str, language: str) -> str:
    """Return plain text as a minimal HTML document: paragraphs at empty lines, nothing interpreted."""
    blocks = [block.strip("\n") for block in text.replace("\r\n", "\n").split("\n\n")]
    inner = "\n".join(f"<p>{escape(block).replace(chr(10), '<br>')}</p>" for block in blocks if block.strip())
    head = f'<!doctype html>\n<html lang="{escape(language)}">\n<meta charset="utf-8">\n'
    return f"{head}<body>\n{inner}\n</body>\n</html>\n"


def _line(text: str) -> str:
    """Return a text on one line: a subject or name must not bring headers of its own."""
    return " ".join(text.split())


def _fields(error: python_http_client.exceptions.HTTPError) -> list[str]:
    """Return the names of the fields a refusal complains about. Its sentences may quote an address and stay here."""
    try:
        errors = error.to_dict.get("errors", [])
        return [str(one["field"]) for one in errors if isinstance(one, dict) and one.get("field")]
    except (ValueError, AttributeError, TypeError):
        return []
