"""Reads the text of the file that says which packs hold where."""

from pydantic import ValidationError

from domain.compliance.pack_file import PackError, read_mapping
from domain.compliance.residence import Residence
from domain.strategy_file import Mistake, where_of


def parse_residence(text: str, name: str) -> Residence:
    """Read which packs hold where; PackError names what is wrong."""
    values = read_mapping(text, name)
    try:
        return Residence.model_validate(values)
    except ValidationError as invalid:
        mistakes = [
            Mistake(
                1, 1, where_of(tuple(error["loc"])), error["msg"].removeprefix("Value error, "), "see docs/rules.md"
            )
            for error in invalid.errors(include_url=False)
        ]
        raise PackError(name, mistakes) from None
