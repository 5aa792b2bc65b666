"""The hot loop of the DRAM model: from command to command of one channel.

A bank always wants one thing: a column command of the oldest row hit, an ACT, a PRE, or nothing. Its gates are 0 for
what it wants and large for the rest; the earliest tick of every command per bank is kept up to date when a command is
issued. The next row and the next column command are then minima over the banks of ``tick << 26 | age << 6 | bank``,
which the compiler turns into vector instructions; they are kept until a command or a decision touches other banks'
share in them. All functions but those of refresh are in this file, since the compiler's cache looks at no other for
changes.
"""
# ruff: noqa: PLR0917 - numba takes no keywords

import numba
import numpy as np

from sim.memory import dram_fields as f
from sim.memory.address_map import BANK_MASK, ROW_SHIFT
from sim.memory.dram_refresh import choose_refresh, refresh_tick

__all__ = ["run_channel"]

# Compiled without reference counts (_nrt): nothing is allocated, and counting the arrays that the functions hand to one
# another took four times as long as the work.
_compiled = numba.njit(cache=True, error_model="numpy", _nrt=False)
_inlined = numba.njit(cache=True, error_model="numpy", _nrt=False, forceinline=True)


@_inlined
def _let_in(now, first, stop, packed, position, arrival, bank, pc, slot, free, todo):
    """Let requests enter their windows in order; returns the tick of the next arrival if that is what they wait for."""
    i = pc[f.CURSOR]
    waits_until = f.NEVER
    while i < stop:
        code = np.int64(packed[i])
        kind = code & 1
        count = pc[f.N_FREE + kind]
        if count == 0:
            break
        if len(arrival) > 0:
            when = arrival[position[i]]
            if when > now:
                waits_until = when
                break
        pc[f.N_FREE + kind] = count - 1
        s = free[kind, count - 1]
        b = code >> 1 & BANK_MASK
        row = code >> ROW_SHIFT
        slot[s, f.S_ROW] = row
        slot[s, f.S_AGE] = ((i - first + 1) & f.AGE) << 6 | b
        slot[s, f.S_ENTERED] = now
        slot[s, f.S_REQUEST] = i
        slot[s, f.S_NEXT] = -1
        alone = bank[f.HEAD + kind, b] < 0
        if alone:
            bank[f.HEAD + kind, b] = s
        else:
            slot[bank[f.TAIL + kind, b], f.S_NEXT] = s
        bank[f.TAIL + kind, b] = s
        i += 1
        # A bank that has its hit, or waits for its ACT or PRE, keeps its mind unless this one is a hit.
        if bank[f.GATE_COLUMN, b] != 0 and (
            alone or kind != pc[f.MODE] or (bank[f.GATE_PRE, b] == 0 and row == bank[f.OPEN, b])
        ):
            todo[pc[f.N_TODO]] = b
            pc[f.N_TODO] += 1
    pc[f.CURSOR] = i
    return waits_until


@_inlined
def _decide(b, max_bypass, bank, pc, slot):
    """Set the gates of bank ``b``: refresh first, then the mode's requests, then the other mode's rows."""
    bank[f.GATE_ACT, b] = f.BIG
    bank[f.GATE_PRE, b] = f.BIG
    bank[f.GATE_COLUMN, b] = f.BIG
    row = bank[f.OPEN, b]
    if pc[f.REFRESHING] in (f.ALL, b):
        if row >= 0:
            bank[f.GATE_PRE, b] = 0
            bank[f.LOW, b] = b  # age 0: older than any request
        return
    mode = pc[f.MODE]
    kind = mode
    if bank[f.HEAD + kind, b] < 0:
        kind = 1 - mode
        if bank[f.HEAD + kind, b] < 0:
            return
    oldest = bank[f.HEAD + kind, b]
    bank[f.LOW, b] = slot[oldest, f.S_AGE]
    if row < 0:
        bank[f.GATE_ACT, b] = 0
        return
    s = oldest
    before = np.int64(-1)
    if bank[f.BYPASS, b] < max_bypass:
        while s >= 0 and slot[s, f.S_ROW] != row:
            before = s
            s = slot[s, f.S_NEXT]
    elif slot[oldest, f.S_ROW] != row:
        s = -1
    if s < 0:
        bank[f.GATE_PRE, b] = 0
    elif kind == mode:
        bank[f.GATE_COLUMN, b] = 0
        bank[f.LOW, b] = slot[s, f.S_AGE]
        bank[f.HIT, b] = s
        bank[f.BEFORE_HIT, b] = before


