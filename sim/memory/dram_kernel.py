"""The hot loop of the DRAM model: from command to command, channel after channel.

A bank always wants one thing: a column command of the oldest row hit, an ACT, a PRE, or nothing. For each wish there is
a vector with the tick from which each bank's own rules and its group's allow it. The first row and the first column
command of a pseudo-channel are keys ``tick << 32 | age << 7 | bank << 1 | whether it is a PRE``: minima over the banks,
found anew after each command that changes other banks' share in them, and lowered by every new wish. The state of a
channel is small enough for a first-level cache, so channels are run one after the other.

Only the file of a compiled function counts for the compiler's cache: touch this one after a change of those it imports.
"""
# ruff: noqa: PLR0917 - numba takes no keywords

import numba
import numpy as np

from sim.memory import dram_fields as f
from sim.memory.dram_bank import act_gate, decide, enter, inlined, keep_distance, ready, take, turns
from sim.memory.dram_keys import first_column, first_column_after, first_row, first_row_after_act, first_row_after_pre
from sim.memory.dram_lanes import COMMANDS, KEY_SHIFT, lowest_bit, peek, poke
from sim.memory.dram_refresh import end_refresh, next_event, refresh_tick, refreshes_fall_due

__all__ = ["run_channels"]

_compiled = numba.njit(cache=True, error_model="numpy", _nrt=False)

_PAST = 1 << 20
"""Ticks are counted from here, and what is long past stays here: keys are compared as float64 and must be normal."""
_REBASE = 1 << 28
"""The loop counts anew when it has come this far, so that ticks fit 30 bits."""


@inlined
def _settle(words, pc, p, base, blocks, stale, now, group_shift, max_bypass, tfaw):
    """Let banks decide anew; a wish that one gives up makes its key stale, a new one only lowers it."""
    row_stale = column_stale = stale
    undecided = peek(pc, (p << 5) + f.UNDECIDED)
    while undecided != 0:
        b = lowest_bit(undecided)
        undecided &= undecided - 1
        row_stale |= min(peek(words, base + f.TO_ACT + b), peek(words, base + f.TO_PRE + b)) != f.BIG
        column_stale |= peek(words, base + f.TO_COLUMN + b) != f.BIG
        decide(words, pc, p, base, b, group_shift, max_bypass, tfaw)
    poke(pc, (p << 5) + f.UNDECIDED, 0)
    if row_stale:
        gate_act = act_gate(words, pc, p, base, tfaw)
        gate_pre = peek(words, base + f.PC_TIMES + f.PRE)
        first_row(words, pc, p, base, blocks, gate_act, gate_pre)
    if column_stale:
        gate = peek(words, base + f.PC_TIMES + f.RD + peek(pc, (p << 5) + f.MODE))
        first_column(words, pc, p, base, blocks, gate)


@inlined
def _choose(words, pc, n_pc, n_banks, group_shift, column_from, row_from):
    """The command that can come first: ``tick << 10 | choice << 7 | bank << 1 | whether it is a PRE``.

    ``choice`` is such that of two commands for one tick the lesser goes first: 0 and 2 for a refresh of the second and
    the first pseudo-channel, then 4 + 2 p for a column command and 5 + 2 p for a row command of pseudo-channel p.
    """
    best = np.int64(f.NEVER)
    for p in range(n_pc):
        column_key = peek(pc, (p << 5) + f.COLUMN_KEY)
        row_key = peek(pc, (p << 5) + f.ROW_KEY)
        column = max(column_key >> KEY_SHIFT, column_from)
        column += column & 1  # column commands start with a clock
        row = max(row_key >> KEY_SHIFT, row_from)
        best = min(best, column << 10 | 4 + 2 * p << 7 | column_key & 127)
        best = min(best, row << 10 | 5 + 2 * p << 7 | row_key & 127)
        refreshing = peek(pc, (p << 5) + f.REFRESHING)
        if refreshing != f.NONE:
            tick = refresh_tick(words, p * f.P_WORDS, refreshing, n_banks, group_shift)
            if tick < f.BIG:
                best = min(best, max(tick, row_from) << 10 | 2 - 2 * p << 7)
    return best


@inlined
def _keep_all_distances(words, base, b, group_shift, command, now):
    keep_distance(words, f.PC_LEVEL, base + f.PC_TIMES, command, now)
    keep_distance(words, f.GROUP_LEVEL, base + f.GROUP_TIMES + (b >> group_shift << 3), command, now)
    keep_distance(words, f.BANK_LEVEL, base + f.BANK_TIMES + (b << 3), command, now)


