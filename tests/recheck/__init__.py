"""The re-check: every attempt of a record against every rule, computed apart from the path that allowed it.

It reads rows with SQL and imports nothing of the programme, so that a mistake in the gate cannot hide itself here.
"""

from tests.recheck.check import recheck
from tests.recheck.model import Violation

__all__ = ["Violation", "recheck"]
