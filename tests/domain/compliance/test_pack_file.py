"""Packs are read with care: what is not understood is a mistake, named by file and line."""

import pytest

from domain.compliance import PackError, RuleBook, RuleBookError, parse_pack, parse_residence
from tests.domain.compliance.packs import HEADER, pack, rule


def mistakes(text: str) -> list[str]:
    with pytest.raises(PackError) as caught:
        parse_pack(text, "t.yaml")
    return str(caught.value).splitlines()


def written(body: str, name: str = "t", rule_id: str = "t.rule", *, house: bool = False) -> str:
    return HEADER.format(name=name, more="") + rule(body, rule_id=rule_id, house=house)


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        ("    barred: true\n    chanels: sms", 16, "unknown key 'chanels' (did you mean 'channels'?)"),
        ("    barred: true\n    channels: pigeon", 16, "unknown channel 'pigeon'"),
        (
            "    when: {actr: third_party_collector}\n    barred: true",
            15,
            "unknown fact 'actr' (did you mean 'actor'?)",
        ),
        ("    when: {actor: third_party}\n    barred: true", 15, "'actor' is never 'third_party'"),
        ("    when: {purpose: colect}\n    barred: true", 15, "'purpose' is never 'colect'"),
        ("    when: {recording: 3}\n    barred: true", 15, "'recording' is true or false"),
        ("    when: {product: {at_least: 3}}\n    barred: true", 15, "'product' is no number"),
        ("    state: {events: [bankrupcy_filed]}", 15, "unknown event 'bankrupcy_filed'"),
        ("    state: {events: [paid], reply: words}", 9, "uses the words 'words', which the pack does not list"),
        ("    hours: {open: 21:00-08:00}", 15, "hours open before they close"),
        ("    hours: {open: {weekend: '08:00-09:00'}}", 15, "'weekend' names no days"),
        ("    count: {of: calls, window: {days: 3}, limit: 1}", 15, "unknown key 'days'"),
        ("    count: {of: calls, window: {hours: 3, ever: true}, limit: 1}", 15, "exactly one of"),
        ("    count: {of: faxes, window: {ever: true}, limit: 1}", 15, "nothing called 'faxes' is counted"),
        ("    barred: true\n    then: allow", 16, "unknown word 'allow'"),
        ("    barred: true\n    then: defer", 9, "only hours, inconvenient, count and state know when to release"),
        ("    title: again\n    barred: true", 15, "'title' is written twice"),
        ("    content: {forbidden: {en: ['(']}}", 15, "not a pattern"),
        ("    note: nothing else", 9, "refuses nothing"),
        ("    barred: true\n    except: {id: t.other}", 16, "an exception needs 'when' or 'consent'"),
    ],
)
def test_a_mistake_is_named_with_its_line(body: str, line: int, said: str) -> None:
    found = mistakes(written(body))
    assert any(said in one for one in found), found
    assert any(one.startswith(f"t.yaml:{line}:") for one in found), found


def test_all_mistakes_are_named_at_once() -> None:
    assert len(mistakes(written("    then: allow\n    chanels: sms\n    state: {events: [nothing]}"))) == 3


@pytest.mark.parametrize("text", ["", "- a\n- b", "pack: [", "a: &x 1\nb: *x", "pack: t\n\x00"])
def test_what_is_no_pack_is_one_clear_mistake(text: str) -> None:
    assert mistakes(text)


def test_what_was_never_read_cannot_be_on() -> None:
    text = written("    barred: true").replace("evidence: B", "evidence: BG")
    assert "what was never read stays off" in mistakes(text)[0]


@pytest.mark.parametrize(
    ("rule_id", "body", "said"),
    [
        ("house.x", "    barred: true\n    except: {when: {purpose: reply}}", "it may only tighten"),
        ("us.fed.time-window", "    barred: true", "it may only tighten"),
        ("house.x", "    barred: true\n    then: allow", "unknown word 'allow'"),
    ],
)
def test_the_house_cannot_loosen(rule_id: str, body: str, said: str) -> None:
    found = mistakes(written(body, name="house", rule_id=rule_id, house=True))
    assert any(said in one for one in found), found


def test_the_house_borrows_nothing() -> None:
    text = HEADER.format(name="house", more="borrows: {t: [t.rule]}") + rule(
        "    barred: true", rule_id="house.x", house=True
    )
    assert any("rules of its own only" in one for one in mistakes(text))


def test_two_versions_of_a_rule_may_not_meet() -> None:
    first = rule("    effective: {to: 2026-08-31}\n    barred: true")
    met = HEADER.format(name="t", more="") + first + rule("    effective: {from: 2026-08-31}\n    barred: true")
    assert "written twice for the same days" in mistakes(met)[0]
    assert pack(first, rule("    effective: {from: 2026-09-01}\n    barred: true"))
    assert pack(rule("    channels: sms\n    barred: true"), rule("    channels: email\n    barred: true"))


def test_an_id_belongs_to_one_pack() -> None:
    with pytest.raises(RuleBookError, match=r"t\.rule"):
        RuleBook([pack(rule("    barred: true")), pack(rule("    barred: true"), name="u")])


def test_what_is_borrowed_must_be_there() -> None:
    with pytest.raises(RuleBookError, match=r"x\.y"):
        RuleBook([pack(rule("    barred: true"), more="borrows: {t: [x.y]}")])


def test_places_name_packs_that_are_there() -> None:
    residence = parse_residence("places: {US: us-federal}", "residence.yaml")
    with pytest.raises(RuleBookError, match=r"house|us-federal"):
        RuleBook([pack(rule("    barred: true"))], residence)
    with pytest.raises(PackError, match="plaices"):
        parse_residence("plaices: {}", "residence.yaml")


def test_the_digest_follows_the_meaning_and_not_the_spelling() -> None:
    body = "    count: {of: calls, window: {calendar_days: 7}, limit: 3}"
    one, same = RuleBook([pack(rule(body))]), RuleBook([pack(rule(body + "  # a comment"))])
    other = RuleBook([pack(rule(body.replace("3}", "4}")))])
    assert one.digest == same.digest != other.digest
