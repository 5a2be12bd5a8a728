"""The words of automated calls: one script for each language, in two parts.

What may be heard by anybody who picks up cannot even name what belongs to a debt: a script that tries is refused when
it is read. Scripts are data people edit: ``policies/templates/<language>/call-dialogue.yaml``.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml
from jinja2 import StrictUndefined, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, ValidationError

from domain.wording_check import Judge, Piece, Purpose, Rendered, TemplateMistake
from domain.wording_samples import examples

SCRIPT = "call-dialogue.yaml"
FALLBACK_LANGUAGE = "en"
NEUTRAL = frozenset({"caller_name", "recipient_name", "contact_person", "call_back_number", "check_length"})
OF_THE_DEBT = frozenset({"amount", "creditor_name", "collector_name", "reference"})


class ScriptError(Exception):
    """A script cannot be used. Names the file and the line of the script."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Say(_Part):
    language: str
    voice: str


class _Before(_Part):
    greet: str
    ask_birth_year: str
    ask_last_digits: str
    ask_again: str
    not_confirmed: str
    not_understood: str
    wrong_person: str
    stopped: str
    goodbye: str
    machine: str


class _After(_Part):
    about: str
    third_party_first: str
    third_party_later: str
    menu_pay_link: str
    menu_agent: str
    menu_wrong_person: str
    menu_stop: str
    pay_link: str
    agent: str
    agent_closed: str


class Script(_Part):
    """One language."""

    say: _Say
    before: _Before
    after: _After


class Scripts:
    """The scripts of one folder of templates, one for each language. Immutable: threads share them."""

    def __init__(self, folder: Path, judge: Judge | None = None) -> None:
        """Read the scripts. Raises ScriptError, with a ``judge`` also for words that a machine must not keep."""
        self._env = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        self._scripts = {path.parent.name: self._read(path) for path in sorted(folder.glob(f"*/{SCRIPT}"))}
        if FALLBACK_LANGUAGE not in self._scripts:
            raise ScriptError(f"{FALLBACK_LANGUAGE}/{SCRIPT} is missing")
        self._silent: frozenset[tuple[str, bool]] = frozenset()
        if judge is not None:
            for mistake in self.mistakes(judge):
                raise ScriptError(str(mistake))
            parties = [(language, third) for language in self._scripts for third in (False, True)]
            self._silent = frozenset(one for one in parties if self._judged(judge, *one))

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages there are scripts for."""
        return tuple(self._scripts)

    def _read(self, path: Path) -> Script:
        name = f"{path.parent.name}/{path.name}"
        try:
            script = Script.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
            for part, allowed in ((script.before, NEUTRAL), (script.after, NEUTRAL | OF_THE_DEBT)):
                for line, text in part.model_dump().items():
                    if strange := meta.find_undeclared_variables(self._env.parse(text)) - allowed:
                        raise ScriptError(f"{name}: {line} may not use {', '.join(sorted(strange))}")
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise ScriptError(f"{name}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
        except (OSError, ValueError, yaml.YAMLError, TemplateError) as error:
            raise ScriptError(f"{name}: {error}") from None
        return script

    def mistakes(self, judge: Judge) -> list[TemplateMistake]:
        """Judge what a machine keeps, like any template that others may hear. What a creditor may not say is wrong.

        A collector may say less in some places: where its words do not pass, it leaves no message (``leaves_message``).
        """
        return [one for language in self._scripts for one in self._judged(judge, language, third_party=False)]

    def leaves_message(self, language: str, *, third_party: bool) -> bool:
        """Whether a machine may hear the words of a language; everything may be heard where nobody judged."""
        return (self._tongue_of(language), third_party) not in self._silent

    def _judged(self, judge: Judge, language: str, third_party: bool) -> list[TemplateMistake]:
        piece = Piece(f"{language}/{SCRIPT}", language, "voice", markup=False, purpose=Purpose())
        rendered = []
        for example in examples(language, third_party, "voice"):
            if not example.bare:  # who we are is never empty in a call
                values = {name: example.values.get(name, "") for name in NEUTRAL}
                number = digit_by_digit(str(values["call_back_number"]))
                said = self.render(self._scripts[language].before.machine, values | {"call_back_number": number})
                rendered.append(Rendered(example, said, (1,) * len(said)))
        return judge.mistakes(piece, rendered)

    def look_up(self, language: str) -> Script:
        """Return the script of a language, else of its base language, else the English one."""
        return self._scripts[self._tongue_of(language)]

    def _tongue_of(self, language: str) -> str:
        for tongue in (language, language.partition("-")[0]):
            if tongue in self._scripts:
                return tongue
        return FALLBACK_LANGUAGE

    def render(self, text: str, values: Mapping[str, object]) -> str:
        """Fill in one line."""
        return self._env.from_string(text).render(values)


def digit_by_digit(number: str) -> str:
    """Return a telephone number as a voice should read it."""
    return " ".join(digit for digit in number if digit.isdigit())
