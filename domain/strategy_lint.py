"""What a strategy says that the grammar allows and nobody can want.

An error would harm a debtor or stop a case (a message that repeats at once, a template that does not exist, legal
action that is not the last resort); a warning is probably a slip. Nothing here changes a strategy.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping

from domain.codes import Purpose
from domain.softening import channels_left
from domain.strategy import Step, Strategy
from domain.strategy_file import Level, Mistake, Path, Places, where_of

WITHOUT_A_PERSON = frozenset(
    {"sent", "delivered", "answered", "undelivered", "failed", "unknown", "refused", "exhausted", "unworked"}
)
"""Outcomes that come by themselves; every other one is said by a person."""

_Found = tuple[Level, Path, str, str]


def lint(
    strategy: Strategy,
    *,
    places: Places | None = None,
    templates: frozenset[str] | None = None,
    outcomes: Mapping[str, Iterable[str]] | None = None,
) -> list[Mistake]:
    """Return errors and warnings in the order of the file.

    ``places`` (from ``read_places``) gives their lines, else they stand on line 1. ``templates`` are the names that
    exist, as ``template.channel``; without them templates are not looked at. ``outcomes`` are the codes of the
    catalogue by ``call`` and ``visit``; without them nobody asks whether an outcome can come.
    """
    known = places or Places()
    mistakes = []
    for level, path, what, mend in _found(strategy, templates, outcomes):
        line, column = known.of(path)
        mistakes.append(Mistake(line, column, where_of(path), what, mend, level))
    return sorted(mistakes, key=lambda mistake: (mistake.line, mistake.column))


def _found(
    strategy: Strategy, templates: frozenset[str] | None, outcomes: Mapping[str, Iterable[str]] | None
) -> Iterator[_Found]:
    due_days = 0
    for number, step in enumerate(strategy.steps):
        path: Path = ("steps", number)
        if templates is not None and step.channel is not None and f"{step.template}.{step.channel}" not in templates:
            name = f"{step.template}.{step.channel}.j2"
            yield "error", (*path, "template"), f"there is no template {name}", "add it under policies/templates/en"
        if step.task == "legal" and not step.requires.last_resort:
            mend = "write requires: {last_resort: true}"
            yield "error", path, "legal action that is not the last resort", mend
        if step.start.since == "due":
            if step.start.days < due_days:
                what = f"day {step.start.days} comes after a step of day {due_days}"
                yield "warning", (*path, "start"), what, "put the steps in the order of their days"
            due_days = max(due_days, step.start.days)
        if step.start.since == "validation_end" and not _notice_before(strategy, number):
            what = "this step never comes: no required notice goes before it"
            mend = "give an earlier step 'purpose: required_notice', and the strategy 'validation_days'"
            yield "error", (*path, "start"), what, mend
        if step.repeat_until and step.tries == 1:
            yield "warning", (*path, "repeat_until"), "one try is never repeated", "write tries: 2 or more"
        yield from _loops(strategy, number, step)
        if outcomes is not None:
            yield from _never_said(number, step, outcomes)

    yield from _softened(strategy, templates)


def _never_said(number: int, step: Step, outcomes: Mapping[str, Iterable[str]]) -> Iterator[_Found]:
    """Find outcomes that nobody can report, because the catalogue does not have them."""
    of_step = {*outcomes.get(step.task or "", ()), *WITHOUT_A_PERSON, "rpc"}
    said = {code for codes in outcomes.values() for code in codes}
    spoken: list[tuple[Path, str, set[str]]] = []
    if step.task != "legal":
        spoken += [(("steps", number, "then", code), code, of_step) for code in step.then]
        spoken += [(("steps", number, "repeat_until"), code, of_step) for code in step.repeat_until]
    test = step.only_if.get("dispositions")
    named = () if test is None else (*(test.any_of or ()), *(test.none_of or ()))
    spoken += [(("steps", number, "only_if", "dispositions"), str(code), said) for code in named]
    for path, code, known in spoken:
        if code not in known:
            near = difflib.get_close_matches(code, sorted(known), n=1, cutoff=0.6)
            mend = f"did you mean '{near[0]}'?" if near else "see `starter.py dispositions list`"
            yield "error", path, f"no outcome is called '{code}'", mend


def _softened(strategy: Strategy, templates: frozenset[str] | None) -> Iterator[_Found]:
    """Find gentler words that nobody wrote or that nothing uses, and an entry that leaves no way to a person."""
    for number, one in enumerate(strategy.soften):
        path: Path = ("soften", number)
        for name, instead in one.templates.items():
            channels = sorted({str(step.channel) for step in strategy.steps if step.template == name and step.channel})
            if not channels:
                mend = "name a template of one of the steps"
                yield "warning", (*path, "templates", name), f"no step uses the template '{name}'", mend
            for channel in channels:
                if templates is not None and f"{instead}.{channel}" not in templates:
                    what = f"there is no template {instead}.{channel}.j2"
                    yield "error", (*path, "templates", name), what, "add it under policies/templates/en"
        if not (one.templates or one.leave_out or one.offers):
            yield "warning", path, "this entry softens nothing", "name templates, leave_out or offers"
        if one.leave_out and not channels_left(strategy, one):
            mend = "leave at least one channel, or place a hold instead"
            yield "error", (*path, "leave_out"), "no way to the person is left", mend


def _notice_before(strategy: Strategy, number: int) -> bool:
    notices = (step.purpose is Purpose.REQUIRED_NOTICE for step in strategy.steps[:number])
    return strategy.validation_days > 0 and any(notices)


def _loops(strategy: Strategy, number: int, step: Step) -> Iterator[_Found]:
    """Find outcomes that lead back: what repeats must pause, and must end by itself."""
    for outcome, leads in step.then.items():
        if leads.step is None or leads.step == "next":
            continue
        target = number if leads.step == "same" else strategy.index_of(leads.step)
        if target > number:
            continue
        path: Path = ("steps", number, "then", outcome)
        back = strategy.steps[target]
        pauses = back.min_gap is not None and back.min_gap.count > 0
        if not pauses and not (back.start.since == "step" and back.start.days > 0):
            mend = f"give step '{back.id}' a min_gap, or start: {{since: step, days: 1}}"
            yield "error", path, f"leads back to '{back.id}', which would be repeated at once", mend
        if outcome in WITHOUT_A_PERSON and not any(end.days is not None for end in strategy.ends):
            mend = "give the strategy an end with a number of days"
            yield "warning", path, f"leads back to '{back.id}' again and again, without an end", mend
