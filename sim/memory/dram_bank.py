"""What waits at a bank and what the bank wants: part of the hot loop of the DRAM model.

The compiler's cache does not see changes here: touch ``dram_kernel.py`` after one.
"""
# ruff: noqa: PLR0917 - numba takes no keywords

import numba
import numpy as np

from sim.memory import dram_fields as f
from sim.memory.address_map import BANK_MASK, ROW_SHIFT
from sim.memory.dram_lanes import COMMANDS, KEY_SHIFT, load_commands, most, peek, plus, poke, store

__all__ = ["act_gate", "decide", "enter", "inlined", "keep_distance", "ready", "take", "turns"]

inlined = numba.njit(error_model="numpy", _nrt=False, forceinline=True)
"""Compiled into its caller, without reference counts (_nrt): nothing is allocated, and counting the arrays that the
functions hand to one another took four times as long as the work."""


@inlined
def _seen(base, kind, b, row):
    """Place of the number of waiting requests of a kind and a bank whose rows have the same last bits."""
    return base + f.SEEN + (kind << 11) + (b << 5) + (row & 31)


@inlined
def keep_distance(words, level, times, command, now):
    """Put off what the rules of a level put off after a command; ``times`` is the place of its earliest ticks."""
    latency = load_commands(words, f.LATENCY + (level * 5 + command) * COMMANDS)
    store(words, times, most(load_commands(words, times), plus(latency, now)))


@inlined
def ready(words, base, b, group_shift, command):
    """Tick from which bank and group allow a command."""
    of_bank = peek(words, base + f.BANK_TIMES + (b << 3) + command)
    return max(of_bank, peek(words, base + f.GROUP_TIMES + (b >> group_shift << 3) + command))


@inlined
def act_gate(words, pc, p, base, tfaw):
    """Tick from which the pseudo-channel allows an ACT."""
    oldest = peek(pc, (p << 5) + f.FAW + peek(pc, (p << 5) + f.FAW_NEXT))
    return max(peek(words, base + f.PC_TIMES + f.ACT), oldest + tfaw)


@inlined
def enter(words, pc, p, base, now, offset, packed, position, arrival):
    """Let requests enter their windows in order; returns how many did."""
    at_pc = p << 5
    begun = peek(pc, at_pc + f.CURSOR)
    i = begun
    start = peek(pc, at_pc + f.FIRST)
    stop = peek(pc, at_pc + f.STOP)
    mode = peek(pc, at_pc + f.MODE)
    undecided = peek(pc, at_pc + f.UNDECIDED)
    waits_until = np.int64(f.NEVER)
    while i < stop:
        code = peek(packed, i)
        kind = code & 1
        count = peek(pc, at_pc + f.N_FREE + kind) - 1
        if count < 0:
            break
        if len(arrival) > 0:
            when = peek(arrival, peek(position, i)) - offset
            if when > now:
                waits_until = when
                break
        poke(pc, at_pc + f.N_FREE + kind, count)
        s = base + peek(words, base + f.FREE + (kind << 10) + count)
        b = code >> 1 & BANK_MASK
        row = code >> ROW_SHIFT
        poke(words, s + f.S_ROW, row)
        poke(words, s + f.S_LOW, (i - start + 1 & f.AGE) << 7 | b << 1)
        poke(words, s + f.S_REQUEST, i)
        poke(words, s + f.S_NEXT, 0)
        seen = _seen(base, kind, b, row)
        poke(words, seen, peek(words, seen) + 1)
        at = base + b
        tail = peek(words, at + f.TAIL + (kind << 6))
        poke(words, at + f.TAIL + (kind << 6), s - base)
        poke(words, at + f.HEAD + (kind << 6) if tail == 0 else base + tail + f.S_NEXT, s - base)
        i += 1
        # A bank that has its hit, or waits for its ACT or PRE, keeps its mind unless this one is a hit.
        has_no_hit = peek(words, at + f.TO_COLUMN) == f.BIG
        is_hit = (row == peek(words, at + f.OPEN)) & (peek(words, at + f.TO_PRE) != f.BIG)
        undecided |= np.int64(has_no_hit & ((tail == 0) | (kind != mode) | is_hit)) << b
    poke(pc, at_pc + f.UNDECIDED, undecided)
    poke(pc, at_pc + f.CURSOR, i)
    poke(pc, at_pc + f.WAITS_UNTIL, waits_until)
    return i - begun


