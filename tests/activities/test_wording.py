"""What a template may not do, shown by one that does; what is shipped, shown to be fit for everybody it may reach."""

import json
import shutil
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from activities.rulebook import read_rulebook
from activities.template_files import TemplateFile
from activities.wording import Worded, Wording, WordingError
from cli.templates import app
from domain.compliance import RuleBook, decide, facts_from
from domain.message_text import segments
from domain.strategy_file import parse_strategy
from domain.wording_check import JUDGED_AS
from domain.wording_samples import HOSTILE, OPTIONAL, VARIABLES, Example, examples

POLICIES = Path(__file__).resolve().parents[2] / "policies"
TEMPLATES = POLICIES / "templates"
BOOK = read_rulebook(POLICIES / "rules")
SHIPPED = Wording(TEMPLATES, BOOK)
EXAMPLE = Example("en", several=False, third_party=False, first_communication=True, bare=False)
SMS = "{{ collector_name }} for {{ creditor_name }}:\n{% for one in accounts %}\n{{ one.reference }} {{ one.amount }},\n{% endfor %}\n"
MIRANDA = "This is an attempt to collect a debt by a debt collector; any information obtained will be used for that purpose.\n"
STOP = "Reply STOP to opt out.\n"
GOOD_SMS = SMS + MIRANDA + STOP
MAIL = "Subject: Hello\n\n" + GOOD_SMS
LETTER = f"<p>{GOOD_SMS}</p>"
VOICE = (
    "Hello. This is {{ contact_person or 'Dana' }} from {{ caller_name }}.\n"
    "Please call {% if call_back_number %}{{ contact_person }} at {{ call_back_number }}{% else %}back{% endif %}.\n"
)
ZH = "【{{ collector_name }}】受{{ creditor_name }}委托\n{% for one in accounts %}\n{{ one.reference }} {{ one.amount }}\n{% endfor %}\n"
ZH_END = "回复TD退订\n"
ASIDE = "{# for: role=contact_person purpose=locate #}\nThis is {{ caller_name }}.\n"


def wording_of(folder: Path, files: dict[str, str], book: RuleBook = BOOK) -> Wording:
    """Return the wording of some files, beside the languages and house rules that are shipped."""
    for name in ("languages.yaml", "wording.yaml"):
        shutil.copy(TEMPLATES / name, folder / name)
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return Wording(folder, book)


def test_the_good_ones_of_these_tests_are_good(tmp_path: Path) -> None:
    files = {"en/a.sms.j2": GOOD_SMS, "en/a.email.j2": MAIL, "en/a.letter.j2": LETTER, "en/a.voice.j2": VOICE}
    files |= {"en/a.email.html.j2": LETTER, "zh/a.sms.j2": ZH + ZH_END, "en/b.sms.j2": ASIDE + STOP}
    assert wording_of(tmp_path, files).mistakes == ()


