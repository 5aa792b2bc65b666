"""GPUs and nodes of GPUs, as the timing models see them: peak rates and sizes, no more.

Rates are decimal (80 GB is 80e9 bytes), network bandwidth is one way. Presets lie in ``workloads/devices``, one file
a device with a source per figure; ``arch.workload`` reads them.
"""

import math
from dataclasses import dataclass

from arch.errors import InputError, check_instance, check_integer, check_one_of, check_positive

__all__ = ["KERNELS", "GpuConfig", "MemoryConfig", "NetworkConfig", "NodeConfig", "SystolicConfig"]

KERNELS = ("a100", "h200")
"""GPUs whose kernels were measured."""


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Device memory of one GPU.

    Parameters
    ----------
    capacity_bytes : size
    bandwidth_bytes_per_s : peak of reads and writes together
    l2_bytes : last-level cache, None if no source gives it
    """

    capacity_bytes: float
    bandwidth_bytes_per_s: float
    l2_bytes: float | None = None

    def __post_init__(self) -> None:
        check_positive("capacity_bytes of the memory", self.capacity_bytes)
        check_positive("bandwidth_bytes_per_s of the memory", self.bandwidth_bytes_per_s)
        if self.l2_bytes is not None:
            check_positive("l2_bytes", self.l2_bytes)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Links of one GPU to the other GPUs of its node; ``bandwidth_bytes_per_s`` is what it can send while it receives
    as much (half of the figure on a data sheet)."""

    bandwidth_bytes_per_s: float

    def __post_init__(self) -> None:
        check_positive("bandwidth_bytes_per_s of the network", self.bandwidth_bytes_per_s)


@dataclass(frozen=True, kw_only=True)
class SystolicConfig:
    """Weight-stationary arrays beside a GPU, on its memory: the MLP engines of an NGPC cluster.

    Parameters
    ----------
    n_arrays : arrays, each with its own weights
    rows, cols : multiply-accumulators of an array: inputs and outputs of the weights it holds
    clock_hz : of the arrays; one row of activations enters an array a clock
    """

    n_arrays: int
    rows: int
    cols: int
    clock_hz: float

    def __post_init__(self) -> None:
        check_integer("n_arrays", self.n_arrays, 1, 1024)
        check_integer("rows of an array", self.rows, 1, 1024)
        check_integer("cols of an array", self.cols, 1, 1024)
        check_positive("clock_hz of the arrays", self.clock_hz)

    @property
    def flops_per_s(self) -> float:
        """All multiply-accumulators at work, two operations each."""
        return 2.0 * self.n_arrays * self.rows * self.cols * self.clock_hz

    def gemm_clocks(self, m: int, n: int, k: int, n_gemms: int = 1) -> int:
        """Clocks of ``n_gemms`` products of m x k by k x n, their tiles dealt to the arrays in turn.

        A tile of ``rows`` x ``cols`` weights stays for m clocks, or for as many as it takes to load the next one
        behind it (``rows``); partial sums stay in the array's accumulators, and the pipeline drains once.
        """
        tiles = n_gemms * math.ceil(k / self.rows) * math.ceil(n / self.cols)
        return math.ceil(tiles / self.n_arrays) * max(m, self.rows) + self.rows + self.cols


@dataclass(frozen=True, kw_only=True)
class GpuConfig:
    """One GPU.

    Parameters
    ----------
    name : preset name
    fp16_flops_per_s : dense fp16 tensor peak of the data sheet; a multiply-add counts twice
    memory : its device memory
    network : its links to its peers; None for a GPU that works alone
    n_sms : streaming multiprocessors, None if no source gives it
    systolic : arrays beside it that take over the GEMMs; None for a GPU without
    kernels : GPU whose measured kernels serve for this one, scaled by the peaks: one of ``KERNELS``
    """

    name: str
    fp16_flops_per_s: float
    memory: MemoryConfig
    network: NetworkConfig | None = None
    n_sms: int | None = None
    systolic: SystolicConfig | None = None
    kernels: str = "a100"

    def __post_init__(self) -> None:
        check_one_of(f"kernels of {self.name}", self.kernels, KERNELS)
        check_positive(f"fp16_flops_per_s of {self.name}", self.fp16_flops_per_s)
        check_instance(f"memory of {self.name}", self.memory, MemoryConfig)
        if self.network is not None:
            check_instance(f"network of {self.name}", self.network, NetworkConfig)
        if self.n_sms is not None:
            check_integer(f"n_sms of {self.name}", self.n_sms, 1, 1024)
        if self.systolic is not None:
            check_instance(f"systolic of {self.name}", self.systolic, SystolicConfig)


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """``n_gpus`` equal GPUs that share one model by tensor parallelism; the rates are sums over the node.

    Raises
    ------
    InputError
        If several GPUs are asked for and the GPU has no network.
    """

    gpu: GpuConfig
    n_gpus: int = 1

    def __post_init__(self) -> None:
        check_instance("gpu of a node", self.gpu, GpuConfig)
        check_integer("n_gpus of a node", self.n_gpus, 1, 64)
        if self.n_gpus > 1 and self.gpu.network is None:
            raise InputError(f"n_gpus must be 1 for {self.gpu.name}, which has no network, not {self.n_gpus}")

    @property
    def name(self) -> str:
        """``8xa100_80gb``; the GPU's own name if there is one."""
        return self.gpu.name if self.n_gpus == 1 else f"{self.n_gpus}x{self.gpu.name}"

    @property
    def fp16_flops_per_s(self) -> float:
        """Tensor peak of all GPUs."""
        return self.n_gpus * self.gpu.fp16_flops_per_s

    @property
    def memory_bytes(self) -> float:
        """Memory of all GPUs."""
        return self.n_gpus * self.gpu.memory.capacity_bytes

    @property
    def memory_bytes_per_s(self) -> float:
        """Memory bandwidth of all GPUs."""
        return self.n_gpus * self.gpu.memory.bandwidth_bytes_per_s

    @property
    def network_bytes_per_s(self) -> float:
        """One-way network bandwidth of all GPUs; 0 for a GPU without network."""
        return self.n_gpus * self.gpu.network.bandwidth_bytes_per_s if self.gpu.network else 0.0
