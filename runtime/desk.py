"""Builds the desk of an installation: the policy of work and the gate that is asked before an item is lent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine

from activities.catalogue import shipped
from activities.dialling import Dialled, Dialling
from activities.judging import Judge
from activities.providers.identity import Identities
from activities.rule_facts import Rules
from activities.rulebook import read_rulebook
from activities.visiting import Visiting
from activities.wording import Wording, WordingError
from db.settings import read_clock
from desk.queue import Desk, NotBefore, Now
from desk.visits import Admitted, Refused
from domain.gate import Gate
from domain.rule_gate import RuleGate
from domain.work_policy import WorkPolicy, WorkPolicyError, parse_work_policy

POLICIES = Path(__file__).resolve().parent.parent / "policies"
WORK, IDENTITY = POLICIES / "work.yaml", POLICIES / "channels" / "identity.yaml"
SCRIPT = ("call-opening", "call-talk")


class Saying:
    """Words a call as the templates have it. They are read when the first call is shown: it takes a moment."""

    def __init__(self) -> None:
        self._wording: Wording | None = None

    def __call__(self, creditor: str, language: str | None, values: Mapping[str, object]) -> Sequence[str]:
        """Return what to say; nothing when a template was refused."""
        self._wording = self._wording or Wording(POLICIES / "templates")
        identity = Identities.load(IDENTITY).of(creditor)
        whole = {
            **values,
            "caller_name": identity.caller_name,
            "contact_person": identity.contact_person,
            "call_back_number": identity.call_back_number,
        }
        try:
            return [self._wording.render(name, "call", language, whole).body for name in SCRIPT]
        except WordingError:
            return []


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks the gate, as of an instant, whether an item may be worked; reads only."""

    dialling: Dialling
    logical: bool

    def __call__(self, connection: Connection, item_key: str, now: datetime) -> Now | NotBefore | None:
        """Return the gate's answer."""
        answer = self.dialling.look(connection, item_key, now, logical=self.logical)
        if answer is None:
            return None
        return Now() if isinstance(answer, Dialled) else NotBefore(answer.until, answer.rule_ids)


def work_policy(path: Path = WORK) -> WorkPolicy:
    """Read the policy of work. WorkPolicyError in one line."""
    try:
        return parse_work_policy(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError):
        raise WorkPolicyError(f"{path.name}: cannot be read; it belongs into policies/") from None


def shipped_gate() -> Gate:
    """Return the gate with the rule packs of ``policies/rules``."""
    return RuleGate(read_rulebook(POLICIES / "rules"))


def desk_of(engine: Engine, *, policy: WorkPolicy | None = None, gate: Gate | None = None) -> Desk:
    """Return the desk of the installation that ``engine`` belongs to."""
    with engine.connect() as connection:
        logical = read_clock(connection).is_logical
    asking = Asking(Dialling(engine, Judge(gate or shipped_gate(), Rules())), logical)
    return Desk(engine, policy or work_policy(), asking, shipped(), Saying())


@dataclass(frozen=True, slots=True)
class AtTheDoor:
    """Asks the gate about visits for the desk."""

    visiting: Visiting

    def least(self, item_key: str, at: datetime) -> int:
        """Return how many people the rules demand."""
        return self.visiting.least(item_key, at)

    def admit(
        self, item_key: str, at: datetime, engine_now: datetime, *, people: int, recorded: bool, identified: bool
    ) -> Admitted | Refused | None:
        """Return the gate's answer in the desk's words."""
        answer = self.visiting.admit(item_key, at, engine_now, people=people, recorded=recorded, identified=identified)
        if answer is None:
            return None
        if isinstance(answer, Dialled):
            return Admitted(answer.attempt_key, answer.contact_point)
        return Refused(answer.rule_ids, answer.until)


def door_of(engine: Engine, gate: Gate | None = None) -> AtTheDoor:
    """Return the gate for visits of the installation that ``engine`` belongs to."""
    with engine.connect() as connection:
        logical = read_clock(connection).is_logical
    return AtTheDoor(Visiting(engine, Judge(gate or shipped_gate(), Rules()), logical=logical))
