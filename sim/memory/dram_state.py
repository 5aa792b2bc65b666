"""Arrays of the DRAM model's loop, with the distances between commands; places as ``sim.memory.dram_fields`` says."""

import numpy as np

from arch.errors import InputError
from arch.memory import ControllerConfig, DramConfig
from sim.memory import dram_fields as f
from sim.memory.dram_lanes import COMMANDS

__all__ = ["new_state"]

_NOTHING = -f.BIG // 2
_LONGEST = 1 << 26
_CACHE_LINE = 16  # int32
_ROW, _COLUMN = {f.ACT, f.PRE}, {f.RD, f.WR}


def new_state(dram: DramConfig, controller: ControllerConfig, latencies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arrays ``words`` and ``pc`` of the channels that are run in turn; the loop sets what it changes itself.

    Parameters
    ----------
    latencies : (3, 5, 5) ticks from a command to another in the same bank, group, pseudo-channel; far below 0 for none

    Raises
    ------
    InputError
        If a timing is too long for the loop's 30 bits.
    RuntimeError
        If a rule puts off what the loop does not look at again after its command: a defect of the model.
    """
    if latencies.max() > _LONGEST:
        raise InputError(f"timings must be at most {_LONGEST} half clocks, not {latencies.max()}")
    _check_rules(latencies)
    # Vectors that cross the end of a cache line cost a sixth of the speed.
    words = np.zeros(f.N_WORDS + _CACHE_LINE, dtype=np.int32)
    words = words[-words.ctypes.data // words.itemsize % _CACHE_LINE :][: f.N_WORDS]
    pc = np.zeros(f.PC_WORDS, dtype=np.int64)
    reads, writes = controller.read_window, controller.write_window
    slots = f.SLOTS + 4 * np.arange(reads + writes)
    for p in range(f.IN_TURN * dram.n_pseudo_channels):
        pc[p << 5 | f.N_FREE :][:2] = reads, writes
        free = words[p * f.P_WORDS + f.FREE :]
        free[:reads] = slots[:reads]
        free[1024:][:writes] = slots[reads:]
    table = np.full((3, len(f.COMMANDS), COMMANDS), _NOTHING, dtype=np.int32)
    table[:, :, : len(f.COMMANDS)] = np.maximum(latencies, _NOTHING)
    words[f.LATENCY :][: table.size] = table.reshape(-1)
    wait = np.full((len(f.COMMANDS), 8, 64), _NOTHING, dtype=np.int32)
    for bank in range(dram.n_banks):
        wait[:, bank // dram.n_banks_per_group, bank] = table[f.GROUP_LEVEL].diagonal()
    words[f.GROUP_WAIT :][: wait.size] = wait.reshape(-1)
    return words, pc


def _check_rules(latencies: np.ndarray) -> None:
    """Across banks, only a REF may put off another kind of command; across a group, an ACT other ACTs and a column
    command other column commands."""
    for level, before, after in np.argwhere(latencies > 0).tolist():
        within = (before in _COLUMN and after in _COLUMN) or before == after == f.ACT
        across = within or before == f.REF or (before in _ROW and after in _ROW | {f.REF})
        if not {f.BANK_LEVEL: True, f.GROUP_LEVEL: within, f.PC_LEVEL: across}[level]:
            raise RuntimeError(f"no rule may put off {f.COMMANDS[after]} after {f.COMMANDS[before]} across banks")
