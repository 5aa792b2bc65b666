"""Frames whose points come from rays marched through a trained field, round by round as a renderer does it.

A round gives every ray that is still alive a few points, the cluster computes them, and compositing finds out which
rays are alive after that. A round's points are cut into batches; a batch of the next round waits for those rays' batch
of the round before. Per batch: the host's launches, March on the SMs, the cluster, Composite on the SMs.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np

from arch.errors import check_integer, check_one_of
from arch.scene import SCENE_APPS, load_scene
from sim.machine.cluster_batch import CLOCK_HZ, cluster_clk, field_of, reload_of
from sim.machine.frame import BATCH_POINTS, RESOLUTIONS, check_case, check_share
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.frame_columns import CLUSTER_MODES, GPU_MODES, MODES, FrameRow, cluster_columns, gpu_columns
from sim.machine.frame_traffic import memory_rate, point_traffic
from sim.machine.scene_march import MOST_STEPS_A_ROUND, RayPoints, march

__all__ = [
    "IN_FLIGHT",
    "Batch",
    "Round",
    "ScenePoints",
    "SceneRun",
    "rounds_of",
    "run_batches",
    "scene_points",
    "scene_row",
    "scene_table",
]  # fmt: skip

STAGES = ("launch", "march", "ngpc", "composite")
"""Of a batch, in order; march and composite share the SMs."""

IN_FLIGHT = 16
"""Batches between their launch and the end of their compositing: two loop bodies of eight in the scheduler unit."""

_LAUNCHES = {"ngpc": 3, "ngpc_fused_rest": 2}
"""Of a batch: a command for the cluster and two kernels, or one that composites this batch and marches another."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round.

    Parameters
    ----------
    rays : alive at its start
    points : the field is asked for
    """

    rays: int
    points: int


@dataclass(frozen=True, kw_only=True)
class ScenePoints:
    """Points of one frame.

    Parameters
    ----------
    pixels : of the picture
    needed : points up to the end of each ray, summed
    rounds : what is computed, ``sum(round.points) >= needed``: a ray's last round may hand out points behind its end
    """

    pixels: int
    needed: int
    rounds: tuple[Round, ...]

    @property
    def points(self) -> int:
        """Points computed."""
        return sum(entry.points for entry in self.rounds)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch.

    Parameters
    ----------
    points : of it
    stage_us : time in each of ``STAGES``
    after : number of the batch whose Composite must be done before this one's March; -1 for none
    """

    points: int
    stage_us: tuple[float, float, float, float]
    after: int = -1


@dataclass(frozen=True, kw_only=True)
class SceneRun:
    """When the batches ran.

    Parameters
    ----------
    frame_us : end of the last
    busy : part of the frame each unit works: ``host``, ``sm``, ``ngpc``
    end_us : per batch, the end of each of its stages
    """

    frame_us: float
    busy: dict[str, float]
    end_us: tuple[tuple[float, ...], ...]


def scene_assumptions() -> list[str]:
    """What scene frames rest on besides the frame table's assumptions; docs/frames.md gives the reasons."""
    text = f"""
        Rays are marched through the trained fields' grids of 128^3 cells, from one camera; the field is not evaluated.
        nerf and nvr march 1024ths of the cube's diagonal and end at 1 % of the light; nsdf traces spheres.
        Points are handed out 1 to {MOST_STEPS_A_ROUND} a ray and round; those behind a ray's end are computed in vain.
        Tables and networks are the study's; the scenes' own tables are smaller and would not change the clocks.
        A point costs the GPU, in the field and around it, what it costs in paper mode (D); half of the rest marches.
        Rays that live on are spread evenly over the picture; at most {IN_FLIGHT} batches are in flight.
    """
    return [" ".join(line.split()) for line in text.strip().splitlines()]


