"""Where Alembic meets the database: the connection it is given, the tables as they should be."""

from alembic import context

import db.bulk_tables
import db.matter_tables  # noqa: F401 - their tables belong to the same metadata
from db.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, compare_type=True, compare_server_default=False)
with context.begin_transaction():
    context.run_migrations()
