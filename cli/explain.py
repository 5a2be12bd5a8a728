"""``rules explain``: why an attempt was made, put off or refused, in plain words with the source of every rule."""

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text
from sqlalchemy import Connection, Engine

from cli.operations import with_engine
from cli.rules import RULES, AsJson, Folder, book_of
from cli.say import UserError, out, plainly, print_json
from domain.calendar import known_zone, local_time
from domain.compliance import Rule, RuleBook
from domain.gate import CORE_RULES

_DECISIONS = """
SELECT d.number, d.decided_at, d.verdict, d.defer_until, d.rule_ids, d.packs, d.reasons, t.channel, t.step, t.status,
       t.purpose, coalesce(p.timezone, c.timezone, 'UTC') AS zone
  FROM decisions d JOIN attempts t ON t.key = d.attempt_key JOIN cases k ON k.key = t.case_key
  JOIN creditors c ON c.code = k.creditor JOIN debtors b ON b.key = k.debtor_key JOIN parties p ON p.key = b.party_key
 WHERE d.attempt_key = %s ORDER BY d.number
"""
_VERDICTS = {
    "allow": "allowed",
    "defer": "put off",
    "block": "refused",
    "review": "handed to a person",
}


@plainly
def explain(
    attempt: Annotated[str, typer.Argument(help="An attempt's key, as `case show` lists it: A000000001/1/3.")],
    rules: Folder = RULES,
    as_json: AsJson = False,
) -> None:
    """Say why an attempt was made or not, decision by decision, with the source of every rule."""
    book = book_of(rules)

    def act(engine: Engine) -> list[dict[str, Any]]:
        with engine.connect() as connection:
            return _decisions(connection, attempt, book)

    decisions = with_engine(act)
    if not decisions:
        raise UserError(f"{attempt}: no decision with this attempt's key; `case show KEY` lists attempts")
    if as_json:
        print_json(decisions)
        return
    for one in decisions:
        out.print(_in_words(one))


def _decisions(connection: Connection, attempt: str, book: RuleBook) -> list[dict[str, Any]]:
    known = {rule.id: rule for pack in book.packs.values() for rule in pack.rules}
    return [
        {
            "attempt": attempt,
            "number": row.number,
            "channel": row.channel,
            "step": row.step,
            "purpose": row.purpose,
            "decided_at": _local(row.decided_at, row.zone),
            "decision": row.verdict,
            "defer_until": None if row.defer_until is None else _local(row.defer_until, row.zone),
            "packs": list(row.packs),
            "because": [_because(rule_id, row.reasons, known, row.zone) for rule_id in row.rule_ids],
        }
        for row in connection.exec_driver_sql(_DECISIONS, (attempt,))
    ]


def _because(rule_id: str, reasons: list[dict[str, Any]], known: dict[str, Rule], zone: str) -> dict[str, Any]:
    reason = next((one for one in reasons if one["rule"] == rule_id), {})
    rule, until = known.get(rule_id), reason.get("until")
    return {
        "rule": rule_id,
        "title": CORE_RULES.get(rule_id)
        or (rule.title if rule is not None else "a rule that is no longer in the packs"),
        "citation": rule.citation if rule is not None else "house design",
        "until": None if until is None else _local(datetime.fromisoformat(until), zone),
        "said": reason.get("said", ""),
    }


def _local(at: datetime, zone: str) -> str:
    return local_time(at, zone if known_zone(zone) else "UTC").isoformat()


def _in_words(one: dict[str, Any]) -> Text:
    text = Text()
    text.append(f"{one['attempt']}, decision {one['number']}: ", style="bold")
    text.append(f"{_VERDICTS[one['decision']]} on {one['decided_at']} (step {one['step']}, {one['channel']})")
    if one["defer_until"] is not None:
        text.append(f", until {one['defer_until']}")
    text.append(f"\n  packs in force: {', '.join(one['packs']) or 'none'}\n")
    for because in one["because"]:
        text.append(f"  - {because['title']}", style="yellow")
        until = "" if because["until"] is None else f"; free again {because['until']}"
        said = f" ({because['said']})" if because["said"] else ""
        text.append(f"{said}{until}\n      {because['rule']}: {because['citation']}\n")
    if not one["because"]:
        text.append("  no rule had anything against it\n")
    return text
