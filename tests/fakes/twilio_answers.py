"""What Twilio's two interfaces share: forms, numbers that are refused on purpose, errors, segments."""

import json
import re
from urllib.parse import parse_qs, parse_qsl, urlsplit

from tests.fakes.state import Answer

Form = list[tuple[str, str]]

NUMBER = re.compile(r"^\+[1-9]\d{6,14}$")
ADDRESS = re.compile(r"^https?://[^\s/]+")
_GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€"
)
MAGIC_TO = {"+15005550001": 21211, "+15005550002": 21612, "+15005550003": 21408, "+15005550004": 21610}
MAGIC_TO |= {"+15005550009": 21614}
MAGIC_FROM = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}
MAGIC_CALL = {"+15005550001": 21217, "+15005550002": 21214, "+15005550003": 21215, "+15005550004": 21216}
STOP = {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"}
START = {"START", "YES", "UNSTOP"}


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake
    """A request that Twilio refuses with a code of its own."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.answer = refusal(status, code, message)


def refusal(status: int, code: int, message: str) -> Answer:
    """Return an error as the 2010 API words it."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    return as_json(status, {"code": code, "message": message, "more_info": more, "status": status})


def as_json(status: int, content: object) -> Answer:
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json; charset=utf-8"})


def fields_of(body: bytes) -> Form:
    """Read a form; empty values count."""
    return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)


def attempt_of(form: Form) -> str:
    """Return the caller's own key, as it stands in the callback address."""
    for name, value in form:
        if name in {"StatusCallback", "Url"}:
            found = parse_qs(urlsplit(value).query).get("attempt")
            if found:
                return found[0]
    return ""


def segments_of(text: str) -> int:
    """Return how many segments a text takes: 160 or 153 of GSM-7, 70 or 67 of UCS-2."""
    if set(text) <= _GSM:
        length = sum(2 if letter in "^{}\\[~]|€" else 1 for letter in text)
        return 1 if length <= 160 else -(-length // 153)
    length = len(text.encode("utf-16-be")) // 2
    return 1 if length <= 70 else -(-length // 67)
