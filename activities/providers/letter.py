"""Letters as print files: one HTML file for each attempt, written whole or not at all, for the print shop to fetch."""

import os
from datetime import datetime
from html import escape
from pathlib import Path

from activities.providers.base import Accepted, Outbound, Rejected, SendResult


class LetterProvider:
    """Writes letters into a folder. The file's name is the attempt's key, so a repetition is the same file."""

    name = "letter"
    timeout_seconds = 5.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, message: Outbound) -> SendResult:
        """Write one print file."""
        if not message.recipient:
            return Rejected("no_address", bad_contact_point=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._file(message.attempt_key)
        draft = target.with_suffix(".part")
        head = f"<p>{escape(message.recipient_name)}<br>{escape(message.recipient)}</p>\n"
        open_tag = f'<!doctype html>\n<html lang="{escape(message.language)}">\n<meta charset="utf-8">\n'
        text = f"{open_tag}{head}{message.body}\n</html>\n"
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(target)
        return Accepted(target.name)

    def find(self, attempt_key: str, recipient: str, since: datetime) -> Accepted | None:  # noqa: ARG002 - the protocol
        """Look for the file."""
        target = self._file(attempt_key)
        return Accepted(target.name) if target.exists() else None

    def _file(self, attempt_key: str) -> Path:
        return self._folder / f"{attempt_key.replace('/', '-')}.html"
