"""The gate: may this attempt go out now?

It is asked inside the transaction that admits an attempt, on facts read under the locks. Here it checks what the
ledger knows; rule packs join in as further checks behind the same protocol. All hits are returned, and it fails
closed: what is not known is not allowed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from domain.calendar import next_opening
from domain.codes import Channel, Purpose, Verdict
from domain.compliance.facts import Facts as RuleFacts
from domain.facts import Facts
from domain.state_events import bars
from domain.stops import legal_bars
from domain.strategy import Between

FEED_RETRY = timedelta(hours=6)
LONGEST_SEARCH = 1000
MUST_BE_PAST_DUE = frozenset({Purpose.COLLECT, Purpose.LOCATE})
PASSES_A_HOLD = frozenset(Purpose) - {Purpose.COLLECT, Purpose.LOCATE}


CORE_RULES = {
    "core.not-past-due": "nothing is past due",
    "core.closed": "the case is closed, or will be",
    "core.hold": "a hold stands",
    "core.arrangement": "an arrangement is performed, or waits for approval in peace",
    "core.nothing-to-remind": "there is no such line to be reminded of any more",
    "core.stopped": "what happened to the person or the debt bars this kind of contact",
    "core.legal-stage": "a legal matter stands at a stage that leaves no such contact",
    "core.softened": "the person is in hardship or needs care, and the case had not heard of it",
    "core.contact-point-held": "the contact point or the channel is on hold",
    "core.no-contact-point": "there is nowhere to reach the person by this channel",
    "core.consent-withdrawn": "the person does not want to be reached there",
    "core.zone-unknown": "the person's time zone is not known",
    "core.payment-feed-stale": "the payment feed is too old to know what is owed",
    "core.step-hours": "outside the hours of the step",
    "core.no-rule-facts": "the rule packs could not be asked",
    "core.no-release": "no instant satisfies everything together",
    "core.template": "the template is missing, or may not be used",
    "core.covered": "another message to this person on this day speaks for it",
    "core.covering-in-flight": "the message that would speak for it is on its way",
}
"""What the ledger's own rules say, in words. The law and the house are in ``policies/rules``."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What the gate is asked about. ``point_state`` is ``None`` when there is no contact point to use."""

    now: datetime
    channel: Channel
    purpose: Purpose
    between: Between
    facts: Facts
    case_closed: bool
    point_state: str | None
    point_consent: str | None
    point_held: bool
    feed_age: timedelta | None = None
    feed_limit: timedelta | None = None
    holidays_of: str | None = None
    reminds: str | None = None
    """The line of an arrangement that a courtesy reminder speaks of."""
    rules: RuleFacts | None = None
    """What the rule packs are asked about; ``None`` where none are in force."""


