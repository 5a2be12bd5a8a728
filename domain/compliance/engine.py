"""The judgement: allow, defer until an instant, block, or hand to a person, with every rule that had a say.

Pure: the same facts and the same book give the same ruling. Every rule is asked, whatever the others said; the hardest
answer wins. A release is the earliest instant at which every rule has nothing to say, found by asking all of them again
at each candidate. What is not known is never permission.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from domain.compliance.compile import LiveRule
from domain.compliance.duties import Computed, compute_term
from domain.compliance.facts import Approval, Facts
from domain.compliance.hours import HoursBody
from domain.compliance.parts import Then
from domain.compliance.question import FAIL_CLOSED, HARDNESS, Body, Finding, Question, approved, ask, granted
from domain.compliance.rulebook import RuleBook, Selection
from domain.compliance.timetable import HORIZON
from domain.compliance.vocabulary import EVENTS

Decision = Literal["allow", "defer", "block", "review", "compute"]

PACK_SELECTION = "core.pack-selection"
DEFER_MAX = "core.defer-max"
RECHECK = "core.recheck-at-dispatch"
UNKNOWN_EVENT = "core.unknown-event"
NO_RELEASE = "core.no-release"
_MOST_STEPS = 2_000


@dataclass(frozen=True, slots=True)
class Hit:
    """One rule that acted: what it says, until when (``None``: no time heals it), and why in a few words.

    ``later``: it has nothing against the instant asked about, but spoke against an earlier release.
    """

    rule_id: str
    decision: Then
    until: datetime | None = None
    said: str = ""
    later: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer. ``defer_until`` is set exactly when the decision is ``defer``, in UTC.

    ``rule_ids`` is the public list (docs/rules.md): for ``allow`` every rule that was asked and satisfied, otherwise
    the rules that acted, then those that stood aside or shaped the answer. ``hits`` are the rules that acted;
    ``lifted`` would have, but for an exception; ``passed`` were satisfied. ``duties`` are rules about the text, which
    was not shown.
    """

    decision: Decision
    defer_until: datetime | None
    rule_ids: tuple[str, ...]
    hits: tuple[Hit, ...] = ()
    lifted: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    duties: tuple[str, ...] = ()
    packs: tuple[str, ...] = ()
    value: date | None = None
    assumed_receipt: date | None = None

    def as_json(self) -> dict[str, object]:
        """Return the public form: decision, release, rule ids, and for a computed day its value."""
        until = None if self.defer_until is None else self.defer_until.isoformat().replace("+00:00", "Z")
        said: dict[str, object] = {
            "decision": self.decision,
            "defer_until": until,
            "rule_ids": list(self.rule_ids),
        }
        if self.value is not None and self.assumed_receipt is not None:
            said |= {"value": self.value.isoformat(), "assumed_receipt": self.assumed_receipt.isoformat()}
        return said


@dataclass(slots=True)
class _Bound:
    """One rule bound to one contact."""

    rule: LiveRule
    bodies: tuple[Body, ...]
    zones: tuple[str, ...]
    always_lifted: bool
    lifted_in: list[tuple[datetime, datetime]]
    notes: list[str]

    def raw(self, at: datetime) -> list[Finding]:
        """Return what the rule would say, exceptions aside."""
        if not self.rule.in_force(at, self.zones):
            return []
        return [found for body in self.bodies if (found := body.judge(at)) is not None]

    def findings(self, at: datetime, approvals: tuple[Approval, ...]) -> list[Finding]:
        """Return what the rule says against an instant."""
        if self.always_lifted or any(start <= at < end for start, end in self.lifted_in):
            return []
        return [one for one in self.raw(at) if not self._approved(one, approvals, at)]

    def _approved(self, finding: Finding, approvals: tuple[Approval, ...], at: datetime) -> bool:
        may = self.rule.approvable or finding.then == "review"
        return may and approved(approvals, self.rule.id, finding.since, at)

    def release(self, finding: Finding) -> datetime | None:
        """Return when a finding ends: by itself, or because the rule lapses."""
        lapses = self.rule.lapses(self.zones)
        ends = [end for end in (finding.until, lapses) if end is not None]
        return min(ends, default=None)

    def hit(self, finding: Finding, *, later: bool = False) -> Hit:
        """Return a finding as the world sees it: only a deferral is released by time."""
        until = self.release(finding) if finding.then == "defer" else None
        return Hit(self.rule.id, finding.then, until, finding.said, later)

    def is_lifted(self, at: datetime, approvals: tuple[Approval, ...]) -> bool:
        """Whether the rule would say something, and an exception, consent or approval keeps it from it."""
        if any(isinstance(body, HoursBody) and body.lifted_by_consent(at) for body in self.bodies):
            return True
        return bool(self.raw(at)) and not self.findings(at, approvals)


