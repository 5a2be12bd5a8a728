"""Settings: defaults that work alone, and one clear line for a value that does not fit."""

from pathlib import Path

import pytest

from settings import Settings, SettingsError, load_settings


def test_nothing_set_means_servers_of_our_own() -> None:
    settings = load_settings()
    assert settings.database_url is None
    assert not settings.external_temporal
    assert settings.state_folder == Path(__file__).resolve().parents[2] / ".dunlin"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DUNLIN_WORKERS", "many"),
        ("DUNLIN_WORKERS", "0"),
        ("DUNLIN_UI_PORT", "70000"),
        ("DUNLIN_LOG_LEVEL", "LOUD"),
        ("DUNLIN_DATABASE_URL", "mysql://someone:hidden@example.invalid/db"),
        ("DUNLIN_TEMPORAL_NAMESPACE", "Not A Namespace"),
    ],
)
def test_a_value_that_does_not_fit_is_said_in_one_line_without_the_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    text = str(refused.value)
    assert text.startswith(f"{variable}: ")
    assert "unset it" in text
    assert "\n" not in text
    assert "hidden" not in text


def test_the_password_of_the_database_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUNLIN_DATABASE_URL", "postgresql://someone:hidden@example.invalid/db")
    settings = load_settings()
    assert "hidden" not in repr(settings)
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value().startswith("postgresql+psycopg://someone:hidden@")


def test_temporal_of_your_own_comes_from_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal.example.invalid:7233")
    assert Settings().external_temporal
