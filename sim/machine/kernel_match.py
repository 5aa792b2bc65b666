"""How many processors match a GPU's fused kernel of a field: points a second on both sides, and energy where known."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from arch.field import APPS
from arch.presets import FIELDS
from sim.machine.cluster_batch import ENCODINGS, preset_nfp, preset_rate
from sim.machine.frame import BATCH_POINTS
from sim.machine.frame_baseline import FrameBaseline
from sim.machine.frame_traffic import memory_rate, point_traffic
from sim.machine.silicon import nfp_silicon

__all__ = ["KernelMatch", "kernel_matches"]

_CLOCK_HZ = 1e9


@dataclass(frozen=True, kw_only=True)
class KernelMatch:
    """One field on a GPU and on the cluster that matches it.

    Parameters
    ----------
    app, encoding, gpu : the case
    gpu_gpoints_per_s : the GPU's fused kernel, billions of points a second, measured
    n_nfp : processors at 1 GHz that take as many; the study's largest cluster has 64
    ngpc_gpoints_per_s : what they take, from the cycle models
    memory_gpoints_per_s : what the GPU's memory could hand them, from the memory model
    gpu_nj_per_point : of the whole board, measured; None where it was not
    ngpc_nj_per_point : modelled: table reads and logic, without leakage and the memory traffic of points and results
    """

    app: str
    encoding: str
    gpu: str
    gpu_gpoints_per_s: float
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
    per_nfp = _CLOCK_HZ / clk_per_point
    gpu_rate = 1e9 / baseline.kernel_ns_per_point[encoding][app].value
    n_nfp = ceil(gpu_rate / per_nfp)
    fed, _ = memory_rate(baseline.gpu, point_traffic(field), BATCH_POINTS)
    measured = (baseline.kernel_nj_per_point or {}).get(encoding, {}).get(app)
    return KernelMatch(
        app=app,
        encoding=encoding,
        gpu=baseline.gpu,
        gpu_gpoints_per_s=gpu_rate / 1e9,
        n_nfp=n_nfp,
        ngpc_gpoints_per_s=n_nfp * per_nfp / 1e9,
        memory_gpoints_per_s=fed / 1e9,
        gpu_nj_per_point=measured.value if measured else None,
        ngpc_nj_per_point=nfp_silicon(nfp, field).nj_per_point(clk_per_point),
    )