BAD: list[tuple[str, str, str, int]] = [
    # ---- what the file is
    ("wording.syntax", "en/a.sms.j2", "Hello\n{% if third_party %}\n" + GOOD_SMS, 7),
    ("wording.syntax", "en/a.sms.j2", GOOD_SMS + "{{ amount|pprint }}", 7),
    ("wording.syntax", "en/a.email.j2", MAIL + "\n{{ amount|safe }}", 10),
    ("wording.name", "en/a.fax.j2", GOOD_SMS, 1),
    ("wording.name", "en/a.sms.html.j2", GOOD_SMS, 1),
    ("wording.language", "fr/a.sms.j2", GOOD_SMS, 1),
    ("wording.variable", "en/a.sms.j2", GOOD_SMS + "{% if first_communication %}\n{{ ssn }}{% endif %}", 8),
    ("wording.variable", "en/a.sms.j2", GOOD_SMS + "{{ range(3) }}", 7),
    ("wording.header", "en/a.sms.j2", "{# for: actor=lender #}\n" + GOOD_SMS, 1),
    ("wording.header", "en/a.sms.j2", "{# for: colour=red #}\n" + GOOD_SMS, 1),
    ("wording.alone", "en/a.sms.j2", GOOD_SMS + "{% include 'en/b.sms.j2' %}", 7),
    ("wording.alone", "en/a.sms.j2", "{% macro x() %}x{% endmacro %}\n" + GOOD_SMS, 1),
    ("wording.sandbox", "en/a.sms.j2", GOOD_SMS + "\n{{ amount.__class__ }}", 8),
    ("wording.render", "en/a.sms.j2", GOOD_SMS + "{{ accounts[0].owner }}", 7),
    ("wording.empty", "en/a.sms.j2", "{% if not third_party %}\n{% endif %}", 1),
    # ---- its form
    ("wording.subject", "en/a.email.j2", GOOD_SMS, 1),
    ("wording.subject", "en/a.email.j2", "Subject:\n" + GOOD_SMS, 1),
    ("wording.html", "en/a.email.html.j2", LETTER, 1),
    ("wording.escaping", "en/a.letter.j2", LETTER + "<a href={{ pay_link }}>pay</a>", 1),
    ("wording.escaping", "en/a.letter.j2", LETTER + "<{{ recipient_name }}>", 1),
    ("wording.markup", "en/a.letter.j2", LETTER + "\n<script>var owed = '{{ amount }}'</script>", 8),
    ("wording.markup", "en/a.letter.j2", LETTER + "\n<p onclick='{{ amount }}'>x</p>", 8),
    ("wording.markup", "en/a.letter.j2", LETTER + "\n<a href='javascript:{{ amount }}'>x</a>", 8),
    ("wording.identity", "en/a.sms.j2", "{{ collector_name }}:\n" + GOOD_SMS.partition("\n")[2], 6),
    ("wording.identity", "en/b.sms.j2", "{# for: role=contact_person purpose=locate #}\nHello.\n" + STOP, 3),
    ("wording.accounts", "en/a.sms.j2", "{{ collector_name }} for {{ creditor_name }}: {{ amount }}\n" + MIRANDA + STOP, 3),
    ("wording.segments", "en/a.sms.j2", GOOD_SMS + "\n" + "long words " * 20 + "\n" + "and more " * 20, 9),
    ("wording.segments", "en/a.sms.j2", "\u2019" + GOOD_SMS, 6),
    # ---- the house's rules of wording
    ("wording.opt-out", "en/a.sms.j2", SMS + MIRANDA, 5),
    ("wording.opt-out", "zh/a.sms.j2", ZH, 3),
    ("wording.debt-collector", "zh/a.sms.j2", ZH.replace("受", "").replace("委托", "") + ZH_END, 5),
    ("wording.no-threat", "en/a.sms.j2", GOOD_SMS + "\nPay, or else.", 8),
    ("wording.no-threat", "zh/a.sms.j2", ZH + ZH_END + "否则后果自负", 6),
    ("wording.no-threat", "en/a.sms.j2", GOOD_SMS + "{% if dpd > 30 %}\nWe will take legal\naction.\n{% endif %}", 8),
    ("wording.no-impersonation", "en/a.sms.j2", "Official notice\n" + GOOD_SMS, 1),
    ("wording.no-new-borrowing", "en/a.sms.j2", GOOD_SMS + "You can refinance.", 7),
    ("wording.no-new-borrowing", "zh/a.sms.j2", ZH + ZH_END + "可以借新还旧", 6),
    ("wording.no-disclosure", "en/b.sms.j2", ASIDE + STOP + "It is about a debt.", 4),
    ("wording.no-disclosure", "en/b.sms.j2", ASIDE + STOP + "{{ amount }}", 1),
    ("wording.validation-notice", "en/a.letter.j2", "{# for: notice=validation #}\n" + LETTER, 8),
    ("wording.overshadow", "en/a.letter.j2", "{# for: purpose=required_notice #}\n<p>Pay it now.</p>" + LETTER, 2),
    ("wording.limited-content", "en/a.voice.j2", VOICE + "It is about your car.", 1),
    ("wording.limited-content", "en/a.voice.j2", VOICE + "{{ amount }}", 1),
    ("wording.recording", "en/b.call.j2", "{# for: role=unknown_person purpose=locate #}\nThis is {{ caller_name }}.", 2),
    # ---- the packs of the places
    ("us.fed.mini-miranda-initial", "en/a.sms.j2", SMS + "We are a debt collector.\n" + STOP, 6),
    ("us.fed.mini-miranda-later", "en/a.sms.j2", SMS + "{% if first_communication %}\n" + MIRANDA + "{% endif %}\n" + STOP, 8),
    ("us.fed.mini-miranda-initial", "es/a.sms.j2", GOOD_SMS, 6),
    ("us.fed.e-optout-notice", "en/a.email.j2", "Subject: Hello\n\n" + SMS + MIRANDA, 7),
    ("us.fed.false-threat", "en/a.sms.j2", GOOD_SMS + "or garnish wages", 7),
    ("us.fed.time-barred", "en/a.sms.j2", GOOD_SMS + "A judgment may follow.", 7),
    ("us.fed.lcm", "en/a.voice.j2", VOICE + "Your account is overdue.", 1),
    ("us.fed.location-content", "en/b.sms.j2", ASIDE + STOP + "It is about a balance.", 4),
    ("cn.no-impersonation", "zh/a.sms.j2", "公安机关提示\n" + ZH + ZH_END, 1),
    ("cn.no-threat", "zh/a.sms.j2", ZH + ZH_END + "将予以曝光", 6),
    ("cn.no-false-threat", "zh/a.sms.j2", ZH + ZH_END + "列入黑名单", 6),
    ("cn.no-new-borrowing", "zh/a.sms.j2", ZH + ZH_END + "套现也行", 6),
    ("cn.no-extra-fee", "zh/a.sms.j2", ZH + ZH_END + "另收催收费", 6),
    ("cn.no-disclosure", "zh/b.sms.j2", "{# for: role=relative #}\n{{ caller_name }}\n关于一笔贷款\n" + ZH_END, 3),
    ("cn.card-letter-content", "zh/a.letter.j2", "<p>" + ZH + "</p>", 5),
    ("uk.no-premium-number", "en/a.sms.j2", GOOD_SMS + "\nCall 0909 8790 000", 8),
]  # fmt: skip