@_inlined
def _earliest(n_banks, tfaw, bank, pc):
    """Find the stale ones of the keys of the earliest row and of the earliest column command."""
    if pc[f.STALE_ROW]:
        rows = np.int64(f.NEVER)
        act = max(pc[f.ACT], pc[f.FAW + pc[f.FAW_NEXT]] + tfaw)
        pre = pc[f.PRE]
        for b in range(n_banks):
            to_act = max(bank[f.ACT, b] + bank[f.GATE_ACT, b], act)
            to_pre = max(bank[f.PRE, b] + bank[f.GATE_PRE, b], pre)
            rows = min(rows, min(to_act, to_pre) << f.KEY_SHIFT | bank[f.LOW, b])
        pc[f.ROW_KEY] = rows
    if pc[f.STALE_COLUMN]:
        columns = np.int64(f.NEVER)
        command = f.RD + pc[f.MODE]
        column = pc[command]
        for b in range(n_banks):
            to_column = max(bank[command, b] + bank[f.GATE_COLUMN, b], column)
            columns = min(columns, to_column << f.KEY_SHIFT | bank[f.LOW, b])
        pc[f.COLUMN_KEY] = columns
    pc[f.STALE_ROW] = pc[f.STALE_COLUMN] = 0


@_inlined
def _consider(b, key, command, gate, bank, pc):
    """Take a bank's new wish for a command, not before ``gate``, into the row or the column key."""
    pc[key] = min(pc[key], max(bank[command, b], gate) << f.KEY_SHIFT | bank[f.LOW, b])


@_inlined
def _reconsider(b, tfaw, max_bypass, bank, pc, slot):
    """Let a bank decide anew; a wish it gives up makes the key stale, a new one only lowers it."""
    pc[f.STALE_ROW] |= min(bank[f.GATE_ACT, b], bank[f.GATE_PRE, b]) == 0
    pc[f.STALE_COLUMN] |= bank[f.GATE_COLUMN, b] == 0
    _decide(b, max_bypass, bank, pc, slot)
    if bank[f.GATE_COLUMN, b] == 0:
        _consider(b, f.COLUMN_KEY, f.RD + pc[f.MODE], pc[f.RD + pc[f.MODE]], bank, pc)
    elif bank[f.GATE_ACT, b] == 0:
        _consider(b, f.ROW_KEY, f.ACT, max(pc[f.ACT], pc[f.FAW + pc[f.FAW_NEXT]] + tfaw), bank, pc)
    elif bank[f.GATE_PRE, b] == 0:
        _consider(b, f.ROW_KEY, f.PRE, pc[f.PRE], bank, pc)


@_inlined
def _turn(windows, n_banks, pc, todo, sums):
    """Drain writes when their window is full or no read is left; turn back when few are left."""
    reads = windows[0] - pc[f.N_FREE]
    writes = windows[1] - pc[f.N_FREE + 1]
    mode = pc[f.MODE]
    if mode == 0:
        turns = writes > 0 and (reads == 0 or writes == windows[1])
    else:
        turns = writes <= windows[2] and (reads > 0 or writes == 0)
    if turns:
        pc[f.MODE] = 1 - mode
        pc[f.STALE_ROW] = pc[f.STALE_COLUMN] = 1
        sums[f.N_TURNS] += 1
        pc[f.N_TODO] = n_banks
        for b in range(n_banks):
            todo[b] = b


@_inlined
def _fall_due(now, n_banks, refresh, bank, pc, todo):
    if pc[f.REFRESHING] != f.NONE or pc[f.DUE] > now:
        return
    pc[f.DUE] += refresh[1]
    pc[f.REFRESHING] = choose_refresh(refresh[0], n_banks, bank, pc)
    for b in range(n_banks):
        if pc[f.REFRESHING] in (f.ALL, b):
            todo[pc[f.N_TODO]] = b
            pc[f.N_TODO] += 1


@_inlined
def _keep_distance(b, command, now, per_group, latency, bank, pc):
    """Put off whatever the constraints put off after this command."""
    for other in range(5):
        pc[other] = max(pc[other], now + latency[f.PC_LEVEL, command, other])
    if b < 0:
        return
    group = b // per_group * per_group
    for other in range(5):
        bank[other, b] = max(bank[other, b], now + latency[f.BANK_LEVEL, command, other])
        wait = latency[f.GROUP_LEVEL, command, other]
        if wait > 0:
            for k in range(group, group + per_group):
                bank[other, k] = max(bank[other, k], now + wait)


