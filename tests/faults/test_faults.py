"""A short part of the campaign, which `nox -s faults` runs whole: some cases of each kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import ROOT

CAMPAIGN = Path(__file__).with_name("campaign.py")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found by way of /proc")
def test_a_part_of_the_campaign() -> None:
    """No forged green, no wrong recall, nothing left behind, documented exit codes."""
    part = ["--short", "--sample", "1"]
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), *part],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills recovered: 2" in done.stdout
    assert "WRONG" not in done.stdout
