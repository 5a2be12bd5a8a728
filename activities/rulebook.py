"""Reads the rule packs from their folder, once, when a process starts.

A folder that cannot be read whole gives no book: a gate with half its rules would permit too much.
"""

from pathlib import Path

from domain.compliance import PackError, RuleBook, RuleBookError, parse_pack, parse_residence

RESIDENCE = "residence.yaml"
"""The file that says which packs hold where; every other ``*.yaml`` is a pack."""


class RuleBookUnreadableError(Exception):
    """A folder of rule packs that cannot be used; the message has one line for each mistake, with file and line."""


def read_rulebook(folder: Path) -> RuleBook:
    """Return the rule book of a folder; RuleBookUnreadableError names every mistake in every file."""
    files = sorted(folder.glob("*.yaml"))
    if folder / RESIDENCE not in files:
        raise RuleBookUnreadableError(f"{folder}: no rule packs here, {RESIDENCE} is missing")
    packs, residence, mistakes = [], None, []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
            if file.name == RESIDENCE:
                residence = parse_residence(text, file.name)
                continue
            pack = parse_pack(text, file.name)
            if pack.pack != file.stem:
                mistakes.append(f"{file.name}:1:1: pack: is called '{pack.pack}' (name it as its file)")
            packs.append(pack)
        except PackError as error:
            mistakes.append(str(error))
        except (OSError, UnicodeDecodeError):
            mistakes.append(f"{file.name}: cannot be read as UTF-8 text")
    if mistakes:
        raise RuleBookUnreadableError("\n".join(mistakes))
    try:
        return RuleBook(packs, residence)
    except RuleBookError as error:
        raise RuleBookUnreadableError(f"{folder.name}: {error}") from None
