"""The places between two steps at which a process may die, by name.

Activities call a checkpoint there and nothing else; in production it does nothing. A crash drill is given one that
kills the process. Every place stands for a question: what does the next process find, and what does it do about it?
"""

from collections.abc import Callable
from enum import StrEnum


class Place(StrEnum):
    """A place in the life of an attempt, an opening, a closing, or a message on its way to the ledger."""

    CONTACT_ENTERED = "contact-entered"
    """Before the locks: nothing has happened."""
    CONTACT_LOCKED = "contact-locked"
    """Under the locks, nothing decided."""
    CONTACT_DECIDED = "contact-decided"
    """The decision is written and not committed."""
    CONTACT_ADMITTED = "contact-admitted"
    """Committed as dispatching; the provider has not been called."""
    CONTACT_ANSWERED = "contact-answered"
    """The provider has answered; nothing is recorded."""
    CONTACT_LOOKED_UP = "contact-looked-up"
    """A later call has looked the attempt up at the provider; nothing is recorded."""
    CONTACT_RECORDING = "contact-recording"
    """The outcome is written and not committed."""
    CONTACT_RECORDED = "contact-recorded"
    """The outcome is committed; the engine does not know."""
    OPENING_ROWS = "opening-rows"
    """The rows of a page are committed as opening; no workflow was started."""
    OPENING_STARTING = "opening-starting"
    """Before one workflow of a page is started."""
    OPENING_STARTED = "opening-started"
    """After one workflow of a page was started."""
    OPENING_MARKING = "opening-marking"
    """All workflows of a page run; their rows still say opening."""
    OPENING_MARKED = "opening-marked"
    """The rows say open; the engine does not know that the page is done."""
    CLOSING_ENTERED = "closing-entered"
    """Before the locks: nothing has happened."""
    CLOSING_DECIDED = "closing-decided"
    """The end is written and not committed."""
    CLOSING_CLOSED = "closing-closed"
    """The end is committed; the workflow does not know."""
    RECORD_ENTERED = "record-entered"
    """Messages have been taken in; the ledger has none of them."""
    RECORD_WRITTEN = "record-written"
    """Messages are written and not committed."""
    RECORD_COMMITTED = "record-committed"
    """Messages are committed; the workflow does not know, and other cases have not been told."""


Checkpoint = Callable[[Place, str], None]
"""Called with the place and the key of the attempt or case concerned."""


def pass_by(place: Place, key: str) -> None:
    """Do nothing: the checkpoint of production."""
