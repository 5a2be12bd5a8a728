"""what comes in over HTTP: kept, applied, told to the cases; and what is switched off"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contact_points", sa.Column("unfit", sa.ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.add_column("work_items", sa.Column("note_ref", sa.Text()))
    op.add_column("inbox", sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("inbox", sa.Column("not_before", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_inbox_waiting",
        "inbox",
        ["id"],
        postgresql_where=sa.text("status = 'received' AND source LIKE 'web/%'"),
    )
    op.create_index(
        "ix_cases_coming", "cases", ["next_channel", "due_at"], postgresql_where=sa.text("status = 'open'")
    )
    op.create_table(
        "signals",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("case_key", sa.Text(), sa.ForeignKey("cases.key"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True)),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("case_key", "event_id", name=op.f("uq_signals_case_key_event_id")),
        sa.CheckConstraint("status IN ('waiting', 'delivered', 'final')", name=op.f("ck_signals_status")),
    )
    op.create_index("ix_signals_waiting", "signals", ["id"], postgresql_where=sa.text("status = 'waiting'"))
    op.create_table(
        "switches",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("off_by", sa.Text(), nullable=False),
        sa.Column("off_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("on_by", sa.Text()),
        sa.Column("on_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("scope IN ('channel', 'template', 'creditor')", name=op.f("ck_switches_scope")),
    )
    op.create_index(
        "uq_switches_off", "switches", ["scope", "name"], unique=True, postgresql_where=sa.text("on_at IS NULL")
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
