"""``python -m tests.recheck DATABASE_URL [--json]``: prints every violation; exit code 1 when there is one."""

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict

from tests.recheck import recheck


def main() -> int:
    """Check one database and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.recheck", description=__doc__)
    parser.add_argument("database_url", metavar="DATABASE_URL")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print a JSON list")
    options = parser.parse_args()
    found = recheck(options.database_url)
    if options.as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in found], indent=1) + "\n")
        return 1 if found else 0
    for one in found:
        sys.stdout.write(f"{one.attempt}  {one.rule}  {one.why}\n")
    for rule_id, count in sorted(Counter(one.rule for one in found).items()):
        sys.stdout.write(f"{count:6}  {rule_id}\n")
    sys.stdout.write(f"{len(found)} violations\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
