"""Who may do what: roles of people and systems, the acts that are checked, and the two checks.

A caller authenticates and says who acts; every function of the desk, and the ledger for every message, asks here. A
role may do what its row says and nothing else. Where two people are needed, whoever asked for something, or changed it
last, is not who approves it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody is to the house. One person has one code, and a code has one role."""

    OPS = "ops"
    """Runs the machine: imports, opens, switches, bulk operations. Speaks to nobody."""
    AGENT = "agent"
    """Speaks to people: works items, records outcomes, offers what the policy allows."""
    SUPERVISOR = "supervisor"
    """Leads agents: all that they do, and what needs a second person."""
    AUDITOR = "auditor"
    """Reads, verifies and exports. Changes nothing."""
    ADMIN = "admin"
    """Manages who the others are. Does not collect."""
    SYSTEM = "system"
    """A program: a door that authenticates by itself, an import, the case."""


class Act(StrEnum):
    """Everything that is checked."""

    SEE = "see"
    VERIFY = "verify"
    EXPORT = "export"
    IMPORT = "import"
    OPEN = "open"
    RECORD_MONEY = "record_money"
    TELL_EVENT = "tell_event"
    """Tell what became of a person, a debt or a number."""
    END_EVENT = "end_event"
    """End what kept us from contact: a dispute answered, counsel gone, a complaint closed."""
    REPORT = "report"
    """Tell a case that an attempt or the ledger changed; it only reads again."""
    PAUSE = "pause"
    RESUME = "resume"
    HOLD = "hold"
    RELEASE = "release"
    """End a hold that nobody but us is protected by."""
    RELEASE_PROTECTED = "release_protected"
    """End a hold that protects the debtor: dispute, counsel, bankruptcy, hardship, complaint."""
    SKIP_STEP = "skip_step"
    CLOSE = "close"
    BULK = "bulk"
    """One act on many cases; what each act is needs its own permission besides."""
    BULK_CLOSE = "bulk_close"
    APPROVE_BULK = "approve_bulk"
    """Let an operation on very many cases run, as the second person."""
    ADOPT_STRATEGY = "adopt_strategy"
    RECALL = "recall"
    CLAIM = "claim"
    REASSIGN = "reassign"
    """Take an item from somebody else, or give it to somebody."""
    WORK = "work"
    RECORD_OUTCOME = "record_outcome"
    CORRECT_OUTCOME = "correct_outcome"
    """Correct an outcome that one recorded oneself."""
    CORRECT_ANY_OUTCOME = "correct_any_outcome"
    OFFER_PLAN = "offer_plan"
    AGREE_PLAN = "agree_plan"
    CANCEL_PLAN = "cancel_plan"
    APPROVE_PLAN = "approve_plan"
    PLAN_VISIT = "plan_visit"
    RECORD_LEGAL = "record_legal"
    """Record a stage that a court or counsel reached, with document and cost."""
    ASK_LEGAL = "ask_legal"
    """Put a case forward for legal action."""
    APPROVE_LEGAL = "approve_legal"
    FILE_SUIT = "file_suit"
    SWITCH = "switch"
    STOP_ALL = "stop_all"
    LIFT_STOP = "lift_stop"
    MANAGE_ACTORS = "manage_actors"


_A = Act
_READS = frozenset({_A.SEE, _A.VERIFY, _A.EXPORT})
_AGENT = frozenset(
    {
        _A.SEE,
        _A.TELL_EVENT,
        _A.REPORT,
        _A.PAUSE,
        _A.RESUME,
        _A.HOLD,
        _A.RELEASE,
        _A.CLAIM,
        _A.WORK,
        _A.RECORD_OUTCOME,
        _A.CORRECT_OUTCOME,
        _A.OFFER_PLAN,
        _A.AGREE_PLAN,
        _A.CANCEL_PLAN,
        _A.PLAN_VISIT,
        _A.RECORD_LEGAL,
        _A.ASK_LEGAL,
    }
)
_OPS = _READS | frozenset(
    {
        _A.IMPORT,
        _A.OPEN,
        _A.RECORD_MONEY,
        _A.TELL_EVENT,
        _A.REPORT,
        _A.PAUSE,
        _A.RESUME,
        _A.HOLD,
        _A.RELEASE,
        _A.SKIP_STEP,
        _A.CLOSE,
        _A.BULK,
        _A.RECALL,
        _A.REASSIGN,
        _A.SWITCH,
        _A.STOP_ALL,
    }
)

MAY: Mapping[Role, frozenset[Act]] = {
    Role.OPS: _OPS,
    Role.AGENT: _AGENT,
    Role.SUPERVISOR: _AGENT
    | _READS
    | frozenset(
        {
            _A.RECORD_MONEY,
            _A.END_EVENT,
            _A.RELEASE_PROTECTED,
            _A.SKIP_STEP,
            _A.CLOSE,
            _A.BULK,
            _A.BULK_CLOSE,
            _A.APPROVE_BULK,
            _A.ADOPT_STRATEGY,
            _A.REASSIGN,
            _A.CORRECT_ANY_OUTCOME,
            _A.APPROVE_PLAN,
            _A.APPROVE_LEGAL,
            _A.FILE_SUIT,
            _A.SWITCH,
            _A.STOP_ALL,
            _A.LIFT_STOP,
        }
    ),
    Role.AUDITOR: _READS,
    Role.ADMIN: frozenset({_A.SEE, _A.MANAGE_ACTORS}),
    Role.SYSTEM: frozenset(Act) - {_A.APPROVE_PLAN, _A.APPROVE_LEGAL, _A.APPROVE_BULK, _A.MANAGE_ACTORS},
}
"""Role -> what it may do. A program decides nothing that takes a second person, and appoints nobody."""


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts, as the database knows them."""

    actor: str
    role: Role


SYSTEM = Acting("system", Role.SYSTEM)
"""The house itself: a case, an import, a timer."""


class NotAllowedError(Exception):
    """An act that this role, or this person, may not do. One line: who, what, and who may."""


def may(role: Role, act: Act) -> bool:
    """Whether a role may do something."""
    return act in MAY[role]


def require(acting: Acting, act: Act) -> None:
    """Return if ``acting`` may do ``act``; NotAllowedError names the roles that may."""
    if not may(acting.role, act):
        raise NotAllowedError(f"{acting.actor} ({acting.role}) may not {words(act)}; {who_may(act)} may")


def require_second(acting: Acting, *first: str) -> None:
    """Return if ``acting`` is none of those who asked or changed; NotAllowedError if a second person is missing."""
    if acting.actor in first:
        raise NotAllowedError(
            f"{acting.actor} asked for this or changed it last, so somebody else must decide it (four eyes)"
        )


def who_may(act: Act, roles: Collection[Role] = tuple(Role)) -> str:
    """Return the roles that may do something, as words."""
    found = [str(role) for role in roles if may(role, act)]
    return " or ".join(found) if found else "nobody"


def words(act: Act) -> str:
    """Return an act as words."""
    return str(act).replace("_", " ")
