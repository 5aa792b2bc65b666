"""Critical paths and idle units: a chain worked out by hand, and properties of the published pipelines."""

from itertools import pairwise

import pytest

from arch.program import NanoOperation, Pool, Predecessor, Program
from arch.scheduler import SchedulerConfig
from sim.engine.scheduler import simulate
from sim.machine.critical_path import critical_path, idle_intervals
from sim.machine.timeline import Timeline
from sim.machine.tokens import time_tokens


def nano(name: str, unit: str, us: float, *waits: Predecessor, share: int = 0) -> NanoOperation:
    shares = {"share": share} if share else {}
    return NanoOperation(
        name=name, operation=name, unit=unit, chunks=1, duration_us=us, predecessors=waits, shares=shares
    )


def run(*nanos: NanoOperation, count: int = 8) -> Timeline:
    program = Program(
        name="hand", units=("gemm", "gemv"), pools=(Pool(name="share", capacity=10),), chunk_rows=1, n_chunks=1,
        nano_operations=nanos, count=count,
    )  # fmt: skip
    return Timeline.of(simulate(program, SchedulerConfig.for_program(program), clock_hz=1e9), 1e9)


def names(timeline: Timeline) -> list[tuple[str, str]]:
    return [(step.entry.nano_operation, step.reason) for step in critical_path(timeline)]


def test_a_chain_by_hand():
    """A (10) -> B (30) on the other unit -> C (5) -> A of the next layer; D (7) runs beside B and matters to nobody."""
    back = Predecessor(operation="C", layer_offset=-1)
    timeline = run(
        nano("A", "gemm", 10, back), nano("B", "gemv", 30, Predecessor(operation="A")),
        nano("D", "gemm", 7, Predecessor(operation="A")), nano("C", "gemm", 5, Predecessor(operation="B")),
    )  # fmt: skip
    assert timeline.period_us == pytest.approx(45, abs=0.02)
    assert names(timeline) == [("C", "dependency"), ("A", "dependency"), ("B", "dependency"), ("C", "end")]
    path = critical_path(timeline)
    end = path[-1].entry.end_us
    idle = idle_intervals(timeline, end - timeline.period_us, end)
    assert [(round(each.end_us - each.start_us), each.idle) for each in idle] == [
        (10, ("gemv",)), (7, ()), (23, ("gemm",)), (5, ("gemv",)),
    ]  # fmt: skip


def test_a_unit_and_shares_on_the_path():
    """E and F share a unit without knowing each other; G needs credits that F holds."""
    timeline = run(nano("E", "gemm", 10), nano("F", "gemm", 20, share=8), nano("G", "gemv", 15, share=5))
    reasons = {step.reason for step in critical_path(timeline)}
    assert "unit" in reasons or "share" in reasons
    assert all(step.gap_us >= 0 for step in critical_path(timeline))


@pytest.mark.parametrize("program", ["llama2_70b_2048", "llama2_70b_2048_figure6"])
def test_the_path_of_a_published_pipeline_spans_its_period(program):
    timeline = time_tokens(executions=["overlapped"], program=program).timelines["overlapped"]
    path = critical_path(timeline)
    assert path[-1].entry.layer == timeline.program.count // 2
    # nothing on the path waits for anything that is not on it
    assert all(-1e-6 <= step.gap_us < 0.05 for step in path)
    for before, after in pairwise(path):
        assert before.entry.start_us <= after.entry.start_us
    covered = path[-1].entry.end_us - path[0].entry.start_us
    assert timeline.period_us <= covered < 2 * timeline.period_us


def test_idle_intervals_fill_the_window_and_agree_with_the_units():
    timeline = time_tokens(executions=["overlapped"]).timelines["overlapped"]
    start = timeline.layer(40)[0].start_us
    found = idle_intervals(timeline, start, start + timeline.period_us)
    assert found[0].start_us == start and found[-1].end_us == pytest.approx(start + timeline.period_us)
    assert all(a.end_us == b.start_us and a.idle != b.idle for a, b in pairwise(found))
    for unit in timeline.program.units:
        idle = sum(each.end_us - each.start_us for each in found if unit in each.idle)
        busy = sum(
            min(e.end_us, start + timeline.period_us) - max(e.start_us, start)
            for e in timeline.entries
            if e.unit == unit and e.end_us > start and e.start_us < start + timeline.period_us
        )
        assert idle + busy == pytest.approx(timeline.period_us, abs=1.0)
