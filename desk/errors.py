"""What cannot be done at the desk: one line that says what, where, and how to mend."""

from db.refusals import CannotBeError


class DeskError(CannotBeError):
    """An act that the policy or the order of things forbids, or that is about something unknown."""
