"""What can be set from outside: the one place that reads the environment.

Every setting has a default that makes the project run alone, on servers of its own. A value that does not fit
is said in one line that names the variable; a secret must never appear in that line or in a log.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

_PREFIX = "DUNLIN_"
_ROOT = Path(__file__).resolve().parent


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
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    log_level: Annotated[str, AfterValidator(_log_level)] = "INFO"

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
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        variable = _PREFIX + "_".join(str(part) for part in first["loc"][:1]).upper()
        reason = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{variable}: {reason}. Set it to another value or unset it.") from None