@dataclass(frozen=True, slots=True)
class Reason:
    """What one rule said: its verdict, until when (``None``: no time heals it), and why in a few words."""

    rule_id: str
    verdict: Verdict
    until: datetime | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate said, and every rule that hit. ``defer_until`` is set exactly when the verdict is ``defer``."""

    verdict: Verdict
    rule_ids: tuple[str, ...] = ()
    defer_until: datetime | None = None
    packs: tuple[str, ...] = ()
    """The rule packs that were in force."""
    reasons: tuple[Reason, ...] = ()
    """Why, rule by rule, as the record keeps it."""


class Gate(Protocol):
    """Decides about one attempt. Pure: the same admission gets the same decision."""

    def decide(self, admission: Admission) -> Decision:
        """Return the decision with all rules that hit."""
        ...


@dataclass(frozen=True, slots=True)
class Hit:
    """One rule that hit: it blocks, or it defers until an instant."""

    rule_id: str
    until: datetime | None = None


Check = Callable[[Admission], Hit | None]


def _not_past_due(admission: Admission) -> Hit | None:
    owed = admission.facts.past_due > 0
    return None if owed or admission.purpose not in MUST_BE_PAST_DUE else Hit("core.not-past-due")


def _closed(admission: Admission) -> Hit | None:
    return Hit("core.closed") if admission.case_closed or admission.facts.closing is not None else None


def _held(admission: Admission) -> Hit | None:
    if admission.purpose in PASSES_A_HOLD:
        return None
    return Hit("core.hold") if admission.facts.hold is not None else None


def _arranged(admission: Admission) -> Hit | None:
    """Refuse to collect while an arrangement is performed; what goes wrong with it ends it first."""
    if admission.purpose in PASSES_A_HOLD:
        return None
    plan = admission.facts.plan
    return Hit("core.arrangement") if plan is not None and plan.rests else None


def _nothing_to_remind(admission: Admission) -> Hit | None:
    """Refuse a reminder of a line that was paid, or belongs to what has ended, meanwhile."""
    if admission.reminds is None:
        return None
    plan = admission.facts.plan
    stands = plan is not None and plan.mark == admission.reminds and plan.reminder is not None
    return None if stands else Hit("core.nothing-to-remind")


def _stopped(admission: Admission) -> Hit | None:
    """Refuse what an event bars for as long as it stands: after a cease, a death, a discharge."""
    barring = (kind for kind in admission.facts.stops if bars(kind, admission.channel, admission.purpose))
    return Hit("core.stopped") if any(barring) else None


def _in_court(admission: Admission) -> Hit | None:
    """Refuse what the stage of a legal matter leaves no room for."""
    barred = legal_bars(admission.facts, admission.channel, admission.purpose)
    return Hit("core.legal-stage") if barred else None


def _point_held(admission: Admission) -> Hit | None:
    return Hit("core.contact-point-held") if admission.point_held else None


def _no_contact_point(admission: Admission) -> Hit | None:
    return Hit("core.no-contact-point") if admission.point_state is None else None


def _consent_withdrawn(admission: Admission) -> Hit | None:
    return Hit("core.consent-withdrawn") if admission.point_consent == "withdrawn" else None


def _zone_unknown(admission: Admission) -> Hit | None:
    return Hit("core.zone-unknown") if admission.facts.zone is None else None


def _feed_stale(admission: Admission) -> Hit | None:
    if admission.feed_limit is None:
        return None
    if admission.feed_age is not None and admission.feed_age <= admission.feed_limit:
        return None
    return Hit("core.payment-feed-stale", admission.now + FEED_RETRY)


def _outside_hours(admission: Admission) -> Hit | None:
    zone = admission.facts.zone
    if zone is None:
        return None
    opens = _open_everywhere(admission, admission.now)
    if opens is None:
        return Hit("core.step-hours")
    return None if opens <= admission.now else Hit("core.step-hours", opens)


def _open_everywhere(admission: Admission, at: datetime) -> datetime | None:
    """Return the first instant from ``at`` at which the step's hours are open in every zone the debtor may be in.

    ``None`` when that never happens: zones too far apart for a window so short.
    """
    zones = admission.facts.zones or (admission.facts.zone or "UTC",)
    for _ in range(LONGEST_SEARCH):
        latest = max(next_opening(at, admission.between, zone, admission.holidays_of) for zone in zones)
        if latest == at:
            return at
        at = latest
    return None


LEDGER_CHECKS: tuple[Check, ...] = (
    _not_past_due,
    _closed,
    _held,
    _arranged,
    _nothing_to_remind,
    _stopped,
    _in_court,
    _point_held,
    _no_contact_point,
    _consent_withdrawn,
    _zone_unknown,
    _feed_stale,
    _outside_hours,
)


class LedgerGate:
    """The gate over what the ledger knows: owed, open, not held, reachable, zone known, feed fresh, step's hours."""

    def __init__(self, checks: tuple[Check, ...] = LEDGER_CHECKS) -> None:
        """Take the checks to run; every one runs, whatever the others say."""
        self._checks = checks

    def decide(self, admission: Admission) -> Decision:
        """Return the decision: any block wins, else the latest release, else allow."""
        hits = [hit for check in self._checks if (hit := check(admission)) is not None]
        rule_ids = tuple(hit.rule_id for hit in hits)
        if not hits:
            return Decision(Verdict.ALLOW)
        if any(hit.until is None for hit in hits):
            return Decision(Verdict.BLOCK, rule_ids, reasons=_reasons(hits))
        until = max(hit.until for hit in hits if hit.until is not None)
        opens = _open_everywhere(admission, until)
        if opens is None:
            return Decision(Verdict.BLOCK, rule_ids, reasons=_reasons(hits))
        return Decision(Verdict.DEFER, rule_ids, opens, reasons=_reasons(hits))


def _reasons(hits: list[Hit]) -> tuple[Reason, ...]:
    return tuple(Reason(hit.rule_id, Verdict.BLOCK if hit.until is None else Verdict.DEFER, hit.until) for hit in hits)