@_inlined
def _take(b, bank, pc, slot, free, todo):
    """Take the bank's chosen hit from its list; returns its slot."""
    kind = pc[f.MODE]
    s = bank[f.HIT, b]
    before = bank[f.BEFORE_HIT, b]
    after = slot[s, f.S_NEXT]
    if before < 0:
        bank[f.HEAD + kind, b] = after
        bank[f.BYPASS, b] = 0
    else:
        slot[before, f.S_NEXT] = after
        bank[f.BYPASS, b] += 1
    if after < 0:
        bank[f.TAIL + kind, b] = before
    free[kind, pc[f.N_FREE + kind]] = s
    pc[f.N_FREE + kind] += 1
    pc[f.ENTER] = 1
    todo[0] = b
    pc[f.N_TODO] = 1
    return s


@_inlined
def _activate(b, now, bank, pc, slot):
    """Open the row of the bank's oldest request; those of the mode go first."""
    pc[f.FAW + pc[f.FAW_NEXT]] = now
    pc[f.FAW_NEXT] = (pc[f.FAW_NEXT] + 1) & 3
    bank[f.GATE_ACT, b] = f.BIG
    s = bank[f.HEAD + pc[f.MODE], b]
    if s >= 0:
        bank[f.GATE_COLUMN, b] = 0
        bank[f.HIT, b] = s
        bank[f.BEFORE_HIT, b] = -1
        _consider(b, f.COLUMN_KEY, f.RD + pc[f.MODE], pc[f.RD + pc[f.MODE]], bank, pc)
    else:
        s = bank[f.HEAD + 1 - pc[f.MODE], b]
    bank[f.OPEN, b] = slot[s, f.S_ROW]
    bank[f.COUNTS_AS, b] = bank[f.ACT_MAKES, b]
    bank[f.ACT_MAKES, b] = f.MISS


@_inlined
def _precharge(b, bank, pc):
    """Close the row, for a refresh or for the bank's oldest request."""
    bank[f.OPEN, b] = -1
    bank[f.GATE_PRE, b] = f.BIG
    if pc[f.REFRESHING] in (f.ALL, b):
        bank[f.ACT_MAKES, b] = f.MISS
    else:
        bank[f.ACT_MAKES, b] = f.CONFLICT
        bank[f.GATE_ACT, b] = 0


@_inlined
def _end_refresh(b, n_banks, pc, todo):
    pc[f.REFRESHING] = f.NONE
    for k in range(n_banks):
        if b in (f.ALL, k):
            todo[pc[f.N_TODO]] = k
            pc[f.N_TODO] += 1
    if b >= 0:
        pc[f.REFRESHED] |= 1 << b
        if pc[f.REFRESHED] == (1 << n_banks) - 1:
            pc[f.REFRESHED] = 0


@_inlined
def _chosen(kind, bank, pc):
    """Bank and number of the command of this kind."""
    if kind == f.COLUMN:
        return pc[f.COLUMN_KEY] & 63, f.RD + pc[f.MODE]
    if kind == f.ROW:
        b = pc[f.ROW_KEY] & 63
        return b, np.int64(f.ACT if bank[f.GATE_ACT, b] == 0 else f.PRE)
    return pc[f.REFRESHING], np.int64(f.REF)


@_inlined
def _record(line, now, bus, command, b, bank, pc, slot):
    line[0], line[1], line[2], line[3], line[4] = now, bus, command, max(b, -1), -1
    if command == f.ACT:
        s = bank[f.HEAD + pc[f.MODE], b]
        line[4] = slot[s if s >= 0 else bank[f.HEAD + 1 - pc[f.MODE], b], f.S_ROW]
    elif b >= 0:
        line[4] = bank[f.OPEN, b]


