"""bulk operations: what was confirmed, for which cases, and what became of each"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("work_items", sa.Column("assigned_to", sa.Text()))
    op.execute("CREATE SEQUENCE bulk_operation_numbers")
    op.create_table(
        "bulk_operations",
        sa.Column(
            "key",
            sa.Text(),
            server_default=sa.text("'B' || lpad(nextval('bulk_operation_numbers')::text, 9, '0')"),
            primary_key=True,
        ),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(), nullable=False),
        sa.Column("scope", postgresql.JSONB(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_role", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", sa.Text()),
        sa.Column("approved_at", sa.DateTime(timezone=True)),
        sa.Column("cancelled_by", sa.Text()),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_bulk_operations_fingerprint")),
        sa.CheckConstraint(
            "action IN ('hold', 'release', 'pause', 'resume', 'close', 'adopt-strategy', 'assign')",
            name=op.f("ck_bulk_operations_action"),
        ),
        sa.CheckConstraint(
            "status IN ('waiting', 'running', 'done', 'cancelled')", name=op.f("ck_bulk_operations_status")
        ),
        sa.CheckConstraint("approved_by <> asked_by", name=op.f("ck_bulk_operations_four_eyes")),
        sa.CheckConstraint(
            "(status IN ('done', 'cancelled')) = (ended_at IS NOT NULL)", name=op.f("ck_bulk_operations_ended")
        ),
    )
    op.create_index(op.f("ix_bulk_operations_base"), "bulk_operations", ["base"])
    op.create_table(
        "bulk_items",
        sa.Column("bulk_key", sa.Text(), sa.ForeignKey("bulk_operations.key"), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("case_key", sa.Text(), sa.ForeignKey("cases.key"), nullable=False),
        sa.Column("account_key", sa.Text(), sa.ForeignKey("accounts.key"), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("why", sa.Text()),
        sa.Column("affected", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("bulk_key", "no", name=op.f("uq_bulk_items_bulk_key_no")),
        sa.UniqueConstraint("bulk_key", "case_key", name=op.f("uq_bulk_items_bulk_key_case_key")),
        sa.CheckConstraint(
            "status IN ('pending', 'done', 'skipped', 'failed', 'cancelled')", name=op.f("ck_bulk_items_status")
        ),
        sa.CheckConstraint("(status = 'pending') = (settled_at IS NULL)", name=op.f("ck_bulk_items_settled")),
    )
    op.create_index(
        "ix_bulk_items_pending", "bulk_items", ["bulk_key", "no"], postgresql_where=sa.text("status = 'pending'")
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
