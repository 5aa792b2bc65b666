"""The hot loop of the DRAM model: from command to command, channel after channel.

A bank always wants one thing: a column command of the oldest row hit, an ACT, a PRE, or nothing. For each wish there is
a vector with the tick from which each bank's own rules and its group's allow it. The first row and the first column
command of a pseudo-channel are keys ``tick << 32 | age << 7 | bank << 1 | whether it is a PRE``: minima over the banks,
found anew after each command that changes other banks' share in them, and lowered by every new wish.

Each command waits for the choice that the one before it leaves, so two channels are run in turn, a command each: while
one waits, the processor works for the other. The state of both is small enough for a first-level cache.

Only the file of a compiled function counts for the compiler's cache: touch this one after a change of those it imports.
"""
# ruff: noqa: PLR0917 - numba takes no keywords

import numba
import numpy as np

from sim.memory import dram_fields as f
from sim.memory.dram_bank import act_gate, decide, enter, inlined, keep_distance, ready, take, turns
from sim.memory.dram_keys import first_column, first_column_after, first_row, first_row_after
from sim.memory.dram_lanes import COMMANDS, KEY_SHIFT, lowest_bit, peek, poke, soonest
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
def _first_refresh(words, pc, first, n_pc, n_banks, group_shift, row_from):
    """The first refresh that is due, as :func:`sim.memory.dram_lanes.soonest` gives commands; ``choice`` is 0 for the
    second pseudo-channel and 2 for the first, so that it goes before others of its tick."""
    best = np.int64(f.NEVER)
    for q in range(n_pc):
        p = first + q
        refreshing = peek(pc, (p << 5) + f.REFRESHING)
        if refreshing != f.NONE:
            tick = refresh_tick(words, p * f.P_WORDS, refreshing, n_banks, group_shift)
            if tick < f.BIG:
                best = min(best, max(tick, row_from) << 10 | 2 - 2 * q << 7)
    return best


@inlined
def _keep_all_distances(words, base, b, group_shift, command, now):
    keep_distance(words, f.PC_LEVEL, base + f.PC_TIMES, command, now)
    keep_distance(words, f.GROUP_LEVEL, base + f.GROUP_TIMES + (b >> group_shift << 3), command, now)
    keep_distance(words, f.BANK_LEVEL, base + f.BANK_TIMES + (b << 3), command, now)


@inlined
def _row_command(words, pc, p, b, blocks, command, now, group_shift, tfaw):
    """ACT or PRE, for the bank's oldest request, those of the mode first, or for a refresh.

    Which of the two comes is hard to foresee, so nothing branches on it.
    """
    base = p * f.P_WORDS
    at = base + b
    act = command == f.ACT
    _keep_all_distances(words, base, b, group_shift, command, now)
    gate_act = peek(words, base + f.PC_TIMES + f.ACT)
    gate_pre = peek(words, base + f.PC_TIMES + f.PRE)
    next_act = (p << 5) + f.FAW_NEXT
    oldest = peek(pc, next_act)
    poke(pc, (p << 5) + f.FAW + oldest + 4 * command, now)
    oldest = oldest + 1 - command & 3
    poke(pc, next_act, oldest)
    gate_act = max(gate_act, peek(pc, (p << 5) + f.FAW + oldest) + tfaw)
    mode = peek(pc, (p << 5) + f.MODE)
    s = peek(words, at + f.HEAD + (mode << 6))
    other = peek(words, at + f.HEAD + (1 - mode << 6))
    refreshing = peek(pc, (p << 5) + f.REFRESHING)
    refreshes = np.int64((refreshing == f.ALL) | (refreshing == b))
    tick = ready(words, base, b, group_shift, f.RD + mode if act else np.int64(f.ACT))
    to_act = np.int64(f.BIG) if act | (refreshes != 0) else tick
    to_column = tick if act & (s != 0) else np.int64(f.BIG)
    wait = f.GROUP_WAIT + (command << 9) + (b >> group_shift << 6)
    first_row_after(words, pc, p, base, blocks, gate_act, gate_pre, now, wait, b, to_act)
    poke(words, at + f.HIT, s)
    poke(words, at + f.BEFORE_HIT, 0)
    poke(words, at + f.TO_COLUMN, to_column)
    to_column = max(to_column, peek(words, base + f.PC_TIMES + f.RD + mode))
    key = f.COLUMN_KEY + 2 * p
    poke(pc, key, min(peek(pc, key), to_column << KEY_SHIFT | peek(words, at + f.LOW)))
    # ``command`` is 0 or 1: where values were chosen between, the compiler would branch after all.
    row = peek(words, base + (s if s != 0 else other) + f.S_ROW)
    poke(words, at + f.OPEN, row | -command)
    poke(words, at + f.COUNTS_AS, peek(words, at + f.ACT_MAKES + (f.COUNTS_AS - f.ACT_MAKES) * command))
    poke(words, at + f.ACT_MAKES, f.MISS + (f.CONFLICT - f.MISS) * (command & 1 - refreshes))


