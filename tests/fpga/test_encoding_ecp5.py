"""The grid encoding engine keeps its clock on an ECP5, placed and routed by open tools."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_routed_at_90_mhz():
    """One level engine of 2^11 rows, F = 2, with the placer's seed 1; no memory replicated, a bank each."""
    command = [sys.executable, "-m", "fpga.encoding", "--device", "ecp5", "--seeds", "1", "--at-least", "90"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1700)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "BRAM 8 " in done.stdout
    assert float(re.search(r"seed 1 \| ([\d.]+) MHz", done.stdout)[1]) >= 90.0
