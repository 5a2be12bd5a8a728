"""The addresses at which providers reach us: built here, answered by the web part.

An attempt's key travels in the query, so that a callback finds its attempt even when the answer that carried the
provider's own id was lost. The one-click address of an e-mail carries a seal instead of a login: whoever has the
e-mail may unsubscribe its recipient, and nobody else.
"""

import hmac
from hashlib import sha256
from typing import Annotated
from urllib.parse import quote, urlencode, urlsplit

from pydantic import AfterValidator, SecretStr

MESSAGE_STATUS = "/twilio/message-status"
CALL_STATUS = "/twilio/call-status"
CALL_MACHINE = "/twilio/call-machine"
CALL_DIALOGUE = "/twilio/voice"
BRIDGE = "/twilio/bridge"
BRIDGE_STATUS = "/twilio/bridge-status"
INBOUND_MESSAGE = "/twilio/message"
EMAIL_EVENTS = "/sendgrid/events"
UNSUBSCRIBE = "/unsubscribe"

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _web_address(value: str) -> str:
    """Accept https anywhere and http on loopback, without query or fragment; drop a trailing slash."""
    parts = urlsplit(value)
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not (parts.scheme == "https" or plain) or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an https address (http only on loopback) without query")
    return value.rstrip("/")


WebAddress = Annotated[str, AfterValidator(_web_address)]
"""A base address: scheme, host, port and perhaps a path."""


def address(public_url: str, path: str, attempt_key: str, **more: str) -> str:
    """Return the address for one attempt, its key encoded so that no character of it means anything in a URL."""
    query = urlencode({"attempt": attempt_key, **more}, quote_via=quote, safe="")
    return f"{public_url}{path}?{query}"


def with_retries(url: str, retries: int) -> str:
    """Ask Twilio to deliver a callback again when we cannot be reached or answer 5xx. It does not sign this part."""
    return f"{url}#rc={retries}&rp=5xx,ct,rt" if retries else url


def unsubscribe_seal(secret: SecretStr, attempt_key: str) -> str:
    """Return the seal of a one-click address: 128 bits of HMAC-SHA256, in hex."""
    message = f"unsubscribe/{attempt_key}".encode()
    return hmac.new(secret.get_secret_value().encode(), message, sha256).hexdigest()[:32]


def is_unsubscribe_seal(secret: SecretStr, attempt_key: str, seal: str) -> bool:
    """Check a seal in constant time."""
    return hmac.compare_digest(unsubscribe_seal(secret, attempt_key).encode(), seal.encode())
