"""Reads the catalogue of outcomes that is shipped, once."""

from functools import cache
from pathlib import Path

from domain.dispositions import Catalogue, parse_dispositions

DISPOSITIONS = Path(__file__).resolve().parent.parent / "policies" / "dispositions.yaml"


def load_catalogue(path: Path) -> Catalogue:
    """Read a catalogue; StrategyError names every mistake by line, OSError says that there is no such file."""
    return parse_dispositions(path.read_text(encoding="utf-8"), path.name)


@cache
def shipped() -> Catalogue:
    """Return the catalogue of ``policies/dispositions.yaml``."""
    return load_catalogue(DISPOSITIONS)
