"""L2 and DRAM together: traffic in, time and bytes out."""

from dataclasses import dataclass

import numpy as np

from arch.memory import MemorySystemConfig
from sim.memory.dram import DramRun, run_dram
from sim.memory.l2 import L2Cache, L2Run

__all__ = ["MemoryRun", "MemorySystem"]


@dataclass(frozen=True, kw_only=True)
class MemoryRun:
    """A piece of traffic through L2 and DRAM.

    Parameters
    ----------
    l2, dram : what each part did
    dirty_bytes_left : bytes written, by this run or one before, that the L2 still holds when it ends: no time of the
        DRAM is charged for them until a later run evicts their lines
    """

    l2: L2Run
    dram: DramRun
    dirty_bytes_left: int

    @property
    def bytes_requested(self) -> int:
        """Bytes the units asked for; the L2 served them all."""
        return self.l2.requests * self.l2.l2.sector_bytes

    @property
    def total_ns(self) -> float:
        """Both work at once, so the slower one's time."""
        return max(self.l2.busy_ns, self.dram.last_ns)

    @property
    def limiter(self) -> str:
        """``l2`` or ``dram``, whichever takes longer."""
        return "l2" if self.l2.busy_ns >= self.dram.last_ns else "dram"

    @property
    def bytes_per_s(self) -> float:
        """Rate the units see."""
        return self.bytes_requested / self.total_ns * 1e9 if self.l2.requests else 0.0

    @property
    def dram_bytes_per_s(self) -> float:
        """Bytes the DRAM read and wrote, over the same time."""
        return self.dram.bytes_served / self.total_ns * 1e9 if self.l2.requests else 0.0

    @property
    def mean_latency_ns(self) -> float:
        """Of a read: the L2's own time and, for the part of the reads that missed, the DRAM's mean.

        That mean is over the DRAM's reads and writes back together, from entering the controller's window: telling
        them apart in its loop takes a fiftieth of its speed. Without writes it is that of reads.
        """
        missed = self.l2.fills / self.l2.reads if self.l2.reads else 0.0
        return self.l2.l2.hit_ns + missed * self.dram.mean_latency_ns

    def check_balance(self) -> None:
        """Every byte asked for was served, and the DRAM read what missed and wrote what was written back.

        Raises
        ------
        RuntimeError
            If not: a defect of the model, whose times would mean nothing.
        """
        banks = int(self.l2.bank_bytes.sum())
        missed, back = (count * self.l2.l2.sector_bytes for count in (self.l2.fills, self.l2.write_backs))
        written = self.dram.bytes_written
        read = self.dram.bytes_served - written
        if banks != self.bytes_requested or read != missed or written != back:
            raise RuntimeError(
                f"bytes out of balance: {self.bytes_requested} asked for and {banks} served by the L2, {missed} "
                f"missed and {read} read from the DRAM, {back} written back and {written} written to it"
            )


class MemorySystem:
    """One GPU's memory, whose L2 keeps its contents from run to run.

    Parameters
    ----------
    config : the memory
    """

    def __init__(self, config: MemorySystemConfig) -> None:
        self.config = config
        self.cache = L2Cache(config.l2)

    def run(self, addresses: np.ndarray, writes: np.ndarray | None = None) -> MemoryRun:
        """Serve one sector per address, all of them asked for as fast as they are taken.

        Raises
        ------
        InputError
            As the L2 and the DRAM do.
        """
        l2 = self.cache.run(addresses, writes)
        dram = run_dram(self.config.dram, self.config.controller, l2.dram_addresses, writes=l2.dram_writes)
        run = MemoryRun(l2=l2, dram=dram, dirty_bytes_left=self.cache.dirty_bytes)
        run.check_balance()
        return run
