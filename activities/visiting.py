"""The gate at the door: how many people the rules demand for a visit, and whether they may set out now (ADR 0007)."""

from datetime import datetime

from sqlalchemy import Engine

from activities.dialling import Dialled, Dialling, NotNow
from activities.judging import Judge, Presence

MOST_PEOPLE = 6
"""More than any rule demands: what is still refused with so many is refused for another reason."""


class Visiting:
    """Asks the one gate about visits, with the people, the recording and the cards there would be."""

    def __init__(self, engine: Engine, judge: Judge, *, logical: bool) -> None:
        self._engine = engine
        self._dialling = Dialling(engine, judge)
        self._logical = logical

    def least(self, item_key: str, at: datetime) -> int:
        """Return the least number of people with which no rule asks for more, as of an instant; reads only."""
        with self._engine.connect() as connection:
            asked = {
                people: _rules(
                    self._dialling.look(
                        connection, item_key, at, logical=self._logical, presence=Presence(visitors=people)
                    )
                )
                for people in range(1, MOST_PEOPLE + 1)
            }
        return next(people for people in sorted(asked) if asked[people] == asked[MOST_PEOPLE])

    def admit(
        self, item_key: str, at: datetime, engine_now: datetime, *, people: int, recorded: bool, identified: bool
    ) -> Dialled | NotNow | None:
        """Turn the item into an attempt, or say why they must not go now; ``None``: nothing to visit for."""
        presence = Presence(visitors=people, recorded=recorded, identified=identified)
        return self._dialling.admit(item_key, lambda: at, engine_now, logical=self._logical, presence=presence)


def _rules(answer: Dialled | NotNow | None) -> frozenset[str]:
    return frozenset(answer.rule_ids) if isinstance(answer, NotNow) else frozenset()
