"""The first row and the first column command of a pseudo-channel: part of the hot loop of the DRAM model.

The compiler's cache does not see changes here: touch ``dram_kernel.py`` after one.
"""
# ruff: noqa: PLR0917 - numba takes no keywords

import numpy as np

from sim.memory import dram_fields as f
from sim.memory.dram_bank import inlined
from sim.memory.dram_lanes import (
    BANKS,
    below,
    first,
    least,
    load_banks,
    minus,
    most,
    plus,
    poke,
    spread,
    store,
    with_lane,
)  # fmt: skip

__all__ = ["first_column", "first_column_after", "first_row", "first_row_after"]


@inlined
def _row_key(words, at, acts, pres, gate_act, gate_pre):
    """Least key of the row commands of 16 banks."""
    ticks = least(most(acts, spread(acts, gate_act)), most(pres, spread(pres, gate_pre)))
    return first(ticks, minus(load_banks(words, at + f.LOW), below(pres, acts)))


@inlined
def first_row(words, pc, p, base, blocks, gate_act, gate_pre):
    """Find the key of the first row command."""
    key = np.int64(f.NEVER)
    for k in range(len(blocks)):
        at = base + k * BANKS
        acts = load_banks(words, at + f.TO_ACT)
        key = min(key, _row_key(words, at, acts, load_banks(words, at + f.TO_PRE), gate_act, gate_pre))
    poke(pc, f.ROW_KEY + 2 * p, key)


@inlined
def first_row_after(words, pc, p, base, blocks, gate_act, gate_pre, now, wait, b, to_act):
    """The same after a row command of bank ``b``, which now wants an ACT from ``to_act`` on; the command puts off the
    ACTs of each bank by what lies at ``wait``."""
    key = np.int64(f.NEVER)
    for k in range(len(blocks)):
        block = k * BANKS
        at = base + block
        acts = most(load_banks(words, at + f.TO_ACT), plus(load_banks(words, wait + block), now))
        acts = with_lane(acts, b - block, to_act)
        store(words, at + f.TO_ACT, acts)
        pres = with_lane(load_banks(words, at + f.TO_PRE), b - block, f.BIG)
        store(words, at + f.TO_PRE, pres)
        key = min(key, _row_key(words, at, acts, pres, gate_act, gate_pre))
    poke(pc, f.ROW_KEY + 2 * p, key)


@inlined
def first_column(words, pc, p, base, blocks, gate):
    """Find the key of the first column command."""
    key = np.int64(f.NEVER)
    for k in range(len(blocks)):
        at = base + k * BANKS
        columns = load_banks(words, at + f.TO_COLUMN)
        key = min(key, first(most(columns, spread(columns, gate)), load_banks(words, at + f.LOW)))
    poke(pc, f.COLUMN_KEY + 2 * p, key)


@inlined
def first_column_after(words, pc, p, base, blocks, gate, now, wait, b):
    """The same after a column command of bank ``b``, which now wants nothing, and puts off those of each bank by what
    lies at ``wait``."""
    key = np.int64(f.NEVER)
    for k in range(len(blocks)):
        block = k * BANKS
        at = base + block
        columns = most(load_banks(words, at + f.TO_COLUMN), plus(load_banks(words, wait + block), now))
        columns = with_lane(columns, b - block, f.BIG)
        store(words, at + f.TO_COLUMN, columns)
        key = min(key, first(most(columns, spread(columns, gate)), load_banks(words, at + f.LOW)))
    poke(pc, f.COLUMN_KEY + 2 * p, key)
