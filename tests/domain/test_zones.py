"""Where a person may be: a confirmed fact alone, else every hint; what is not known is not guessed."""

import pytest

from domain.zones import candidate_zones, zones_of_phone, zones_of_region

CHICAGO, NEW_YORK, HONOLULU = "America/Chicago", "America/New_York", "Pacific/Honolulu"


def test_a_confirmed_fact_decides_alone() -> None:
    found = candidate_zones(confirmed=HONOLULU, stated=NEW_YORK, region="US-IL", phones=["+12125550100"])
    assert found == (HONOLULU,)


def test_an_address_does_not_override_an_area_code() -> None:
    found = candidate_zones(confirmed=None, stated=None, region="US-HI", phones=["+12125550100"])
    assert set(found) == {HONOLULU, NEW_YORK}


def test_the_lenders_word_is_a_candidate_beside_the_others() -> None:
    found = candidate_zones(confirmed=None, stated=CHICAGO, region="US-HI", phones=["+13125550100"])
    assert set(found) == {CHICAGO, HONOLULU}


def test_a_stated_zone_narrows_a_region_that_has_several() -> None:
    assert candidate_zones(confirmed=None, stated=CHICAGO, region="US-TX", phones=[]) == (CHICAGO,)
    assert set(candidate_zones(confirmed=None, stated=None, region="US-TX", phones=[])) == {CHICAGO, "America/Denver"}


@pytest.mark.parametrize("phone", ["+61491571234", "+34600001234", "+18005550100", "+447700900123"])
def test_a_number_that_tells_only_its_country_adds_nothing_to_an_address_there(phone: str) -> None:
    area, country = zones_of_phone(phone)
    assert area == ()
    stated = country[-1]
    assert candidate_zones(confirmed=None, stated=stated, region=None, phones=[phone]) == (stated,)
    assert set(candidate_zones(confirmed=None, stated=None, region=None, phones=[phone])) == set(country)


@pytest.mark.parametrize(
    ("region", "zones"),
    [("CN", {"Asia/Shanghai"}), ("IN", {"Asia/Kolkata"}), ("DE", {"Europe/Berlin"}), ("US-PA", {NEW_YORK}), ("XX", set()),
     ("BR-SP", {"America/Sao_Paulo"}), ("AU-WA", {"Australia/Perth", "Australia/Eucla"})],
)  # fmt: skip
def test_regions_have_their_zones(region: str, zones: set[str]) -> None:
    assert set(zones_of_region(region)) == zones


def test_an_unknown_part_of_a_country_may_be_anywhere_in_it() -> None:
    assert {CHICAGO, HONOLULU, NEW_YORK} <= set(zones_of_region("US-ZZ"))


def test_nothing_known_is_no_zone() -> None:
    assert candidate_zones(confirmed=None, stated="Mars/Base", region=None, phones=["broken"]) == ()
