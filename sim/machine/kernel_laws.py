"""Laws of single kernels on a GPU, as the H200 measurements suggest them: few constants, any shape.

Each holds for shapes nobody measured: times rise with the work, no kernel beats the peaks, and below some size the
launch is all there is. The constants lie in the calibration with the measurements they were fitted to; ``ngpc
reproduce h200`` says how far every law is from every measurement.
"""

from arch.device import GpuConfig
from arch.workload import Calibration

__all__ = ["collective_us", "elementwise_us", "gemm_us", "prefill_attention_us", "streaming_bytes_per_s"]

_MIB = 1 << 20


def gemm_us(law: Calibration, gpu: GpuConfig, flop: float, memory_bytes: float) -> float:
    """A GEMM on one GPU: launch, and the p-norm of its time at the tensor units and at the memory.

    The norm (p is ``gemm.sharpness``) stands for what the two do to each other where they are close.
    """
    compute = flop / (law["gemm.flops_fraction"] * gpu.fp16_flops_per_s) * 1e6
    memory = memory_bytes / (law["gemm.bandwidth_fraction"] * gpu.memory.bandwidth_bytes_per_s) * 1e6
    sharpness = law["gemm.sharpness"]
    return law["gemm.launch_us"] + (compute**sharpness + memory**sharpness) ** (1 / sharpness)


def elementwise_us(law: Calibration, gpu: GpuConfig, memory_bytes: float) -> float:
    """An element-wise kernel: launch, and its bytes at the rate of the cache, of the memory, or between.

    All of them come from the cache while they are a small part of it (``from_l2`` of its size), none once they are
    much larger (``to_l2``).
    """
    cache = gpu.memory.l2_bytes or law["elementwise.l2_bytes"]
    low, high = law["elementwise.from_l2"] * cache, law["elementwise.to_l2"] * cache
    missed = min(max((memory_bytes - low) / (high - low), 0.0), 1.0)
    bandwidth = law["elementwise.bandwidth_fraction"] * gpu.memory.bandwidth_bytes_per_s
    rate = (1.0 - missed) / law["elementwise.cache_bytes_per_s"] + missed / bandwidth
    return law["elementwise.launch_us"] + memory_bytes * rate * 1e6


def prefill_attention_us(
    law: Calibration, gpu: GpuConfig, flop: float, context: float, kernel: str = "prefill_attention"
) -> float:
    """Attention of prompts: launch, one tile's walk along the keys, and all work at the tensor units.

    ``flop`` without causal halving, ``context`` in keys; ``kernel`` is a group of the calibration.
    """
    work = flop / (law[f"{kernel}.efficiency"] * gpu.fp16_flops_per_s) * 1e6
    return law[f"{kernel}.launch_us"] + law[f"{kernel}.us_per_key"] * context + work


def streaming_bytes_per_s(law: Calibration, gpu: GpuConfig, n_sms: float, one_sm: float) -> float:
    """What ``n_sms`` SMs read that read ``one_sm`` bytes a second each alone, up to a part of the memory's peak."""
    top, sharpness = law["streaming.bandwidth_fraction"] * gpu.memory.bandwidth_bytes_per_s, law["streaming.sharpness"]
    return ((n_sms * one_sm) ** -sharpness + top**-sharpness) ** (-1 / sharpness)


def collective_us(
    law: Calibration, kind: str, message_bytes: float, n_gpus: int, *, bandwidth_ratio: float = 1.0, n_blocks: int = 0
) -> float:
    """A collective over ``n_gpus``: latency, and a slope for the part of the message that comes from the peers.

    Parameters
    ----------
    law : calibration with latency and slope of ``kind``
    kind : ``all_gather``, ``reduce_scatter`` or ``all_reduce``
    message_bytes : the whole message
    n_gpus : GPUs
    bandwidth_ratio : the calibrated machine's link bandwidth over this one's
    n_blocks : thread blocks a GPU; 0: as many as the library takes
    """
    peers = (1 - 1 / n_gpus) / (1 - 1 / law["collective.n_gpus"])
    slope = law[f"{kind}.us_per_mib"] * bandwidth_ratio * peers
    if n_blocks:
        sharpness = law["collective_block.sharpness"]
        blocks = law[f"collective_block.{kind}_us_per_mib"] * peers / n_blocks
        slope = (slope**sharpness + blocks**sharpness) ** (1 / sharpness)
    return law[f"{kind}.latency_us"] + slope * message_bytes / _MIB
