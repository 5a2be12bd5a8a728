"""Which packs are in force: they follow from where the debtor lives.

Where that is not certain, the packs of all candidates hold together, so the strictest wins. An area code moves no
residence. Where nothing is known, or nothing is known of the place, there is no answer, and the gate refuses.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from domain.compliance.conditions import Clause, Conditions, Predicate, compiled
from domain.compliance.facts import Facts
from domain.compliance.words import fold


def _short(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    return {"pack": value} if isinstance(value, str) else value


def _many(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    return (value,) if isinstance(value, str) else value


class Choice(Clause):
    """A pack, and for whom."""

    pack: str
    when: Conditions = ()


Choices = Annotated[tuple[Annotated[Choice, BeforeValidator(_short)], ...], BeforeValidator(_many)]


class Residence(Clause):
    """The packs of each place.

    Keys of ``places`` are a country (``US``), a part of one (``US-MA``) or a locality in it (``US-NY/NYC``); the packs
    of a country hold in all its parts. ``localities`` gives other spellings of a locality.
    """

    on_top: str = "house"
    """The pack that is in force everywhere."""
    places: dict[str, Choices]
    localities: dict[str, Annotated[tuple[str, ...], BeforeValidator(_many)]] = Field(default_factory=dict)


class Chooser:
    """Finds the packs of a contact."""

    def __init__(self, residence: Residence) -> None:
        self.on_top = residence.on_top
        self._places: dict[str, tuple[tuple[str, Predicate], ...]] = {
            place: tuple((one.pack, compiled(one.when)) for one in choices)
            for place, choices in residence.places.items()
        }
        self._spellings = {
            place: frozenset(map(fold, (*names, place.partition("/")[2])))
            for place, names in {**dict.fromkeys(residence.places, ()), **residence.localities}.items()
            if "/" in place
        }
        self._parts: dict[str, tuple[str, ...]] = {}

    @property
    def packs(self) -> frozenset[str]:
        """Names of all packs that may be chosen."""
        return frozenset(pack for choices in self._places.values() for pack, _ in choices) | {self.on_top}

    def packs_for(self, facts: Facts) -> tuple[str, ...] | None:
        """Return the names of the packs in force, the house last; ``None`` when the place is not known."""
        debtor = facts.debtor
        known = debtor.region or debtor.address_region
        regions = (known,) if known else debtor.regions
        if not regions:
            return None
        chosen: dict[str, None] = {}
        for region in regions:
            places = self._places_of(region, debtor.locality)
            if not places:
                return None
            for place in places:
                chosen |= dict.fromkeys(pack for pack, holds in self._places[place] if holds(facts))
        chosen.pop(self.on_top, None)
        return (*chosen, self.on_top)

    def _places_of(self, region: str, locality: str | None) -> list[str]:
        """Return the places a region may mean: itself, what it lies in, and what may lie in it."""
        country = region.partition("-")[0]
        whole = [place for place in dict.fromkeys((country, region)) if place in self._places]
        if not whole:
            return []
        inside = self._inside(region)
        if locality is not None:
            inside = tuple(one for one in inside if "/" not in one or self._is(one, locality))
        return [*whole, *inside]

    def _inside(self, region: str) -> tuple[str, ...]:
        if region not in self._parts:
            starts = (f"{region}-", f"{region}/")
            self._parts[region] = tuple(place for place in sorted(self._places) if place.startswith(starts))
        return self._parts[region]

    def _is(self, place: str, locality: str) -> bool:
        return fold(locality) in self._spellings[place]


def packs_for(facts: Facts, residence: Residence) -> tuple[str, ...] | None:
    """Return the packs in force for one contact; ``None`` when the place is not known."""
    return Chooser(residence).packs_for(facts)


def unknown_packs(chooser: Chooser, known: Iterable[str]) -> list[str]:
    """Return the packs that places name and nobody has written."""
    return sorted(chooser.packs - set(known))