@inlined
def _gate_after(words, base, command, other, now):
    """Tick from which the pseudo-channel will allow the other command, after this one now."""
    latency = peek(words, f.LATENCY + (f.PC_LEVEL * len(f.COMMANDS) + command) * COMMANDS + other)
    return max(peek(words, base + f.PC_TIMES + other), now + latency)


@inlined
def _activate(words, pc, p, base, b, group_shift, now):
    """Open the row of the bank's oldest request; those of the mode go first."""
    at = base + b
    oldest_act = peek(pc, (p << 5) + f.FAW_NEXT)
    poke(pc, (p << 5) + f.FAW + oldest_act, now)
    poke(pc, (p << 5) + f.FAW_NEXT, oldest_act + 1 & 3)
    mode = peek(pc, (p << 5) + f.MODE)
    s = peek(words, at + f.HEAD + (mode << 6))
    if s != 0:
        poke(words, at + f.HIT, s)
        poke(words, at + f.BEFORE_HIT, 0)
        tick = ready(words, base, b, group_shift, f.RD + mode)
        poke(words, at + f.TO_COLUMN, tick)
        tick = max(tick, peek(words, base + f.PC_TIMES + f.RD + mode))
        key = tick << KEY_SHIFT | peek(words, at + f.LOW)
        poke(pc, (p << 5) + f.COLUMN_KEY, min(peek(pc, (p << 5) + f.COLUMN_KEY), key))
    else:
        s = peek(words, at + f.HEAD + (1 - mode << 6))
    poke(words, at + f.OPEN, peek(words, base + s + f.S_ROW))
    poke(words, at + f.COUNTS_AS, peek(words, at + f.ACT_MAKES))
    poke(words, at + f.ACT_MAKES, f.MISS)


@inlined
def _row_command(words, pc, p, b, blocks, command, now, group_shift, tfaw):
    """ACT or PRE, for the bank's oldest request or for a refresh."""
    base = p * f.P_WORDS
    gate_act = _gate_after(words, base, command, f.ACT, now)
    gate_pre = _gate_after(words, base, command, f.PRE, now)
    keep_distance(words, f.PC_LEVEL, base + f.PC_TIMES, command, now)
    if command == f.ACT:
        keep_distance(words, f.GROUP_LEVEL, base + f.GROUP_TIMES + (b >> group_shift << 3), f.ACT, now)
        keep_distance(words, f.BANK_LEVEL, base + f.BANK_TIMES + (b << 3), f.ACT, now)
        _activate(words, pc, p, base, b, group_shift, now)
        gate_act = max(gate_act, peek(pc, (p << 5) + f.FAW + peek(pc, (p << 5) + f.FAW_NEXT)) + tfaw)
        wait = f.GROUP_WAIT + (f.ACT << 9) + (b >> group_shift << 6)
        first_row_after_act(words, pc, p, base, blocks, gate_act, gate_pre, now, wait, b)
    else:
        keep_distance(words, f.BANK_LEVEL, base + f.BANK_TIMES + (b << 3), f.PRE, now)
        poke(words, base + f.OPEN + b, -1)
        refreshing = peek(pc, (p << 5) + f.REFRESHING)
        if refreshing in (f.ALL, b):
            poke(words, base + f.ACT_MAKES + b, f.MISS)
            to_act = np.int64(f.BIG)
        else:
            poke(words, base + f.ACT_MAKES + b, f.CONFLICT)
            to_act = ready(words, base, b, group_shift, f.ACT)
        gate_act = max(gate_act, peek(pc, (p << 5) + f.FAW + peek(pc, (p << 5) + f.FAW_NEXT)) + tfaw)
        first_row_after_pre(words, pc, p, base, blocks, gate_act, gate_pre, b, to_act)


@inlined
def _column_command(words, pc, p, b, blocks, command, now, group_shift):
    """RD or WR of the bank's chosen hit; returns the place of its slot."""
    base = p * f.P_WORDS
    gate = _gate_after(words, base, command, command, now)
    _keep_all_distances(words, base, b, group_shift, command, now)
    s = take(words, pc, p, base, b, command - f.RD)
    wait = f.GROUP_WAIT + (command << 9) + (b >> group_shift << 6)
    first_column_after(words, pc, p, base, blocks, gate, now, wait, b)
    poke(pc, (p << 5) + f.UNDECIDED, 1 << b)
    return s


