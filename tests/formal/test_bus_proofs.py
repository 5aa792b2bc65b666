"""The proofs of the buses hold, and each notices the bugs seeded for it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUGS = {"answer_overwritten": "axi_lite", "strobe_ignored": "axi_lite", "word_lost_on_a_pause": "axis"}


def prove(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "formal.prove", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def test_handshakes_and_registers_are_proved_by_induction() -> None:
    ended = prove("axi_lite", "axis")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("holds by induction") == 2


@pytest.mark.parametrize(("bug", "task"), BUGS.items())
def test_a_bug_is_caught(bug: str, task: str) -> None:
    ended = prove(task, "--mutant", bug)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert re.match(rf"{task}: FAILS ", ended.stdout), ended.stdout
    assert "Assert failed in harness" in ended.stdout, ended.stdout
