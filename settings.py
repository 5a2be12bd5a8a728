"""What can be set from outside: the one place that reads the environment.

Every setting has a default that makes the project run alone, on servers of its own. A value that does not fit
is said in one line that names the variable; a secret must never appear in that line or in a log.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from activities.providers.addresses import WebAddress

_PREFIX = "DUNLIN_"
_ROOT = Path(__file__).resolve().parent
S = TypeVar("S", bound=BaseSettings)


class SettingsError(Exception):
    """A setting that does not fit. The text is one line: what, where, how to mend."""


def _postgresql(value: SecretStr) -> SecretStr:
    """Name the driver we use; refuse everything that is not PostgreSQL."""
    scheme, separator, rest = value.get_secret_value().partition("://")
    if not separator or scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError("must start with postgresql://")
    return SecretStr(f"postgresql+psycopg://{rest}")


def _log_level(value: str) -> str:
    if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
    return value.upper()


Port = Annotated[int, Field(ge=0, le=65535)]
Rate = Annotated[float, Field(gt=0, le=10_000)]
Secret = Annotated[SecretStr, Field(min_length=16)]


class TwilioAccount(BaseSettings):
    """The account at Twilio, as ``DUNLIN_TWILIO_...``; what each means and may be is in docs/channels.md."""

    model_config = SettingsConfigDict(
        env_prefix=f"{_PREFIX}TWILIO_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    account_sid: str | None = None
    auth_token: SecretStr | None = None
    api_key_sid: str | None = None
    api_key_secret: SecretStr | None = None
    base_url: str | None = None
    messaging_service_sid: str | None = None
    sms_from: str | None = None
    voice_from: str | None = None
    region: str | None = None
    edge: str | None = None
    timeout_seconds: float | None = None
    validity_seconds: int | None = None
    ring_seconds: int | None = None
    call_limit_seconds: int | None = None
    answering_machines: str | None = None
    callback_retries: int | None = None


class SendGridAccount(BaseSettings):
    """The account at SendGrid, as ``DUNLIN_SENDGRID_...``."""

    model_config = SettingsConfigDict(
        env_prefix=f"{_PREFIX}SENDGRID_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    api_key: SecretStr | None = None
    from_email: str | None = None
    from_name: str | None = None
    unsubscribe_secret: Secret | None = None
    reply_to: str | None = None
    unsubscribe_email: str | None = None
    base_url: str | None = None
    webhook_key: str | None = None
    asm_group_id: int | None = None
    sandbox: bool | None = None
    timeout_seconds: float | None = None


class Settings(BaseSettings):
    """All settings. Paths may be relative to the project; ports are TCP ports, 0 means any free one."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: Annotated[SecretStr, AfterValidator(_postgresql)] | None = None
    """A PostgreSQL of your own; without it one is run from the installed package."""
    state_dir: Path = Path(".dunlin")
    temporal_binary: Path | None = None
    """A `temporal` of your own; without it the installed package's."""
    temporal_namespace: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")] = "dunlin"
    temporal_port: Port = 0
    ui_port: Port = 0
    postgres_port: Port = 0
    actor: str | None = None
    """Who acts on the command line where no ``--as`` says so: a code of ``starter.py actor list``."""
    bulk_approval_above: Annotated[int, Field(ge=0)] = 1000
    """Cases above which a bulk operation waits for a second person."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    log_level: Annotated[str, AfterValidator(_log_level)] = "INFO"
    providers: Literal["auto", "sandbox"] = "auto"
    """``auto``: the real ones where they are set up, the sandbox for every other channel; ``sandbox``: nothing else."""
    web_host: str = "127.0.0.1"
    """Where the web part listens; a proxy with TLS belongs in front of it."""
    web_port: Port = 0
    public_url: WebAddress | None = None
    """The address under which providers and people reach the web part; signatures are over this one."""
    payments_secret: Secret | None = None
    """Shared with the payment system; without one payments are not taken over HTTP."""
    payments_secret_previous: Secret | None = None
    """Also valid, while the secret is being replaced."""
    sms_per_second: Rate | None = None
    voice_per_second: Rate | None = None
    email_per_second: Rate | None = None
    letter_per_second: Rate | None = None
    rehearsal_url: WebAddress | None = None
    """Set by a demonstration whose carriers are the fake: where its people are told how to behave."""

    @property
    def state_folder(self) -> Path:
        """The folder of all state, absolute; a relative one stands in the project root."""
        return (_ROOT / self.state_dir.expanduser()).resolve()

    @property
    def external_temporal(self) -> bool:
        """Whether Temporal's own environment (TEMPORAL_ADDRESS or a profile) names a server to use."""
        return bool(external_temporal_address())


def external_temporal_address() -> str:
    """Return `host:port` as Temporal's environment or profile says it, or "". Raises SettingsError."""
    from temporalio.envconfig import ClientConfigProfile

    try:
        return ClientConfigProfile.load().address or ""
    except Exception as error:
        raise SettingsError(f"Temporal's client profile cannot be read ({error}): mend or unset TEMPORAL_*") from error


def load_settings() -> Settings:
    """Read the environment. Raises SettingsError that names the first variable that does not fit."""
    return _read(Settings, "")


def load_twilio() -> TwilioAccount:
    """Read Twilio's part of the environment. Raises SettingsError."""
    return _read(TwilioAccount, "TWILIO_")


def load_sendgrid() -> SendGridAccount:
    """Read SendGrid's part of the environment. Raises SettingsError."""
    return _read(SendGridAccount, "SENDGRID_")


def mistake_in(error: ValidationError, prefix: str) -> SettingsError:
    """Name the first variable that does not fit, and why; never its value."""
    first = error.errors(include_input=False, include_url=False)[0]
    variable = _PREFIX + prefix + "_".join(str(part) for part in first["loc"][:1]).upper()
    reason = first["msg"].removeprefix("Value error, ")
    return SettingsError(f"{variable}: {reason}. Set it to another value or unset it.")


def _read(kind: type[S], prefix: str) -> S:
    try:
        return kind()
    except ValidationError as error:
        raise mistake_in(error, prefix) from None