@inlined
def _rebase(words, pc, n_pc, by):
    """Count all ticks from one that is ``by`` later; what is long past stays just past."""
    for p in range(n_pc):
        base = p * f.P_WORDS
        for at in range(base + f.BANK_TIMES, base + f.PC_TIMES + COMMANDS):
            poke(words, at, max(peek(words, at) - by, _PAST))
        for at in range(base + f.TO_ACT, base + f.LOW):
            if peek(words, at) != f.BIG:
                poke(words, at, max(peek(words, at) - by, _PAST))
        for at in range((p << 5) + f.FAW, (p << 5) + f.FAW + 4):
            poke(pc, at, max(peek(pc, at) - by, -f.BIG))
        poke(pc, (p << 5) + f.DUE, peek(pc, (p << 5) + f.DUE) - by)
        if peek(pc, (p << 5) + f.WAITS_UNTIL) != f.NEVER:
            poke(pc, (p << 5) + f.WAITS_UNTIL, peek(pc, (p << 5) + f.WAITS_UNTIL) - by)


@inlined
def _reset(words, pc, n_pc, start, channel, interval):
    """State before a channel's first request; all slots are free."""
    for p in range(n_pc):
        base = p * f.P_WORDS
        for at in range(base, base + f.BANK_TIMES):
            poke(words, at, 0)
        for at in range(base + f.BANK_TIMES, base + f.PC_TIMES + COMMANDS):
            poke(words, at, _PAST)
        for at in range(base + f.TO_ACT, base + f.LOW):
            poke(words, at, f.BIG)
        for b in range(64):
            poke(words, base + f.OPEN + b, -1)
            poke(words, base + f.ACT_MAKES + b, f.MISS)
        at = p << 5
        poke(pc, at + f.MODE, 0)
        poke(pc, at + f.ROW_KEY, f.NEVER)
        poke(pc, at + f.COLUMN_KEY, f.NEVER)
        poke(pc, at + f.REFRESHING, f.NONE)
        # pseudo-channels, and channels, take turns
        poke(pc, at + f.DUE, _PAST + interval + interval * p // n_pc + interval * (channel & 1) // (2 * n_pc))
        poke(pc, at + f.REFRESHED, 0)
        poke(pc, at + f.CURSOR, peek(start, channel * n_pc + p))
        poke(pc, at + f.FIRST, peek(start, channel * n_pc + p))
        poke(pc, at + f.STOP, peek(start, channel * n_pc + p + 1))
        for k in range(4):
            poke(pc, at + f.FAW + k, -f.BIG)
        poke(pc, at + f.FAW_NEXT, 0)
        poke(pc, at + f.UNDECIDED, 0)


@inlined
def _record(trace, n, tick, bus, command, b, words, pc, p):
    """Write a command to line ``n`` of the trace, before it is carried out."""
    if n >= len(trace):
        raise RuntimeError("the trace is full")
    line = trace[n]
    line[0], line[1], line[2], line[3], line[4] = tick, bus, command, max(b, -1), -1
    at = p * f.P_WORDS + b
    if command == f.ACT:
        s = peek(words, at + f.HEAD + (peek(pc, (p << 5) + f.MODE) << 6))
        if s == 0:
            s = peek(words, at + f.HEAD + (1 - peek(pc, (p << 5) + f.MODE) << 6))
        line[4] = peek(words, p * f.P_WORDS + s + f.S_ROW)
    elif b >= 0:
        line[4] = peek(words, at + f.OPEN)


@_compiled
def run_channels(  # noqa: PLR0912, PLR0915 - one loop; its parts that are worth a name have one
    words, pc, n_channels, pcs, blocks, requests, arrival, shape, windows, hold, refresh, sums, finished, trace
):
    """Run every channel to its last request.

    Parameters
    ----------
    words, pc : of :func:`sim.memory.dram_state.new_state`
    n_channels : how many, one after the other
    pcs, blocks : tuples as long as a channel has pseudo-channels, and a pseudo-channel has 16 banks: constants for the
        compiler
    requests : of :func:`sim.memory.address_map.sort_requests`
    arrival : ticks per request from which it may enter; empty for 0
    shape : n_banks, binary logarithm of the banks of a group, whether row and column commands share a bus
    windows : read_window, write_window, write_low, max_bypass
    hold : per command its bus occupancy, then tFAW, RD to end of data, WR to end of data
    refresh : per_bank, interval in ticks, a bit for each bank
    sums : (8,) what is added up
    finished : ticks of the end of data per request; empty if not wanted
    trace : (n, 5) rows tick, pseudo-channel, command, bank, row; empty if not wanted
    """
    start, packed, position = requests
    n_pc = len(pcs)
    n_banks, group_shift, shared_bus = shape
    max_bypass, tfaw = windows[3], hold[f.TFAW]
    arrives = len(arrival) > 0
    everything = (1 << n_pc) - 1
    n_commands = np.int64(0)
    last = np.int64(0)
    for channel in range(n_channels):
        _reset(words, pc, n_pc, start, channel, refresh[1])
        remaining = peek(start, (channel + 1) * n_pc) - peek(start, channel * n_pc)
        now = np.int64(_PAST)
        offset = np.int64(-_PAST)
        column_bus = row_bus = now
        touched, enters, stale = np.int64(everything), True, True
        limit = np.int64(0)
        while remaining > 0:
            for q in range(n_pc):
                if touched >> q & 1:
                    base = q * f.P_WORDS
                    q_stale = stale
                    if enters:
                        entered = enter(words, pc, q, base, now, offset, packed, position, arrival)
                        sums[f.LATENCY_SUM] -= entered * (now + offset)
                        if turns(pc, q, windows):
                            poke(pc, (q << 5) + f.MODE, 1 - peek(pc, (q << 5) + f.MODE))
                            poke(pc, (q << 5) + f.UNDECIDED, refresh[2])
                            q_stale = True
                            sums[f.N_TURNS] += 1
                    _settle(words, pc, q, base, blocks, q_stale, now, group_shift, max_bypass, tfaw)
            if stale or arrives:
                limit = min(next_event(pc, n_pc), f.BIG)
            while True:
                best = _choose(words, pc, n_pc, n_banks, group_shift, max(column_bus, now), max(row_bus, now))
                choice = best >> 7 & 7
                if best >> 10 >= limit or choice & 1 == 0:
                    break
                now = best >> 10
                p = (choice >> 1) - 2 if n_pc > 1 else np.int64(0)
                b = best >> 1 & 63
                command = best & 1
                row_bus = now + peek(hold, command)
                if shared_bus:
                    column_bus = row_bus
                if len(trace) > 0:
                    _record(trace, n_commands, now + offset, channel * n_pc + p, command, b, words, pc, p)
                n_commands += 1
                _row_command(words, pc, p, b, blocks, command, now, group_shift, tfaw)
                if arrives:
                    break
            if best >> 10 >= limit:
                event = next_event(pc, n_pc)
                if event == f.NEVER:
                    raise RuntimeError("a channel has requests but no command to issue")
                now = max(now, event)
                refreshes_fall_due(words, pc, n_pc, n_banks, refresh, now)
                if now > _REBASE:
                    by = now - _PAST & -2
                    _rebase(words, pc, n_pc, by)
                    now, offset = now - by, offset + by
                    column_bus, row_bus = max(column_bus - by, _PAST), max(row_bus - by, _PAST)
                touched, enters, stale = np.int64(everything), arrives, True
                continue
            if choice & 1:
                touched, enters, stale = np.int64(everything), True, False
                continue
            now = best >> 10
            n_commands += 1
            if choice < 4:
                p = 1 - (choice >> 1) if n_pc > 1 else np.int64(0)
                b = peek(pc, (p << 5) + f.REFRESHING)
                base = p * f.P_WORDS
                if len(trace) > 0:
                    _record(trace, n_commands - 1, now + offset, channel * n_pc + p, f.REF, b, words, pc, p)
                keep_distance(words, f.PC_LEVEL, base + f.PC_TIMES, f.REF, now)
                if b >= 0:
                    _keep_all_distances(words, base, b, group_shift, f.REF, now)
                row_bus = now + peek(hold, f.REF)
                if shared_bus:
                    column_bus = row_bus
                end_refresh(pc, p, b, refresh[2])
                sums[f.N_REFRESHES] += 1
                touched, enters, stale = np.int64(everything), arrives, True
            else:
                p = (choice >> 1) - 2 if n_pc > 1 else np.int64(0)
                b = best >> 1 & 63
                command = f.RD + peek(pc, (p << 5) + f.MODE)
                if len(trace) > 0:
                    _record(trace, n_commands - 1, now + offset, channel * n_pc + p, command, b, words, pc, p)
                column_bus = now + peek(hold, command)
                if shared_bus:
                    row_bus = column_bus
                s = _column_command(words, pc, p, b, blocks, command, now, group_shift)
                end = now + offset + peek(hold, f.TO_END - f.RD + command)
                counts_as = peek(words, p * f.P_WORDS + f.COUNTS_AS + b)
                poke(words, p * f.P_WORDS + f.COUNTS_AS + b, 0)
                poke(sums, counts_as, peek(sums, counts_as) + 1)
                sums[f.LATENCY_SUM] += end
                last = max(last, end)
                if len(finished) > 0:
                    finished[peek(position, peek(words, s + f.S_REQUEST))] = end
                remaining -= 1
                touched = np.int64(everything) if arrives else np.int64(1 << p)
                enters, stale = True, False
    sums[f.N_COMMANDS] = n_commands
    sums[f.LAST] = last
