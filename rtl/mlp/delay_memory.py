"""A wide value many clocks later."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from rtl.delay_line import DelayLine

__all__ = ["DelayMemory"]

_FEWEST = 4  # clocks from which a memory is worth its address counter


class DelayMemory(Component):
    """Give each value again a fixed number of clocks later, kept in a memory instead of a line of registers.

    *Timing*: latency ``clocks``, initiation interval 1, no stall.

    Parameters
    ----------
    width : bits of a value
    clocks : clocks of delay

    Members
    -------
    i : In(width)
    o : Out(width)
    """

    def __init__(self, width: int, clocks: int) -> None:
        self.width = width
        self.clocks = clocks
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.clocks < _FEWEST:
            m.submodules.line = line = DelayLine(self.width, self.clocks)
            m.d.comb += [line.i.eq(self.i), self.o.eq(line.o)]
            return m
        # a place is read in the clock before it is written again; the read takes one more clock
        m.submodules.memory = memory = Memory(shape=self.width, depth=self.clocks, init=[])
        read, write = memory.read_port(), memory.write_port()
        place, following = Signal(range(self.clocks)), Signal(range(self.clocks))
        m.d.comb += following.eq(Mux(place == self.clocks - 1, 0, place + 1))
        m.d.sync += place.eq(following)
        m.d.comb += [
            read.en.eq(1),
            read.addr.eq(following),
            write.en.eq(1),
            write.addr.eq(place),
            write.data.eq(self.i),
            self.o.eq(read.data),
        ]
        return m
