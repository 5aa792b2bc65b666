"""The order among the ready nano-operations of a unit."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import PRIORITY_BITS, index_bits

__all__ = ["OldestFirst"]


class OldestFirst(wiring.Component):
    """Choose the candidate of the most urgent priority, of those one of the older iteration, of those the lowest index.

    Bit by bit of the key, the highest first: if a candidate has it clear, those that have it set drop out. Every
    descriptor has one candidate at most, so the iteration is a bit of the key like those of the priority.

    Timing
    ------
    Combinational (latency 0).

    Parameters
    ----------
    n : descriptors

    Members
    -------
    ready : In(n), the descriptors that are ready
    mine : In(n), the descriptors to choose from
    priority : In(n) of every bit of the priority, lowest bit first
    newer : In(n), whose candidate is of the newer iteration
    valid : Out(1), there is a candidate
    index : Out, the chosen one
    chosen_newer : Out(1), it is of the newer iteration
    """

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(
            {
                "ready": In(n),
                "mine": In(n),
                "priority": In(n).array(PRIORITY_BITS),
                "newer": In(n),
                "valid": Out(1),
                "index": Out(index_bits(n)),
                "chosen_newer": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        candidates = Signal(self.n)
        m.d.comb += [candidates.eq(self.ready & self.mine), self.valid.eq(candidates.any())]
        keys = [*(self.priority[bit] for bit in reversed(range(PRIORITY_BITS))), self.newer]
        clear = Signal()
        for number, late in enumerate(keys):
            clear = Signal(name=f"clear{number}")
            left = Signal(self.n, name=f"left{number}")
            m.d.comb += [
                clear.eq((candidates & ~late).any()),
                left.eq(candidates & ~Mux(clear, late, 0)),
            ]
            candidates = left
        lowest = Signal(self.n)
        # a negation carries up to the lowest set bit: a carry chain is shorter and smaller than a priority encoder
        m.d.comb += [self.chosen_newer.eq(~clear), lowest.eq(candidates & -candidates)]
        for bit in range(len(self.index)):
            m.d.comb += self.index[bit].eq(Cat(lowest[n] for n in range(self.n) if n >> bit & 1).any())
        return m
