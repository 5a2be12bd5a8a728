"""the queue of work: places, leases with a fence, who did what with an item"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

OPEN = "status IN ('open', 'claimed')"


def upgrade() -> None:
    op.add_column("creditors", sa.Column("licences", sa.ARRAY(sa.Text()), server_default="{}", nullable=False))
    for column in (
        sa.Column("rank_at", sa.DateTime(timezone=True)),
        sa.Column("late_at", sa.DateTime(timezone=True)),
        sa.Column("not_before", sa.DateTime(timezone=True)),
        sa.Column("lease_no", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lapses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("escalation", sa.Text()),
        sa.Column("escalated_at", sa.DateTime(timezone=True)),
    ):
        op.add_column("work_items", column)
    op.drop_constraint(op.f("ck_work_items_status"), "work_items")
    op.create_check_constraint(
        op.f("ck_work_items_status"),
        "work_items",
        "status IN ('open', 'claimed', 'reported', 'done', 'expired', 'cancelled')",
    )
    op.create_check_constraint(
        op.f("ck_work_items_escalation"), "work_items", "escalation IN ('late', 'lapsed', 'asked')"
    )
    op.execute(
        "UPDATE work_items SET status = 'open', claimed_by = NULL, lease_until = NULL "
        "WHERE status = 'claimed' AND (lease_until IS NULL OR claimed_by IS NULL)"
    )
    op.create_check_constraint(
        op.f("ck_work_items_lease"),
        "work_items",
        "status <> 'claimed' OR (claimed_by IS NOT NULL AND lease_until IS NOT NULL)",
    )
    indexes = {
        "ix_work_items_queue": (["rank_at", "key"], OPEN),
        "ix_work_items_unplaced": (["key"], f"rank_at IS NULL AND {OPEN}"),
        "ix_work_items_leased": (["lease_until"], "status = 'claimed'"),
        "ix_work_items_late": (["late_at"], f"escalated_at IS NULL AND {OPEN}"),
        "ix_work_items_assigned": (["assigned_to"], OPEN),
    }
    for name, (columns, where) in indexes.items():
        op.create_index(name, "work_items", columns, postgresql_where=sa.text(where))
    op.create_table(
        "work_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("item_key", sa.Text(), sa.ForeignKey("work_items.key"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("lease_no", sa.Integer(), nullable=False),
        sa.Column("detail", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.CheckConstraint(
            "kind IN ('claimed', 'released', 'lapsed', 'put_off', 'reassigned', 'escalated', 'finished', 'repaired', 'shown')",
            name=op.f("ck_work_events_kind"),
        ),
    )
    op.create_index(op.f("ix_work_events_item_key"), "work_events", ["item_key"])
    op.create_index(
        "uq_work_events_lease",
        "work_events",
        ["item_key", "lease_no"],
        unique=True,
        postgresql_where=sa.text("kind = 'claimed'"),
    )
    op.create_index(
        "uq_work_events_finished",
        "work_events",
        ["item_key"],
        unique=True,
        postgresql_where=sa.text("kind = 'finished'"),
    )
    op.execute(
        "CREATE FUNCTION refuse_change_of_work_events() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION 'the record of work is append-only: % is refused', TG_OP; END $$"
    )
    op.execute(
        "CREATE TRIGGER work_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON work_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_work_events()"
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
