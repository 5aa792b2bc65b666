"""Values that wait for a pipeline beside them."""

from amaranth.hdl import Cat, Module, Shape, ShapeLike, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["DelayLine"]


class DelayLine(wiring.Component):
    """Give each value again a fixed number of enabled clocks later.

    One wide register, so that synthesis finds shift-register cells and simulation moves whole words.

    Timing: latency ``clocks`` enabled clocks, initiation interval 1.

    Parameters
    ----------
    shape : shape of a value
    clocks : enabled clocks of delay, at least 1

    Members
    -------
    en : In(1), the line moves
    i : In(shape)
    o : Out(shape)
    """

    def __init__(self, shape: ShapeLike, clocks: int) -> None:
        self.shape = shape
        self.clocks = clocks
        super().__init__({"en": In(1), "i": In(shape), "o": Out(shape)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = Shape.cast(self.shape).width
        line = Signal(width * self.clocks)
        with m.If(self.en):
            m.d.sync += line.eq(Cat(self.i, line[:-width]))
        m.d.comb += Value.cast(self.o).eq(line[-width:])
        return m
