"""Frame timing: a GPU frame, with its encoding and MLP kernels moved to an NGPC.

A frame is cut into batches of points. The GPU's remaining kernels (ray generation, marching, compositing) and the
cluster work as a pipeline: while the SMs finish batch N, the cluster encodes and infers batch N + 1. With per-batch
times of the two and of the host's launches, a frame takes

    sum of the three for the first batch + (batches - 1) * the longest of the three

(:class:`sim.machine.frame_pipeline.FramePipeline`, which also runs it on the scheduler unit's cycle model).

The cluster's time comes from the cycle models; the rest from published figures, each with its mark. What is not
published is derived, and every derivation is listed by :func:`assumptions` and explained in ``docs/frames.md``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from arch.errors import InputError, check_integer, check_one_of
from arch.field import APPS
from sim.machine.cluster_batch import CLOCK_HZ, ENCODINGS, cluster_clk, field_of, preset_rate, reload_of
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.frame_columns import CLUSTER_MODES, GPU_MODES, MODES, FrameRow, cluster_columns, gpu_columns
from sim.machine.frame_pipeline import FramePipeline
from sim.machine.frame_traffic import memory_rate, point_traffic
from sim.machine.nfp_rate import NfpRate

__all__ = [
    "BATCH_POINTS", "RESOLUTIONS", "AverageSpeedup", "assumptions", "average_speedups", "check_case", "check_share",
    "frame_pipeline", "frame_row", "frame_table",
]  # fmt: skip

RESOLUTIONS: Mapping[str, tuple[int, int]] = {
    "fhd": (1920, 1080), "2k": (2560, 1440), "4k": (3840, 2160), "5k": (5120, 2880), "8k": (7680, 4320),
}  # fmt: skip

BATCH_POINTS = 1 << 18
"""Points of a batch: the study does not say; large enough that a launch never outlasts an NGPC-64's batch."""

_LAUNCHES_PER_BATCH = 2
"""One NGPC command and one kernel for the rest."""


@dataclass(frozen=True, kw_only=True)
class AverageSpeedup:
    """Mean speed-up of the four apps beside the published one."""

    encoding: str
    resolution: str
    n_nfp: int
    gpu: str
    mode: str
    speedup: float
    published_speedup: float
    published_mark: str


def frame_table(
    *,
    apps: Sequence[str] = APPS,
    encodings: Sequence[str] = tuple(ENCODINGS),
    resolutions: Sequence[str] = tuple(RESOLUTIONS),
    n_nfps: Sequence[int] = (8, 16, 32, 64),
    gpu: str = "rtx3090",
    tables: str = "sized",
    sm_memory_share: float = 0.0,
    update: Callable[[int, int], None] = lambda done, total: None,
) -> list[FrameRow]:
    """Every combination: first the GPU alone, then each cluster size, both with the rest as it is and fused.

    ``sm_memory_share`` is that of :func:`frame_pipeline`.

    Raises
    ------
    InputError
        If a name is unknown, a cluster size outside 1 .. 64 or the share outside 0 .. 1.
    """
    baseline = FrameBaseline.named(gpu)
    cases = [(app, encoding) for encoding in encodings for app in apps]
    for app, encoding in cases:
        check_case(app, encoding)
    for resolution in resolutions:
        check_one_of("resolution", resolution, tuple(RESOLUTIONS))
    for n_nfp in n_nfps:
        check_integer("n_nfp", n_nfp, 1, 64)
    rows = []
    for number, (app, encoding) in enumerate(cases, 1):
        for resolution in resolutions:
            case = {"app": app, "encoding": encoding, "resolution": resolution}
            rows += [frame_row(baseline, **case, mode=mode) for mode in GPU_MODES]
            rows += [
                frame_row(
                    baseline, **case, n_nfp=n_nfp, mode=mode, tables=tables, sm_memory_share=sm_memory_share
                )
                for n_nfp in n_nfps
                for mode in CLUSTER_MODES
            ]  # fmt: skip
        update(number, len(cases))
    return rows