@inlined
def turns(pc, p, windows):
    """Whether to drain writes, since their window is full or no read is left; or to turn back, since few are left."""
    reads = windows[0] - peek(pc, (p << 5) + f.N_FREE)
    writes = windows[1] - peek(pc, (p << 5) + f.N_FREE + 1)
    if peek(pc, (p << 5) + f.MODE) == 0:
        return writes > 0 and (reads == 0 or writes == windows[1])
    return writes <= windows[2] and (reads > 0 or writes == 0)


@inlined
def _find_hit(words, base, kind, b, row, oldest, max_bypass):
    """Oldest waiting request for the open row, and the one before it in its list; 0 if there is none, or if too many
    have overtaken the oldest request."""
    at = base + b
    if peek(words, at + f.BYPASS) >= max_bypass:
        return oldest if peek(words, base + oldest + f.S_ROW) == row else np.int64(0), np.int64(0)
    s = oldest
    before = np.int64(0)
    if peek(words, _seen(base, kind, b, row)) == 0:
        s = np.int64(0)
    while s != 0 and peek(words, base + s + f.S_ROW) != row:
        before = s
        s = peek(words, base + s + f.S_NEXT)
    return s, before


@inlined
def _wish(words, pc, p, base, b, max_bypass):
    """Command that a bank wants, -1 for none, and its ``low``: refresh first, then the mode's requests, then the other
    mode's rows."""
    at = base + b
    row = peek(words, at + f.OPEN)
    refreshing = peek(pc, (p << 5) + f.REFRESHING)
    if refreshing in (f.ALL, b):
        return np.int64(f.PRE) if row >= 0 else np.int64(-1), b << 1  # age 0: older than any request
    mode = peek(pc, (p << 5) + f.MODE)
    kind = mode
    oldest = peek(words, at + f.HEAD + (mode << 6))
    if oldest == 0:
        kind = 1 - mode
        oldest = peek(words, at + f.HEAD + (kind << 6))
        if oldest == 0:
            return np.int64(-1), np.int64(0)
    low = peek(words, base + oldest + f.S_LOW)
    if row < 0:
        return np.int64(f.ACT), low
    s, before = _find_hit(words, base, kind, b, row, oldest, max_bypass)
    if s == 0:
        return np.int64(f.PRE), low
    if kind != mode:
        return np.int64(-1), low
    poke(words, at + f.HIT, s)
    poke(words, at + f.BEFORE_HIT, before)
    return f.RD + mode, peek(words, base + s + f.S_LOW)


@inlined
def decide(words, pc, p, base, b, group_shift, max_bypass, tfaw):
    """Set what a bank wants, and take it into the row or the column key."""
    at = base + b
    command, low = _wish(words, pc, p, base, b, max_bypass)
    tick = ready(words, base, b, group_shift, max(command, 0))
    poke(words, at + f.LOW, low)
    poke(words, at + f.TO_ACT, tick if command == f.ACT else f.BIG)
    poke(words, at + f.TO_PRE, tick if command == f.PRE else f.BIG)
    poke(words, at + f.TO_COLUMN, tick if command > f.PRE else f.BIG)
    if command >= 0:
        gate = act_gate(words, pc, p, base, tfaw) if command == f.ACT else peek(words, base + f.PC_TIMES + command)
        place = 2 * p + (f.COLUMN_KEY if command > f.PRE else f.ROW_KEY)
        key = max(tick, gate) << KEY_SHIFT | low | np.int64(command == f.PRE)
        poke(pc, place, min(peek(pc, place), key))


@inlined
def take(words, pc, p, base, b, kind):
    """Take the bank's chosen hit from its list; returns the place of its slot."""
    at = base + b
    s = peek(words, at + f.HIT)
    before = peek(words, at + f.BEFORE_HIT)
    after = peek(words, base + s + f.S_NEXT)
    if before == 0:
        poke(words, at + f.HEAD + (kind << 6), after)
        poke(words, at + f.BYPASS, 0)
    else:
        poke(words, base + before + f.S_NEXT, after)
        poke(words, at + f.BYPASS, peek(words, at + f.BYPASS) + 1)
    if after == 0:
        poke(words, at + f.TAIL + (kind << 6), before)
    count = peek(pc, (p << 5) + f.N_FREE + kind)
    poke(words, base + f.FREE + (kind << 10) + count, s)
    poke(pc, (p << 5) + f.N_FREE + kind, count + 1)
    seen = _seen(base, kind, b, peek(words, base + s + f.S_ROW))
    poke(words, seen, peek(words, seen) - 1)
    return base + s
