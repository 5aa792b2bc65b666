"""The choice among ready nano-operations."""

from amaranth.hdl import Cat, Elaboratable, Module, Signal
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
        lowest = Signal(self.n)
        # from the last class to the first: the last assignment, that of the first, holds
        for number in reversed(range(N_CLASSES)):
            m.d.comb += candidates[number].eq(self.ready[number] & self.mine)
            with m.If(candidates[number].any()):
                m.d.comb += [best.eq(candidates[number]), self.newer.eq(number & 1), self.valid.eq(1)]
        # a negation carries up to the lowest set bit: a carry chain is shorter and smaller than a priority encoder
        m.d.comb += lowest.eq(best & -best)
        for bit in range(len(self.index)):
            m.d.comb += self.index[bit].eq(Cat(lowest[n] for n in range(self.n) if n >> bit & 1).any())
        return m
