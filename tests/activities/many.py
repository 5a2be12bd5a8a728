"""One of several worker processes of a concurrency test: ``python -m tests.activities.many URL FOLDER FIRST STEP``.

Contacts every STEP-th of the cases that the test opened, all at once in threads, and prints what became of them.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from activities.providers.sandbox import SandboxProvider
from activities.rule_facts import Rules
from db.engine import make_engine
from domain.case import CaseInput
from domain.compliance import RuleBook, parse_pack, parse_residence
from domain.rule_gate import RuleGate
from tests.activities.cases import contact, contact_activities

THREADS = 12
CAP = """
pack: cap
title: a cap for a test
notice: not legal advice
sign_off: {by: nobody}
rules:
  - id: cap.three
    title: three contacts a day and person
    citation: a test
    evidence: house
    status: house
    authority: house
    count: {of: any, same: [person], window: {calendar_days: 1}, limit: 3}
"""
RESIDENCE = "on_top: cap\nplaces:\n  US: cap\n"


def main() -> None:
    """Contact."""
    url, folder, first, step = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    lines = (folder / "cases.jsonl").read_text(encoding="utf-8").splitlines()[first::step]
    cases = [CaseInput.model_validate_json(line) for line in lines]
    engine = make_engine(url, pool_size=THREADS)
    book = RuleBook([parse_pack(CAP, "cap.yaml")], parse_residence(RESIDENCE, "residence.yaml"))
    carrier = SandboxProvider(engine, None)
    activities = contact_activities(engine, carrier, gate=RuleGate(book), rules=Rules(("cap",)), consolidate=False)
    with ThreadPoolExecutor(THREADS) as threads:
        reports = list(threads.map(lambda case: contact(activities, case), cases))
    sys.stdout.write(json.dumps([str(report.status) for report in reports]))
    engine.dispose()


if __name__ == "__main__":
    main()
