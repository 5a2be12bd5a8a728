"""The doors over HTTP on a real database, with what works behind them in the test's hands."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import uvicorn
from pydantic import SecretStr
from sqlalchemy import Engine

from activities.dialling import Dialling
from activities.judging import Judge
from activities.providers.call_script import Scripts
from activities.providers.errors import ErrorTable
from activities.providers.identity import Identities
from activities.providers.twiml import Dialogue
from activities.replying import Replier
from activities.wording import Wording
from db.settings import read_clock
from domain.codes import Channel
from domain.gate import LedgerGate
from runtime.channels import ERRORS, IDENTITY
from runtime.work import TEMPLATES
from tests.fakes.signing import EventKey, twilio_signature
from web.app import create_app
from web.applying import Applier
from web.aside import Aside, at_once
from web.bridges import Bridges
from web.calls import CallEvents, Calls
from web.counters import Counters
from web.intake import Intake
from web.parts import Doors
from web.pay_links import PayLinks
from web.receipts import Receipts, Redirect
from web.signatures import PaymentSignature, SendGridSignature, TwilioSignature, sign_payment
from web.texts import Texts

PUBLIC = "https://dunlin.example/in"
TOKEN = "the-auth-token"  # noqa: S105 - of tests only
SECRET = b"sixteen-or-more-characters"
KEY = EventKey("web")
ERROR_TABLE = ErrorTable.load(ERRORS)


@dataclass(frozen=True)
class Answered:
    """What a door answered."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON
        return json.loads(self.body)


@dataclass
class House:
    """The doors, who applies, and hands that sign."""

    engine: Engine
    url: str
    applier: Applier
    counters: Counters
    public: str = PUBLIC
    told: list[int] = field(default_factory=list, repr=False)
    _local: threading.local = field(default_factory=threading.local)

    # --- knocking -----------------------------------------------------------------------------------------------

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None, method: str = "POST") -> Answered:
        """Make one request on this thread's own connection."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
            self._local.connection = connection
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answered(answer.status, answer.read())
        except (OSError, http.client.HTTPException):
            connection.close()
            raise

    def twilio(
        self,
        path: str,
        form: dict[str, str],
        *,
        attempt: str | None = None,
        token: str = TOKEN,
        public: str | None = None,
        more: str = "",
    ) -> Answered:
        """Post a form as Twilio does."""
        target = path if attempt is None else f"{path}?attempt={quote(attempt, safe='')}{more}"
        signature = twilio_signature(token, (public or self.public) + target, list(form.items()))
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        return self.post(target, urlencode(form).encode(), headers)

    def sendgrid(
        self, content: object, *, key: EventKey = KEY, timestamp: str | None = None, raw: bytes | None = None
    ) -> Answered:
        """Post a batch as SendGrid does."""
        body = json.dumps(content).encode() if raw is None else raw
        stamp = timestamp or str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "X-Twilio-Email-Event-Webhook-Signature": key.sign(stamp, body),
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
        }
        return self.post("/sendgrid/events", body, {name: _latin(value) for name, value in headers.items()})

    def pay(
        self,
        content: object,
        *,
        path: str = "/payments",
        secret: bytes = SECRET,
        timestamp: str | None = None,
        raw: bytes | None = None,
    ) -> Answered:
        """Post a payment as a payment system does."""
        body = json.dumps(content).encode() if raw is None else raw
        stamp = timestamp or str(int(time.time()))
        headers = {"X-Dunlin-Timestamp": stamp, "X-Dunlin-Signature": sign_payment(secret, stamp, body)}
        return self.post(path, body, headers)

    # --- looking ------------------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Apply all that came."""
        while self.applier.apply_some():
            pass

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read rows."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query, values or None)]

    def one(self, query: str, *values: object) -> Any:  # noqa: ANN401 - any cell
        """Read one cell."""
        return self.rows(query, *values)[0][0]

    def run(self, statement: str, *values: object) -> None:
        """Change something."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement, values or None)


def _latin(text: str) -> str:
    return text.encode().decode("latin-1")


@contextmanager
def open_house(
    engine: Engine,
    *,
    public: str | None = PUBLIC,
    provider: object | None = None,
    redirect: Redirect | None = None,
    twilio_token: str = TOKEN,
    webhook_key: str = KEY.public,
    identities: Identities | None = None,
    aside: Aside = at_once,
    dialling: Dialling | None = None,
) -> Iterator[House]:
    """Run the doors on a free port. ``public`` ``None``: the local address is the public one."""
    plug = socket.create_server(("127.0.0.1", 0), backlog=512)
    url = f"http://127.0.0.1:{plug.getsockname()[1]}"
    counters, identities = Counters(), identities or Identities.load(IDENTITY)
    links = PayLinks([SecretStr(SECRET.decode())])
    replier = None
    if provider is not None:
        providers: Any = {Channel.SMS: provider}
        replier = Replier(engine, providers, Judge(LedgerGate(), None), Wording(TEMPLATES), identities)
    told: list[int] = []
    applier = Applier(
        engine,
        Receipts(engine, ERROR_TABLE, redirect, aside),
        Texts(engine, replier, aside),
        counters,
        lambda: told.append(1),
        CallEvents(engine, replier, identities, aside, links),
        links,
    )
    address = public or url
    doors = Doors(
        engine=engine,
        intake=Intake(engine, lambda: None),
        applier=applier,
        counters=counters,
        clock=_reader(engine),
        twilio=TwilioSignature(SecretStr(twilio_token), address),
        sendgrid=SendGridSignature(webhook_key),
        payments=PaymentSignature([SecretStr(SECRET.decode())]),
        unsubscribe_secret=SecretStr("seal"),
        bridges=None if dialling is None else Bridges(engine, dialling, identities, "+13125550002", address),
        calls=Calls(engine, Dialogue(Scripts(TEMPLATES), address), identities, "+13125550002", pay_links=True),
    )
    options = uvicorn.Config(
        create_app(doors, ERROR_TABLE),
        http="h11",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=600,  # on a busy machine a test may be slow between two knocks
    )
    server = uvicorn.Server(options)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [plug]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield House(engine, url, applier, counters, address, told)
    server.should_exit = True
    thread.join(15)
    plug.close()


def _reader(engine: Engine) -> Callable[[], Any]:
    def read() -> Any:  # noqa: ANN401 - a clock
        with engine.connect() as connection:
            return read_clock(connection)

    return read


def message_form(sid: str, status: str, **more: str) -> dict[str, str]:
    """Return the fields of a status callback."""
    return {
        "MessageSid": sid,
        "SmsSid": sid,
        "MessageStatus": status,
        "SmsStatus": status,
        "AccountSid": "AC1",
        "From": "+13125550001",
        "To": "+13125550100",
        "ApiVersion": "2010-04-01",
        **more,
    }


def text_form(sid: str, body: str, sender: str = "+13125550100", **more: str) -> dict[str, str]:
    """Return the fields of a text from a person."""
    return {"MessageSid": sid, "SmsSid": sid, "From": sender, "To": "+13125550001", "Body": body, **more}
