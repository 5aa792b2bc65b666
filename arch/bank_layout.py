"""How table indices are spread over banks: three or four selectable bits of the index are the bank.

A level's bits are searched by the host, once; the loader, the RTL and the cycle models share the result.
"""

from functools import lru_cache
from itertools import combinations

import numpy as np

from arch.grid import GridLevel

__all__ = ["HASHED_BANK_BITS", "N_BANK_BIT_POSITIONS", "bank_of", "choose_bank_bits", "conflict_clocks", "squeeze"]

HASHED_BANK_BITS = {8: (0, 3, 4), 16: (0, 2, 3, 4)}
"""Best index bits for hashed levels, by banks.

Measured over 2.1 M cells: 1.0024 clocks a point over 8 dual-port banks, one lookup at a time; 1.101 over 16
single-port banks.
"""

N_BANK_BIT_POSITIONS = 9
"""Bank selector bits are among the lowest so many bits of a row index."""

_BANK_BIT_SAMPLES = 4096
_CORNER_READS = 16
"""Reads a clock of both variants: banks times ports."""


def bank_of(index: np.ndarray, bank_bits: tuple[int, ...]) -> np.ndarray:
    """Bank number: selector bit i of the index becomes bit i of the bank."""
    return sum(((index >> bit) & 1) << position for position, bit in enumerate(bank_bits))


def squeeze(index: np.ndarray, bank_bits: tuple[int, ...]) -> np.ndarray:
    """The index without its selector bits, highest removed first."""
    for bit in reversed(bank_bits):
        low = (1 << bit) - 1
        index = (index & low) | ((index >> 1) & ~low)
    return index


def choose_bank_bits(level: GridLevel, n_pos_dims: int, n_banks: int = 8) -> tuple[int, ...]:
    """The index bits that spread a cell's corners best over ``n_banks`` banks: 8 of two ports or 16 of one.

    Hashed levels take the published best. Dense levels are searched: fewest clocks over a fixed sample of cells,
    lowest bits on a tie.
    """
    if level.hashed:
        return HASHED_BANK_BITS[n_banks]
    return _search_bank_bits(level.resolution, level.entries, level.strides, n_pos_dims, n_banks)


@lru_cache(maxsize=256)
def _search_bank_bits(
    resolution: int, entries: int, strides: tuple[int, ...], n_pos_dims: int, n_banks: int
) -> tuple[int, ...]:
    rng = np.random.default_rng(0)
    cells = rng.integers(0, resolution, size=(_BANK_BIT_SAMPLES, n_pos_dims))
    offsets = np.array([[corner >> dim & 1 for dim in range(n_pos_dims)] for corner in range(1 << n_pos_dims)])
    index = ((cells[:, None, :] + offsets) * np.array(strides)).sum(axis=2) % entries
    n_bits = (n_banks - 1).bit_length()
    best, best_clocks = tuple(range(n_bits)), float("inf")
    top = max(n_bits, min(N_BANK_BIT_POSITIONS, (entries - 1).bit_length()))
    for bank_bits in combinations(range(top), n_bits):
        clocks = float(conflict_clocks(bank_of(index, bank_bits), n_banks).mean())
        if clocks < best_clocks:
            best, best_clocks = bank_bits, clocks
    return best


def conflict_clocks(banks: np.ndarray, n_banks: int = 8) -> np.ndarray:
    """Clocks a point's corners take by themselves: the fullest bank's corners over its ports.

    ``banks`` is (points, corners).
    """
    one_of_each = np.eye(n_banks, dtype=np.uint8).view(np.uint64)  # a byte a bank: eight are counted by one addition
    counts = one_of_each[banks].sum(axis=1).view(np.uint8)
    return -(-counts.max(axis=1).astype(np.int64) // (_CORNER_READS // n_banks))
