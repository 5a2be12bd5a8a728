"""What goes wrong, and what people and carriers do: scripted per request, by rule, the same for the same seed."""

from random import Random
from threading import Lock
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=60)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Fault(_Model):
    """How one request goes wrong. ``processed``: whether it takes effect all the same.

    ``answer``: the status, code and headers given. ``drop``: the connection ends without an answer. ``reset``: it is
    torn down. ``slow``: the answer comes after ``seconds``. ``hold``: it comes when the test releases it. ``garble``:
    the answer's body is cut in half. ``redirect``: a 302 to ``location``.
    """

    kind: Literal["answer", "drop", "reset", "slow", "hold", "garble", "redirect"]
    processed: bool = False
    status: Annotated[int, Field(ge=200, le=599)] = 500
    code: int | None = None
    message: str = "scripted"
    field: str | None = None
    headers: dict[str, str] = {}
    html: bool = False
    problem: bool = False
    """The body is problem+json (RFC 9457)."""
    seconds: Seconds = 0
    location: str = ""


class Step(_Model):
    """One thing that becomes of a message, call or e-mail, told by a callback ``times`` times."""

    status: str
    error_code: int | None = None
    times: Annotated[int, Field(ge=0, le=20)] = 1
    after: Seconds = 0
    extra: dict[str, str] = {}


class Person(_Model):
    """Who takes the call, and the keys pressed, one entry for each question."""

    outcome: Literal["completed", "no-answer", "busy", "failed"] = "completed"
    answered_by: str = "human"
    digits: list[str] = []
    dial: str = "completed"
    error_code: int | None = None


class Rule(_Model):
    """Applies to requests of operation ``on`` that fit; ``skip`` first ones pass, then ``times`` are met."""

    on: Literal["messages.create", "calls.create", "mail.send", "messages.list", "calls.list", "calls.update", "*"] = (
        "*"
    )
    to: str | None = None
    attempt: str | None = None
    skip: Annotated[int, Field(ge=0)] = 0
    times: Annotated[int, Field(ge=1)] | None = None
    chance: Annotated[float, Field(ge=0, le=1)] = 1.0
    fault: Fault | None = None
    life: list[Step] | None = None
    person: Person | None = None
    early: bool = False
    """The callbacks of the life are delivered before the request is answered."""
    reorder: bool = False
    """The callbacks come in the opposite order."""


class Rulebook:
    """The rules in force; the first that fits a request meets it."""

    def __init__(self, seed: str) -> None:
        self._lock = Lock()
        self._random = Random(seed)
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Put a rule behind the others."""
        with self._lock:
            self._rules.append(rule.model_copy(deep=True))

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def take(self, on: str, to: str, attempt: str) -> Rule | None:
        """Return the rule that meets this request, used up by one."""
        with self._lock:
            for rule in self._rules:
                fits = (
                    rule.on in {on, "*"}
                    and (rule.to is None or rule.to == to)
                    and (rule.attempt is None or rule.attempt == attempt)
                    and rule.times != 0
                )
                if not fits:
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                if rule.chance < 1 and self._random.random() >= rule.chance:
                    continue
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None
