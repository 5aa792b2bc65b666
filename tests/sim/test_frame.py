"""Frame timing: published figures come back as printed, the rest follows from them as documented."""

from dataclasses import replace
from math import isclose
from pathlib import Path

import numpy as np
import pytest

from arch.errors import InputError
from arch.field import APPS
from arch.presets import FIELDS
from sim.engine.nfp import nfp_cycles
from sim.machine.cluster_batch import ENCODINGS
from sim.machine.frame import (
    RESOLUTIONS,
    assumptions,
    average_speedups,
    frame_pipeline,
    frame_row,
    frame_table,
)
from sim.machine.frame_baseline import Figure, FrameBaseline
from sim.machine.frame_pipeline import FramePipeline
from sim.machine.frame_traffic import memory_rate, point_traffic
from sim.machine.nfp_rate import NfpRate, nfp_for, nfp_rate

BASELINE = FrameBaseline.named("rtx3090")
FUSED = {"n_nfp": 8, "mode": "ngpc_fused_rest"}


@pytest.fixture(scope="module")
def table():
    return frame_table()


@pytest.mark.parametrize(
    ("app", "milliseconds", "mark"),
    [("nerf", 231.0, "S"), ("nsdf", 27.87, "R-high"), ("gia", 2.12, "S"), ("nvr", 6.32, "R-high")],
)
def test_published_frames_come_back_with_their_marks(app, milliseconds, mark):
    row = frame_row(BASELINE, app=app, encoding="hashgrid", resolution="fhd")
    assert isclose(row.frame_ms, milliseconds, rel_tol=1e-12)
    assert (row.source, row.baseline_mark, row.speedup, row.limiter) == ("published", mark, 1.0, "gpu")


@pytest.mark.parametrize(("app", "gap"), [("nerf", 55.50), ("nsdf", 6.68), ("nvr", 1.51)])
def test_gap_to_4k_at_60_is_the_published_one(app, gap):
    row = frame_row(BASELINE, app=app, encoding="hashgrid", resolution="4k")
    assert isclose(row.frame_ms * 60e-3, gap, rel_tol=0.006)
    assert (row.source, row.baseline_mark) == ("calibrated", "D")


@pytest.mark.parametrize(("encoding", "share"), [("hashgrid", 0.7237), ("densegrid", 0.60), ("lowres", 0.5996)])
def test_kernel_shares_are_the_published_ones(encoding, share):
    pixels = 1920 * 1080
    for app in APPS:
        frame, rest = BASELINE.frame_ms(app, encoding, pixels), BASELINE.rest_ms(app, pixels)
        assert isclose(1 - rest / frame, share, rel_tol=1e-12)


def test_derived_dense_kernels_agree_with_costs_measured_elsewhere():
    """The dense NeRF kernels, derived from published shares, against the ratio measured on an H200 (0.380 / 0.634)."""
    kernels = {name: BASELINE.frame_ms("nerf", name, 1) - BASELINE.rest_ms("nerf", 1) for name in ENCODINGS}
    assert isclose(kernels["densegrid"] / kernels["hashgrid"], 0.380 / 0.634, rel_tol=0.06)


def test_points_of_a_frame_fit_the_published_kernel_invocations():
    """A NeRF frame is 59 kernel invocations, for each of which instant-ngp aims at 2^21 points."""
    points = {app: frame_row(BASELINE, app=app, encoding="hashgrid", resolution="fhd").points for app in APPS}
    assert points["gia"] == 1920 * 1080
    assert 0.5 < points["nerf"] / (59 * 2**21) <= 1.0
    assert points["nerf"] > points["nsdf"] > points["nvr"] > points["gia"]


def by_hand(stages: list[float], batches: int) -> float:
    """A linear pipeline step by step: a stage starts a batch when it is free and the stage before has it done."""
    free = [0.0] * len(stages)
    for _ in range(batches):
        ready = 0.0
        for number, length in enumerate(stages):
            ready = free[number] = max(ready, free[number]) + length
    return free[-1]


