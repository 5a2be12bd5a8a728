"""when a person must look at a hold, what is said in a dispute, and that a person needs care"""

import sqlalchemy as sa
from alembic import op

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None

KINDS = (
    'opt_out', 'opt_in', 'channel_opt_out', 'inconvenient_time', 'inconvenient_place', 'cease_communication',
    'attorney_represented', 'attorney_withdrawn', 'bankruptcy_filed', 'bankruptcy_dismissed', 'bankruptcy_discharged',
    'deceased', 'no_capacity', 'dispute', 'verification_sent', 'original_creditor_request', 'original_creditor_sent',
    'identity_theft', 'military_service', 'hardship', 'vulnerability', 'breathing_space_start', 'breathing_space_end',
    'complaint', 'complaint_closed', 'wrong_party', 'third_party_refusal', 'employer_prohibits', 'time_barred',
    'consent_given', 'consent_withdrawn', 'disaster', 'bereavement', 'unclear_reply', 'end_state_event',
)


def upgrade() -> None:
    listed = ', '.join(f"'{kind}'" for kind in KINDS)
    op.drop_constraint(op.f('ck_state_events_kind'), 'state_events')
    op.create_check_constraint(op.f('ck_state_events_kind'), 'state_events', f"kind IN ({listed})")
    op.add_column('holds', sa.Column('review_at', sa.DateTime(timezone=True)))
    op.create_table(
        'dispute_acts',
        sa.Column('id', sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column('dispute', sa.Text(), nullable=False),
        sa.Column('account_key', sa.Text(), sa.ForeignKey('accounts.key'), nullable=False),
        sa.Column('kind', sa.Text(), nullable=False),
        sa.Column('at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('actor', sa.Text(), nullable=False),
        sa.Column('given_by', sa.Text()),
        sa.Column('document_ref', sa.Text()),
        sa.Column('sha256', sa.Text()),
        sa.Column('result', sa.Text()),
        sa.Column('disputed_amount', sa.BigInteger()),
        sa.Column('upheld_amount', sa.BigInteger()),
        sa.Column('currency', sa.Text()),
        sa.Column('entry_id', sa.BigInteger(), sa.ForeignKey('ledger_entries.id')),
        sa.Column('note_ref', sa.Text()),
        sa.Column('event_id', sa.Text(), nullable=False),
        sa.UniqueConstraint('event_id', name=op.f('uq_dispute_acts_event_id')),
        sa.CheckConstraint("kind IN ('evidence', 'answer')", name=op.f('ck_dispute_acts_kind')),
        sa.CheckConstraint(
            "result IN ('upheld', 'upheld_in_part', 'rejected')", name=op.f('ck_dispute_acts_result')
        ),
        sa.CheckConstraint(
            "(kind = 'answer') = (result IS NOT NULL) AND (kind = 'answer') = (upheld_amount IS NOT NULL)",
            name=op.f('ck_dispute_acts_answered'),
        ),
        sa.CheckConstraint(
            "upheld_amount >= 0 AND upheld_amount <= disputed_amount", name=op.f('ck_dispute_acts_within')
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f('ck_dispute_acts_sha256')),
    )
    op.create_index(op.f('ix_dispute_acts_account_key'), 'dispute_acts', ['account_key'])
    op.create_index(
        'uq_dispute_acts_answered', 'dispute_acts', ['dispute'], unique=True,
        postgresql_where=sa.text("kind = 'answer'"),
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
