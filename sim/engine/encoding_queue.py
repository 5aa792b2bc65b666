"""Lookups over single-port banks with queues, for the cycle model of the grid encoding engine.

Each bank serves its corners in the order of lookups, one a clock, so a corner's clock follows from the bank's last one
and from the clock its lookup was taken in: a list schedule, exact.
"""

import numba
import numpy as np

from sim.engine.encoding_cells import row_of

__all__ = ["new_queues", "take_lookup"]

_BANKS = 16
_LAST = _BANKS
"""Where the clock of the last lookup to be complete stands in an engine's row, then its lookups, then the window."""


def new_queues(parallel: int, window: int) -> np.ndarray:
    """State of the queues of fresh engines: per engine each bank's next free clock, and the clocks of past lookups."""
    queues = np.zeros((parallel, _BANKS + 2 + window), dtype=np.int64)
    queues[:, :_BANKS] = queues[:, _LAST] = queues[:, _LAST + 2 :] = -(1 << 60)
    return queues


@numba.njit(cache=True)
def _bank(index, levels, level):
    one = np.uint64(1)
    low = (index >> levels[level, 5] & one) | (index >> levels[level, 6] & one) << one
    high = (index >> levels[level, 7] & one) | (index >> levels[level, 10] & one) << one
    return np.int64(low | high << np.uint64(2))


@numba.njit(cache=True)
def take_lookup(points, number, levels, level, queue, arrival, reads):  # noqa: PLR0917 - numba takes no keywords
    """Take a lookup that arrives in clock ``arrival``: the clock it is taken in, and the one it is complete in.

    A lookup is complete a clock after the one before it at the earliest. One that reads nothing (``reads`` false) is
    complete in the clock it is taken in, if it can.
    """
    window = queue.shape[0] - _BANKS - 2
    place = _BANKS + 2 + queue[_LAST + 1] % window
    taken = max(arrival, queue[place] + 1)
    served = taken
    if reads:
        ahead = levels[level, 0] == 0
        dims = points.shape[1] // levels.shape[0] if ahead else points.shape[1]
        for corner in range(1 << dims):
            bank = _bank(row_of(points, number, corner, dims, levels, level), levels, level)
            clock = max(taken + 1, queue[bank])
            queue[bank] = clock + 1
            served = max(served, clock)
    queue[place] = served
    queue[_LAST + 1] += 1
    queue[_LAST] = max(served, queue[_LAST] + 1)
    return taken, queue[_LAST]