def frame_row(
    baseline: FrameBaseline,
    *,
    app: str,
    encoding: str,
    resolution: str,
    n_nfp: int = 0,
    mode: str = "gpu_only",
    batch_points: int = BATCH_POINTS,
    rate: NfpRate | None = None,
    tables: str = "sized",
    sm_memory_share: float = 0.0,
) -> FrameRow:
    """Time one frame.

    ``rate`` is the processor's speed on the field, by default that of the cycle models.

    Raises
    ------
    InputError
        If a name is unknown, or tables do not fit and are to be refused.
    """
    check_case(app, encoding)
    check_one_of("resolution", resolution, tuple(RESOLUTIONS))
    width, height = RESOLUTIONS[resolution]
    check_one_of("mode", mode, MODES)
    pixels = width * height
    points = round(baseline.points_per_pixel(app) * pixels)
    case = {
        "app": app, "encoding": encoding, "resolution": resolution, "n_nfp": n_nfp, "gpu": baseline.gpu, "mode": mode,
        "baseline_mark": baseline.frame_mark(app, encoding, pixels), "points": points,
        "points_source": "definition" if app == "gia" else "calibrated",
    }  # fmt: skip
    rest_ms, kernel_ms = baseline.rest_ms(app, pixels), baseline.kernel_ms(app, encoding, pixels)
    if mode in GPU_MODES:
        published = mode == "gpu_only" and baseline.is_published(encoding, pixels)
        return FrameRow(
            **case,
            **gpu_columns(baseline, app, encoding, mode, points=points, rest_ms=rest_ms, kernel_ms=kernel_ms),
            source="published" if published else "calibrated",
        )
    pipeline = frame_pipeline(
        baseline, app=app, encoding=encoding, resolution=resolution, n_nfp=n_nfp, mode=mode, batch_points=batch_points,
        rate=rate, tables=tables, sm_memory_share=sm_memory_share,
    )  # fmt: skip
    return FrameRow(
        **case,
        **cluster_columns(
            baseline, app, encoding, n_nfp, points=points, frame_us=pipeline.frame_us, limiter=pipeline.limiter,
            batch_points=pipeline.batch_points, gpu_ms=rest_ms + kernel_ms, rate=rate, tables=tables,
        ),
    )  # fmt: skip


def frame_pipeline(
    baseline: FrameBaseline,
    *,
    app: str,
    encoding: str,
    resolution: str,
    n_nfp: int,
    mode: str,
    batch_points: int = BATCH_POINTS,
    rate: NfpRate | None = None,
    tables: str = "sized",
    sm_memory_share: float = 0.0,
) -> FramePipeline:
    """The pipeline of batches a frame is: how many, and how long each stage takes for one.

    The points are dealt out evenly over as few batches as ``batch_points`` allows, but whole loop bodies of them.
    The kernels around the field move more than points and results; ``sm_memory_share`` is the part of their time, 0 to
    1, for which that keeps the memory from the cluster. Nobody has published it.
    """
    check_case(app, encoding)
    check_one_of("resolution", resolution, tuple(RESOLUTIONS))
    check_one_of("mode", mode, CLUSTER_MODES)
    rate = rate or preset_rate(app, encoding)
    width, height = RESOLUTIONS[resolution]
    points = round(baseline.points_per_pixel(app) * width * height)
    batches = FramePipeline.whole_bodies(ceil(points / batch_points))
    batch_clk = cluster_clk(app, encoding, n_nfp, ceil(points / batches), rate=rate, tables=tables)
    parts = reload_of(app, encoding, tables, rate=rate).parts
    traffic = point_traffic(field_of(app, encoding), passes=parts)
    points_per_s, _ = memory_rate(baseline.gpu, traffic, ceil(points / batches))
    check_share(sm_memory_share)
    rest_ms = baseline.rest_ms(app, width * height)
    if mode == "ngpc_fused_rest":
        rest_ms /= baseline.fused_rest_speedup.value
    return FramePipeline(
        name=f"{app} {encoding} {resolution}, NGPC-{n_nfp}, {mode}",
        batches=batches,
        batch_points=ceil(points / batches),
        launch_us=_LAUNCHES_PER_BATCH * baseline.launch_us.value,
        ngpc_us=batch_clk / CLOCK_HZ * 1e6,
        rest_us=1e3 * rest_ms / batches,
        memory_us=ceil(points / batches) / points_per_s * 1e6,
        rest_memory_us=1e3 * rest_ms / batches * sm_memory_share,
    )