@dataclass(slots=True)
class _Answers:
    """What was said about the instant asked about, and about later ones."""

    hits: list[Hit] = field(default_factory=list)
    lifted: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    notes: set[str] = field(default_factory=set)
    notes_of_passed: set[str] = field(default_factory=set)


def decide(facts: Facts, book: RuleBook) -> Ruling:
    """Judge one contact at ``facts.now``, by all rules in force."""
    question = ask(facts)
    selection = book.select(facts)
    rules = [rule for rule in book.rules_for(selection.packs, facts.channel) if rule.applies(facts)]
    bound = [one for rule in rules if (one := _bind(rule, question)) is not None]
    answers = _Answers(hits=_before_any_rule(facts, selection))
    for one in bound:
        _hear(one, question, answers)
    decision, until = _conclude(bound, answers, question)
    acted = {hit.rule_id for hit in answers.hits}
    answers.lifted -= acted
    answers.passed -= acted | answers.lifted
    duties = tuple(sorted({rule.id for rule in rules if rule.content is not None}))
    if facts.channel == "compute":
        return _computed(rules, question, answers, selection, decision, asked=bool(bound))
    return Ruling(
        decision=decision,
        defer_until=until,
        rule_ids=_public_ids(decision, answers, facts),
        hits=tuple(sorted(answers.hits, key=_order)),
        lifted=tuple(sorted(answers.lifted)),
        passed=tuple(sorted(answers.passed)),
        duties=duties if facts.content is None else (),
        packs=selection.packs,
    )


def _before_any_rule(facts: Facts, selection: Selection) -> list[Hit]:
    """Return what speaks against the contact before any rule is asked."""
    hits = []
    if not selection.known:
        hits.append(Hit(PACK_SELECTION, "block", None, "it is not known which rules are in force"))
    if selection.missing:
        hits.append(Hit(PACK_SELECTION, "block", None, "a rule pack that is in force is missing"))
    if any(event.type not in EVENTS for event in facts.events):
        hits.append(Hit(UNKNOWN_EVENT, "review", None, "something was told that no rule knows"))
    return hits


def _bind(rule: LiveRule, question: Question) -> _Bound | None:
    bodies = tuple(body for make in rule.bodies if (body := make(question)) is not None)
    if not bodies:
        return None
    always, spans, notes = False, [], []
    for lift in rule.lifts:
        given = lift.consent is not None and any(one.type == lift.consent.type for one in question.facts.consents)
        holds = lift.holds(question.facts)
        if lift.consent is None:
            always = always or holds
        elif given and holds:
            spans += granted(question, lift.consent, rule.clock)
        if lift.rule_id is not None and (given or (lift.consent is None and holds)):
            notes.append(lift.rule_id)
    return _Bound(rule, bodies, question.dates_for(rule.clock), always, spans, notes)


def _hear(one: _Bound, question: Question, answers: _Answers) -> None:
    """Ask one rule about the instant, and note what it said or why it did not."""
    now, approvals = question.now, question.approvals
    findings = one.findings(now, approvals)
    own_notes = {*one.notes, *(note for body in one.bodies for note in body.notes)}
    for finding in findings:
        hit = one.hit(finding)
        if hit not in answers.hits:  # a rule that two packs share
            answers.hits.append(hit)
        answers.notes |= {*own_notes, *finding.notes}
    if findings:
        return
    if one.is_lifted(now, approvals):
        answers.lifted.add(one.rule.id)
        answers.notes |= own_notes
    else:
        answers.passed.add(one.rule.id)
        answers.notes_of_passed |= own_notes


