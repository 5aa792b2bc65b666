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
from functools import cache
from math import ceil

from arch.errors import check_integer, check_one_of
from arch.field import APPS
from arch.memory_preset import load_memory
from arch.nfp import ClusterConfig
from sim.machine.cluster_batch import (
    ENCODINGS,
    NGPC_TABLE_BYTES,
    TABLES,
    cluster_clk,
    field_of,
    preset_nfp,
    preset_rate,
)  # fmt: skip
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.frame_pipeline import FramePipeline
from sim.machine.frame_traffic import memory_rate, point_traffic
from sim.machine.nfp_rate import NfpRate, table_words
from sim.machine.silicon import nfp_silicon

__all__ = [
    "BATCH_POINTS", "ENCODINGS", "MODES", "RESOLUTIONS", "TABLES", "AverageSpeedup", "FrameRow", "assumptions",
    "average_speedups", "check_case", "field_energy_mj", "frame_pipeline", "frame_row", "frame_table", "scene_load_ms",
]  # fmt: skip

RESOLUTIONS: Mapping[str, tuple[int, int]] = {
    "fhd": (1920, 1080), "2k": (2560, 1440), "4k": (3840, 2160), "5k": (5120, 2880), "8k": (7680, 4320),
}  # fmt: skip

MODES = ("gpu_only", "ngpc", "ngpc_fused_rest")

BATCH_POINTS = 1 << 18
"""Points of a batch: the study does not say; large enough that a launch never outlasts an NGPC-64's batch."""

_LAUNCHES_PER_BATCH = 2
"""One NGPC command and one kernel for the rest."""


