"""legal action: matters and their stages"""

import sqlalchemy as sa
from alembic import op

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

STAGES = (
    'review', 'approved', 'notice', 'filed', 'asset_preservation', 'hearing', 'judgment', 'enforcement', 'returned',
    'withdrawn',
)


def upgrade() -> None:
    listed = ', '.join(f"'{one}'" for one in STAGES)
    op.execute("CREATE SEQUENCE legal_matter_numbers")
    op.create_table(
        'legal_matters',
        sa.Column(
            'key', sa.Text(), primary_key=True,
            server_default=sa.text("'L' || lpad(nextval('legal_matter_numbers')::text, 9, '0')"),
        ),
        sa.Column('account_key', sa.Text(), sa.ForeignKey('accounts.key'), nullable=False),
        sa.Column('case_key', sa.Text(), sa.ForeignKey('cases.key'), nullable=False),
        sa.Column('stage', sa.Text(), nullable=False),
        sa.Column('bars', sa.ARRAY(sa.Text()), nullable=False, server_default='{}'),
        sa.Column('limitation_on', sa.Date(), nullable=False),
        sa.Column('asked_by', sa.Text(), nullable=False),
        sa.Column('asked_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('approved_by', sa.Text()),
        sa.Column('approved_at', sa.DateTime(timezone=True)),
        sa.Column('notice_at', sa.DateTime(timezone=True)),
        sa.Column('notice_until', sa.DateTime(timezone=True)),
        sa.Column('filed_at', sa.DateTime(timezone=True)),
        sa.Column('ended_at', sa.DateTime(timezone=True)),
        sa.Column('reason', sa.Text()),
        sa.CheckConstraint(f'stage IN ({listed})', name=op.f('ck_legal_matters_stage')),
        sa.CheckConstraint('approved_by <> asked_by', name=op.f('ck_legal_matters_four_eyes')),
        sa.CheckConstraint('(approved_by IS NULL) = (approved_at IS NULL)', name=op.f('ck_legal_matters_approved')),
        sa.CheckConstraint(
            'filed_at IS NULL OR (approved_at IS NOT NULL AND notice_until IS NOT NULL AND filed_at >= notice_until)',
            name=op.f('ck_legal_matters_filed_after_its_notice'),
        ),
    )
    op.create_index(op.f('ix_legal_matters_account_key'), 'legal_matters', ['account_key'])
    op.create_index(op.f('ix_legal_matters_case_key'), 'legal_matters', ['case_key'])
    op.create_index(
        'uq_legal_matters_open', 'legal_matters', ['account_key'], unique=True,
        postgresql_where=sa.text('ended_at IS NULL'),
    )
    op.create_table(
        'legal_stages',
        sa.Column('id', sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column('matter_key', sa.Text(), sa.ForeignKey('legal_matters.key'), nullable=False),
        sa.Column('no', sa.Integer(), nullable=False),
        sa.Column('stage', sa.Text(), nullable=False),
        sa.Column('on_day', sa.Date(), nullable=False),
        sa.Column('at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('actor', sa.Text(), nullable=False),
        sa.Column('document_ref', sa.Text()),
        sa.Column('cost', sa.BigInteger()),
        sa.Column('currency', sa.Text()),
        sa.Column('entry_id', sa.BigInteger(), sa.ForeignKey('ledger_entries.id')),
        sa.Column('reason', sa.Text()),
        sa.Column('note_ref', sa.Text()),
        sa.Column('event_id', sa.Text(), nullable=False),
        sa.UniqueConstraint('matter_key', 'no', name=op.f('uq_legal_stages_matter_key_no')),
        sa.UniqueConstraint('event_id', name=op.f('uq_legal_stages_event_id')),
        sa.CheckConstraint('cost > 0 AND (cost IS NULL) = (currency IS NULL)', name=op.f('ck_legal_stages_cost')),
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
