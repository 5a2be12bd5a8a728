"""field visits: planned, confirmed, made, with evidence by hash"""

import sqlalchemy as sa
from alembic import op

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE visit_numbers")
    op.create_table(
        'visits',
        sa.Column(
            'key', sa.Text(), primary_key=True,
            server_default=sa.text("'F' || lpad(nextval('visit_numbers')::text, 9, '0')"),
        ),
        sa.Column('item_key', sa.Text(), sa.ForeignKey('work_items.key'), nullable=False),
        sa.Column('party_key', sa.Text(), sa.ForeignKey('parties.key'), nullable=False),
        sa.Column('contact_point_key', sa.Text(), sa.ForeignKey('contact_points.key'), nullable=False),
        sa.Column('team', sa.Text(), nullable=False),
        sa.Column('area', sa.Text(), nullable=False),
        sa.Column('window_from', sa.DateTime(timezone=True), nullable=False),
        sa.Column('window_to', sa.DateTime(timezone=True), nullable=False),
        sa.Column('people', sa.Integer(), nullable=False),
        sa.Column('demanded', sa.Integer(), nullable=False),
        sa.Column('requirements', sa.ARRAY(sa.Text()), nullable=False),
        sa.Column('status', sa.Text(), nullable=False, server_default='planned'),
        sa.Column('planned_by', sa.Text(), nullable=False),
        sa.Column('planned_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('attempt_key', sa.Text(), sa.ForeignKey('attempts.key')),
        sa.Column('set_out_by', sa.Text()),
        sa.Column('set_out_at', sa.DateTime(timezone=True)),
        sa.Column('disposition', sa.Text()),
        sa.Column('party_reached', sa.Text()),
        sa.Column('done_at', sa.DateTime(timezone=True)),
        sa.Column('latitude', sa.Numeric(8, 5)),
        sa.Column('longitude', sa.Numeric(8, 5)),
        sa.Column('note_ref', sa.Text()),
        sa.CheckConstraint("status IN ('planned', 'out', 'done', 'cancelled')", name=op.f('ck_visits_status')),
        sa.CheckConstraint("window_to > window_from", name=op.f('ck_visits_window')),
        sa.CheckConstraint("people >= demanded AND demanded >= 1", name=op.f('ck_visits_people')),
        sa.CheckConstraint("(status IN ('out', 'done')) = (set_out_at IS NOT NULL)", name=op.f('ck_visits_set_out')),
        sa.CheckConstraint("(status = 'done') = (done_at IS NOT NULL)", name=op.f('ck_visits_done')),
        sa.CheckConstraint(
            "latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180", name=op.f('ck_visits_place')
        ),
        sa.CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", name=op.f('ck_visits_whole_place')),
    )
    op.create_index(op.f('ix_visits_item_key'), 'visits', ['item_key'])
    op.create_index(op.f('ix_visits_team_window_from'), 'visits', ['team', 'window_from'])
    op.create_index(
        'uq_visits_open_item', 'visits', ['item_key'], unique=True,
        postgresql_where=sa.text("status IN ('planned', 'out')"),
    )
    op.create_table(
        'visit_checks',
        sa.Column('visit_key', sa.Text(), sa.ForeignKey('visits.key'), nullable=False),
        sa.Column('requirement', sa.Text(), nullable=False),
        sa.Column('confirmed_by', sa.Text(), nullable=False),
        sa.Column('at', sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint('visit_key', 'requirement', name=op.f('uq_visit_checks_visit_key_requirement')),
    )
    op.create_table(
        'visit_people',
        sa.Column('visit_key', sa.Text(), sa.ForeignKey('visits.key'), nullable=False),
        sa.Column('actor', sa.Text(), nullable=False),
        sa.UniqueConstraint('visit_key', 'actor', name=op.f('uq_visit_people_visit_key_actor')),
    )
    op.create_table(
        'visit_evidence',
        sa.Column('visit_key', sa.Text(), sa.ForeignKey('visits.key'), nullable=False),
        sa.Column('document_ref', sa.Text(), nullable=False),
        sa.Column('sha256', sa.Text(), nullable=False),
        sa.UniqueConstraint('visit_key', 'sha256', name=op.f('uq_visit_evidence_visit_key_sha256')),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f('ck_visit_evidence_sha256')),
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
