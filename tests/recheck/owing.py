"""Promise P1: no contact of purpose ``collect`` unless the debt is past due, open and free. And what the gate must know."""

from collections.abc import Iterator
from datetime import date, timedelta

from tests.recheck.book import Book, rule
from tests.recheck.model import Account, Arrangement, Attempt, Hold


@rule("P1.past-due")
def past_due(attempt: Attempt, book: Book) -> Iterator[str]:
    """P1: nothing is collected before it is overdue or after it is cured; every debt that a message lists counts."""
    if attempt.purpose != "collect":
        return
    for account in book.accounts(attempt):
        if book.owed(account, attempt).past_due <= 0:
            yield f"nothing was past due on {account.key} at {attempt.at.isoformat()}"


@rule("P1.closed")
def closed(attempt: Attempt, book: Book) -> Iterator[str]:
    """P1: nothing is collected on a closed case, nor on an account that is being closed (recall, sale, ...)."""
    if attempt.purpose != "collect":
        return
    for key in dict.fromkeys((attempt.case_key, *attempt.cases)):
        case = book.world.cases.get(key)
        if case is not None and case.closed_at is not None and case.closed_at < attempt.at:
            yield f"case {key} was closed at {case.closed_at.isoformat()}"
    for account in book.accounts(attempt):
        if account.closing_at is not None and account.closing_at < attempt.at:
            yield f"account {account.key} was to close from {account.closing_at.isoformat()}"


@rule("P1.hold")
def held(attempt: Attempt, book: Book) -> Iterator[str]:
    """P1: nothing is collected while a hold stands; a hold on part of a debt covers it when nothing else is past due."""
    if attempt.purpose != "collect":
        return
    standing = [hold for hold in book.holds(attempt) if _stands(hold, attempt)]
    for account in book.accounts(attempt):
        parts = sum(hold.part_amount for hold in standing if _on(hold, account) and hold.scope == "part")
        for hold in standing:
            if _covers(hold, account, attempt, book, parts):
                yield f"hold {hold.key} ({hold.reason}, {hold.scope}) stood on {account.key}"


@rule("P1.arrangement")
def arranged(attempt: Attempt, book: Book) -> Iterator[str]:
    """P1: nothing is collected while an arrangement is performed, whatever its row says of how it ended."""
    if attempt.purpose != "collect":
        return
    for account in book.accounts(attempt):
        for plan in book.world.arrangements:
            if plan.account_key == account.key and _performed(plan, account, attempt, book):
                yield f"arrangement {plan.key} was performed on {account.key}"


def _performed(plan: Arrangement, account: Account, attempt: Attempt, book: Book) -> bool:
    """Whether it had begun, nobody had ended it, and no line was unpaid after its grace: counted day by day."""
    if plan.starts_at is None or not plan.starts_at < attempt.at:
        return False
    if plan.status in {"cancelled", "replaced"} and plan.ended_at is not None and plan.ended_at <= attempt.at:
        return False
    known = [one for one in account.entries if one.received_at <= attempt.at]
    back = {one.reverses: one.value_on for one in known if one.kind == "reversal"}
    agreed_on = book.local_day(attempt, plan.agreed_at)
    paid = [
        one for one in known if one.kind == "payment" and (one.received_at > plan.agreed_at or one.value_on > agreed_on)
    ]
    today = book.day(attempt)

    def sum_by(last: date, on: date) -> int:
        return sum(
            one.amount
            for one in paid
            if one.value_on <= last and (one.external_id not in back or back[one.external_id] > on)
        )

    whole = sum(amount for _, amount in plan.lines)
    if sum_by(today, today) >= max(whole - account.tolerance, 1):
        return False
    due = 0
    for due_on, amount in plan.lines:
        before, due = due, due + amount
        last = due_on + timedelta(days=plan.grace_days)
        if last < today and sum_by(last, today) < max(due - account.tolerance, before + 1):
            return False
    return plan.expires_on is None or today <= plan.expires_on


def _stands(hold: Hold, attempt: Attempt) -> bool:
    """Whether it stood before that instant: what follows from a call begins at the instant of the call."""
    begun = hold.from_at < attempt.at
    ends = [at for at in (hold.until_at, hold.released_at) if at is not None]
    return begun and all(at > attempt.at for at in ends)


def _on(hold: Hold, account: Account) -> bool:
    return hold.account_key == account.key or hold.debtor_key == account.debtor_key


def _covers(hold: Hold, account: Account, attempt: Attempt, book: Book, parts: int) -> bool:
    if hold.scope == "number":
        point, meant = book.point(attempt), book.world.points.get(hold.point_key or "")
        return point is not None and meant is not None and point.key == meant.key
    if not _on(hold, account):
        return False
    if hold.scope == "channel":
        return hold.channel == attempt.channel
    if hold.scope == "part":
        return parts >= book.owed(account, attempt).past_due
    return True


@rule("core.fail-closed")
def unknown(attempt: Attempt, book: Book) -> Iterator[str]:
    """P4 and core.fail-closed: no zone or a payment feed that is too old means no contact."""
    if not book.zones(attempt) and attempt.channel != "letter":
        yield "nothing says in which zone the person is"
    if not attempt.accounts:
        yield "the record does not say which debt it was about"
    for account in book.accounts(attempt):
        if account.feed_hours is None or attempt.by_agent:
            continue
        ages = [
            attempt.at - feed.as_of
            for feed in book.world.feeds
            if feed.kind == "payments"
            and feed.as_of <= attempt.at
            and (not feed.creditors or account.creditor in feed.creditors)
        ]
        if not ages or min(ages) > timedelta(hours=account.feed_hours):
            yield f"the payments of {account.creditor} were older than {account.feed_hours} hours"