def average_speedups(rows: Sequence[FrameRow], gpu: str = "rtx3090") -> list[AverageSpeedup]:
    """Mean over the apps of the fused rows, for every case that has all four apps and a published average."""
    published = FrameBaseline.named(gpu).average_speedup
    groups: dict[tuple[str, str, int], dict[str, float]] = {}
    for row in rows:
        if row.mode == "ngpc_fused_rest" and row.gpu == gpu:
            groups.setdefault((row.encoding, row.resolution, row.n_nfp), {})[row.app] = row.speedup
    return [
        AverageSpeedup(
            encoding=encoding, resolution=resolution, n_nfp=n_nfp, gpu=gpu, mode="ngpc_fused_rest",
            speedup=sum(values.values()) / len(values), published_speedup=published[encoding][n_nfp].value,
            published_mark=published[encoding][n_nfp].mark,
        )
        for (encoding, resolution, n_nfp), values in groups.items()
        if len(values) == len(APPS) and n_nfp in published.get(encoding, {})
    ]  # fmt: skip


def assumptions(gpu: str = "rtx3090") -> list[str]:
    """What the frame table rests on, a sentence each; docs/frames.md gives the reasons."""
    baseline = FrameBaseline.named(gpu)
    density = ", ".join(f"{app} {baseline.points_per_pixel(app):.1f}" for app in APPS)
    launch = baseline.launch_us.value
    text = f"""
        GPU frame times are published for 1920x1080 and the hash grid; other resolutions scale with the pixels (D).
        The published kernel shares are averages of the four apps and are applied to each of them (A).
        The kernels around the field take the same time with every encoding, and its published share on top (D).
        Points a pixel: {density}; one for gia by definition, the others from frame times and costs a point (D, M).
        The fused rest is {baseline.fused_rest_speedup.value} times faster, as the abstract says without a method (A).
        A batch has up to {BATCH_POINTS} points and {_LAUNCHES_PER_BATCH} launches of {launch} us (R-mid).
        The cluster runs at 1 GHz, implied but never stated by the study.
        Tables of any size are in the cluster before the first frame, unless they are reloaded; fits_1mib compares with
            the study's 1 MiB.
        Points and results pass the memory model's L2 and DRAM; what else the kernels around the field move is not
            published and keeps the memory from the cluster for sm_memory_share of their time.
    """
    if baseline.rest_scale:
        text += f"{gpu}: the kernels around the field are the RTX 3090's times {baseline.rest_scale.value} (D).\n"
        if baseline.kernel_scale:
            text += f"{gpu}: so are the field's kernels, times {baseline.kernel_scale.value} (D).\n"
        else:
            text += f"{gpu}: the field's kernels are measured, in one fused kernel with points in image order (M).\n"
    return [" ".join(line.split()) for line in text.replace("\n            ", " ").strip().splitlines()]


def check_share(sm_memory_share: float) -> None:
    """Refuse anything but a part of the whole."""
    if not 0 <= sm_memory_share <= 1:
        raise InputError(f"sm_memory_share must be a number from 0 to 1, not {sm_memory_share}")


def check_case(app: str, encoding: str) -> None:
    """Refuse an unknown app or encoding."""
    check_one_of("app", app, APPS)
    check_one_of("encoding", encoding, tuple(ENCODINGS))