@dataclass(frozen=True, kw_only=True)
class FrameRow:
    """One line of the frame table.

    Parameters
    ----------
    app, encoding, resolution, gpu, mode : the case
    n_nfp : neural fields processors; 0 for gpu_only
    frame_ms, fps : one frame; frames a second
    speedup : over the same frame on the GPU alone
    limiter : the longest stage of the pipeline: ``ngpc``, ``rest`` or ``launch``; ``memory`` if the cluster waits for
        points and results; ``gpu`` for gpu_only
    source : of the figure that decides the row: ``published`` as printed, ``calibrated`` if derived from published
        figures (also when the rest or the launches limit), ``cycle_model`` if the cluster limits
    baseline_mark : mark of the GPU frame time under it
    points : field queries of the frame
    points_source : ``definition`` (one a pixel), ``calibrated``, or ``scene`` if rays were marched
    clk_per_point : of one processor, from the cycle models; None for gpu_only
    table_kib : largest feature table a level engine needs; None for gpu_only
    fits_1mib : whether that is within NGPC's 1 MiB an engine; None for gpu_only
    tables : ``fit``, else what was done about it (``sized`` or ``reload``); None for gpu_only
    traffic_gbytes_per_s : points and results through the cluster's port, at this frame rate; None for gpu_only
    dram_share : of the memory's peak that they take, at this frame rate; None for gpu_only
    scene_load_ms : the tables' load, once a scene and not in the frame: a word a clock, all processors at once; None
        for gpu_only
    field_energy_mj : of encoding and networks: the GPU's board as measured, the cluster as modelled; None where not
        known
    points_needed, rounds : of a scene, points up to the end of each ray (the others are behind it) and rounds of
        points; None if no rays were marched
    """

    app: str
    encoding: str
    resolution: str
    n_nfp: int
    gpu: str
    mode: str
    frame_ms: float
    fps: float
    speedup: float
    limiter: str
    source: str
    baseline_mark: str
    points: int
    points_source: str
    clk_per_point: float | None = None
    table_kib: float | None = None
    fits_1mib: bool | None = None
    tables: str | None = None
    traffic_gbytes_per_s: float | None = None
    dram_share: float | None = None
    scene_load_ms: float | None = None
    field_energy_mj: float | None = None
    points_needed: int | None = None
    rounds: int | None = None


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
    update: Callable[[int, int], None] = lambda done, total: None,
) -> list[FrameRow]:
    """Every combination: first the GPU alone, then each cluster size with the rest as it is and fused.

    Raises
    ------
    InputError
        If a name is unknown or a cluster size outside 1 .. 64.
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
            rows.append(frame_row(baseline, **case))
            rows += [
                frame_row(baseline, **case, n_nfp=n_nfp, mode=mode, tables=tables)
                for n_nfp in n_nfps
                for mode in MODES
                if mode != "gpu_only"
            ]
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
    gpu_ms = baseline.frame_ms(app, encoding, pixels)
    points = round(baseline.points_per_pixel(app) * pixels)
    case = {
        "app": app, "encoding": encoding, "resolution": resolution, "n_nfp": n_nfp, "gpu": baseline.gpu, "mode": mode,
        "baseline_mark": baseline.frame_mark(app, encoding, pixels), "points": points,
        "points_source": "definition" if app == "gia" else "calibrated",
    }  # fmt: skip
    if mode == "gpu_only":
        source = "published" if baseline.is_published(encoding, pixels) else "calibrated"
        energy = field_energy_mj(baseline, app, encoding, points, on_cluster=False)
        return FrameRow(
            **case, frame_ms=gpu_ms, fps=1e3 / gpu_ms, speedup=1.0, limiter="gpu", source=source,
            field_energy_mj=energy,
        )  # fmt: skip

    rate = rate or preset_rate(app, encoding)
    pipeline = frame_pipeline(
        baseline, app=app, encoding=encoding, resolution=resolution, n_nfp=n_nfp, mode=mode, batch_points=batch_points,
        rate=rate, tables=tables,
    )  # fmt: skip
    table_kib = rate.table_bytes / 1024
    traffic = point_traffic(field_of(app, encoding))
    _, dram_bytes = memory_rate(baseline.gpu, traffic, pipeline.batch_points)
    points_per_s = points / pipeline.frame_us * 1e6
    return FrameRow(
        **case,
        frame_ms=pipeline.frame_us / 1e3,
        fps=1e6 / pipeline.frame_us,
        speedup=1e3 * gpu_ms / pipeline.frame_us,
        limiter=pipeline.limiter,
        source="cycle_model" if pipeline.limiter in ("ngpc", "memory") else "calibrated",
        clk_per_point=rate.clk_per_point,
        table_kib=table_kib,
        fits_1mib=rate.table_bytes <= NGPC_TABLE_BYTES,
        tables="fit" if rate.table_bytes <= NGPC_TABLE_BYTES else tables,
        traffic_gbytes_per_s=points_per_s * traffic.total / 1e9,
        dram_share=points_per_s * dram_bytes / load_memory(baseline.gpu).dram.peak_bytes_per_s,
        scene_load_ms=scene_load_ms(app, encoding),
        field_energy_mj=field_energy_mj(baseline, app, encoding, points, on_cluster=True),
    )


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
) -> FramePipeline:
    """The pipeline of batches a frame is: how many, and how long each stage takes for one.

    The points are dealt out evenly over as few batches as ``batch_points`` allows, but whole loop bodies of them.
    """
    check_case(app, encoding)
    check_one_of("resolution", resolution, tuple(RESOLUTIONS))
    check_one_of("mode", mode, MODES[1:])
    rate = rate or preset_rate(app, encoding)
    cluster = ClusterConfig(nfp=preset_nfp(app, encoding), n_nfps=n_nfp)
    width, height = RESOLUTIONS[resolution]
    points = round(baseline.points_per_pixel(app) * width * height)
    batches = FramePipeline.whole_bodies(ceil(points / batch_points))
    batch_clk = cluster_clk(app, encoding, cluster, ceil(points / batches), rate=rate, tables=tables)
    points_per_s, _ = memory_rate(baseline.gpu, point_traffic(field_of(app, encoding)), ceil(points / batches))
    rest_ms = baseline.rest_ms(app, width * height)
    if mode == "ngpc_fused_rest":
        rest_ms /= baseline.fused_rest_speedup.value
    return FramePipeline(
        name=f"{app} {encoding} {resolution}, NGPC-{n_nfp}, {mode}",
        batches=batches,
        batch_points=ceil(points / batches),
        launch_us=_LAUNCHES_PER_BATCH * baseline.launch_us.value,
        ngpc_us=batch_clk / cluster.clock_hz * 1e6,
        rest_us=1e3 * rest_ms / batches,
        memory_us=ceil(points / batches) / points_per_s * 1e6,
    )


def average_speedups(rows: Sequence[FrameRow], gpu: str = "rtx3090") -> list[AverageSpeedup]:
    """Mean over the apps of the fused rows, for every case that has all four apps and a published average."""
    published = FrameBaseline.named(gpu).average_speedup
    groups: dict[tuple[str, str, int], list[float]] = {}
    for row in rows:
        if row.mode == "ngpc_fused_rest" and row.gpu == gpu:
            groups.setdefault((row.encoding, row.resolution, row.n_nfp), []).append(row.speedup)
    return [
        AverageSpeedup(
            encoding=encoding, resolution=resolution, n_nfp=n_nfp, gpu=gpu, mode="ngpc_fused_rest",
            speedup=sum(values) / len(values), published_speedup=published[encoding][n_nfp].value,
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
        Points and results pass the memory model's L2 and DRAM; other traffic of the kernels around the field does not.
    """
    if baseline.rest_scale:
        text += f"{gpu}: the kernels around the field are the RTX 3090's times {baseline.rest_scale.value} (D).\n"
        if baseline.kernel_scale:
            text += f"{gpu}: so are the field's kernels, times {baseline.kernel_scale.value} (D).\n"
        else:
            text += f"{gpu}: the field's kernels are measured, in one fused kernel with points in image order (M).\n"
    return [" ".join(line.split()) for line in text.replace("\n            ", " ").strip().splitlines()]


def check_case(app: str, encoding: str) -> None:
    """Refuse an unknown app or encoding."""
    check_one_of("app", app, APPS)
    check_one_of("encoding", encoding, tuple(ENCODINGS))


@cache
def scene_load_ms(app: str, encoding: str) -> float:
    """Load of a scene's tables, all processors at once."""
    nfp = preset_nfp(app, encoding)
    return table_words(field_of(app, encoding), nfp) / ClusterConfig(nfp=nfp).clock_hz * 1e3


def field_energy_mj(baseline: FrameBaseline, app: str, encoding: str, points: int, *, on_cluster: bool) -> float | None:
    """Millijoules of encoding and networks: of the cluster as modelled, of the GPU as measured, or None."""
    if on_cluster:
        silicon = nfp_silicon(preset_nfp(app, encoding), field_of(app, encoding))
        return points * silicon.nj_per_point(preset_rate(app, encoding).clk_per_point) * 1e-6
    measured = (baseline.kernel_nj_per_point or {}).get(encoding, {}).get(app)
    return points * measured.value * 1e-6 if measured else None
