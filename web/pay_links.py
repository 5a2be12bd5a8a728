"""The reference in a pay link: a number of ours and a seal, and nothing about anybody.

Whoever has the link may pay that account and learns nothing from the reference; nobody can guess another one. A payment
system hands it back as the ``account`` of a payment (docs/channels.md). A link is as old as the secret: one that was
sealed with the secret before is still good while that one is.
"""

import hmac
import json
from collections.abc import Sequence
from hashlib import sha256

from pydantic import SecretStr
from sqlalchemy import Connection

PREFIX = "pl-"
SEAL_DIGITS = 20
"""Hexadecimal digits: 80 bits."""


class PayLinks:
    """Makes and reads references. The first of ``secrets`` seals new ones."""

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        self._secrets = tuple(secret.get_secret_value().encode() for secret in secrets)

    def link(self, pay_url: str, number: int) -> str:
        """Return the address for a wish, named by the number of its inbox row."""
        return f"{pay_url}?ref={self.reference(number)}"

    def reference(self, number: int) -> str:
        """Return the reference of a wish."""
        return f"{PREFIX}{number:x}-{_seal(self._secrets[0], number)}"

    def account_of(self, connection: Connection, reference: str) -> str | None:
        """Return the account that a reference leads to; ``None`` for everything that is none of ours."""
        number = self._number_of(reference)
        if number is None:
            return None
        body = connection.exec_driver_sql(
            "SELECT body FROM inbox WHERE id = %s AND name = 'call_event'", (number,)
        ).scalar_one_or_none()
        if body is None:
            return None
        return connection.exec_driver_sql(
            "SELECT k.account_key FROM attempts t JOIN cases k ON k.key = t.case_key WHERE t.key = %s",
            (json.loads(body)["attempt"],),
        ).scalar_one_or_none()

    def _number_of(self, reference: str) -> int | None:
        head, _, seal = reference.removeprefix(PREFIX).partition("-")
        if not reference.startswith(PREFIX) or not head or len(head) > 15 or not set(head) <= set("0123456789abcdef"):
            return None
        number = int(head, 16)
        good = [hmac.compare_digest(_seal(one, number).encode(), seal.encode()) for one in self._secrets]
        return number if any(good) else None


def _seal(secret: bytes, number: int) -> str:
    return hmac.new(secret, f"pay-link/{number}".encode(), sha256).hexdigest()[:SEAL_DIGITS]
