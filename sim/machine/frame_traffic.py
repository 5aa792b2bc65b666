"""Traffic between SMs and cluster through the GPU's L2 and DRAM: points in, results out.

While the cluster works on a batch, the SMs write the points of the next one and read the results of the one before:
every point and every result passes the L2 twice, and the DRAM as often as it was evicted.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from arch.field import DIRECTION_DIMS, FieldConfig
from arch.memory_preset import load_memory
from arch.number_format import COORDINATE
from sim.memory.system import MemorySystem

__all__ = ["PointTraffic", "memory_rate", "point_traffic"]

_SECTOR = 32
_ALIGN = 1 << 20
_NERF_RESULTS = 4
"""Three colours and a density."""


@dataclass(frozen=True, kw_only=True)
class PointTraffic:
    """Bytes of one point in memory.

    Parameters
    ----------
    bytes_in : coordinates in whole bytes, and NeRF's direction code
    bytes_out : one value an output
    passes : how often the cluster reads a point: once for each part of a table that is loaded in parts
    """

    bytes_in: int
    bytes_out: int
    passes: int = 1

    @property
    def total(self) -> int:
        """What the cluster moves for a point."""
        return self.bytes_in * self.passes + self.bytes_out


def point_traffic(field: FieldConfig, value_bits: int = 8, *, passes: int = 1) -> PointTraffic:
    """Bytes of a point of ``field`` with values of ``value_bits``: coordinates of 24 bits take 4 bytes each."""
    coordinate = 1 << ((COORDINATE.fraction_bits + 8) // 8 - 1).bit_length()
    value = value_bits // 8
    nerf = field.rgb_network is not None
    return PointTraffic(
        bytes_in=field.grid.n_pos_dims * coordinate + (DIRECTION_DIMS * value if nerf else 0),
        bytes_out=(_NERF_RESULTS if nerf else field.network.n_output_dims) * value,
        passes=passes,
    )


def memory_rate(memory: str, traffic: PointTraffic, points: int) -> tuple[float, float]:
    """Points a second that the memory of preset ``memory`` can hand to the cluster and take back, and the DRAM bytes
    a point that this costs, in batches of ``points``.

    ``points`` is rounded up to a power of two, so that frames of any size share few runs of the memory model. Two
    buffers each of points and results are used in turn; the second pair of batches is measured, with the L2 as
    the first pair left it. All four streams of a step are interleaved in proportion to their lengths.
    """
    return _memory_rate(memory, traffic, 1 << (points - 1).bit_length())


@cache
def _memory_rate(memory: str, traffic: PointTraffic, points: int) -> tuple[float, float]:
    system = MemorySystem(load_memory(memory))
    sizes = [points * traffic.bytes_in, points * traffic.bytes_out]
    strides = [-(-size // _ALIGN) * _ALIGN for size in sizes]
    inputs = [0, strides[0]]
    results = [2 * strides[0], 2 * strides[0] + strides[1]]
    total_ns = 0.0
    dram_bytes = 0
    for step in range(4):
        now, other = step % 2, 1 - step % 2
        run = system.run(
            *_interleaved(
                (inputs[other], sizes[0], 1, 1),  # SMs write the next batch's points
                (inputs[now], sizes[0], 0, traffic.passes),  # the cluster reads this batch's
                (results[now], sizes[1], 1, 1),  # and writes its results
                (results[other], sizes[1], 0, 1),  # SMs read the last batch's results
            )
        )
        if step >= 2:
            total_ns += run.total_ns
            dram_bytes += run.dram.bytes_served
    return 2 * points / total_ns * 1e9, dram_bytes / (2 * points)


def _interleaved(*streams: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Addresses and write flags of streams of first address, bytes, whether they write, and how often they pass."""
    addresses, writes, order = [], [], []
    for first, size, write, passes in streams:
        count = -(-size // _SECTOR) * passes
        addresses.append(first + np.arange(count, dtype=np.int64) % max(1, count // passes) * _SECTOR)
        writes.append(np.full(count, write, dtype=np.uint8))
        # whole lines at a time, as warps and bursts bring them
        order.append((np.arange(count) // 4 + 0.5) / max(1, count))
    sequence = np.argsort(np.concatenate(order), kind="stable")
    return np.concatenate(addresses)[sequence], np.concatenate(writes)[sequence]