@pytest.mark.parametrize(("rule_id", "file", "text", "line"), BAD, ids=[f"{n}-{one[0]}" for n, one in enumerate(BAD)])
def test_a_bad_template_is_refused_by_rule_and_line_and_never_used(
    tmp_path: Path, rule_id: str, file: str, text: str, line: int
) -> None:
    wording = wording_of(tmp_path, {file: text})
    found = [one for one in wording.mistakes if one.rule_id == rule_id]
    assert found, [str(one) for one in wording.mistakes]
    assert (found[0].file, found[0].line) == (file, line), str(found[0])
    assert str(found[0]).startswith(f"{file}:{line}: ")
    assert f"[{rule_id}]" in str(found[0])
    language, _, name = file.partition("/")
    template, channel = name.split(".")[:2]
    if channel in JUDGED_AS and name.count(".") == 2 and language != "fr":
        with pytest.raises(WordingError) as refused:
            wording.render(template, channel, language, EXAMPLE.values)
        assert file in str(refused.value)


def test_all_mistakes_of_all_files_are_named_at_once(tmp_path: Path) -> None:
    bad = {f"{file.partition('/')[0]}/x{n}.{file.partition('.')[2]}": text for n, (_, file, text, _) in enumerate(BAD)}
    wording = wording_of(tmp_path, bad | {"en/good.sms.j2": GOOD_SMS})
    assert {one.file for one in wording.mistakes} == set(bad)
    assert wording.render("good", "sms", "en", EXAMPLE.values).body.startswith("Northfield Savings Bank for")


def test_every_house_rule_has_a_template_that_breaks_it() -> None:
    (pack,) = SHIPPED.judge._house.packs.values()
    assert {rule.id for rule in pack.rules} <= {rule_id for rule_id, *_ in BAD}


