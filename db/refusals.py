"""What the ledger will not do, whoever asks: raised before anything is written, kept with its reason by whoever asked."""


class CannotBeError(ValueError):
    """Something that the state of things forbids: one line, what and how to mend. It names no person."""
