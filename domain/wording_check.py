"""Judges what a template says: by the rules of every place it may go to, by the house's own, and by its form.

Pure: the words come rendered for each example of ``domain.wording_samples``; reading and rendering files is
``activities.template_files``. A finding names file, line and rule, and quotes nothing but the template.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import product
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.compliance import Facts, RuleBook
from domain.compliance.content import ContentCheck, check_text
from domain.compliance.facts import Debtor
from domain.compliance.vocabulary import ActorName, ContactChannel
from domain.message_text import beyond_gsm7, segments, visible_text
from domain.wording_samples import Example, masked

EVERYWHERE = "everywhere"
JUDGED_AS: Mapping[str, ContactChannel] = {
    "sms": "sms",
    "voice": "voicemail",
    "call": "call",
    "email": "email",
    "letter": "letter",
    "visit": "voicemail",
}
"""The channel whose content rules hold for a template. What a call says to nobody in particular is what a machine
may keep, and a card left at a door: the form of a voicemail. ``call`` is what an agent reads out."""
OPEN_TO_OTHERS = frozenset({"voice", "visit"})
"""Channels whose words others may hear or see: they say nothing of a debt."""
DEBTOR_ROLE = "debtor"
ANSWER = "reply"
"""The purpose of an answer to what somebody wrote: it names no sum, so it need not list accounts."""
_ACTIVE = re.compile(
    r"<(script|iframe|object|embed|form|link|meta|base)\b|\s(on[a-z]+)\s*=|(javascript):", re.IGNORECASE
)
"""What does something in HTML, and where escaping a value is not enough."""
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_PRODUCTS = (None, "credit_card")
_FLAGS: tuple[tuple[str, ...], ...] = ((), ("time_barred",))


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Part):
    """At most so many segments of a text message."""

    one_account: Annotated[int, Field(ge=1, le=10)] = 3
    several_accounts: Annotated[int, Field(ge=1, le=10)] = 4

    def of(self, accounts: int) -> int:
        """Return the limit for a message about so many accounts."""
        return self.one_account if accounts <= 1 else self.several_accounts


class Tongue(_Part):
    """A language: the places its templates are written for, and how it writes a day."""

    places: Literal["everywhere"] | tuple[str, ...]
    except_rules: tuple[str, ...] = ()
    """Rules that no words of this language can satisfy; the gate still asks them of every message."""
    day: str
    months: Annotated[tuple[str, ...], Field(min_length=12, max_length=12)]


class Languages(_Part):
    """The languages there are (``policies/templates/languages.yaml``)."""

    fallback: str
    segments: Limits = Limits()
    languages: dict[str, Tongue]


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a template says it is for: nobody else gets it. ``actor`` empty: for both."""

    actor: ActorName | None = None
    purpose: str = "collect"
    notice: str | None = None
    role: str = DEBTOR_ROLE


