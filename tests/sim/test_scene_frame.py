"""Frames of scenes: rounds, batches on the scheduler unit, and what comes out."""

from time import process_time

import numpy as np
import pytest

from arch.errors import InputError
from arch.program import NanoOperation, Predecessor, Program
from arch.scheduler import SchedulerConfig
from sim.engine.scheduler import simulate
from sim.machine.frame import RESOLUTIONS, frame_row
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.scene_frame import (
    STAGES,
    Batch,
    Round,
    batches_of,
    rounds_of,
    run_batches,
    scene_points,
    scene_row,
    scene_table,
)
from sim.machine.scene_march import RayPoints

BASELINE = FrameBaseline.named("rtx3090")


def test_rounds_are_those_of_rays_followed_one_by_one(seed):
    rng = np.random.default_rng(seed)
    needed = rng.integers(0, 60, (20, 30), dtype=np.int32) * rng.integers(0, 2, (20, 30), dtype=np.int32)
    available = needed + rng.integers(0, 8, needed.shape, dtype=np.int32) * (needed > 0)
    rounds = rounds_of(RayPoints(width=30, height=20, needed=needed, available=available))
    done, expected = np.zeros_like(needed), []
    while (alive := needed > done).any():
        steps = min(max(needed.size // alive.sum(), 1), 8)
        given = np.minimum(steps, available - done) * alive
        expected.append(Round(rays=int(alive.sum()), points=int(given.sum())))
        done += steps * alive
    assert rounds == tuple(expected)
    assert needed.sum() <= sum(entry.points for entry in rounds) <= available.sum()


def test_no_points_make_no_rounds():
    nothing = np.zeros((2, 2), dtype=np.int32)
    assert rounds_of(RayPoints(width=2, height=2, needed=nothing, available=nothing)) == ()


@pytest.mark.parametrize("spread", ["ngpc", "sm", "mixed"])
def test_batches_run_as_on_the_scheduler_unit(spread, seed):
    """One round of 48 batches of different sizes, and the unit's model running the same: 3 clocks a wake-up."""
    rng = np.random.default_rng(seed)
    scale = {"ngpc": (9, 20, 200, 20), "sm": (9, 80, 60, 90), "mixed": (50, 40, 90, 45)}[spread]
    lengths = np.rint(rng.uniform(0.5, 1.5, (48, 4)) * scale)
    run = run_batches([Batch(points=1, stage_us=tuple(map(float, row))) for row in lengths])
    units = ("host", "sm", "ngpc", "sm")
    program = Program(
        name="scene", units=("host", "sm", "ngpc"), chunk_rows=1, n_chunks=8, count=6,
        nano_operations=tuple(
            NanoOperation(
                name=f"{stage}{chunk}", operation=stage, unit=unit, chunks=1 << chunk, duration_us=1.0,
                predecessors=(Predecessor(operation=STAGES[number - 1]),) if number else (),
            )
            for chunk in range(8)
            for number, (stage, unit) in enumerate(zip(STAGES, units, strict=True))
        ),
    )  # fmt: skip
    config = SchedulerConfig(n_descriptors=32, n_operations=8, n_units=4, n_chunks=8)
    timeline = simulate(
        program, config, durations_clk=lambda index, layer: int(lengths[8 * layer + index // 4, index % 4]) * 1000
    )
    unit_us = timeline.makespan_clk / 1e3
    print(f"{spread}: {run.frame_us:.1f} us here, {unit_us:.1f} us on the unit")
    assert unit_us == pytest.approx(run.frame_us, rel=0.03)


def test_a_batch_waits_for_the_round_before_it():
    batches = [Batch(points=1, stage_us=(1, 2, 10, 3)), Batch(points=1, stage_us=(1, 2, 10, 3), after=0)]
    run = run_batches(batches)
    assert run.end_us == ((1, 3, 13, 16), (2, 18, 28, 31))
    assert run.frame_us == 31
    assert run.busy == {"host": 2 / 31, "sm": 10 / 31, "ngpc": 20 / 31}
    free = run_batches([Batch(points=1, stage_us=(1, 2, 10, 3)) for _ in range(2)])
    assert free.frame_us == 26  # 3 until the cluster starts, two batches there, and the last compositing


def test_rounds_are_cut_evenly_and_wait_for_the_rays_before_them():
    rounds = (Round(rays=50, points=101), Round(rays=30, points=60), Round(rays=9, points=18))
    batches = batches_of(rounds, 25, lambda size: (1.0, size, 2.0, size))
    assert [batch.points for batch in batches] == [20, 20, 20, 20, 21, 20, 20, 20, 18]
    # five batches, then three that need the first two, four and all of them, then one that needs all three
    assert [batch.after for batch in batches] == [-1] * 5 + [1, 3, 4] + [7]
    assert [batch.stage_us for batch in batches] == [(1.0, batch.points, 2.0, batch.points) for batch in batches]


def test_only_16_batches_are_in_flight():
    slow_end = [Batch(points=1, stage_us=(1.0, 1.0, 1.0, 100.0)) for _ in range(20)]
    ends = run_batches(slow_end).end_us
    # batch 16 is launched when batch 0 has ended, not before
    assert ends[15][0] < ends[0][3] <= ends[16][0] - 1.0
    with pytest.raises(InputError, match=r"^after must be an integer from -1 to -1, not 0$"):
        run_batches([Batch(points=1, stage_us=(1, 1, 1, 1), after=0)])


def test_a_4k_nerf_scene_takes_less_than_30_seconds():
    begun = process_time()
    points = scene_points("nerf", "4k")
    rows = scene_table(apps=["nerf"], encodings=["hashgrid"], resolutions=["4k"], n_nfps=[8, 64])
    assert process_time() - begun < 30
    assert points.needed <= points.points <= 1.2 * points.needed
    assert {row.points for row in rows} == {points.points}
    assert [row.n_nfp for row in rows] == [0, 0, 8, 8, 64, 64]
    assert all(row.rounds == len(points.rounds) > 8 for row in rows)
    assert all(row.points_source == "scene" for row in rows)


def test_points_grow_with_the_pixels():
    """Four times the pixels of the same view: four times the points, within the grid's grain."""
    small, large = scene_points("nsdf", "fhd"), scene_points("nsdf", "4k")
    assert large.pixels == 4 * small.pixels
    assert large.points == pytest.approx(4 * small.points, rel=0.01)


def test_gia_is_one_point_a_pixel_and_as_fast_as_in_paper_mode():
    """Same points, one round: only the split of the rest into two and its launches differ."""
    case = {"app": "gia", "encoding": "hashgrid", "resolution": "fhd"}
    alone, scene = scene_row(BASELINE, **case), scene_row(BASELINE, **case, n_nfp=16, mode="ngpc_fused_rest")
    paper = frame_row(BASELINE, **case, n_nfp=16, mode="ngpc_fused_rest")
    assert alone.frame_ms == pytest.approx(2.12)
    assert scene.points == paper.points == np.prod(RESOLUTIONS["fhd"])
    assert scene.frame_ms == pytest.approx(paper.frame_ms, rel=0.1)
    assert scene.limiter == paper.limiter == "ngpc"


@pytest.mark.parametrize("app", ["nerf", "nsdf", "nvr"])
def test_a_scene_is_bound_by_the_cluster_or_by_the_rest(app):
    points = scene_points(app, "fhd").points
    rows = {
        (n_nfp, mode): scene_row(BASELINE, app=app, encoding="hashgrid", resolution="fhd", n_nfp=n_nfp, mode=mode)
        for n_nfp in (1, 64)
        for mode in ("ngpc", "ngpc_fused_rest")
    }
    small, large = rows[1, "ngpc_fused_rest"], rows[64, "ngpc"]
    assert small.limiter == "ngpc"
    bound = points * small.clk_per_point / 1e6
    assert bound <= small.frame_ms <= 1.02 * bound
    assert large.limiter == "rest"
    rest = points * BASELINE.rest_ms(app, 1) / BASELINE.points_per_pixel(app)
    assert rest <= large.frame_ms <= 1.1 * rest
    assert large.speedup <= 1 / (1 - 0.7237)
    assert small.field_energy_mj == pytest.approx(large.field_energy_mj)


def test_wrong_scene_cases_are_refused():
    with pytest.raises(InputError, match=r"^resolution must be one of fhd, 2k, 4k, 5k, 8k, not '6k'$"):
        scene_table(apps=["nerf"], encodings=["hashgrid"], resolutions=["6k"], n_nfps=[8])
    with pytest.raises(InputError, match=r"^app must be one of nerf, nsdf, gia, nvr, not 'vr'$"):
        scene_table(apps=["vr"], encodings=["hashgrid"], resolutions=["4k"], n_nfps=[8])
    with pytest.raises(InputError, match=r"^n_nfp must be an integer from 1 to 64, not 65$"):
        scene_table(apps=["nerf"], encodings=["hashgrid"], resolutions=["4k"], n_nfps=[65])
    with pytest.raises(InputError, match="table of a level engine must be at most 1024 KiB"):
        scene_row(BASELINE, app="nsdf", encoding="lowres", resolution="fhd", n_nfp=8, mode="ngpc", tables="refuse")
