"""The tables of the ledger, laid out whole.

Who is concerned, what is owed, what we do, and the record. Uniqueness and ranges are constraints of the database,
not habits of the code. Money is integer minor units beside its currency; every time is ``timestamptz``; every
identifier is text. Keys are our own surrogates: a lender's numbers stay in ``external_id`` columns.
Personal data lives in ``parties`` and ``contact_points`` only (and in the simulated carrier's outbox).
"""

from collections.abc import Iterable

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem

from domain.approvals import Verdict as Decision
from domain.arrangements import ACTIVE, ENDS_AND_PROPOSED, ArrangementKind, Covers, DpdEffect
from domain.codes import (
    Actor,
    AttemptStatus,
    CloseReason,
    EntryKind,
    HoldScope,
    Origin,
    PartyRole,
    Purpose,
    Reached,
    TaskKind,
    Verdict,
)
from domain.roles import Role
from domain.state_events import StateKind, StateScope

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _key(name: str, prefix: str) -> Column[str]:
    """Make a surrogate text key: a letter and a number from its own sequence."""
    numbers = Sequence(f"{name}_numbers", metadata=metadata)
    default = text(f"'{prefix}' || lpad(nextval('{numbers.name}')::text, 9, '0')")
    return Column("key", Text, primary_key=True, server_default=default)


def _text(name: str, *items: SchemaItem, null: bool = False, default: str | None = None) -> Column[str]:
    return Column(name, Text, *items, nullable=null, server_default=default)


def _ref(name: str, target: str, *, null: bool = False, index: bool = False) -> Column[str]:
    return Column(name, Text, ForeignKey(target), nullable=null, index=index)


def _at(name: str, *, null: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=null)


def _on(name: str, *, null: bool = False) -> Column[object]:
    return Column(name, Date, nullable=null)


