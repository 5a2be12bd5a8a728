"""creditors number their payments for themselves, so money in suspense is told apart by its account too"""

from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f('uq_suspense_kind_external_id'), 'suspense')
    op.create_unique_constraint(
        op.f('uq_suspense_kind_external_id_account_ref'), 'suspense', ['kind', 'external_id', 'account_ref']
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
