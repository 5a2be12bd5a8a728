"""one message for several accounts, and what a call really was"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATUSES = (
    "refused", "deferred", "retryable", "dispatching", "unknown", "sent", "delivered", "answered", "undelivered",
    "failed", "unsent", "covered",
)


PURPOSES = ("collect", "service", "required_notice", "reply", "optout_confirmation", "verification", "locate")


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def upgrade() -> None:
    op.add_column("cases", sa.Column("next_step", sa.Text()))
    op.add_column("cases", sa.Column("next_channel", sa.Text()))
    op.add_column("attempts", sa.Column("party_reached", sa.Text()))
    op.add_column("attempts", sa.Column("duration_seconds", sa.Integer()))
    op.drop_constraint(op.f("ck_attempts_status"), "attempts", type_="check")
    op.create_check_constraint(op.f("ck_attempts_status"), "attempts", f"status IN ({_listed(STATUSES)})")
    op.drop_constraint(op.f("ck_attempts_purpose"), "attempts", type_="check")
    op.create_check_constraint(op.f("ck_attempts_purpose"), "attempts", f"purpose IN ({_listed(PURPOSES)})")
    op.create_index(
        "ix_attempts_party",
        "attempts",
        ["party_key", "admitted_at"],
        postgresql_where=sa.text("admitted_at IS NOT NULL"),
    )
    op.drop_column("decisions", "packs")
    op.add_column("decisions", sa.Column("packs", sa.ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.add_column("decisions", sa.Column("reasons", postgresql.JSONB(), server_default="[]", nullable=False))
    op.add_column("attempts", sa.Column("item_key", sa.Text()))
    op.create_foreign_key(op.f("fk_attempts_item_key"), "attempts", "work_items", ["item_key"], ["key"])
    op.create_index(op.f("ix_attempts_item_key"), "attempts", ["item_key"])
