"""The commands behind ``starter.py``: each says what it does, and a user's mistake is one clear line."""
