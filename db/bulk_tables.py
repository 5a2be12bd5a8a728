"""The tables of bulk operations: what was confirmed, for exactly which cases, and what became of each."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from db.tables import metadata
from domain.bulk import BulkAction, BulkStatus, ItemStatus


def _one_of(column: str, values: type[BulkAction | BulkStatus | ItemStatus]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


_numbers = Sequence("bulk_operation_numbers", metadata=metadata)

bulk_operations = Table(
    "bulk_operations",
    metadata,
    Column(
        "key",
        Text,
        primary_key=True,
        server_default=text(f"'B' || lpad(nextval('{_numbers.name}')::text, 9, '0')"),
    ),
    Column("action", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("scope", JSONB, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("base", Text, nullable=False, index=True),
    Column("fingerprint", Text, nullable=False),
    Column("cases", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_role", Text, nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("approved_by", Text),
    Column("approved_at", DateTime(timezone=True)),
    Column("cancelled_by", Text),
    Column("ended_at", DateTime(timezone=True)),
    UniqueConstraint("fingerprint"),
    _one_of("action", BulkAction),
    _one_of("status", BulkStatus),
    CheckConstraint("approved_by <> asked_by", name="four_eyes"),
    CheckConstraint("(status IN ('done', 'cancelled')) = (ended_at IS NOT NULL)", name="ended"),
)
"""``base`` is the digest of action, parameters and cases; ``fingerprint`` also counts how often it was confirmed before.
``note`` may say in words why: it never leaves the database."""

bulk_items = Table(
    "bulk_items",
    metadata,
    Column("bulk_key", Text, ForeignKey("bulk_operations.key"), nullable=False),
    Column("no", Integer, nullable=False),
    Column("case_key", Text, ForeignKey("cases.key"), nullable=False),
    Column("account_key", Text, ForeignKey("accounts.key"), nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("why", Text),
    Column("affected", BigInteger, nullable=False, server_default="0"),
    Column("settled_at", DateTime(timezone=True)),
    UniqueConstraint("bulk_key", "no"),
    UniqueConstraint("bulk_key", "case_key"),
    _one_of("status", ItemStatus),
    CheckConstraint("(status = 'pending') = (settled_at IS NULL)", name="settled"),
    Index("ix_bulk_items_pending", "bulk_key", "no", postgresql_where=text("status = 'pending'")),
)
"""The cases as they were confirmed. ``affected`` counts what was changed: holds placed or released, items assigned."""
