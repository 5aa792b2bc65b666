"""The choice among ready nano-operations."""

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import PRIORITY_BITS, index_bits

__all__ = ["OldestFirst"]


class OldestFirst(wiring.Component):
    """Choose the most urgent candidate; among equals that of the older iteration, then the lower index.

    Timing
    ------
    Combinational (latency 0): which of the eight classes of urgency has a candidate, then the first candidate of
    the best class.

    Parameters
    ----------
    n : candidates at most

    Members
    -------
    candidates : In(n)
    urgency : In(3) of every candidate, 0 first: priority, and in the lowest bit whether it is of the newer iteration
    valid : Out(1), there is a candidate
    index : Out, the chosen one
    """

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(
            {
                "candidates": In(n),
                "urgency": In(data.ArrayLayout(PRIORITY_BITS + 1, n)),
                "valid": Out(1),
                "index": Out(index_bits(n)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n_classes = 1 << (PRIORITY_BITS + 1)
        in_class = [Signal(self.n, name=f"in_class{number}") for number in range(n_classes)]
        best = Signal(self.n)
        for number, members in enumerate(in_class):
            for index in range(self.n):
                m.d.comb += members[index].eq(self.candidates[index] & (self.urgency[index] == number))
        for members in reversed(in_class):
            with m.If(members.any()):
                m.d.comb += best.eq(members)
        for index in reversed(range(self.n)):
            with m.If(best[index]):
                m.d.comb += self.index.eq(index)
        m.d.comb += self.valid.eq(self.candidates.any())
        return m