def _conclude(bound: list[_Bound], answers: _Answers, question: Question) -> tuple[Decision, datetime | None]:
    """Return the decision, and the instant at which every rule together would allow it."""
    if not answers.hits:
        return "allow", None
    hardest = max(answers.hits, key=lambda hit: HARDNESS[hit.decision])
    if hardest.decision != "defer":
        return hardest.decision, None
    until, met = _earliest(bound, question)
    answers.hits += [one.hit(finding, later=True) for one, finding in met]
    answers.notes |= {note for _, finding in met for note in finding.notes}
    if until is not None:
        return "defer", until
    answers.hits.append(Hit(NO_RELEASE, "block", None, f"no permitted time within {HORIZON.days} days"))
    return "block", None


def _earliest(bound: list[_Bound], question: Question) -> tuple[datetime | None, list[tuple[_Bound, Finding]]]:
    """Return the earliest later instant at which no rule speaks, and the rules that spoke only on the way there.

    Each rule names an instant before which it certainly speaks, so the latest of these is the next to ask about; where
    one names none, there is no such instant.
    """
    at = question.now
    met: dict[str, tuple[_Bound, Finding]] = {}
    spoke_now: set[str] = set()
    for _ in range(_MOST_STEPS):
        found = [(one, finding) for one in bound for finding in one.findings(at, question.approvals)]
        if not found:
            return at, list(met.values())
        if at == question.now:
            spoke_now = {one.rule.id for one, _ in found}
        met |= {one.rule.id: (one, finding) for one, finding in found if one.rule.id not in {*spoke_now, *met}}
        releases = [one.release(finding) for one, finding in found]
        known = [release for release in releases if release is not None]
        if len(known) < len(releases) or max(known) > question.now + HORIZON or max(known) <= at:
            break
        at = max(known)
    return None, list(met.values())


def _order(hit: Hit) -> tuple[bool, int, str, str]:
    return hit.later, -HARDNESS[hit.decision], hit.rule_id, hit.said


def _public_ids(decision: Decision, answers: _Answers, facts: Facts) -> tuple[str, ...]:
    """Return the rules that say why: satisfied ones for a yes, the ones that acted for anything else."""
    recheck = {RECHECK} if facts.approved_at is not None else set()
    if decision in {"allow", "compute"}:
        notes = answers.notes | answers.notes_of_passed
        asked = answers.passed | answers.lifted
        return (*sorted(asked), *sorted((notes | recheck | {PACK_SELECTION}) - asked))
    acted = dict.fromkeys(hit.rule_id for hit in sorted(answers.hits, key=_order))
    notes = answers.notes | answers.lifted | recheck
    if decision == "defer" and len({hit.rule_id for hit in answers.hits}) > 1:
        notes.add(DEFER_MAX)
    if {PACK_SELECTION, UNKNOWN_EVENT} & set(acted):
        notes.add(FAIL_CLOSED)
    return (*acted, *sorted(notes - set(acted)))


def _computed(
    rules: list[LiveRule],
    question: Question,
    answers: _Answers,
    selection: Selection,
    decision: Decision,
    *,
    asked: bool,
) -> Ruling:
    """Return a computed day, or whether records may be deleted; what no rule answers is refused."""
    terms = [(rule, term) for rule in rules if rule.term is not None and (term := compute_term(rule.term, question))]
    value: Computed | None = max((term for _, term in terms), key=lambda term: term.value, default=None)
    if value is not None and decision == "allow":
        answers.passed |= {rule.id for rule, _ in terms}
        decision = "compute"
    elif not asked and decision == "allow":
        answers.hits.append(Hit(FAIL_CLOSED, "block", None, "no rule in force answers this"))
        decision = "block"
    return Ruling(
        decision=decision,
        defer_until=None,
        rule_ids=_public_ids(decision, answers, question.facts),
        hits=tuple(sorted(answers.hits, key=_order)),
        lifted=tuple(sorted(answers.lifted)),
        passed=tuple(sorted(answers.passed)),
        packs=selection.packs,
        value=None if value is None else value.value,
        assumed_receipt=None if value is None else value.assumed_receipt,
    )
