"""State events that stop contact, each for its scope: number, channel, person, debt or debtor.

A stop begins after the instant it was received and lasts until something ends it. One row here is one kind of event.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from tests.recheck.book import Book, rule
from tests.recheck.model import Attempt, Event

CONFIRMATION = timedelta(minutes=5)
_REPLY = frozenset({"reply"})
_NOTICES = frozenset({"reply", "required_notice"})
_TEXTS = frozenset({"sms"})


@dataclass(frozen=True, slots=True)
class Stop:
    """What one kind of event stops. ``passes``: purposes that go on; ``roles``: people who may still be contacted."""

    rule: str
    passes: frozenset[str] = _REPLY
    roles: frozenset[str] = frozenset()
    ended_by: frozenset[str] = frozenset()
    only_channel: bool = False
    only_person: bool = False
    only_point: bool = False
    only_written: bool = False


_OPT_OUT = Stop("us.fed.medium-optout", only_channel=True, ended_by=frozenset({"opt_in", "consent_given"}))
_DISPUTE = Stop("us.fed.dispute-hold", passes=_NOTICES, ended_by=frozenset({"verification_sent"}), only_written=True)
_CEASE = Stop("us.fed.cease", passes=_NOTICES, only_written=True)
_WORK = Stop("us.fed.workplace", only_point=True)
_WRONG = Stop("core.wrong-party", passes=frozenset())
STOPS: dict[str, Stop] = {
    # 47 CFR 64.1200(a)(10) (us.tcpa.revocation), MIIT order 31 (cn.sms-commercial), carrier practice (cn.sms-optout)
    "opt_out": Stop("sms_stop", only_channel=True, ended_by=frozenset({"opt_in", "consent_given"})),
    "sms_stop": Stop("sms_stop", only_channel=True, ended_by=frozenset({"opt_in", "consent_given"})),
    "unclear_reply": Stop("sms_stop", only_channel=True, ended_by=frozenset({"opt_in", "consent_given"})),
    # Reg F, section 14(h): any request not to use a medium
    "channel_opt_out": _OPT_OUT,
    "medium_opt_out": _OPT_OUT,
    "email_unsubscribe": _OPT_OUT,
    "call_stop": _OPT_OUT,
    "consent_withdrawn": _OPT_OUT,
    # 1006.6(c), 15 USC 1692c(c): the three notices remain
    "cease_communication": _CEASE,
    "refuse_to_pay": _CEASE,
    # Reg F, section 6(b)(2)
    "attorney_represented": Stop(
        "us.fed.attorney", roles=frozenset({"attorney"}), ended_by=frozenset({"attorney_withdrawn"})
    ),
    # 11 USC 362(a)(6) and 524(a)(2)
    "bankruptcy_filed": Stop(
        "us.fed.bankruptcy-stay", roles=frozenset({"attorney"}), ended_by=frozenset({"bankruptcy_dismissed"})
    ),
    "bankruptcy_discharged": Stop("us.fed.discharge", roles=frozenset({"attorney"})),
    # 1006.38(d)(2), 15 USC 1692g(b); 1006.38(c)
    "dispute": _DISPUTE,
    "dispute_in_period": _DISPUTE,
    "original_creditor_request": Stop(
        "us.fed.original-creditor-hold", passes=_NOTICES, ended_by=frozenset({"original_creditor_sent"})
    ),
    # 15 USC 1681m(f)-(g)
    "identity_theft": Stop("identity_theft", passes=_NOTICES),
    # Debt Respite Scheme Regulations 2020
    "breathing_space": Stop("uk.breathing-space", passes=_NOTICES, ended_by=frozenset({"breathing_space_end"})),
    "breathing_space_start": Stop("uk.breathing-space", passes=_NOTICES, ended_by=frozenset({"breathing_space_end"})),
    # 1006.6(a)(4), Civil Code 1161; 1006.6(a)(2)-(3), Civil Code 19-21
    "deceased": Stop("us.fed.deceased", passes=frozenset(), only_person=True),
    "no_capacity": Stop("no_capacity", passes=frozenset(), only_person=True),
    "minor": Stop("cn.minor", passes=frozenset(), only_person=True),
    # 1006.6(d)(5), PIPL 46-47
    "wrong_party": _WRONG,
    "reassigned": _WRONG,
    # GB/T 45251-2025, CBA guideline
    "third_party_refusal": Stop("cn.third-party-refusal", passes=frozenset(), only_person=True),
    # 1006.6(b)(3), 15 USC 1692c(a)(3), 940 CMR 7.04
    "employer_prohibits": _WORK,
    "work_optout": _WORK,
    "inconvenient_place": _WORK,
    # Card measures art. 70; elsewhere a rule of the house
    "plan_performing": Stop("plan_performing", passes=_NOTICES | {"service"}),
}
NO_STOP = frozenset(
    {"opt_in", "inconvenient_time", "attorney_withdrawn", "bankruptcy_dismissed", "verification_sent", "conversation"}
    | {"original_creditor_sent", "military_service", "active_military", "hardship", "breathing_space_end", "complaint"}
    | {"complaint_closed", "time_barred", "consent_given", "disaster", "bereavement", "end_state_event"}
    | {"dispute_other"}
)
"""Kinds that end another, lift a rule, are counted elsewhere, or suspend by a hold (which P1 checks)."""


def standing(event: Event, stop: Stop, attempt: Attempt, book: Book) -> bool:
    """Whether an event stood when an attempt was made."""
    if not event.from_at < attempt.at:
        return False
    ends = _end(event, attempt, book)
    if ends is not None and ends <= attempt.at:
        return False
    return not any(
        other.kind in stop.ended_by
        and other.permits not in {"time", "callback"}
        and event.from_at <= other.from_at < attempt.at
        and (other.scope, other.point_key, other.account_key) == (event.scope, event.point_key, event.account_key)
        and other.channel in {None, event.channel}
        for other in book.events(attempt)
    )


def _end(event: Event, attempt: Attempt, book: Book) -> datetime | None:
    """Return when an event ends by itself or was ended; a breathing space ends after its sixtieth day."""
    known = [at for at in (event.until_at, event.ended_at) if at is not None]
    if known or not event.kind.startswith("breathing_space"):
        return min(known, default=None)
    if "crisis" in str(event.detail.get("kind", "")):
        return None
    zone = ZoneInfo((book.zones(attempt) or ("Europe/London",))[0])
    last = event.from_at.astimezone(zone).date() + timedelta(days=60)
    return datetime.combine(last, time(), zone)


def _same_medium(event: Event, attempt: Attempt, book: Book) -> bool:
    """Whether a stop of a medium means the attempt's: calls are one medium, and US texts take robots' calls along."""
    if event.kind in {"email_unsubscribe", "call_stop"}:
        meant = {"email"} if event.kind == "email_unsubscribe" else {"call", "voice"}
    elif event.channel in {"call", "voice"}:
        meant = {"call", "voice"}
    else:
        meant = {event.channel} if event.channel else set(_TEXTS)
    if event.scope == "number" and "sms" in meant and "us" in book.lands(attempt):
        meant = meant | {"voice"}
    return attempt.channel in meant


def _free(event: Event, stop: Stop, attempt: Attempt, book: Book) -> bool:
    """Whether the attempt may pass in spite of the event."""
    if stop.only_channel and not _same_medium(event, attempt, book):
        return True
    if stop.only_written and (event.detail.get("form") in {"oral", "sms"} or event.detail.get("part_amount")):
        return True
    if stop.only_point and (event.point_key is None or event.point_key != attempt.point_key):
        return True
    if stop.only_person and event.party_key is not None and event.party_key != book.recipient(attempt):
        return True
    if stop.roles and any(stop.roles & book.roles(attempt, account) for account in book.accounts(attempt)):
        return True
    if stop.only_channel and attempt.purpose == "reply":
        return not event.from_at < attempt.at or _is_confirmation(event, attempt, book)
    return attempt.purpose in stop.passes


def _is_confirmation(event: Event, attempt: Attempt, book: Book) -> bool:
    """Whether it is the one confirmation, within five minutes of the stop (47 CFR 64.1200(a)(12), 1006.14(h)(2)(i))."""
    history = book.earlier(book.by_person[book.recipient(attempt)], attempt)
    replies = [one for one in history if one.purpose == "reply" and one.at > event.from_at]
    return attempt.at - event.from_at <= CONFIRMATION and not replies


def _entered(rule_id: str) -> None:
    kinds = {kind: stop for kind, stop in STOPS.items() if stop.rule == rule_id}

    def check(attempt: Attempt, book: Book) -> Iterator[str]:
        for event in book.events(attempt):
            stop = kinds.get(event.kind)
            if stop is None:
                continue
            if standing(event, stop, attempt, book) and not _free(event, stop, attempt, book):
                yield f"{attempt.channel} ({attempt.purpose}) after {event.kind} {event.key} of {event.from_at.isoformat()}"

    rule(rule_id)(check)


for _rule_id in dict.fromkeys(stop.rule for stop in STOPS.values()):
    _entered(_rule_id)


@rule("core.unknown-event")
def unknown(attempt: Attempt, book: Book) -> Iterator[str]:
    """core.fail-closed: an event of a kind that nobody here knows is not passed over in silence."""
    for event in book.events(attempt):
        if event.kind not in STOPS and event.kind not in NO_STOP:
            yield f"event {event.key} is of the unknown kind {event.kind}"


@rule("us.fed.deceased")
def died(attempt: Attempt, book: Book) -> Iterator[str]:
    """1006.6(a)(4), 1006.34(a)(1) comment 1: nothing to the person's own number or address after the day of death."""
    person = book.person(attempt)
    if person is not None and person.deceased_on is not None and person.deceased_on < book.day(attempt):
        yield f"the recipient died on {person.deceased_on.isoformat()}"


