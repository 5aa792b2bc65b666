"""Cells of points in the ``fp16`` profile, for the cycle model of the grid encoding engine.

The integer profiles find a cell by one multiplication where they need it. The GPU's fused multiply-add takes longer to
imitate, so cells are computed ahead, for all points of a block and all levels at once.
"""

import numba
import numpy as np

__all__ = ["cell_of", "float_arbiter_clocks", "float_cells", "row_of"]

_BANKS, _PORTS = 8, 2
_BELOW_FP32 = np.uint64((1 << 29) - 1)  # mantissa bits float64 has beyond float32


def float_cells(positions: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """(points, levels * dims) uint64 cells, those of a level side by side: ``floor(fma(scale, x, 0.5))`` mod 2**32.

    Parameters
    ----------
    positions : (points, dims) float32
    scales : (levels,) float32
    """
    with np.errstate(invalid="ignore", over="ignore"):
        product = positions[:, None, :].astype(np.float64) * scales[None, :, None].astype(np.float64)
        # The product is exact. Its sum is rounded to odd first, so that the rounding to float32 is the only one.
        total = product + 0.5
        of_half = total - product
        error = (product - (total - of_half)) + (0.5 - of_half)
        bits = total.view(np.int64)
        bits = np.where(error != 0, bits + ((bits ^ error.view(np.int64)) >> 63) | 1, bits)
        floors = np.floor(bits.view(np.float64).astype(np.float32)).astype(np.float64)
    whole = np.clip(np.nan_to_num(floors, nan=0.0, posinf=2.0**31, neginf=-(2.0**31)), -(2.0**31), 2.0**31 - 1)
    return (whole.astype(np.int64) & 0xFFFFFFFF).astype(np.uint64).reshape(len(positions), -1)


@numba.njit(cache=True, inline="always")
def cell_of(points, number, dim, levels, level):
    """A point's cell at a level: computed ahead where the level's scale is 0, else from raw coordinates."""
    scale = levels[level, 0]
    if scale == np.uint64(0):
        return points[number, level * (points.shape[1] // levels.shape[0]) + dim]
    return (points[number, dim] * scale + (np.uint64(1) << np.uint64(32))) >> np.uint64(33)


@numba.njit(cache=True, inline="always")
def row_of(points, number, corner, dims, levels, level):  # noqa: PLR0917 - numba takes no keywords
    """Table index of a corner of a point's cell at a level."""
    index = np.uint64(0)
    for dim in range(dims):
        term = cell_of(points, number, dim, levels, level) + np.uint64(corner >> dim & 1)
        if dim:
            term *= levels[level, dim if dim < 3 else 11]
        if levels[level, 4] != 0:
            index ^= term
        else:
            index += term
    return (index & np.uint64(0xFFFFFFFF)) % levels[level, 3]


@numba.njit(cache=True, nogil=True)
def _fill_clocks(cells, levels, clocks):
    dims = cells.shape[1] // levels.shape[0]
    one = np.uint64(1)
    counts = np.zeros(_BANKS, dtype=np.int64)
    for level in range(levels.shape[0]):
        for number in range(cells.shape[0]):
            counts[:] = 0
            for corner in range(1 << dims):
                index = row_of(cells, number, corner, dims, levels, level)
                low = (index >> levels[level, 5] & one) | (index >> levels[level, 6] & one) << one
                counts[np.int64(low | (index >> levels[level, 7] & one) << np.uint64(2))] += 1
            clocks[level, number] = (counts.max() + _PORTS - 1) // _PORTS


def float_arbiter_clocks(cells: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(levels, points) clocks of the arbiter of dual-port banks for every lookup of :func:`float_cells`.

    None for no levels: those of engines with queues depend on one another.
    """
    clocks = np.empty((len(levels), len(cells)), dtype=np.uint8)
    if len(levels):
        _fill_clocks(cells, levels, clocks)
    return clocks
