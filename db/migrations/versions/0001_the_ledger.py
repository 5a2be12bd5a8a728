"""the ledger, laid out whole"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


NUMBERED = ("account", "arrangement", "contact_point", "debtor", "hold", "party", "work_item")

APPEND_CASE_EVENT = """
CREATE FUNCTION append_case_event(p_case text, p_kind text, p_at timestamptz, p_body text) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_seq integer;
    v_previous text;
    v_hash text;
BEGIN
    SELECT chain_seq + 1, chain_hash INTO v_seq, v_previous FROM cases WHERE key = p_case FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no case % to append an event to', p_case;
    END IF;
    v_hash := encode(sha256(convert_to(concat_ws('|', v_previous, p_case, v_seq::text, p_kind,
        to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), p_body), 'UTF8')), 'hex');
    INSERT INTO case_events (case_key, seq, kind, at, body, previous_hash, hash)
    VALUES (p_case, v_seq, p_kind, p_at, p_body, v_previous, v_hash);
    UPDATE cases SET chain_seq = v_seq, chain_hash = v_hash WHERE key = p_case;
    RETURN v_seq;
END $$
"""

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change_of_the_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the record is append-only: % of case_events is refused', TG_OP;
END $$
"""


def upgrade() -> None:
    for name in NUMBERED:
        op.execute(f"CREATE SEQUENCE {name}_numbers")
    op.create_table('actors',
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.CheckConstraint("kind IN ('person', 'system')", name=op.f('ck_actors_kind')),
    sa.CheckConstraint("role IN ('ops', 'agent', 'supervisor', 'auditor', 'admin', 'system')", name=op.f('ck_actors_role')),
    sa.PrimaryKeyConstraint('code', name=op.f('pk_actors'))
    )
    op.create_table('collectors',
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), server_default='', nullable=False),
    sa.PrimaryKeyConstraint('code', name=op.f('pk_collectors'))
    )
    op.create_table('creditors',
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), server_default='', nullable=False),
    sa.Column('currency', sa.Text(), nullable=True),
    sa.Column('region', sa.Text(), nullable=True),
    sa.Column('timezone', sa.Text(), nullable=True),
    sa.Column('language', sa.Text(), nullable=True),
    sa.Column('actor', sa.Text(), server_default='first_party_creditor', nullable=False),
    sa.Column('debt_type', sa.Text(), server_default='consumer', nullable=False),
    sa.Column('collector', sa.Text(), server_default='', nullable=False),
    sa.Column('allocation', postgresql.JSONB(astext_type=sa.Text()), server_default='{}', nullable=False),
    sa.Column('tolerance', postgresql.JSONB(astext_type=sa.Text()), server_default='{}', nullable=False),
    sa.Column('payment_feed_max_age_hours', sa.Integer(), nullable=True),
    sa.Column('debtor_namespace', sa.Text(), server_default='', nullable=False),
    sa.CheckConstraint("actor IN ('first_party_creditor', 'third_party_collector')", name=op.f('ck_creditors_actor')),
    sa.PrimaryKeyConstraint('code', name=op.f('pk_creditors'))
    )
    op.create_table('feeds',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('as_of', sa.DateTime(timezone=True), nullable=False),
    sa.Column('imported_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('rows', sa.Integer(), nullable=False),
    sa.Column('control_total', postgresql.JSONB(astext_type=sa.Text()), server_default='{}', nullable=False),
    sa.Column('is_full', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('creditors', sa.ARRAY(sa.Text()), server_default='{}', nullable=False),
    sa.CheckConstraint("kind IN ('ledger', 'payments', 'contacts', 'parties')", name=op.f('ck_feeds_kind')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_feeds'))
    )
    op.create_index(op.f('ix_feeds_kind_as_of'), 'feeds', ['kind', 'as_of'], unique=False)
    op.create_table('inbox',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('external_id', sa.Text(), nullable=False),
    sa.Column('case_key', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('status', sa.Text(), server_default='received', nullable=False),
    sa.Column('refusal', sa.Text(), nullable=True),
    sa.Column('batch', sa.Text(), nullable=True),
    sa.Column('outcomes', postgresql.JSONB(astext_type=sa.Text()), server_default='[]', nullable=False),
    sa.CheckConstraint("status IN ('received', 'applied', 'refused')", name=op.f('ck_inbox_status')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_inbox')),
    sa.UniqueConstraint('source', 'external_id', name=op.f('uq_inbox_source_external_id'))
    )
    op.create_index(op.f('ix_inbox_case_key'), 'inbox', ['case_key'], unique=False)
    op.create_table('parties',
    sa.Column('key', sa.Text(), server_default=sa.text("'P' || lpad(nextval('party_numbers')::text, 9, '0')"), nullable=False),
    sa.Column('namespace', sa.Text(), server_default='', nullable=False),
    sa.Column('external_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), server_default='', nullable=False),
    sa.Column('language', sa.Text(), nullable=True),
    sa.Column('timezone', sa.Text(), nullable=True),
    sa.Column('timezone_source', sa.Text(), nullable=True),
    sa.Column('region', sa.Text(), nullable=True),
    sa.Column('locality', sa.Text(), nullable=True),
    sa.Column('vulnerable', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('born_on', sa.Date(), nullable=True),
    sa.Column('deceased_on', sa.Date(), nullable=True),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_parties')),
    sa.UniqueConstraint('namespace', 'external_id', name=op.f('uq_parties_namespace_external_id'))
    )
    op.create_table('runtime_settings',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('value', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_runtime_settings'))
    )
    op.create_table('sandbox_events',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('external_id', sa.Text(), nullable=False),
    sa.Column('case_key', sa.Text(), nullable=True),
    sa.Column('party_key', sa.Text(), nullable=True),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('body', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('delivered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sandbox_events')),
    sa.UniqueConstraint('external_id', name=op.f('uq_sandbox_events_external_id'))
    )
    op.create_index('ix_sandbox_events_case', 'sandbox_events', ['case_key', 'at'], unique=False, postgresql_where=sa.text('delivered_at IS NULL'))
    op.create_index('ix_sandbox_events_pending', 'sandbox_events', ['at'], unique=False, postgresql_where=sa.text('delivered_at IS NULL'))
    op.create_index('ix_sandbox_events_unconfirmed', 'sandbox_events', ['at'], unique=False, postgresql_where=sa.text('delivered_at IS NOT NULL AND confirmed_at IS NULL'))
    op.create_table('sandbox_outbox',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('attempt_key', sa.Text(), nullable=False),
    sa.Column('channel', sa.Text(), nullable=False),
    sa.Column('recipient', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), server_default='', nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sandbox_outbox')),
    sa.UniqueConstraint('attempt_key', name=op.f('uq_sandbox_outbox_attempt_key'))
    )
    op.create_table('sandbox_requests',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('attempt_key', sa.Text(), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sandbox_requests'))
    )
    op.create_index(op.f('ix_sandbox_requests_attempt_key'), 'sandbox_requests', ['attempt_key'], unique=False)
    op.create_table('strategies',
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('body', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('registered_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_strategies')),
    sa.UniqueConstraint('name', 'version', name=op.f('uq_strategies_name_version'))
    )
    op.create_table('suspense',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('external_id', sa.Text(), nullable=False),
    sa.Column('account_ref', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('value_on', sa.Date(), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), server_default='open', nullable=False),
    sa.CheckConstraint("reason IN ('unknown_account', 'other_currency', 'ambiguous_account', 'unknown_payment')", name=op.f('ck_suspense_reason')),
    sa.CheckConstraint("state IN ('open', 'applied', 'returned')", name=op.f('ck_suspense_state')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_suspense')),
    sa.UniqueConstraint('kind', 'external_id', name=op.f('uq_suspense_kind_external_id'))
    )
    op.create_table('contact_points',
    sa.Column('key', sa.Text(), server_default=sa.text("'N' || lpad(nextval('contact_point_numbers')::text, 9, '0')"), nullable=False),
    sa.Column('party_key', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('value', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), server_default='ledger', nullable=False),
    sa.Column('state', sa.Text(), server_default='unconfirmed', nullable=False),
    sa.Column('consent', sa.Text(), server_default='not_asked', nullable=False),
    sa.Column('tried', sa.Integer(), server_default='0', nullable=False),
    sa.Column('last_tried_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("consent IN ('not_asked', 'given', 'withdrawn')", name=op.f('ck_contact_points_consent')),
    sa.CheckConstraint("kind IN ('phone', 'email', 'address')", name=op.f('ck_contact_points_kind')),
    sa.CheckConstraint("state IN ('unconfirmed', 'confirmed', 'invalid', 'wrong_party')", name=op.f('ck_contact_points_state')),
    sa.ForeignKeyConstraint(['party_key'], ['parties.key'], name=op.f('fk_contact_points_party_key')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_contact_points')),
    sa.UniqueConstraint('party_key', 'kind', 'value', name=op.f('uq_contact_points_party_key_kind_value'))
    )
    op.create_index(op.f('ix_contact_points_kind_value'), 'contact_points', ['kind', 'value'], unique=False)
    op.create_table('debtors',
    sa.Column('key', sa.Text(), server_default=sa.text("'D' || lpad(nextval('debtor_numbers')::text, 9, '0')"), nullable=False),
    sa.Column('namespace', sa.Text(), server_default='', nullable=False),
    sa.Column('external_id', sa.Text(), nullable=False),
    sa.Column('party_key', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['party_key'], ['parties.key'], name=op.f('fk_debtors_party_key')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_debtors')),
    sa.UniqueConstraint('namespace', 'external_id', name=op.f('uq_debtors_namespace_external_id'))
    )
    op.create_index(op.f('ix_debtors_party_key'), 'debtors', ['party_key'], unique=False)
    op.create_table('work_items',
    sa.Column('key', sa.Text(), server_default=sa.text("'W' || lpad(nextval('work_item_numbers')::text, 9, '0')"), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), server_default='open', nullable=False),
    sa.Column('party_key', sa.Text(), nullable=True),
    sa.Column('creditor', sa.Text(), server_default='', nullable=False),
    sa.Column('collector', sa.Text(), server_default='', nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('skill', sa.Text(), nullable=True),
    sa.Column('priority', sa.Integer(), server_default='0', nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('claimed_by', sa.Text(), nullable=True),
    sa.Column('lease_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('done_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('disposition', sa.Text(), nullable=True),
    sa.Column('outcome', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.CheckConstraint("kind IN ('call', 'visit', 'legal', 'data_repair', 'review')", name=op.f('ck_work_items_kind')),
    sa.CheckConstraint("status IN ('open', 'claimed', 'done', 'expired', 'cancelled')", name=op.f('ck_work_items_status')),
    sa.ForeignKeyConstraint(['party_key'], ['parties.key'], name=op.f('fk_work_items_party_key')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_work_items'))
    )
    op.create_index(op.f('ix_work_items_party_key'), 'work_items', ['party_key'], unique=False)
    op.create_index(op.f('ix_work_items_status_kind_due_at'), 'work_items', ['status', 'kind', 'due_at'], unique=False)
    op.create_index('uq_work_items_open_call', 'work_items', ['party_key', 'creditor', 'collector'], unique=True, postgresql_where=sa.text("kind = 'call' AND status IN ('open', 'claimed')"))
    op.create_table('accounts',
    sa.Column('key', sa.Text(), server_default=sa.text("'A' || lpad(nextval('account_numbers')::text, 9, '0')"), nullable=False),
    sa.Column('creditor', sa.Text(), nullable=False),
    sa.Column('external_id', sa.Text(), nullable=False),
    sa.Column('debtor_key', sa.Text(), nullable=False),
    sa.Column('product', sa.Text(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('collector', sa.Text(), server_default='', nullable=False),
    sa.Column('actor', sa.Text(), server_default='first_party_creditor', nullable=False),
    sa.Column('debt_type', sa.Text(), server_default='consumer', nullable=False),
    sa.Column('issued_on', sa.Date(), nullable=True),
    sa.Column('placed_on', sa.Date(), nullable=True),
    sa.Column('charged_off_on', sa.Date(), nullable=True),
    sa.Column('disputed', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('score', sa.Integer(), nullable=True),
    sa.Column('closing', sa.Text(), nullable=True),
    sa.Column('closing_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('missing_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("actor IN ('first_party_creditor', 'third_party_collector')", name=op.f('ck_accounts_actor')),
    sa.CheckConstraint("closing IN ('cure', 'self_cure', 'paid', 'settled', 'recalled', 'sold', 'uncollectable', 'discharged', 'deceased', 'error')", name=op.f('ck_accounts_closing')),
    sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f('ck_accounts_currency')),
    sa.ForeignKeyConstraint(['creditor'], ['creditors.code'], name=op.f('fk_accounts_creditor')),
    sa.ForeignKeyConstraint(['debtor_key'], ['debtors.key'], name=op.f('fk_accounts_debtor_key')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_accounts')),
    sa.UniqueConstraint('creditor', 'external_id', name=op.f('uq_accounts_creditor_external_id'))
    )
    op.create_index(op.f('ix_accounts_debtor_key'), 'accounts', ['debtor_key'], unique=False)
    op.create_index(op.f('ix_accounts_external_id'), 'accounts', ['external_id'], unique=False)
    op.create_table('consents',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('party_key', sa.Text(), nullable=False),
    sa.Column('contact_point_key', sa.Text(), nullable=True),
    sa.Column('channel', sa.Text(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('scope', sa.Text(), server_default='number', nullable=False),
    sa.Column('from_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('until_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('event_id', sa.Text(), nullable=True),
    sa.CheckConstraint("state IN ('given', 'withdrawn')", name=op.f('ck_consents_state')),
    sa.ForeignKeyConstraint(['contact_point_key'], ['contact_points.key'], name=op.f('fk_consents_contact_point_key')),
    sa.ForeignKeyConstraint(['party_key'], ['parties.key'], name=op.f('fk_consents_party_key')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_consents')),
    sa.UniqueConstraint('event_id', name=op.f('uq_consents_event_id'))
    )
    op.create_index(op.f('ix_consents_party_key'), 'consents', ['party_key'], unique=False)
    op.create_table('account_parties',
    sa.Column('account_key', sa.Text(), nullable=False),
    sa.Column('party_key', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('valid_from', sa.Date(), nullable=True),
    sa.Column('valid_to', sa.Date(), nullable=True),
    sa.CheckConstraint("role IN ('borrower', 'co_borrower', 'guarantor', 'contact_person', 'attorney', 'executor')", name=op.f('ck_account_parties_role')),
    sa.ForeignKeyConstraint(['account_key'], ['accounts.key'], name=op.f('fk_account_parties_account_key')),
    sa.ForeignKeyConstraint(['party_key'], ['parties.key'], name=op.f('fk_account_parties_party_key')),
    sa.UniqueConstraint('account_key', 'party_key', 'role', name=op.f('uq_account_parties_account_key_party_key_role'))
    )
    op.create_index(op.f('ix_account_parties_party_key'), 'account_parties', ['party_key'], unique=False)
    op.create_table('arrangements',
    sa.Column('key', sa.Text(), server_default=sa.text("'R' || lpad(nextval('arrangement_numbers')::text, 9, '0')"), nullable=False),
    sa.Column('account_key', sa.Text(), nullable=False),
    sa.Column('case_key', sa.Text(), nullable=True),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), server_default='active', nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('covered_amount', sa.BigInteger(), nullable=False),
    sa.Column('discount', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('dpd_effect', sa.Text(), server_default='none', nullable=False),
    sa.Column('agreed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('agreed_by', sa.Text(), server_default='system', nullable=False),
    sa.Column('approved_by', sa.Text(), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('event_id', sa.Text(), nullable=True),
    sa.CheckConstraint("dpd_effect IN ('none', 'freeze', 're-age')", name=op.f('ck_arrangements_dpd_effect')),
    sa.CheckConstraint("kind IN ('promise', 'instalments', 'deferral', 'settlement')", name=op.f('ck_arrangements_kind')),
    sa.CheckConstraint("status IN ('proposed', 'active', 'kept', 'partially_kept', 'broken', 'cancelled', 'expired')", name=op.f('ck_arrangements_status')),
    sa.ForeignKeyConstraint(['account_key'], ['accounts.key'], name=op.f('fk_arrangements_account_key')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_arrangements')),
    sa.UniqueConstraint('event_id', name=op.f('uq_arrangements_event_id'))
    )
    op.create_index(op.f('ix_arrangements_account_key'), 'arrangements', ['account_key'], unique=False)
    op.create_table('cases',
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('account_key', sa.Text(), nullable=False),
    sa.Column('episode', sa.Integer(), nullable=False),
    sa.Column('previous_key', sa.Text(), nullable=True),
    sa.Column('debtor_key', sa.Text(), nullable=False),
    sa.Column('creditor', sa.Text(), nullable=False),
    sa.Column('collector', sa.Text(), server_default='', nullable=False),
    sa.Column('strategy_digest', sa.Text(), nullable=False),
    sa.Column('strategy', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), server_default='opening', nullable=False),
    sa.Column('stage', sa.Text(), server_default='opening', nullable=False),
    sa.Column('step', sa.Text(), nullable=True),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('waiting_for', sa.Text(), server_default='', nullable=False),
    sa.Column('opened_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('close_reason', sa.Text(), nullable=True),
    sa.Column('clock', postgresql.JSONB(astext_type=sa.Text()), server_default='{}', nullable=False),
    sa.Column('chain_seq', sa.Integer(), server_default='0', nullable=False),
    sa.Column('chain_hash', sa.Text(), server_default='', nullable=False),
    sa.CheckConstraint("(status = 'closed') = (closed_at IS NOT NULL AND close_reason IS NOT NULL)", name=op.f('ck_cases_closed')),
    sa.CheckConstraint("status IN ('opening', 'open', 'closed')", name=op.f('ck_cases_status')),
    sa.ForeignKeyConstraint(['account_key'], ['accounts.key'], name=op.f('fk_cases_account_key')),
    sa.ForeignKeyConstraint(['debtor_key'], ['debtors.key'], name=op.f('fk_cases_debtor_key')),
    sa.ForeignKeyConstraint(['strategy_digest'], ['strategies.digest'], name=op.f('fk_cases_strategy_digest')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_cases')),
    sa.UniqueConstraint('account_key', 'episode', name=op.f('uq_cases_account_key_episode'))
    )
    op.create_index(op.f('ix_cases_debtor_key'), 'cases', ['debtor_key'], unique=False)
    op.create_index(op.f('ix_cases_status_stage'), 'cases', ['status', 'stage'], unique=False)
    op.create_index('uq_cases_open_account', 'cases', ['account_key'], unique=True, postgresql_where=sa.text("status <> 'closed'"))
    op.create_table('dues',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('account_key', sa.Text(), nullable=False),
    sa.Column('ref', sa.Text(), nullable=False),
    sa.Column('component', sa.Text(), server_default='principal', nullable=False),
    sa.Column('due_on', sa.Date(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('amount >= 0', name=op.f('ck_dues_amount')),
    sa.ForeignKeyConstraint(['account_key'], ['accounts.key'], name=op.f('fk_dues_account_key')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_dues')),
    sa.UniqueConstraint('account_key', 'ref', 'component', name=op.f('uq_dues_account_key_ref_component'))
    )
    op.create_index(op.f('ix_dues_due_on_account_key'), 'dues', ['due_on', 'account_key'], unique=False)
    op.create_table('holds',
    sa.Column('key', sa.Text(), server_default=sa.text("'H' || lpad(nextval('hold_numbers')::text, 9, '0')"), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('scope', sa.Text(), nullable=False),
    sa.Column('debtor_key', sa.Text(), nullable=True),
    sa.Column('account_key', sa.Text(), nullable=True),
    sa.Column('contact_point_key', sa.Text(), nullable=True),
    sa.Column('channel', sa.Text(), nullable=True),
    sa.Column('part_amount', sa.BigInteger(), nullable=True),
    sa.Column('from_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('until_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('until_event', sa.Text(), nullable=True),
    sa.Column('placed_by', sa.Text(), server_default='system', nullable=False),
    sa.Column('released_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('released_by', sa.Text(), nullable=True),
    sa.Column('note_ref', sa.Text(), nullable=True),
    sa.Column('event_id', sa.Text(), nullable=True),
    sa.CheckConstraint("scope IN ('debtor', 'account', 'part', 'channel', 'number')", name=op.f('ck_holds_scope')),
    sa.CheckConstraint('debtor_key IS NOT NULL OR account_key IS NOT NULL OR contact_point_key IS NOT NULL', name=op.f('ck_holds_target')),
    sa.CheckConstraint('until_at IS NULL OR until_at > from_at', name=op.f('ck_holds_ends_after_it_begins')),
    sa.ForeignKeyConstraint(['account_key'], ['accounts.key'], name=op.f('fk_holds_account_key')),
    sa.ForeignKeyConstraint(['contact_point_key'], ['contact_points.key'], name=op.f('fk_holds_contact_point_key')),
    sa.ForeignKeyConstraint(['debtor_key'], ['debtors.key'], name=op.f('fk_holds_debtor_key')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_holds')),
    sa.UniqueConstraint('event_id', name=op.f('uq_holds_event_id'))
    )
    op.create_index(op.f('ix_holds_account_key'), 'holds', ['account_key'], unique=False)
    op.create_index(op.f('ix_holds_contact_point_key'), 'holds', ['contact_point_key'], unique=False)
    op.create_index(op.f('ix_holds_debtor_key'), 'holds', ['debtor_key'], unique=False)
    op.create_table('ledger_entries',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('account_key', sa.Text(), nullable=False),
    sa.Column('creditor', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('component', sa.Text(), nullable=True),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('value_on', sa.Date(), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('external_id', sa.Text(), nullable=False),
    sa.Column('reverses', sa.Text(), nullable=True),
    sa.Column('source', sa.Text(), server_default='api', nullable=False),
    sa.Column('feed_id', sa.BigInteger(), nullable=True),
    sa.CheckConstraint("(kind = 'reversal') = (reverses IS NOT NULL)", name=op.f('ck_ledger_entries_reverses')),
    sa.CheckConstraint("kind = 'adjustment' OR amount > 0", name=op.f('ck_ledger_entries_amount')),
    sa.CheckConstraint("kind IN ('charge', 'interest', 'fee', 'waiver', 'payment', 'reversal', 'adjustment', 'charge_off')", name=op.f('ck_ledger_entries_kind')),
    sa.ForeignKeyConstraint(['account_key'], ['accounts.key'], name=op.f('fk_ledger_entries_account_key')),
    sa.ForeignKeyConstraint(['feed_id'], ['feeds.id'], name=op.f('fk_ledger_entries_feed_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_ledger_entries')),
    sa.UniqueConstraint('creditor', 'external_id', name=op.f('uq_ledger_entries_creditor_external_id'))
    )
    op.create_index(op.f('ix_ledger_entries_account_key'), 'ledger_entries', ['account_key'], unique=False)
    op.create_index('uq_ledger_entries_reversed', 'ledger_entries', ['creditor', 'reverses'], unique=True, postgresql_where=sa.text("kind = 'reversal'"))
    op.create_table('placements',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('account_key', sa.Text(), nullable=False),
    sa.Column('collector', sa.Text(), nullable=False),
    sa.Column('actor', sa.Text(), nullable=False),
    sa.Column('placed_on', sa.Date(), nullable=False),
    sa.Column('recalled_on', sa.Date(), nullable=True),
    sa.ForeignKeyConstraint(['account_key'], ['accounts.key'], name=op.f('fk_placements_account_key')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_placements')),
    sa.UniqueConstraint('account_key', 'collector', 'placed_on', name=op.f('uq_placements_account_key_collector_placed_on'))
    )
    op.create_table('arrangement_lines',
    sa.Column('arrangement_key', sa.Text(), nullable=False),
    sa.Column('no', sa.Integer(), nullable=False),
    sa.Column('due_on', sa.Date(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('amount > 0', name=op.f('ck_arrangement_lines_amount')),
    sa.ForeignKeyConstraint(['arrangement_key'], ['arrangements.key'], name=op.f('fk_arrangement_lines_arrangement_key')),
    sa.UniqueConstraint('arrangement_key', 'no', name=op.f('uq_arrangement_lines_arrangement_key_no'))
    )
    op.create_table('attempts',
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('case_key', sa.Text(), nullable=False),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('origin', sa.Text(), server_default='step', nullable=False),
    sa.Column('purpose', sa.Text(), server_default='collect', nullable=False),
    sa.Column('step', sa.Text(), nullable=True),
    sa.Column('pass_no', sa.Integer(), server_default='1', nullable=False),
    sa.Column('try_no', sa.Integer(), server_default='1', nullable=False),
    sa.Column('channel', sa.Text(), nullable=False),
    sa.Column('template', sa.Text(), nullable=True),
    sa.Column('party_key', sa.Text(), nullable=True),
    sa.Column('contact_point_key', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('not_before', sa.DateTime(timezone=True), nullable=True),
    sa.Column('admitted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('engine_admitted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('provider', sa.Text(), nullable=True),
    sa.Column('provider_id', sa.Text(), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=True),
    sa.Column('error_code', sa.Text(), nullable=True),
    sa.Column('dispatch', sa.Integer(), server_default='0', nullable=False),
    sa.Column('quoted_amount', sa.BigInteger(), nullable=True),
    sa.Column('quoted_currency', sa.Text(), nullable=True),
    sa.Column('quoted_as_of', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("origin IN ('step', 'agent', 'inbound', 'reminder')", name=op.f('ck_attempts_origin')),
    sa.CheckConstraint("purpose IN ('collect', 'service', 'required_notice', 'reply', 'locate')", name=op.f('ck_attempts_purpose')),
    sa.CheckConstraint("status IN ('refused', 'deferred', 'retryable', 'dispatching', 'unknown', 'sent', 'delivered', 'answered', 'undelivered', 'failed', 'unsent')", name=op.f('ck_attempts_status')),
    sa.ForeignKeyConstraint(['case_key'], ['cases.key'], name=op.f('fk_attempts_case_key')),
    sa.ForeignKeyConstraint(['contact_point_key'], ['contact_points.key'], name=op.f('fk_attempts_contact_point_key')),
    sa.ForeignKeyConstraint(['party_key'], ['parties.key'], name=op.f('fk_attempts_party_key')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_attempts')),
    sa.UniqueConstraint('case_key', 'seq', name=op.f('uq_attempts_case_key_seq'))
    )
    op.create_index('ix_attempts_contacted', 'attempts', ['contact_point_key', 'admitted_at'], unique=False, postgresql_where=sa.text('admitted_at IS NOT NULL'))
    op.create_index('ix_attempts_in_flight', 'attempts', ['engine_admitted_at'], unique=False, postgresql_where=sa.text("status = 'dispatching'"))
    op.create_index(op.f('ix_attempts_provider_provider_id'), 'attempts', ['provider', 'provider_id'], unique=False)
    op.create_table('case_events',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('case_key', sa.Text(), nullable=False),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('previous_hash', sa.Text(), nullable=False),
    sa.Column('hash', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['case_key'], ['cases.key'], name=op.f('fk_case_events_case_key')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_case_events')),
    sa.UniqueConstraint('case_key', 'seq', name=op.f('uq_case_events_case_key_seq'))
    )
    op.create_table('work_item_cases',
    sa.Column('item_key', sa.Text(), nullable=False),
    sa.Column('case_key', sa.Text(), nullable=False),
    sa.Column('step', sa.Text(), nullable=True),
    sa.Column('asked_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempt_key', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['case_key'], ['cases.key'], name=op.f('fk_work_item_cases_case_key')),
    sa.ForeignKeyConstraint(['item_key'], ['work_items.key'], name=op.f('fk_work_item_cases_item_key')),
    sa.UniqueConstraint('item_key', 'case_key', name=op.f('uq_work_item_cases_item_key_case_key'))
    )
    op.create_index(op.f('ix_work_item_cases_case_key'), 'work_item_cases', ['case_key'], unique=False)
    op.create_table('attempt_accounts',
    sa.Column('attempt_key', sa.Text(), nullable=False),
    sa.Column('account_key', sa.Text(), nullable=False),
    sa.Column('case_key', sa.Text(), nullable=True),
    sa.Column('quoted_amount', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['account_key'], ['accounts.key'], name=op.f('fk_attempt_accounts_account_key')),
    sa.ForeignKeyConstraint(['attempt_key'], ['attempts.key'], name=op.f('fk_attempt_accounts_attempt_key')),
    sa.UniqueConstraint('attempt_key', 'account_key', name=op.f('uq_attempt_accounts_attempt_key_account_key'))
    )
    op.create_index(op.f('ix_attempt_accounts_account_key'), 'attempt_accounts', ['account_key'], unique=False)
    op.create_table('coverage',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('attempt_key', sa.Text(), nullable=False),
    sa.Column('covered_case', sa.Text(), nullable=False),
    sa.Column('step', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), server_default='standing', nullable=False),
    sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("state IN ('standing', 'used', 'void')", name=op.f('ck_coverage_state')),
    sa.ForeignKeyConstraint(['attempt_key'], ['attempts.key'], name=op.f('fk_coverage_attempt_key')),
    sa.ForeignKeyConstraint(['covered_case'], ['cases.key'], name=op.f('fk_coverage_covered_case')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_coverage')),
    sa.UniqueConstraint('covered_case', 'step', 'attempt_key', name=op.f('uq_coverage_covered_case_step_attempt_key'))
    )
    op.create_table('decisions',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('attempt_key', sa.Text(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('verdict', sa.Text(), nullable=False),
    sa.Column('defer_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('rule_ids', sa.ARRAY(sa.Text()), server_default='{}', nullable=False),
    sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), server_default='{}', nullable=False),
    sa.Column('packs', postgresql.JSONB(astext_type=sa.Text()), server_default='{}', nullable=False),
    sa.CheckConstraint("verdict IN ('allow', 'defer', 'block', 'review')", name=op.f('ck_decisions_verdict')),
    sa.ForeignKeyConstraint(['attempt_key'], ['attempts.key'], name=op.f('fk_decisions_attempt_key')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_decisions')),
    sa.UniqueConstraint('attempt_key', 'number', name=op.f('uq_decisions_attempt_key_number'))
    )
    op.create_index(op.f('ix_decisions_attempt_key'), 'decisions', ['attempt_key'], unique=False)
    op.execute(APPEND_CASE_EVENT)
    op.execute(REFUSE_CHANGE)
    op.execute(
        "CREATE TRIGGER case_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON case_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_the_record()"
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