@rule("cn.minor")
def minor(attempt: Attempt, book: Book) -> Iterator[str]:
    """Civil Code 19-20, 1006.6(a)(2): a person under eighteen is reached through a parent or guardian."""
    person = book.person(attempt)
    if person is None or person.born_on is None:
        return
    day, born = book.day(attempt), person.born_on
    if day.year - born.year - ((day.month, day.day) < (born.month, born.day)) < 18:
        yield "the recipient was under eighteen"


@rule("us.fed.medium-optout")
def withdrawn(attempt: Attempt, book: Book) -> Iterator[str]:
    """1006.14(h): a consent withdrawn for a number, an address or a medium stays withdrawn until it is given again."""
    point = book.point(attempt)
    if point is None or attempt.purpose == "reply":
        return
    last: dict[tuple[str | None, str | None], str] = {}
    for consent in book.consents(point.party_key):
        if not consent.from_at < attempt.at:
            continue
        if consent.point_key in {None, point.key} and consent.channel in {None, attempt.channel}:
            ended = consent.until_at is not None and consent.until_at <= attempt.at
            last[consent.point_key, consent.channel] = "ended" if ended else consent.state
    if "withdrawn" in last.values():
        yield f"consent for {point.key} was withdrawn before"
    elif point.consent == "withdrawn" and not last and _only_imported(attempt, book):
        yield f"consent for {point.key} was withdrawn when it was imported"


def _only_imported(attempt: Attempt, book: Book) -> bool:
    """Whether no contact file came after the attempt, so that the point's state is what stood then."""
    files = [feed.as_of for feed in book.world.feeds if feed.kind in {"contacts", "ledger"}]
    no_event = not any(event.kind in STOPS and STOPS[event.kind].only_channel for event in book.world.events)
    return bool(files) and max(files) < attempt.at and no_event