def test_a_rule_that_asks_for_words_of_another_language_is_left_to_the_gate(tmp_path: Path) -> None:
    assert not wording_of(tmp_path, {"en/a.letter.j2": LETTER}).mistakes
    without = (tmp_path / "languages.yaml").read_text(encoding="utf-8").replace("[cn.card-letter-content]", "[]")
    (tmp_path / "languages.yaml").write_text(without, encoding="utf-8")
    assert [one.rule_id for one in Wording(tmp_path, BOOK).mistakes] == ["cn.card-letter-content"]


@pytest.mark.parametrize(
    "change", [("places: [CN]", "places: [XX]"), ("fallback: en", "fallback: zh"), ("languages:", "x:")]
)
def test_languages_that_make_no_sense_are_refused(tmp_path: Path, change: tuple[str, str]) -> None:
    wording_of(tmp_path, {})
    path = tmp_path / "languages.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    if "XX" in change[1]:
        assert [str(one)[:17] for one in Wording(tmp_path, BOOK).mistakes] == ["languages.yaml:1:"]
        return
    with pytest.raises(WordingError, match=r"languages\.yaml"):
        Wording(tmp_path, BOOK)


# --- what is shipped --------------------------------------------------------------------------------------------


def test_shipped_templates_pass_for_everybody() -> None:
    assert [str(one) for one in SHIPPED.mistakes] == []
    assert len(SHIPPED.templates) >= 30


def test_every_step_of_every_shipped_strategy_has_its_words() -> None:
    for path in sorted((POLICIES / "strategies").glob("*.yaml")):
        strategy = parse_strategy(path.read_text(encoding="utf-8"), path.name)
        language = "zh" if path.name.startswith("cn-") else "en"
        for step in strategy.steps:
            if step.channel is None:
                continue
            values = replace(EXAMPLE, third_party=path.name == "us-third-party.yaml").values
            worded = SHIPPED.render(step.template or step.id, step.channel, language, values)
            assert worded.language == language
            assert bool(worded.subject) == (step.channel == "email")


PLACES = {
    "en": ("US", "US-MA", "US-NY", "GB", "CN", "IN", "ID", "PH", "AU", "HK", "DE"),
    "es": ("US", "US-CA"),
    "de": ("DE", "AT"),
    "zh": ("CN",),
}


@pytest.mark.parametrize("file", SHIPPED.templates, ids=lambda file: file.piece.file)
def test_the_gate_has_nothing_against_what_shipped_templates_say(file: TemplateFile) -> None:
    """The same words once more, through the very function that admits contacts."""
    actor = file.piece.purpose.actor
    party = None if actor is None else actor == "third_party_collector"
    for one in examples(file.piece.language, party, file.piece.channel):
        worded = SHIPPED.render(file.template, file.piece.channel, file.piece.language, one.values)
        for place in PLACES[file.piece.language]:
            facts = facts_from(
                {
                    "now": "2026-03-03T15:00:00Z",
                    "channel": file.piece.judged_as,
                    "actor": "third_party_collector" if one.third_party else "first_party_creditor",
                    "purpose": file.piece.purpose.purpose,
                    "debt_type": "consumer",
                    "first_communication": one.first_communication,
                    "language": worded.language,
                    "content": worded.content.strip(),
                    "debtor": {"region": place},
                }
            )
            said = [hit for hit in decide(facts, BOOK).hits if hit.said.startswith("line ")]
            assert not said, (place, str(one), said)


def test_a_message_about_several_accounts_lists_them_and_stays_short() -> None:
    for file in SHIPPED.templates:
        if file.piece.channel == "sms":
            for one in examples(file.piece.language, None, "sms"):
                count = segments(SHIPPED.render(file.template, "sms", file.piece.language, one.values).body).count
                assert count <= SHIPPED.languages.segments.of(len(one.accounts))


def test_a_text_message_that_gets_too_long_is_not_rendered() -> None:
    with pytest.raises(WordingError, match=r"wording\.segments") as error:
        SHIPPED.render(
            "payment-reminder", "sms", "en", EXAMPLE.values | {"creditor_name": "Secret " * 99, "third_party": True}
        )
    assert "Secret" not in str(error.value)


