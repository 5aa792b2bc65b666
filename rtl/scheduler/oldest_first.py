"""The choice among ready nano-operations."""

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import PRIORITY_BITS, index_bits

__all__ = ["N_CLASSES", "OldestFirst"]

N_CLASSES = 2 << PRIORITY_BITS
"""Classes of urgency, most urgent first: priority, and within it the older iteration before the newer."""


class OldestFirst(wiring.Component):
    """Choose one of the candidates of the most urgent class that has any: the one of lowest index.

    Timing
    ------
    Combinational (latency 0).

    Parameters
    ----------
    n : descriptors

    Members
    -------
    ready : In(n) of every class, the descriptors that are ready in it
    mine : In(n), the descriptors to choose from
    valid : Out(1), there is a candidate
    index : Out, the chosen one
    newer : Out(1), it is of the newer iteration
    """

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(
            {
                "ready": In(n).array(N_CLASSES),
                "mine": In(n),
                "valid": Out(1),
                "index": Out(index_bits(n)),
                "newer": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        candidates = [Signal(self.n, name=f"candidates{number}") for number in range(N_CLASSES)]
        best = Signal(self.n)
        # both loops run from the last to the first: the last assignment, that of the first, holds
        for number in reversed(range(N_CLASSES)):
            m.d.comb += candidates[number].eq(self.ready[number] & self.mine)
            with m.If(candidates[number].any()):
                m.d.comb += [best.eq(candidates[number]), self.newer.eq(number & 1), self.valid.eq(1)]
        for index in reversed(range(self.n)):
            with m.If(best[index]):
                m.d.comb += self.index.eq(index)
        return m