@pytest.mark.parametrize("clk_per_point", [0.01, 1.0, 3.0, 40.0])
@pytest.mark.parametrize("mode", ["ngpc", "ngpc_fused_rest"])
def test_a_frame_is_a_pipeline_of_batches(clk_per_point, mode):
    rate = NfpRate(encoding_clk_per_point=clk_per_point, mlp_clk_per_point=0.001, latency=500, table_bytes=1)
    batch_points = 1 << 16  # 31.6 batches; 32 are whole loop bodies
    row = frame_row(
        BASELINE,
        app="gia",
        encoding="hashgrid",
        resolution="fhd",
        n_nfp=4,
        mode=mode,
        rate=rate,
        batch_points=batch_points,
    )
    batches = -(-1920 * 1080 // batch_points)
    points = -(-1920 * 1080 / batches // (4 * 256)) * 256
    rest = 2.12 * (1 - 0.7237) / (9.94 if mode == "ngpc_fused_rest" else 1)
    points_per_s, _ = memory_rate("rtx3090", point_traffic(FIELDS["gia_hash"]), batch_points)
    memory = -(-1920 * 1080 // batches) / points_per_s * 1e3
    stages = {"ngpc": (points * clk_per_point + 500) / 1e6, "rest": rest / batches, "launch": 2 * 4.5e-3}
    by_memory = memory > stages["ngpc"]
    stages["ngpc"] = max(stages["ngpc"], memory)
    assert isclose(row.frame_ms, by_hand(list(stages.values()), batches), rel_tol=1e-9)
    longest = max(stages, key=stages.get)
    assert row.limiter == ("memory" if longest == "ngpc" and by_memory else longest)
    assert row.source == ("cycle_model" if longest == "ngpc" else "calibrated")
    assert isclose(row.fps * row.frame_ms, 1e3) and isclose(row.speedup * row.frame_ms, 2.12)


@pytest.mark.parametrize(
    "stages",
    [(9.0, 100.0, 60.0), (9.0, 60.0, 100.0), (50.0, 20.0, 30.0), (40.0, 40.0, 40.0), (9.0, 100.0, 100.0)],
)
@pytest.mark.parametrize("batches", [1, 5, 8, 64])
def test_the_scheduler_unit_runs_a_frame_in_the_closed_forms_time(stages, batches):
    """A wake-up costs the unit 3 clocks, 3 ns: per batch at most one on the way of the longest stage."""
    launch, ngpc, rest = stages
    pipeline = FramePipeline(
        name="test", batches=batches, batch_points=1 << 18, launch_us=launch, ngpc_us=ngpc, rest_us=rest
    )
    timeline = pipeline.timeline()
    assert len(timeline.entries) == 3 * batches
    assert 0 <= timeline.makespan_us - pipeline.frame_us <= 0.004 * (batches + 8)


def test_a_published_frame_runs_on_the_scheduler_unit():
    pipeline = frame_pipeline(BASELINE, app="nsdf", encoding="hashgrid", resolution="fhd", **FUSED)
    timeline = pipeline.timeline()
    assert isclose(timeline.makespan_us, pipeline.frame_us, rel_tol=1e-3)
    assert timeline.unit_busy["ngpc"] > 0.98
    row = frame_row(BASELINE, app="nsdf", encoding="hashgrid", resolution="fhd", **FUSED)
    assert isclose(row.frame_ms, pipeline.frame_us / 1e3)


def test_every_limiter_can_limit():
    slow = NfpRate(encoding_clk_per_point=1.0, mlp_clk_per_point=300.0, latency=0, table_bytes=1)
    fast = replace(slow, mlp_clk_per_point=0.1)
    case = {"app": "nvr", "encoding": "hashgrid", "resolution": "fhd"}
    assert frame_row(BASELINE, **case, **FUSED, rate=slow).limiter == "ngpc"
    assert frame_row(BASELINE, **case, n_nfp=64, mode="ngpc", rate=fast).limiter == "rest"
    assert frame_row(BASELINE, **case, **FUSED, rate=fast, batch_points=256).limiter == "launch"


def test_speedups_stay_below_amdahl_and_grow_with_the_cluster(table):
    assert len(table) == 4 * 3 * 5 * (2 + 4 * 2)
    for row in table:
        share = BASELINE.kernel_share[row.encoding].value
        rest = 1 - share
        caps = {"gpu_only": 1.0, "gpu_fused_rest": 1 / (share + rest / 9.94), "ngpc": 1 / rest}
        cap = caps.get(row.mode, 9.94 / rest)
        assert 0 < row.speedup <= cap * (1 + 1e-12), row
    cases = {(r.app, r.encoding, r.resolution, r.mode) for r in table if r.n_nfp}
    for case in cases:
        mine = [r.speedup for r in table if r.n_nfp and (r.app, r.encoding, r.resolution, r.mode) == case]
        assert mine == sorted(mine), case


def test_the_mlp_engine_sets_the_pace(table):
    """64 x 64 processing elements take a layer a clock: five for NeRF's two networks, three for the others."""
    for row in table:
        if row.n_nfp:
            layers = 5 if row.app == "nerf" else 3
            assert layers <= row.clk_per_point < layers + 0.1, row


def test_tables_are_compared_with_the_mebibyte_of_the_study(table):
    rows = {(r.app, r.encoding): r for r in table if r.n_nfp}
    assert all(rows[app, "hashgrid"].fits_1mib for app in APPS)
    assert rows["nerf", "hashgrid"].table_kib == 1024.0
    assert not rows["nerf", "densegrid"].fits_1mib and rows["nerf", "densegrid"].table_kib > 10_000


def test_averages_stand_beside_the_published_ones(table):
    averages = average_speedups(table)
    assert len(averages) == 3 * 5 * 4
    found = next(a for a in averages if (a.encoding, a.resolution, a.n_nfp) == ("hashgrid", "fhd", 64))
    mine = [
        r.speedup for r in table
        if (r.encoding, r.resolution, r.n_nfp, r.mode) == ("hashgrid", "fhd", 64, "ngpc_fused_rest")
    ]  # fmt: skip
    assert isclose(found.speedup, sum(mine) / 4) and (found.published_speedup, found.published_mark) == (
        39.04,
        "R-high",
    )
    assert average_speedups([row for row in table if row.app != "gia"]) == []
    # the four applications, not any four rows
    assert average_speedups([row for row in table if row.app == "nerf"] * 4) == []
    assert average_speedups([*table, *table]) == averages


def test_the_gpu_alone_with_its_rest_fused_is_what_the_cluster_itself_gains_over(table):
    """The fused rest needs no cluster: without one it takes NeRF's frame from 231 to 173.6 ms."""
    rows = {row.mode: row for row in table if (row.app, row.encoding, row.resolution) == ("nerf", "hashgrid", "fhd")}
    fused = rows["gpu_fused_rest"]
    assert fused.frame_ms == pytest.approx(231 * (0.7237 + (1 - 0.7237) / 9.94))
    assert (fused.source, fused.limiter, fused.n_nfp) == ("calibrated", "gpu", 0)
    assert fused.speedup == pytest.approx(231 / fused.frame_ms)


def test_the_documented_speedups_are_current(table):
    text = (Path(__file__).resolve().parents[2] / "docs" / "frames.md").read_text(encoding="utf-8")
    found = [a for a in average_speedups(table) if (a.encoding, a.resolution) == ("hashgrid", "fhd")]
    assert f"| ours | {' | '.join(f'{a.speedup:.1f}' for a in found)} |" in text


@pytest.mark.parametrize("name", ["nsdf_hash", "gia_hash"])
def test_the_rate_is_that_of_the_processors_own_model(name):
    field, points = FIELDS[name], 1024
    nfp = nfp_for(field)
    rate = nfp_rate(field, nfp)
    shape = (points, field.grid.n_pos_dims)
    run = nfp_cycles(field, nfp, np.random.default_rng(1).integers(0, 1 << 23, size=shape, endpoint=True))
    assert abs(run.cycles - points * rate.clk_per_point - rate.latency) <= 4


def test_assumptions_are_sentences():
    found = assumptions()
    assert len(found) >= 8
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in found)
    assert any("nerf 47.4, nsdf 8.9, gia 1.0, nvr 2.2" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"apps": ["mesh"]}, "app must be one of nerf, nsdf, gia, nvr, not 'mesh'"),
        ({"encodings": ["hash"]}, "encoding must be one of hashgrid, densegrid, lowres, not 'hash'"),
        ({"resolutions": ["16k"]}, f"resolution must be one of {', '.join(RESOLUTIONS)}, not '16k'"),
        ({"n_nfps": [0]}, "n_nfp must be an integer from 1 to 64, not 0"),
        ({"gpu": "rtx9090"}, "gpu preset must be one of h200, orin, rtx3090, not 'rtx9090'"),
        ({"sm_memory_share": 1.5}, "sm_memory_share must be a number from 0 to 1, not 1.5"),
        ({"sm_memory_share": float("nan")}, "sm_memory_share must be a number from 0 to 1, not nan"),
        ({"tables": "x"}, "tables must be one of sized, reload, refuse, not 'x'"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(InputError) as refused:
        frame_table(**options)
    assert str(refused.value) == sentence


def test_a_broken_pipeline_is_refused():
    with pytest.raises(InputError) as refused:
        FramePipeline(name="x", batches=9, batch_points=1, launch_us=1.0, ngpc_us=1.0, rest_us=1.0)
    assert str(refused.value) == "batches must be at most 8 or a multiple of 8, not 9"
    with pytest.raises(InputError) as refused:
        FramePipeline(name="x", batches=8, batch_points=1, launch_us=1.0, ngpc_us=0.0, rest_us=1.0)
    assert str(refused.value) == "time of stage ngpc must be a number above 0, not 0.0"
    with pytest.raises(InputError) as refused:
        frame_pipeline(BASELINE, app="gia", encoding="hashgrid", resolution="fhd", n_nfp=8, mode="gpu_only")
    assert str(refused.value) == "mode must be one of ngpc, ngpc_fused_rest, not 'gpu_only'"


def test_a_bad_mode_and_a_bad_mark_are_refused():
    with pytest.raises(InputError) as refused:
        frame_row(BASELINE, app="gia", encoding="lowres", resolution="fhd", n_nfp=8, mode="fast")
    assert str(refused.value) == "mode must be one of gpu_only, gpu_fused_rest, ngpc, ngpc_fused_rest, not 'fast'"
    with pytest.raises(InputError) as refused:
        Figure(value=1.0, mark="B")
    assert str(refused.value) == "mark of a figure must be one of A, M, S, R-high, R-mid, R-low, D, not 'B'"
