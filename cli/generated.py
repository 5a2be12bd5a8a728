"""Tables in the documentation that commands write, so that they say what the program does.

Such a table stands between ``<!-- begin NAME: command -->`` and ``<!-- end NAME -->``; only what is between changes.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from cli.say import UserError


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def with_block(text: str, name: str, block: str) -> str:
    """Return ``text`` with the block of that name in it; UserError when it has no place for one."""
    pattern = re.compile(rf"(<!-- begin {re.escape(name)}\b[^\n]*-->\n).*?(<!-- end {re.escape(name)} -->)", re.DOTALL)
    if not pattern.search(text):
        raise UserError(f"there is no place for it: write <!-- begin {name} --> and <!-- end {name} -->")
    return pattern.sub(lambda found: f"{found[1]}{block}\n{found[2]}", text)


def update(path: Path, name: str, block: str) -> bool:
    """Write a block into a file; false when it stood there so already."""
    try:
        before = path.read_text(encoding="utf-8")
    except OSError:
        raise UserError(f"{path}: cannot be read") from None
    after = with_block(before, name, block)
    if after == before:
        return False
    path.write_text(after, encoding="utf-8")
    return True
