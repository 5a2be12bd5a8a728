"""Moving a case to another strategy: what was done is not done again, what was missed does not burst, and it is foreseen."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.adoption import adopted, position_of
from domain.case import CaseState, Contact, ContactReport, Cursor, HandOver
from domain.codes import AttemptStatus, HoldReason, Verdict
from domain.decide import advance, apply, decide
from domain.facts import Facts, Holding
from domain.forecast import forecast
from domain.strategy import Strategy
from domain.strategy_file import parse_strategy

DUE = date(2026, 3, 2)
OPENED = datetime(2026, 3, 3, 6, tzinfo=UTC)
HOURS = '{hours: "09:00-18:00"}'


def ladder(*steps: tuple[str, int], name: str = "old", more: str = "", channel: str = "sms") -> Strategy:
    rows = "".join(
        f"  - {{id: {step}, channel: {channel}, template: t, start: {{since: due, days: {days}}}, between: {HOURS}{more}}}\n"
        for step, days in steps
    )
    return parse_strategy(f"name: {name}\nversion: 1\nsegment: {{}}\nat_end: wait\nsteps:\n{rows}", "test")


OLD = ladder(("one", 1), ("two", 3), ("three", 7), ("four", 14))


def case() -> CaseState:
    facts = Facts(
        as_of=OPENED, currency="USD", past_due=100, balance=100, oldest_due_on=DUE, dpd=1, zone="America/Chicago"
    )
    return CaseState(
        case_key="A1/1",
        account_key="A1",
        now=OPENED,
        opened_at=OPENED,
        facts=facts,
        cursor=Cursor(step_done_at=OPENED),
    )


def played(state: CaseState, strategy: Strategy, until: datetime) -> tuple[CaseState, list[tuple[str, datetime]]]:
    """Run a case until an instant; return it and the contacts that it made."""
    made = []
    now = state.now
    while now <= until:
        state = advance(state, strategy, now)
        coming = decide(state, strategy, now)
        if isinstance(coming, Contact):
            made.append((coming.step, now))
            report = ContactReport(
                seq=coming.seq,
                step=coming.step,
                status=AttemptStatus.SENT,
                verdict=Verdict.ALLOW,
                at=now,
                facts=state.facts,
            )
            state, _ = apply(state, strategy, report)
            continue
        upcoming = getattr(coming, "until", None)
        if upcoming is None:
            break
        now = upcoming
    return state.model_copy(update={"now": max(until, state.now)}), made


def day(number: int) -> datetime:
    return OPENED + timedelta(days=number)


def steps_of(state: CaseState, strategy: Strategy, now: datetime) -> list[str]:
    return [one.step for one in forecast(state, strategy, now) if one.step is not None]


def test_a_forecast_is_what_the_case_then_does() -> None:
    rows = forecast(case(), OLD, OPENED)
    _, made = played(case(), OLD, day(60))
    assert [(one.step, one.at) for one in rows if one.step] == made
    assert [one.plainly("America/Chicago")["when"] for one in rows] == [
        "2026-03-03 09:00",
        "2026-03-05 09:00",
        "2026-03-09 09:00",
        "2026-03-16 09:00",
        None,
    ]
    assert rows[-1].what == "the ladder has ended: waiting for the debtor or a decision"


def test_a_step_that_was_done_is_not_done_again() -> None:
    state, made = played(case(), OLD, day(4))
    assert [step for step, _ in made] == ["one", "two"]
    new = ladder(("one", 2), ("new", 5), ("two", 9), ("three", 12), name="other")
    assert steps_of(adopted(state, OLD, new, day(4)), new, day(4)) == ["three"]


def test_what_the_new_ladder_would_have_done_before_the_last_contact_lies_behind() -> None:
    state, _ = played(case(), OLD, day(8))
    assert state.history.last_contact_at is not None
    new = ladder(("a", 1), ("b", 4), ("c", 6), ("d", 10), ("e", 20), name="other")
    assert steps_of(adopted(state, OLD, new, day(8)), new, day(8)) == ["d", "e"]


def test_what_was_missed_since_is_joined_at_one_step() -> None:
    state, _ = played(case(), OLD, day(4))
    late = day(40)
    new = ladder(("a", 1), ("b", 10), ("c", 20), ("d", 30), ("e", 90), name="other")
    moved = adopted(state, OLD, new, late)
    assert steps_of(moved, new, late) == ["d", "e"]
    rows = [one for one in forecast(moved, new, late) if one.at is not None]
    assert rows[0].at is not None
    assert rows[0].at >= late


def test_a_step_that_was_begun_goes_on_with_its_tries() -> None:
    three = ', tries: 3, every: "2 days"'
    old, new = ladder(("one", 1), more=three), ladder(("zero", 1), ("one", 1), ("two", 30), name="n", more=three)
    state, made = played(case(), old, day(1))
    assert len(made) == 1
    rows = forecast(adopted(state, old, new, day(1)), new, day(1))
    assert [(one.step, one.what) for one in rows[:2]] == [
        ("one", "contact, try 2 of 3"),
        ("one", "contact, try 3 of 3"),
    ]
    fewer = ladder(("one", 1), ("two", 30), name="n")
    assert steps_of(adopted(state, old, fewer, day(1)), fewer, day(1)) == ["two"]


def test_an_attempt_that_was_put_off_goes_on_only_with_the_same_words() -> None:
    state = case().model_copy(update={"cursor": Cursor(step_done_at=OPENED, open_seq=1, not_before=day(2)), "seq": 1})
    same, other = ladder(("one", 1), ("two", 9), name="n"), ladder(("one", 1), name="n", channel="email")
    assert adopted(state, OLD, same, OPENED).cursor.open_seq == 1
    assert adopted(state, OLD, other, OPENED).cursor.open_seq is None


def test_a_held_case_changes_over_and_stays_held() -> None:
    held = case().model_copy(
        update={
            "facts": case().facts.model_copy(
                update={"hold": Holding(reason=HoldReason.DISPUTE, until=day(5)), "next_change_at": day(5)}
            ),
            "adopting": "d" * 64,
        }
    )
    assert isinstance(decide(held, OLD, OPENED), HandOver)
    new = ladder(("a", 1), ("b", 9), name="other")
    rows = forecast(adopted(held, OLD, new, OPENED), new, OPENED)
    assert [(one.step, one.at is not None and one.at >= day(5)) for one in rows[:2]] == [("a", True), ("b", True)]


def test_a_position_changes_with_whatever_would_change_the_preview() -> None:
    before = position_of(case(), "a" * 64)
    after, _ = played(case(), OLD, day(1))
    paid = case().model_copy(update={"facts": case().facts.model_copy(update={"oldest_due_on": date(2026, 4, 2)})})
    tokens = {before, position_of(after, "a" * 64), position_of(case(), "b" * 64), position_of(paid, "a" * 64)}
    assert len(tokens) == 4


@given(
    old_days=st.lists(st.integers(1, 40), min_size=1, max_size=6, unique=True).map(sorted),
    new_days=st.lists(st.integers(1, 60), min_size=1, max_size=6, unique=True).map(sorted),
    shared=st.integers(0, 6),
    moved_on=st.integers(0, 70),
)
def test_no_step_twice_and_no_two_on_a_day(
    old_days: list[int], new_days: list[int], shared: int, moved_on: int
) -> None:
    old = ladder(*((f"s{n}", days) for n, days in enumerate(old_days)))
    new = ladder(*((f"s{n}" if n < shared else f"n{n}", days) for n, days in enumerate(new_days)), name="new")
    state, before = played(case(), old, day(moved_on))
    moved = adopted(state, old, new, day(moved_on))
    expected = [(one.step, one.at) for one in forecast(moved, new, day(moved_on)) if one.step]
    _, after = played(moved, new, day(200))
    assert expected == after, "the preview is what happens"
    every = [*before, *after]
    assert len({step for step, _ in every}) == len(every)
    days = [at.date() for _, at in every]
    assert len(set(days)) == len(days)
