"""who acts in which role, and what a second person decided"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ONE_CODE_ONE_PERSON = """
CREATE FUNCTION keep_who_an_actor_is() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'an actor is retired, never deleted';
    END IF;
    IF NEW.code <> OLD.code OR NEW.role <> OLD.role OR NEW.kind <> OLD.kind THEN
        RAISE EXCEPTION 'a code names one person in one role for ever: retire it and add another';
    END IF;
    IF OLD.retired_at IS NOT NULL AND NEW IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'a retired actor stays as it was';
    END IF;
    RETURN NEW;
END $$
"""

KEEP_APPROVALS = """
CREATE FUNCTION keep_what_was_decided() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'approvals are append-only: % is refused', TG_OP;
    END IF;
    IF OLD.decided_at IS NOT NULL THEN
        RAISE EXCEPTION 'approvals are append-only: this one is decided';
    END IF;
    IF NEW.subject_kind <> OLD.subject_kind OR NEW.subject_key <> OLD.subject_key OR NEW.asked_by <> OLD.asked_by
       OR NEW.asked_at <> OLD.asked_at OR NOT (OLD.touched_by <@ NEW.touched_by) THEN
        RAISE EXCEPTION 'approvals are append-only: who asked, and about what, stays';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    for name in ("skills", "languages", "regions", "licences"):
        op.add_column("actors", sa.Column(name, sa.ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.add_column("actors", sa.Column("phone", sa.Text()))
    op.add_column("actors", sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.add_column("actors", sa.Column("added_by", sa.Text(), server_default="system", nullable=False))
    op.add_column("actors", sa.Column("added_at", sa.DateTime(timezone=True)))
    op.add_column("actors", sa.Column("retired_by", sa.Text()))
    op.add_column("actors", sa.Column("retired_at", sa.DateTime(timezone=True)))
    op.create_check_constraint(op.f("ck_actors_active"), "actors", "active = (retired_at IS NULL)")
    op.create_check_constraint(op.f("ck_actors_kind_of_role"), "actors", "(kind = 'system') = (role = 'system')")
    op.execute(ONE_CODE_ONE_PERSON)
    op.execute(
        "CREATE TRIGGER actors_stay_who_they_are BEFORE UPDATE OR DELETE ON actors "
        "FOR EACH ROW EXECUTE FUNCTION keep_who_an_actor_is()"
    )
    op.execute("CREATE SEQUENCE approval_numbers")
    op.create_table(
        "approvals",
        sa.Column(
            "key",
            sa.Text(),
            server_default=sa.text("'V' || lpad(nextval('approval_numbers')::text, 9, '0')"),
            primary_key=True,
        ),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.Column("case_key", sa.Text(), sa.ForeignKey("cases.key")),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("touched_by", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("note_ref", sa.Text()),
        sa.Column("decided_by", sa.Text(), sa.ForeignKey("actors.code")),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("decision", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.CheckConstraint("decision IN ('approved', 'returned')", name=op.f("ck_approvals_decision")),
        sa.CheckConstraint(
            "decided_by <> asked_by AND decided_by <> ALL (touched_by)", name=op.f("ck_approvals_four_eyes")
        ),
        sa.CheckConstraint(
            "asked_by = ANY (touched_by) AND array_position(touched_by, NULL) IS NULL",
            name=op.f("ck_approvals_asker_touched"),
        ),
        sa.CheckConstraint(
            "(decided_by IS NULL) = (decision IS NULL) AND (decided_at IS NULL) = (decision IS NULL)",
            name=op.f("ck_approvals_decided"),
        ),
    )
    op.create_index(
        "uq_approvals_open",
        "approvals",
        ["subject_kind", "subject_key"],
        unique=True,
        postgresql_where=sa.text("decided_at IS NULL"),
    )
    op.create_index(op.f("ix_approvals_subject_kind_subject_key"), "approvals", ["subject_kind", "subject_key"])
    op.create_index(op.f("ix_approvals_case_key"), "approvals", ["case_key"])
    op.execute(KEEP_APPROVALS)
    op.execute(
        "CREATE TRIGGER approvals_append_only BEFORE UPDATE OR DELETE ON approvals "
        "FOR EACH ROW EXECUTE FUNCTION keep_what_was_decided()"
    )
    op.execute(
        "CREATE TRIGGER approvals_never_emptied BEFORE TRUNCATE ON approvals "
        "FOR EACH STATEMENT EXECUTE FUNCTION keep_what_was_decided()"
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward; restore a backup to go back")
