"""How this program talks to PostgreSQL.

One pool per process, READ COMMITTED on purpose: what a payment committed while we waited for a lock must be seen by
the next statement. A connection that a restarted server has dropped is replaced on first use.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url

STATEMENT_TIMEOUT_MS = 60_000
LOCK_TIMEOUT_MS = 20_000


def psycopg_url(url: str) -> str:
    """Return a PostgreSQL address in the form SQLAlchemy needs for psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def make_engine(url: str, *, pool_size: int = 10, steady: bool = False) -> Engine:
    """Return an engine with UTC sessions and bounded waits. Connections are opened when they are needed.

    ``steady`` is for processes that run the same few statements over and over: each is planned once a connection,
    whatever its values. Planning costs several times more than running them. The latest used connection is used
    next, so that few connections hold the plans.
    """
    options = (
        f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} "
        "-c idle_in_transaction_session_timeout=120000 -c jit=off"
    )
    if steady:
        options += " -c plan_cache_mode=force_generic_plan"
    return create_engine(
        psycopg_url(url),
        pool_size=pool_size,
        max_overflow=4,
        pool_timeout=30,
        pool_pre_ping=False,
        pool_use_lifo=True,
        hide_parameters=True,
        pool_recycle=1800,
        isolation_level="READ COMMITTED",
        connect_args={
            "options": options,
            "prepare_threshold": 0 if steady else 5,
            "application_name": "dunlin",
            "connect_timeout": 10,
        },
    )


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that only reads, and commit it: after a rollback psycopg forgets every prepared statement."""
    with engine.begin() as connection:
        yield connection
