"""A fake on loopback for this folder, forgetful for each test, and the real providers pointed at it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from activities.providers.base import Outbound
from activities.providers.errors import ErrorTable
from activities.providers.sendgrid import SendGridEmail, SendGridSettings
from activities.providers.twilio import TwilioSettings, TwilioSms, TwilioVoice
from domain.codes import Channel
from tests.fakes.client import FakeClient
from tests.fakes.server import FakeServer
from tests.fakes.state import Config

ERRORS = ErrorTable.load(Path(__file__).resolve().parents[2] / "policies" / "channels" / "errors.yaml")
PERSON = "+13125550100"
MAILBOX = "pat.doe@example.org"
KEY = "A000000001/1/7 ä&="
AT = datetime(2026, 3, 3, 15, tzinfo=UTC)
ACCOUNT = Config()
SERVICE = "MG" + "0" * 31 + "2"


def message(channel: Channel, **change: Any) -> Outbound:  # noqa: ANN401 - fields of Outbound
    values: dict[str, Any] = {
        "attempt_key": KEY,
        "channel": channel,
        "party_key": "P1",
        "recipient": MAILBOX if channel is Channel.EMAIL else PERSON,
        "recipient_name": "Pat Doe",
        "language": "en",
        "subject": "Your account L1",
        "body": "Dear customer,\n\n$100.00 on account L1 is past due <b>.\nThank you.",
        "accounts": (),
        "step": "one",
        "try_no": 1,
        "zone": "America/Chicago",
        "at": AT,
    }
    return Outbound(**{**values, **change})


@pytest.fixture(scope="package")
def fake_server() -> Iterator[FakeServer]:
    """Run one fake for this folder's tests and no longer: its threads must not disturb what others do to clocks."""
    with FakeServer() as server:
        yield server


@pytest.fixture
def fake(fake_server: FakeServer) -> FakeClient:
    """Give a fake without memory in which nothing happens by itself."""
    fake_server.client.reset()
    fake_server.client.configure(auto=False)
    return fake_server.client


def twilio_settings(base_url: str, public_url: str = "http://127.0.0.1:9", **change: Any) -> TwilioSettings:  # noqa: ANN401
    values: dict[str, Any] = {
        "account_sid": ACCOUNT.account_sid,
        "auth_token": SecretStr(ACCOUNT.auth_token),
        "public_url": public_url,
        "base_url": base_url,
        "sms_from": "+13125550001",
        "voice_from": "+13125550002",
        "timeout_seconds": 10,
    }
    return TwilioSettings(**{**values, **change})


def sendgrid_settings(base_url: str, public_url: str = "http://127.0.0.1:9", **change: Any) -> SendGridSettings:  # noqa: ANN401
    values: dict[str, Any] = {
        "api_key": SecretStr(ACCOUNT.api_key),
        "from_email": "accounts@lender.example",
        "from_name": "Lender",
        "public_url": public_url,
        "unsubscribe_secret": SecretStr("seal"),
        "base_url": base_url,
        "timeout_seconds": 10,
    }
    return SendGridSettings(**{**values, **change})


Make = Callable[..., TwilioSms | TwilioVoice | SendGridEmail]

MAKERS: dict[Channel, Make] = {
    Channel.SMS: lambda url, **change: TwilioSms(twilio_settings(url, **change), ERRORS),
    Channel.VOICE: lambda url, **change: TwilioVoice(twilio_settings(url, **change), ERRORS),
    Channel.EMAIL: lambda url, **change: SendGridEmail(sendgrid_settings(url, **change), ERRORS),
}
CREATE = {Channel.SMS: "messages.create", Channel.VOICE: "calls.create", Channel.EMAIL: "mail.send"}
CHANNELS = tuple(MAKERS)


@dataclass
class Received:
    """One callback as it reached an application."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Application:
    """Something that providers call back: keeps what came and answers what it is told to."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """Statuses of the next answers; 200 when none is left."""
    twiml: Callable[[str, bytes], str] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@pytest.fixture
def application() -> Iterator[Application]:
    found = Application()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            with found.lock:
                found.received.append(Received(self.path, dict(self.headers), body))
                status = found.answers.pop(0) if found.answers else 200
            answer = found.twiml(self.path, body).encode() if found.twiml is not None else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    server.server_close()
    thread.join(5)
