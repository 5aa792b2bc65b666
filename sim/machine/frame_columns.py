"""A line of the frame table: its columns, and those that follow from the frame's time."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from arch.memory_preset import load_memory
from sim.machine.cluster_batch import CLOCK_HZ, NGPC_TABLE_BYTES, field_of, preset_nfp, preset_rate, reload_of
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.frame_traffic import memory_rate, point_traffic
from sim.machine.nfp_rate import NfpRate, table_words
from sim.machine.silicon import nfp_silicon

__all__ = ["CLUSTER_MODES", "GPU_MODES", "MODES", "FrameRow", "cluster_columns", "gpu_columns"]

CLUSTER_MODES = ("ngpc", "ngpc_fused_rest")
GPU_MODES = ("gpu_only", "gpu_fused_rest")
MODES = (*GPU_MODES, *CLUSTER_MODES)
"""Encoding and networks on the GPU or on the cluster, with the kernels around them as they are or fused into one."""


@dataclass(frozen=True, kw_only=True)
class FrameRow:
    """One line of the frame table.

    Parameters
    ----------
    app, encoding, resolution, gpu, mode : the case
    n_nfp : neural fields processors; 0 for the GPU alone
    frame_ms, fps : one frame; frames a second
    speedup : over the same frame on the GPU alone, nothing fused
    limiter : the longest stage of the pipeline: ``ngpc``, ``rest`` or ``launch``; ``memory`` if the cluster waits for
        points and results; ``gpu`` for the GPU alone
    source : of the figure that decides the row: ``published`` as printed, ``calibrated`` if derived from published
        figures (also when the rest or the launches limit), ``cycle_model`` if the cluster limits
    baseline_mark : mark of the GPU frame time under it
    points : field queries of the frame
    points_source : ``definition`` (one a pixel), ``calibrated``, or ``scene`` if rays were marched
    clk_per_point : of one processor, from the cycle models, loads of tables aside; None, as all to ``scene_load_ms``,
        for the GPU alone
    table_kib : largest feature table a level engine needs
    fits_1mib : whether that is within NGPC's 1 MiB an engine
    tables : ``fit``, else what was done about it (``sized`` or ``reload``)
    traffic_gbytes_per_s : points and results through the cluster's port, at this frame rate
    dram_share : of the memory's peak that they take, at this frame rate
    scene_load_ms : load of the tables that stay, once a scene and not in the frame: a word a clock, all processors at
        once
    field_energy_mj : of encoding and networks: the GPU's board as measured, the cluster as modelled; None where not
        known, as for tables loaded in parts
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


def gpu_columns(
    baseline: FrameBaseline, app: str, encoding: str, mode: str, *, points: int, rest_ms: float, kernel_ms: float
) -> dict[str, Any]:
    """Columns of a row of the GPU alone, by the time of the field's kernels and of those around them."""
    fused = baseline.fused_rest_speedup.value if mode == "gpu_fused_rest" else 1.0
    frame_ms = kernel_ms + rest_ms / fused
    measured = (baseline.kernel_nj_per_point or {}).get(encoding, {}).get(app)
    return {
        "frame_ms": frame_ms,
        "fps": 1e3 / frame_ms,
        "speedup": (kernel_ms + rest_ms) / frame_ms,
        "limiter": "gpu",
        "field_energy_mj": points * measured.value * 1e-6 if measured else None,
    }


def cluster_columns(
    baseline: FrameBaseline, app: str, encoding: str, n_nfp: int, *, points: int, frame_us: float, limiter: str,
    batch_points: int, gpu_ms: float, rate: NfpRate | None = None, tables: str = "sized",
) -> dict[str, Any]:  # fmt: skip
    """Columns of a row of a cluster, by the time of its frame and what limits it.

    Raises
    ------
    RuntimeError
        If the frame would take more clocks than the processors have in its time, or more of the memory than it has: a
        defect of the model.
    """
    reload = reload_of(app, encoding, tables, rate=rate)
    # no gates have been counted for another processor
    nj = None if rate or reload.load_clk else _nj_per_point(app, encoding)
    rate = rate or preset_rate(app, encoding)
    clk_per_point = reload.clk_per_point(rate)
    traffic = point_traffic(field_of(app, encoding), passes=reload.parts)
    _, dram_bytes = memory_rate(baseline.gpu, traffic, batch_points)
    points_per_s = points / frame_us * 1e6
    busy = points_per_s * clk_per_point / CLOCK_HZ / n_nfp
    dram_share = points_per_s * dram_bytes / load_memory(baseline.gpu).dram.peak_bytes_per_s
    if busy > 1 or dram_share > 1:
        raise RuntimeError(
            f"frame out of balance: {busy:.3f} of the processors' clocks, {dram_share:.3f} of the memory"
        )
    fits = rate.table_bytes <= NGPC_TABLE_BYTES
    stay = table_words(field_of(app, encoding), preset_nfp(app, encoding)) - reload.load_clk
    return {
        "frame_ms": frame_us / 1e3,
        "fps": 1e6 / frame_us,
        "speedup": 1e3 * gpu_ms / frame_us,
        "limiter": limiter,
        "source": "cycle_model" if limiter in ("ngpc", "memory") else "calibrated",
        "clk_per_point": clk_per_point,
        "table_kib": rate.table_bytes / 1024,
        "fits_1mib": fits,
        "tables": "fit" if fits else tables,
        "traffic_gbytes_per_s": points_per_s * traffic.total / 1e9,
        "dram_share": dram_share,
        "scene_load_ms": stay / CLOCK_HZ * 1e3,
        "field_energy_mj": None if nj is None else points * nj * 1e-6,
    }


@cache
def _nj_per_point(app: str, encoding: str) -> float:
    silicon = nfp_silicon(preset_nfp(app, encoding), field_of(app, encoding))
    return silicon.nj_per_point(preset_rate(app, encoding).clk_per_point)
