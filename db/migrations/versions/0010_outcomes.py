"""what came of calls and visits, by which catalogue, and corrections as events of their own"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KEEP_OUTCOMES = """
CREATE FUNCTION refuse_change_of_outcomes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'outcomes are append-only: % is refused, a correction is an event of its own', TG_OP;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "catalogues",
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "outcomes",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("case_key", sa.Text(), sa.ForeignKey("cases.key"), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("corrects", sa.Text()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("disposition", sa.Text(), nullable=False),
        sa.Column("party_reached", sa.Text(), nullable=False),
        sa.Column("effective", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("attempt_key", sa.Text(), sa.ForeignKey("attempts.key")),
        sa.Column("item_key", sa.Text(), sa.ForeignKey("work_items.key")),
        sa.Column("contact_point_key", sa.Text(), sa.ForeignKey("contact_points.key")),
        sa.Column("catalogue", sa.Text(), sa.ForeignKey("catalogues.digest"), nullable=False),
        sa.Column("followed", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.UniqueConstraint("case_key", "event_id", name=op.f("uq_outcomes_case_key_event_id")),
        sa.UniqueConstraint("case_key", "corrects", name=op.f("uq_outcomes_case_key_corrects")),
        sa.CheckConstraint(
            "party_reached IN ('right_party', 'third_party', 'no_one')", name=op.f("ck_outcomes_party_reached")
        ),
    )
    op.create_index(op.f("ix_outcomes_attempt_key"), "outcomes", ["attempt_key"])
    op.execute(KEEP_OUTCOMES)
    op.execute(
        "CREATE TRIGGER outcomes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON outcomes "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_outcomes()"
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
