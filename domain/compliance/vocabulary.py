"""The closed vocabularies of facts and rules.

A pack that uses a word outside these lists does not load, because a misspelt word would silently never match. The
lists are wide on purpose: adding a word here is all it takes for packs to use it.
"""

from collections.abc import Mapping
from typing import Literal, get_args

ContactChannel = Literal[
    "sms", "call", "ai_call", "voicemail", "email", "letter", "im", "social", "visit", "legal", "plan_offer", "compute",
]  # fmt: skip
"""How we would reach somebody.

``call`` is placed by a person, ``ai_call`` speaks with an artificial or recorded voice, ``voicemail`` is left without
ringing through to a talk, ``im`` is a messenger, ``plan_offer`` is offering an arrangement. ``legal`` is a step of
legal action and ``compute`` asks for a date or about records: neither is a contact.
"""

ActorName = Literal["first_party_creditor", "third_party_collector"]

PastType = Literal[
    "call_out", "ai_call_out", "voicemail_out", "conversation", "sms_out", "email_out", "im_out", "social_out",
    "letter_out", "visit", "location_contact", "plan_offer", "legal_step",
    "call_in", "sms_in", "email_in", "letter_in", "visit_in",
]  # fmt: skip
"""What happened before. One entry for one contact: a call that became a talk is one entry, not two."""

CHANNEL_GROUPS: Mapping[str, frozenset[str]] = {
    "calls": frozenset({"call", "ai_call", "voicemail"}),
    "voice": frozenset({"call", "ai_call"}),
    "e_messages": frozenset({"sms", "email", "im", "social"}),
    "contacts": frozenset(get_args(ContactChannel)) - {"legal", "compute"},
    "everything": frozenset(get_args(ContactChannel)) - {"compute"},
}
"""Words a rule may use for several channels at once."""

PHONE_CHANNELS = frozenset({"sms", "call", "ai_call", "voicemail"})

MEDIUM_OF_CHANNEL: Mapping[str, str] = {
    "call": "call", "ai_call": "call", "voicemail": "call", "sms": "sms", "email": "email", "letter": "letter",
    "im": "im", "social": "social", "visit": "visit", "plan_offer": "plan_offer", "legal": "legal",
}  # fmt: skip
"""The medium a person means when asking not to be contacted by it."""

MEDIUM_OF_EVENT: Mapping[str, str] = {
    "inbound_sms": "sms", "sms_stop": "sms", "sms_start": "sms", "inbound_email": "email", "email_unsubscribe": "email",
    "call_stop": "call", "inbound_im": "im",
}  # fmt: skip

PAST_GROUPS: Mapping[str, frozenset[str]] = {
    "calls": frozenset({"call_out", "ai_call_out", "voicemail_out", "conversation"}),
    "texts": frozenset({"sms_out"}),
    "emails": frozenset({"email_out"}),
    "e_messages": frozenset({"sms_out", "email_out", "im_out", "social_out"}),
    "letters": frozenset({"letter_out"}),
    "visits": frozenset({"visit"}),
    "locations": frozenset({"location_contact"}),
    "talks": frozenset({"conversation", "call_out", "ai_call_out", "call_in", "visit", "visit_in"}),
    "any": frozenset(get_args(PastType))
    - {"legal_step", "call_in", "sms_in", "email_in", "letter_in", "visit_in"},
}  # fmt: skip
"""What a count may count. Contacts that the person made are no contact of ours, but a talk is a talk."""

CONNECTED_RESULTS = frozenset(
    {"connected", "answered", "answered_dropped", "conversation", "voicemail", "limited_content_voicemail", "unknown"}
)
"""Results of a call whose line was picked up, by a person or a machine; what is not known counts."""

ANSWERED_RESULTS = frozenset({"connected", "answered", "conversation", "unknown"})
"""Results of a call in which people may have talked."""

OWN_SIDE = frozenset({"collector", "creditor", "us"})
"""Who started a contact that counts as ours; anybody else named is the person or somebody near."""

EVENTS: frozenset[str] = frozenset(
    """
    inbound_sms inbound_email inbound_im sms_stop sms_start email_unsubscribe call_stop medium_opt_out medium_opt_in
    optout_confirmed cease_communication refuse_to_pay reopened
    attorney_represented attorney_withdrew attorney_consented attorney_silent
    bankruptcy_filed bankruptcy_dismissed stay_lifted bankruptcy_discharged debt_reaffirmed
    deceased estate_closed minor no_capacity capacity_restored
    dispute dispute_in_period dispute_other dispute_answered verification_sent judgment_copy_sent
    original_creditor_request original_creditor_sent
    identity_theft identity_theft_cleared active_military service_ended
    hardship plan_request plan_made plan_refused plan_performing plan_missed plan_ended
    breathing_space_start breathing_space_end complaint complaint_closed
    wrong_party reassigned number_verified third_party_refusal reply_reviewed
    employer_prohibits work_optout work_optout_withdrawn
    consent_given consent_revoked conversation initial_communication validation_sent
    paid settled payment_reversed time_barred statute_barred_refusal
    disaster disaster_over bereavement bereavement_over emergency_declared emergency_over
    data_withdrawal deletion_request data_request_closed
    visit_refused human_requested human_assigned adviser_engaged adviser_stalled
    """.split()  # noqa: SIM905 - a list of words reads better as words
)
"""State events: what a collector was told and must honour. One that is not listed goes to a person."""

ROLES: frozenset[str] = frozenset(
    """
    debtor borrower co_borrower cosigner co_signer guarantor surety spouse joint_debtor parent_of_minor guardian
    executor executor_named executor_unnamed administrator personal_representative successor legal_representative
    heir emergency_contact contact_person referee family relative parent mother father sibling child partner roommate
    friend neighbour neighbor landlord colleague employer third_party unknown_person
    attorney consumer_attorney creditor_attorney collector_attorney cra credit_bureau creditor adviser estate_lawyer
    """.split()  # noqa: SIM905 - as above
)
"""Roles of the person contacted. A word of this list in ``to`` is read as the role."""

PURPOSES: frozenset[str] = frozenset(
    """
    collect service required_notice reply locate optout_confirmation opt_in_request verification validation_notice
    repossession suit service_of_process oral_plan plan_talk marketing message estate execution
    """.split()  # noqa: SIM905 - as above
)
"""Why a contact is made. Absent, or a word that is not listed, is judged like ``collect``."""

PURPOSE_ALIASES: Mapping[str, str] = {"payment": "collect", "location": "locate", "notice": "required_notice"}