@inlined
def _column_command(words, pc, p, b, blocks, command, now, group_shift):
    """RD or WR of the bank's chosen hit; returns the place of its slot."""
    base = p * f.P_WORDS
    _keep_all_distances(words, base, b, group_shift, command, now)
    gate = peek(words, base + f.PC_TIMES + command)
    s = take(words, pc, p, base, b, command - f.RD)
    wait = f.GROUP_WAIT + (command << 9) + (b >> group_shift << 6)
    first_column_after(words, pc, p, base, blocks, gate, now, wait, b)
    poke(pc, (p << 5) + f.UNDECIDED, 1 << b)
    return s


@inlined
def _rebase(words, pc, first, n_pc, by):
    """Count all ticks from one that is ``by`` later; what is long past stays just past."""
    for p in range(first, first + n_pc):
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
def _reset(words, pc, first, n_pc, start, channel, interval):
    """State before a channel's first request; all slots are free."""
    for q in range(n_pc):
        p = first + q
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
        poke(pc, f.ROW_KEY + 2 * p, f.NEVER)
        poke(pc, f.COLUMN_KEY + 2 * p, f.NEVER)
        poke(pc, at + f.REFRESHING, f.NONE)
        # pseudo-channels, and channels, take turns
        poke(pc, at + f.DUE, _PAST + interval + interval * q // n_pc + interval * (channel & 1) // (2 * n_pc))
        poke(pc, at + f.REFRESHED, 0)
        poke(pc, at + f.CURSOR, peek(start, channel * n_pc + q))
        poke(pc, at + f.FIRST, peek(start, channel * n_pc + q))
        poke(pc, at + f.STOP, peek(start, channel * n_pc + q + 1))
        for k in range(4):
            poke(pc, at + f.FAW + k, -f.BIG)
        for k in range(2 << f.SERVED_SHIFT):
            poke(pc, at + f.SERVED + k, 0)
        poke(pc, at + f.FAW_NEXT, 0)
        poke(pc, at + f.UNDECIDED, 0)


@inlined
def _awaits(pc, first, n_pc, windows):
    """Whether a request of the channel is still in a window or before it."""
    for at in range(first << 5, first + n_pc << 5, 32):
        free = peek(pc, at + f.N_FREE) + peek(pc, at + f.N_FREE + 1)
        if free < windows[0] + windows[1] or peek(pc, at + f.CURSOR) < peek(pc, at + f.STOP):
            return True
    return False


@inlined
def _keep_served(pc, first, n_pc, channel, served):
    """At a channel's end: what its pseudo-channels counted."""
    for q in range(n_pc):
        for kind in range(2):
            for counts_as in range(f.CONFLICT + 1):
                at = (first + q << 5) + f.SERVED + (kind << f.SERVED_SHIFT) + counts_as
                served[channel * n_pc + q, kind, counts_as] = peek(pc, at)


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
    words, pc, state, pcs, blocks, requests, arrival, shape, windows, hold, refresh, sums, served, finished, trace
):
    """Run every channel to its last request.

    Parameters
    ----------
    words, pc : of :func:`sim.memory.dram_state.new_state`
    state : (IN_TURN << 4,) int64, of the channels that are run in turn, which the loop sets itself
    pcs, blocks : tuples as long as a channel has pseudo-channels, and a pseudo-channel has 16 banks: constants for the
        compiler
    requests : of :func:`sim.memory.address_map.sort_requests`
    arrival : ticks per request from which it may enter; empty for 0
    shape : n_banks, binary logarithm of the banks of a group, whether row and column commands share a bus
    windows : read_window, write_window, write_low, max_bypass
    hold : per command its bus occupancy, then tFAW, RD to end of data, WR to end of data
    refresh : per_bank, interval in ticks, a bit for each bank
    sums : (N_SUMS,) what is added up
    served : (n_buses, 2, 4) RD and WR issued, by whether they were a hit, a miss or a conflict; counted where they are
        issued, so that they can be held against what was asked for
    finished : ticks of the end of data per request; empty if not wanted
    trace : (n, 5) rows tick, pseudo-channel, command, bank, row; empty if not wanted
    """
    start, packed, position = requests
    n_pc = len(pcs)
    n_channels = len(served) // n_pc
    n_banks, group_shift, shared_bus = shape
    max_bypass, tfaw = windows[3], hold[f.TFAW]
    arrives = len(arrival) > 0
    everything = (1 << n_pc) - 1
    n_commands = np.int64(0)
    last = np.int64(0)
    request_sum = np.int64(0)
    next_channel = np.int64(0)
    for c in range(f.IN_TURN):
        poke(state, (c << 4) + f.REMAINING, 0)
        poke(state, (c << 4) + f.BEST, 0)
    running = True
    while running:
        running = False
        for c in range(f.IN_TURN):
            at_channel = c << 4
            first = c * n_pc
            channel = peek(state, at_channel + f.CHANNEL)
            remaining = peek(state, at_channel + f.REMAINING)
            now = peek(state, at_channel + f.NOW)
            offset = peek(state, at_channel + f.OFFSET)
            column_bus = peek(state, at_channel + f.COLUMN_BUS)
            row_bus = peek(state, at_channel + f.ROW_BUS)
            refresh_due = peek(state, at_channel + f.REFRESH_DUE)
            limit = peek(state, at_channel + f.LIMIT)
            best = peek(state, at_channel + f.BEST)
            touched, enters, stale = np.int64(everything), True, True
            if remaining == 0:
                if next_channel == n_channels:
                    continue
                channel = next_channel
                next_channel += 1
                _reset(words, pc, first, n_pc, start, channel, refresh[1])
                remaining = peek(start, (channel + 1) * n_pc) - peek(start, channel * n_pc)
                now = np.int64(_PAST)
                offset = np.int64(-_PAST)
                column_bus = row_bus = now
                refresh_due = np.int64(0)
                poke(state, at_channel + f.CHANNEL, channel)
                poke(state, at_channel + f.OFFSET, offset)
            elif best >> 10 >= limit:
                event = next_event(pc, first, n_pc)
                if event == f.NEVER:
                    raise RuntimeError("a channel has requests but no command to issue")
                now = max(now, event)
                if not _awaits(pc, first, n_pc, windows):
                    # Some were lost: the balance has to show it, where refreshes alone would go on for ever.
                    remaining = np.int64(0)
                    _keep_served(pc, first, n_pc, channel, served)
                refreshes_fall_due(words, pc, first, n_pc, n_banks, refresh, now)
                refresh_due = np.int64(1)
                enters = arrives
                if now > _REBASE:
                    by = now - _PAST & -2
                    _rebase(words, pc, first, n_pc, by)
                    now, offset = now - by, offset + by
                    column_bus, row_bus = max(column_bus - by, _PAST), max(row_bus - by, _PAST)
                    poke(state, at_channel + f.OFFSET, offset)
            else:
                now = best >> 10
                choice = best >> 7 & 7
                b = best >> 1 & 63
                q = choice >> 1 & 1 if n_pc > 1 else np.int64(0)
                p = first + q
                n_commands += 1
                if choice & 1:
                    command = best & 1
                    row_bus = now + peek(hold, command)
                    if shared_bus:
                        column_bus = row_bus
                    if len(trace) > 0:
                        _record(trace, n_commands - 1, now + offset, channel * n_pc + q, command, b, words, pc, p)
                    _row_command(words, pc, p, b, blocks, command, now, group_shift, tfaw)
                    stale = False
                    touched = np.int64(everything) if arrives else np.int64(0)
                elif choice < 4:
                    q = 1 - q if n_pc > 1 else np.int64(0)
                    p = first + q
                    b = peek(pc, (p << 5) + f.REFRESHING)
                    base = p * f.P_WORDS
                    if len(trace) > 0:
                        _record(trace, n_commands - 1, now + offset, channel * n_pc + q, f.REF, b, words, pc, p)
                    keep_distance(words, f.PC_LEVEL, base + f.PC_TIMES, f.REF, now)
                    if b >= 0:
                        _keep_all_distances(words, base, b, group_shift, f.REF, now)
                    row_bus = now + peek(hold, f.REF)
                    if shared_bus:
                        column_bus = row_bus
                    end_refresh(pc, p, b, refresh[2])
                    refresh_due = np.int64(0)
                    for k in range(first, first + n_pc):
                        refresh_due |= np.int64(peek(pc, (k << 5) + f.REFRESHING) != f.NONE)
                    sums[f.N_REFRESHES] += 1
                    enters = arrives
                else:
                    command = f.RD + peek(pc, (p << 5) + f.MODE)
                    if len(trace) > 0:
                        _record(trace, n_commands - 1, now + offset, channel * n_pc + q, command, b, words, pc, p)
                    column_bus = now + peek(hold, command)
                    if shared_bus:
                        row_bus = column_bus
                    s = _column_command(words, pc, p, b, blocks, command, now, group_shift)
                    end = now + offset + peek(hold, f.TO_END - f.RD + command)
                    kind = command - f.RD
                    counts_as = peek(words, p * f.P_WORDS + f.COUNTS_AS + b)
                    poke(words, p * f.P_WORDS + f.COUNTS_AS + b, 0)
                    counter = (p << 5) + f.SERVED + (kind << f.SERVED_SHIFT) + counts_as
                    poke(pc, counter, peek(pc, counter) + 1)
                    sums[f.LATENCY_SUM] += end
                    request_sum += peek(words, s + f.S_REQUEST)
                    last = max(last, end)
                    if len(finished) > 0:
                        finished[peek(position, peek(words, s + f.S_REQUEST))] = end
                    remaining -= 1
                    stale = False
                    touched = np.int64(everything) if arrives else np.int64(1) << q
                    if remaining == 0:
                        touched = np.int64(0)
                        _keep_served(pc, first, n_pc, channel, served)
            running = True
            while touched != 0:
                p = first + (lowest_bit(touched) if n_pc > 1 else np.int64(0))
                touched &= touched - 1
                base = p * f.P_WORDS
                p_stale = stale
                if enters:
                    entered = enter(words, pc, p, base, now, offset, packed, position, arrival)
                    sums[f.LATENCY_SUM] -= entered * (now + offset)
                    if turns(pc, p, windows):
                        poke(pc, (p << 5) + f.MODE, 1 - peek(pc, (p << 5) + f.MODE))
                        poke(pc, (p << 5) + f.UNDECIDED, refresh[2])
                        p_stale = True
                        sums[f.N_TURNS] += 1
                _settle(words, pc, p, base, blocks, p_stale, now, group_shift, max_bypass, tfaw)
            if stale or arrives:
                limit = min(next_event(pc, first, n_pc), f.BIG)
                poke(state, at_channel + f.LIMIT, limit)
            row_from = max(row_bus, now)
            columns, rows = f.COLUMN_KEY + 2 * first, f.ROW_KEY + 2 * first
            best = soonest(pc, columns, rows, pcs, max(column_bus, now), row_from)
            if refresh_due:
                best = min(best, _first_refresh(words, pc, first, n_pc, n_banks, group_shift, row_from))
            poke(state, at_channel + f.BEST, best)
            poke(state, at_channel + f.REMAINING, remaining)
            poke(state, at_channel + f.NOW, now)
            poke(state, at_channel + f.COLUMN_BUS, column_bus)
            poke(state, at_channel + f.ROW_BUS, row_bus)
            poke(state, at_channel + f.REFRESH_DUE, refresh_due)
    sums[f.N_COMMANDS] = n_commands
    sums[f.LAST] = last
    sums[f.REQUEST_SUM] = request_sum