def _money(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


# --- who ------------------------------------------------------------------------------------------------------

creditors = Table(
    "creditors",
    metadata,
    Column("code", Text, primary_key=True),
    _text("name", default=""),
    _text("currency", null=True),
    _text("region", null=True),
    _text("timezone", null=True),
    _text("language", null=True),
    _text("actor", default="first_party_creditor"),
    _text("debt_type", default="consumer"),
    _text("collector", default=""),
    Column("allocation", JSONB, nullable=False, server_default="{}"),
    Column("tolerance", JSONB, nullable=False, server_default="{}"),
    Column("payment_feed_max_age_hours", Integer),
    _text("debtor_namespace", default=""),
    Column("licences", ARRAY(Text), nullable=False, server_default="{}"),
    _one_of("actor", Actor),
)
"""Who is owed. ``licences`` are those that a person must hold who speaks for this creditor. ``allocation`` holds the order payments are allocated in, ``tolerance`` minor units by currency.
A payment feed older than ``payment_feed_max_age_hours`` defers all contact; null means payments arrive one by one."""

collectors = Table("collectors", metadata, Column("code", Text, primary_key=True), _text("name", default=""))

actors = Table(
    "actors",
    metadata,
    Column("code", Text, primary_key=True),
    _text("kind"),
    _text("role"),
    Column("skills", ARRAY(Text), nullable=False, server_default="{}"),
    Column("languages", ARRAY(Text), nullable=False, server_default="{}"),
    Column("regions", ARRAY(Text), nullable=False, server_default="{}"),
    Column("licences", ARRAY(Text), nullable=False, server_default="{}"),
    _text("phone", null=True),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    _text("added_by", default="system"),
    _at("added_at", null=True),
    _text("retired_by", null=True),
    _at("retired_at", null=True),
    _one_of("kind", ("person", "system")),
    _one_of("role", Role),
    CheckConstraint("active = (retired_at IS NULL)", name="active"),
    CheckConstraint("(kind = 'system') = (role = 'system')", name="kind_of_role"),
)
"""Who may act. A code names one person for ever: it is retired, never renamed or given to somebody else (a trigger
refuses it). ``regions`` empty: anywhere. ``phone`` is where an agent's own telephone rings; it is never logged."""

approvals = Table(
    "approvals",
    metadata,
    _key("approval", "V"),
    _text("subject_kind"),
    _text("subject_key"),
    _text("digest", default=""),
    _ref("case_key", "cases.key", null=True, index=True),
    _text("asked_by"),
    _at("asked_at"),
    Column("touched_by", ARRAY(Text), nullable=False),
    _text("note_ref", null=True),
    _ref("decided_by", "actors.code", null=True),
    _at("decided_at", null=True),
    _text("decision", null=True),
    _text("reason", null=True),
    _one_of("decision", Decision),
    CheckConstraint("decided_by <> asked_by AND decided_by <> ALL (touched_by)", name="four_eyes"),
    CheckConstraint("asked_by = ANY (touched_by) AND array_position(touched_by, NULL) IS NULL", name="asker_touched"),
    CheckConstraint(
        "(decided_by IS NULL) = (decision IS NULL) AND (decided_at IS NULL) = (decision IS NULL)", name="decided"
    ),
    Index(
        "uq_approvals_open",
        "subject_kind",
        "subject_key",
        unique=True,
        postgresql_where=text("decided_at IS NULL"),
    ),
    Index(None, "subject_kind", "subject_key"),
)
"""What one person asked and another decided. ``touched_by``: everybody who asked or changed the subject; none of them
decides. ``digest`` is of the subject's content. A trigger keeps who asked, and every row once it is decided."""

parties = Table(
    "parties",
    metadata,
    _key("party", "P"),
    _text("namespace", default=""),
    _text("external_id"),
    _text("name", default=""),
    _text("language", null=True),
    _text("timezone", null=True),
    _text("timezone_source", null=True),
    _text("region", null=True),
    _text("locality", null=True),
    Column("vulnerable", Boolean, nullable=False, server_default=text("false")),
    _on("born_on", null=True),
    _on("deceased_on", null=True),
    UniqueConstraint("namespace", "external_id"),
)

debtors = Table(
    "debtors",
    metadata,
    _key("debtor", "D"),
    _text("namespace", default=""),
    _text("external_id"),
    _ref("party_key", "parties.key", index=True),
    UniqueConstraint("namespace", "external_id"),
)

contact_points = Table(
    "contact_points",
    metadata,
    _key("contact_point", "N"),
    _ref("party_key", "parties.key"),
    _text("kind"),
    _text("value"),
    _text("source", default="ledger"),
    _text("state", default="unconfirmed"),
    _text("consent", default="not_asked"),
    Column("unfit", ARRAY(Text), nullable=False, server_default="{}"),
    Column("tried", Integer, nullable=False, server_default="0"),
    Column("reached", Integer, nullable=False, server_default="0"),
    _at("last_tried_at", null=True),
    UniqueConstraint("party_key", "kind", "value"),
    _one_of("kind", ("phone", "email", "address")),
    _one_of("state", ("unconfirmed", "confirmed", "invalid", "wrong_party")),
    _one_of("consent", ("not_asked", "given", "withdrawn")),
    Index(None, "kind", "value"),
)
"""``unfit`` names the channels that cannot use a point that is good for others: text messages to a landline.
``reached`` counts the right-party contacts that calls and visits made there."""

# --- what is owed ---------------------------------------------------------------------------------------------

feeds = Table(
    "feeds",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("kind"),
    _text("source"),
    _text("digest"),
    _at("as_of"),
    _at("imported_at"),
    Column("rows", Integer, nullable=False),
    Column("control_total", JSONB, nullable=False, server_default="{}"),
    Column("is_full", Boolean, nullable=False, server_default=text("false")),
    Column("creditors", ARRAY(Text), nullable=False, server_default="{}"),
    _one_of("kind", ("ledger", "payments", "contacts", "parties", "recalls", "chargeoffs")),
    Index(None, "kind", "as_of"),
)

accounts = Table(
    "accounts",
    metadata,
    _key("account", "A"),
    _ref("creditor", "creditors.code"),
    _text("external_id"),
    _ref("debtor_key", "debtors.key", index=True),
    _text("product"),
    _text("currency"),
    _text("collector", default=""),
    _text("actor", default="first_party_creditor"),
    _text("debt_type", default="consumer"),
    _on("issued_on", null=True),
    _on("placed_on", null=True),
    _on("charged_off_on", null=True),
    Column("disputed", Boolean, nullable=False, server_default=text("false")),
    Column("score", Integer),
    _text("closing", null=True),
    _at("closing_at", null=True),
    _at("missing_since", null=True),
    _at("created_at"),
    UniqueConstraint("creditor", "external_id"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    _one_of("actor", Actor),
    _one_of("closing", CloseReason),
    Index(None, "external_id"),
)
"""One debt. ``closing`` is a decision that its case ends (recall, sale, ...), which the case then carries out."""

account_parties = Table(
    "account_parties",
    metadata,
    _ref("account_key", "accounts.key"),
    _ref("party_key", "parties.key", index=True),
    _text("role"),
    _on("valid_from", null=True),
    _on("valid_to", null=True),
    UniqueConstraint("account_key", "party_key", "role"),
    _one_of("role", PartyRole),
)

placements = Table(
    "placements",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _ref("account_key", "accounts.key"),
    _text("collector"),
    _text("actor"),
    _on("placed_on"),
    _on("recalled_on", null=True),
    UniqueConstraint("account_key", "collector", "placed_on"),
)

dues = Table(
    "dues",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _ref("account_key", "accounts.key"),
    _text("ref"),
    _text("component", default="principal"),
    _on("due_on"),
    _money("amount"),
    UniqueConstraint("account_key", "ref", "component"),
    CheckConstraint("amount >= 0", name="amount"),
    Index(None, "due_on", "account_key"),
)
"""What falls due when. ``ref`` is the instalment number of the file, or the due date where it gives none."""

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _ref("account_key", "accounts.key", index=True),
    _text("creditor"),
    _text("kind"),
    _text("component", null=True),
    _money("amount"),
    _text("currency"),
    _on("value_on"),
    _at("received_at"),
    _text("external_id"),
    _text("reverses", null=True),
    _text("source", default="api"),
    Column("feed_id", BigInteger, ForeignKey("feeds.id")),
    UniqueConstraint("creditor", "external_id"),
    _one_of("kind", EntryKind),
    CheckConstraint("kind = 'adjustment' OR amount > 0", name="amount"),
    CheckConstraint("(kind = 'reversal') = (reverses IS NOT NULL)", name="reverses"),
    Index(
        "uq_ledger_entries_reversed",
        "creditor",
        "reverses",
        unique=True,
        postgresql_where=text("kind = 'reversal'"),
    ),
)
"""Everything that changes what is owed after the dues. ``value_on`` is the day it counts from in the debtor's zone,
``received_at`` when we learned of it."""

suspense = Table(
    "suspense",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("kind"),
    _text("external_id"),
    _text("account_ref"),
    _money("amount"),
    _text("currency"),
    _on("value_on"),
    _at("received_at"),
    _text("reason"),
    _text("state", default="open"),
    UniqueConstraint("kind", "external_id", "account_ref"),
    _one_of("reason", ("unknown_account", "other_currency", "ambiguous_account", "unknown_payment")),
    _one_of("state", ("open", "applied", "returned")),
)
"""Money that could not be applied: kept, said, and waiting for a person."""

# --- what we do -----------------------------------------------------------------------------------------------

strategies = Table(
    "strategies",
    metadata,
    Column("digest", Text, primary_key=True),
    _text("name"),
    Column("version", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    _at("registered_at"),
    UniqueConstraint("name", "version"),
)

cases = Table(
    "cases",
    metadata,
    Column("key", Text, primary_key=True),
    _ref("account_key", "accounts.key"),
    Column("episode", Integer, nullable=False),
    _text("previous_key", null=True),
    _ref("debtor_key", "debtors.key", index=True),
    _text("creditor"),
    _text("collector", default=""),
    _ref("strategy_digest", "strategies.digest"),
    _text("strategy"),
    _text("status", default="opening"),
    _text("stage", default="opening"),
    _text("step", null=True),
    _at("due_at", null=True),
    _text("next_step", null=True),
    _text("next_channel", null=True),
    _text("waiting_for", default=""),
    _at("opened_at"),
    _at("closed_at", null=True),
    _text("close_reason", null=True),
    Column("clock", JSONB, nullable=False, server_default="{}"),
    Column("chain_seq", Integer, nullable=False, server_default="0"),
    _text("chain_hash", default=""),
    UniqueConstraint("account_key", "episode"),
    _one_of("status", ("opening", "open", "closed")),
    CheckConstraint("(status = 'closed') = (closed_at IS NOT NULL AND close_reason IS NOT NULL)", name="closed"),
    Index("uq_cases_open_account", "account_key", unique=True, postgresql_where=text("status <> 'closed'")),
    Index(None, "status", "stage"),
    Index("ix_cases_coming", "next_channel", "due_at", postgresql_where=text("status = 'open'")),
)
"""One stretch of delinquency of one account, and its row for lists. The workflow id is ``case/<key>``.
``next_step`` and ``next_channel`` say what the case does at ``due_at``, when that is a contact."""

attempts = Table(
    "attempts",
    metadata,
    Column("key", Text, primary_key=True),
    _ref("case_key", "cases.key"),
    Column("seq", Integer, nullable=False),
    _text("origin", default="step"),
    _text("purpose", default="collect"),
    _text("step", null=True),
    Column("pass_no", Integer, nullable=False, server_default="1"),
    Column("try_no", Integer, nullable=False, server_default="1"),
    _text("channel"),
    _text("template", null=True),
    _ref("party_key", "parties.key", null=True),
    _ref("contact_point_key", "contact_points.key", null=True),
    _text("status"),
    _at("due_at"),
    _at("not_before", null=True),
    _at("admitted_at", null=True),
    _at("engine_admitted_at", null=True),
    _at("sent_at", null=True),
    _at("recorded_at", null=True),
    _text("provider", null=True),
    _text("provider_id", null=True),
    _text("outcome", null=True),
    _text("party_reached", null=True),
    Column("item_key", Text, ForeignKey("work_items.key"), index=True),
    Column("duration_seconds", Integer),
    _text("error_code", null=True),
    Column("dispatch", Integer, nullable=False, server_default="0"),
    Column("look_ups", Integer, nullable=False, server_default="0"),
    _at("look_up_at", null=True),
    _money("quoted_amount", null=True),
    _text("quoted_currency", null=True),
    _at("quoted_as_of", null=True),
    UniqueConstraint("case_key", "seq"),
    _one_of("status", AttemptStatus),
    _one_of("origin", Origin),
    _one_of("purpose", Purpose),
    Index(
        "uq_attempts_provider_id",
        "provider",
        "provider_id",
        unique=True,
        postgresql_where=text("provider_id IS NOT NULL"),
    ),
    Index(
        "ix_attempts_unknown",
        text("coalesce(look_up_at, engine_admitted_at)"),
        postgresql_where=text("status = 'unknown'"),
    ),
    Index(
        "ix_attempts_contacted",
        "contact_point_key",
        "admitted_at",
        postgresql_where=text("admitted_at IS NOT NULL"),
    ),
    Index("ix_attempts_party", "party_key", "admitted_at", postgresql_where=text("admitted_at IS NOT NULL")),
    Index("ix_attempts_in_flight", "engine_admitted_at", postgresql_where=text("status = 'dispatching'")),
)
"""A projection of the record: one try to reach one party on one contact point. ``dispatch`` counts the times it was
taken up (a fence against a stalled worker). ``engine_admitted_at`` is Temporal's time, the rest business time.
``look_up_at``: when an unknown one is looked up at its provider again, by the wall clock; ``infinity``: no more. What a
carrier calls one message belongs to one attempt."""

attempt_accounts = Table(
    "attempt_accounts",
    metadata,
    _ref("attempt_key", "attempts.key"),
    _ref("account_key", "accounts.key", index=True),
    _text("case_key", null=True),
    _money("quoted_amount", null=True),
    UniqueConstraint("attempt_key", "account_key"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _ref("attempt_key", "attempts.key", index=True),
    Column("number", Integer, nullable=False),
    _at("decided_at"),
    _text("verdict"),
    _at("defer_until", null=True),
    Column("rule_ids", ARRAY(Text), nullable=False, server_default="{}"),
    Column("facts", JSONB, nullable=False, server_default="{}"),
    Column("packs", ARRAY(Text), nullable=False, server_default="{}"),
    Column("reasons", JSONB, nullable=False, server_default="[]"),
    UniqueConstraint("attempt_key", "number"),
    _one_of("verdict", Verdict),
)
"""What the gate said, by which rules, on which facts; committed before a provider is called."""

coverage = Table(
    "coverage",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _ref("attempt_key", "attempts.key"),
    _ref("covered_case", "cases.key"),
    _text("step"),
    _text("state", default="standing"),
    _at("made_at"),
    UniqueConstraint("covered_case", "step", "attempt_key"),
    _one_of("state", ("standing", "used", "void")),
)

work_items = Table(
    "work_items",
    metadata,
    _key("work_item", "W"),
    _text("kind"),
    _text("status", default="open"),
    _ref("party_key", "parties.key", null=True, index=True),
    _text("creditor", default=""),
    _text("collector", default=""),
    _text("reason", null=True),
    _text("skill", null=True),
    Column("priority", Integer, nullable=False, server_default="0"),
    _at("created_at"),
    _at("due_at", null=True),
    _at("expires_at", null=True),
    _text("claimed_by", null=True),
    _text("assigned_to", null=True),
    _at("lease_until", null=True),
    _at("done_at", null=True),
    _text("disposition", null=True),
    Column("outcome", JSONB),
    _ref("state_event_key", "state_events.key", null=True, index=True),
    Column("not_for", ARRAY(Text), nullable=False, server_default="{}"),
    _text("note_ref", null=True),
    _at("rank_at", null=True),
    _at("late_at", null=True),
    _at("not_before", null=True),
    Column("lease_no", Integer, nullable=False, server_default="0"),
    Column("lapses", Integer, nullable=False, server_default="0"),
    _text("escalation", null=True),
    _at("escalated_at", null=True),
    _one_of("kind", TaskKind),
    _one_of("status", ("open", "claimed", "reported", "done", "expired", "cancelled")),
    _one_of("escalation", ("late", "lapsed", "asked")),
    CheckConstraint(
        "status <> 'claimed' OR (claimed_by IS NOT NULL AND lease_until IS NOT NULL)",
        name="lease",
    ),
    Index(
        "uq_work_items_open_call",
        "party_key",
        "creditor",
        "collector",
        unique=True,
        postgresql_where=text("kind = 'call' AND status IN ('open', 'claimed')"),
    ),
    Index(None, "status", "kind", "due_at"),
    Index("ix_work_items_queue", "rank_at", "key", postgresql_where=text("status IN ('open', 'claimed')")),
    Index("ix_work_items_unplaced", "key", postgresql_where=text("rank_at IS NULL AND status IN ('open', 'claimed')")),
    Index("ix_work_items_leased", "lease_until", postgresql_where=text("status = 'claimed'")),
    Index(
        "ix_work_items_late",
        "late_at",
        postgresql_where=text("escalated_at IS NULL AND status IN ('open', 'claimed')"),
    ),
    Index("ix_work_items_assigned", "assigned_to", postgresql_where=text("status IN ('open', 'claimed')")),
)
"""A task for a person. One open call per person, creditor and collector; ``work_item_cases`` lists its cases.
``not_for`` names the people who must not take it: a complaint is not handled by whom it is about. ``note_ref`` names
what there is to read: a text in the inbox, an attempt. ``assigned_to`` is who should take it, an actor or a team (a
skill); when it is late everybody may. ``rank_at`` is its place in the queue, ``late_at`` when it should
have been done, ``not_before`` when the person may next be called. ``lease_no`` counts the leases: a fence against who
lost theirs. ``reported``: what came of it is kept, and its case has yet to hear it."""

work_events = Table(
    "work_events",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _ref("item_key", "work_items.key", index=True),
    _text("kind"),
    _at("at"),
    _text("actor"),
    Column("lease_no", Integer, nullable=False),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    _one_of(
        "kind", ("claimed", "released", "lapsed", "put_off", "reassigned", "escalated", "finished", "repaired", "shown")
    ),
    Index(
        "uq_work_events_lease",
        "item_key",
        "lease_no",
        unique=True,
        postgresql_where=text("kind = 'claimed'"),
    ),
    Index(
        "uq_work_events_finished",
        "item_key",
        unique=True,
        postgresql_where=text("kind = 'finished'"),
    ),
)
"""Who took, gave back, lost and finished an item, and who saw it; append-only. ``detail`` holds codes only."""

work_item_cases = Table(
    "work_item_cases",
    metadata,
    _ref("item_key", "work_items.key"),
    _ref("case_key", "cases.key", index=True),
    _text("step", null=True),
    _at("asked_at"),
    _text("attempt_key", null=True),
    UniqueConstraint("item_key", "case_key"),
)

catalogues = Table(
    "catalogues",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    _at("registered_at"),
)
"""Every catalogue of outcomes that judged one, as it was."""

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _ref("case_key", "cases.key"),
    _text("event_id"),
    _text("corrects", null=True),
    _at("at"),
    _text("channel"),
    _text("disposition"),
    _text("party_reached"),
    Column("effective", Boolean, nullable=False),
    _text("actor"),
    _ref("attempt_key", "attempts.key", null=True, index=True),
    _ref("item_key", "work_items.key", null=True),
    _ref("contact_point_key", "contact_points.key", null=True),
    _ref("catalogue", "catalogues.digest"),
    Column("followed", JSONB, nullable=False, server_default="[]"),
    UniqueConstraint("case_key", "event_id"),
    UniqueConstraint("case_key", "corrects"),
    _one_of("party_reached", Reached),
)
"""What came of calls and visits, append-only. ``corrects`` names the event that this one says was wrong; the last of
such a chain is in force. ``followed``: what was done because of it, so that a correction can undo it."""
income_statements = Table(
    "income_statements",
    metadata,
    _key("income_statement", "F"),
    _ref("party_key", "parties.key", index=True),
    _ref("account_key", "accounts.key", null=True, index=True),
    _text("source"),
    _text("taken_by"),
    _at("taken_at"),
    _text("currency"),
    Column("income", JSONB, nullable=False, server_default="{}"),
    Column("spending", JSONB, nullable=False, server_default="{}"),
    _money("monthly"),
    _text("evidence_ref", null=True),
    _text("event_id", null=True),
    UniqueConstraint("event_id"),
    CheckConstraint("monthly >= 0", name="monthly"),
)
"""What a debtor says they earn and spend a month, by code in minor units, and what they can pay (``monthly``): from
whom, taken by whom and when. Personal data: it is read by people, and stays here."""

arrangements = Table(
    "arrangements",
    metadata,
    _key("arrangement", "R"),
    _ref("account_key", "accounts.key", index=True),
    _text("case_key", null=True),
    _text("kind"),
    _text("status", default="active"),
    _text("currency"),
    _text("covers", default="part"),
    _money("covered_amount"),
    Column("discount", BigInteger, nullable=False, server_default="0"),
    _text("dpd_effect", default="none"),
    Column("grace_days", Integer, nullable=False, server_default="0"),
    _on("expires_on", null=True),
    _text("policy", default=""),
    _text("policy_digest", default=""),
    Column("terms", JSONB, nullable=False, server_default="{}"),
    _at("agreed_at"),
    _text("agreed_by", default="system"),
    _text("approval", null=True),
    _text("approved_by", null=True),
    _at("starts_at", null=True),
    _at("ended_at", null=True),
    _text("ended_by", null=True),
    _text("end_reason", null=True),
    _on("re_aged_on", null=True),
    Column("waivers", Integer, nullable=False, server_default="0"),
    _ref("replaces", "arrangements.key", null=True),
    _ref("statement_key", "income_statements.key", null=True),
    _text("note_ref", null=True),
    _text("event_id", null=True),
    UniqueConstraint("event_id"),
    _one_of("kind", ArrangementKind),
    _one_of("covers", Covers),
    _one_of("status", (ACTIVE, *ENDS_AND_PROPOSED)),
    _one_of("dpd_effect", DpdEffect),
    CheckConstraint("discount >= 0 AND discount < covered_amount", name="discount"),
    CheckConstraint(
        "status = 'proposed' OR status = 'refused' OR starts_at IS NOT NULL OR ended_at IS NOT NULL", name="starts"
    ),
    Index("uq_arrangements_active", "account_key", unique=True, postgresql_where=text("status = 'active'")),
    Index("uq_arrangements_proposed", "account_key", unique=True, postgresql_where=text("status = 'proposed'")),
)
"""What was agreed. ``status`` says ``active`` while it is performed, else how it ended; the moments between follow from
lines, payments and the day (``domain.arrangements``). ``terms`` is the policy as it was then. ``waivers`` counts how
often a discount was granted and taken back: odd while it is granted. ``approval`` says why a second person was asked."""

arrangement_lines = Table(
    "arrangement_lines",
    metadata,
    _ref("arrangement_key", "arrangements.key"),
    Column("no", Integer, nullable=False),
    _on("due_on"),
    _money("amount"),
    UniqueConstraint("arrangement_key", "no"),
    CheckConstraint("amount > 0", name="amount"),
)

holds = Table(
    "holds",
    metadata,
    _key("hold", "H"),
    _text("reason"),
    _text("scope"),
    _ref("debtor_key", "debtors.key", null=True, index=True),
    _ref("account_key", "accounts.key", null=True, index=True),
    _ref("contact_point_key", "contact_points.key", null=True, index=True),
    _text("channel", null=True),
    _money("part_amount", null=True),
    _at("from_at"),
    _at("until_at", null=True),
    _text("until_event", null=True),
    _at("review_at", null=True),
    _text("placed_by", default="system"),
    _at("released_at", null=True),
    _text("released_by", null=True),
    _text("note_ref", null=True),
    _text("event_id", null=True),
    UniqueConstraint("event_id"),
    _one_of("scope", HoldScope),
    CheckConstraint("until_at IS NULL OR until_at > from_at", name="ends_after_it_begins"),
    CheckConstraint(
        "debtor_key IS NOT NULL OR account_key IS NOT NULL OR contact_point_key IS NOT NULL", name="target"
    ),
)

state_events = Table(
    "state_events",
    metadata,
    _key("state_event", "S"),
    _text("kind"),
    _text("scope"),
    _text("target"),
    _ref("debtor_key", "debtors.key", null=True, index=True),
    _ref("party_key", "parties.key", null=True, index=True),
    _ref("account_key", "accounts.key", null=True, index=True),
    _ref("contact_point_key", "contact_points.key", null=True, index=True),
    _text("channel", null=True),
    _text("creditor"),
    _text("collector"),
    _at("from_at"),
    _at("until_at", null=True),
    _at("ended_at", null=True),
    _text("ended_by", null=True),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    Column("ends", ARRAY(Text), nullable=False, server_default="{}"),
    _text("ends_event", null=True),
    _text("event_id"),
    _text("source"),
    _text("actor"),
    _text("note_ref", null=True),
    _at("recorded_at"),
    UniqueConstraint("event_id", "kind", "target"),
    _one_of("kind", StateKind),
    _one_of("scope", StateScope),
    Index(None, "target", "kind"),
)
"""What became of a person, a debt or a number. ``target`` is the key of whom it concerns (for a number the oldest
contact point with that value), so that the same event told to two cases is one row. ``ends`` are the kinds it ends for
its target, ``ends_event`` the one event; then ``until_at`` is when that takes effect. ``detail`` holds codes only."""

consents = Table(
    "consents",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _ref("party_key", "parties.key", index=True),
    _ref("contact_point_key", "contact_points.key", null=True),
    _text("channel", null=True),
    _text("state"),
    _text("scope", default="number"),
    _at("from_at"),
    _at("until_at", null=True),
    _text("source"),
    _text("event_id", null=True),
    UniqueConstraint("event_id"),
    _one_of("state", ("given", "withdrawn")),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("source"),
    _text("external_id"),
    _text("case_key", null=True),
    _text("name"),
    _text("body"),
    _at("received_at"),
    _text("status", default="received"),
    _text("refusal", null=True),
    _text("batch", null=True),
    Column("outcomes", JSONB, nullable=False, server_default="[]"),
    Column("tries", Integer, nullable=False, server_default="0"),
    _at("not_before", null=True),
    UniqueConstraint("source", "external_id"),
    _one_of("status", ("received", "applied", "refused")),
    Index(None, "case_key"),
    Index("ix_inbox_waiting", "id", postgresql_where=text("status = 'received' AND source LIKE 'web/%'")),
)
"""Everything a person or a provider told us, as it came, before it is acknowledged (promise P5). ``batch`` names the
activity that applied a message and ``outcomes`` what it told the case, so that a repeated activity says the same.
What came over HTTP has a source ``web/...``; it is applied ``tries`` times until it succeeds, not ``not_before``."""

signals = Table(
    "signals",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _ref("case_key", "cases.key"),
    _text("name"),
    _text("event_id"),
    Column("body", JSONB, nullable=False),
    _at("created_at"),
    _text("status", default="waiting"),
    Column("tries", Integer, nullable=False, server_default="0"),
    _at("not_before", null=True),
    _at("settled_at", null=True),
    UniqueConstraint("case_key", "event_id"),
    _one_of("status", ("waiting", "delivered", "final")),
    Index("ix_signals_waiting", "id", postgresql_where=text("status = 'waiting'")),
)
"""What cases must be told of what the ledger knows already: written in the transaction that changed it, delivered to
Temporal afterwards, as often as it takes. ``final``: the episode was closed, so nobody is left to hear it."""

switches = Table(
    "switches",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("scope"),
    _text("name"),
    _text("reason"),
    _text("off_by"),
    _at("off_at"),
    _text("on_by", null=True),
    _at("on_at", null=True),
    _one_of("scope", ("channel", "template", "creditor", "all")),
    Index("uq_switches_off", "scope", "name", unique=True, postgresql_where=text("on_at IS NULL")),
)
"""What was switched off, by whom and until when. While a row has no ``on_at``, nothing of it is dispatched."""

# --- the record -----------------------------------------------------------------------------------------------

case_events = Table(
    "case_events",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _ref("case_key", "cases.key"),
    Column("seq", Integer, nullable=False),
    _text("kind"),
    _at("at"),
    _text("body"),
    _text("previous_hash"),
    _text("hash"),
    UniqueConstraint("case_key", "seq"),
)
"""Append-only (a trigger refuses update and delete) and chained: each hash covers the one before."""

# --- the simulated carrier, outside of the ledger -----------------------------------------------------------------

sandbox_outbox = Table(
    "sandbox_outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("attempt_key"),
    _text("channel"),
    _text("recipient"),
    _text("subject", default=""),
    _text("body"),
    _at("sent_at"),
    UniqueConstraint("attempt_key"),
)
"""What the simulated carrier accepted, as an outbox that can be read. It refuses nothing for being a repetition:
``sandbox_requests`` counts every request."""

sandbox_requests = Table(
    "sandbox_requests",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("attempt_key"),
    _at("received_at"),
    Index(None, "attempt_key"),
)

sandbox_events = Table(
    "sandbox_events",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("external_id"),
    _text("case_key", null=True),
    _text("party_key", null=True),
    _text("kind"),
    _at("at"),
    Column("body", JSONB, nullable=False),
    _at("delivered_at", null=True),
    _at("confirmed_at", null=True),
    UniqueConstraint("external_id"),
    Index("ix_sandbox_events_pending", "at", postgresql_where=text("delivered_at IS NULL")),
    Index(
        "ix_sandbox_events_unconfirmed",
        "at",
        postgresql_where=text("delivered_at IS NOT NULL AND confirmed_at IS NULL"),
    ),
    Index("ix_sandbox_events_case", "case_key", "at", postgresql_where=text("delivered_at IS NULL")),
)
"""What simulated carriers and people will do, and when: receipts, replies, payments, returned payments.
``delivered_at``: the ledger knows; ``confirmed_at``: the case has been told too. Both are engine time."""

runtime_settings = Table(
    "runtime_settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
)
"""Facts of this installation that processes share: the business clock, the seed of the sandbox, the last open run."""
