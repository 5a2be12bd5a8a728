"""Brings a database to the schema this release needs.

Safe when several processes start at once: the first takes an advisory lock, the others find nothing to do.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text

from db.engine import psycopg_url

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7_105_031_979


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's configuration for a connection; nothing is read from a file."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def upgrade(url: str) -> None:
    """Run every migration that is missing, in one transaction."""
    engine = create_engine(psycopg_url(url))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            command.upgrade(alembic_config(connection), "head")
    finally:
        engine.dispose()