def test_what_a_caller_may_leave_out() -> None:
    values = {
        name: value
        for name, value in EXAMPLE.values.items()
        if name not in {*OPTIONAL, "accounts", "first_communication"}
    }
    for file in SHIPPED.templates:
        if file.piece.channel not in {"voice", "visit"}:
            third = values | {"third_party": True, "collector_name": "Harbor Lane Services"}
            assert SHIPPED.render(file.template, file.piece.channel, file.piece.language, third)
    # What is not known about the first message is taken for: this is the first.
    words = SHIPPED.render("payment-reminder", "sms", "en", values | {"third_party": True}).body
    assert "any information obtained" in words


def test_a_template_for_one_party_is_not_used_by_the_other() -> None:
    with pytest.raises(WordingError, match="is for third_party_collector only"):
        SHIPPED.render("validation-notice", "letter", "en", EXAMPLE.values)


def test_a_call_back_without_a_number_is_not_asked_for() -> None:
    with pytest.raises(WordingError, match="needs call_back_number"):
        SHIPPED.render(
            "payment-reminder", "voice", "en", EXAMPLE.values | {"call_back_number": "", "third_party": True}
        )


def test_a_language_falls_back_to_its_base_and_then_to_english() -> None:
    assert SHIPPED.render("payment-reminder", "sms", "de-AT", EXAMPLE.values).language == "de"
    assert SHIPPED.render("payment-reminder", "sms", "fr", EXAMPLE.values).language == "en"
    assert SHIPPED.render("payment-reminder", "sms", None, EXAMPLE.values).language == "en"
    with pytest.raises(WordingError, match="in any language"):
        SHIPPED.render("nothing", "sms", "en", EXAMPLE.values)


def test_a_broken_translation_is_not_replaced_by_english(tmp_path: Path) -> None:
    wording = wording_of(tmp_path, {"en/a.sms.j2": GOOD_SMS, "zh/a.sms.j2": ZH})
    with pytest.raises(WordingError, match=r"zh/a\.sms\.j2"):
        wording.render("a", "sms", "zh", EXAMPLE.values)


# --- hostile values ---------------------------------------------------------------------------------------------


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, tuple(name for name, _ in attrs)))


@given(
    hostile=st.text(max_size=40)
    | st.sampled_from([HOSTILE, "<script>", '" onclick="x', "</p><img src=x>", "&lt;b&gt;"])
)
def test_no_value_brings_markup_into_html(hostile: str) -> None:
    for channel, template in (("letter", "account-statement"), ("email", "account-statement")):
        values = EXAMPLE.values | {
            "recipient_name": hostile or "x",
            "creditor_name": hostile,
            "pay_link": f"https://{hostile}",
        }
        values["accounts"] = [{"reference": hostile, "amount": hostile, "due_on": date(2026, 1, 1), "dpd": 1}]
        good, bad = (SHIPPED.render(template, channel, "en", one) for one in (EXAMPLE.values, values))
        words = [(one.html if channel == "email" else one.body) for one in (good, bad)]
        assert _Tags(words[0]).seen == _Tags(words[1]).seen


def test_plain_text_is_never_escaped() -> None:
    values = EXAMPLE.values | {"collector_name": "Fish & Sons <Ltd>"}
    assert "Fish & Sons <Ltd>" in SHIPPED.render("payment-reminder", "sms", "en", values).body
    mail = SHIPPED.render("account-statement", "email", "en", values)
    assert "Fish & Sons <Ltd>" in mail.body
    assert "Fish &amp; Sons &lt;Ltd&gt;" in mail.html


def test_a_value_is_never_a_template() -> None:
    assert (
        "{{ 7 * 7 }}"
        in SHIPPED.render("payment-reminder", "sms", "en", EXAMPLE.values | {"collector_name": "{{ 7 * 7 }}"}).body
    )


# --- the sandbox ------------------------------------------------------------------------------------------------

