"""Nothing escapes: not to another host, not through a proxy, not into a log."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from activities.providers.base import Accepted
from activities.providers.egress import IDLE_SECONDS, NeverSentError, TwilioTransport
from activities.providers.twilio import TwilioSms
from domain.codes import Channel
from tests.fakes.client import FakeClient
from tests.providers.conftest import (
    ACCOUNT,
    CHANNELS,
    ERRORS,
    KEY,
    MAKERS,
    PERSON,
    Application,
    message,
    sendgrid_settings,
    twilio_settings,
)

each_channel = pytest.mark.parametrize("channel", CHANNELS)


@each_channel
def test_the_environment_changes_neither_host_nor_credentials(
    fake: FakeClient, channel: Channel, application: Application, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login intruder password intruder\n", encoding="utf-8")
    for name, value in {
        "TWILIO_EDGE": "ashburn",
        "TWILIO_REGION": "us1",
        "TWILIO_ACCOUNT_SID": "AC" + "9" * 32,
        "TWILIO_AUTH_TOKEN": "intruder",
        "SENDGRID_API_KEY": "SG.intruder",
        "HTTP_PROXY": application.url,
        "http_proxy": application.url,
        "HTTPS_PROXY": application.url,
        "ALL_PROXY": application.url,
        "NETRC": str(netrc),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert isinstance(MAKERS[channel](fake.url).send(message(channel)), Accepted)
    assert application.received == []
    assert len(fake.journal()) == 1


def test_without_a_base_address_the_environment_does_not_move_the_host_but_settings_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TWILIO_EDGE", "ashburn")
    monkeypatch.setenv("TWILIO_REGION", "au1")
    hosts = [
        TwilioSms(twilio_settings("https://x").model_copy(update={"base_url": None, **change}), ERRORS)
        ._client.get_hostname("https://api.twilio.com/2010-04-01")
        .split("/")[2]
        for change in ({}, {"region": "ie1", "edge": "dublin"})
    ]
    assert hosts == ["api.twilio.com", "api.dublin.ie1.twilio.com"]


def test_every_product_of_the_sdk_goes_to_the_base_address(fake: FakeClient) -> None:
    client = TwilioSms(twilio_settings(fake.url), ERRORS)._client
    asks: list[Callable[[], object]] = [
        lambda: client.lookups.v2.phone_numbers(PERSON).fetch(),
        lambda: client.messaging.v1.services.list(limit=1),
        lambda: client.verify.v2.services("VA" + "0" * 32).fetch(),
        client.api.v2010.account.balance.fetch,
    ]
    for ask in asks:
        with pytest.raises(Exception, match="HTTP 404"):
            ask()
    assert [one.path.split("/")[1] for one in fake.journal()] == ["v2", "v1", "v2", "2010-04-01"]


def test_a_base_address_may_have_a_path(fake: FakeClient) -> None:
    TwilioSms(twilio_settings(f"{fake.url}/proxy/"), ERRORS).send(message(Channel.SMS))
    assert fake.journal()[0].path == f"/proxy/2010-04-01/Accounts/{ACCOUNT.account_sid}/Messages.json"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.twilio.com/x",
        "https://api.twilio.com.evil.example/x",
        "https://eviltwilio.com/x",
        "https://api.twilio.com@evil.example/x",
        "http://127.0.0.1:1/x",
    ],
)
def test_without_a_base_address_only_twilio_itself_is_reached(url: str) -> None:
    with pytest.raises(NeverSentError, match="foreign_host"):
        TwilioTransport(None, 1).request("GET", url)


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "http://example.org", "https://", "https://x?y=1", "https://x#y", "x", "http://127.0.0.1.evil.example"],
)
def test_a_base_address_is_https_or_on_loopback(url: str) -> None:
    for make in (twilio_settings, sendgrid_settings):
        with pytest.raises(ValidationError, match="https"):
            make(url)
        with pytest.raises(ValidationError, match="https"):
            make("https://x", public_url=url)


@each_channel
def test_whatever_the_level_no_log_line_names_a_person_a_text_or_a_secret(
    fake: FakeClient, channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.fault("answer", status=400, code=21211, message=f"bad {PERSON}")
    provider = MAKERS[channel](fake.url)
    sent = message(channel)
    provider.send(sent)
    provider.send(sent)
    provider.find(KEY, sent.recipient, sent.at)
    words = " ".join(
        record.getMessage() for record in caplog.records if record.name != "uvicorn.access"
    )  # the fake's own
    secrets = (sent.recipient, sent.recipient.removeprefix("+"), "Pat", "past due", ACCOUNT.auth_token, ACCOUNT.api_key)
    assert not [secret for secret in secrets if secret in words]


@pytest.mark.parametrize("channel", CHANNELS)
def test_settings_do_not_show_their_secrets(channel: Channel) -> None:
    settings = sendgrid_settings("https://x") if channel is Channel.EMAIL else twilio_settings("https://x")
    assert not [secret for secret in (ACCOUNT.auth_token, ACCOUNT.api_key) if secret in f"{settings!r} {settings}"]


def test_a_provider_without_its_sender_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="sms_from"):
        MAKERS[Channel.SMS]("https://x", sms_from=None)
    with pytest.raises(ValueError, match="voice_from"):
        MAKERS[Channel.VOICE]("https://x", voice_from=None)
    with pytest.raises(ValidationError, match="belong together"):
        twilio_settings("https://x", api_key_sid="SK" + "0" * 32)


def test_a_connection_left_idle_is_not_used_again_and_one_in_use_is() -> None:
    """A request lost on a connection that the other side has long closed would look as if it may have been sent."""
    transport = TwilioTransport("http://127.0.0.1:9", 1)
    first = transport._session()
    assert transport._session() is first
    transport._local.used -= IDLE_SECONDS + 1
    assert transport._session() is not first
