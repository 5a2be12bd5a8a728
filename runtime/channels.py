"""Chooses the provider of each channel: the real ones where they are set up, else the sandbox.

A demonstration never reaches a real carrier: whatever is set, it speaks to loopback only.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError
from sqlalchemy import Engine

from activities.providers.addresses import LOOPBACK
from activities.providers.base import Provider
from activities.providers.errors import ErrorTable
from activities.providers.evidence import LedgerEvidence
from activities.providers.letter import LetterProvider
from activities.providers.rehearsal import Rehearsed
from activities.providers.sandbox import SandboxProvider
from activities.providers.sendgrid import SendGridEmail, SendGridSettings
from activities.providers.twilio import TwilioSettings, TwilioSms, TwilioVoice
from domain.codes import AUTOMATED_CHANNELS, Channel
from settings import Settings, SettingsError, load_sendgrid, load_twilio, mistake_in

CHANNELS = Path(__file__).resolve().parent.parent / "policies" / "channels"
ERRORS, IDENTITY, COSTS = CHANNELS / "errors.yaml", CHANNELS / "identity.yaml", CHANNELS / "costs.yaml"


def public_url(settings: Settings) -> str:
    """Return the address under which we are reached. Raises SettingsError when nobody said."""
    if settings.public_url is not None:
        return settings.public_url
    if settings.web_port:
        return f"http://127.0.0.1:{settings.web_port}"
    raise SettingsError("DUNLIN_PUBLIC_URL: providers must know where to reach us. Set it to an https address.")


def twilio_settings(settings: Settings) -> TwilioSettings | None:
    """Return Twilio's settings; ``None`` where no account is set. Raises SettingsError."""
    account = load_twilio()
    if settings.providers == "sandbox" or account.account_sid is None:
        return None
    try:
        return TwilioSettings.model_validate(
            {**account.model_dump(exclude_none=True), "public_url": public_url(settings)}
        )
    except ValidationError as error:
        raise mistake_in(error, "TWILIO_") from None


def sendgrid_settings(settings: Settings) -> SendGridSettings | None:
    """Return SendGrid's settings; ``None`` where no key is set. Raises SettingsError."""
    account = load_sendgrid()
    if settings.providers == "sandbox" or account.api_key is None:
        return None
    try:
        return SendGridSettings.model_validate(
            {**account.model_dump(exclude_none=True), "public_url": public_url(settings)}
        )
    except ValidationError as error:
        raise mistake_in(error, "SENDGRID_") from None


def rates_of(settings: Settings) -> dict[Channel, float]:
    """Return the rates that are set, contacts a second."""
    rates = {
        Channel.SMS: settings.sms_per_second,
        Channel.VOICE: settings.voice_per_second,
        Channel.EMAIL: settings.email_per_second,
        Channel.LETTER: settings.letter_per_second,
    }
    return {channel: rate for channel, rate in rates.items() if rate is not None}


def voice_of(engine: Engine, settings: Settings) -> TwilioVoice | None:
    """Return who makes automated calls, where that is set up."""
    twilio = twilio_settings(settings)
    if twilio is None or twilio.voice_from is None:
        return None
    return TwilioVoice(twilio, ErrorTable.load(ERRORS), LedgerEvidence(engine))


def providers_of(engine: Engine, settings: Settings, seed: int | None) -> Mapping[Channel, Provider]:
    """Return a provider for every channel that needs no person of ours. With a seed people are simulated."""
    providers: dict[Channel, Provider] = dict.fromkeys(AUTOMATED_CHANNELS, SandboxProvider(engine, seed))
    if seed is None:
        providers[Channel.LETTER] = LetterProvider(settings.state_folder / "letters")
    real = _real(engine, settings, only_loopback=seed is not None)
    if seed is not None and settings.rehearsal_url is not None:
        url = settings.rehearsal_url
        return providers | {channel: Rehearsed(one, engine, seed, url) for channel, one in real.items()}
    return providers | real


def _real(engine: Engine, settings: Settings, *, only_loopback: bool) -> dict[Channel, Provider]:
    found: dict[Channel, Provider] = {}
    errors, evidence = ErrorTable.load(ERRORS), LedgerEvidence(engine)
    twilio, sendgrid = twilio_settings(settings), sendgrid_settings(settings)
    if twilio is not None and _may_use(twilio.base_url, only_loopback=only_loopback):
        if twilio.sms_from is not None or twilio.messaging_service_sid is not None:
            try:
                found[Channel.SMS] = TwilioSms(twilio, errors, evidence)
            except ValueError as error:
                raise SettingsError(f"DUNLIN_TWILIO_SMS_FROM: {error}. Set only one of the two.") from None
        if twilio.voice_from is not None:
            found[Channel.VOICE] = TwilioVoice(twilio, errors, evidence)
    if sendgrid is not None and _may_use(sendgrid.base_url, only_loopback=only_loopback):
        found[Channel.EMAIL] = SendGridEmail(sendgrid, errors)
    return found


def _may_use(base_url: str | None, *, only_loopback: bool) -> bool:
    return not only_loopback or (base_url is not None and urlsplit(base_url).hostname in LOOPBACK)
