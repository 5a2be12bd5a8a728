"""Names, inputs and results of the activities: all that a workflow may know about them."""

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
