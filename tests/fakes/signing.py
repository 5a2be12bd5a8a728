"""Signatures as the providers make them, written from their descriptions and not with their libraries."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urldefrag

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def twilio_signature(token: str, url: str, form: Sequence[tuple[str, str]]) -> str:
    """Base64 of HMAC-SHA1 over the whole address (without fragment) and the fields sorted by name."""
    text = urldefrag(url).url + "".join(name + value for name, value in sorted(set(form)))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


class EventKey:
    """The key pair of an event webhook: ECDSA on P-256, the same for the same seed."""

    def __init__(self, seed: str) -> None:
        number = int.from_bytes(hashlib.sha256(seed.encode()).digest()) % (_ORDER - 1) + 1
        self._private = ec.derive_private_key(number, ec.SECP256R1())

    @property
    def public(self) -> str:
        """The public key as SendGrid shows it: base64 of DER."""
        der = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(der).decode()

    def sign(self, timestamp: str, body: bytes) -> str:
        """Base64 of the signature over timestamp and raw body."""
        return base64.b64encode(self._private.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
