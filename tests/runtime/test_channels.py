"""Which provider carries a channel: the real one where it is set up, and in a demonstration never one outside."""

from typing import Any

import pytest
from sqlalchemy import Engine

from domain.codes import Channel
from runtime.channels import providers_of, rates_of
from settings import Settings, SettingsError

TWILIO = {
    "DUNLIN_TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "DUNLIN_TWILIO_AUTH_TOKEN": "very-secret",
    "DUNLIN_TWILIO_SMS_FROM": "+13125550001",
}
SENDGRID = {
    "DUNLIN_SENDGRID_API_KEY": "very-secret",
    "DUNLIN_SENDGRID_FROM_EMAIL": "a@lender.example",
    "DUNLIN_SENDGRID_FROM_NAME": "Lender",
    "DUNLIN_SENDGRID_UNSUBSCRIBE_SECRET": "sixteen-or-more-signs",
}
PUBLIC: dict[str, Any] = {"public_url": "https://dunlin.example"}


def _names(engine: Engine, *, seed: int | None = None, **settings: Any) -> dict[Channel, str]:  # noqa: ANN401 - settings of any kind
    return {channel: one.name for channel, one in providers_of(engine, Settings(**settings), seed).items()}


def _set(monkeypatch: pytest.MonkeyPatch, *values: dict[str, str]) -> None:
    for name, value in {key: one for some in values for key, one in some.items()}.items():
        monkeypatch.setenv(name, value)


def test_without_accounts_everything_stays_in_the_sandbox(engine: Engine) -> None:
    found = _names(engine)
    assert found == {
        Channel.SMS: "sandbox",
        Channel.VOICE: "sandbox",
        Channel.EMAIL: "sandbox",
        Channel.LETTER: "letter",
    }


def test_each_channel_is_real_as_soon_as_it_is_set_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, TWILIO)
    assert _names(engine, **PUBLIC)[Channel.SMS] == "twilio-sms"
    assert _names(engine, **PUBLIC)[Channel.VOICE] == _names(engine, **PUBLIC)[Channel.EMAIL] == "sandbox"
    _set(monkeypatch, {"DUNLIN_TWILIO_VOICE_FROM": "+13125550002"}, SENDGRID)
    found = _names(engine, **PUBLIC)
    assert (found[Channel.VOICE], found[Channel.EMAIL]) == ("twilio-voice", "sendgrid")
    assert set(_names(engine, providers="sandbox").values()) == {"sandbox", "letter"}


def test_a_demonstration_never_reaches_a_real_carrier(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, TWILIO, SENDGRID)
    assert set(_names(engine, seed=7, **PUBLIC).values()) == {"sandbox"}
    _set(monkeypatch, {"DUNLIN_TWILIO_BASE_URL": "http://127.0.0.1:9"})
    assert _names(engine, seed=7, **PUBLIC)[Channel.SMS] == "twilio-sms"
    assert _names(engine, seed=7, **PUBLIC)[Channel.EMAIL] == "sandbox"


@pytest.mark.parametrize(
    ("change", "public", "variable"),
    [
        ({"DUNLIN_TWILIO_ACCOUNT_SID": "very-secret"}, True, "DUNLIN_TWILIO_ACCOUNT_SID"),
        ({"DUNLIN_TWILIO_SMS_FROM": "very secret number"}, True, "DUNLIN_TWILIO_SMS_FROM"),
        ({"DUNLIN_TWILIO_MESSAGING_SERVICE_SID": "MG" + "0" * 32}, True, "DUNLIN_TWILIO_SMS_FROM"),
        ({"DUNLIN_TWILIO_TIMEOUT_SECONDS": "soon"}, True, "DUNLIN_TWILIO_TIMEOUT_SECONDS"),
        ({**SENDGRID, "DUNLIN_SENDGRID_FROM_EMAIL": "very-secret"}, True, "DUNLIN_SENDGRID_FROM_EMAIL"),
        ({**SENDGRID, "DUNLIN_SENDGRID_UNSUBSCRIBE_SECRET": "short"}, True, "DUNLIN_SENDGRID_UNSUBSCRIBE_SECRET"),
        ({}, False, "DUNLIN_PUBLIC_URL"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_and_never_shown(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], variable: str, *, public: bool
) -> None:
    _set(monkeypatch, TWILIO, change)
    with pytest.raises(SettingsError) as refused:
        _names(engine, **(PUBLIC if public else {}))
    said = str(refused.value)
    assert said.startswith(f"{variable}: ")
    assert "secret" not in said.removeprefix(variable)


def test_rates_are_those_that_are_set() -> None:
    assert rates_of(Settings(sms_per_second=2, email_per_second=0.5)) == {Channel.SMS: 2, Channel.EMAIL: 0.5}
