"""The gate with the law in it: what the ledger knows and what the rule packs say, together.

Both are asked at every instant they are asked about; the harder answer wins, and a release is the earliest instant at
which neither has anything against the contact. Without facts for the packs nothing is allowed.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from domain.codes import Verdict
from domain.compliance import RuleBook, Ruling
from domain.compliance import decide as judge
from domain.gate import Admission, Decision, Gate, LedgerGate, Reason

NO_FACTS = "core.no-rule-facts"
NO_RELEASE = "core.no-release"
_ROUNDS = 64
_HARDNESS = {Verdict.ALLOW: 0, Verdict.DEFER: 1, Verdict.REVIEW: 2, Verdict.BLOCK: 3}
_VERDICTS: dict[Literal["allow", "defer", "block", "review", "compute"], Verdict] = {
    "allow": Verdict.ALLOW,
    "defer": Verdict.DEFER,
    "review": Verdict.REVIEW,
    "block": Verdict.BLOCK,
    "compute": Verdict.REVIEW,
}


@dataclass(frozen=True, slots=True)
class RuleGate:
    """The ledger's checks and the rule packs behind the one protocol."""

    book: RuleBook
    ledger: Gate = LedgerGate()  # noqa: RUF009 - it has no state

    def decide(self, admission: Admission) -> Decision:
        """Return the decision at ``admission.now``; a deferral names the first instant at which both would allow."""
        own, ruling = self._ask(admission, admission.now)
        verdict = _harder(own, ruling)
        rule_ids = (*own.rule_ids, *_acted(ruling))
        packs = () if ruling is None else ruling.packs
        reasons = (*own.reasons, *_reasons(ruling))
        if verdict is not Verdict.DEFER:
            lifted = () if ruling is None or verdict is not Verdict.ALLOW else ruling.lifted
            return Decision(verdict, (*rule_ids, *lifted), packs=packs, reasons=reasons)
        until = _later(own, ruling)
        for _ in range(_ROUNDS):
            own, ruling = self._ask(admission, until)
            then = _harder(own, ruling)
            if then is Verdict.ALLOW:
                return Decision(Verdict.DEFER, rule_ids, until, packs, reasons)
            if then is not Verdict.DEFER:
                later = (*own.rule_ids, *_acted(ruling))
                reasons = (*own.reasons, *_reasons(ruling), *reasons)
                return Decision(then, tuple(dict.fromkeys((*rule_ids, *later))), packs=packs, reasons=reasons)
            until = _later(own, ruling)
        return Decision(Verdict.BLOCK, (*rule_ids, NO_RELEASE), packs=packs, reasons=reasons)

    def _ask(self, admission: Admission, at: datetime) -> tuple[Decision, Ruling | None]:
        """Ask both as of an instant. Later than now a payment feed is taken to have come: its age is told then."""
        feed_age = admission.feed_age if at <= admission.now else timedelta(0)
        own = self.ledger.decide(replace(admission, now=at, feed_age=feed_age))
        if admission.rules is None:
            refused = own.verdict is Verdict.BLOCK
            return own if refused else Decision(Verdict.BLOCK, (*own.rule_ids, NO_FACTS)), None
        return own, judge(replace(admission.rules, now=at, as_of=at), self.book)


def _acted(ruling: Ruling | None) -> tuple[str, ...]:
    return () if ruling is None else tuple(dict.fromkeys(hit.rule_id for hit in ruling.hits))


def _reasons(ruling: Ruling | None) -> tuple[Reason, ...]:
    hits = () if ruling is None else ruling.hits
    return tuple(Reason(hit.rule_id, _VERDICTS[hit.decision], hit.until, hit.said) for hit in hits)


def _harder(own: Decision, ruling: Ruling | None) -> Verdict:
    if ruling is None:
        return own.verdict
    return max(own.verdict, _VERDICTS[ruling.decision], key=_HARDNESS.__getitem__)


def _later(own: Decision, ruling: Ruling | None) -> datetime:
    ends = [own.defer_until, None if ruling is None else ruling.defer_until]
    return max(end for end in ends if end is not None)
