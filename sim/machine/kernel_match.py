"""How many processors match a GPU's fused kernel of a field: points a second on both sides, and energy where known."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from arch.field import APPS
from arch.presets import FIELDS
from sim.machine.cluster_batch import CLOCK_HZ, ENCODINGS, cluster_clk, preset_nfp, preset_rate
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.frame_traffic import memory_rate, point_traffic
from sim.machine.silicon import nfp_silicon

__all__ = ["MEASURED_POINTS", "KernelMatch", "kernel_matches"]

MEASURED_POINTS = 1 << 21
"""Points of the measured kernel's batch; the cluster is given as many, in one batch."""


@dataclass(frozen=True, kw_only=True)
class KernelMatch:
    """One field on a GPU and on the cluster that matches it.

    Parameters
    ----------
    app, encoding, gpu : the case
    gpu_gpoints_per_s : the GPU's fused kernel, billions of points a second
    gpu_mark : ``M`` as measured, ``D`` where another field's kernel stands in
    n_nfp : processors at 1 GHz that take as many; the study's largest cluster has 64
    ngpc_gpoints_per_s : what they take, from the cycle models: whole nano-batches, and engines that start empty
    memory_gpoints_per_s : what the GPU's memory could hand them, from the memory model
    gpu_nj_per_point : of the whole board, measured; None where it was not
    ngpc_nj_per_point : modelled: table reads and logic, without leakage and the memory traffic of points and results
    """

    app: str
    encoding: str
    gpu: str
    gpu_gpoints_per_s: float
    gpu_mark: str
    n_nfp: int
    ngpc_gpoints_per_s: float
    memory_gpoints_per_s: float
    gpu_nj_per_point: float | None
    ngpc_nj_per_point: float


def kernel_matches(
    gpu: str = "h200", *, apps: Sequence[str] = APPS, encodings: Sequence[str] = tuple(ENCODINGS)
) -> list[KernelMatch]:
    """A row per field; none for a GPU whose kernels nobody measured alone.

    Raises
    ------
    InputError
        If there is no such GPU.
    """
    baseline = FrameBaseline.named(gpu)
    if baseline.kernel_ns_per_point is None:
        return []
    return [_match(baseline, app, encoding) for encoding in encodings for app in apps]


def _match(baseline: FrameBaseline, app: str, encoding: str) -> KernelMatch:
    field = FIELDS[f"{app}_{ENCODINGS[encoding]}"]
    nfp = preset_nfp(app, encoding)
    clk_per_point = preset_rate(app, encoding).clk_per_point
    kernel = baseline.kernel_ns_per_point[encoding][app]
    n_nfp = ceil(clk_per_point / kernel.value)

    def taken(n_nfp: int) -> float:
        """Points a nanosecond."""
        return MEASURED_POINTS / cluster_clk(app, encoding, n_nfp, MEASURED_POINTS) * CLOCK_HZ / 1e9

    while taken(n_nfp) * kernel.value < 1:
        n_nfp += 1
    fed, _ = memory_rate(baseline.gpu, point_traffic(field), MEASURED_POINTS)
    measured = (baseline.kernel_nj_per_point or {}).get(encoding, {}).get(app)
    return KernelMatch(
        app=app,
        encoding=encoding,
        gpu=baseline.gpu,
        gpu_gpoints_per_s=1 / kernel.value,
        gpu_mark=kernel.mark,
        n_nfp=n_nfp,
        ngpc_gpoints_per_s=taken(n_nfp),
        memory_gpoints_per_s=fed / 1e9,
        gpu_nj_per_point=measured.value if measured else None,
        ngpc_nj_per_point=nfp_silicon(nfp, field).nj_per_point(clk_per_point),
    )
