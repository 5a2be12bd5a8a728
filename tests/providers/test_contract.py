"""Every request of the SDKs and every answer of the fake, against the providers' own OpenAPI documents."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from werkzeug.datastructures import Headers, ImmutableMultiDict

from activities.providers.base import Accepted
from activities.providers.twilio import TwilioVoice
from domain.codes import Channel
from tests.fakes.client import Exchange, FakeClient
from tests.providers.conftest import CHANNELS, KEY, MAKERS, PERSON, SERVICE, message

openapi_core = pytest.importorskip("openapi_core", reason="openapi-core is not installed: see requirements.lock")

HOSTS = {"twilio": "https://api.twilio.com", "sendgrid": "https://api.sendgrid.com"}


class _Request:
    """One request of the journal, as the validator wants to see it."""

    def __init__(self, one: Exchange, host: str) -> None:
        self.host_url = host
        self.path = one.path
        self.method = one.method.lower()
        self.content_type = one.headers.get("content-type", "")
        self.body = one.body
        query = ImmutableMultiDict(parse_qsl(one.query, keep_blank_values=True))
        self.parameters = openapi_core.datatypes.RequestParameters(query, Headers(list(one.headers.items())), {}, {})

    @property
    def full_url_pattern(self) -> str:
        return self.host_url + self.path


class _Response:
    def __init__(self, one: Exchange) -> None:
        self.status_code = one.status
        self.data = one.answer_body
        self.headers = Headers(list(one.answer_headers.items()))
        self.content_type = one.answer_headers.get("Content-Type", "").partition(";")[0]


@pytest.fixture(scope="session")
def contracts(shared: Path) -> dict[str, Any]:
    """Read the official documents; the test is skipped where they are absent."""
    found = {}
    # The second document of Twilio is the first with stricter rules for sender, text and numbers.
    for name, file in (
        ("twilio", "twilio_messages_calls.trim.json"),
        ("twilio strict", "twilio_messages_calls.patched.json"),
        ("sendgrid", "tsg_mail_v3.json"),
    ):
        path = shared / "specs" / file
        if not path.is_file():
            pytest.skip(f"the provider's document {file} is not on this machine")
        found[name] = openapi_core.OpenAPI.from_dict(json.loads(path.read_text(encoding="utf-8")))
    return found


def _check(contracts: dict[str, Any], one: Exchange) -> None:
    whose = "sendgrid" if one.path.startswith("/v3/") else "twilio"
    request = _Request(one, HOSTS[whose])
    for name, document in contracts.items():
        if name.startswith(whose):
            document.validate_request(request)
            if 200 <= one.status < 300:
                document.validate_response(request, _Response(one))


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("how", ["plain", "rich"])
def test_requests_and_answers_keep_the_providers_contract(
    fake: FakeClient, contracts: dict[str, Any], channel: Channel, how: str
) -> None:
    rich: dict[Channel, dict[str, Any]] = {
        Channel.SMS: {"sms_from": None, "messaging_service_sid": SERVICE},
        Channel.VOICE: {"answering_machines": "async"},
        Channel.EMAIL: {"asm_group_id": 7, "reply_to": "reply@lender.example", "unsubscribe_email": "u@lender.example"},
    }
    change = rich[channel] if how == "rich" else {}
    provider = MAKERS[channel](fake.url, public_url="https://dunlin.example", **change)
    sent = provider.send(message(channel, body="您好 ☎ & <b>"))
    assert isinstance(sent, Accepted)
    provider.find(KEY, PERSON, datetime.now(UTC))
    if isinstance(provider, TwilioVoice):
        provider.withdraw(sent.provider_id)
    journal = fake.journal()
    assert len(journal) == {Channel.SMS: 2, Channel.VOICE: 3, Channel.EMAIL: 1}[channel]
    for one in journal:
        _check(contracts, one)


def test_long_lists_in_every_state_keep_the_contract(fake: FakeClient, contracts: dict[str, Any]) -> None:
    provider = MAKERS[Channel.SMS](fake.url)
    for status in ("sent", "delivered", "undelivered", "failed"):
        fake.rule("messages.create", times=1, life=[{"status": status, "error_code": 30003}])
        provider.send(message(Channel.SMS))
    fake.flush()
    fake.ask("message", {"from": PERSON, "to": "+13125550001", "body": "hi", "url": "http://127.0.0.1:9/x"})
    client = provider._client  # type: ignore[union-attr]
    assert len(client.messages.list(page_size=2)) == 5
    sid = fake.state()["messages"][0]["sid"]
    assert client.messages(sid).fetch().status == "sent"
    lists = [one for one in fake.journal() if one.method == "GET"]
    assert len(lists) == 4
    for one in lists:
        _check(contracts, one)


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/2010-04-01/Accounts/AC1/Messages.json"},
        {"headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"body": b"Body=x&From=%2B13125550001"},
        {"body": b"To=%2B13125550100&From=%2B13125550001&Body=x&ValidityPeriod=soon"},
        {"answer_body": b'{"status": "bogus", "direction": "outbound-api"}'},
        {"answer_body": b'{"sid": 7}'},
    ],
)
def test_the_contract_is_a_real_judge(fake: FakeClient, contracts: dict[str, Any], change: dict[str, Any]) -> None:
    MAKERS[Channel.SMS](fake.url).send(message(Channel.SMS))
    (one,) = fake.journal()
    _check(contracts, one)
    with pytest.raises(openapi_core.exceptions.OpenAPIError):
        _check(contracts, Exchange(**{**vars(one), **change}))
