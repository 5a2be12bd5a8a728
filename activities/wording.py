"""Turns a template into the words of one message.

Templates are data people edit: ``policies/templates/<language>/<template>.<channel>.j2``, rendered in Jinja's
sandbox, where an unknown variable is an error and nothing can be called that we did not put there. An e-mail's first
line is ``Subject: ...``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

FALLBACK_LANGUAGE = "en"
_SUBJECT = "Subject:"


class WordingError(Exception):
    """A template is missing or does not render. Names the template, never the values."""


@dataclass(frozen=True, slots=True)
class Worded:
    """Subject (empty where a channel has none) and body. Personal data: never logged, never in a history."""

    subject: str
    body: str


class Wording:
    """The templates of one folder."""

    def __init__(self, folder: Path) -> None:
        self._env = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,
            autoescape=lambda name: name is not None and ".letter." in name,
            auto_reload=False,
        )
        # All of them now, in one thread: a template that does not compile is known at once, and threads only read.
        self._templates: dict[str, Template] = {}
        for path in sorted(folder.glob("*/*.j2")):
            name = path.relative_to(folder).as_posix()
            try:
                self._templates[name] = self._env.get_template(name)
            except TemplateError as error:
                raise WordingError(f"{name}: {error}") from None

    def render(self, template: str, channel: str, language: str | None, values: Mapping[str, object]) -> Worded:
        """Return the words for a language, else its base language, else English; WordingError if that fails."""
        try:
            text = self._look_up(template, channel, language or FALLBACK_LANGUAGE).render(values)
        except TemplateError as error:
            raise WordingError(f"template {template}.{channel}: {type(error).__name__}") from None
        first, _, rest = text.partition("\n")
        if channel == "email" and first.startswith(_SUBJECT):
            return Worded(first.removeprefix(_SUBJECT).strip(), rest.lstrip("\n"))
        return Worded("", text)

    def _look_up(self, template: str, channel: str, language: str) -> Template:
        for tongue in dict.fromkeys((language, language.partition("-")[0], FALLBACK_LANGUAGE)):
            found = self._templates.get(f"{tongue}/{template}.{channel}.j2")
            if found is not None:
                return found
        raise WordingError(f"no template {template}.{channel} in any language")
