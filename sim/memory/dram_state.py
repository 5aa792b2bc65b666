"""State of one channel in the DRAM model before its first request; with fields of ``sim.memory.dram_fields``."""

import numpy as np

from sim.memory import dram_fields as field

__all__ = ["new_state"]


def new_state(n_pc: int, n_banks: int, read_window: int, write_window: int, interval: int) -> tuple[np.ndarray, ...]:
    """Arrays ``bank``, ``pc``, ``slot``, ``free``, ``todo`` and ``bus``.

    ``slot`` holds the requests in the windows, ``free`` the slots without one, ``todo`` the banks that must decide
    anew, ``bus`` the ticks from which the column and the row command bus are free. ``interval`` is the ticks between
    two refreshes; those of pseudo-channels take turns.
    """
    n_slots = read_window + write_window
    bank = np.zeros((n_pc, field.N_BANK_FIELDS, n_banks), dtype=np.int64)
    bank[:, field.GATE_ACT : field.GATE_COLUMN + 1] = field.BIG
    bank[:, field.OPEN] = -1
    bank[:, field.ACT_MAKES] = field.MISS
    bank[:, field.HEAD : field.HEAD + 2] = -1
    pc = np.zeros((n_pc, field.N_PC_FIELDS), dtype=np.int64)
    pc[:, field.STALE_ROW] = 1
    pc[:, field.STALE_COLUMN] = 1
    pc[:, field.ENTER] = 1
    pc[:, field.REFRESHING] = field.NONE
    pc[:, field.FAW : field.FAW + 4] = -field.BIG
    pc[:, field.DUE] = interval + interval * np.arange(n_pc) // n_pc
    pc[:, field.N_FREE : field.N_FREE + 2] = read_window, write_window
    free = np.zeros((n_pc, 2, max(read_window, write_window)), dtype=np.int64)
    for p in range(n_pc):
        free[p, 0, :read_window] = p * n_slots + np.arange(read_window)
        free[p, 1, :write_window] = p * n_slots + read_window + np.arange(write_window)
    slot = np.zeros((n_pc * n_slots, field.N_SLOT_FIELDS), dtype=np.int64)
    todo = np.zeros((n_pc, n_slots + 2 * n_banks), dtype=np.int64)
    return bank, pc, slot, free, todo, np.zeros(2, dtype=np.int64)
