"""The demonstration through the real SDKs: every message a request over HTTP, every receipt a callback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.say import ROOT


@pytest.mark.timeout(400)
def test_the_carriers_counts_and_ours_are_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "starter.py", "demo", "--providers", "fake", "--accounts", "24", "--days", "14", "--json"],
        cwd=ROOT,
        env={"DUNLIN_STATE_DIR": str(tmp_path / "state"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["wrong"] == []
    for channel in ("twilio-sms", "sendgrid"):
        figures = summary["carriers"][channel]
        assert figures["taken by the carrier"] == figures["sent, by our record"] > 0
        assert figures["reached, says the carrier"] == figures["reached, by our record"]
    doors = summary["carriers"]["doors"]
    assert doors["texts of people, says the carrier"] == doors["texts of people, by our record"] > 0
    assert doors["payments and returns, by our record"] > 0