@_inlined
def _next_command(base, now, requests, arrival, n_banks, row_bus, windows, tfaw, sums, bank, pc, slot, free, todo, bus):
    """Settle what each pseudo-channel wants; returns tick, pseudo-channel and kind of the first command, and the tick
    of an arrival or a refresh that may come before it."""
    start, packed, position = requests
    event = np.int64(f.NEVER)
    best = np.int64(f.NEVER)
    best_p, best_kind = 0, 0
    for p in range(len(pc)):
        if pc[p, f.ENTER]:
            pc[p, f.ENTER] = len(arrival) > 0
            first, stop = start[base + p], start[base + p + 1]
            when = _let_in(now, first, stop, packed, position, arrival, bank[p], pc[p], slot, free[p], todo[p])
            event = min(event, when)
            _turn(windows, n_banks, pc[p], todo[p], sums)
        if pc[p, f.N_TODO] > 0:
            for k in range(pc[p, f.N_TODO]):
                _reconsider(todo[p, k], tfaw, windows[3], bank[p], pc[p], slot)
            pc[p, f.N_TODO] = 0
        _earliest(n_banks, tfaw, bank[p], pc[p])
        tick = max(pc[p, f.COLUMN_KEY] >> f.KEY_SHIFT, bus[0], now)
        tick += tick & 1  # column commands start with a clock
        if tick < best:
            best, best_p, best_kind = tick, p, f.COLUMN
        tick = max(pc[p, f.ROW_KEY] >> f.KEY_SHIFT, bus[row_bus], now)
        if tick < best:
            best, best_p, best_kind = tick, p, f.ROW
        if pc[p, f.REFRESHING] == f.NONE:
            event = min(event, pc[p, f.DUE])
        else:
            ready = refresh_tick(n_banks, bank[p], pc[p])
            tick = max(ready, bus[row_bus], now)
            if ready < f.BIG and tick <= best:
                best, best_p, best_kind = tick, p, f.REFRESH
    return best, best_p, best_kind, event


@_compiled
def run_channel(
    base, remaining, state, requests, arrival, shape, windows, latency, stales, hold, refresh, sums, finished, trace
):
    """Run one channel to its last request.

    Parameters
    ----------
    base, remaining : its first pseudo-channel, the number of its requests
    state : of :func:`sim.memory.dram_state.new_state`
    requests : of :func:`sim.memory.address_map.sort_requests`
    arrival : ticks per request from which it may enter; empty for 0
    shape : n_groups, n_banks, row_bus: 0 if row commands share the bus of column commands, else 1
    windows : read_window, write_window, write_low, max_bypass
    latency : (3, 5, 5) ticks from a command to another in the same bank, group, pseudo-channel; far below 0 where none
    stales : per command, what it changes for other banks than its own: 1 for their row commands, 2 for their column
        commands, 3 for both
    hold : per command its bus occupancy, then tFAW, RD to end of data, WR to end of data
    refresh : per_bank, interval in ticks
    sums : (8,) what is added up
    finished : ticks of the end of data per request; empty if not wanted
    trace : (n, 5) rows tick, pseudo-channel, command, bank, row; empty if not wanted
    """
    bank, pc, slot, free, todo, bus = state
    n_banks, row_bus = shape[1], shape[2]
    now = np.int64(0)
    while remaining > 0:
        tick, p, kind, event = _next_command(
            base, now, requests, arrival, n_banks, row_bus, windows, hold[f.TFAW], sums, bank, pc, slot, free, todo, bus
        )
        if event <= tick:
            if event >= f.BIG:
                raise RuntimeError("a channel has requests but no command to issue")
            now = max(now, event)
            for q in range(len(pc)):
                _fall_due(now, n_banks, refresh, bank[q], pc[q], todo[q])
            continue
        now = tick
        b, command = _chosen(kind, bank[p], pc[p])
        pc[p, f.STALE_ROW] |= stales[command] & 1
        pc[p, f.STALE_COLUMN] |= stales[command] >> 1
        bus[0 if kind == f.COLUMN else row_bus] = now + hold[command]
        if len(trace) > 0:
            if sums[f.N_COMMANDS] == len(trace):
                raise RuntimeError("the trace is full")
            _record(trace[sums[f.N_COMMANDS]], now, base + p, command, b, bank[p], pc[p], slot)
        sums[f.N_COMMANDS] += 1
        _keep_distance(b, command, now, n_banks // shape[0], latency, bank[p], pc[p])
        if command == f.ACT:
            _activate(b, now, bank[p], pc[p], slot)
        elif command == f.PRE:
            _precharge(b, bank[p], pc[p])
        elif command == f.REF:
            _end_refresh(b, n_banks, pc[p], todo[p])
            sums[f.N_REFRESHES] += 1
        else:
            s = _take(b, bank[p], pc[p], slot, free[p], todo[p])
            end = now + hold[f.TO_END + command - f.RD]
            sums[bank[p, f.COUNTS_AS, b]] += 1
            bank[p, f.COUNTS_AS, b] = 0
            sums[f.LATENCY] += end - slot[s, f.S_ENTERED]
            sums[f.LAST] = max(sums[f.LAST], end)
            if len(finished) > 0:
                finished[requests[2][slot[s, f.S_REQUEST]]] = end
            remaining -= 1