@dataclass(frozen=True, slots=True)
class TemplateMistake:
    """One mistake: file below the folder of templates, line from 1, the rule, what is wrong and in which example."""

    file: str
    line: int
    rule_id: str
    what: str
    example: str = ""

    def __str__(self) -> str:
        """Return the mistake as one line."""
        example = f" ({self.example})" if self.example else ""
        return f"{self.file}:{self.line}: {self.what} [{self.rule_id}]{example}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """The words of one example; ``lines`` gives for each sign the line of the template that said it."""

    example: Example
    text: str
    lines: tuple[int, ...]

    def line_at(self, offset: int) -> int:
        """Return the line of the template for a place in the text; the last one for its end."""
        if not self.lines:
            return 1
        return self.lines[min(max(offset, 0), len(self.lines) - 1)]


@dataclass(frozen=True, slots=True)
class Piece:
    """One template to judge: what its name and header say."""

    file: str
    language: str
    channel: str
    markup: bool
    purpose: Purpose

    @property
    def judged_as(self) -> ContactChannel:
        """The channel whose content rules hold."""
        return JUDGED_AS[self.channel]


class Judge:
    """Knows all content rules: those of the packs and the house's own of wording."""

    def __init__(self, book: RuleBook, house: RuleBook, languages: Languages) -> None:
        self._book = book
        self._house = house
        self._languages = languages

    def rules_for(self, piece: Piece, example: Example) -> list[ContentCheck]:
        """Return every content rule that may be in force for a template in one example, each once."""
        checks: dict[str, ContentCheck] = {}
        for kind, flags in product(_PRODUCTS, _FLAGS):
            facts = self._facts(piece, example, kind, flags)
            for book, packs in ((self._house, tuple(self._house.packs)), (self._book, self._packs(piece, facts))):
                found = book.content_checks(packs, piece.judged_as, facts)
                checks |= {check.rule_id: check for check in found}
        out_of_reach = self._languages.languages[piece.language].except_rules
        return [check for rule_id, check in checks.items() if rule_id not in out_of_reach]

    def _facts(
        self, piece: Piece, example: Example, kind: str | None, flags: tuple[str, ...], place: str | None = None
    ) -> Facts:
        return Facts(
            now=_AT,
            channel=piece.judged_as,
            actor="third_party_collector" if example.third_party else "first_party_creditor",
            purpose=piece.purpose.purpose,
            notice=piece.purpose.notice,
            role=piece.purpose.role,
            debt_type="consumer",
            product=kind,
            debt_flags=flags,
            language=piece.language,
            first_communication=example.first_communication,
            debtor=Debtor(region=place),
        )

    def _packs(self, piece: Piece, facts: Facts) -> tuple[str, ...]:
        places = self._languages.languages[piece.language].places
        if places == EVERYWHERE:
            return tuple(self._book.packs)
        packs: dict[str, None] = {}
        for place in places:
            there = Facts(
                now=facts.now,
                channel=facts.channel,
                actor=facts.actor,
                debt_type=facts.debt_type,
                debtor=Debtor(region=place),
            )
            packs |= dict.fromkeys(self._book.select(there).packs)
        return tuple(packs)

    def unknown_places(self) -> list[str]:
        """Return places that a language names and for which there are no rules."""
        strange = []
        for tongue in self._languages.languages.values():
            for place in () if tongue.places == EVERYWHERE else tongue.places:
                facts = Facts(now=_AT, channel="letter", debtor=Debtor(region=place))
                if not self._book.select(facts).known:
                    strange.append(place)
        return strange

    def mistakes(self, piece: Piece, rendered: Iterable[Rendered]) -> list[TemplateMistake]:
        """Return what is wrong with a template, each thing once, with the first example that shows it."""
        found: dict[tuple[int, str], TemplateMistake] = {}
        for one in rendered:
            for line, rule_id, what in (*self._by_rules(piece, one), *self._by_form(piece, one)):
                mistake = TemplateMistake(piece.file, line, rule_id, what, str(one.example))
                found.setdefault((line, rule_id), mistake)
        return sorted(found.values(), key=lambda mistake: (mistake.line, mistake.rule_id))

    def _by_rules(self, piece: Piece, one: Rendered) -> Iterator[tuple[int, str, str]]:
        checks = self.rules_for(piece, one.example)
        found = check_text(checks, one.text, piece.language)
        if piece.markup:
            known = {hit.rule_id for hit in found}
            found += [
                hit for hit in check_text(checks, visible_text(one.text), piece.language) if hit.rule_id not in known
            ]
        for hit in found:
            yield one.line_at(hit.offset), hit.rule_id, hit.what

    def _by_form(self, piece: Piece, one: Rendered) -> Iterator[tuple[int, str, str]]:
        text = visible_text(one.text) if piece.markup else one.text
        if not text.strip():
            yield 1, "wording.empty", "says nothing"
            return
        yield from _identity(piece, one, text)
        if piece.markup and (active := _ACTIVE.search(one.text)) is not None:
            said = next(word for word in active.groups() if word)
            yield one.line_at(active.start()), "wording.markup", f"'{said}' is not for messages: text and links only"
        if (
            piece.purpose.role == DEBTOR_ROLE
            and piece.channel not in OPEN_TO_OTHERS
            and piece.purpose.purpose != ANSWER
        ):
            yield from _accounts(one, text)
        if piece.channel == "sms":
            yield from _segments(one, self._languages.segments)


def _identity(piece: Piece, one: Rendered, text: str) -> Iterator[tuple[int, str, str]]:
    """Ask for who writes and, of a collector, for whom; nobody but the debtor is told a creditor's name."""
    values = one.example.values
    names = ["caller_name"] if piece.channel in OPEN_TO_OTHERS else ["collector_name"]
    if one.example.third_party and piece.channel not in OPEN_TO_OTHERS and piece.purpose.role == DEBTOR_ROLE:
        names.append("creditor_name")
    if piece.purpose.role != DEBTOR_ROLE:
        names = ["caller_name"]
    for name in names:
        if str(values[name]) not in text:
            yield one.line_at(len(one.text)), "wording.identity", f"does not say who writes or for whom: {name}"


def _accounts(one: Rendered, text: str) -> Iterator[tuple[int, str, str]]:
    """Find accounts that a message about several does not name, or not with their sum."""
    if len(one.example.accounts) < 2:
        return
    for account in one.example.accounts:
        told = account["reference"] in text or masked(account["reference"]) in text
        if not told or account["amount"] not in text:
            yield one.line_at(len(one.text)), "wording.accounts", "does not list every account with its amount"
            return


def _segments(one: Rendered, limits: Limits) -> Iterator[tuple[int, str, str]]:
    counted, most = segments(one.text), limits.of(len(one.example.accounts))
    if counted.count > most:
        strange = beyond_gsm7(one.text)
        why = f", in UCS-2 because of {' '.join(strange[:5])}" if strange else ""
        what = f"{counted.count} segments, at most {most}{why}"
        yield one.line_at(counted.starts[most]), "wording.segments", what


class _Skeleton(HTMLParser):
    """The tags of a text, with the names of their attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an opening tag."""
        self.tags.append(f"<{tag} {' '.join(sorted(name for name, _ in attrs))}>")

    def handle_endtag(self, tag: str) -> None:
        """Note a closing tag."""
        self.tags.append(f"</{tag}>")

    def handle_comment(self, data: str) -> None:
        """Note that there is a comment, wherever it ends."""
        del data
        self.tags.append("<!-->")


def skeleton(markup: str) -> list[str]:
    """Return the tags of HTML with the names of their attributes: what values must not be able to change."""
    reader = _Skeleton()
    reader.feed(markup)
    reader.close()
    return reader.tags
