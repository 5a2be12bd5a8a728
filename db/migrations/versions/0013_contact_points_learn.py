"""contact points learn how often the right party was reached there"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contact_points", sa.Column("reached", sa.Integer(), server_default="0", nullable=False))
    op.execute(
        "UPDATE contact_points n SET reached = t.n FROM (SELECT contact_point_key AS key, count(*) AS n FROM attempts "
        "WHERE party_reached = 'right_party' AND contact_point_key IS NOT NULL GROUP BY 1) t WHERE t.key = n.key"
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
