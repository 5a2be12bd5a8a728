"""a stop of everything; recalls and charge-offs by file"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("ck_switches_scope"), "switches")
    op.create_check_constraint(
        op.f("ck_switches_scope"), "switches", "scope IN ('channel', 'template', 'creditor', 'all')"
    )
    op.drop_constraint(op.f("ck_feeds_kind"), "feeds")
    op.create_check_constraint(
        op.f("ck_feeds_kind"), "feeds", "kind IN ('ledger', 'payments', 'contacts', 'parties', 'recalls', 'chargeoffs')"
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