def rounds_of(rays: RayPoints) -> tuple[Round, ...]:
    """Hand out points as instant-ngp does: as many a ray as there are pixels for each ray alive, 1 to 8 of them."""
    behind = rays.available - rays.needed
    width = MOST_STEPS_A_ROUND
    counts = np.bincount((rays.needed * width + behind).ravel()).astype(np.int64)
    counts = np.pad(counts, (0, -len(counts) % width)).reshape(-1, width)
    needed = np.arange(len(counts))[:, None]
    available = needed + np.arange(width)
    pixels = rays.width * rays.height
    rounds, done = [], 0
    while True:
        alive = np.where(needed > done, counts, 0)
        n_alive = int(alive.sum())
        if n_alive == 0:
            return tuple(rounds)
        steps = min(max(pixels // n_alive, 1), MOST_STEPS_A_ROUND)
        rounds.append(Round(rays=n_alive, points=int((alive * np.minimum(available - done, steps)).sum())))
        done += steps


@cache
def scene_points(app: str, resolution: str) -> ScenePoints:
    """March the scene of ``app``; gia has one point a pixel and no rays."""
    check_one_of("resolution", resolution, tuple(RESOLUTIONS))
    width, height = RESOLUTIONS[resolution]
    pixels = width * height
    if app not in SCENE_APPS:
        return ScenePoints(pixels=pixels, needed=pixels, rounds=(Round(rays=pixels, points=pixels),))
    rays = march(load_scene(app), width, height)
    return ScenePoints(pixels=pixels, needed=int(rays.needed.sum(dtype=np.int64)), rounds=rounds_of(rays))


def run_batches(batches: Sequence[Batch]) -> SceneRun:
    """Run batches on host, SMs and cluster; each unit takes the oldest batch that is ready for it.

    At most ``IN_FLIGHT`` batches are begun and not ended. The scheduler unit does the same with programs that it can
    hold (``tests/sim/test_scene_frame.py``), but for its wake-up of 3 clocks.
    """
    units = ("host", "sm", "ngpc", "sm")
    free = dict.fromkeys(units, True)
    ready: dict[str, list[tuple[int, int]]] = {unit: [] for unit in units}
    busy = dict.fromkeys(units, 0.0)
    ends = [[0.0] * len(STAGES) for _ in batches]
    waiting: dict[int, list[int]] = {}
    for number, batch in enumerate(batches):
        check_integer("after", batch.after, -1, number - 1)
        waiting.setdefault(batch.after, []).append(number)
    held = {number: 1 + (batch.after >= 0) for number, batch in enumerate(batches)}  # what March waits for
    events: list[tuple[float, int, int]] = []
    launched = finished = 0
    now = 0.0

    def offer(number: int, stage: int) -> None:
        heapq.heappush(ready[units[stage]], (number, stage))

    while finished < len(batches):
        while launched < len(batches) and launched - finished < IN_FLIGHT:
            offer(launched, 0)
            launched += 1
        for unit in free:
            if free[unit] and ready[unit]:
                number, stage = heapq.heappop(ready[unit])
                free[unit] = False
                length = batches[number].stage_us[stage]
                busy[unit] += length
                heapq.heappush(events, (now + length, number, stage))
        now, number, stage = heapq.heappop(events)
        free[units[stage]] = True
        ends[number][stage] = now
        if stage == len(STAGES) - 1:
            finished += 1
            freed = waiting.get(number, [])
        else:
            freed = [number] if stage == 0 else []
            if stage > 0:
                offer(number, stage + 1)
        for other in freed:
            held[other] -= 1
            if held[other] == 0:
                offer(other, 1)
    return SceneRun(
        frame_us=now,
        busy={unit: time / now if now else 0.0 for unit, time in busy.items()},
        end_us=tuple(map(tuple, ends)),
    )


def scene_row(
    baseline: FrameBaseline, *, app: str, encoding: str, resolution: str, n_nfp: int = 0, mode: str = "gpu_only",
    tables: str = "sized", batch_points: int = BATCH_POINTS, sm_memory_share: float = 0.0,
) -> FrameRow:  # fmt: skip
    """Time one frame of the scene of ``app``.

    The GPU's cost of a point, in the field and around it, is that of :class:`FrameBaseline`; only the number of points
    is the scene's.

    Raises
    ------
    InputError
        As :func:`sim.machine.frame.frame_row`.
    """
    check_case(app, encoding)
    check_one_of("mode", mode, MODES)
    scene = scene_points(app, resolution)
    points, per_pixel = scene.points, baseline.points_per_pixel(app)
    kernel_us = baseline.kernel_ms(app, encoding, 1) / per_pixel * 1e3
    rest_us = baseline.rest_ms(app, 1) / per_pixel * 1e3
    case = {
        "app": app, "encoding": encoding, "resolution": resolution, "n_nfp": n_nfp, "gpu": baseline.gpu, "mode": mode,
        "baseline_mark": "D", "points": points, "points_source": "scene" if app in SCENE_APPS else "definition",
        "points_needed": scene.needed, "rounds": len(scene.rounds),
    }  # fmt: skip
    kernel_ms, rest_ms = points * kernel_us / 1e3, points * rest_us / 1e3
    if mode in GPU_MODES:
        columns = gpu_columns(baseline, app, encoding, mode, points=points, rest_ms=rest_ms, kernel_ms=kernel_ms)
        return FrameRow(**case, **columns, source="calibrated")
    check_share(sm_memory_share)
    parts = reload_of(app, encoding, tables).parts
    fed_per_s, _ = memory_rate(baseline.gpu, point_traffic(field_of(app, encoding), passes=parts), batch_points)
    sm_us = rest_us / (baseline.fused_rest_speedup.value if mode == "ngpc_fused_rest" else 1.0)
    launch_us = _LAUNCHES[mode] * baseline.launch_us.value

    def stages(batch: int) -> tuple[float, float, float, float]:
        clocks = cluster_clk(app, encoding, n_nfp, batch, tables=tables)
        served_us = batch * (1e6 / fed_per_s + sm_us * sm_memory_share)
        ngpc_us = max(clocks / CLOCK_HZ * 1e6, served_us)
        return launch_us, batch * sm_us / 2, ngpc_us, batch * sm_us / 2

    batches = batches_of(scene.rounds, batch_points, stages)
    run = run_batches(batches)
    limiter = max(run.busy, key=run.busy.__getitem__)
    limiter = {"host": "launch", "sm": "rest", "ngpc": "ngpc"}[limiter]
    by_clocks_us = cluster_clk(app, encoding, n_nfp, batch_points, tables=tables) / CLOCK_HZ * 1e6
    if limiter == "ngpc" and stages(batch_points)[STAGES.index("ngpc")] > by_clocks_us:
        limiter = "memory"
    return FrameRow(
        **case,
        **cluster_columns(
            baseline, app, encoding, n_nfp, points=points, frame_us=run.frame_us, limiter=limiter,
            batch_points=batch_points, gpu_ms=kernel_ms + rest_ms, tables=tables,
        ),
    )  # fmt: skip


def scene_table(
    *,
    apps: Sequence[str],
    encodings: Sequence[str],
    resolutions: Sequence[str],
    n_nfps: Sequence[int],
    gpu: str = "rtx3090",
    tables: str = "sized",
    sm_memory_share: float = 0.0,
    update: Callable[[int, int], None] = lambda done, total: None,
) -> list[FrameRow]:
    """As :func:`sim.machine.frame.frame_table`, with points of the scenes."""
    baseline = FrameBaseline.named(gpu)
    cases = [(app, encoding, resolution) for encoding in encodings for app in apps for resolution in resolutions]
    for app, encoding, resolution in cases:
        check_case(app, encoding)
        check_one_of("resolution", resolution, tuple(RESOLUTIONS))
    for n_nfp in n_nfps:
        check_integer("n_nfp", n_nfp, 1, 64)
    rows = []
    for number, (app, encoding, resolution) in enumerate(cases, 1):
        case = {"app": app, "encoding": encoding, "resolution": resolution}
        rows += [scene_row(baseline, **case, mode=mode) for mode in GPU_MODES]
        rows += [
            scene_row(baseline, **case, n_nfp=n_nfp, mode=mode, tables=tables, sm_memory_share=sm_memory_share)
            for n_nfp in n_nfps
            for mode in CLUSTER_MODES
        ]
        update(number, len(cases))
    return rows


def batches_of(
    rounds: Sequence[Round], batch_points: int, stages: Callable[[int], tuple[float, float, float, float]]
) -> list[Batch]:
    """Cut rounds into batches of even sizes up to ``batch_points``; ``stages`` gives the times of one of a size.

    Rays that live on are taken to be spread evenly over the picture: a batch waits for the one of the round before that
    has the last of its rays.
    """
    batches: list[Batch] = []
    first_before = count_before = 0
    for number, entry in enumerate(rounds):
        count = ceil(entry.points / batch_points)
        sizes = [entry.points * (k + 1) // count - entry.points * k // count for k in range(count)]
        lengths = {size: stages(size) for size in set(sizes)}
        first = len(batches)
        for k, size in enumerate(sizes):
            after = -1 if number == 0 else first_before + ceil((k + 1) * count_before / count) - 1
            batches.append(Batch(points=size, stage_us=lengths[size], after=after))
        first_before, count_before = first, count
    return batches
