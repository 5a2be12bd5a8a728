"""arrangements whole: what they cover, under which policy, when they begin; what debtors say they can pay"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATUSES = (
    "active", "proposed", "kept", "paid_early", "settled", "partially_kept", "broken", "expired", "cancelled", "replaced",
    "refused",
)  # fmt: skip


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def upgrade() -> None:
    op.execute("CREATE SEQUENCE income_statement_numbers")
    op.create_table(
        "income_statements",
        sa.Column(
            "key",
            sa.Text(),
            server_default=sa.text("'F' || lpad(nextval('income_statement_numbers')::text, 9, '0')"),
            primary_key=True,
        ),
        sa.Column("party_key", sa.Text(), sa.ForeignKey("parties.key"), nullable=False),
        sa.Column("account_key", sa.Text(), sa.ForeignKey("accounts.key")),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("taken_by", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("income", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("spending", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("monthly", sa.BigInteger(), nullable=False),
        sa.Column("evidence_ref", sa.Text()),
        sa.Column("event_id", sa.Text()),
        sa.UniqueConstraint("event_id", name=op.f("uq_income_statements_event_id")),
        sa.CheckConstraint("monthly >= 0", name=op.f("ck_income_statements_monthly")),
    )
    op.create_index("ix_income_statements_party_key", "income_statements", ["party_key"])
    op.create_index("ix_income_statements_account_key", "income_statements", ["account_key"])
    op.drop_column("arrangements", "expires_at")
    for column in (
        sa.Column("covers", sa.Text(), server_default="part", nullable=False),
        sa.Column("grace_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("expires_on", sa.Date()),
        sa.Column("policy", sa.Text(), server_default="", nullable=False),
        sa.Column("policy_digest", sa.Text(), server_default="", nullable=False),
        sa.Column("terms", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("approval", sa.Text()),
        sa.Column("starts_at", sa.DateTime(timezone=True)),
        sa.Column("ended_by", sa.Text()),
        sa.Column("end_reason", sa.Text()),
        sa.Column("re_aged_on", sa.Date()),
        sa.Column("waivers", sa.Integer(), server_default="0", nullable=False),
        sa.Column("replaces", sa.Text(), sa.ForeignKey("arrangements.key")),
        sa.Column("statement_key", sa.Text(), sa.ForeignKey("income_statements.key")),
        sa.Column("note_ref", sa.Text()),
    ):
        op.add_column("arrangements", column)
    op.execute("UPDATE arrangements SET starts_at = agreed_at WHERE status <> 'proposed'")
    op.drop_constraint(op.f("ck_arrangements_status"), "arrangements")
    for name, check in (
        ("status", f"status IN ({_listed(STATUSES)})"),
        ("covers", "covers IN ('past_due', 'balance', 'part')"),
        ("discount", "discount >= 0 AND discount < covered_amount"),
        ("starts", "status = 'proposed' OR status = 'refused' OR starts_at IS NOT NULL OR ended_at IS NOT NULL"),
    ):
        op.create_check_constraint(op.f(f"ck_arrangements_{name}"), "arrangements", check)
    for status in ("active", "proposed"):
        op.create_index(
            f"uq_arrangements_{status}",
            "arrangements",
            ["account_key"],
            unique=True,
            postgresql_where=sa.text(f"status = '{status}'"),
        )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
