"""The proofs of the scheduler unit hold, and each notices a bug seeded for it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INDUCTIVE = ("events", "pools", "slot", "errors", "watchdog")
BOUNDED = (
    "completion", "dependence", "once", "progress", "shares", "matrix", "dependence_with_errors", "shares_with_errors",
)  # fmt: skip
CHECKER = ("accepted_is_legal", "accepted_is_acyclic", "legal_is_accepted")
BUGS = {
    "done_before_not_awaited": "dependence",
    "pending_event_holds_nobody": "dependence",
    "newer_event_holds_nobody": "dependence",
    "issue_forgotten": "once",
    "grants_that_do_not_fit_in_the_unit": "shares",
    "iteration_ends_early": "completion",
    "credits_not_returned": "progress",
    "second_event_not_counted": "progress",
    "odd_iteration_not_counted": "progress",
    "chunks_not_compared": "matrix",
    "starts_not_counted": "matrix",
    "error_in_the_unit": "dependence_with_errors",
    "share_unchecked": "accepted_is_legal",
    "order_unchecked": "accepted_is_legal",
    "own_wait_met": "accepted_is_acyclic",
    "sweeps_end_early": "legal_is_accepted",
}
BUGS_IN_BLOCKS = {
    "offer_withdrawn": "slot",
    "grants_that_do_not_fit_together": "pools",
    "early_completion_dropped": "events",
    "early_completion_forgotten": "events",
    "pending_event_forgotten": "events",
    "error_passes": "errors",
    "late_completion_passes": "errors",
    "watchdog_a_clock_late": "watchdog",
    "watchdog_asleep": "watchdog",
}


def prove(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "formal.prove", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=590)


def caught(bug: str, task: str) -> None:
    ended = prove(task, "--mutant", bug)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert re.match(rf"{task}: FAILS ", ended.stdout), ended.stdout
    # by a run that breaks an assertion, not by a tool that stops
    assert "Assert failed in harness" in ended.stdout, ended.stdout


def test_blocks_are_proved_by_induction() -> None:
    ended = prove(*INDUCTIVE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("holds by induction") == len(INDUCTIVE)


@pytest.mark.parametrize(("bug", "task"), BUGS_IN_BLOCKS.items())
def test_a_bug_in_a_block_is_caught(bug: str, task: str) -> None:
    caught(bug, task)


@pytest.mark.long
@pytest.mark.parametrize("task", [*BOUNDED, *CHECKER])
def test_the_unit_is_proved_for_bounded_runs(task: str) -> None:
    ended = prove(task)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.match(rf"{task}: holds for \d+ clocks", ended.stdout)


@pytest.mark.long
@pytest.mark.parametrize(("bug", "task"), BUGS.items())
def test_a_bug_in_the_unit_is_caught(bug: str, task: str) -> None:
    caught(bug, task)


def test_an_unknown_task_is_refused() -> None:
    ended = prove("halting")
    assert ended.returncode == 2
    assert "task must be one of dependence, once, shares" in ended.stderr
