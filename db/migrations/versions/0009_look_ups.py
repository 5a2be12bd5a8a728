"""attempts that are unknown are looked up later; what a carrier calls one message belongs to one attempt"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("look_ups", sa.Integer(), server_default="0", nullable=False))
    op.add_column("attempts", sa.Column("look_up_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_attempts_unknown",
        "attempts",
        [sa.text("coalesce(look_up_at, engine_admitted_at)")],
        postgresql_where=sa.text("status = 'unknown'"),
    )
    # Of two attempts under one name the older one keeps it: nothing may rest on a name that two have.
    op.execute(
        "UPDATE attempts t SET provider_id = NULL WHERE EXISTS (SELECT 1 FROM attempts o "
        "WHERE o.provider = t.provider AND o.provider_id = t.provider_id "
        "AND (o.admitted_at, o.key) < (t.admitted_at, t.key))"
    )
    op.drop_index(op.f("ix_attempts_provider_provider_id"), "attempts")
    op.create_index(
        "uq_attempts_provider_id",
        "attempts",
        ["provider", "provider_id"],
        unique=True,
        postgresql_where=sa.text("provider_id IS NOT NULL"),
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
