"""Builds the desk of an installation: the policy of work and the gate that is asked before an item is lent."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine

from activities.catalogue import shipped
from activities.dialling import Dialled, Dialling
from activities.judging import Judge
from activities.rule_facts import Rules
from activities.rulebook import read_rulebook
from db.settings import read_clock
from desk.queue import Desk, NotBefore, Now
from domain.gate import Gate
from domain.rule_gate import RuleGate
from domain.work_policy import WorkPolicy, WorkPolicyError, parse_work_policy

POLICIES = Path(__file__).resolve().parent.parent / "policies"
WORK = POLICIES / "work.yaml"


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
    return Desk(engine, policy or work_policy(), asking, shipped())