ESCAPES = [
    "{{ ''.__class__.__mro__ }}", "{{ amount.__class__ }}", "{{ amount.format.__globals__ }}", "{{ accounts.__class__ }}",
    "{{ accounts[0].__class__ }}", "{{ accounts[0]['__class__'] }}", "{{ amount['__class__'] }}", "{{ amount.upper() }}",
    "{{ '{0.__class__}'.format(amount) }}", "{{ amount|attr('__class__') }}", "{{ [amount]|map(attribute='__class__')|list }}",
    "{{ [amount]|join(', ', attribute='__class__') }}", "{{ due_on.__reduce__() }}", "{{ due_on.strftime('%Y') }}",
    "{{ due_on.resolution }}", "{{ self }}", "{{ self._TemplateReference__context }}", "{{ cycler.__init__.__globals__ }}",
    "{{ lipsum.__globals__ }}", "{{ namespace() }}", "{{ dict(a=1) }}", "{{ 'a' * 1000000000 }}", "{{ 9 ** 999999 }}",
    "{% for one in accounts %}{{ loop.__class__ }}{% endfor %}", "{% for one in accounts %}{{ loop.cycle('a') }}{% endfor %}",
    "{% set x = amount.__class__ %}{{ x }}", "{% if amount.__class__ %}x{% endif %}", "{{ accounts[0].items() }}",
    "{{ accounts.append(1) }}", "{{ missing }}", "{{ amount|default(amount.__class__) }}", "{{ 1|d }}", "{{ caller() }}",
]  # fmt: skip


REFUSED = ("sandbox", "syntax", "variable", "render")


@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_is_called_and_no_attribute_is_reached(tmp_path: Path, escape: str) -> None:
    wording = wording_of(tmp_path, {"en/a.sms.j2": GOOD_SMS + escape})
    assert {one.line for one in wording.mistakes} == {7}
    assert {one.rule_id for one in wording.mistakes} <= {f"wording.{one}" for one in REFUSED}
    with pytest.raises(WordingError):
        wording.render("a", "sms", "en", EXAMPLE.values)


def test_errors_and_representations_hold_no_personal_data() -> None:
    values = EXAMPLE.values | {"due_on": "Jordan Secret", "recipient_name": "Jordan Secret"}
    with pytest.raises(WordingError) as error:
        SHIPPED.render("payment-reminder", "sms", "en", values)
    assert "Secret" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
    assert "Secret" not in repr(Worded("Secret", "Secret", "Secret"))


# --- the command line -------------------------------------------------------------------------------------------


def test_templates_check_is_content_with_what_is_shipped_and_names_what_is_not(tmp_path: Path) -> None:
    run = CliRunner()
    good = run.invoke(app, ["check", "--json"])
    assert good.exit_code == 0
    assert json.loads(good.stdout)["mistakes"] == []
    wording_of(tmp_path, {"en/a.sms.j2": SMS + STOP})
    bad = run.invoke(app, ["check", "--json", "--templates", str(tmp_path)])
    assert bad.exit_code == 1
    assert "us.fed.mini-miranda-initial" in bad.stderr
    assert {"en/a.sms.j2"} == {one["file"] for one in json.loads(bad.stdout)["mistakes"]}


def test_templates_show_prints_words_length_and_duties() -> None:
    shown = json.loads(CliRunner().invoke(app, ["show", "payment-reminder.sms", "--language", "zh", "--json"]).stdout)
    assert shown[0]["encoding"] == "ucs2"
    assert shown[0]["segments"] == segments(shown[0]["text"]).count
    assert "wording.opt-out" in shown[0]["must_say"]
    for extra in ([], ["--first-party", "--later", "--several", "--bare"]):
        for language in ("en", "es", "de", "zh"):
            assert CliRunner().invoke(app, ["show", "payment-reminder", "--language", language, *extra]).exit_code == 0
    assert CliRunner().invoke(app, ["show", "nothing"]).exit_code == 1


def test_the_documentation_names_every_variable() -> None:
    text = (POLICIES.parent / "docs" / "templates.md").read_text(encoding="utf-8")
    assert [name for name in VARIABLES if f"`{name}`" not in text] == []


def test_a_link_is_a_web_address() -> None:
    with pytest.raises(WordingError, match="pay_link is no web address"):
        SHIPPED.render("account-statement", "email", "en", EXAMPLE.values | {"pay_link": "javascript:alert(1)"})
