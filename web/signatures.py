"""Who is speaking: the signatures of Twilio, SendGrid and payment systems, over the bytes as they came.

Whatever is wrong with a signature, the answer is the same: it is not theirs. Nothing here raises on input.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import SecretStr
from twilio.request_validator import RequestValidator

WINDOW = 300
"""Seconds that a timestamp may be away from now, either way."""
MOST_FIELDS = 300
PAYMENT_VERSION = "v1"


class KeyUnusableError(ValueError):
    """A verification key cannot be read."""


class Form:
    """The fields of a form, in order, repeated ones included."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)
        self.fields = dict(pairs)

    def __iter__(self) -> Iterator[str]:
        """Yield the names, as the SDK's validator wants them."""
        return iter(self.fields)

    def __bool__(self) -> bool:
        """Whether there is any field."""
        return bool(self.pairs)

    def getall(self, name: str) -> list[str]:
        """Return all values of a name."""
        return [value for key, value in self.pairs if key == name]


class TwilioSignature:
    """Checks what Twilio sends: HMAC over the public address with its query, and the fields."""

    def __init__(self, auth_token: SecretStr, public_url: str) -> None:
        self._validator = RequestValidator(auth_token.get_secret_value())
        self._public_url = public_url

    def form_of(self, path: str, query: str, body: bytes, signature: str) -> Form | None:
        """Return the fields of a request that Twilio signed; ``None`` for every other."""
        try:
            form = Form(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
            address = f"{self._public_url}{path}{f'?{query}' if query else ''}"
            theirs = bool(signature) and self._validator.validate(address, form, signature)
        except ValueError:  # not UTF-8, too many fields, an address that cannot be one
            return None
        return form if theirs else None


class SendGridSignature:
    """Checks batches of SendGrid: ECDSA over timestamp and body, and not too long ago."""

    def __init__(self, public_key: str, clock: Callable[[], float] = time.time) -> None:
        """Read the key as SendGrid shows it. Raises KeyUnusableError."""
        try:
            key = load_der_public_key(base64.b64decode(public_key, validate=True))
        except (ValueError, binascii.Error) as error:
            raise KeyUnusableError(str(error)) from None
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise KeyUnusableError("not an elliptic curve key")
        self._key = key
        self._clock = clock

    def is_theirs(self, body: bytes, signature: str, timestamp: str) -> bool:
        """Say whether SendGrid signed this body within the window."""
        if not _is_recent(timestamp, self._clock()):
            return False
        try:
            given = base64.b64decode(signature, validate=True)
            self._key.verify(given, timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        except (ValueError, binascii.Error, InvalidSignature):
            return False
        return True


class PaymentSignature:
    """Checks what payment systems send: ``v1=`` and the HMAC-SHA256 in hex over timestamp, a dot, and the body."""

    def __init__(self, secrets: Sequence[SecretStr], clock: Callable[[], float] = time.time) -> None:
        """Take the secrets in use: two of them while one is being replaced."""
        self._secrets = tuple(secret.get_secret_value().encode() for secret in secrets)
        self._clock = clock

    def is_theirs(self, body: bytes, signature: str, timestamp: str) -> bool:
        """Say whether one of the secrets signed this body within the window."""
        if not _is_recent(timestamp, self._clock()):
            return False
        given = signature.encode(errors="replace")
        fits = [hmac.compare_digest(sign_payment(secret, timestamp, body).encode(), given) for secret in self._secrets]
        return any(fits)


def sign_payment(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the signature a payment system puts into ``X-Dunlin-Signature``."""
    digest = hmac.new(secret, timestamp.encode() + b"." + body, sha256).hexdigest()
    return f"{PAYMENT_VERSION}={digest}"


def _is_recent(timestamp: str, now: float) -> bool:
    return timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12 and abs(int(timestamp) - now) <= WINDOW
