"""Real parts for all tests: PostgreSQL and Temporal from the wheels, in folders that vanish afterwards.

Everything runs on loopback and on ports of its own, one set for each pytest process. Nothing here may reach a
server that somebody else uses, so Temporal's and our own environment variables are taken out first.
"""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

from runtime import search_attributes
from runtime.client import connect
from runtime.servers import Servers
from runtime.temporal_server import binary
from settings import Settings

_TEMPLATE = "migrated"

# A property is about what is true, not about how fast a busy machine finds out.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

for _name in [name for name in os.environ if name.startswith(("DUNLIN_", "TEMPORAL_"))]:
    del os.environ[_name]
os.environ["TEMPORAL_CONFIG_FILE"] = os.devnull

# What production logs is evaluated in tests too: a bad field must fail here first.
for _name in ("temporalio.workflow", "temporalio.activity"):
    logging.getLogger(_name).setLevel(logging.INFO)


@pytest.fixture(scope="session")
async def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Address of one PostgreSQL for the session; tests take `database_url`, which is theirs alone."""
    settings = Settings(state_dir=tmp_path_factory.mktemp("postgres"))
    async with Servers(settings, temporal=False) as servers:
        yield servers.database_url


@pytest.fixture(scope="session")
def migrated_url(postgres_url: str) -> str:
    """Address of a database with all migrations, the template of every test's own."""
    from db.migrate import upgrade

    url = _create_database(postgres_url, _TEMPLATE, template="template0")
    upgrade(url)
    return url


@pytest.fixture
def database_url(postgres_url: str, migrated_url: str) -> Iterator[str]:
    """Address of a fresh migrated database; it is dropped after the test, whoever is still connected."""
    name = f"test_{uuid4().hex}"
    yield _create_database(postgres_url, name, template=migrated_url.rpartition("/")[2])
    with psycopg.connect(_plain(postgres_url), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Give an engine on the test's own database."""
    from db.engine import make_engine

    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
async def temporal_env() -> AsyncIterator[WorkflowEnvironment]:
    """Run the real server with a virtual clock for each workflow.

    Time moves only by `fast_forward(handle, span)`. Use a task queue and workflow ids of your own, and an
    `execution_timeout`.
    """
    environment = await WorkflowEnvironment.start_time_skipping_v2(
        ts_config=TimeSkippingConfig(enabled=False),
        dev_server_existing_path=str(binary(None)),
        data_converter=pydantic_data_converter,
        search_attributes=list(search_attributes.ALL),
        dev_server_log_level="error",
        dev_server_extra_args=[
            "--dynamic-config-value",
            "frontend.WorkflowTimeSkippingEnabled=true",
            "--dynamic-config-value",
            'history.timerProcessorMaxTimeShift="1ms"',
        ],
        dev_server_startup_timeout=timedelta(seconds=30),
    )
    async with environment:
        yield environment


@pytest.fixture(scope="session")
async def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Run the embedded Temporal server as production runs it, on the real clock."""
    settings = Settings(state_dir=tmp_path_factory.mktemp("temporal"))
    async with Servers(settings, postgres=False) as servers:
        yield servers


@pytest.fixture(scope="session")
async def client(temporal_server: Servers) -> Client:
    """Connect to `temporal_server`."""
    return await connect(Settings(), temporal_server.endpoints)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of material beside the project; the test is skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared with reference data is not on this machine")
    return folder


def _plain(url: str) -> str:
    return url.replace("+psycopg", "", 1)


def _create_database(server_url: str, name: str, *, template: str) -> str:
    with psycopg.connect(_plain(server_url), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    return f"{server_url.rpartition('/')[0]}/{name}"
