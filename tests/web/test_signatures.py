"""Only who signs is heard: forged, altered, replayed, unsigned, of another key or address, all are refused unread."""

import json
import time
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from tests.fakes.signing import EventKey, twilio_signature
from tests.web.house import KEY, PUBLIC, SECRET, TOKEN, Answered, House, message_form
from web.signatures import WINDOW, SendGridSignature, sign_payment

TWILIO_PATHS = (
    "/twilio/message-status",
    "/twilio/call-status",
    "/twilio/call-machine",
    "/twilio/message",
    "/twilio/voice",
)
FORM = message_form("SM1", "delivered")
PAYMENT = {"payment_id": "P1", "account": "L1", "amount": 100, "currency": "USD"}


def _raw(house: House, path: str, form: dict[str, str], signature: str | None) -> Answered:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if signature is not None:
        headers["X-Twilio-Signature"] = signature
    return house.post(path, urlencode(form).encode(), headers)


@pytest.mark.parametrize("path", TWILIO_PATHS)
def test_twilio_unless_signed_over_these_bytes_and_this_address(house: House, path: str) -> None:
    target = f"{path}?attempt=A%2F1%2F1"
    right = twilio_signature(TOKEN, PUBLIC + target, list(FORM.items()))
    wrong: list[Answered] = [
        _raw(house, target, FORM, None),
        _raw(house, target, FORM, ""),
        _raw(house, target, FORM, "rubbish"),
        _raw(house, target, FORM, twilio_signature("another", PUBLIC + target, list(FORM.items()))),
        _raw(house, target, FORM, twilio_signature(TOKEN, house.url + target, list(FORM.items()))),
        _raw(house, target, FORM, twilio_signature(TOKEN, "http" + PUBLIC[5:] + target, list(FORM.items()))),
        _raw(house, target, {**FORM, "MessageStatus": "failed"}, right),
        _raw(house, target, {**FORM, "New": "field"}, right),
        _raw(house, f"{path}?attempt=A%2F1%2F2", FORM, right),
        _raw(house, path, FORM, right),
        _raw(house, f"{target}&more=1", FORM, right),
    ]
    assert [(one.status, one.body) for one in wrong] == [(403, b"")] * len(wrong)
    assert house.one("SELECT count(*) FROM inbox") == 0
    assert house.counters.counted("refused", door=path) == len(wrong)
    assert _raw(house, target, FORM, right).status in {200, 204}


def _batch(**changes: object) -> list[dict[str, object]]:
    return [{"event": "delivered", "sg_message_id": "m1.x", "timestamp": 1, "attempt": "A/1/1", **changes}]


@pytest.mark.parametrize(
    "knock",
    [
        lambda house: house.sendgrid(_batch(), key=EventKey("another")),
        lambda house: house.sendgrid(_batch(), timestamp=str(int(time.time()) - WINDOW - 5)),
        lambda house: house.sendgrid(_batch(), timestamp=str(int(time.time()) + WINDOW + 5)),
        lambda house: house.sendgrid(_batch(), timestamp="soon"),
        lambda house: house.sendgrid(_batch(), timestamp="²"),
        lambda house: house.post("/sendgrid/events", b"[]"),
        lambda house: house.post("/sendgrid/events", b"[]", _headers("bm8=", str(int(time.time())))),
        lambda house: house.post("/sendgrid/events", b"[]", _headers("not base64!", str(int(time.time())))),
        lambda house: house.post("/sendgrid/events", b"[]\r\n", _signed(b"[]")),
        lambda house: house.post("/sendgrid/events", b"[]", {**_signed(b"[]"), **_stamp(str(int(time.time()) - 1))}),
    ],
)
def test_sendgrid_unless_signed_over_these_bytes_just_now(house: House, knock: Callable[[House], Answered]) -> None:
    answer = knock(house)
    assert (answer.status, answer.body) == (403, b"")
    assert house.one("SELECT count(*) FROM inbox") == 0


def _headers(signature: str, stamp: str) -> dict[str, str]:
    return {"X-Twilio-Email-Event-Webhook-Signature": signature, **_stamp(stamp)}


def _stamp(stamp: str) -> dict[str, str]:
    return {"X-Twilio-Email-Event-Webhook-Timestamp": stamp}


def _signed(body: bytes) -> dict[str, str]:
    stamp = str(int(time.time()))
    return _headers(KEY.sign(stamp, body), stamp)


@pytest.mark.parametrize(
    "knock",
    [
        lambda house: house.pay(PAYMENT, secret=b"another-secret-of-somebody"),
        lambda house: house.pay(PAYMENT, timestamp=str(int(time.time()) - WINDOW - 5)),
        lambda house: house.pay(PAYMENT, timestamp=str(int(time.time()) + WINDOW + 5)),
        lambda house: house.post("/payments", json.dumps(PAYMENT).encode()),
        lambda house: house.post("/payments", b"{}", _payment_headers(b"[]")),
        lambda house: house.post("/payments", b"{}", {**_payment_headers(b"{}"), "X-Dunlin-Timestamp": "1"}),
        lambda house: house.post("/payments", b"{}", {**_payment_headers(b"{}"), "X-Dunlin-Signature": "v1="}),
        lambda house: house.post("/payments/returns", b"{}"),
    ],
)
def test_payments_unless_signed_with_the_secret_just_now(house: House, knock: Callable[[House], Answered]) -> None:
    answer = knock(house)
    assert (answer.status, answer.body) == (403, b"")
    assert house.one("SELECT count(*) FROM inbox") + house.one("SELECT count(*) FROM suspense") == 0


def _payment_headers(body: bytes) -> dict[str, str]:
    stamp = str(int(time.time()))
    return {"X-Dunlin-Timestamp": stamp, "X-Dunlin-Signature": sign_payment(SECRET, stamp, body)}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unsubscribing_unless_the_seal_fits_the_e_mail(house: House, attempt: str, method: str) -> None:
    for query in ("", f"attempt={attempt}", f"attempt={attempt}&seal=0123", "seal=0123"):
        assert house.post(f"/unsubscribe?{query}", b"", method=method).status == 403
    assert house.one("SELECT count(*) FROM inbox") == 0


def test_bodies_have_limits_whatever_is_claimed(house: House) -> None:
    big = {"Content-Length": str(10**9), "X-Twilio-Signature": "x"}
    for path in (*TWILIO_PATHS, "/payments", "/sendgrid/events"):
        house._local.connection = None
        assert house.post(path, b"", big).status == 413
    house._local.connection = None
    assert house.post("/payments", b"x" * 70_000).status == 413


def test_counters_are_for_this_machine_only(house: House) -> None:
    house.post("/payments", b"{}")
    text = house.post("/metrics", b"", method="GET").body.decode()
    assert 'dunlin_refused_total{door="/payments"} 1' in text
    assert house.post("/metrics", b"", {"X-Forwarded-For": "1.2.3.4"}, method="GET").status == 404


def test_a_batch_is_theirs_by_the_key_they_show(house: House) -> None:
    stamp, body = str(int(time.time())), b'[{"a": "\xc3\xbc"}]\r\n'
    assert SendGridSignature(KEY.public).is_theirs(body, KEY.sign(stamp, body), stamp)
    assert house.sendgrid(None, raw=body).status == 204
