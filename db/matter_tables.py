"""Tables of what people do about a debt beside contacts: disputes answered, visits made, legal matters pursued."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from db.tables import _key as key
from db.tables import metadata
from domain.codes import LegalStage

SHA256 = "sha256 ~ '^[0-9a-f]{64}$'"

dispute_acts = Table(
    "dispute_acts",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("dispute", Text, nullable=False),
    Column("account_key", Text, ForeignKey("accounts.key"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("given_by", Text),
    Column("document_ref", Text),
    Column("sha256", Text),
    Column("result", Text),
    Column("disputed_amount", BigInteger),
    Column("upheld_amount", BigInteger),
    Column("currency", Text),
    Column("entry_id", BigInteger, ForeignKey("ledger_entries.id")),
    Column("note_ref", Text),
    Column("event_id", Text, nullable=False),
    UniqueConstraint("event_id"),
    CheckConstraint("kind IN ('evidence', 'answer')", name="kind"),
    CheckConstraint("result IN ('upheld', 'upheld_in_part', 'rejected')", name="result"),
    CheckConstraint(
        "(kind = 'answer') = (result IS NOT NULL) AND (kind = 'answer') = (upheld_amount IS NOT NULL)", name="answered"
    ),
    CheckConstraint("upheld_amount >= 0 AND upheld_amount <= disputed_amount", name="within"),
    CheckConstraint(SHA256, name="sha256"),
    Index("uq_dispute_acts_answered", "dispute", unique=True, postgresql_where=text("kind = 'answer'")),
)
"""What was put forward in a dispute, and its one answer. ``dispute`` is the key of the state event that opened it, or of
the hold where a lender's file did. Files stay outside: only their reference and hash are kept. ``entry_id`` is the
adjustment that an answer led to. Amounts are minor units."""

legal_matters = Table(
    "legal_matters",
    metadata,
    key("legal_matter", "L"),
    Column("account_key", Text, ForeignKey("accounts.key"), nullable=False, index=True),
    Column("case_key", Text, ForeignKey("cases.key"), nullable=False, index=True),
    Column("stage", Text, nullable=False),
    Column("bars", ARRAY(Text), nullable=False, server_default="{}"),
    Column("limitation_on", Date, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("approved_by", Text),
    Column("approved_at", DateTime(timezone=True)),
    Column("notice_at", DateTime(timezone=True)),
    Column("notice_until", DateTime(timezone=True)),
    Column("filed_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("reason", Text),
    CheckConstraint(f"stage IN ({', '.join(repr(str(one)) for one in LegalStage)})", name="stage"),
    CheckConstraint("approved_by <> asked_by", name="four_eyes"),
    CheckConstraint("(approved_by IS NULL) = (approved_at IS NULL)", name="approved"),
    CheckConstraint(
        "filed_at IS NULL OR (approved_at IS NOT NULL AND notice_until IS NOT NULL AND filed_at >= notice_until)",
        name="filed_after_its_notice",
    ),
    Index("uq_legal_matters_open", "account_key", unique=True, postgresql_where=text("ended_at IS NULL")),
)
"""One pursuit of one debt in law. ``limitation_on`` is the first day on which a claim comes too late. ``bars`` are the
channels that rest at its stage, as the policy had it when the stage was reached."""

legal_stages = Table(
    "legal_stages",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("matter_key", Text, ForeignKey("legal_matters.key"), nullable=False),
    Column("no", Integer, nullable=False),
    Column("stage", Text, nullable=False),
    Column("on_day", Date, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("document_ref", Text),
    Column("cost", BigInteger),
    Column("currency", Text),
    Column("entry_id", BigInteger, ForeignKey("ledger_entries.id")),
    Column("reason", Text),
    Column("note_ref", Text),
    Column("event_id", Text, nullable=False),
    UniqueConstraint("matter_key", "no"),
    UniqueConstraint("event_id"),
    CheckConstraint("cost > 0 AND (cost IS NULL) = (currency IS NULL)", name="cost"),
)
"""The stages of a matter in their order. ``on_day`` is the day it happened, ``at`` when we recorded it. ``cost`` is in
minor units; it is owed only once ``entry_id`` names the entry by which somebody put it into the ledger."""

visits = Table(
    "visits",
    metadata,
    key("visit", "F"),
    Column("item_key", Text, ForeignKey("work_items.key"), nullable=False, index=True),
    Column("party_key", Text, ForeignKey("parties.key"), nullable=False),
    Column("contact_point_key", Text, ForeignKey("contact_points.key"), nullable=False),
    Column("team", Text, nullable=False),
    Column("area", Text, nullable=False),
    Column("window_from", DateTime(timezone=True), nullable=False),
    Column("window_to", DateTime(timezone=True), nullable=False),
    Column("people", Integer, nullable=False),
    Column("demanded", Integer, nullable=False),
    Column("requirements", ARRAY(Text), nullable=False),
    Column("status", Text, nullable=False, server_default="planned"),
    Column("planned_by", Text, nullable=False),
    Column("planned_at", DateTime(timezone=True), nullable=False),
    Column("attempt_key", Text, ForeignKey("attempts.key")),
    Column("set_out_by", Text),
    Column("set_out_at", DateTime(timezone=True)),
    Column("disposition", Text),
    Column("party_reached", Text),
    Column("done_at", DateTime(timezone=True)),
    Column("latitude", Numeric(8, 5)),
    Column("longitude", Numeric(8, 5)),
    Column("note_ref", Text),
    CheckConstraint("status IN ('planned', 'out', 'done', 'cancelled')", name="status"),
    CheckConstraint("window_to > window_from", name="window"),
    CheckConstraint("people >= demanded AND demanded >= 1", name="people"),
    CheckConstraint("(status IN ('out', 'done')) = (set_out_at IS NOT NULL)", name="set_out"),
    CheckConstraint("(status = 'done') = (done_at IS NOT NULL)", name="done"),
    CheckConstraint("latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180", name="place"),
    CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", name="whole_place"),
    Index("uq_visits_open_item", "item_key", unique=True, postgresql_where=text("status IN ('planned', 'out')")),
    Index(None, "team", "window_from"),
)
"""One visit to one person at one address. ``demanded``: how many people the rules asked for when it was planned. Where it
was made is personal data and stays here."""

visit_checks = Table(
    "visit_checks",
    metadata,
    Column("visit_key", Text, ForeignKey("visits.key"), nullable=False),
    Column("requirement", Text, nullable=False),
    Column("confirmed_by", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("visit_key", "requirement"),
)

visit_people = Table(
    "visit_people",
    metadata,
    Column("visit_key", Text, ForeignKey("visits.key"), nullable=False),
    Column("actor", Text, nullable=False),
    UniqueConstraint("visit_key", "actor"),
)
"""Who set out."""

visit_evidence = Table(
    "visit_evidence",
    metadata,
    Column("visit_key", Text, ForeignKey("visits.key"), nullable=False),
    Column("document_ref", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    UniqueConstraint("visit_key", "sha256"),
    CheckConstraint(SHA256, name="sha256"),
)
"""Recordings and pictures, kept outside: reference and hash."""
