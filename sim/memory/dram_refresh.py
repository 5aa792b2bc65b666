"""Which bank is refreshed, and when: part of the hot loop of the DRAM model.

The compiler's cache does not see changes here: touch ``dram_kernel.py`` after one.
"""

import numba

from sim.memory import dram_fields as f

__all__ = ["choose_refresh", "refresh_tick"]


@numba.njit(cache=True, error_model="numpy", _nrt=False, forceinline=True)
def choose_refresh(per_bank, n_banks, bank, pc):
    """The bank to refresh: of those not yet refreshed in this round the first without requests, else the first."""
    if not per_bank:
        return f.ALL
    chosen = f.NONE
    for b in range(n_banks):
        if pc[f.REFRESHED] >> b & 1 == 0:
            if bank[f.HEAD, b] < 0 and bank[f.HEAD + 1, b] < 0:
                return b
            if chosen < 0:
                chosen = b
    return chosen


@numba.njit(cache=True, error_model="numpy", _nrt=False, forceinline=True)
def refresh_tick(n_banks, bank, pc):
    """Earliest tick of the refresh that is due; a row still open puts it off."""
    tick = pc[f.REF]
    for b in range(n_banks):
        if pc[f.REFRESHING] in (f.ALL, b):
            if bank[f.OPEN, b] >= 0:
                return f.BIG
            tick = max(tick, bank[f.REF, b])
    return tick
