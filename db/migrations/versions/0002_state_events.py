"""what became of persons, debts and numbers"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

KINDS = (
    'opt_out', 'opt_in', 'channel_opt_out', 'inconvenient_time', 'inconvenient_place', 'cease_communication',
    'attorney_represented', 'attorney_withdrawn', 'bankruptcy_filed', 'bankruptcy_dismissed', 'bankruptcy_discharged',
    'deceased', 'no_capacity', 'dispute', 'verification_sent', 'original_creditor_request', 'original_creditor_sent',
    'identity_theft', 'military_service', 'hardship', 'breathing_space_start', 'breathing_space_end', 'complaint',
    'complaint_closed', 'wrong_party', 'third_party_refusal', 'employer_prohibits', 'time_barred', 'consent_given',
    'consent_withdrawn', 'disaster', 'bereavement', 'unclear_reply', 'end_state_event',
)
SCOPES = ('number', 'channel', 'person', 'account', 'debtor')


def _listed(values: tuple[str, ...]) -> str:
    return ', '.join(f"'{value}'" for value in values)


def upgrade() -> None:
    op.execute("CREATE SEQUENCE state_event_numbers")
    op.create_table('state_events',
    sa.Column('key', sa.Text(), server_default=sa.text("'S' || lpad(nextval('state_event_numbers')::text, 9, '0')"), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('scope', sa.Text(), nullable=False),
    sa.Column('target', sa.Text(), nullable=False),
    sa.Column('debtor_key', sa.Text(), nullable=True),
    sa.Column('party_key', sa.Text(), nullable=True),
    sa.Column('account_key', sa.Text(), nullable=True),
    sa.Column('contact_point_key', sa.Text(), nullable=True),
    sa.Column('channel', sa.Text(), nullable=True),
    sa.Column('creditor', sa.Text(), nullable=False),
    sa.Column('collector', sa.Text(), nullable=False),
    sa.Column('from_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('until_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_by', sa.Text(), nullable=True),
    sa.Column('detail', postgresql.JSONB(astext_type=sa.Text()), server_default='{}', nullable=False),
    sa.Column('ends', sa.ARRAY(sa.Text()), server_default='{}', nullable=False),
    sa.Column('ends_event', sa.Text(), nullable=True),
    sa.Column('event_id', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('actor', sa.Text(), nullable=False),
    sa.Column('note_ref', sa.Text(), nullable=True),
    sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint(f"kind IN ({_listed(KINDS)})", name=op.f('ck_state_events_kind')),
    sa.CheckConstraint(f"scope IN ({_listed(SCOPES)})", name=op.f('ck_state_events_scope')),
    sa.ForeignKeyConstraint(['account_key'], ['accounts.key'], name=op.f('fk_state_events_account_key')),
    sa.ForeignKeyConstraint(['contact_point_key'], ['contact_points.key'], name=op.f('fk_state_events_contact_point_key')),
    sa.ForeignKeyConstraint(['debtor_key'], ['debtors.key'], name=op.f('fk_state_events_debtor_key')),
    sa.ForeignKeyConstraint(['party_key'], ['parties.key'], name=op.f('fk_state_events_party_key')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_state_events')),
    sa.UniqueConstraint('event_id', 'kind', 'target', name=op.f('uq_state_events_event_id_kind_target'))
    )
    op.create_index(op.f('ix_state_events_account_key'), 'state_events', ['account_key'], unique=False)
    op.create_index(op.f('ix_state_events_contact_point_key'), 'state_events', ['contact_point_key'], unique=False)
    op.create_index(op.f('ix_state_events_debtor_key'), 'state_events', ['debtor_key'], unique=False)
    op.create_index(op.f('ix_state_events_party_key'), 'state_events', ['party_key'], unique=False)
    op.create_index(op.f('ix_state_events_target_kind'), 'state_events', ['target', 'kind'], unique=False)
    op.add_column('work_items', sa.Column('state_event_key', sa.Text(), nullable=True))
    op.add_column('work_items', sa.Column('not_for', sa.ARRAY(sa.Text()), server_default='{}', nullable=False))
    op.create_foreign_key(op.f('fk_work_items_state_event_key'), 'work_items', 'state_events', ['state_event_key'], ['key'])
    op.create_index(op.f('ix_work_items_state_event_key'), 'work_items', ['state_event_key'], unique=False)


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
