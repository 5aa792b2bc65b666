"""Which bank is refreshed, and when: part of the hot loop of the DRAM model.

The compiler's cache does not see changes here: touch ``dram_kernel.py`` after one.
"""
# ruff: noqa: PLR0917 - numba takes no keywords

import numpy as np

from sim.memory import dram_fields as f
from sim.memory.dram_bank import inlined, ready
from sim.memory.dram_lanes import peek, poke

__all__ = ["end_refresh", "next_event", "refresh_tick", "refreshes_fall_due"]


@inlined
def next_event(pc, first, n_pc):
    """First tick at which a request arrives or a refresh falls due."""
    event = np.int64(f.NEVER)
    for p in range(first, first + n_pc):
        event = min(event, peek(pc, (p << 5) + f.WAITS_UNTIL))
        if peek(pc, (p << 5) + f.REFRESHING) == f.NONE:
            event = min(event, peek(pc, (p << 5) + f.DUE))
    return event


@inlined
def _choose_refresh(words, pc, p, n_banks):
    """The bank to refresh: of those not yet refreshed in this round the first without requests, else the first."""
    chosen = np.int64(f.NONE)
    for b in range(n_banks):
        if peek(pc, (p << 5) + f.REFRESHED) >> b & 1 == 0:
            at = p * f.P_WORDS + b
            if peek(words, at + f.HEAD) == 0 and peek(words, at + f.HEAD + 64) == 0:
                return np.int64(b)
            if chosen < 0:
                chosen = np.int64(b)
    return chosen


@inlined
def refreshes_fall_due(words, pc, first, n_pc, n_banks, refresh, now):
    """Choose the banks of the refreshes that are due; they must decide anew."""
    for p in range(first, first + n_pc):
        if peek(pc, (p << 5) + f.REFRESHING) == f.NONE and peek(pc, (p << 5) + f.DUE) <= now:
            poke(pc, (p << 5) + f.DUE, peek(pc, (p << 5) + f.DUE) + refresh[1])
            b = _choose_refresh(words, pc, p, n_banks) if refresh[0] else np.int64(f.ALL)
            poke(pc, (p << 5) + f.REFRESHING, b)
            poke(pc, (p << 5) + f.UNDECIDED, refresh[2] if b < 0 else 1 << b)


@inlined
def refresh_tick(words, base, refreshing, n_banks, group_shift):
    """Earliest tick of the refresh that is due; a row still open puts it off."""
    tick = peek(words, base + f.PC_TIMES + f.REF)
    one = refreshing != f.ALL
    for b in range(refreshing if one else 0, refreshing + 1 if one else n_banks):
        if peek(words, base + f.OPEN + b) >= 0:
            return np.int64(f.BIG)
        tick = max(tick, ready(words, base, b, group_shift, f.REF))
    return tick


@inlined
def end_refresh(pc, p, b, all_banks):
    """Note which banks are refreshed; they must decide anew."""
    poke(pc, (p << 5) + f.REFRESHING, f.NONE)
    if b == f.ALL:
        poke(pc, (p << 5) + f.UNDECIDED, all_banks)
    else:
        done = peek(pc, (p << 5) + f.REFRESHED) | 1 << b
        poke(pc, (p << 5) + f.REFRESHED, 0 if done == all_banks else done)
        poke(pc, (p << 5) + f.UNDECIDED, 1 << b)
