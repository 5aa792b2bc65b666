"""Schedules NanoFlow's artifact and its later branch printed, run on the scheduler's cycle model."""

import math
from collections.abc import Iterator
from dataclasses import replace

from arch.program import Pool, Program
from arch.scheduler import SchedulerConfig
from arch.workload import load_calibration, load_program
from sim.engine.scheduler import simulate
from sim.machine.decoder_program import POOL
from sim.machine.interference import performance
from sim.machine.timeline import Timeline
from sim.machine.token_case import CLOCK_HZ
from sim.machine.tokens import time_tokens
from sim.reproduction.comparison_row import ComparisonRow
from sim.search.search import search_schedule

__all__ = ["schedule_rows"]

_GRID_US = 200.0
"""Unit of time of the published second stage; it rounds every duration up."""

_LAYERS = 24
_EFFORT = 0.5


def schedule_rows() -> Iterator[ComparisonRow]:
    """The published search's two stages, and the layer periods of LLaMA-3-8B and of the later branch."""
    yield from _stage_1()
    yield from _stage_2()
    yield from _periods()


def _run(program: Program, layers: int) -> Timeline:
    body = replace(program, count=layers)
    return Timeline.of(simulate(body, SchedulerConfig.for_program(body), clock_hz=CLOCK_HZ), CLOCK_HZ)


def _stage_1() -> Iterator[ComparisonRow]:
    published, program = load_calibration("published_nanoflow"), load_program("llama2_70b_2048_search")
    run = _run(program, _LAYERS)
    period = run.period_us
    reason = "the published order and times as waits of a program; the scheduler adds its clocks to every wait"
    for what, ours, key in (
        ("published search, period of a layer, us", period, "period_us"),
        ("published search, three layers, us", _run(program, 3).makespan_us, "three_layers_us"),
        ("published search, tokens/s/GPU", 2048 / (80 * period * 1e-6) / 8, "tokens_per_s_per_gpu"),
    ):
        yield ComparisonRow(
            what=what, ours=ours, reference=published[f"search.{key}"], source="cycle_model", reason=reason
        )
    layer = {entry.nano_operation: entry.start_us for entry in run.layer(_LAYERS // 2)}
    for name, reference in published.group("search_start_us").items():
        yield ComparisonRow(
            what=f"published search, start of {name}, us", ours=layer[name] - layer["KQV0"], reference=reference,
            source="cycle_model", reason=reason,
        )  # fmt: skip


def _stage_2() -> Iterator[ComparisonRow]:
    """Durations over P(R) of the published shares, rounded up to 0.2 ms as the published stage does."""
    published, program = load_calibration("published_nanoflow"), load_program("llama2_70b_2048_search")
    tenths = published.group("search_share")
    nanos = []
    for nano in program.nano_operations:
        share = tenths[nano.name]
        slowed = nano.duration_us / performance(nano.unit, share / 10, "artifact")
        on_grid = _GRID_US * math.ceil(round(slowed / _GRID_US, 6))
        nanos.append(replace(nano, duration_us=on_grid, shares={POOL: share}))
    planned = replace(program, pools=(Pool(name=POOL, capacity=10),), nano_operations=tuple(nanos))
    reason = "published order, shares and grid of 0.2 ms on a scheduler that issues the oldest that fits; a few "
    reason += "nano-operations hold the whole machine, and the published plan arranges the others around them"
    for what, ours, key in (
        ("published search, stage II, period of a layer, us", _run(planned, _LAYERS).period_us, "stage_2_period_us"),
        ("published search, stage II, three layers, us", _run(planned, 3).makespan_us, "stage_2_three_layers_us"),
    ):
        yield ComparisonRow(
            what=what, ours=ours, reference=published[f"search.{key}"], source="cycle_model", reason=reason
        )


def _periods() -> Iterator[ComparisonRow]:
    published = load_calibration("published_nanoflow")
    small = search_schedule(
        model="llama3_8b", device="a100_80gb", batch=1024, decode_rows=384, interference="none", effort=_EFFORT
    )
    yield ComparisonRow(
        what="layer of LLaMA-3-8B on one A100, 384 + 640 rows, interference-free, us", ours=small.period_us,
        reference=published["period_us.llama3_8b"], source="cycle_model",
        reason="a schedule of our search with the same GEMM and attention times; ours also has element-wise kernels",
    )  # fmt: skip
    large = time_tokens(
        model="llama3_70b", device="4xh200", rows=2048, decode_rows=640, context=1024, executions=["overlapped"]
    )
    yield ComparisonRow(
        what="layer of LLaMA-3-70B on four GPUs of 132 SMs, 640 + 1408 rows, us",
        ours=large.timelines["overlapped"].period_us, reference=published["period_us.llama3_70b_tp4"],
        source="cycle_model",
        reason="the paper's structure with the artifact's P(R), where theirs gives each kernel SMs; GPU and context "
        "are not stated, an H200 and 1024 are taken",
    )  # fmt: skip
