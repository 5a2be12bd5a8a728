"""HTTP in: what carriers, people and payment systems tell us, and the words of calls that run.

Everything is verified on the raw bytes, kept before it is acknowledged, then applied to the ledger, then told to the
cases. Nothing here decides about a contact.
"""
