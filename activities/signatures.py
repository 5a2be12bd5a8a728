"""Names, inputs and results of the activities: all that a workflow may know about them."""

from datetime import timedelta

from domain.case import (
    AskReport,
    AskRequest,
    CloseReport,
    CloseRequest,
    ContactReport,
    ContactRequest,
    GiveUpReport,
    GiveUpRequest,
    HandOverReport,
    HandOverRequest,
    RecordReport,
    RecordRequest,
)
from domain.codes import Channel

CONTACT = "contact"
RECORD_EVENTS = "record_events"
ASK = "ask"
GIVE_UP = "give_up"
CLOSE_EPISODE = "close_episode"
HAND_OVER = "hand_over"
OPEN_PAGE = "open_page"

HEARTBEAT_TIMEOUT = timedelta(seconds=20)
"""An activity whose worker has said nothing for this long is tried elsewhere. The worker says that it lives, not that
the activity gets on: a wait for a lock or for a provider may take longer than this."""

CASES_QUEUE = "cases"
"""Task queue of workflows and of everything that touches only the ledger."""


def queue_of(channel: Channel) -> str:
    """Return the task queue of a channel, which carries the channel's rate."""
    return f"contact-{channel}"


__all__ = [
    "ASK",
    "CASES_QUEUE",
    "CLOSE_EPISODE",
    "CONTACT",
    "GIVE_UP",
    "HAND_OVER",
    "HEARTBEAT_TIMEOUT",
    "OPEN_PAGE",
    "RECORD_EVENTS",
    "AskReport",
    "AskRequest",
    "CloseReport",
    "CloseRequest",
    "ContactReport",
    "ContactRequest",
    "GiveUpReport",
    "GiveUpRequest",
    "HandOverReport",
    "HandOverRequest",
    "RecordReport",
    "RecordRequest",
    "queue_of",
]
