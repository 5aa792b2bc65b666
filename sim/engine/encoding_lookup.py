"""Clocks that lookups take in the arbiter of dual-port banks, for the cycle model of the grid encoding engine."""

import numba
import numpy as np

__all__ = ["arbiter_clocks", "lookup_clocks"]


@numba.njit(cache=True, inline="always")
def _place(index, levels, level):
    """The bank of an index, as the shift of its counter."""
    one = np.uint64(1)
    bank = (
        index >> levels[level, 5] & one
        | (index >> levels[level, 6] & one) << one
        | (index >> levels[level, 7] & one) << np.uint64(2)
    )
    return bank << np.uint64(2)


@numba.njit(cache=True)
def lookup_clocks(points, number, levels, level):
    """Clocks of the arbiter for one point at one level: the fullest bank's corners over its two ports.

    Corners are counted in eight counters of four bits; a bank of 3, 5 or 7 corners and more takes a clock more.
    """
    zero, one, shift = np.uint64(0), np.uint64(1), np.uint64(33)
    half_cell = np.uint64(1) << np.uint64(32)
    scale, entries = levels[level, 0], levels[level, 3]
    deep = points.shape[1] == 3
    x = (points[number, 0] * scale + half_cell) >> shift
    y = ((points[number, 1] * scale + half_cell) >> shift) * levels[level, 1]
    z = ((points[number, 2] * scale + half_cell) >> shift) * levels[level, 2] if deep else zero
    counts = zero
    if levels[level, 4] != zero:
        # The hash is linear over bits, and so is the bank.
        mask = entries - one
        x_0, x_1 = _place(x & mask, levels, level), _place(x + one & mask, levels, level)
        y_0, y_1 = _place(y & mask, levels, level), _place(y + levels[level, 1] & mask, levels, level)
        z_0, z_1 = _place(z & mask, levels, level), _place(z + levels[level, 2] & mask, levels, level)
        counts += (one << (x_0 ^ y_0 ^ z_0)) + (one << (x_1 ^ y_0 ^ z_0))
        counts += (one << (x_0 ^ y_1 ^ z_0)) + (one << (x_1 ^ y_1 ^ z_0))
        if deep:
            counts += (one << (x_0 ^ y_0 ^ z_1)) + (one << (x_1 ^ y_0 ^ z_1))
            counts += (one << (x_0 ^ y_1 ^ z_1)) + (one << (x_1 ^ y_1 ^ z_1))
    else:
        for upper in range(4 if deep else 2):
            index = x + y + z
            if upper & 1:
                index += levels[level, 1]
            if upper & 2:
                index += levels[level, 2]
            following = index + one
            if levels[level, 9] != zero:
                index %= entries
                following %= entries
            if index >= entries:
                index -= entries
            if following >= entries:
                following -= entries
            counts += (one << _place(index, levels, level)) + (one << _place(following, levels, level))
    top = np.uint64(0x88888888)
    clocks = np.int64(1)
    clocks += np.int64((counts + np.uint64(0x55555555)) & top != zero)
    clocks += np.int64((counts + np.uint64(0x33333333)) & top != zero)
    clocks += np.int64((counts + np.uint64(0x11111111)) & top != zero)
    return clocks


def arbiter_clocks(points: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(levels, points) clocks of the arbiter for every lookup; they depend on nothing else."""
    clocks = np.empty((len(levels), len(points)), dtype=np.uint8)
    _fill_clocks(points, levels, clocks)
    return clocks


@numba.njit(cache=True, nogil=True)
def _fill_clocks(points, levels, clocks):
    for level in range(levels.shape[0]):
        for number in range(points.shape[0]):
            clocks[level, number] = lookup_clocks(points, number, levels, level)
